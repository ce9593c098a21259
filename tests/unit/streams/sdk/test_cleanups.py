"""Cleanups: after the stop, at least once, again if they fail, and a dead letter in the end."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import orjson
import pytest
from confluent_kafka import Message

from streams.sdk import App, CancelledRun, Retries
from streams.sdk.worker.cleanup import Calls, Cancellation, Cleanups, Effort, Letter
from tests.support.claimed import a_while, run_id, until

RECEIVED = 1_800_000_000_000
SLUG = "reports-generate"


EFFORT = Effort(retries=Retries(attempts=3, backoff="1ms"), look_again_s=(0.001,))


def record(value: bytes | None, slug: str = SLUG) -> Message:
    """A record of `cancelled`."""
    return Message(value=value, headers=[("function-id", slug.encode())], timestamp=(1, RECEIVED))


def message(number: int = 0, status_before: str = "scheduled", slug: str = SLUG) -> Message:
    """A cancelled run."""
    event = {"name": "report/requested", "id": "e1", "ts": 1, "data": {}}
    data = {
        "function_id": slug,
        "run_id": run_id(number),
        "event": event,
        "cause": {"type": "api"},
        "run": {"status_before": status_before, "attempt": 1, "last_step": None},
    }
    return record(orjson.dumps({"data": data}), slug)


@dataclass
class Desk:
    """Cleanups, and what became of them."""

    done: list[tuple[int, int]] = field(default_factory=list)
    letters: list[Letter] = field(default_factory=list)
    asked: list[dict[str, int]] = field(default_factory=list)
    stopped: set[str] = field(default_factory=set)
    cleanups: Cleanups = None  # type: ignore[assignment]  # made once there is a loop

    def look_for(self, asked: dict[str, int]) -> set[str]:
        """Those that have stopped."""
        self.asked.append(asked)
        return self.stopped & set(asked)

    async def bury(self, letter: Letter) -> None:
        """A dead letter."""
        self.letters.append(letter)

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
            ),
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
        assert select(record(b"{")) is None
        assert select(record(None)) is None

    assert played(lambda _: None, play).done == []


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


def test_what_is_remembered_is_bounded() -> None:
    """The oldest is forgotten first: it may be told again, and cleaned up again."""
    called = []

    async def play(desk: Desk) -> None:
        desk.read(message(0), message(1), message(2))
        await desk.all_done(3)
        desk.read(message(2), message(1))
        await desk.all_done(5)
        desk.read(message(0))
        await desk.all_done(6)

    played(lambda run: called.append(run.run_id), play, EFFORT._replace(remembered=2))
    assert called.count(run_id(0)) == 2
    assert (called.count(run_id(1)), called.count(run_id(2))) == (1, 1)
