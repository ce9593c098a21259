"""One attempt that ends before its run does: handed over, parked, or lost."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import pytest

from streams.sdk import Retries
from streams.sdk.context import Step
from streams.sdk.errors import Cancelled, Suspended
from streams.sdk.execution import Begin, Execution
from topology import limits
from topology.records import StepRecord

T = TypeVar("T")
NOW = 1_800_000_000_000
RUN_ID = "01JDJ9P7X5S2X3QG0R6N9K4T7B"
ONCE = Retries(attempts=1)


class Journal:
    """Remembers what it was told; its time stands still, and its waits end when they must."""

    def __init__(self) -> None:
        self.records: list[str] = []
        self.parked: list[tuple[str | None, int]] = []
        self.is_refusing = False

    def now_ms(self) -> int:
        """Always the same."""
        return NOW

    def parks(self, wait_ms: int) -> bool:
        """A minute and more is long."""
        return wait_ms >= limits.MINUTE_MS

    async def record(self, record: StepRecord) -> None:
        """Keep its name."""
        await asyncio.sleep(0)
        if self.is_refusing:
            raise Suspended
        self.records.append(record.step)

    async def park(self, record: StepRecord | None, wake_at: int) -> None:
        """Keep its name, and when to wake."""
        await asyncio.sleep(0)
        if self.is_refusing:
            raise Suspended
        self.parked.append((None if record is None else record.step, wake_at))

    async def wait(self, wait_ms: int, ended: asyncio.Event) -> None:
        """Until the end, however long that takes."""
        assert wait_ms > 0
        await ended.wait()


async def step(execution: Execution, name: str, call: Callable[[], Awaitable[Any]]) -> Any:
    """Take a step."""

    async def begun(begin: Begin) -> object:
        begin()
        return await call()

    return await execution.step(name, begun, ONCE)


async def nothing() -> None:
    """Returns at once."""


def executed(work: Callable[[Execution, Journal], Coroutine[Any, Any, T]]) -> T:
    """What becomes of an execution, on a loop of its own."""
    recorded: Mapping[str, StepRecord] = {}

    async def go() -> T:
        journal = Journal()
        return await work(
            Execution(
                RUN_ID,
                "reports-generate",
                1,
                sleeps_at_most_ms=limits.DAY_MS,
                recorded=recorded,
                journal=journal,
            ),
            journal,
        )

    return asyncio.run(go())


def test_a_run_is_handed_over_at_its_next_step() -> None:
    """Not in the middle of one, whose outcome is recorded before."""

    async def work(execution: Execution, journal: Journal) -> None:
        async def leaving() -> None:
            execution.leave()

        await step(execution, "one", leaving)
        with pytest.raises(Suspended):
            await step(execution, "two", nothing)
        assert execution.suspended
        assert journal.records == ["one"]
        assert journal.parked == [(None, NOW)]

    executed(work)


def test_a_run_is_handed_over_in_its_sleep() -> None:
    """The sleep is recorded, so the rest of it is all that the next worker waits."""

    async def work(execution: Execution, journal: Journal) -> None:
        asyncio.get_running_loop().call_soon(execution.leave)
        with pytest.raises(Suspended):
            await execution.sleep("wait", 1_000)
        assert journal.records == ["wait"]
        assert journal.parked == [(None, NOW)]

    executed(work)


def test_a_hand_over_waits_for_the_steps_beside() -> None:
    """Nobody else executes a step that still executes here."""

    async def work(execution: Execution, journal: Journal) -> None:
        end = asyncio.Event()

        async def slow() -> None:
            await end.wait()
            assert journal.parked == []

        async def branch() -> None:
            await step(execution, "fast", nothing)
            execution.leave()
            asyncio.get_running_loop().call_later(0.01, end.set)
            await step(execution, "more", nothing)

        results = await asyncio.gather(
            step(execution, "slow", slow), branch(), return_exceptions=True
        )
        assert results[0] is None
        assert isinstance(results[1], Suspended)
        assert journal.records == ["fast", "slow"]
        assert journal.parked == [(None, NOW)]

    executed(work)


def test_a_long_sleep_parks_with_its_record() -> None:
    """In one write: a crash between the two would lose one of them."""

    async def work(execution: Execution, journal: Journal) -> None:
        with pytest.raises(Suspended):
            await execution.sleep("wait", limits.HOUR_MS)
        assert journal.records == []
        assert journal.parked == [("wait", NOW + limits.HOUR_MS)]

    executed(work)


def test_long_sleeps_park_together_until_the_first_ends() -> None:
    """All are recorded."""

    async def work(execution: Execution, journal: Journal) -> None:
        sleeps = [execution.sleep(f"{hours}h", hours * limits.HOUR_MS) for hours in (3, 1, 2)]
        results = await asyncio.gather(*sleeps, return_exceptions=True)
        assert {type(result) for result in results} == {Suspended}
        [(own, wake_at)] = journal.parked
        assert sorted([*journal.records, own or ""]) == ["1h", "2h", "3h"]
        assert wake_at == NOW + limits.HOUR_MS

    executed(work)


def test_a_cancel_that_comes_while_a_sleep_waits_to_park_ends_it() -> None:
    """Nothing is parked then."""

    async def work(execution: Execution, journal: Journal) -> None:
        async def slow() -> None:
            execution.cancel({"type": "api"})

        results = await asyncio.gather(
            step(execution, "slow", slow),
            execution.sleep("wait", limits.HOUR_MS),
            return_exceptions=True,
        )
        assert [type(result) for result in results] == [Cancelled, Cancelled]
        assert journal.parked == []

    executed(work)


def test_nothing_is_recorded_of_a_run_that_was_lost() -> None:
    """What executes runs to its end, unheard; no other step starts."""

    async def work(execution: Execution, journal: Journal) -> None:
        async def losing() -> None:
            execution.suspend()

        for call in (losing, nothing):
            with pytest.raises(Suspended):
                await step(execution, "one", call)
        with pytest.raises(Suspended):
            await execution.sleep("wait", 1)
        assert journal.records == []

    executed(work)


def test_a_loss_is_told_before_a_cancel() -> None:
    """Whoever has the run now says that it stopped."""

    async def work(execution: Execution, journal: Journal) -> None:
        execution.cancel(None)
        execution.suspend()
        with pytest.raises(Suspended):
            await step(execution, "one", nothing)

    executed(work)


def test_a_refused_record_ends_the_attempt() -> None:
    """The run may be somebody else's: nothing more is done here."""

    async def work(execution: Execution, journal: Journal) -> None:
        journal.is_refusing = True
        with pytest.raises(Suspended):
            await step(execution, "one", nothing)
        assert execution.suspended
        journal.is_refusing = False
        with pytest.raises(Suspended):
            await step(execution, "two", nothing)
        assert journal.records == []

    executed(work)


def test_it_says_which_step_executes() -> None:
    """The first of several; none between them."""

    async def work(execution: Execution, journal: Journal) -> None:
        seen: list[str | None] = []

        async def look() -> None:
            await asyncio.sleep(0)
            seen.append(execution.executing)

        await asyncio.gather(step(execution, "one", look), step(execution, "two", look))
        seen.append(execution.executing)
        assert seen == ["one", "one", None]

    executed(work)


def test_no_step_starts_once_the_function_has_ended() -> None:
    """Whatever it left behind."""

    async def work(execution: Execution, journal: Journal) -> None:
        await execution.finish()
        with pytest.raises(Suspended):
            await step(execution, "one", nothing)
        assert not execution.suspended

    executed(work)


@pytest.mark.parametrize(
    ("end", "raised"),
    [
        (lambda execution: execution.cancel({"type": "api"}), Cancelled),
        (Execution.suspend, Suspended),
    ],
    ids=["cancelled", "lost"],
)
def test_a_step_that_still_waits_for_a_thread_never_begins(
    end: Callable[[Execution], None], raised: type[BaseException]
) -> None:
    """All threads are busy, the run ends, then one is free: the step's function isn't called."""
    begun: list[str] = []

    async def work(execution: Execution, journal: Journal) -> None:
        free = threading.Event()
        with ThreadPoolExecutor(1) as executor:
            executor.submit(free.wait)
            waiting = asyncio.ensure_future(
                Step(execution, executor, ONCE).run("one", begun.append, "one")
            )
            await asyncio.sleep(0)
            assert execution.executing == "one"
            end(execution)
            free.set()
            with pytest.raises(raised):
                await waiting
        assert journal.records == []

    executed(work)
    assert begun == []
