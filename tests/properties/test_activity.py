"""Activity is a recount of the records of `runs`, whatever happens to those who read it."""

import itertools
import json
import random
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection, Engine, event, func, select

from streams.database.engine import open_database
from streams.database.schema import RUNS
from streams.read_model.writer import MovedError
from streams.settings import load
from tests.support import records
from tests.support.counting import Feed, Written
from tests.support.recount import MINUTE_MS, Counts, counted, incomplete, recount
from topology.limits import UNCOMPACTED_MS
from topology.statuses import ENDED, MOVES, Cause, Status

PROCESSES: Final = 2
AT_ONCE: Final = 10_000
# How long a step of writing takes, and how many more records than that a step reads.
WRITE_MS: Final = 20_000
READS_MORE: Final = 4
EVENT: Final = {"id": "e", "name": "n"}
# How often each step comes in a long run.
STEPS: Final = {"write": 100, "read": 200, "kill": 60, "rebuild": 2, "pause": 4}
steps: Final = st.lists(
    st.tuples(
        st.sampled_from(("read", *STEPS)),
        st.integers(1, 60),  # records, or minutes
        st.integers(0, PROCESSES - 1),
    ),
    max_size=30,
)


class Runs:
    """Runs that change as they may, told as joiners do: now and then once more."""

    def __init__(self, seed: int, at_once: int = 20) -> None:
        """So many runs change by turns; after each that has ended another one may come."""
        self._random = random.Random(seed)
        self._at_once = at_once
        self._last: dict[int, dict[str, Any]] = {}
        self._numbers = itertools.count()

    def record(self, now: int) -> tuple[int, bytes]:
        """The partition and value of some run's next record."""
        place = self._random.randrange(self._at_once)
        last = self._last.get(place)
        if last is None or (last["status"] in ENDED and self._random.random() < 0.5):
            function = f"app-f{self._random.randrange(3)}"
            new = records.run(next(self._numbers), function_id=function, at=now, event=EVENT)
        elif last["status"] in ENDED or self._random.random() < 0.2:
            # From the second record on, older joiners told nothing of before.
            before = (last["status"], None) if last["seq"] > 1 else (last["status"],)
            return place % 2, records.encoded(last | {"status_before": self._random.choice(before)})
        else:
            new = self._changed(last, now)
        self._last[place] = new
        return place % 2, records.encoded(new)

    def _changed(self, last: dict[str, Any], now: int) -> dict[str, Any]:
        before = last["status"]
        status = self._random.choice(sorted(MOVES[before]))
        changes = {"status": status, "status_before": before, "seq": last["seq"] + 1}
        is_again = before != Status.SCHEDULED and status == Status.SCHEDULED
        changes |= {"attempt": last["attempt"] + is_again, "at": now}
        if status == Status.CANCELLED:
            of = {"received": now - self._random.randrange(1_000)}
            kind = self._random.choice(list(Cause))
            changes["cause"] = {"type": kind, "event": of if kind == Cause.EVENT else None}
        return last | changes


class KilledError(Exception):
    """A process was killed."""


class Story:
    """Processes that read the same partitions into one database, and what becomes of them."""

    def __init__(self, folder: str, runs: Runs) -> None:
        """Nothing is written yet."""
        configured = load(database_url=f"sqlite:///{Path(folder)}/a.db", topic_prefix="t.")
        self.engine = open_database(configured)
        self._readers = [Feed(configured, self.engine) for _ in range(PROCESSES)]
        self._logs = self._readers[0].logs
        self._runs = runs
        self.now = records.RECEIVED
        # All that was ever written, also what was compacted away.
        self.written: list[tuple[bytes, int]] = []
        for reader in self._readers:
            reader.logs = self._logs
            reader.start(self.now)

    def go_on(self, what: str, number: int, process: int) -> None:
        """One step: of so many records, or minutes."""
        reader = self._readers[process]
        match what:
            case "write":
                self._write(number)
            case "read":
                self._read(reader, number)
            case "kill":
                with _killed_before_commit(self.engine):
                    self._read(reader, number)
                reader.start(self.now)
            case "rebuild":
                reader.rebuild()
            case _:
                self.now += number % 60 * MINUTE_MS
                self._compact()

    def check(self) -> None:
        """Read what is left; then activity is a recount, and the runs are there."""
        reader = self._readers[0]
        reader.start(self.now)
        while reader.read(AT_ONCE, now=self.now):
            pass
        marked = set(incomplete(self.engine))
        assert _without(marked, counted(self.engine)) == _without(marked, recount(self.written))
        with self.engine.connect() as connection:
            copied = connection.scalar(select(func.count()).select_from(RUNS))
        assert copied == len({json.loads(value)["run_id"] for value, _ in self.written})

    def _write(self, number: int) -> None:
        for _ in range(number):
            self.now += WRITE_MS // number
            partition, value = self._runs.record(self.now)
            self._logs[partition].append(Written(value, self.now))
            self.written.append((value, self.now))

    def _read(self, reader: Feed, number: int) -> None:
        try:
            reader.read(READS_MORE * number, now=self.now)
        except MovedError:
            reader.start(self.now)

    def _compact(self) -> None:
        """As brokers do in a pause: of what is old, only the last record of each run stays."""
        for log in self._logs.values():
            seen = set()
            for offset, (value, at) in reversed(list(enumerate(log))):
                if value is not None:
                    run_id = json.loads(value)["run_id"]
                    if run_id in seen and at < self.now - UNCOMPACTED_MS:
                        log[offset] = Written(None, at)
                    seen.add(run_id)


@contextmanager
def story(runs: Runs) -> Iterator[Story]:
    """A story whose database is gone afterwards."""
    with TemporaryDirectory() as folder:
        found = Story(folder, runs)
        yield found
        found.engine.dispose()


@contextmanager
def _killed_before_commit(engine: Engine) -> Iterator[None]:
    """Undo the transaction of the block, as a kill does when all is written but the commit."""

    def kill(_connection: Connection) -> None:
        raise KilledError

    event.listen(engine, "commit", kill)
    try:
        with suppress(KilledError):
            yield
    finally:
        event.remove(engine, "commit", kill)


def _without(minutes: set[int], counts: Counts) -> Counts:
    return Counter({key: number for key, number in counts.items() if key[1] not in minutes})


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), steps=steps)
def test_activity_is_a_recount_of_the_records(seed: int, steps: list[tuple[str, int, int]]) -> None:
    """After changes, repeats, rebuilds, kills and pauses with compaction, in any order."""
    with story(Runs(seed)) as going_on:
        for step in steps:
            going_on.go_on(*step)
        going_on.check()


@pytest.mark.parametrize(
    "number",
    [
        10_000,
        pytest.param(1_000_000, marks=[pytest.mark.long, pytest.mark.timeout(3_600)]),
    ],
)
def test_many_changes_are_counted_as_well(number: int) -> None:
    """The same in the long run; not all minutes are marked."""
    chance = random.Random(number)
    with story(Runs(number, at_once=number // 50)) as going_on:
        while len(going_on.written) < number:
            [what] = chance.choices(list(STEPS), list(STEPS.values()))
            most = number // 100
            going_on.go_on(what, chance.randint(1, most), chance.randrange(PROCESSES))
        going_on.check()
        minutes = {minute for _, minute, _ in recount(going_on.written)}
        marked = minutes.intersection(incomplete(going_on.engine))
        assert 0 < len(marked) < len(minutes)
