"""`latency_ms`: cancel event produced to cancelled event read, at 5,000 events per second."""

import time
from collections.abc import Iterator
from typing import Final

from tests.bench import load
from tests.bench.bench import Bench
from tests.bench.deployment import Deployment, WebService, say, until
from tests.bench.load import report_id
from tests.bench.probe import Pace, Probe, percentile

RUSH: Final = 150_000
_RUSH_S: Final = 120.0
WARM_UP: Final = Pace(4_500, 500, 10.0)
STEADY: Final = Pace(4_500, 500, 20.0)


def measure(
    bench: Bench, rush: int = RUSH, warm_up: Pace = WARM_UP, steady: Pace = STEADY
) -> dict[str, float]:
    """The p50 and p99 of the cancels sent after the warm-up."""
    with bench.deployment() as app:
        joiner, router = app.joiner(), app.router()
        joiner.wait_ready()
        router.wait_ready()
        reports = _Reports()
        with Probe(bench.broker, app) as probe:
            # Runs to cancel from the first moment on, and a JVM that has compiled what it needs.
            _rush(bench, app, reports, joiner, rush)
            probe.run(warm_up, reports.victims(), reports.new())
            since = time.perf_counter()
            probe.run(steady, reports.victims(), reports.new())
            probe.wait_answered(joiner.check)
        waits = probe.waits_ms(since)
    p50, p99 = percentile(waits, 50), percentile(waits, 99)
    say(
        "latency_ms",
        cancels=len(waits),
        p50=round(p50, 1),
        p99=round(p99, 1),
        max=round(waits[-1], 1),
    )
    return {"p50": round(p50, 1), "p99": round(p99, 1)}


def _rush(
    bench: Bench, app: Deployment, reports: "_Reports", joiner: WebService, number: int
) -> None:
    """Register so many runs, as fast as it goes."""
    sender = load.producer(bench.broker)
    messages = (load.trigger(n, next(new)) for new in [reports.new()] for n in range(number))
    load.send(sender, app.triggers_topic, messages)
    load.flush(sender)

    def registered() -> bool:
        joiner.check()
        return joiner.metric("countermand_pending_runs") >= number

    until(registered, f"{number} runs are pending", _RUSH_S, pause_s=0.5)


class _Reports:
    """Reports in the order in which they are requested and, each once, cancelled."""

    def __init__(self) -> None:
        self._requested = 0
        self._cancelled = 0

    def new(self) -> Iterator[str]:
        while True:
            self._requested += 1
            yield report_id(self._requested - 1)

    def victims(self) -> Iterator[str]:
        while True:
            self._cancelled += 1
            assert self._cancelled < self._requested, "cancels overtake their triggers"
            yield report_id(self._cancelled - 1)
