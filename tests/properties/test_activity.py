"""Activity is a recount of the records of `runs`, whatever happens to those who read it."""

import json
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from hypothesis import given, settings
from hypothesis import strategies as st
from sqlalchemy import func, select

from streams.database.engine import open_database
from streams.database.schema import RUNS
from streams.read_model.writer import MovedError
from streams.settings import load
from tests.support import records
from tests.support.counting import WRITTEN, Feed
from tests.support.recount import counted, incomplete, recount
from topology.statuses import ENDED, MOVES, Cause, Status

NOW: Final = WRITTEN + 1_000
PROCESSES: Final = 2
# How many records a step writes, or a batch has; and which process does what.
numbers: Final = st.integers(1, 60)
steps: Final = st.lists(
    st.tuples(
        st.sampled_from(("write", "read", "read", "kill", "rebuild")),
        numbers,
        st.integers(0, PROCESSES - 1),
    ),
    max_size=30,
)


class Runs:
    """Runs that change as they may, told as joiners do: now and then once more."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._last: dict[int, dict[str, Any]] = {}

    def record(self) -> tuple[int, bytes]:
        """The partition and value of some run's next record."""
        number = self._random.randrange(40)
        last = self._last.get(number)
        if last is None:
            function = f"app-f{self._random.randrange(3)}"
            new = records.run(number, function_id=function, at=self._at())
        elif last["status"] in ENDED or self._random.random() < 0.2:
            new = last | {"status_before": self._random.choice((last["status"], None))}
        else:
            new = self._changed(last)
        if last is None or new["seq"] > last["seq"]:
            self._last[number] = new
        elif new["seq"] == 1:
            new["status_before"] = "scheduled"  # without it, only the first record is
        return number % 2, records.encoded(new)

    def _changed(self, last: dict[str, Any]) -> dict[str, Any]:
        before = last["status"]
        status = self._random.choice(sorted(MOVES[before]))
        changes = {"status": status, "status_before": before, "seq": last["seq"] + 1}
        is_again = before != Status.SCHEDULED and status == Status.SCHEDULED
        changes |= {"attempt": last["attempt"] + is_again, "at": self._at()}
        if status == Status.CANCELLED:
            event = {"received": WRITTEN - self._random.randrange(1_000)}
            kind = self._random.choice(list(Cause))
            changes["cause"] = {"type": kind, "event": event if kind == Cause.EVENT else None}
        return last | changes

    def _at(self) -> int:
        return records.RECEIVED + self._random.randrange(200_000)


@contextmanager
def readers() -> Iterator[list[Feed]]:
    """Processes that read the same partitions into one database."""
    with TemporaryDirectory() as folder:
        configured = load(database_url=f"sqlite:///{Path(folder)}/a.db", topic_prefix="t.")
        engine = open_database(configured)
        found = [Feed(configured, engine) for _ in range(PROCESSES)]
        for one in found:
            one.logs = found[0].logs
            one.start(NOW)
        yield found
        engine.dispose()


def do(what: str, number: int, reader: Feed, runs: Runs) -> None:
    """One step of a process; `kill` makes it begin anew where the database is."""
    match what:
        case "write":
            for _ in range(number):
                partition, value = runs.record()
                reader.logs[partition].append(value)
        case "read":
            try:
                reader.read(number, as_of=NOW)
            except MovedError:
                reader.start(NOW)
        case "rebuild":
            reader.rebuild()
        case _:
            reader.start(NOW)


@settings(max_examples=60, deadline=None)
@given(seed=st.integers(0, 1 << 32), steps=steps)
def test_activity_is_a_recount_of_the_records(seed: int, steps: list[tuple[str, int, int]]) -> None:
    """After changes, repeats, rebuilds and kills in any order, with two processes at once."""
    runs = Runs(seed)
    with readers() as found:
        for what, number, process in steps:
            do(what, number, found[process], runs)
        found[0].start(NOW)
        found[0].read(as_of=NOW)
        values = [value for log in found[0].logs.values() for value in log]
        engine = found[0].engine
        assert counted(engine) == recount((value, WRITTEN) for value in values)
        assert incomplete(engine) == []
        with engine.connect() as connection:
            copied = connection.scalar(select(func.count()).select_from(RUNS))
        assert copied == len({json.loads(value)["run_id"] for value in values})
