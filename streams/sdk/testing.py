"""Runs functions without Kafka and without waiting: for the tests of an app.

A `TestKit` executes functions with the code of a worker, on a journal in memory. Sleeps and the
waits of retries pass at once. A long sleep ends the attempt, as in a worker: the function is called
again, and gets the recorded outcomes of its earlier steps.

```python
async def test_a_cancelled_report_leaves_no_file(kit: TestKit) -> None:
    outcome = await kit.run("generate-report", data={"reportId": "r1"}, cancel=During("render"))
    assert outcome.status == "cancelled"
    assert outcome.steps == ["load", "render"]
    await kit.clean_up(outcome)
    assert not list(files.glob("r1*"))
```
"""

import asyncio
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, TypeAlias

import orjson
from msgspec import UNSET, Raw
from ulid_transform import ulid_at_time, ulid_now

from streams.clock import now_ms
from streams.sdk.app import App, Function
from streams.sdk.calls import call_cleanup, call_function
from streams.sdk.cancelled_run import CancelledRun, Event
from streams.sdk.context import instant_ms
from streams.sdk.errors import StepError
from streams.sdk.execution import Execution, StepCall
from streams.sdk.retries import Retries, milliseconds
from topology.records import Json, StepFailure, StepRecord

__all__ = ["After", "Before", "During", "InSleep", "Outcome", "TestKit"]

_CAUSE: Final[Mapping[str, Any]] = {"type": "api", "reason": None, "requested_by": "testing kit"}
_THREADS: Final = 32
_POLL_S: Final = 0.001


@dataclass(frozen=True, slots=True)
class Before:
    """The cancel arrives right before a step, or a sleep, would start.

    Attributes:
        step: The step's name; a name's second use is numbered, as in `load:1`.
    """

    step: str


@dataclass(frozen=True, slots=True)
class During:
    """The cancel arrives while a step executes: the step sees `ctx.cancelled` from its start.

    Attributes:
        step: Its name.
    """

    step: str


@dataclass(frozen=True, slots=True)
class After:
    """The cancel arrives once a step has its outcome, or a sleep has ended.

    Attributes:
        step: Its name.
    """

    step: str


@dataclass(frozen=True, slots=True)
class InSleep:
    """The cancel arrives while the run sleeps.

    Attributes:
        step: The sleep's name.
        after: How long the run has slept when the cancel arrives.
    """

    step: str
    after: str | timedelta = "1ms"


Moment: TypeAlias = Before | During | After | InSleep


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, and what it did.

    Attributes:
        status: The run's last status.
        steps: The steps that were executed, in the order in which they began; not those whose
            outcome was recorded before, and no sleeps.
        results: By step, the result that the step returned, decoded from JSON.
        error: The error that the function raised; None if it returned.
        cause: Why the run was cancelled; None if it was not.
        slept_ms: How long the run slept, and waited for retries, in all.
        attempts: How often the function was called: once more after each long sleep.
        cancelled_run: The argument of `on_cancelled`; None if the run was not cancelled.
    """

    status: Literal["completed", "failed", "cancelled"]
    steps: list[str]
    results: dict[str, Any]
    error: BaseException | None
    cause: dict[str, Any] | None
    slept_ms: int
    attempts: int
    cancelled_run: CancelledRun | None


class TestKit:
    """Runs the functions of an app; each run is independent of all others."""

    __test__ = False  # pytest collects classes with such names

    def __init__(
        self, app: App, *, park_after: str | timedelta = "30s", now: str | datetime | None = None
    ) -> None:
        """A kit for one app.

        Args:
            app: The app.
            park_after: Longer sleeps end an attempt, as with `COUNTERMAND_WORKER_PARK_AFTER`.
            now: The time at which runs start; the current time if None.
        """
        self._app = app
        self._park_after_ms = milliseconds(park_after)
        self._now = now

    async def run(  # noqa: PLR0913  # the data of a run
        self,
        function: str,
        *,
        data: Mapping[str, Any] | None = None,
        name: str | None = None,
        event_id: str | None = None,
        user: Json = None,
        cancel: Moment | None = None,
        cause: Mapping[str, Any] = _CAUSE,
        attempt: int = 1,
        recorded: Mapping[str, Any] | None = None,
    ) -> Outcome:
        """Run a function to its end.

        Args:
            function: The function's id or slug.
            data: The data of the event that triggers it.
            name: The event's name; that of the function's first trigger if None.
            event_id: The event's id; a new one if None.
            user: The event's user.
            cancel: When the run is cancelled; None lets the run end by itself.
            cause: Why the run is cancelled, as in `function.cancelled`.
            attempt: Which dispatch of the run this is, from 1.
            recorded: Outcomes of steps that an earlier attempt took, by step: a result, a
                `StepError`, or for a sleep the `datetime` at which it ends.

        Raises:
            LookupError: The app has no such function.
            AssertionError: The run ended before it was cancelled.
        """
        found = self._function(function)
        at_ms = now_ms() if self._now is None else instant_ms(self._now)
        event = Event(
            name=name or found.definition.triggers[0].event,
            id=event_id or f"event-{ulid_now()}",
            ts=at_ms,
            data=orjson.loads(orjson.dumps(dict(data or {}))),
            user=user,
        )
        run = _Run(found, event, cancel, dict(cause), _Clock(at_ms), self._park_after_ms)
        run.know(recorded or {})
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="function") as executor:
            return await run.work(executor, attempt)

    async def clean_up(self, outcome: Outcome) -> CancelledRun:
        """Call the app's cleanup for a cancelled run once; raises what the cleanup raises.

        Raises:
            LookupError: The app declares no cleanup for the function.
            ValueError: The run was not cancelled.
        """
        run = outcome.cancelled_run
        if run is None:
            raise ValueError(f"the run was not cancelled: it {outcome.status}")
        call = self._app.cleanups.get(run.function_id)
        if call is None:
            raise LookupError(f"nothing cleans up after {run.function_id}: declare on_cancelled")
        with ThreadPoolExecutor(1, thread_name_prefix="cleanup") as executor:
            await call_cleanup(call, run, executor)
        return run

    def _function(self, name: str) -> Function:
        found = self._app.functions.get(name) or self._app.by_slug().get(name)
        if found is None:
            known = ", ".join(self._app.functions) or "none"
            raise LookupError(f"app {self._app.id} has no function {name!r}; it has: {known}")
        return found


class _Clock:
    """A clock that advances only when all of a run waits for time to pass."""

    def __init__(self, now_ms: int) -> None:
        self.now_ms = now_ms
        self.alarm: tuple[int, Callable[[], None]] | None = None
        self._waiting: list[int] = []

    async def wait(self, until: int, ended: asyncio.Event, is_busy: Callable[[], bool]) -> None:
        """Wait for the time `until`, or until `ended` is set; earlier waits end first."""
        self._waiting.append(until)
        try:
            await asyncio.sleep(0)  # lets concurrent steps begin their own waits
            while not ended.is_set() and (is_busy() or min(self._waiting) < until):  # noqa: ASYNC110  # only tests wait so
                await asyncio.sleep(_POLL_S)
            if not ended.is_set():
                self.pass_to(until)
        finally:
            self._waiting.remove(until)

    def pass_to(self, until: int) -> bool:
        """Advance to `until`, or only to the alarm if that is earlier; whether `until` came."""
        if self.alarm is not None and self.alarm[0] <= until:
            self.now_ms, ring = self.alarm
            self.alarm = None
            ring()
            return False
        self.now_ms = max(self.now_ms, until)
        return True


@dataclass(slots=True)
class _Run:
    """One run, from its first attempt to its end; also the `Journal` of its executions."""

    function: Function
    event: Event
    moment: Moment | None
    cause: dict[str, Any]
    clock: _Clock
    park_after_ms: int
    steps: list[str] = field(default_factory=list)
    recorded: dict[str, StepRecord] = field(default_factory=dict)
    last_step: str | None = None
    is_cancelled: bool = False
    execution: "_Watched | None" = None
    run_id: str = ""

    def know(self, outcomes: Mapping[str, Any]) -> None:
        """Add the outcomes of an earlier attempt."""
        self.run_id = ulid_at_time(self.clock.now_ms / 1000)
        for key, outcome in outcomes.items():
            record = StepRecord(run_id=self.run_id, step=key, attempt=1, **_field_of(outcome))
            self.recorded[key] = record
            self._look_at_sleep(record)

    async def work(self, executor: ThreadPoolExecutor, first: int) -> Outcome:
        """Call the function, again after each long sleep, until the run has ended."""
        started, attempt = self.clock.now_ms, first
        while True:
            execution = _Watched(self, attempt)
            error = await call_function(self.function, execution, self.event, executor)
            if not (execution.suspended and self.clock.pass_to(execution.wake_at)):
                break
            attempt += 1
        status: Literal["completed", "failed", "cancelled"] = "completed"
        if self.is_cancelled:
            status = "cancelled"
        elif error is not None:
            status = "failed"
        if self.moment is not None and not self.is_cancelled:
            raise AssertionError(
                f"the run {status} before {self.moment}: it took the steps {self.steps}"
            ) from error
        before = "sleeping" if execution.suspended else "running"
        return Outcome(
            status=status,
            steps=self.steps,
            results=self._results(),
            error=None if execution.suspended else error,
            cause=self.cause if self.is_cancelled else None,
            slept_ms=self.clock.now_ms - started,
            attempts=attempt - first + 1,
            cancelled_run=self._cancelled_run(before, attempt) if self.is_cancelled else None,
        )

    def cancel(self) -> None:
        """Cancel the run, unless it was cancelled before."""
        if not self.is_cancelled:
            self.is_cancelled = True
            if self.execution is not None:
                self.execution.cancel(self.cause)

    def is_at(self, kind: type, key: str) -> bool:
        """Whether the run is to be cancelled at this moment of step `key`."""
        return isinstance(self.moment, kind) and getattr(self.moment, "step", None) == key

    def _results(self) -> dict[str, Any]:
        return {
            key: orjson.loads(bytes(record.result))
            for key, record in self.recorded.items()
            if record.result is not UNSET
        }

    def _cancelled_run(self, status_before: str, attempt: int) -> CancelledRun:
        return CancelledRun(
            run_id=self.run_id,
            function_id=self.function.slug,
            event=self.event,
            cause=self.cause,
            status_before=status_before,
            last_step=self.last_step,
            attempt=attempt,
        )

    def _look_at_sleep(self, record: StepRecord) -> None:
        """If the record is of a sleep in which the run is to be cancelled, set the alarm."""
        if record.wake_at is not UNSET and self.is_at(InSleep, record.step):
            assert isinstance(self.moment, InSleep), "it was just looked at"
            at = self.clock.now_ms + milliseconds(self.moment.after)
            if at < record.wake_at:
                self.clock.alarm = at, self.cancel

    # The journal

    def now_ms(self) -> int:
        return self.clock.now_ms

    def parks(self, wait_ms: int) -> bool:
        return wait_ms > self.park_after_ms

    async def record(self, record: StepRecord) -> None:
        self.recorded[record.step] = record
        if record.wake_at is UNSET:
            self.last_step = record.step
        self._look_at_sleep(record)

    async def park(self, record: StepRecord | None, wake_at: int) -> None:
        if record is not None:
            await self.record(record)
        assert self.execution is not None, "only an execution parks"
        self.execution.wake_at = wake_at

    async def wait(self, wait_ms: int, ended: asyncio.Event) -> None:
        execution = self.execution
        assert execution is not None, "only an execution waits"
        until = self.clock.now_ms + wait_ms
        await self.clock.wait(until, ended, lambda: execution.executing is not None)


class _Watched(Execution):
    """An execution that cancels itself at the moment that a test has chosen."""

    def __init__(self, run: _Run, attempt: int) -> None:
        super().__init__(
            run.run_id,
            run.function.slug,
            attempt,
            sleeps_at_most_ms=run.function.definition.pending_for_ms,
            recorded=dict(run.recorded),
            journal=run,
        )
        self.wake_at = 0
        self._run = run
        self._loop = asyncio.get_running_loop()
        self._loops_thread = threading.get_ident()
        run.execution = self

    async def _step(self, key: str, call: StepCall, retries: Retries) -> Json:
        self._reach(Before, key)
        try:
            result = await super()._step(key, call, retries)
        except StepError:
            self._reach(After, key)
            raise
        self._reach(After, key)
        return result

    async def _sleep(self, key: str, wake_at: Callable[[], int]) -> None:
        self._reach(Before, key)
        await super()._sleep(key, wake_at)
        self._reach(After, key)

    def _begin(self, key: str) -> None:
        super()._begin(key)
        if key not in self._run.steps:
            self._run.steps.append(key)
        if self._run.is_at(During, key):
            self._on_loop(self._run.cancel)

    def _on_loop(self, call: Callable[[], None]) -> None:
        """Call on the event loop, from any thread, and wait for the call's end."""
        if threading.get_ident() == self._loops_thread:
            call()
            return
        done = threading.Event()
        self._loop.call_soon_threadsafe(call)
        self._loop.call_soon_threadsafe(done.set)
        done.wait()

    def _reach(self, kind: type, key: str) -> None:
        if self._run.is_at(kind, key):
            self._run.cancel()


def _field_of(outcome: object) -> dict[str, Any]:
    """The field of a step's record that holds this outcome."""
    if isinstance(outcome, StepError):
        code, attempts, message = outcome.code, outcome.attempts, str(outcome)
        return {"error": StepFailure(code=code, message=message, attempts=attempts)}
    if isinstance(outcome, datetime):
        return {"wake_at": instant_ms(outcome)}
    return {"result": Raw(orjson.dumps(outcome))}
