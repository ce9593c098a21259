"""Executes the steps of one attempt of a run, each in this order.

1. if the run was cancelled, or another worker has it now, the step doesn't start
2. if the step's outcome was recorded, the function gets that outcome
3. otherwise the step is executed, and tried again as its retries allow
4. the outcome is recorded, and only then returned to the function

Steps of one run may execute concurrently. A cancel, or a sleep long enough to leave the worker,
takes effect only when all executing steps of the run have ended.

Everything here runs on the event loop. A `Journal` stores the records; the testing kit has one of
its own, and so executes functions with the same code as a worker.
"""

import asyncio
import math
from collections import Counter
from collections.abc import Awaitable, Callable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from functools import partial
from typing import Any, Final, NamedTuple, Protocol, TypeAlias

import orjson
from msgspec import UNSET, Raw, structs

from streams.durations import format_duration
from streams.sdk.errors import Cancelled, StepError, Suspended
from streams.sdk.retries import Retries
from topology import limits
from topology.records import Json, StepFailure, StepRecord

# Values that JSON would change without an error, such as dates, are refused.
_STRICT: Final = (
    orjson.OPT_PASSTHROUGH_DATACLASS
    | orjson.OPT_PASSTHROUGH_DATETIME
    | orjson.OPT_PASSTHROUGH_SUBCLASS
)


# The execution whose step calls the current code; None outside of steps.
_inside: Final[ContextVar["Execution | None"]] = ContextVar("step", default=None)


Begin: TypeAlias = Callable[[], None]
"""Each call of a step's function starts with this, in the same thread; may raise NotBegunError."""

StepCall: TypeAlias = Callable[[Begin], Awaitable[Any]]
"""Calls a step's function, perhaps in another thread; awaiting gives the function's result."""


class NotBegunError(Exception):
    """The run ended while a step waited for a thread, so the step's function isn't called."""


class Titled(NamedTuple):
    """A step's result, with what `runs` shows of the step instead of its name; empty: nothing."""

    result: object
    title: str


class Journal(Protocol):
    """Stores the outcomes of steps, and has the clock by which the run sleeps."""

    def now_ms(self) -> int:
        """The time, in ms since 1970."""

    def parks(self, wait_ms: int) -> bool:
        """Whether a run leaves the worker for a sleep of `wait_ms`."""

    async def record(self, record: StepRecord) -> None:
        """Store an outcome; returns when the outcome is durable.

        Raises:
            Suspended: This worker no longer has the run.
        """

    async def park(self, record: StepRecord | None, wake_at: int) -> None:
        """Let the run leave the worker until `wake_at` (ms); `record`: the sleep, unless stored."""

    async def wait(self, wait_ms: int, ended: asyncio.Event) -> None:
        """Wait for `wait_ms`, or until `ended` is set."""


class Execution:
    """One attempt of a run: executes steps, and stops between them after a cancel.

    Attributes:
        cancelled: Whether the run was cancelled.
        cause: Why the run was cancelled; None if it was not.
        suspended: Whether this attempt ends while the run goes on: later, or on another worker.
    """

    def __init__(  # noqa: PLR0913  # the data of an attempt
        self,
        run_id: str,
        function_id: str,
        attempt: int,
        *,
        sleeps_at_most_ms: int,
        recorded: Mapping[str, StepRecord],
        journal: Journal,
    ) -> None:
        """`recorded`: by step, the outcomes of earlier attempts; `attempt`: counts from 1."""
        self.run_id = run_id
        self.function_id = function_id
        self.attempt = attempt
        self.cancelled = False
        self.cause: Json = None
        self.suspended = False
        self._sleeps_at_most_ms = sleeps_at_most_ms
        self._recorded = recorded
        self._journal = journal
        self._used: Counter[str] = Counter()
        self._keys: set[str] = set()
        self._executing: dict[str, None] = {}
        self._waiting = 0
        self._unrecorded: dict[str, StepRecord] = {}
        self._sleeping: dict[str, int] = {}
        self._quiet = asyncio.Event()
        self._quiet.set()
        self._woken = asyncio.Event()
        self._interrupted = asyncio.Event()
        self._leaving = False
        self._over = False

    @property
    def executing(self) -> str | None:
        """The step that is executing, the first of several; None if none is."""
        return next(iter(self._executing), None)

    def cancel(self, cause: Json) -> None:
        """Note that the run was cancelled: no new step starts, sleeps end (S32)."""
        self.cancelled, self.cause = True, cause
        self._interrupt()

    def suspend(self) -> None:
        """Note that this worker no longer has the run: no step starts, no outcome is recorded."""
        self.suspended = True
        self._interrupt()

    def leave(self) -> None:
        """Hand the run over to another worker at its next step, or during its sleep."""
        self._leaving = True
        self._interrupt()

    async def finish(self) -> None:
        """Note that the function has ended: start no step, and wait for those still executing."""
        self._over = True
        self._interrupt()
        await self._until_quiet()

    async def step(self, name: str, call: StepCall, retries: Retries) -> Json:
        """Return a step's result: the recorded one, else that of executing the step now.

        Raises:
            Cancelled: The run was cancelled.
            Suspended: This attempt ends here; the run goes on later, or on another worker.
            StepError: The step failed, and its retries are used up.
        """
        return await self._step(self._key(name), call, retries)

    async def sleep(self, name: str, duration_ms: int) -> None:
        """Sleep for `duration_ms`, counted from the first attempt that reached this sleep."""
        await self._sleep(self._key(name), lambda: self._journal.now_ms() + duration_ms)

    async def sleep_until(self, name: str, wake_at: int) -> None:
        """Sleep until `wake_at` (ms since 1970); returns at once if that has passed."""
        await self._sleep(self._key(name), lambda: wake_at)

    async def _step(self, key: str, call: StepCall, retries: Retries) -> Json:
        await self._check(key)
        outcome = self._recorded.get(key)
        if outcome is None:
            outcome = await self._execute(key, call, retries)
        if outcome.error is not UNSET:
            error = outcome.error
            raise StepError(key, error.code, error.attempts, error.message)
        if outcome.result is UNSET:
            raise _changed(key)
        return orjson.loads(bytes(outcome.result))

    async def _sleep(self, key: str, wake_at: Callable[[], int]) -> None:
        await self._check(key)
        record = self._recorded.get(key)
        if record is None:
            record = StepRecord(
                run_id=self.run_id, step=key, attempt=self.attempt, wake_at=wake_at()
            )
            self._refuse_too_long(key, record)
            self._unrecorded[key] = record
        if record.wake_at is UNSET:
            raise _changed(key)
        self._sleeping[key] = record.wake_at
        try:
            await self._wait_until(key, record.wake_at)
        finally:
            del self._sleeping[key]
        await self._record_sleep(key)
        await self._check(key)

    async def _wait_until(self, key: str, wake_at: int) -> None:
        while (left := wake_at - self._journal.now_ms()) > 0:
            if self._journal.parks(left):
                await self._park_or_wait(key, left)
            else:
                await self._record_sleep(key)
                with self._waits():
                    await self._journal.wait(left, self._interrupted)
            await self._check(key)

    def _refuse_too_long(self, key: str, record: StepRecord) -> None:
        assert record.wake_at is not UNSET, "a sleep has an end"
        if record.wake_at - self._journal.now_ms() > self._sleeps_at_most_ms:
            longest = format_duration(self._sleeps_at_most_ms)
            raise ValueError(
                f"step {key!r} sleeps longer than runs are kept (pending_for {longest})"
            )

    async def _park_or_wait(self, key: str, left: int) -> None:
        """Park the run if none of its steps executes; else wait for that, at most `left` ms."""
        await asyncio.sleep(0)  # lets concurrent steps and sleeps of the run begin
        if self._is_quiet:
            for other in [sleep for sleep in self._unrecorded if sleep != key]:
                await self._record_sleep(other)
            await self._stop_if_ended()
            await self._park(key, min(self._sleeping.values()))
        await self._record_sleep(key)
        self._woken.clear()
        if not (self._is_quiet or self._interrupted.is_set()):
            await self._journal.wait(left, self._woken)

    async def _park(self, key: str, wake_at: int) -> None:
        """End this attempt until `wake_at`, and record the sleep `key` if it isn't recorded yet.

        Raises:
            Suspended: Always.
        """
        self.suspend()
        await self._journal.park(self._unrecorded.pop(key, None), wake_at)
        raise Suspended

    async def _record_sleep(self, key: str) -> None:
        record = self._unrecorded.pop(key, None)
        if record is not None:
            with self._waits():
                await self._record(record)

    async def _record(self, record: StepRecord) -> None:
        try:
            await self._journal.record(record)
        except Suspended:
            self.suspend()
            raise

    async def _execute(self, key: str, call: StepCall, retries: Retries) -> StepRecord:
        """Execute a step until it has succeeded or its retries are used up; record the outcome."""
        attempt = 0
        while True:
            attempt += 1
            with self._executes(key):
                outcome = await self._try(key, call, attempt, retries)
                if outcome is not None and not (self.cancelled or self.suspended):
                    await self._record(outcome)
            await self._stop_if_ended()
            if outcome is not None:
                return outcome
            with self._waits():
                await self._journal.wait(retries.wait_ms(attempt), self._interrupted)
            await self._check(key)

    async def _try(
        self, key: str, call: StepCall, attempt: int, retries: Retries
    ) -> StepRecord | None:
        """Execute a step once; None if it should be tried again, or its run ended before."""
        try:
            return self._succeeded(key, await call(partial(self._begin, key)), attempt)
        except NotBegunError:
            return None
        except (Exception, SystemExit) as error:  # noqa: BLE001  # retries decide
            if retries.again(attempt, error):
                return None
            return self._failed(key, code_of(error), text_of(error), attempt)

    def _begin(self, key: str) -> None:  # noqa: ARG002  # the testing kit uses it
        """Raise `NotBegunError` if the run ended before step `key` began; in any thread."""
        if self.cancelled or self.suspended or self._over:
            raise NotBegunError

    def _succeeded(self, key: str, result: object, attempt: int) -> StepRecord:
        if isinstance(result, Titled):
            found = self._succeeded(key, result.result, attempt)
            return structs.replace(found, title=result.title[: limits.STEP_CHARS])
        try:
            data = orjson.dumps(result, option=_STRICT)
        except TypeError as error:
            return self._failed(key, "NotJson", f"the result of step {key!r}: {error}", attempt)
        if b"null" in data and not _is_finite(result):
            message = f"the result of step {key!r} has a number that JSON has not: NaN or infinity"
            return self._failed(key, "NotJson", message, attempt)
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

    async def _check(self, key: str) -> None:
        """Raise if the run was cancelled, left this worker, or is about to leave it."""
        if _inside.get() is self:
            raise RuntimeError("a step can't have steps of its own: only its outcome is recorded")
        await self._stop_if_ended()
        if self._leaving:
            await self._until_quiet()
            await self._stop_if_ended()
            await self._park(key, self._journal.now_ms())

    async def _stop_if_ended(self) -> None:
        if self.cancelled and not self.suspended:
            await self._until_quiet()
        if self.suspended or (self._over and not self.cancelled):
            raise Suspended
        if self.cancelled:
            raise Cancelled(self.cause)

    # Concurrent steps and sleeps

    @property
    def _is_quiet(self) -> bool:
        return not (self._executing or self._waiting)

    @contextmanager
    def _executes(self, key: str) -> Iterator[None]:
        """Count a step as executing, until its outcome is recorded."""
        token = _inside.set(self)
        self._executing[key] = None
        self._quiet.clear()
        try:
            yield
        finally:
            _inside.reset(token)
            del self._executing[key]
            self._became_quieter()

    @contextmanager
    def _waits(self) -> Iterator[None]:
        """Count a short wait, during which the run can't be parked."""
        self._waiting += 1
        self._quiet.clear()
        try:
            yield
        finally:
            self._waiting -= 1
            self._became_quieter()

    def _became_quieter(self) -> None:
        if self._is_quiet:
            self._quiet.set()
            self._woken.set()

    def _interrupt(self) -> None:
        self._interrupted.set()
        self._woken.set()

    async def _until_quiet(self) -> None:
        while not self._is_quiet:
            await self._quiet.wait()

    def _key(self, name: str) -> str:
        """The step's key: its name, and from the second use of a name on a number: `load:1`."""
        if not 0 < len(name) <= limits.STEP_CHARS - len(f":{limits.STEPS_PER_RUN}"):
            raise ValueError(f"a step's name has 1 to 250 characters, not {len(name)}")
        if _encodable(name) != name:
            raise ValueError(f"a step's name is text that UTF-8 can encode, not {name!r}")
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
    """The code of an error: its attribute `code` if that is a string, else its class's name.

    At most as many characters of it as a record may hold.
    """
    try:
        code = getattr(error, "code", None)
    except Exception:  # noqa: BLE001  # user code may define it
        code = None
    text = code if isinstance(code, str) else type(error).__name__
    return _encodable(text[: limits.ERROR_NAME_CHARS])


def text_of(error: BaseException) -> str:
    """The message of an error; the name of its class if it has none, or `str` fails."""
    try:
        return str(error) or type(error).__name__
    except Exception:  # noqa: BLE001  # user code may define `__str__`
        return type(error).__name__


def described(error: BaseException) -> str:
    """An error's class and message, for logs."""
    return f"{type(error).__name__}: {shortened(text_of(error))}"


def shortened(message: str) -> str:
    """The start of a message, at most as many bytes as a record may hold."""
    return _encodable(message).encode()[: limits.ERROR_MESSAGE_BYTES].decode(errors="ignore")


def _encodable(text: str) -> str:
    """The text, with `?` for surrogates, which UTF-8 can't encode; file names may have some."""
    return text.encode(errors="replace").decode()


def _is_finite(value: object) -> bool:
    """Whether a JSON value has no NaN or infinity, which `orjson` would write as null."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        return all(map(_is_finite, value.values()))
    return not isinstance(value, list | tuple) or all(map(_is_finite, value))
