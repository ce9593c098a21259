"""The list of runs: every filter, alone and together, on both databases, page by page."""

import dataclasses
import random
import sqlite3
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import Engine, event, insert, update

from streams.api.run_search import Filters, search
from streams.database.engine import open_database, writing
from streams.database.schema import FAILURES, RUNS
from streams.settings import load
from tests.support.api import run_row
from topology import limits
from topology.statuses import ENDED, Status

AT = 1_700_000_000_000
STATUSES = ("scheduled", "running", "cancelled", "failed")
CANCELLATIONS = (None, "01HMRMPE5ZQ4AMNJ3S2N79QGRZ", "01HMRMPE5ZQ4AMNJ3S2N79QGRY")
NUMBER = 300
pytest_plugins = ["tests.support.postgres"]


def rows() -> list[dict[str, Any]]:
    """Runs of every kind."""
    chance = random.Random(7)
    found = []
    for number in range(NUMBER):
        status = chance.choice(STATUSES)
        found.append(
            run_row(
                AT + number // 3,
                number,
                function_id=chance.choice(("a-x", "a-y")),
                status=status,
                event_id=f"e{number // 2}",
                cancellation_id=chance.choice(CANCELLATIONS) if status == "cancelled" else None,
                replay_id=chance.choice(CANCELLATIONS),
                ended_at=AT + chance.randint(0, 100) if status in ENDED else None,
            )
        )
    return found


@pytest.fixture
def engine(clean_environment: None, database_url: str) -> Iterator[Engine]:
    """A database of each kind with these runs."""
    found = open_database(load(database_url=database_url))
    with writing(found) as connection:
        connection.execute(insert(RUNS), rows())
    yield found
    found.dispose()


def fits(row: dict[str, Any], filters: Filters) -> bool:
    """Whether a row is asked for, said as plainly as possible."""
    same = all(
        row[name] == wanted
        for name in ("function_id", "event_id", "cancellation_id", "replay_id")
        if (wanted := getattr(filters, name)) is not None
    )
    after, before = filters.received_after, filters.received_before
    in_time = (after is None or row["scheduled_at"] > after) and (
        before is None or row["scheduled_at"] < before
    )
    after, before, ended_at = filters.ended_after, filters.ended_before, row["ended_at"]
    if after is not None or before is not None:
        in_time = in_time and ended_at is not None
        in_time = in_time and (after is None or ended_at > after)
        in_time = in_time and (before is None or ended_at < before)
    number = orjson.loads(row["event"])["data"]["n"]
    true = filters.expression is None or number % 3 == 0
    return same and in_time and true and (not filters.statuses or row["status"] in filters.statuses)


def walk(engine: Engine, filters: Filters, limit: int) -> list[str]:
    """The ids of all pages."""
    ids: list[str] = []
    cursor = None
    with engine.connect() as connection:
        while True:
            found = search(connection, filters, limit, cursor)
            assert len(found.rows) <= limit
            ids += [row["run_id"] for row in found.rows]
            cursor = found.last_id
            if cursor is None:
                return ids


def test_every_filter_gives_what_it_says(engine: Engine) -> None:
    """Some hundred drawn filters, each compared with looking at every run."""
    chance = random.Random(11)
    all_rows = sorted(rows(), key=lambda row: row["run_id"], reverse=True)

    def maybe(value: Any) -> Any:
        return value if chance.random() < 0.4 else None

    for _ in range(150):
        filters = Filters(
            function_id=maybe(chance.choice(("a-x", "a-y", "a-z"))),
            statuses=maybe(tuple(chance.sample(STATUSES, chance.randint(1, 3)))) or (),
            received_after=maybe(AT + chance.randint(-1, 60)),
            received_before=maybe(AT + chance.randint(40, 120)),
            event_id=maybe(f"e{chance.randint(0, 9)}"),
            cancellation_id=maybe(chance.choice(CANCELLATIONS)),
            replay_id=maybe(chance.choice(CANCELLATIONS)),
            ended_after=maybe(AT + chance.randint(-1, 60)),
            ended_before=maybe(AT + chance.randint(40, 101)),
            expression=maybe("event.data.n % 3 == 0"),
        )
        wanted = [row["run_id"] for row in all_rows if fits(row, filters)]
        assert walk(engine, filters, chance.choice((1, 7, 100))) == wanted, filters


def test_bounds_are_exclusive_to_the_ms(engine: Engine) -> None:
    """A run received at a bound is outside."""
    found = walk(engine, Filters(received_after=AT + 4, received_before=AT + 6), 100)
    assert len(found) == 3
    assert walk(engine, Filters(received_after=AT + 5, received_before=AT + 6), 100) == []


def test_ends_are_bounded_to_the_ms(engine: Engine) -> None:
    """A run that ended at a bound is outside, and one that hasn't ended is in no range."""
    ends = [row["ended_at"] for row in rows() if row["ended_at"] is not None]
    at = max(ends, key=ends.count)
    found = walk(engine, Filters(ended_after=at - 1, ended_before=at + 1), 100)
    assert len(found) == ends.count(at) > 0
    assert walk(engine, Filters(ended_after=at, ended_before=at + 1), 100) == []
    assert walk(engine, Filters(ended_after=at - 1, ended_before=at), 100) == []
    assert len(walk(engine, Filters(ended_after=0), 100)) == len(ends)
    assert walk(engine, Filters(statuses=("scheduled", "running"), ended_after=0), 100) == []


def test_a_run_that_a_clock_ahead_received_is_found_by_its_end(engine: Engine) -> None:
    """Its received time is a broker's, its end a joiner's: the two may differ a little."""
    ahead = AT + 1_000_000
    with writing(engine) as connection:
        row = run_row(ahead, NUMBER, status="completed", ended_at=ahead - 4_000)
        connection.execute(insert(RUNS).values(row))
    filters = Filters(ended_after=ahead - 4_001, ended_before=ahead - 3_999)
    assert walk(engine, filters, 10) == [row["run_id"]]


@pytest.mark.parametrize("further", [Filters(), Filters(function_id="a-x")], ids=("all", "one"))
def test_where_few_runs_ended_no_others_are_looked_at(engine: Engine, further: Filters) -> None:
    """A range that few runs ended in is answered by its index, page by page."""
    filters = dataclasses.replace(further, ended_after=AT + 50, ended_before=AT + 60)
    wanted = [row for row in rows() if fits(row, filters)]
    with engine.connect() as connection:
        first = search(connection, filters, 3, None, most_scanned=100)
        second = search(connection, filters, 1_000, first.last_id, most_scanned=100)
    found = [row["run_id"] for row in (*first.rows, *second.rows)]
    assert found == sorted((row["run_id"] for row in wanted), reverse=True)
    assert first.scanned + second.scanned == len(wanted) > 3
    assert second.last_id is None


@pytest.mark.parametrize("further", [Filters(), Filters(function_id="a-x")], ids=("all", "one"))
def test_ends_spare_what_has_none(engine: Engine, further: Filters) -> None:
    """In a long range, what hasn't ended, or was received after it, isn't looked at."""
    filters = dataclasses.replace(
        further, ended_before=AT - 4_990, expression="event.data.n == 1000000"
    )
    with writing(engine) as connection:
        connection.execute(update(RUNS).where(RUNS.c.ended_at > 0).values(ended_at=AT - 5_000))
    wanted = [
        row
        for row in rows()
        if row["ended_at"] is not None
        and row["scheduled_at"] < AT + 10
        and further.function_id in {None, row["function_id"]}
    ]
    looked_at, calls, cursor = 0, 0, None
    with engine.connect() as connection:
        while calls == 0 or cursor is not None:
            found = search(connection, filters, 100, cursor, most_scanned=10)
            assert (found.rows, found.scanned <= 10) == ([], True)
            looked_at, calls, cursor = looked_at + found.scanned, calls + 1, found.last_id
    assert looked_at == len(wanted)


def test_a_call_looks_at_so_many_and_goes_on(engine: Engine) -> None:
    """An expression that nothing fits ends the call after the bound, with a cursor."""
    filters = Filters(expression="event.data.n == 0")
    with engine.connect() as connection:
        first = search(connection, filters, 10, None, most_scanned=100)
        assert (first.rows, first.scanned) == ([], 100)
        assert first.last_id is not None
        second = search(connection, filters, 10, first.last_id, most_scanned=100)
        third = search(connection, filters, 10, second.last_id, most_scanned=100)
    assert [row["event_id"] for row in third.rows] == ["e0"]
    assert third.last_id is None
    assert first.scanned + second.scanned + third.scanned == NUMBER


def test_an_expensive_expression_ends_a_call_early(engine: Engine) -> None:
    """S37: a call has a budget over all its rows; each goes on where the last one ended."""
    bomb = "[[[event.data.n]]]" + ".map(x,x+x)" * 9 + "[0]" + ".map(x,x+x)" * 12 + ".size() < 0"
    filters = Filters(function_id="a-x", received_before=AT + 20, expression=bomb)
    wanted = sum(row["function_id"] == "a-x" for row in rows() if row["scheduled_at"] < AT + 20)
    calls: list[int] = []
    cursor = None
    with engine.connect() as connection:
        while not calls or cursor is not None:
            found = search(connection, filters, 100, cursor)
            assert (found.rows, found.failed) == ([], found.scanned)
            calls.append(found.scanned)
            cursor = found.last_id
    assert sum(calls) == wanted
    assert len(calls) > 1


def test_runs_without_an_answer_are_counted(engine: Engine) -> None:
    """They don't fit, and whoever asks learns that there are some."""
    with engine.connect() as connection:
        found = search(connection, Filters(expression="event.data.n > 'x'"), 100, None)
    assert (len(found.rows), found.failed) == (0, NUMBER)


class Held:
    """Counts the characters of texts that a database gave, while somebody holds them."""

    def __init__(self) -> None:
        self.now = self.most = 0

    def text(self, data: bytes) -> str:
        """Take a text from the database."""
        found = _Text(data.decode())
        self._add(len(found))
        weakref.finalize(found, self._add, -len(found))
        return found

    def _add(self, chars: int) -> None:
        self.now += chars
        self.most = max(self.most, self.now)


class _Text(str):  # noqa: SLOT000  # weak references need a slot of their own
    """A text of which one can be told that it is gone."""


class Brought:
    """Counts the characters of texts that one statement gives, the largest of all."""

    def __init__(self, engine: Engine) -> None:
        self.now = self.most = 0
        event.listen(engine, "before_cursor_execute", self._begin)

    def text(self, data: bytes) -> str:
        """Take a text from the database."""
        self.now += len(data)
        self.most = max(self.most, self.now)
        return data.decode()

    def _begin(self, *_: object) -> None:
        self.now = 0


EVENT_CHARS = 500_000
LARGE = 48
# What a page or a lot has: its share, the last event that went beyond, and much that is small.
SHARE_CHARS = limits.SEARCH_CHARS + EVENT_CHARS + LARGE * 2_000
ANY_STATUS = tuple(status.value for status in Status)


@pytest.fixture
def large(clean_environment: None, tmp_path: Path) -> Iterator[Engine]:
    """Runs of every status, whose events are about as large as events may be."""
    found = open_database(load(state_dir=tmp_path))
    with writing(found) as connection:
        for number in range(LARGE):
            trigger = {"name": "n", "id": "e", "data": {"n": number, "x": "x" * EVENT_CHARS}}
            row = run_row(
                AT + number,
                number,
                status=ANY_STATUS[number % len(ANY_STATUS)],
                event_id="e",
                ended_at=AT,
                event=orjson.dumps(trigger).decode(),
            )
            connection.execute(insert(RUNS).values(row))
    yield found
    found.dispose()


def pages(
    engine: Engine, filters: Filters, text: Callable[[bytes], str]
) -> Iterator[list[tuple[int, int]]]:
    """Number and characters of each run of each page; `text` takes what the database gives."""
    with engine.connect() as connection:
        driver = connection.connection.driver_connection
        assert isinstance(driver, sqlite3.Connection)
        driver.text_factory = text

        def page(cursor: str | None) -> tuple[list[tuple[int, int]], str | None]:
            found = search(connection, filters, 100, cursor)
            sizes = [(row["source_offset"], len(row["event"])) for row in found.rows]
            return sizes, found.last_id

        runs, cursor = page(None)
        yield runs
        while cursor is not None:
            runs, cursor = page(cursor)
            yield runs


@pytest.mark.parametrize(
    "filters",
    [
        Filters(),
        Filters(statuses=ANY_STATUS),
        Filters(function_id="reports-generate", statuses=ANY_STATUS),
        Filters(event_id="e", statuses=ANY_STATUS),
        Filters(statuses=ANY_STATUS, ended_before=AT + LARGE),
    ],
    ids=range(5),
)
def test_a_call_holds_a_page_and_a_lot(large: Engine, filters: Filters) -> None:
    """However large events are; and each run is on one page."""
    held = Held()
    numbers = [number for page in pages(large, filters, held.text) for number, _ in page]
    assert numbers == list(reversed(range(LARGE)))
    assert held.most < 2 * SHARE_CHARS


@pytest.mark.parametrize("filters", [Filters(), Filters(statuses=ANY_STATUS)], ids=range(2))
def test_a_search_reads_lots(large: Engine, filters: Filters) -> None:
    """However large the events are that it looks at, and whether they fit or not."""
    for expression, fits in (("event.data.n >= 0", LARGE), ("event.data.n < 0", 0)):
        brought = Brought(large)
        asked = dataclasses.replace(filters, expression=expression)
        found = list(pages(large, asked, brought.text))
        assert sum(len(page) for page in found) == fits
        assert max(sum(chars for _, chars in page) for page in found) < SHARE_CHARS
        assert brought.most < SHARE_CHARS


def test_runs_whose_expression_failed_are_listed(engine: Engine) -> None:
    """From their own table, page by page; those that were removed meanwhile are left out."""
    request = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
    ids = [row["run_id"] for row in rows()[:9]]
    failures = [{"request_id": request, "run_id": id_, "error": "?"} for id_ in ids]
    failures.append({"request_id": request, "run_id": "0" * 26, "error": "?"})
    failures.append({"request_id": "0" * 26, "run_id": rows()[20]["run_id"], "error": "?"})
    with writing(engine) as connection:
        connection.execute(insert(FAILURES), failures)
    assert walk(engine, Filters(failed_in=request), 4) == sorted(ids, reverse=True)
