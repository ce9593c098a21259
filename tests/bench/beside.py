"""`python -m tests.bench.beside COMMIT`: what this tree costs beside another commit of it.

Two deployments are kept up on one broker, one of each tree, and get the same bursts of events in
turns, and after each burst events at the pace of `latency_ms`. A machine's speed changes from
second to second, and a pair of turns sees about the same: so the ratios say more than any two
rates. The last line is JSON: CPU time of each process per event of a burst, and of the three
together (us), CPU time of the joiner per event at the pace (us), time of a burst (s), and waits of
the cancels at the pace (ms), all as medians, and the median of the pairs' ratios with the bounds of
95 % of its resampled values.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from itertools import count
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

from tests.bench import cpu, load
from tests.bench.bench import Bench, local_bench
from tests.bench.deployment import Deployment, say, until
from tests.bench.probe import Pace, Probe, percentile
from tests.support.trees import checked_out

PAIRS: Final = 12
TRIGGERS: Final = 40_000
_WARM_UP: Final = 2
_RESAMPLED: Final = 1_000
_LOOK_S: Final = 0.2
# Reports that no burst reaches.
_PACED_FROM: Final = 10**9
PACE: Final = Pace(4_500, 500, 5.0)


def main() -> None:
    """Compare with a commit."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.beside")
    parser.add_argument("commit", help="what to compare with, as git names it")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="how many pairs of turns")
    options = parser.parse_args()
    with checked_out(options.commit) as tree, local_bench() as bench:
        print(json.dumps(measure(bench, tree, options.pairs)))


def measure(
    bench: Bench, tree: Path, pairs: int = PAIRS, triggers: int = TRIGGERS, pace: Pace = PACE
) -> dict[str, dict[str, float]]:
    """Each figure before and now, and their ratio."""
    with (
        bench.deployment(tree=tree) as old,
        bench.deployment() as new,
        Probe(bench.broker, old) as old_probe,
        Probe(bench.broker, new) as new_probe,
    ):
        before = _Contestant(bench, old, old_probe, triggers, pace)
        now = _Contestant(bench, new, new_probe, triggers, pace)
        for _ in range(_WARM_UP):
            before.turn()
            now.turn()
        turns = []
        for number in range(pairs):
            order = (before, now) if number % 2 else (now, before)
            found = {contestant: contestant.turn() for contestant in order}
            turns.append((found[before], found[now]))
            say("pair", number=number, before=found[before], now=found[now])
    return {
        name: _compared([(one[at], other[at]) for one, other in turns])
        for at, name in enumerate(_Figures._fields)
    }


class _Figures(NamedTuple):
    joiner_us: float
    router_us: float
    broker_us: float
    together_us: float
    seconds: float
    paced_joiner_us: float
    p50_ms: float
    p99_ms: float


class _Contestant:
    """A joiner and a router, and how far their events are."""

    def __init__(
        self, bench: Bench, app: Deployment, probe: Probe, triggers: int, pace: Pace
    ) -> None:
        self._app, self._probe, self._pace = app, probe, pace
        self._joiner, self._router = app.joiner(), app.router()
        self._joiner.wait_ready()
        self._router.wait_ready()
        self._pids = (self._joiner.pid, self._router.pid, bench.broker_pid)
        self._sender = load.producer(bench.broker)
        self._work = load.Work(triggers)
        self._sent = 0
        self._victims = (load.report_id(number) for number in count() if number % load.PER_CANCEL)
        self._new = (load.report_id(number) for number in count(_PACED_FROM))
        self._paced_events = (pace.triggers + pace.cancels) * pace.seconds

    def turn(self) -> _Figures:
        """Send a burst, and then at a pace, and wait until all is decided: the figures."""
        began, before = time.monotonic(), self._spent_s()
        self._burst()
        seconds = time.monotonic() - began
        spent = [now - then for now, then in zip(self._spent_s(), before, strict=True)]
        joiner, router, broker, together = (
            round(one / self._work.events * 1e6, 1) for one in (*spent, sum(spent))
        )
        paced = cpu.process_s(self._joiner.pid)
        waits = self._waits_ms()
        paced = cpu.process_s(self._joiner.pid) - paced
        return _Figures(
            joiner_us=joiner,
            router_us=router,
            broker_us=broker,
            together_us=together,
            seconds=round(seconds, 2),
            paced_joiner_us=round(paced / self._paced_events * 1e6, 1),
            p50_ms=round(percentile(waits, 50), 1),
            p99_ms=round(percentile(waits, 99), 1),
        )

    def _burst(self) -> None:
        numbers = range(self._sent, self._sent + self._work.triggers)
        self._sent += self._work.triggers
        wanted = self._decided() + self._work.events
        self._send(numbers)
        until(lambda: self._decided() >= wanted, "a burst is decided", pause_s=_LOOK_S)

    def _waits_ms(self) -> list[float]:
        """Send at the pace, cancels of runs that bursts have left: how long each took."""
        since = time.perf_counter()
        self._probe.run(self._pace, self._victims, self._new)
        self._probe.wait_answered(self._joiner.check)
        return self._probe.waits_ms(since)

    def _spent_s(self) -> list[float]:
        return [cpu.process_s(pid) for pid in self._pids]

    def _decided(self) -> float:
        """How many changes of runs there were: a start of each run, and each cancel."""
        return self._joiner.metric("countermand_runs_total")

    def _send(self, numbers: range) -> None:
        sender = self._sender
        triggers = (load.trigger(number, load.report_id(number)) for number in numbers)
        load.send(sender, self._app.triggers_topic, triggers)
        load.flush(sender)  # a cancel is received after its trigger
        cancelled = numbers[:: load.PER_CANCEL]
        cancels = (load.cancel(number, load.report_id(number)) for number in cancelled)
        load.send(sender, self._app.cancels_topic, cancels)
        load.flush(sender)


def _compared(pairs: Sequence[tuple[float, float]]) -> dict[str, float]:
    ratios = [now / before for before, now in pairs]
    draw = random.Random(len(pairs))
    resampled = sorted(median(draw.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLED))
    edge = _RESAMPLED // 40
    return {
        "before": round(median(before for before, _ in pairs), 2),
        "now": round(median(now for _, now in pairs), 2),
        "ratio": round(median(ratios), 3),
        "from": round(resampled[edge], 3),
        "to": round(resampled[-edge], 3),
    }


if __name__ == "__main__":
    main()
