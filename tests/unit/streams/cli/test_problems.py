"""Problems of the API as errors: their exit code, what is wrong, where, and what to do."""

import json
from typing import Any

import pytest

from streams.cli.exits import ExitCode, exit_code
from streams.cli.problems import problem_error

URL = "http://127.0.0.1:8420"


def problem(status: int, code: str, detail: str = "No.", **more: Any) -> str:
    """A problem's body."""
    document = {"status": status, "code": code, "detail": detail, "request_id": "R1"}
    return json.dumps(document | more)


@pytest.mark.parametrize(
    ("status", "code", "expected"),
    [
        (400, "invalid_request", ExitCode.REFUSED),
        (401, "key_missing", ExitCode.REFUSED),
        (403, "role_too_low", ExitCode.REFUSED),
        (404, "run_not_found", ExitCode.NOT_FOUND),
        (404, "route_not_found", ExitCode.FAILED),
        (405, "method_not_allowed", ExitCode.FAILED),
        (409, "run_already_ended", ExitCode.REFUSED),
        (413, "body_too_large", ExitCode.REFUSED),
        (422, "invalid_request", ExitCode.REFUSED),
        (500, "internal_error", ExitCode.FAILED),
        (503, "kafka_unavailable", ExitCode.UNREACHABLE),
    ],
)
def test_each_status_has_its_exit_code(status: int, code: str, expected: ExitCode) -> None:
    """Scripts rely on them."""
    assert exit_code(problem_error(status, problem(status, code), {}, URL)) is expected


@pytest.mark.parametrize(
    ("status", "expected"),
    [(404, ExitCode.FAILED), (403, ExitCode.FAILED), (502, ExitCode.UNREACHABLE)],
)
@pytest.mark.parametrize("text", ["<html>", "[]", "{}", ""])
def test_another_server_is_told_apart(status: int, expected: ExitCode, text: str) -> None:
    """What is no problem comes from a proxy, or from something else that listens there."""
    error = problem_error(status, text, {}, URL)
    assert exit_code(error) is expected
    assert "COUNTERMAND_API_URL" in str(error)


@pytest.mark.parametrize(
    ("code", "advice"),
    [
        ("key_missing", "COUNTERMAND_API_KEY"),
        ("key_invalid", "countermand keys create"),
        ("role_too_low", "a key with that role"),
        ("function_not_found", "countermand functions list"),
        ("run_not_found", "countermand runs list"),
        ("already_replayed", "countermand replays show"),
    ],
)
def test_what_to_do_stands_in_the_message(code: str, advice: str) -> None:
    """After what is wrong."""
    message = str(problem_error(404, problem(404, code, "It is so."), {}, URL))
    assert message.startswith("It is so.: ")
    assert advice in message


def test_a_defect_names_the_call() -> None:
    """The server's log has more under that id."""
    assert "request_id R1" in str(problem_error(500, problem(500, "internal_error"), {}, URL))


@pytest.mark.parametrize(
    ("place", "sent", "flag"),
    [
        ({"pointer": "/started_before"}, {"started_before": "x"}, "--before"),
        ({"pointer": "/statuses/0"}, {"statuses": ["x"]}, "--status"),
        ({"pointer": "/statuses"}, {}, "--status"),
        ({"pointer": "/cancellation_id"}, {"cancellation_id": "x"}, "--cancellation"),
        ({"parameter": "status.0"}, {"status": ["x"]}, "--status"),
        ({"parameter": "event_id"}, {"event_id": "x"}, "--event-id"),
        ({"parameter": "run_id"}, {}, "RUN_ID"),
    ],
)
def test_a_wrong_field_is_told_by_its_flag(
    place: dict[str, str], sent: dict[str, Any], flag: str
) -> None:
    """People typed a flag or an argument, not a pointer."""
    errors = [{"code": "x", "detail": "is wrong", **place}]
    error = problem_error(400, problem(400, "invalid_request", errors=errors), sent, URL)
    assert str(error) == f"{flag}: is wrong"


def test_every_wrong_field_is_told() -> None:
    """One line each; what has no place stands alone."""
    errors = [{"code": "x", "detail": "no json"}, {"code": "y", "detail": "n", "pointer": "/name"}]
    error = problem_error(422, problem(422, "invalid_request", errors=errors), {}, URL)
    assert str(error) == "no json\n--name: n"


@pytest.mark.parametrize(
    ("expression", "position", "shown"),
    [
        ("event.data.x = 1", 13, "    event.data.x = 1\n                 ^"),
        ("a &&\n  b ||", 9, "      b ||\n        ^"),
        ("x" * 100, 60, "    " + "x" * 80 + "\n    " + " " * 50 + "^"),
        ("", 0, "    \n    ^"),
    ],
)
def test_an_expression_is_shown_with_its_place(expression: str, position: int, shown: str) -> None:
    """The line, a part of it where it is long, and a mark under the place."""
    errors = [{"code": "expression", "detail": "bad", "pointer": "/if", "position": position}]
    text = problem(400, "invalid_request", errors=errors)
    error = problem_error(400, text, {"if": expression}, URL)
    assert str(error) == f"--if: bad\n{shown}"
