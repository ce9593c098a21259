"""`fanout_100k`: one cancel event that matches 100,000 runs, and what others wait meanwhile.

`seconds`: the cancel event produced until the last of its cancelled events is read.
`other_wait_ms`: the longest of all cancels of other keys that were produced in that time.
"""

import time
from collections.abc import Iterator
from typing import Final

from streams.functions import definition
from tests.bench import load
from tests.bench.bench import Bench
from tests.bench.deployment import BenchError, Deployment, Joiners, say, until
from tests.bench.probe import Pace, Probe, percentile

RUNS: Final = 100_000
OTHERS: Final = 20_000
OTHER_PACE: Final = Pace(0, 200, 0.5)
_WARM_UP_SLICES: Final = 6
_LIMIT_S: Final = 120.0
_TENANT: Final = "everybody"
_REQUESTED, _CLOSED = "tenant/work.requested", "tenant/closed"
FUNCTIONS: Final = (
    *load.FUNCTIONS,
    *definition.read_text(
        f"""
functions:
  - id: tenant-work
    app: bench
    triggers: [{{event: {_REQUESTED}}}]
    cancel_on: [{{event: {_CLOSED}, match: data.tenant}}]
""",
        "bench",
    ),
)


def measure(bench: Bench, runs: int = RUNS, others: int = OTHERS) -> dict[str, float]:
    """The time of the one, and the longest wait of the others."""
    with bench.deployment(FUNCTIONS) as app:
        joiner, router = app.joiners(), app.router()
        joiner.wait_ready()
        router.wait_ready()
        _fill(bench, app, joiner, runs, others)
        victims = (load.report_id(number) for number in range(others))
        with Probe(bench.broker, app) as probe:
            for _ in range(_WARM_UP_SLICES):
                _pace(probe, victims)
            event_id = load.cancel_id(0)
            started = probe.send_cancel(event_id, load.of_tenant(0, _CLOSED, event_id, _TENANT))
            while probe.cancelled.get(event_id, 0) < runs:
                joiner.check()
                if time.perf_counter() - started > _LIMIT_S:
                    raise BenchError(f"only {probe.cancelled.get(event_id, 0)} of {runs} cancelled")
                _pace(probe, victims)
            probe.wait_answered(joiner.check)
        if probe.cancelled[event_id] != runs:
            raise BenchError(f"{probe.cancelled[event_id]} runs cancelled, not {runs}")
    ended = probe.last[event_id]
    # All but the one itself.
    waits = [a.ms for a in probe.answers if started < a.sent < ended]
    waits.sort()
    say(
        "fan-out",
        seconds=round(ended - started, 2),
        others=len(waits),
        p99=round(percentile(waits, 99)),
    )
    return {"seconds": round(ended - started, 2), "other_wait_ms": round(waits[-1])}


def _fill(bench: Bench, app: Deployment, joiner: Joiners, runs: int, others: int) -> None:
    sender = load.producer(bench.broker)
    tenants = (load.of_tenant(n, _REQUESTED, f"03J{n:020d}", _TENANT) for n in range(runs))
    load.send(sender, app.triggers_topic, tenants)
    load.send(
        sender, app.triggers_topic, (load.trigger(n, load.report_id(n)) for n in range(others))
    )
    load.flush(sender)

    def filled() -> bool:
        joiner.check()
        return joiner.metric("countermand_pending_runs") >= runs + others

    until(filled, f"{runs + others} runs are pending", _LIMIT_S, pause_s=0.5)


def _pace(probe: Probe, victims: Iterator[str]) -> None:
    probe.run(OTHER_PACE, victims, iter(()))
