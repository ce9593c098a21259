"""`shapes`: what other work costs than that of `events_per_s`, at full speed.

Each shape is 100,000 trigger events, if it says nothing else, and a cancel event for every tenth:

- `base`: as in `events_per_s`: events of 0.2 KiB, one function with one key, two partitions.
- `four_kib`: trigger events of 4 KiB; `kafka_streams_four_kib`: the join of them there.
- `eight_functions`: each trigger event starts a run of each of eight functions, and each cancel
  event cancels eight; a fifth as many events.
- `residual_if`: what remains of the rule's `if` beside its equality is evaluated for every cancel.
- `two_keys`: a second rule listens by a second key, and half of these lie in the other partition.
- `eight_partitions`: eight instead of two, in the same processes.

They go by turns, after a run of half the base case, by which the broker is warm. `events_per_s`
and `us` (CPU time per event of a contestant's processes and the broker) are medians, `beside_base`
is the median of the rounds' ratios of that CPU time; `beside_kafka_streams` is that of the rates
with events of 4 KiB.
"""

from collections.abc import Callable, Sequence
from functools import partial
from statistics import median
from typing import Final

from streams.functions import definition
from tests.bench import cpu, full_speed, rates, turns
from tests.bench.bench import Bench
from tests.bench.full_speed import Speed
from tests.bench.load import CANCELLED, REQUESTED, Work
from topology.records import Function

TRIGGERS: Final = 100_000
ROUNDS: Final = 3
_MANY: Final = 8
_FOUR_KIB: Final = 4 * 1024
_BASE, _LARGE, _LARGE_PEER = "base", "four_kib", "kafka_streams_four_kib"
_BY_REPORT: Final = f"{{event: {CANCELLED}, match: data.reportId}}"
_IF_LATER: Final = (
    f"{{event: {CANCELLED}, "
    'if: "event.data.reportId == async.data.reportId && async.ts >= event.ts"}'
)
_BY_USER: Final = "{event: account/closed, match: data.userId}"


def measure(
    bench: Bench, triggers: int = TRIGGERS, rounds: int = ROUNDS, *, peers: bool = True
) -> dict[str, dict[str, float]]:
    """Rate and CPU time of each shape."""
    full_speed.countermand(bench, Work(triggers // 2))
    found = turns.by_turns(rates.told(_shapes(bench, triggers, peers=peers)), rounds)
    spent = {name: cpu.medians([one.spent for one in each]) for name, each in found.items()}
    print(*cpu.table(spent), sep="\n", flush=True)
    rates_of = {name: [one.events_per_s for one in each] for name, each in found.items()}
    us_of = {name: [_us(one.spent) for one in each] for name, each in found.items()}
    results: dict[str, dict[str, float]] = {
        name: {"events_per_s": round(median(rates_of[name])), "us": round(median(us_of[name]), 1)}
        for name in found
    }
    for name in found.keys() - {_LARGE_PEER}:
        results[name]["beside_base"] = turns.ratio(us_of[name], us_of[_BASE])
    if _LARGE_PEER in found:
        ratio = turns.ratio(rates_of[_LARGE], rates_of[_LARGE_PEER])
        results[_LARGE]["beside_kafka_streams"] = ratio
    return results


def _shapes(bench: Bench, triggers: int, *, peers: bool) -> dict[str, Callable[[], Speed | None]]:
    large = Work(triggers, _FOUR_KIB)
    works = {
        _BASE: Work(triggers),
        _LARGE: large,
        "eight_functions": Work(triggers // 5, functions=_functions([_BY_REPORT], _MANY)),
        "residual_if": Work(triggers, functions=_functions([_IF_LATER])),
        "two_keys": Work(triggers, functions=_functions([_BY_REPORT, _BY_USER])),
    }
    shapes: dict[str, Callable[[], Speed | None]] = {
        name: partial(full_speed.countermand, bench, work) for name, work in works.items()
    }
    shapes["eight_partitions"] = partial(full_speed.countermand, bench, works[_BASE], _MANY)
    if peers:
        shapes[_LARGE_PEER] = partial(full_speed.peer, bench, "kafka_streams", large)
    return shapes


def _functions(rules: Sequence[str], number: int = 1) -> tuple[Function, ...]:
    """So many functions that one event triggers, each with these rules."""
    each = "".join(
        f"""
  - id: generate-report-{which}
    app: bench
    triggers: [{{event: {REQUESTED}}}]
    cancel_on: [{", ".join(rules)}]"""
        for which in range(number)
    )
    return tuple(definition.read_text(f"functions:{each}\n", "bench"))


def _us(spent: cpu.Spent) -> float:
    """What its processes and the broker spent per event (us)."""
    return sum(us for name, us in cpu.totals(spent).items() if name not in cpu.MACHINE)
