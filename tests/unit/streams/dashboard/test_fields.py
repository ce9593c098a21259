"""What people type, as the API reads it, and what is wrong with it."""

import pytest

from streams.dashboard.calls import RefusedCallError
from streams.dashboard.fields import FormErrors, instant


@pytest.mark.parametrize(
    ("typed", "sent"),
    [
        ("2026-01-02T03:04", "2026-01-02T03:04:00Z"),
        ("2026-01-02T03:04:05", "2026-01-02T03:04:05Z"),
        (" 2026-01-02 03:04:05.678 ", "2026-01-02T03:04:05.678Z"),
        ("2026-01-02T03:04:05+02:00", "2026-01-02T03:04:05+02:00"),
        ("yesterday", "yesterday"),
        ("", ""),
    ],
)
def test_times(typed: str, sent: str) -> None:
    """A field for a time has no zone: it means UTC. What is no time, the API refuses."""
    assert instant(typed) == sent


def test_errors_by_field() -> None:
    """Those of the body by their pointers, of an address by their parameters."""
    problem = {
        "detail": "d",
        "errors": [
            {"detail": "one", "pointer": "/if", "position": 3},
            {"detail": "two", "parameter": "limit"},
            {"detail": "three", "pointer": "/statuses/0"},
        ],
    }
    found = FormErrors.of(RefusedCallError(400, problem))
    assert found.fields["if"][0].position == 3
    assert found.rest("if", "statuses") == ["two"]
    assert found


def test_errors_about_no_field() -> None:
    """They are told above the form."""
    found = FormErrors.of(RefusedCallError(404, {"detail": "function not found"}))
    assert found.rest() == ["function not found"]
    assert not FormErrors()


def test_failures() -> None:
    """What is no fault of the form isn't told in it."""
    with pytest.raises(RefusedCallError):
        FormErrors.of(RefusedCallError(500, {"detail": "a defect"}))
