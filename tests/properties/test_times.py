"""Times of expressions against whole numbers: both evaluations share the code of times."""

from fractions import Fraction

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.errors import EvaluationError
from streams.matching import Meter, parse

FIRST, LAST = -62_135_596_800 * 10**9, 253_402_300_800 * 10**9 - 1
timestamps = st.integers(FIRST, LAST) | st.sampled_from((FIRST, LAST, -1, 0, 1))
durations = (
    st.integers(-(2**63), 2**63 - 1)
    | st.integers(-(10**10), 10**10)
    | st.sampled_from((-(2**63), 2**63 - 1))
)


def timestamp(ns: int) -> str:
    """A timestamp so many ns from 1970, by its seconds and a duration."""
    return f"(timestamp({ns // 10**9}) + duration('{ns % 10**9}ns'))"


def duration(ns: int) -> str:
    """A duration, written as a fraction of seconds."""
    return f"duration('{'-' if ns < 0 else ''}{abs(ns) // 10**9}.{abs(ns) % 10**9:09}s')"


def answer(text: str) -> bool | None:
    """The answer of both evaluations; None without one."""
    answers: list[bool | None] = []
    for evaluate in (parse(text).evaluate, parse(text).reference):
        try:
            answers.append(evaluate({}, {}, Meter.off()))
        except EvaluationError:
            answers.append(None)
    assert answers[0] is answers[1]
    return answers[0]


def is_timestamp(ns: int) -> bool:
    """Whether there is such a timestamp."""
    return FIRST <= ns <= LAST


def is_duration(ns: int) -> bool:
    """Whether there is such a duration."""
    return -(2**63) <= ns < 2**63


@settings(deadline=None)
@given(durations, durations, st.sampled_from(("==", "!=", "<", "<=", ">", ">=")))
def test_durations_are_ordered_as_numbers(left: int, right: int, symbol: str) -> None:
    """Of any size."""
    expected = eval(f"{left} {symbol} {right}")  # noqa: S307  # two numbers and an operator
    assert answer(f"{duration(left)} {symbol} {duration(right)}") is expected


@settings(deadline=None)
@given(timestamps, timestamps, st.sampled_from(("==", "!=", "<", "<=", ">", ">=")))
def test_timestamps_are_ordered_as_numbers(left: int, right: int, symbol: str) -> None:
    """To the nanosecond."""
    expected = eval(f"{left} {symbol} {right}")  # noqa: S307  # two numbers and an operator
    assert answer(f"{timestamp(left)} {symbol} {timestamp(right)}") is expected


@settings(deadline=None)
@given(durations, durations)
def test_durations_are_added_as_numbers(left: int, right: int) -> None:
    """Or there is no answer, where the sum is none."""
    for symbol, total in (("+", left + right), ("-", left - right)):
        inside = is_duration(total)
        wanted = duration(total) if inside else "null"
        text = f"{duration(left)} {symbol} {duration(right)} == {wanted}"
        assert answer(text) is (True if inside else None)


@settings(deadline=None)
@given(timestamps, durations)
def test_a_duration_moves_a_timestamp(at: int, by: int) -> None:
    """Forth and back, and on either side of a plus."""
    sums = {
        f"{timestamp(at)} + {duration(by)}": at + by,
        f"{duration(by)} + {timestamp(at)}": at + by,
    }
    for text, total in {**sums, f"{timestamp(at)} - {duration(by)}": at - by}.items():
        inside = is_timestamp(total)
        wanted = timestamp(total) if inside else "null"
        assert answer(f"{text} == {wanted}") is (True if inside else None)


@settings(deadline=None)
@given(timestamps, timestamps)
def test_a_difference_of_timestamps_is_a_duration(left: int, right: int) -> None:
    """Where it has 64 bits."""
    inside = is_duration(left - right)
    wanted = duration(left - right) if inside else "null"
    text = f"{timestamp(left)} - {timestamp(right)} == {wanted}"
    assert answer(text) is (True if inside else None)


@settings(deadline=None)
@given(durations)
def test_the_parts_of_a_duration_are_quotients(ns: int) -> None:
    """Towards zero, with the sign of the duration."""
    parts = {
        "getHours": ns / Fraction(3_600 * 10**9),
        "getMinutes": ns / Fraction(60 * 10**9),
        "getSeconds": ns / Fraction(10**9),
        "getMilliseconds": (abs(ns) % 10**9) / Fraction(10**6) * (1 if ns > 0 else -1),
    }
    for name, part in parts.items():
        assert answer(f"{duration(ns)}.{name}() == {int(part)}") is True


@settings(deadline=None)
@given(timestamps)
def test_a_timestamp_is_whole_seconds_and_a_rest(ns: int) -> None:
    """`int` gives the second that it lies in; what is written is read as the same."""
    text = timestamp(ns)
    assert answer(f"int({text}) == {ns // 10**9}") is True
    assert answer(f"{text}.getMilliseconds() == {ns % 10**9 // 10**6}") is True
    assert answer(f"timestamp(string({text})) == {text}") is True
