"""`budget`: the weights of evaluation (S37) against the time and memory that evaluations take.

Each case is dear for one reason, with events as large as they may be. The first list that an
evaluation walks weighs a fifth of its time, so up to 5 ns per unit are as intended there.
`worst_ms` and `worst_mib` are the most that any evaluation took until it ended, or was ended.
"""

import gc
import time
import tracemalloc
from typing import Any, Final, NamedTuple

from streams.errors import BudgetError, EvaluationError
from streams.matching import Expression, Meter, parse
from tests.bench.bench import Bench
from tests.bench.deployment import say

_IDS: Final = [f"{number:06d}" for number in range(58_000)]
_DIGITS: Final = [number % 10 for number in range(260_000)]
_OBJECTS: Final = [{"a": number % 7, "b": None} for number in range(28_000)]
_WIDE: Final = list(range(80_000))
_TEXTS: Final = ["x" * 1_000 for _ in range(500)]
_LONG: Final = "x" * 250_000
_EMOJI: Final = "\N{GRINNING FACE}"
_MIXED: Final = "aé日" * 40_000
_CJK: Final = "\N{CJK UNIFIED IDEOGRAPH-65E5}"
_LISTS: Final = [_IDS[at : at + 100] for at in range(0, 58_000, 100)]
_EMPTY: Final[list[list[int]]] = [[] for _ in range(170_000)]
_PAIRS: Final = [[number % 7, None] for number in range(50_000)]
_DEEP: Final = [[[number % 7] * 10 for number in range(10)] for _ in range(2_000)]
# Evaluations that are ended at once have no time to speak of.
_LEAST_UNITS: Final = 100_000


class Case(NamedTuple):
    """An expression and the data of a trigger and of a cancel event."""

    text: str
    event: Any = None
    async_: Any = None


CASES: Final = (
    Case("event.data.exists(i, i == async.data)", _IDS, "none"),
    Case("event.data.all(i, i != async.data)", _DIGITS, 11),
    Case("event.data.exists(i, i.a == async.data && i.b == null)", _OBJECTS, 8),
    Case("event.data.exists(i, i.c == 1)", _OBJECTS),
    Case("event.data.exists(i, i.c == 1 || i.d == 2)", _OBJECTS),
    Case("event.data.exists(i, !(i.c == 1 && i.d == 2))", _OBJECTS),
    Case("async.data in event.data", _IDS, "none"),
    Case("async.data in event.data", _DIGITS, 11),
    Case("async.data in event.data", _OBJECTS, {"a": 1, "b": 1}),
    Case(
        "event.data.few.exists(x, -1-x in event.data.wide)", {"few": _WIDE[:1_000], "wide": _WIDE}
    ),
    Case(
        "event.data.few.exists(x, async.data in event.data.ids)",
        {"few": _WIDE[:500], "ids": _IDS},
        "z",
    ),
    Case("event.data == async.data || false", _DIGITS, _DIGITS),
    Case("event.data == async.data || false", _OBJECTS, _OBJECTS),
    Case(
        "event.data.few.exists(x, event.data.wide != event.data.wide)",
        {"few": _WIDE[:500], "wide": _OBJECTS[:9_000]},
    ),
    Case(
        "event.data.few.exists(x, event.data.t != async.data)",
        {"few": _WIDE[:20_000], "t": _LONG},
        "x" * 250_000,
    ),
    Case(
        "event.data.few.exists(x, event.data.t < async.data)",
        {"few": _WIDE[:20_000], "t": _LONG},
        "x" * 250_000,
    ),
    Case(
        "event.data.few.exists(x, event.data.t.startsWith(async.data))",
        {"few": _WIDE[:20_000], "t": _LONG},
        "x" * 249_999 + "y",
    ),
    Case(
        "event.data.few.exists(x, event.data.t.contains(async.data))",
        {"few": _WIDE[:20_000], "t": _LONG},
        "x" * 120_000 + "y" + "x" * 120_000,
    ),
    Case(
        "event.data.few.exists(x, event.data.t.contains('xxxxxxxxy'))",
        {"few": _WIDE[:20_000], "t": _LONG},
    ),
    Case(
        "event.data.few.exists(x, double(event.data.t) == 1.0)",
        {"few": _WIDE[:20_000], "t": "1" * 250_000},
    ),
    Case(
        "event.data.few.exists(x, int(event.data.t) == 1)",
        {"few": _WIDE[:20_000], "t": "1" * 250_000},
    ),
    Case("event.data.exists(x, string(x) == 'none')", _DIGITS),
    Case("event.data.exists(x, string(x + 0.5) == 'none')", [one + 0.25 for one in _WIDE[:30_000]]),
    Case(
        "event.data.few.exists(x, event.data.t + 'a' == 'a')",
        {"few": _WIDE[:20_000], "t": "x" * 60_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.t + 'a' == 'a')",
        {"few": _WIDE[:20_000], "t": "日" * 60_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.map[async.data] == 2)",
        {"few": _WIDE[:20_000], "map": {_LONG + _EMOJI: 1}},
        "x" * 250_000 + _EMOJI,
    ),
    Case(
        "event.data.few.exists(x, event.data.t.contains(async.data))",
        {"few": _WIDE[:20_000], "t": "a" * 2_499},
        "a" * 1_248 + "ba",
    ),
    Case(
        "event.data.few.exists(x, event.data.t > async.data)",
        {"few": _WIDE[:20_000], "t": _MIXED},
        _MIXED + _EMOJI,
    ),
    Case("event.data.map(x, x + x).exists(x, x == -1)", _DIGITS),
    Case("event.data.map(x, [x, x, x, x]).exists(x, x == -1)", _DIGITS),
    Case("event.data.map(x, {'a': x, 'b': x}).exists(x, x.a == -1)", _DIGITS),
    Case("event.data.map(x, 'aaaaaaaaaaaaaaaaaaaaaaaaaaaa' + x).exists(x, x == 'b')", _IDS),
    Case("event.data.filter(x, x == 1).size() == -1", _DIGITS),
    Case("[[[1]]]" + ".map(x,x+x)" * 9 + "[0]" + ".map(x,x+x)" * 16 + ".exists(x, 2 in x)"),
    Case("event.data.exists(x, x in ['a', 'b', 'c'])", _DIGITS),
    Case("event.data.exists(x, event.data[x] == -1)", _DIGITS),
    Case("event.data.exists(x, has(x.q))", _OBJECTS),
    Case("event.data.exists(x, x > 1 ? false : x < 0)", _DIGITS),
    Case("event.data.exists(x, (((x + 1) * 2 - 3) % 5) / 2 == 77)", _DIGITS),
    Case("event.data.exists(x, x.matches('^report-[0-9]+$'))", _TEXTS),
    Case("event.data.exists(x, x.matches('(a|b|c)*d'))", _TEXTS),
    Case("event.data.exists(x, x.matches('(x+x+)+y'))", _TEXTS),
    Case("event.data.exists(x, x.matches('x[a-z]{0,200}y'))", _TEXTS),
    Case("event.data.exists(x, x.matches('(.{0,500}){0,2}y'))", _TEXTS),
    Case("event.data.matches('[a-x日é]*z$')", _MIXED),
    Case("event.data.exists(x, x.matches('[[:alpha:]]+[0-9]'))", _IDS),
    Case("event.data.exists(l, l.exists(x, x == async.data))", _LISTS, "none"),
    Case("event.data.exists(l, l.exists(x, x == async.data))", _LISTS[:300], "none"),
    Case("event.data.exists(l, async.data in l)", _LISTS, "none"),
    Case("event.data.exists(l, l.exists(x, x == 1))", _EMPTY[:80_000]),
    Case("event.data.exists(l, l.exists(x, x.a == 1))", _PAIRS),
    Case("event.data.exists(l, l.exists(x, x.exists(y, y == async.data)))", _DEEP, 8),
    Case("event.data.exists(x, event.data.exists(y, y == -1))", _DIGITS),
    Case("event.data.exists(x, [x].exists(y, [y].exists(z, z == -1)))", _DIGITS[:40_000]),
    Case(
        "event.data.exists(x, [x].exists(y, [y].exists(z, x + y + z == async.data)))",
        _DIGITS[:40_000],
        1,
    ),
    Case("event.data.exists(x, [].exists(y, [].exists(z, true)))", _DIGITS[:60_000]),
    Case(
        "event.data.few.exists(x, event.data.wide.exists(y, y == x && y == -1))",
        {"few": _WIDE[:1_000], "wide": _WIDE},
    ),
    Case(
        "event.data.few.exists(x, event.data.few.exists(y, event.data.few.exists(z, z == -1)))",
        {"few": _WIDE[:200]},
    ),
    Case("event.data.few.exists(x, event.data.few.exists(y, y.c == 1))", {"few": _WIDE[:3_000]}),
    Case("event.data.map(l, l.map(x, [x, x])).size() == -1", _LISTS),
    Case(f"[{', '.join(['event.data'] * 90)}].exists(l, l.exists(x, x == -1))", _DIGITS[:3_000]),
    Case("event.data.exists(x, x.trim() == 'none')", _IDS),
    Case("event.data.exists(x, x.charAt(1) == 'x')", _IDS),
    Case("event.data.exists(x, x.substring(1, 3) == 'xx')", _IDS),
    Case("event.data.exists(x, x.indexOf('x', 2) == 7)", _IDS),
    Case("event.data.exists(x, x.lowerAscii() == 'none')", _IDS),
    Case("event.data.exists(x, x.replace('0', 'o') == 'none')", _IDS),
    Case("event.data.exists(x, x.split('0').size() == 99)", _IDS),
    Case("event.data.exists(x, [x, x].join('-') == 'none')", _IDS),
    Case("event.data.exists(x, {x: 1, 'a': 2} == {})", _IDS),
    Case(
        "event.data.few.exists(x, event.data.t.trim() == 'a')",
        {"few": _WIDE[:20_000], "t": " " * 250_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.trim() == 'a')",
        {"few": _WIDE[:20_000], "t": "\u3000" * 80_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.lowerAscii() == 'a')",
        {"few": _WIDE[:20_000], "t": _MIXED},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.upperAscii() == 'a')",
        {"few": _WIDE[:20_000], "t": _EMOJI * 60_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.substring(1) == 'a')",
        {"few": _WIDE[:20_000], "t": _CJK * 80_000 + _EMOJI},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.replace('a', 'bc') == 'a')",
        {"few": _WIDE[:20_000], "t": "a" * 30_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.replace('ab', '') == 'a')",
        {"few": _WIDE[:20_000], "t": "ab" * 120_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.replace('ab', 'cd') == 'a')",
        {"few": _WIDE[:20_000], "t": "ab" * 120_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.replace('', '') == 'a')",
        {"few": _WIDE[:20_000], "t": "ab" * 120_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.replace(async.data, '') == 'a')",
        {"few": _WIDE[:20_000], "t": ("x" * 100 + "y") * 2_400},
        "x" * 100 + "y",
    ),
    Case(
        "event.data.few.exists(x, event.data.t.replace(async.data, '') == 'a')",
        {"few": _WIDE[:20_000], "t": "a" * 2_499},
        "a" * 1_248 + "ba",
    ),
    Case(
        "event.data.few.exists(x, event.data.t.replace(async.data, '') == 'a')",
        {"few": _WIDE[:20_000], "t": "a" * 29_999},
        "a" * 97 + "ba",
    ),
    Case("event.data.split(',').size() == -1", "a," * 120_000),
    Case("event.data.split('').size() == -1", _CJK * 80_000),
    Case("event.data.split('').size() == -1", _EMOJI * 60_000),
    Case("event.data.split(async.data).size() == -1", _CJK * 80_000, _CJK * 2),
    Case(
        "event.data.few.exists(x, event.data.t.split(async.data).size() == 0)",
        {"few": _WIDE[:20_000], "t": "a" * 2_499},
        "a" * 1_248 + "ba",
    ),
    Case(
        "event.data.few.exists(x, event.data.t.split('ab', 2).size() == 0)",
        {"few": _WIDE[:20_000], "t": "ab" * 120_000},
    ),
    Case("event.data.join(',') == 'a'", [""] * 60_000),
    Case(
        "event.data.few.exists(x, event.data.l.join() == 'a')",
        {"few": _WIDE[:20_000], "l": [""] * 60_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.l.join('-') == 'a')",
        {"few": _WIDE[:20_000], "l": [_EMOJI] * 30_000},
    ),
    Case(
        "event.data.few.exists(x, event.data.t.indexOf(async.data, 101) == 7)",
        {"few": _WIDE[:20_000], "t": "a" * 2_600},
        "a" * 1_248 + "ba",
    ),
    Case(
        "event.data.few.exists(x, event.data.t.lastIndexOf(async.data) == 7)",
        {"few": _WIDE[:20_000], "t": "a" * 4_000},
        "ab" + "a" * 2_000,
    ),
    Case("event.data.exists(x, 'a'.matches(x))", [f"a{one}" for one in _WIDE[:40_000]]),
    Case("event.data.exists(x, 'a'.matches(x + '[[:alpha:]]{1,9}'))", _IDS[:900]),
    Case("event.data.exists(x, 'a'.matches(x + '(\\\\pL{3}){3}'))", _IDS[:900]),
    Case("event.data.exists(x, 'a'.matches(x + '('))", _IDS[:900]),
    Case("event.data.exists(x, 'a'.matches(x + '((a{1,9}){1,9}){1,9}'))", _IDS[:900]),
    Case("event.data.exists(x, 'a'.matches(x + '(.{1,99}){9}'))", _IDS[:900]),
    Case(
        "event.data.exists(x, 'a'.matches(x))",
        [f"(?i:{chr(0x17F) * 300}|k{one})" for one in range(500)],
    ),
    Case("event.data.exists(x, 'a'.matches(x))", [r"(?i)\pL" * 130 + f"{x}" for x in range(99)]),
    Case("event.data.exists(x, 'a'.matches(x))", [r"[^\pL]" * 2 + f"{x}" for x in range(99)]),
    Case("event.data.exists(x, 'a'.matches(x))", [f"ba{{{x}}}" for x in range(900)]),
    Case("event.data.exists(x, 'a'.matches(x))", ["[^a]" * 250 + f"{one}" for one in range(400)]),
    Case(
        "event.data.exists(x, 'a'.matches(x))", ["(" * 500 + ")" * 500 + f"{x}" for x in range(99)]
    ),
    Case(
        "event.data.few.exists(x, event.data.t.matches(async.data))",
        {"few": _WIDE[:20_000], "t": "x" * 20_000},
        "(x{1,9}){1,9}y",
    ),
    Case(
        "event.data.few.exists(x, event.data.t.matches(async.data))",
        {"few": _WIDE[:20_000], "t": "x" * 20_000},
        "(x+x+)+y",
    ),
    Case(
        "event.data.exists(x, timestamp(0) == null || event.data[0].contains(async.data))",
        ["a" * 2_499] + ["a"] * 800,
        "a" * 1_248 + "ba",
    ),
    Case(
        "event.data.exists(l, timestamp(0) == null || l.exists(x, x == async.data))",
        [[number % 7] * 30 for number in range(900)],
        8,
    ),
    Case(
        "event.data.exists(x, timestamp(0) == null || event.data[0].replace('a', 'bb') == x)",
        ["a" * 30_000] + ["b"] * 800,
    ),
    Case(
        "event.data.exists(x, timestamp(0) == null || event.data[0].lowerAscii() == x)",
        ["A" * 30_000] + ["b"] * 800,
    ),
    Case(
        "event.data.exists(x, timestamp(0) == null || event.data[0].split('').size() == 0)",
        ["A" * 3_000] + ["b"] * 800,
    ),
    Case(
        "event.data.exists(x, timestamp(0) == null || event.data[0].lastIndexOf(x) == 0)",
        ["a" * 30_000] + ["b" + "a" * 15_000] * 12,
    ),
    Case("event.data.exists(x, duration(x) > duration('1h'))", ["1h" * 32] * 900),
    Case("event.data.exists(x, duration(x) > duration('1h'))", ["1" * 64] * 900),
    Case(
        "event.data.exists(i, timestamp(i) > timestamp('2030-01-01T00:00:00Z'))",
        ["2026-01-02T03:04:05Z"] * 900,
    ),
    Case(
        "event.data.exists(i, timestamp(i) > timestamp(async.data) || i == '')",
        ["2026-01-02T03:04:05Z"] * 900,
        "2030-01-01T00:00:00Z",
    ),
    Case(
        "event.data.exists(i, i.at > 7 && timestamp(i.t).getHours('Europe/Paris') == 77)",
        [{"t": "2026-01-02T03:04:05Z", "at": 8}] * 900,
    ),
    Case(
        "event.data.exists(i, timestamp('2026-01-02T03:04:05Z').getHours(i) == 77)",
        [f"Zone/{one}" for one in range(900)],
    ),
    Case("event.data.exists(i, timestamp(i).getHours() == 77)", ["x"] * 900),
    Case(
        "timestamp(event.data.at) > timestamp('2030-01-01T00:00:00Z') && event.data == async.data",
        {"at": "2026-01-02T03:04:05Z", "l": _DIGITS},
        {"at": "2026-01-02T03:04:05Z", "l": _DIGITS},
    ),
    Case(
        "event.data.l.exists(x, x == 7 && timestamp('2026-01-02T03:04:05Z') == null)"
        " || event.data.m == async.data",
        {"l": _DIGITS[:900], "m": _OBJECTS},
        _OBJECTS,
    ),
)


class Taken(NamedTuple):
    """What one evaluation took: time (ns), units, bytes at the most; and its answer."""

    ns: int
    units: float
    bytes: int
    answer: str


def measure(_bench: Bench) -> dict[str, float]:
    """The most time and memory of any case, and the most time per unit."""
    taken = [(case, _take(case)) for case in CASES]
    for case, one in taken:
        say(
            case.text[:76],
            ms=round(one.ns / 1e6, 2),
            ns_per_unit=round(one.ns / max(one.units, _LEAST_UNITS), 2),
            mib=round(one.bytes / 2**20, 2),
            answer=one.answer,
        )
    return {
        "worst_ms": round(max(one.ns for _, one in taken) / 1e6, 1),
        "worst_mib": round(max(one.bytes for _, one in taken) / 2**20, 2),
        "worst_ns_per_unit": round(
            max(one.ns / max(one.units, _LEAST_UNITS) for _, one in taken), 2
        ),
    }


def _take(case: Case) -> Taken:
    """Evaluate a case: three times for its least time, once more for its memory."""
    expression = parse(case.text)
    _evaluate(expression, case)
    least = min(_evaluate(expression, case) for _ in range(3))
    gc.collect()
    tracemalloc.start()
    try:
        _evaluate(expression, case)
        _, most = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    return least._replace(bytes=most)


def _evaluate(expression: Expression, case: Case) -> Taken:
    meter = Meter()
    event, async_ = {"data": case.event}, {"data": case.async_}
    started = time.thread_time_ns()
    try:
        answer = str(expression.evaluate(event, async_, meter))
    except EvaluationError:
        answer = "none"
    except BudgetError:
        answer = "over budget"
    return Taken(time.thread_time_ns() - started, meter.spent, 0, answer)
