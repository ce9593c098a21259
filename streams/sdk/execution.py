"""One attempt of a run: its steps, in the order of the durable truth.

1. a run that was cancelled, or is no longer ours, takes no step
2. a step whose outcome was recorded gets that outcome, and isn't executed
3. else it is executed, again and again as its retries allow
4. its outcome is recorded; only then does the function go on

All of it happens on the event loop. Where records go is the `Journal`'s business, so that the
testing kit executes functions with the same code as a worker.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

import orjson
from msgspec import UNSET, Raw

from streams.durations import format_duration
from streams.sdk.errors import Cancelled, StepError, Suspended
from streams.sdk.retries import Retries
from topology import limits
from topology.records import Json, StepFailure, StepRecord

# What JSON can't give back as it was is refused, not changed in silence.
_STRICT: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


class Journal(Protocol):
    """Where the outcomes of steps go, and what time it is there."""

    def now_ms(self) -> int:
        """The time, in ms since 1970."""

    def parks(self, wait_ms: int) -> bool:
        """Whether a run that sleeps so long leaves the worker meanwhile."""

    async def record(self, record: StepRecord) -> None:
        """Make an outcome durable; returns when it is.

        Raises:
            Suspended: The run is no longer ours.
        """

    async def park(self, record: StepRecord | None, wake_at: int) -> None:
        """Let the run sleep without this worker, and make the sleep durable if it is new."""

    async def wait(self, wait_ms: int, ended: asyncio.Event) -> None:
        """Let time pass, or less where `ended` is set before."""


class Execution:
    """One attempt of a run as its function sees it.

    Attributes:
        cancelled: Whether the run was cancelled.
        cause: Why it was.
        suspended: Whether this attempt ends here without an end of the run.
        executing: The step that is being executed; None between steps.
    """

    def __init__(  # noqa: PLR0913  # what an attempt is
        self,
        run_id: str,
        function_id: str,
        attempt: int,
        *,
        sleeps_at_most_ms: int,
        recorded: Mapping[str, StepRecord],
        journal: Journal,
    ) -> None:
        """`recorded`: the outcomes of earlier attempts' steps, by step."""
        self.run_id = run_id
        self.function_id = function_id
        self.attempt = attempt
        self.cancelled = False
        self.cause: Json = None
        self.suspended = False
        self.executing: str | None = None
        self.last_step: str | None = None
        self._sleeps_at_most_ms = sleeps_at_most_ms
        self._recorded = recorded
        self._journal = journal
        self._used: Counter[str] = Counter()
        self._keys: set[str] = set()
        self._interrupted = asyncio.Event()
        self._leaving = False

    def cancel(self, cause: Json) -> None:
        """The run was cancelled: no new step starts, a sleep ends (S32)."""
        self.cancelled, self.cause = True, cause
        self._interrupted.set()

    def suspend(self) -> None:
        """The run is no longer ours: no new step starts, and nothing more is said of it."""
        self.suspended = True
        self._interrupted.set()

    def leave(self) -> None:
        """Hand the run over to another worker at its next step, or in its sleep."""
        self._leaving = True
        self._interrupted.set()

    async def step(self, name: str, call: Callable[[], Awaitable[Any]], retries: Retries) -> Any:  # noqa: ANN401  # any JSON
        """The outcome of a step, executed unless it was before.

        Raises:
            Cancelled: The run was cancelled.
            Suspended: The run goes on elsewhere.
            StepError: The step failed for good.
        """
        key = self._key(name)
        await self._check()
        outcome = self._recorded.get(key)
        if outcome is None:
            outcome = await self._execute(key, call, retries)
            self.last_step = key
            await self._journal.record(outcome)
            self._stop_if_ended()
        if outcome.error is not UNSET:
            error = outcome.error
            raise StepError(key, error.code, error.attempts, error.message)
        if outcome.result is UNSET:
            raise _changed(key)
        return orjson.loads(bytes(outcome.result))

    async def sleep(self, name: str, duration_ms: int) -> None:
        """Sleep for so long, counted from the first attempt that came here."""
        await self._sleep(name, lambda: self._journal.now_ms() + duration_ms)

    async def sleep_until(self, name: str, wake_at: int) -> None:
        """Sleep until a time in ms since 1970; one that has passed costs nothing more."""
        await self._sleep(name, lambda: wake_at)

    async def _sleep(self, name: str, wake_at: Callable[[], int]) -> None:
        key = self._key(name)
        await self._check()
        record = self._recorded.get(key)
        new = record is None
        if record is None:
            record = StepRecord(
                run_id=self.run_id, step=key, attempt=self.attempt, wake_at=wake_at()
            )
        if record.wake_at is UNSET:
            raise _changed(key)
        left = record.wake_at - self._journal.now_ms()
        if left > self._sleeps_at_most_ms:
            longest = format_duration(self._sleeps_at_most_ms)
            raise ValueError(
                f"step {key!r} sleeps longer than runs are kept (pending_for {longest})"
            )
        if self._journal.parks(left):
            self.suspended = True
            await self._journal.park(record if new else None, record.wake_at)
            raise Suspended
        if new:
            await self._journal.record(record)
        while (left := record.wake_at - self._journal.now_ms()) > 0:
            await self._journal.wait(left, self._interrupted)
            await self._check()
        await self._check()

    async def _execute(
        self, key: str, call: Callable[[], Awaitable[Any]], retries: Retries
    ) -> StepRecord:
        """Execute a step until it has an outcome."""
        attempt = 0
        while True:
            attempt += 1
            self.executing = key
            try:
                outcome = self._succeeded(key, await call(), attempt)
                again = False
            except Exception as error:  # noqa: BLE001  # whatever it is, retries decide
                outcome = self._failed(key, code_of(error), str(error), attempt)
                again = retries.again(attempt, error)
            finally:
                self.executing = None
            self._stop_if_ended()
            if not again:
                return outcome
            await self._journal.wait(retries.wait_ms(attempt), self._interrupted)
            await self._check()

    def _succeeded(self, key: str, result: object, attempt: int) -> StepRecord:
        try:
            data = orjson.dumps(result, option=_STRICT)
        except TypeError as error:
            return self._failed(key, "NotJson", f"the result of step {key!r}: {error}", attempt)
        if len(data) > limits.STEP_RESULT_BYTES:
            message = (
                f"the result of step {key!r} has {len(data)} bytes, at most "
                f"{limits.STEP_RESULT_BYTES} are kept: store it elsewhere and return where"
            )
            return self._failed(key, "TooLarge", message, attempt)
        return StepRecord(run_id=self.run_id, step=key, attempt=self.attempt, result=Raw(data))

    def _failed(self, key: str, code: str, message: str, attempts: int) -> StepRecord:
        failure = StepFailure(code=code, message=shortened(message), attempts=attempts)
        return StepRecord(run_id=self.run_id, step=key, attempt=self.attempt, error=failure)

    async def _check(self) -> None:
        """Go on only with a run that is ours and wasn't cancelled."""
        self._stop_if_ended()
        if self._leaving:
            self.suspended = True
            await self._journal.park(None, self._journal.now_ms())
            raise Suspended

    def _stop_if_ended(self) -> None:
        if self.suspended:
            raise Suspended
        if self.cancelled:
            raise Cancelled(self.cause)

    def _key(self, name: str) -> str:
        """The name, numbered from its second use in the run on."""
        if not 0 < len(name) <= limits.STEP_CHARS - len(f":{limits.STEPS_PER_RUN}"):
            raise ValueError(f"a step's name has 1 to 250 characters, not {len(name)}")
        number = self._used[name]
        self._used[name] += 1
        key = f"{name}:{number}" if number else name
        if key in self._keys:
            raise ValueError(f"two steps are called {key!r}: a name's second use is numbered so")
        self._keys.add(key)
        return key


def _changed(key: str) -> RuntimeError:
    return RuntimeError(
        f"step {key!r} was of another kind in an earlier attempt of this run: "
        "give changed steps new names"
    )


def code_of(error: BaseException) -> str:
    """By what programs tell an error: its own `code`, if that is a text, else its class."""
    code = getattr(error, "code", None)
    return code if isinstance(code, str) else type(error).__name__


def shortened(message: str) -> str:
    """As much of a message as a record may hold."""
    return message.encode()[: limits.ERROR_MESSAGE_BYTES].decode(errors="ignore")
