"""`python -m tests.bench.beside COMMIT`: what this tree costs beside another commit of it.

Two deployments are kept up on one broker, one of each tree, and get the same bursts of events in
turns. A machine's speed changes from second to second, and a pair of turns sees about the same: so
the ratios say more than any two rates. The last line is JSON: CPU time of each process per event,
and of the three together (us), and time of a burst (s), as medians, and the median of the pairs'
ratios with the bounds of 95 % of its resampled values.
"""

import argparse
import json
import random
import time
from collections.abc import Sequence
from pathlib import Path
from statistics import median
from typing import Final

from tests.bench import cpu, load
from tests.bench.bench import Bench, local_bench
from tests.bench.deployment import Deployment, say, until
from tests.support.trees import checked_out

PAIRS: Final = 12
TRIGGERS: Final = 40_000
_WARM_UP: Final = 2
_RESAMPLED: Final = 1_000
_LOOK_S: Final = 0.2
_FIGURES: Final = ("joiner_us", "router_us", "broker_us", "together_us", "seconds")


def main() -> None:
    """Compare with a commit."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench.beside")
    parser.add_argument("commit", help="what to compare with, as git names it")
    parser.add_argument("--pairs", type=int, default=PAIRS, help="how many pairs of turns")
    options = parser.parse_args()
    with checked_out(options.commit) as tree, local_bench() as bench:
        print(json.dumps(measure(bench, tree, options.pairs)))


def measure(
    bench: Bench, tree: Path, pairs: int = PAIRS, triggers: int = TRIGGERS
) -> dict[str, dict[str, float]]:
    """Each figure before and now, and their ratio."""
    with bench.deployment(tree=tree) as old, bench.deployment() as new:
        before, now = _Contestant(bench, old, triggers), _Contestant(bench, new, triggers)
        for _ in range(_WARM_UP):
            before.burst()
            now.burst()
        turns = []
        for number in range(pairs):
            order = (before, now) if number % 2 else (now, before)
            found = {contestant: contestant.burst() for contestant in order}
            turns.append((found[before], found[now]))
            say("pair", number=number, before=found[before], now=found[now])
    return {
        name: _compared([(one[at], other[at]) for one, other in turns])
        for at, name in enumerate(_FIGURES)
    }


class _Contestant:
    """A joiner and a router, and how far their events are."""

    def __init__(self, bench: Bench, app: Deployment, triggers: int) -> None:
        self._app = app
        self._joiner, self._router = app.joiner(), app.router()
        self._joiner.wait_ready()
        self._router.wait_ready()
        self._pids = (self._joiner.pid, self._router.pid, bench.broker_pid)
        self._sender = load.producer(bench.broker)
        self._work = load.Work(triggers)
        self._sent = 0

    def burst(self) -> tuple[float, ...]:
        """Send a burst, and wait until all is decided: the figures."""
        numbers = range(self._sent, self._sent + self._work.triggers)
        self._sent += self._work.triggers
        wanted = self._decided() + self._work.events
        began, before = time.monotonic(), self._spent_s()
        self._send(numbers)
        until(lambda: self._decided() >= wanted, "a burst is decided", pause_s=_LOOK_S)
        spent = [now - then for now, then in zip(self._spent_s(), before, strict=True)]
        us = [round(one / self._work.events * 1e6, 1) for one in (*spent, sum(spent))]
        return *us, round(time.monotonic() - began, 2)

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
