"""Cleanups: after the stop, at least once, again if they fail, and a dead letter in the end."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Collection, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import orjson
import pytest
from confluent_kafka import Message

from streams.clock import now_ms
from streams.errors import NotAllowedError, RecordRefusedError, WriteRefusedError
from streams.metrics import Metrics
from streams.sdk import App, CancelledRun, Retries
from streams.sdk.worker.app_worker import bury
from streams.sdk.worker.cleanup import Calls, Cleanups, Effort, Letter
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.ignored import Ignored
from streams.sdk.worker.journal import Outgoing
from streams.sdk.worker.waiting import Cancellation
from streams.settings import load
from tests.support.claimed import a_while, run_id, until
from topology import limits

RECEIVED = now_ms() + limits.DAY_MS  # so that no wait for a stop is over
LONG_AGO = RECEIVED - 2 * limits.DAY_MS
SLUG = "reports-generate"


EFFORT = Effort(retries=Retries(attempts=3, backoff="1ms"), look_again_s=(0.001,))


def record(value: bytes | None, slug: str = SLUG, received: int = RECEIVED) -> Message:
    """A record of `cancelled`."""
    return Message(
        topic="cancelled",
        value=value,
        headers=[("function-id", slug.encode())],
        timestamp=(1, received),
    )


def message(
    number: int = 0, status_before: str = "scheduled", slug: str = SLUG, received: int = RECEIVED
) -> Message:
    """A cancelled run."""
    event = {"name": "report/requested", "id": "e1", "ts": 1, "data": {}}
    data = {
        "function_id": slug,
        "run_id": run_id(number),
        "event": event,
        "cause": {"type": "api"},
        "run": {"status_before": status_before, "attempt": 1, "last_step": None},
    }
    return record(orjson.dumps({"data": data}), slug, received)


@dataclass
class Desk:
    """Cleanups, and what became of them."""

    done: list[tuple[int, int]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    asked: list[dict[str, int]] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    leased: set[str] = field(default_factory=set)
    reads_all: bool = True
    refuses: WriteRefusedError | None = None
    metrics: Metrics = field(default_factory=Metrics)
    cleanups: Cleanups = None  # type: ignore[assignment]  # made once there is a loop

    def look_for(self, asked: dict[str, int], found: Callable[[str], None]) -> bool:
        """Say which have stopped."""
        self.asked.append(asked)
        for run in self.stopped & set(asked):
            found(run)
        return self.reads_all

    def with_lease(self, functions: Collection[str]) -> set[str]:
        """Those with a lease."""
        return self.leased & set(functions)

    async def bury(self, letter: Letter) -> None:
        """A dead letter."""
        self.letters.append(letter)
        if self.refuses is not None:
            raise self.refuses

    def read(self, *messages: Message) -> None:
        """Records are read, one after the other."""
        found: list[tuple[int, int, object]] = [
            (0, at, self.cleanups.select(one)) for at, one in enumerate(messages)
        ]
        assert all(isinstance(one, Cancellation) for _, _, one in found)
        self.cleanups.deliver(found)

    async def all_done(self, count: int) -> None:
        """Wait until so many records are done."""
        await until(lambda: len(self.done) >= count)


@contextmanager
def opened(app: App, effort: Effort) -> Iterator[Desk]:
    """A desk for the cleanups of an app."""
    desk = Desk()
    with ThreadPoolExecutor(2) as executor:
        desk.cleanups = Cleanups(
            app,
            executor,
            asyncio.get_running_loop(),
            Calls(
                done=lambda partition, offset: desk.done.append((partition, offset)),
                bury=desk.bury,
                look_for=desk.look_for,
                leased=desk.with_lease,
            ),
            Ignored(Figures(desk.metrics)),
            effort,
        )
        yield desk


def played(
    call: Callable[[CancelledRun], object],
    play: Callable[[Desk], Awaitable[None]],
    effort: Effort = EFFORT,
) -> Desk:
    """Play a scene with one cleanup."""
    app = App("reports")
    app.on_cancelled(function=SLUG)(call)

    async def go() -> Desk:
        with opened(app, effort) as desk:
            await play(desk)
            return desk

    return asyncio.run(go())


def test_only_what_a_cleanup_is_for_is_selected() -> None:
    """Not other functions' runs, nor what can't be read."""

    async def play(desk: Desk) -> None:
        select = desk.cleanups.select
        found = select(message())
        assert isinstance(found, Cancellation)
        assert (found.run.run_id, found.received_ms) == (run_id(), RECEIVED)
        assert select(message(slug="reports-other")) is None

    assert played(lambda _: None, play).done == []


@pytest.mark.parametrize(
    "value",
    [None, b"{", b"\xff", b"[" * 100_000, message(slug="reports-other").value()],
    ids=["nothing", "half", "bytes", "nested", "of another function"],
)
def test_s38_what_is_no_cancelled_run_is_ignored_and_counted(value: bytes | None) -> None:
    """Whatever it is, cleanups go on."""

    async def play(desk: Desk) -> None:
        assert desk.cleanups.select(record(value)) is None
        desk.read(message(0))
        await desk.all_done(1)

    desk = played(lambda _: None, play)
    assert desk.metrics.worker_ignored.labels("cancelled")._value.get() == 1


def test_a_coroutine_is_called_on_the_loop_and_a_plain_function_in_a_thread() -> None:
    """Once per run; then its record is done."""
    threads = []

    def plain(_run: CancelledRun) -> None:
        threads.append(threading.current_thread())

    async def coroutine(run: CancelledRun) -> None:
        plain(run)

    async def play(desk: Desk) -> None:
        desk.read(message(0), message(1))
        await desk.all_done(2)

    assert sorted(played(coroutine, play).done) == [(0, 0), (0, 1)]
    assert set(threads) == {threading.main_thread()}
    threads.clear()
    played(plain, play)
    assert len(threads) == 2
    assert threading.main_thread() not in threads


@pytest.mark.parametrize("earlier", [False, True])
def test_the_cleanup_of_a_running_one_waits_for_its_stop(earlier: bool) -> None:
    """However the stop becomes known, before the cancel is read or after it; no other waits."""
    called = []

    async def play(desk: Desk) -> None:
        if earlier:
            desk.cleanups.stopped([run_id(0)])
        desk.read(message(0, "running"), message(1, "sleeping"), message(2))
        await desk.all_done(3 if earlier else 2)
        assert (run_id(0) in called) is earlier
        desk.cleanups.stopped([run_id(0), run_id(9)])
        await desk.all_done(3)

    played(lambda run: called.append(run.run_id), play)
    assert sorted(called) == [run_id(0), run_id(1), run_id(2)]


def test_a_stop_that_nobody_saw_is_looked_for() -> None:
    """From the time of the cancel on, until it is found."""
    called: list[str] = []

    async def play(desk: Desk) -> None:
        looking = asyncio.ensure_future(desk.cleanups.look_after())
        desk.read(message(0, "running"))
        await until(lambda: len(desk.asked) >= 2)
        assert called == []
        desk.stopped.add(run_id(0))
        await desk.all_done(1)
        looking.cancel()
        await asyncio.gather(looking, return_exceptions=True)

    desk = played(lambda run: called.append(run.run_id), play)
    assert called == [run_id(0)]
    assert desk.asked[0] == {run_id(0): RECEIVED}


@contextmanager
def looking(desk: Desk) -> Iterator[None]:
    """Looks for stops go on."""
    task = asyncio.ensure_future(desk.cleanups.look_after())
    yield
    task.cancel()


def test_a_run_without_a_lease_is_waited_for_as_long_as_stated() -> None:
    """Then its cleanup is called, and told that nobody has said that the run has stopped."""
    called: list[tuple[str, bool]] = []

    async def play(desk: Desk) -> None:
        desk.read(message(0, "running", received=LONG_AGO), message(1, "running"))
        with looking(desk):
            await desk.all_done(1)
            desk.stopped.add(run_id(1))
            await desk.all_done(2)

    played(lambda run: called.append((run.run_id, run.stopped)), play)
    assert called == [(run_id(0), False), (run_id(1), True)]


def test_a_run_with_a_lease_is_waited_for_until_it_stops() -> None:
    """`runs` says so at the end of its lease, if nobody said so before."""
    called: list[bool] = []

    async def play(desk: Desk) -> None:
        desk.leased.add(SLUG)
        desk.read(message(0, "running", received=LONG_AGO))
        with looking(desk):
            await until(lambda: len(desk.asked) >= 3)
            assert called == []
            desk.stopped.add(run_id(0))
            await desk.all_done(1)

    played(lambda run: called.append(run.stopped), play)
    assert called == [True]


def test_no_run_is_given_up_before_all_is_read() -> None:
    """What wasn't read yet may say that it has stopped."""
    called: list[bool] = []

    async def play(desk: Desk) -> None:
        desk.reads_all = False
        desk.read(message(0, "running", received=LONG_AGO))
        with looking(desk):
            await until(lambda: len(desk.asked) >= 3)
            assert called == []
            desk.reads_all = True
            await desk.all_done(1)

    played(lambda run: called.append(run.stopped), play)
    assert called == [False]


def test_cleanups_that_wait_hold_up_no_others() -> None:
    """However many there are, within the memory that they may take."""
    called: list[str] = []

    async def play(desk: Desk) -> None:
        desk.read(*(message(number, "running") for number in range(2_000)))
        await a_while()
        assert not desk.cleanups.is_full
        desk.read(message(2_000))
        await desk.all_done(1)
        desk.cleanups.stopped([run_id(7)])
        await desk.all_done(2)

    played(lambda run: called.append(run.run_id), play)
    assert called == [run_id(2_000), run_id(7)]


def test_what_waits_takes_bounded_memory() -> None:
    """Beyond it reading pauses, until some have stopped."""
    large = {"name": "a", "id": "e1", "ts": 1, "data": {"text": "x" * limits.EVENT_BYTES}}
    count = limits.WAITING_CLEANUPS_BYTES // limits.EVENT_BYTES + 1

    def one(number: int) -> Message:
        data = orjson.loads(message(number, "running").value() or b"")
        data["data"]["event"] = large
        return record(orjson.dumps(data))

    async def play(desk: Desk) -> None:
        for number in range(count):
            desk.read(one(number))
        await a_while()
        assert desk.cleanups.is_full
        desk.cleanups.stopped(run_id(number) for number in range(count))
        await desk.all_done(count)
        assert not desk.cleanups.is_full

    assert len(played(lambda _run: None, play).done) == count


def test_a_run_that_is_told_twice_is_cleaned_up_once() -> None:
    """Whether the first is still under way or long done; both records are done."""
    called, go_on = [], asyncio.Event()

    async def slow(run: CancelledRun) -> None:
        called.append(run.run_id)
        await go_on.wait()

    async def play(desk: Desk) -> None:
        desk.read(message(0), message(0))
        await a_while()
        assert desk.done == []
        go_on.set()
        await desk.all_done(2)
        desk.read(message(0))
        await desk.all_done(3)

    played(slow, play)
    assert called == [run_id(0)]


@pytest.mark.parametrize("error", [OSError("no disk"), StopIteration(), SystemExit(3)])
@pytest.mark.parametrize("plain", [True, False])
def test_a_cleanup_that_fails_is_called_again(error: BaseException, plain: bool) -> None:
    """And has succeeded when it has; whatever it raised ended nothing else."""
    tries: list[str] = []

    def failing(run: CancelledRun) -> None:
        tries.append(run.run_id)
        if len(tries) < 3:
            raise error

    async def coroutine(run: CancelledRun) -> None:
        failing(run)

    async def play(desk: Desk) -> None:
        desk.read(message(0))
        await desk.all_done(1)

    desk = played(failing if plain else coroutine, play)
    assert tries == [run_id(0)] * 3
    assert desk.letters == []


def test_a_cleanup_that_fails_for_good_is_a_dead_letter() -> None:
    """With what failed, so that somebody can do it; the record is done only then."""
    error = OSError("no disk")

    def failing(_run: CancelledRun) -> None:
        raise error

    async def play(desk: Desk) -> None:
        desk.read(message(0))
        await desk.all_done(1)

    desk = played(failing, play)
    [letter] = desk.letters
    assert (letter.partition, letter.offset, letter.error) == (0, 0, error)
    assert letter.cancellation.value == message(0).value()


def test_a_dead_letter_that_is_refused_holds_up_nothing() -> None:
    """It is logged; the record is done."""

    async def play(desk: Desk) -> None:
        desk.refuses = RecordRefusedError("too large")
        desk.read(message(0))
        await desk.all_done(1)

    def failing(_run: CancelledRun) -> None:
        raise OSError

    assert len(played(failing, play).letters) == 1


def test_without_the_right_to_write_dead_letters_a_record_stays_open() -> None:
    """It is read again, and cleaned up again, once the worker may write."""
    called: list[str] = []

    async def play(desk: Desk) -> None:
        desk.refuses = NotAllowedError("dead-letters")
        desk.read(message(0))
        await until(lambda: desk.letters)
        await a_while()
        assert desk.done == []
        desk.refuses = None
        desk.read(message(0))
        await desk.all_done(1)

    def failing(run: CancelledRun) -> None:
        called.append(run.run_id)
        raise OSError

    assert len(played(failing, play).letters) == 2
    assert called == [run_id(0)] * 6


def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten first: it may be told again, and cleaned up again."""
    called = []

    async def play(desk: Desk) -> None:
        for number in range(3):  # two threads may end in any order
            desk.read(message(number))
            await desk.all_done(number + 1)
        desk.read(message(2), message(1))
        await desk.all_done(5)
        desk.read(message(0))
        await desk.all_done(6)

    played(lambda run: called.append(run.run_id), play, EFFORT._replace(remembered=2))
    assert called.count(run_id(0)) == 2
    assert (called.count(run_id(1)), called.count(run_id(2))) == (1, 1)


class Written:
    """A journal that takes everything."""

    def __init__(self) -> None:
        self.records: list[Outgoing] = []

    async def write(self, records: list[Outgoing]) -> None:
        """Keep them."""
        self.records += records


def test_a_dead_letter_is_counted() -> None:
    """As those of routers and joiners are, so that one alert is for all of them."""
    journal, metrics = Written(), Metrics()

    async def play(desk: Desk) -> None:
        desk.read(message(0))
        await desk.all_done(1)
        [letter] = desk.letters
        await bury(load(), journal, Figures(metrics), letter)  # type: ignore[arg-type]  # enough of one

    def failing(_run: CancelledRun) -> None:
        raise LookupError

    played(failing, play)
    assert [record.topic for record in journal.records] == ["countermand.dead-letters"]
    labels = {"stage": "worker", "reason": "LookupError"}
    assert metrics.registry.get_sample_value("countermand_dead_letters_total", labels) == 1
