"""Whatever text comes from outside: a terminal is never steered by it, and JSON stays JSON."""

import io
import logging
import unicodedata
from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams import logs
from streams.cli import console
from streams.printable import printable, printable_lines

STEERING = {"Cc", "Cf", "Cs", "Zl", "Zp"}
JOINERS = "\u200c\u200d"
# Most texts of chance have none of these; half characters come in errors of file names.
EVIL = st.sampled_from(
    "\x00\x07\x08\t\n\r\x1b\x7f\x85\x9b\xad\u061c\u200e\u202e\u2028\u2066\ufeff\udcff\U000e0041"
)
TEXTS = st.text(EVIL | st.characters(), max_size=30)
ENCODABLE = st.text(
    EVIL.filter(lambda one: one != "\udcff") | st.characters(codec="utf-8"), max_size=30
)


def steers(text: str) -> list[str]:
    """The characters of a text that a terminal would act on."""
    return [one for one in text if unicodedata.category(one) in STEERING and one not in JOINERS]


@given(TEXTS)
def test_nothing_steers_a_terminal(text: str) -> None:
    """Not even a line break; what needs no escape stays, and once is enough."""
    shown = printable(text)
    assert steers(shown) == []
    assert printable(shown) == shown
    assert (shown == text) == (steers(text) == [])
    assert shown.encode().decode() == shown


@given(TEXTS)
def test_lines_stay_lines(text: str) -> None:
    """Those of a text that is meant to have several."""
    assert printable_lines(text).split("\n") == [printable(line) for line in text.split("\n")]


@given(
    st.recursive(
        ENCODABLE | st.integers(-9, 9) | st.none(),
        lambda inner: st.lists(inner) | st.dictionaries(ENCODABLE, inner),
        max_leaves=8,
    )
)
def test_json_stays_the_same_json(value: Any) -> None:
    """A program that reads it gets every character; a terminal gets none that steers it."""
    line = printable(orjson.dumps(value).decode())
    assert steers(line) == []
    assert orjson.loads(line) == value


@pytest.fixture(scope="module")
def lines() -> Iterator[io.StringIO]:
    """Where a logger of this module writes lines for people."""
    stream = io.StringIO()
    logger = logging.getLogger(__name__)
    handler = logging.StreamHandler(stream)
    handler.setFormatter(logs.ConsoleFormatter(colour=False))
    logger.addHandler(handler)
    logger.propagate = False
    yield stream
    logger.removeHandler(handler)
    logger.propagate = True


def written(stream: io.StringIO) -> list[str]:
    """The lines written since the last call."""
    text = stream.getvalue()
    stream.seek(0)
    stream.truncate()
    return text.removesuffix("\n").split("\n")


@given(event=TEXTS, value=TEXTS | st.binary(max_size=4) | st.lists(TEXTS, max_size=2), error=TEXTS)
def test_lines_of_a_log_are_what_they_seem(
    lines: io.StringIO, event: str, value: object, error: str
) -> None:
    """One line per event, whatever it and its fields are; an error's text can't look like one."""
    log = logs.get(__name__)
    log.warning(event, reason=value)
    (line,) = written(lines)
    assert steers(line) == []
    try:
        _raise(error)
    except ValueError:
        log.exception("Failed", error=error)
    first, *others = written(lines)
    assert [found for one in (first, *others) if (found := steers(one))] == []
    assert all(one.startswith("  ") for one in others)


def _raise(message: str) -> None:
    raise ValueError(message)


@given(TEXTS)
def test_what_commands_print_is_printable(text: str) -> None:
    """Lines, names and values, tables with their titles: in one line each."""
    for stderr, print_it in (
        (False, lambda: console.out(text)),
        (True, lambda: console.say(text)),
        (False, lambda: console.fields([("name", f"x{text}")])),
    ):
        printed = printed_by(print_it, stderr=stderr)
        assert steers(printed.removesuffix("\n")) == []
        assert printable(text) in printed


@given(TEXTS.filter(lambda text: text.strip() != ""))
def test_cells_of_tables_are_printable(text: str) -> None:
    """A row stays one line where there is no terminal."""
    printed = printed_by(lambda: console.table("", ["name"], [[text], ["last"]]), stderr=False)
    assert steers(printed.replace("\n", "")) == []
    assert len(printed.split("\n")) == len(
        printed_by(lambda: console.table("", ["name"], [["first"], ["last"]]), stderr=False).split(
            "\n"
        )
    )


def printed_by(print_it: Any, *, stderr: bool) -> str:
    """What a call prints to one of the streams."""
    stream = io.StringIO()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("sys.stderr" if stderr else "sys.stdout", stream)
        print_it()
    return stream.getvalue()
