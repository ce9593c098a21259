"""What the producers send: many small cells of events, each with an outcome of its own.

Events of different cells never match each other, so that the oracle judges each cell by itself.
Values carry the cell's name (`p17.3`); without it, cells of one shape are alike.
"""

from collections.abc import Callable, Iterator
from random import Random
from typing import Any, Final, NamedTuple, TypeAlias

FUNCTIONS: Final = """
functions:
  - {app: chaos, id: plain, triggers: [{event: plain/start}],
     cancel_on: [{event: plain/stop, match: data.k}]}
  - {app: chaos, id: pair, triggers: [{event: pair/start}],
     cancel_on: [
       {event: pair/stop, match: data.a},
       {event: pair/close, if: "event.data.b == async.data.b && async.data.hard == true"},
       {event: pair/any, if: "event.data.a == async.data.a || event.data.b == async.data.b"}]}
  - {app: chaos, id: latest, triggers: [{event: latest/start}],
     cancel_on: [{event: latest/start, match: data.k}]}
  - {app: chaos, id: early, triggers: [{event: early/start}],
     cancel_on: [{event: early/stop, match: data.k, early_cancel: 10m}]}
  - {app: chaos, id: once, triggers: [{event: once/start}],
     cancel_on: [{event: once/stop, match: data.k, dedupe: 1h}]}
  - {app: chaos, id: scan, triggers: [{event: scan/start}],
     cancel_on: [{event: scan/stop, if: "event.data.n < async.data.n"}]}
  - {app: chaos, id: all, triggers: [{event: all/start}],
     cancel_on: [{event: all/stop, all_runs: true}]}
  - {app: chaos, id: either, triggers: [{event: either/start}],
     cancel_on: [{event: either/stop, match: data.k}]}
  - {app: chaos, id: work, triggers: [{event: work/start}],
     cancel_on: [{event: work/stop, match: data.k}]}
"""
RACING: Final = "chaos-either"  # cancelled or completed, whichever the home sees first
WORK: Final = "chaos-work"  # never cancelled: a worker claims and completes them

Json: TypeAlias = Any


class Sending(NamedTuple):
    """One record to produce, `delay_s` after the cell's first; `place` (0 to 1) is its partition's.

    Producers don't key their records; but when one sends an event twice, both lie in one partition.
    """

    delay_s: float
    topic: str
    place: float
    value: dict[str, Json]


class Cell:
    """Collects the records of one cell."""

    def __init__(self, name: str, rng: Random) -> None:
        self.name = name
        self.rng = rng
        self.records: list[Sending] = []

    def value(self, number: int) -> str:
        """A value that no other cell has."""
        return f"{self.name}.{number}"

    def event(self, name: str, delay_s: float = 0, topic: str = "events", **data: Json) -> str:
        """Send an event, now and then twice as producers do; its id."""
        id_ = self.value(len(self.records))
        value = {"name": name, "id": id_, "data": data}
        sending = Sending(delay_s, topic, self.rng.random(), value)
        self.records.append(sending)
        if self.rng.random() < 0.02:
            self.records.append(sending)
        return id_

    def repeat(self, delay_s: float) -> None:
        """Send the last record once more, as an outbox does that lost its place."""
        self.records.append(self.records[-1]._replace(delay_s=delay_s))

    def cancel(self, name: str, delay_s: float, **data: Json) -> None:
        """Send a cancel event, on either topic."""
        self.event(name, delay_s, self.rng.choice(("events", "cancels")), **data)

    def update(self, function: str, event_id: str, status: str, delay_s: float) -> None:
        """A worker's word on the run of an event."""
        value = {"function_id": function, "event_id": event_id, "status": status, "worker": "w0"}
        self.records.append(Sending(delay_s, "run-updates", self.rng.random(), value))

    def later(self) -> float:
        """A delay: often none, else one that reaches over a crash."""
        return self.rng.choice((0.0, self.rng.uniform(0, 1), self.rng.uniform(0, 12)))


def plain(cell: Cell) -> None:
    """Runs under a few values, most of which are cancelled."""
    delay = cell.later()
    for _ in range(12):
        id_ = cell.event("plain/start", k=cell.value(cell.rng.randrange(4)))
        if cell.rng.random() < 0.1:
            cell.update("chaos-plain", id_, "running", delay / 2)
    for number in range(3):
        cell.cancel("plain/stop", delay, k=cell.value(number))


def pair(cell: Cell) -> None:
    """Runs that listen in two or three partitions, and several rules that hit one run."""
    values = cell.value, cell.rng.randrange
    for _ in range(8):
        cell.event("pair/start", a=values[0](values[1](3)), b=values[0](10 + values[1](3)))
    cell.cancel("pair/stop", cell.later(), a=cell.value(0))
    cell.cancel("pair/close", cell.later(), b=cell.value(10), hard=True)
    cell.cancel("pair/close", cell.later(), b=cell.value(11), hard=False)
    cell.cancel("pair/any", cell.later(), a=cell.value(1), b=cell.value(11))


def latest(cell: Cell) -> None:
    """Each event cancels the runs of the earlier ones; the last run stays."""
    for _ in range(6):
        cell.event("latest/start", cell.later() / 4, k=cell.value(cell.rng.randrange(2)))


def early(cell: Cell) -> None:
    """Cancels that come before the runs cancel them all the same."""
    cell.cancel("early/stop", 0, k=cell.value(0))
    for _ in range(4):
        cell.event("early/start", cell.later() / 4, k=cell.value(cell.rng.randrange(2)))


def once(cell: Cell) -> None:
    """Runs, their cancel, more runs, and the same cancel again, which those outlive."""
    delays = sorted(cell.later() for _ in range(2))
    for _ in range(3):
        cell.event("once/start", k=cell.value(0))
    cell.cancel("once/stop", delays[0], k=cell.value(0))
    cell.repeat(delays[1] + cell.rng.uniform(0, 12))
    for _ in range(3):
        cell.event("once/start", delays[0] + cell.rng.uniform(0, 12), k=cell.value(0))


def either(cell: Cell) -> None:
    """Cancelled or completed: nobody can say which, but not both and not twice."""
    for number in range(2):
        id_ = cell.event("either/start", k=cell.value(number))
        cell.cancel("either/stop", cell.later() / 6, k=cell.value(number))
        cell.update(RACING, id_, "completed", cell.later() / 6)


def work(cell: Cell) -> None:
    """Runs for the worker."""
    cell.event("work/start", k=cell.value(0))


SHAPES: Final[tuple[tuple[Callable[[Cell], None], int], ...]] = (
    (plain, 60), (pair, 20), (latest, 12), (early, 4), (once, 8), (either, 2), (work, 4),
)  # fmt: skip


def cells(rng: Random) -> Iterator[list[Sending]]:
    """Cells without end."""
    shapes, weights = zip(*SHAPES, strict=True)
    number = 0
    while True:
        [shape] = rng.choices(shapes, weights)
        cell = Cell(f"{shape.__name__}{number}", rng)
        shape(cell)
        if rng.random() < 0.2:
            rng.shuffle(cell.records)
        number += 1
        yield cell.records


def global_events(rng: Random) -> Iterator[list[Sending]]:
    """The two functions whose cancels look at every pending run: each is one cell, a small one."""
    scan, every = Cell("scan", rng), Cell("all", rng)
    while True:
        first = len(scan.records), len(every.records)
        if rng.random() < 0.03:
            scan.cancel("scan/stop", 0, n=rng.randrange(10))
        elif rng.random() < 0.02:
            every.cancel("all/stop", 0)
        else:
            scan.event("scan/start", n=rng.randrange(10))
            every.event("all/start")
        yield scan.records[first[0] :] + every.records[first[1] :]
