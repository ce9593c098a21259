"""CPU time by process and by kind of thread, as the system counts it: in ticks of 10 ms.

A thread's kind follows from the name that the system has for it. Libraries name their threads, and
`tests/bench/named.py` sees to Python's own.
"""

import time
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from statistics import median
from typing import Final, NamedTuple

import psutil

# By how a thread's name begins; all others are `MAIN`, also those that have ended.
KINDS: Final[Mapping[str, str]] = {
    "partition-": "partitions",
    "forwards-": "forwards",
    "rdk:": "librdkafka",
    "rocksdb:": "RocksDB",
    "C1 ": "compilers",
    "C2 ": "compilers",
    "GC ": "collector",
    "G1 ": "collector",
}
# Python's event loops and whatever runs in them (of a joiner: Faust's); of a JVM, all that works.
MAIN: Final = "main"
# What this machine did besides, the benchmark's own process included, and what it could have done.
REST: Final = "rest"
IDLE: Final = "idle"
MACHINE: Final = (REST, IDLE)
_LOOK_S: Final = 0.5

# By process, and for each by kind of thread: s of CPU time, or us of it per event.
Spent = Mapping[str, Mapping[str, float]]


class _Sample(NamedTuple):
    at: float
    spent: Spent


class Meter:
    """What processes and this machine have spent, from now on."""

    def __init__(self, pids: Mapping[str, Sequence[int]], every_s: float = _LOOK_S) -> None:
        """Begin, for processes by what they are called together in the answer."""
        self._pids = pids
        self._every_s = every_s
        self._samples = [self._sample()]

    def look(self) -> None:
        """Look again, if the last look was a while ago: a look takes some ms of CPU itself."""
        if time.perf_counter() - self._samples[-1].at >= self._every_s:
            self._samples.append(self._sample())

    def us_per_event(self, ended: float, events: int) -> Spent:
        """The CPU time up to the first look after `ended` (of `perf_counter`), per event (us)."""
        first = self._samples[0].spent
        last = next(sample.spent for sample in self._samples if sample.at >= ended)
        return {
            process: {kind: (s - first[process].get(kind, 0)) / events * 1e6 for kind, s in spent}
            for process, spent in ((name, kinds.items()) for name, kinds in last.items())
        }

    def _sample(self) -> _Sample:
        at = time.perf_counter()
        spent = {name: _by_kind(pids) for name, pids in self._pids.items()}
        busy, idle = _machine()
        rest = busy - sum(sum(kinds.values()) for kinds in spent.values())
        return _Sample(at, {**spent, REST: {REST: rest}, IDLE: {IDLE: idle}})


def process_s(pid: int) -> float:
    """What a process has spent (s)."""
    times = psutil.Process(pid).cpu_times()
    return float(times.user + times.system)


def medians(rounds: Sequence[Spent]) -> Spent:
    """The median of several rounds, for each process and kind."""
    return {
        process: {kind: median(spent[process].get(kind, 0) for spent in rounds) for kind in kinds}
        for process, kinds in rounds[0].items()
    }


def totals(spent: Spent) -> dict[str, float]:
    """Each process with all its threads."""
    return {process: round(sum(kinds.values()), 1) for process, kinds in spent.items()}


def table(found: Mapping[str, Spent]) -> Iterable[str]:
    """The lines of a table in Markdown, of what contestants have spent per event (us)."""
    yield "| contestant | process | us per event | by kind of thread |"
    yield "|---|---|---|---|"
    for contestant, spent in found.items():
        for process, total in totals(spent).items():
            kinds = sorted(spent[process].items(), key=lambda one: -one[1])
            shown = [f"{kind} {us:.1f}" for kind, us in kinds if round(us, 1)]
            told = ", ".join(shown) if len(kinds) > 1 else ""
            yield f"| {contestant} | {process} | {total} | {told} |"


def kind_of(name: str) -> str:
    """The kind of a thread, by its name."""
    return next((kind for begin, kind in KINDS.items() if name.startswith(begin)), MAIN)


def _by_kind(pids: Sequence[int]) -> Mapping[str, float]:
    """What the threads of some processes have spent (s)."""
    spent: defaultdict[str, float] = defaultdict(float)
    for pid in pids:
        for thread in psutil.Process(pid).threads():
            with suppress(OSError):  # it has just ended
                name = Path(f"/proc/{pid}/task/{thread.id}/comm").read_text("utf-8", "replace")
                spent[kind_of(name)] += thread.user_time + thread.system_time
    spent[MAIN] += sum(map(process_s, pids)) - sum(spent.values())
    return spent


def _machine() -> tuple[float, float]:
    """What all cores together have been busy, and idle (s)."""
    times = psutil.cpu_times()
    idle = times.idle + times.iowait
    busy = times.user + times.nice + times.system + times.irq + times.softirq
    return busy, idle
