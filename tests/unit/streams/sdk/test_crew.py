"""The workers of a process, and their threads: how they end. With Kafka: `tests/broker`."""

import asyncio
import signal
import threading
from collections.abc import Awaitable, Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from streams.health import Health, Kind
from streams.metrics import Metrics
from streams.sdk import App
from streams.sdk.worker.crew import Crew, new_name
from streams.sdk.worker.threads import Threads
from streams.settings import load
from tests.support.claimed import function, until
from topology import limits


class LostError(Exception):
    """What a thread or task fails with."""


@pytest.fixture(autouse=True)
def signals() -> Iterator[None]:
    """Give the signals back that a crew obeys."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def made(folder: Path, health: Health | None = None) -> Crew:
    """A crew without workers."""
    return Crew(load(state_dir=folder / "state"), Metrics(), health or Health(), 2)


def ended(crew: Crew, begin: Callable[[], Awaitable[None]]) -> None:
    """Let a crew work until it ends."""
    asyncio.run(crew.run(begin))


# Crew


def test_a_process_is_not_ready_before_its_workers_have_begun(tmp_path: Path) -> None:
    """Not even before it runs, as somebody may ask then."""
    health, crew_of = Health(), partial(made, tmp_path)
    crew = crew_of(health)
    answers = [health.answer(Kind.READY)]

    async def begin() -> None:
        answers.append(health.answer(Kind.READY))
        asyncio.get_running_loop().call_soon(look)

    def look() -> None:
        answers.append(health.answer(Kind.READY))
        crew.fail(LostError())

    with pytest.raises(LostError):
        ended(crew, begin)
    assert [answer.failing for answer in answers] == [{"groups": "the worker starts"}] * 2 + [{}]


def test_a_process_ends_with_the_first_error(tmp_path: Path) -> None:
    """Whatever else fails because of it; nothing hangs."""
    crew, first = made(tmp_path), LostError("first")

    async def begin() -> None:
        crew.fail(first)
        crew.fail(LostError("second"))

    with pytest.raises(LostError) as raised:
        ended(crew, begin)
    assert raised.value is first
    assert not crew.hangs


def test_an_error_of_the_start_ends_the_process(tmp_path: Path) -> None:
    """With that error."""

    async def begin() -> None:
        raise LostError

    with pytest.raises(LostError):
        ended(made(tmp_path), begin)


def test_a_worker_that_comes_once_the_process_stops_is_not_started(tmp_path: Path) -> None:
    """It has no threads and no files, and takes functions all the same."""
    crew = made(tmp_path)
    threads = threading.active_count()

    async def begin() -> None:
        crew.fail(LostError())
        worker = await crew.add(App("reports"), "worker-1")
        worker.add(function())
        worker.attend()
        await worker.leave()
        await worker.close()
        assert (worker.name, worker.is_busy, worker.has_joined) == ("worker-1", False, False)
        assert (worker.missing_rights, worker.executing()) == (None, [])

    with pytest.raises(LostError):
        ended(crew, begin)
    assert threading.active_count() == threads
    assert list((tmp_path / "state" / "workers").iterdir()) == []


def test_a_process_knows_that_a_call_goes_on(tmp_path: Path) -> None:
    """Python would wait for it for ever."""
    crew, released = made(tmp_path), threading.Event()

    async def hang() -> None:
        async def begin() -> None:
            asyncio.get_running_loop().run_in_executor(None, released.wait)
            crew.fail(LostError())

        try:
            await crew.run(begin)
        finally:
            released.set()

    with pytest.raises(LostError):
        asyncio.run(hang())
    assert crew.hangs


def test_what_killed_workers_have_left_is_closed_to_others(tmp_path: Path) -> None:
    """All of it."""
    left = tmp_path / "state" / "workers" / "killed" / "steps"
    left.mkdir(parents=True)
    left.chmod(0o755)
    crew = made(tmp_path)

    async def begin() -> None:
        crew.fail(LostError())

    with pytest.raises(LostError):
        ended(crew, begin)
    assert left.stat().st_mode & 0o077 == 0


def test_names_are_of_chance() -> None:
    """And as long as claims take them."""
    names = {new_name() for _ in range(10)}
    assert len(names) == 10
    assert all(0 < len(name) <= limits.WORKER_CHARS for name in names)


# Threads


def test_threads_stop_and_the_last_one_after_the_others() -> None:
    """What the others still write, it takes."""
    ends, failures = list[str](), list[BaseException]()

    def work(name: str, stop: threading.Event) -> None:
        stop.wait()
        ends.append(name)

    async def go() -> None:
        threads = Threads(asyncio.get_running_loop(), failures.append)
        threads.start("journal", partial(work, "journal"), last=True)
        for name in ("runs", "watch"):
            threads.start(name, partial(work, name))
        threads.stop("runs", "unknown")
        assert ends == ["runs"]
        threads.close()
        threads.close()

    asyncio.run(go())
    assert (ends, failures) == (["runs", "watch", "journal"], [])


def test_what_a_thread_or_task_fails_with_is_told_on_the_loop() -> None:
    """A task that is cancelled hasn't failed."""
    failures: list[tuple[str, int]] = []

    def work(_stop: threading.Event) -> None:
        raise LostError("thread")

    async def fail() -> None:
        raise LostError("task")

    async def wait() -> None:
        await asyncio.Event().wait()

    async def go() -> None:
        threads = Threads(
            asyncio.get_running_loop(),
            lambda error: failures.append((str(error), threading.get_ident())),
        )
        threads.start("runs", work)
        await until(lambda: failures)
        tasks = [asyncio.create_task(fail()), asyncio.create_task(wait())]
        for task in tasks:
            task.add_done_callback(threads.look_at)
        tasks[1].cancel()
        await asyncio.wait(tasks)
        await until(lambda: len(failures) > 1)
        threads.close()

    asyncio.run(go())
    assert failures == [(what, threading.get_ident()) for what in ("thread", "task")]
