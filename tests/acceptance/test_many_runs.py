"""A run costs the same beside many runs of its event id as beside many of other event ids."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from tests.support.driver import Driver
from topology import keys, limits
from topology.tables import Space

FUNCTIONS = """
functions:
  - id: render
    app: documents
    triggers: [{event: document/saved}]
    cancel_on:
      - {event: document/closed, match: data.docId}
      - {event: account/closed, match: data.user}
    retention: 1d
"""
SLUG = "documents-render"
Json = Any
MANY = 2_000
ID = "e0000"


class Cost(NamedTuple):
    """What the store had to do."""

    gets: int
    scanned: int
    rows: int
    bytes: int


class CountedRows:
    """The rows of a partition, counted when they are read and written."""

    def __init__(self, rows: Any) -> None:
        """Count what is done with `rows`."""
        self._rows = rows
        self.cost = Cost(0, 0, 0, 0)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._rows, name)

    def get(self, key: bytes) -> bytes | None:
        """The row under a key."""
        self._add(Cost(1, 0, 0, 0))
        row: bytes | None = self._rows.get(key)
        return row

    def scan(self, start: bytes, prefix: bytes) -> Iterator[tuple[bytes, bytes]]:
        """Rows under a prefix."""
        for row in self._rows.scan(start, prefix):
            self._add(Cost(0, 1, 0, 0))
            yield row

    def batch(
        self, facts: Mapping[bytes, bytes | None], derived: Mapping[bytes, bytes | None], at: Any
    ) -> Any:
        """The rows of one transaction."""
        rows = [*facts.items(), *derived.items()]
        self._add(Cost(0, 0, len(rows), sum(len(key) + len(value or b"") for key, value in rows)))
        return self._rows.batch(facts, derived, at)

    def _add(self, cost: Cost) -> None:
        self.cost = Cost(*map(sum, zip(self.cost, cost, strict=True)))


class Crowd:
    """Many runs of user u2, each with a document of its own, and an older one of user u1."""

    def __init__(self, *, same: bool) -> None:
        """All have the `same` event id, or each has its own."""
        self.driver = Driver(FUNCTIONS, partitions=1)
        (partition,) = self.driver.partitions
        self._store = partition.store = CountedRows(partition.store)
        self._same = same
        self.costs: dict[str, Cost] = {}
        self.driver.event("document/saved", id=ID, docId="oldest", user="u1")
        with self.driver.unread():
            for number in range(1, MANY):
                self.save(number)
        self.driver.read()

    def save(self, number: int) -> Json:
        """Start the run of a document, unless it has one; the newest run."""
        event_id = ID if self._same else f"e{number:04}"
        self.driver.event("document/saved", id=event_id, docId=f"d{number:04}", user="u2")
        return self.driver.runs()[-1]

    def replay(self, run: Json = None) -> None:
        """Replay one ended run, or all."""
        received = run and keys.received_ms(keys.run_id_bytes(run["run_id"]))
        after, before = (received - 1, received + 1) if run else (0, self.driver.now)
        span: Json = {"from": after, "to": before, "statuses": ["failed", "cancelled"]}
        self.driver.request("replay", function_id=SLUG, **span)

    def note(self, name: str, act: Callable[[], object]) -> None:
        """Note what it costs to do something."""
        before = self._store.cost
        act()
        self.costs[name] = Cost(
            *(now - at for now, at in zip(self._store.cost, before, strict=True))
        )


def costs(*, same: bool) -> dict[str, Cost]:
    """What each act on one more run costs beside a crowd."""
    crowd = Crowd(same=same)
    driver, note = crowd.driver, crowd.note

    note("register", lambda: crowd.save(MANY))
    note("repeat", lambda: crowd.save(MANY))
    assert driver.count("repeated_events") == 1
    last = driver.runs()[-1]
    note("end", lambda: driver.update("completed", last))
    note("remove", lambda: driver.advance("2d"))
    assert len(driver.runs()) == MANY

    last = crowd.save(MANY)
    driver.update("failed", last)
    note("replay", lambda: crowd.replay(last))
    driver.cancel("account/closed", user="u2")
    crowd.replay()
    note("replay beside replays", lambda: crowd.replay(last))
    driver.cancel("account/closed", user="u2")
    assert len(driver.runs()) == 2 * (MANY + 2)

    driver.update("completed", function_id=SLUG, event_id=ID)
    assert driver.runs()[0]["status"] == "completed"
    driver.advance("2d")
    assert driver.rows(Space.BY_EVENT) == driver.rows(Space.EVENT) == []
    return crowd.costs


def test_an_update_by_event_id_pays_for_the_runs_that_it_looks_at() -> None:
    """Many such updates end their transaction, so that other work has its turn."""
    crowd = Crowd(same=True)
    driver = crowd.driver
    driver.cancel("account/closed", user="u2")
    driver.update("completed", function_id=SLUG, event_id=ID)
    (partition,) = driver.partitions
    before = len(partition.recorded.transactions)
    with driver.unread():
        for _ in range(12):
            driver.update("completed", function_id=SLUG, event_id=ID)
    driver.read()

    assert driver.count("ignored_updates", "ended") == 12
    transactions = partition.recorded.transactions[before:]
    assert len(transactions) > 3
    one = (MANY + 1) * limits.RUN_COST
    assert max(each.cost for each in transactions) <= limits.INPUT_ALLOWANCE.cost + one


def test_many_runs_of_one_event_id_cost_nothing() -> None:
    """As many rows are read and as many bytes are written, whatever else the event id has."""
    assert costs(same=True) == costs(same=False)
