"""Logs: one event per line with its fields, never a payload."""

import io
import logging
from collections.abc import Iterator

import orjson
import pytest

from streams import logs


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    """Where lines go; the handlers and levels are put back afterwards."""
    root, ours = logging.getLogger(), logging.getLogger("streams")
    before = root.handlers[:], root.level, ours.level
    yield io.StringIO()
    root.handlers[:], _, _ = before
    root.setLevel(before[1])
    ours.setLevel(before[2])


def lines(stream: io.StringIO) -> list[dict[str, object]]:
    """Each line, read as JSON."""
    return [orjson.loads(line) for line in stream.getvalue().splitlines()]


def test_json_has_one_event_per_line(stream: io.StringIO) -> None:
    """Time, level, logger, event, then the fields."""
    logs.configure("info", "auto", stream)
    log = logs.get("streams.test")
    log.info("Partition restored", partition=3, run_id=b"\x01" * 16)
    log.debug("Not shown")
    (line,) = lines(stream)
    assert str(line.pop("ts")).endswith("Z")
    assert line == {
        "level": "info",
        "logger": "streams.test",
        "event": "Partition restored",
        "partition": 3,
        "run_id": "01" * 16,
    }


def test_payloads_are_not_logged(stream: io.StringIO) -> None:
    """Long bytes and texts are shortened, whoever passes them."""
    logs.configure("info", "json", stream)
    logs.get("streams.test").warning("Odd record", value=b"x" * 100, text="y" * 2_000)
    (line,) = lines(stream)
    assert line["value"] == "<100 bytes>"
    assert len(str(line["text"])) < 600


def test_libraries_are_heard_only_when_they_warn(stream: io.StringIO) -> None:
    """At lower levels some of them print what records hold."""
    logs.configure("debug", "json", stream)
    logging.getLogger("aiokafka").info("a record")
    logging.getLogger("aiokafka").warning("%s is %s", "broker", "away")
    assert [line["event"] for line in lines(stream)] == ["broker is away"]


def test_an_exception_stays_on_its_line(stream: io.StringIO) -> None:
    """A traceback is a field."""
    logs.configure("info", "json", stream)
    try:
        _ = 1 // 0
    except ZeroDivisionError:
        logs.get("streams.test").exception("Broken", partition=1)
    (line,) = lines(stream)
    assert "ZeroDivisionError" in str(line["traceback"])


def test_console_text_is_for_people(stream: io.StringIO) -> None:
    """Level, event and fields; a line break of an event is no line break of the log."""
    logs.configure("info", "console", stream)
    logs.get("streams.test").info("two\nlines", partition=1)
    assert stream.getvalue().count("\n") == 1
    assert r"info    two\nlines partition=1" in stream.getvalue()


def test_nothing_in_a_line_steers_a_terminal(stream: io.StringIO) -> None:
    """Text is escaped in event, fields and traceback; JSON stays JSON, with the same value."""
    evil = "\x1b]0;owned\x07\x9b2J\u202e"
    logs.configure("info", "console", stream)
    try:
        _raise(evil)
    except ValueError:
        logs.get("streams.test").exception(evil, reason=evil)
    assert "\x1b" not in stream.getvalue()
    assert stream.getvalue().count(r"\u001b]0;owned\u0007\u009b2J\u202e") == 3
    stream.seek(0)
    stream.truncate()
    logs.configure("info", "json", stream)
    logs.get("streams.test").info("Odd", reason=evil)
    assert "\x9b" not in stream.getvalue()
    (line,) = lines(stream)
    assert line["reason"] == evil


def test_a_limiter_lets_one_line_per_key_and_minute_through() -> None:
    """And says how many it held back."""
    now = 0.0
    limiter = logs.Limiter(60, keys=2, clock=lambda: now)
    assert limiter.admit("a") == 0
    assert limiter.admit("a") is None
    assert limiter.admit("b") == 0
    now = 59.9
    assert limiter.admit("a") is None
    now = 60
    assert limiter.admit("a") == 2
    assert limiter.admit("c") == 0  # forgets b
    assert limiter.admit("b") == 0


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_error_that_is_no_utf_8_is_logged(form: str) -> None:
    """With its traceback and fields; the half character is replaced, or escaped for people."""
    stream = io.StringIO()
    logs.configure("info", form, stream)
    try:
        _raise("half: \udcff")
    except ValueError:
        logs.get("streams.test").exception("It failed", error="half: \udcff")
    written = stream.getvalue().encode()
    assert b"It failed" in written
    assert written.count(rb"half: \udcff" if form == "console" else b"half: ?") >= 2


def _raise(message: str) -> None:
    raise ValueError(message)
