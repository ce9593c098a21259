"""A worker's decisions, on a journal in memory: what it says last, and when it says nothing."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from types import MappingProxyType
from typing import Any

import msgspec
import pytest
from msgspec import Raw

from streams.errors import NotAllowedError, RecordRefusedError, WriteRefusedError
from streams.metrics import Metrics
from streams.sdk import App, Context
from streams.sdk.app import Call
from streams.sdk.errors import Suspended
from streams.sdk.worker.dispatches import Dispatch
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.journal import Outgoing, monotonic
from streams.sdk.worker.updates import Updates
from streams.sdk.worker.worker import Limits, Worker
from streams.settings import load
from tests.support.claimed import WORKER, a_while, run_record, until
from topology.records import RunRecord

RUN = run_record(attempt=1)
STEPS, UPDATES = "countermand.steps", "countermand.run-updates"
REFUSED, NOT_ALLOWED = RecordRefusedError("9,000,000 bytes"), NotAllowedError("no right")


class Journal:
    """Commits at once, unless it may not, or Kafka refuses to."""

    def __init__(self) -> None:
        self.said: list[dict[str, Any]] = []
        # By topic: why nothing is taken.
        self.refuses: dict[str, WriteRefusedError] = {}

    async def write(
        self, records: Sequence[Outgoing], may_write: Callable[[], bool] | None = None
    ) -> None:
        """Keep the updates."""
        await asyncio.sleep(0)
        if may_write is not None and not may_write():
            raise Suspended
        for one in records:
            if one.topic in self.refuses:
                raise self.refuses[one.topic]
        for one in records:
            if one.topic.endswith("run-updates"):
                self.said.append(msgspec.json.decode(one.value or b""))

    @property
    def statuses(self) -> list[str]:
        """What was said, in order."""
        return [update["status"] for update in self.said]


class Stage:
    """A worker that has claimed one run, and everything around it."""

    def __init__(self, call: Call, run: RunRecord, refuses: dict[str, WriteRefusedError]) -> None:
        app = App("reports")
        app.function(id="generate", trigger="report/requested")(call)
        self.journal, self.done = Journal(), list[int]()
        self.journal.refuses = refuses
        self.metrics = Metrics()
        self.worker = Worker(
            Updates(load(), WORKER, 8),
            self.journal,  # type: ignore[arg-type]  # as much of it as a worker uses
            None,  # type: ignore[arg-type]  # first attempts have no history
            Limits(concurrency=2, park_after_ms=30_000, overrun_s=60.0),
            Figures(self.metrics),
            lambda _partition, offset: self.done.append(offset),
        )
        self.run = run
        self.dispatch = Dispatch(run, app.functions["generate"], 0, 5)
        self.worker.dispatched([self.dispatch])

    @property
    def outcomes(self) -> list[str]:
        """How runs left the worker."""
        return [
            sample.labels["outcome"]
            for metric in self.metrics.worker_ended.collect()
            for sample in metric.samples
            if sample.name.endswith("_total") and sample.value
        ]

    def show(self, **fields: Any) -> None:
        """`runs` shows this."""
        self.worker.seen([self.now(**fields)])

    def now(self, **fields: Any) -> RunRecord:
        """The run, but for these fields."""
        return msgspec.structs.replace(self.run, dispatch=False, **fields)

    def end_lease(self) -> None:
        """Nobody has renewed it."""
        self.worker.runs[self.run.run_id].lease_until = monotonic()

    def accept(self) -> None:
        """`runs` shows the claim."""
        self.show(status="running", worker=WORKER)


def played(
    call: Call,
    play: Callable[[Stage], Awaitable[None]],
    run: RunRecord = RUN,
    refuses: Mapping[str, WriteRefusedError] = MappingProxyType({}),
) -> Stage:
    """Play a scene with a run, where Kafka refuses these topics."""

    async def go() -> Stage:
        stage = Stage(call, run, dict(refuses))
        await play(stage)
        await stage.worker.leave(0)
        return stage

    return asyncio.run(go())


async def nothing() -> None:
    """A step."""


async def one_step(ctx: Context) -> None:
    """A function with a step."""
    await ctx.step.run("one", nothing)


def raising(error: BaseException) -> Call:
    """A function that raises this."""

    async def call(_ctx: Context) -> None:
        raise error

    return call


@pytest.mark.parametrize(
    ("call", "status", "error"),
    [
        (one_step, "completed", None),
        (raising(OSError("no paper")), "failed", {"name": "OSError", "message": "no paper"}),
        (raising(ValueError("\udcff")), "failed", {"name": "ValueError", "message": "?"}),
        (raising(SystemExit(3)), "failed", {"name": "SystemExit", "message": "3"}),
        (raising(KeyError()), "failed", {"name": "KeyError", "message": "KeyError"}),
        (raising(GeneratorExit("x")), "failed", {"name": "GeneratorExit", "message": "x"}),
    ],
)  # fmt: skip
def test_a_run_has_a_last_word(
    call: Call, status: str, error: object, caplog: pytest.LogCaptureFixture
) -> None:
    """Whatever its function does; it is forgotten once `runs` shows it."""
    caplog.set_level(logging.CRITICAL, "streams")  # reports of tests are UTF-8, this error isn't

    async def play(stage: Stage) -> None:
        stage.accept()
        await until(lambda: status in stage.journal.statuses)
        assert stage.done == [5]
        assert list(stage.worker.runs) == [stage.run.run_id]
        stage.show(status=status)
        assert stage.worker.runs == {}

    stage = played(call, play)
    assert stage.journal.said[-1]["error"] == error
    assert stage.outcomes == [status]


def test_no_function_is_called_before_its_claim_is_accepted() -> None:
    """Nor if it is refused (S31)."""

    async def play(stage: Stage) -> None:
        await until(lambda: stage.journal.statuses == ["running"])
        stage.show(status="cancelled")
        assert stage.worker.runs == {}

    stage = played(one_step, play)
    assert stage.journal.statuses == ["running"]
    assert stage.outcomes == ["refused"]


def test_a_run_whose_outcome_comes_too_late_is_left_to_its_lease() -> None:
    """It isn't renewed any more, and doesn't end by the error that stopped it."""

    async def play(stage: Stage) -> None:
        stage.end_lease()
        stage.accept()
        await until(lambda: not stage.worker.runs)
        await a_while()

    stage = played(one_step, play)
    assert stage.journal.statuses == ["running"]
    assert stage.outcomes == ["lost"]


def test_a_sleep_that_parks_too_late_leaves_the_run_to_its_lease() -> None:
    """Whoever gets it then counts from there."""

    async def sleeper(ctx: Context) -> None:
        await ctx.step.sleep("day", "24h")

    async def play(stage: Stage) -> None:
        stage.end_lease()
        stage.accept()
        await until(lambda: not stage.worker.runs)

    stage = played(sleeper, play)
    assert stage.journal.statuses == ["running"]
    assert stage.outcomes == ["lost"]


def test_stopped_is_said_once_no_step_executes() -> None:
    """Also of one that its function left behind (S32)."""
    started, end, said = asyncio.Event(), asyncio.Event(), []

    async def hasty(ctx: Context) -> None:
        async def slow() -> None:
            started.set()
            await end.wait()
            said.append("ended")

        task = asyncio.ensure_future(ctx.step.run("slow", slow))
        await started.wait()
        task.add_done_callback(lambda done: done.exception())

    async def play(stage: Stage) -> None:
        stage.accept()
        await started.wait()
        stage.show(status="cancelled", cause={"type": "api"})
        await a_while()
        said.extend(stage.journal.statuses)
        end.set()
        await until(lambda: "stopped" in stage.journal.statuses)
        stage.show(status="cancelled", stopped_at=7)

    stage = played(hasty, play)
    assert said == ["running", "ended"]
    assert stage.journal.statuses == ["running", "stopped"]
    assert stage.worker.runs == {}


def test_the_longest_cancel_that_has_not_stopped_is_on_the_page() -> None:
    """With how many runs there may be; once the run has stopped, it counts no more."""
    started, end, shown = asyncio.Event(), asyncio.Event(), []

    async def slow() -> None:
        started.set()
        await end.wait()

    async def call(ctx: Context) -> None:
        await ctx.step.run("slow", slow)

    async def play(stage: Stage) -> None:
        def page(name: str) -> float:
            return stage.metrics.registry.get_sample_value(f"countermand_worker_{name}") or 0

        tending = asyncio.ensure_future(stage.worker.tend())
        stage.accept()
        await started.wait()
        stage.show(status="cancelled", cause={"type": "api"})
        stage.worker.runs[stage.run.run_id].cancelled_at -= 90  # it was learned long ago
        await until(lambda: page("cancelling_seconds"))
        shown.extend([page("cancelling_seconds"), page("overrunning_runs"), page("most_runs")])
        end.set()
        await until(lambda: "stopped" in stage.journal.statuses)
        stage.show(status="cancelled", stopped_at=7)
        await until(lambda: page("cancelling_seconds") == 0)
        tending.cancel()

    played(call, play)
    assert shown[0] >= 90
    assert shown[1:] == [1, 2]


def test_a_cancelled_run_is_not_handed_over() -> None:
    """A worker that stops says that the run has stopped, though its function never began."""

    async def play(stage: Stage) -> None:
        stage.accept()
        stage.show(status="cancelled", cause={"type": "api"})
        leaving = asyncio.ensure_future(stage.worker.leave(30))
        await until(lambda: "stopped" in stage.journal.statuses)
        stage.show(status="cancelled", stopped_at=7)
        await leaving

    assert played(one_step, play).journal.statuses == ["running", "stopped"]


NESTED = Raw(b'{"name":"a","id":"e1","ts":1,"data":{"a":' + b"[" * 100_000)


class EvilError(Exception):
    """An error that fails wherever it is looked at."""

    @property
    def code(self) -> str:
        """Fails."""
        raise OSError

    def __str__(self) -> str:
        """Fails."""
        raise OSError

    __repr__ = __str__


@pytest.mark.parametrize(
    ("call", "run", "name"),
    [
        (one_step, run_record(attempt=1, event=Raw(b'{"name":7}')), "ValidationError"),
        (one_step, run_record(attempt=1, event=NESTED), "RecursionError"),
        (raising(EvilError()), RUN, "EvilError"),
    ],
    ids=["no event", "nested too deeply", "an error without words"],
)
def test_s38_a_run_that_cannot_be_executed_fails(call: Call, run: RunRecord, name: str) -> None:
    """It is not held for ever by a worker that renews its lease."""

    async def play(stage: Stage) -> None:
        stage.accept()
        await until(lambda: "failed" in stage.journal.statuses)
        stage.show(status="failed")
        assert stage.worker.runs == {}

    assert played(call, play, run).journal.said[-1]["error"]["name"] == name


async def stubborn(ctx: Context) -> None:
    """Goes on after every error."""
    for name in ("one", "two", "three"):
        with suppress(Exception):
            await ctx.step.run(name, nothing)


@pytest.mark.parametrize("call", [one_step, stubborn])
def test_a_record_that_is_refused_fails_its_run(call: Call) -> None:
    """With the reason; the function can't go on without what was to be recorded."""

    async def play(stage: Stage) -> None:
        stage.accept()
        await until(lambda: "failed" in stage.journal.statuses)
        stage.show(status="failed")

    stage = played(call, play, refuses={STEPS: REFUSED})
    assert stage.journal.statuses == ["running", "failed"]
    assert stage.journal.said[-1]["error"] == {
        "name": "RecordRefused",
        "message": "9,000,000 bytes",
    }
    assert stage.outcomes == ["failed"]


def test_without_a_right_a_run_is_handed_over() -> None:
    """Another worker may have the right, or this one again later."""

    async def play(stage: Stage) -> None:
        stage.accept()
        await until(lambda: "sleeping" in stage.journal.statuses)
        stage.show(status="scheduled", attempt=2)
        assert stage.worker.runs == {}

    stage = played(one_step, play, refuses={STEPS: NOT_ALLOWED})
    assert stage.journal.statuses == ["running", "sleeping"]


def test_without_the_right_to_claim_a_dispatch_stays_open() -> None:
    """Whoever may claim the run reads it again; and so does this worker, once it may."""

    async def play(stage: Stage) -> None:
        await until(lambda: not stage.worker.runs)
        assert stage.done == []
        stage.journal.refuses.clear()
        stage.worker.dispatched([stage.dispatch])
        await until(lambda: stage.journal.statuses == ["running"])
        stage.accept()
        await until(lambda: "completed" in stage.journal.statuses)
        stage.show(status="completed")

    assert played(one_step, play, refuses={UPDATES: NOT_ALLOWED}).done == [5]


def test_a_run_whose_end_cannot_be_told_is_left_to_its_lease() -> None:
    """The worker forgets it, and renews it no more."""

    async def play(stage: Stage) -> None:
        await until(lambda: stage.journal.statuses == ["running"])
        stage.journal.refuses[UPDATES] = NOT_ALLOWED
        stage.accept()
        await until(lambda: not stage.worker.runs)

    stage = played(one_step, play)
    assert (stage.journal.statuses, stage.outcomes) == (["running"], ["lost"])


def test_a_worker_that_lets_go_claims_nothing_until_it_goes_on() -> None:
    """What was dispatched meanwhile waits."""

    async def play(stage: Stage) -> None:
        await until(lambda: stage.journal.statuses == ["running"])
        stage.show(status="cancelled")
        stage.worker.let_go()
        stage.worker.dispatched([stage.dispatch])
        await a_while()
        assert stage.worker.runs == {}
        stage.worker.go_on()
        assert list(stage.worker.runs) == [stage.run.run_id]
        stage.show(status="cancelled")

    assert played(one_step, play).outcomes == ["refused"]


def test_what_hangs_is_named_and_left_to_its_lease() -> None:
    """A step that never ends doesn't keep a worker from stopping, which says where it is."""
    begun, never = asyncio.Event(), asyncio.Event()
    said: list[str] = []

    async def hangs(ctx: Context) -> None:
        async def one() -> None:
            begun.set()
            await never.wait()

        await ctx.step.run("one", one)

    async def play(stage: Stage) -> None:
        stage.accept()
        await begun.wait()
        said.extend(stage.worker.executing())
        await stage.worker.leave(0)
        assert stage.worker.runs == {}
        never.set()
        await a_while()

    stage = played(hangs, play)
    assert said == [f"reports-generate {stage.run.run_id}: step one"]
    assert (stage.journal.statuses, stage.outcomes) == (["running"], ["lost"])
