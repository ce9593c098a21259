"""Instants and durations as people write them."""

from datetime import datetime

import pytest

from streams.durations import parse_instant, parse_rfc_3339


@pytest.mark.parametrize(
    ("text", "same"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31t12:00:00z", "2026-01-31T12:00:00Z"),
        ("2026-01-31 12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T13:30:00+01:30", "2026-01-31T12:00:00Z"),
        ("2026-01-30T13:00:00-23:00", "2026-01-31T12:00:00Z"),
        ("2026-01-31T13:30:00+0130", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00-00:00", "2026-01-31T12:00:00Z"),
        ("2016-12-31T23:59:60Z", "2016-12-31T23:59:59Z"),
        ("2016-12-31T18:59:60-05:00", "2016-12-31T23:59:59Z"),
        ("2017-01-01T05:29:60+05:30", "2016-12-31T23:59:59Z"),
    ],
)
def test_rfc_3339_is_read_with_its_variants(text: str, same: str) -> None:
    """A leap second is the second before, wherever it is midnight in UTC."""
    assert parse_rfc_3339(text) == int(datetime.fromisoformat(same).timestamp()) * 10**9
    assert parse_instant(text) == parse_instant(same)


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("1970-01-01T00:00:00.5Z", 500_000_000),
        ("1970-01-01T00:00:00.000000001Z", 1),
        ("1970-01-01T00:00:00.0000000019Z", 1),
        ("1969-12-31T23:59:59.999999999Z", -1),
        ("2016-12-31T23:59:60.25Z", 1_483_228_799_250_000_000),
        ("0001-01-01T00:00:00+00:01", -62_135_596_860_000_000_000),
        ("9999-12-31T23:59:59.999999999-23:59", 253_402_387_139_999_999_999),
    ],
)
def test_fractions_are_read_to_the_nanosecond(text: str, ns: int) -> None:
    """What is less than a nanosecond is dropped; an offset may lead beyond the years 1 to 9999."""
    assert parse_rfc_3339(text) == ns


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2026-01-31",
        "2026-01-31T12:00:00",
        "2026-01-31T12:00Z",
        "2026-01-31T12:00:00.Z",
        "2026-02-29T12:00:00Z",
        "2026-13-01T12:00:00Z",
        "0000-01-01T00:00:00Z",
        "2026-01-31T24:00:00Z",
        "2026-01-31T12:60:00Z",
        "2026-01-31T12:00:61Z",
        "2026-01-31T12:00:00+24:00",
        "2026-01-31T12:00:00+01:60",
        "2016-12-31T23:58:60Z",
        "2016-12-31T12:59:60Z",
        "2016-12-31T23:59:60+01:00",
        "٢026-01-31T12:00:00Z",
        "2026-01-31T12:00:00Z ",
    ],
)
def test_what_is_no_instant_is_refused(text: str) -> None:
    """Also a leap second where none can be."""
    with pytest.raises(ValueError, match=r"not an RFC 3339 instant .* 2026-01-31T12:00:00Z"):
        parse_rfc_3339(text)
    with pytest.raises(ValueError, match="not an RFC 3339 instant"):
        parse_instant(text)
