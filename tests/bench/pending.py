"""`pending_1m`: what a million pending runs cost in latency, memory, disk and time to start.

- `latency_ratio`: the p50 of cancel latency with 1,000,000 pending runs over that with 10,000, on
  the same processes at the same pace; victims are drawn at random from all that is pending.
- `registration_ratio`: the joiner's CPU time for a run of the last tenth of the million, over that
  of the second tenth, as they are registered at full speed.
- `joiner_rss_mib`: the joiner's resident memory at the end of that.
- `bytes_per_run`: size of RocksDB's files after a flush, less the size that the events alone take
  in a RocksDB made the same way, per pending run.
- `warm_restart_s`: from a partition's assignment until it takes commands, of the slowest partition,
  after a stop with the disk as it was.
- `restore_runs_per_s`: all runs over the same time with an empty disk;
  `restore_shared_runs_per_s`: where two joiners share the partitions. All else is of one joiner.
"""

import random
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from uuid import UUID

import psutil

from streams.joiner.store import Memory, Store
from tests.bench import cpu, load
from tests.bench.bench import Bench
from tests.bench.deployment import Deployment, Joiners, WebService, say, until
from tests.bench.probe import Pace, Probe, percentile
from topology import codec, tables
from topology.tables import Checkpoint

FEW: Final = 10_000
MANY: Final = 1_000_000
WARM_UP: Final = Pace(300, 300, 3.0)
STEADY: Final = Pace(300, 300, 12.0)
_SEED: Final = 20
_TENTHS: Final = 10
_LOAD_S: Final = 300.0
_RESTORE_S: Final = 180.0
_MIB: Final = 1024 * 1024
_ROWS_AT_ONCE: Final = 10_000


def measure(
    bench: Bench, few: int = FEW, many: int = MANY, warm_up: Pace = WARM_UP, steady: Pace = STEADY
) -> dict[str, float]:
    """All figures, on one application."""
    reports = _Reports()
    with bench.deployment() as app:
        joiner, router = app.joiner(), app.router()
        joiner.wait_ready()
        router.wait_ready()
        with Probe(bench.broker, app) as probe:
            p50, us = [], []
            for pending in (few, many):
                tenths = [pending * number // _TENTHS for number in range(1, _TENTHS + 1)]
                us = [_fill(bench, app, reports, joiner, one) for one in tenths]
                say("registered", runs=pending, joiner_us=us)
                probe.run(warm_up, reports.victims(), reports.new())
                since = time.perf_counter()
                probe.run(steady, reports.victims(), reports.new())
                probe.wait_answered(joiner.check)
                waits = probe.waits_ms(since)
                p50.append(percentile(waits, 50))
                say(
                    "pending",
                    runs=pending,
                    p50=round(p50[-1], 1),
                    p99=round(percentile(waits, 99), 1),
                )
        rss = psutil.Process(joiner.pid).memory_info().rss
        router.stop()
        pending = round(joiner.metric("countermand_pending_runs"))
        joiner.stop()
        size = _bytes_per_run(app, bench.folder / bench.name("events-alone"), pending)
        warm = _restart(app.joiner(), pending)
        shutil.rmtree(app.state)
        cold = _restart(app.joiner(), pending)
        shared = _restart(app.joiners(), pending)
    return {
        "latency_ratio": round(p50[1] / p50[0], 2),
        "registration_ratio": round(us[-1] / us[1], 2),
        "joiner_rss_mib": round(rss / _MIB),
        "bytes_per_run": round(size),
        "restore_runs_per_s": round(pending / cold),
        "restore_shared_runs_per_s": round(pending / shared),
        "warm_restart_s": round(warm, 2),
    }


class _Reports:
    """Reports with random ids, of which victims are drawn at random, each once."""

    def __init__(self) -> None:
        self._random = random.Random(_SEED)
        self._pending: list[str] = []

    @property
    def pending(self) -> int:
        return len(self._pending)

    def new(self) -> Iterator[str]:
        while True:
            report = str(UUID(int=self._random.getrandbits(128)))
            yield report
            self._pending.append(report)

    def victims(self) -> Iterator[str]:
        while True:
            # The newest may still be on their way.
            at = self._random.randrange(len(self._pending) * 9 // 10)
            self._pending[at], self._pending[-1] = self._pending[-1], self._pending[at]
            yield self._pending.pop()


def _fill(
    bench: Bench, app: Deployment, reports: _Reports, joiner: WebService, pending: int
) -> float:
    """Register runs until so many are pending; the joiner's CPU time for each (us)."""
    before = cpu.process_s(joiner.pid)
    sender = load.producer(bench.broker)
    missing = pending - reports.pending
    numbers = range(reports.pending, reports.pending + missing)
    messages = (load.trigger(n, report) for n, report in zip(numbers, reports.new(), strict=False))
    load.send(sender, app.triggers_topic, messages)
    load.flush(sender)

    def filled() -> bool:
        joiner.check()
        return joiner.metric("countermand_pending_runs") >= reports.pending

    until(filled, f"{pending} runs are pending", _LOAD_S, pause_s=0.5)
    return round((cpu.process_s(joiner.pid) - before) / max(1, missing) * 1e6, 1)


def _restart(joiner: WebService | Joiners, pending: int) -> float:
    """Wait for a joiner, see that it has all runs, and stop it; its slowest partition's time."""
    joiner.wait_ready(_RESTORE_S)
    seconds = joiner.metric("countermand_restore_seconds", max)
    restored = joiner.metric("countermand_pending_runs")
    joiner.stop()
    assert restored == pending, f"{restored} runs after a restart, {pending} before"
    return seconds


def _bytes_per_run(app: Deployment, scratch: Path, pending: int) -> float:
    partitions = sorted(path for path in app.state.glob("partitions/*") if path.is_dir())
    return (sum(map(_size, partitions)) - _events_alone(partitions, scratch)) / pending


def _events_alone(partitions: list[Path], scratch: Path) -> int:
    """The size of a RocksDB with nothing but the events of these partitions."""
    alone = Store(scratch, Memory(256))
    for path in partitions:
        store = Store(path, Memory(256))
        rows: dict[bytes, bytes | None] = {}
        for key, value in store.scan(tables.EVENTS, tables.EVENTS):
            rows[key] = codec.EVENT_ROWS.decode(value).event
            if len(rows) == _ROWS_AT_ONCE:
                alone.write(alone.batch(rows, {}, Checkpoint(b"", 0, 0)))
                rows = {}
        alone.write(alone.batch(rows, {}, Checkpoint(b"", 0, 0)))
        store.close()
    alone.close()
    return _size(scratch)


def _size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.glob("*.sst"))
