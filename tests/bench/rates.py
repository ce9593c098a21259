"""`events_per_s`: the same work through Countermand and through the same join on other engines.

The work is 500,000 trigger events and a cancel event for every tenth of them, keyed by user and
not by what is matched; how it is timed and counted: `tests/bench/full_speed.py`.

- `countermand`: router and joiner, two topics in, `runs` and `cancelled` out.
- `router`: the router alone, until the command batches of all events are written.
- `joiner`: the joiner alone, on what the router wrote.
- `quix`, `kafka_streams`: one topic in, ordered by user, and only the cancelled runs out; their
  own repartition, exactly-once. `faust`: likewise, a tenth of the work, at least once, and once.
- `beside`: the median of the rounds' ratios, Countermand's rate over the other's; `faust`: over its
  one rate.
- `cpu_us`: CPU time per event (us) of each process, of all else on this machine (`rest`), and what
  its cores were idle: medians. The table before it tells it by kind of thread, too.

The contestants that are compared go by turns, in another order in each round. A round of a tenth of
the work comes first and doesn't count: the broker's JVM compiles most of what it needs meanwhile.
"""

import time
from collections.abc import Callable, Mapping
from functools import partial
from statistics import median
from typing import Any, Final

from tests.bench import cpu, full_speed, turns
from tests.bench.bench import Bench
from tests.bench.deployment import say
from tests.bench.full_speed import Speed
from tests.bench.load import Work

ROUNDS: Final = 5
WORK: Final = Work(500_000)
SMALL: Final = Work(WORK.triggers // 10)
OURS: Final = "countermand"

# What runs a work, by the name of who does.
Contestants = Callable[[Bench, Work], Mapping[str, Callable[[], Speed | None]]]


def compared(bench: Bench, work: Work) -> dict[str, Callable[[], Speed | None]]:
    """Those who go by turns."""
    return {
        OURS: partial(full_speed.countermand, bench, work),
        "quix": partial(full_speed.peer, bench, "quix", work),
        "kafka_streams": partial(full_speed.peer, bench, "kafka_streams", work),
    }


def measure(
    bench: Bench,
    work: Work = WORK,
    small: Work = SMALL,
    rounds: int = ROUNDS,
    contestants: Contestants = compared,
) -> dict[str, Any]:
    """Events per second, ratios and CPU time; None for a peer that can't run on this machine."""
    turns.by_turns(told(contestants(bench, small)), 1)
    found = turns.by_turns(told(contestants(bench, work)), rounds)
    found |= turns.by_turns(told({"faust": lambda: full_speed.peer(bench, "faust", small)}), 1)
    spent = {name: cpu.medians([one.spent for one in each]) for name, each in found.items()}
    print(*cpu.table(spent), sep="\n", flush=True)
    speeds = {name: [one.events_per_s for one in each] for name, each in found.items()}
    rates = {name: median(each) for name, each in speeds.items()}
    rates |= full_speed.router_and_joiner(bench, work)
    order = (OURS, "router", "joiner", "quix", "faust", "kafka_streams")
    return {
        **{name: round(rates[name]) if name in rates else None for name in order},
        "beside": {
            name: turns.ratio(speeds[OURS], each if len(each) > 1 else each * rounds)
            for name, each in speeds.items()
            if name != OURS
        },
        "cpu_us": {name: cpu.totals(one) for name, one in spent.items()},
    }


def told(
    contestants: Mapping[str, Callable[[], Speed | None]],
) -> Mapping[str, Callable[[], Speed | None]]:
    """The same, and each tells what it reached and how long that took in all."""

    def tell(name: str, run: Callable[[], Speed | None]) -> Speed | None:
        began = time.monotonic()
        speed = run()
        if speed is not None:
            took = round(time.monotonic() - began)
            rate = round(speed.events_per_s)
            say(name, events_per_s=rate, us=cpu.totals(speed.spent), seconds_in_all=took)
        return speed

    return {name: partial(tell, name, run) for name, run in contestants.items()}
