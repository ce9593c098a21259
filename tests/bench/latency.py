"""`latency_ms`: cancel event produced to cancelled event read.

- `p50`, `p99`: at 5,000 events per second, a tenth of them cancels.
- `half_p50`, `half_p99`: with four partitions, at `half_events_per_s`: half of what the same
  processes reached just before, in a rush. That is a number of trigger events and a tenth of
  cancels, sent as fast as it goes, over the time until all is decided, the second time.
"""

import time
from collections.abc import Callable, Iterator
from typing import Final

from tests.bench import load
from tests.bench.bench import Bench
from tests.bench.deployment import PARTITIONS, Deployment, Joiners, say, until
from tests.bench.load import report_id
from tests.bench.probe import Pace, Probe, percentile

RUSH: Final = 150_000
_RUSH_S: Final = 120.0
WARM_UP: Final = Pace(4_500, 500, 10.0)
STEADY: Final = Pace(4_500, 500, 20.0)
_MANY: Final = 4


def measure(
    bench: Bench, rush: int = RUSH, warm_up: Pace = WARM_UP, steady: Pace = STEADY
) -> dict[str, float]:
    """The p50 and p99 of the cancels sent after the warm-up, at both rates."""
    _, waits = _waits(bench, PARTITIONS, rush, lambda _: (warm_up, steady))
    figures = {"p50": percentile(waits, 50), "p99": percentile(waits, 99)}

    def half(rate: float) -> tuple[Pace, Pace]:
        cancels = round(rate / 2 / (load.PER_CANCEL + 1))
        warm, wanted = (one.seconds for one in (warm_up, steady))
        triggers = cancels * load.PER_CANCEL
        return Pace(triggers, cancels, warm), Pace(triggers, cancels, wanted)

    rate, waits = _waits(bench, _MANY, rush, half)
    figures |= {"half_p50": percentile(waits, 50), "half_p99": percentile(waits, 99)}
    return {name: round(ms, 1) for name, ms in figures.items()} | {
        "half_events_per_s": round(rate / 2)
    }


def _waits(
    bench: Bench, partitions: int, rush: int, paces: Callable[[float], tuple[Pace, Pace]]
) -> tuple[float, list[float]]:
    """What a rush reached in events/s, and the waits (ms) at the second of its paces."""
    with bench.deployment(partitions=partitions) as app:
        joiner, router = app.joiners(), app.router()
        joiner.wait_ready()
        router.wait_ready()
        reports, work = _Reports(), load.Work(rush)
        with Probe(bench.broker, app) as probe:
            # Runs to cancel from the first moment on, and a JVM that has compiled what it needs.
            _rush(app, probe, reports, joiner, work)
            rate = _rush(app, probe, reports, joiner, work)
            warm_up, steady = paces(rate)
            probe.run(warm_up, reports.victims(), reports.new())
            since = time.perf_counter()
            probe.run(steady, reports.victims(), reports.new())
            probe.wait_answered(joiner.check)
        waits = probe.waits_ms(since)
    say(
        "latency_ms",
        cancels=len(waits),
        partitions=partitions,
        rush_per_s=round(rate),
        events_per_s=steady.triggers + steady.cancels,
        p50=round(percentile(waits, 50), 1),
        p99=round(percentile(waits, 99), 1),
        max=round(waits[-1], 1),
    )
    return rate, waits


def _rush(
    app: Deployment, probe: Probe, reports: "_Reports", joiner: Joiners, work: load.Work
) -> float:
    """Send as fast as it goes; the events/s decided."""
    wanted = joiner.metric("countermand_runs_total") + work.events
    began = time.perf_counter()
    sender = load.producer(app.settings.kafka_bootstrap_servers)
    numbers = range(reports.requested, reports.requested + work.triggers)
    messages = (load.trigger(n, report) for n, report in zip(numbers, reports.new(), strict=False))
    load.send(sender, app.triggers_topic, messages)
    load.flush(sender)  # a cancel is received after its trigger
    probe.send_cancels(work.cancels, reports.victims())

    def decided() -> bool:
        joiner.check()
        return joiner.metric("countermand_runs_total") >= wanted

    until(decided, f"{work.events} events are decided", _RUSH_S, pause_s=0.2)
    return work.events / (time.perf_counter() - began)


class _Reports:
    """Reports in the order in which they are requested and, each once, cancelled."""

    def __init__(self) -> None:
        self.requested = 0
        self._cancelled = 0

    def new(self) -> Iterator[str]:
        while True:
            self.requested += 1
            yield report_id(self.requested - 1)

    def victims(self) -> Iterator[str]:
        while True:
            self._cancelled += 1
            assert self._cancelled < self.requested, "cancels overtake their triggers"
            yield report_id(self._cancelled - 1)
