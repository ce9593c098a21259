"""Drives one run of a function that lives in an app: each call of the app is a step of the SDK.

So the app's answers are recorded, and a later attempt of the run goes on where it was: it takes the
recorded answers again, in the same order, and asks only what has no answer yet. The order of ended
steps follows from the times in the answers. Nothing else is kept.

1. ask the app to go on with the function, and note what it answers
2. begin the sleeps and the steps that it has planned, beside each other
3. when they have ended (or, where the app wants that, when one has) go to 1
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import Any, Final

import msgspec
from msgspec import Struct

from streams.inngest import answers
from streams.inngest.answers import Answer, Operation
from streams.inngest.calls import Asked, Ended, event_for
from streams.inngest.times import end_ms
from streams.sdk.context import Context
from streams.sdk.execution import Titled
from streams.sdk.retries import Retries
from topology import limits

# Makes the call, for a hashed step id or for `DISCOVER`.
Post = Callable[[str, Asked], Awaitable[Answer]]

DISCOVER: Final = "step"
# From this version of the protocol on an app is asked when all of several steps have ended.
_ALL_AT_ONCE: Final = 2
_NO_VERSION: Final = -1
_NAME_CHARS: Final = 120
_MOST_WITHOUT_NEWS: Final = 5
# As upstream: how long it waits after a failed call, in s; the last one goes on.
_WAITS_S: Final = (15, 30, 60, 120, 300, 600, 1200, 2400, 3600, 7200)
_SHORTEST_MS: Final = limits.SECOND_MS
_LONGEST_MS: Final = limits.DAY_MS
_ONCE: Final = Retries(attempts=1)


class AppError(Exception):
    """The function failed in its app, or asks for something that isn't there.

    Attributes:
        code: The error's name there.
        error: All that the app says of it.
    """

    def __init__(self, error: Any) -> None:  # noqa: ANN401  # any JSON
        fields = error if isinstance(error, dict) else {"message": str(error)}
        super().__init__(str(fields.get("message") or fields.get("name") or fields))
        self.code = str(fields.get("name") or "Error")
        self.error = fields


class Remote(Struct, frozen=True):
    """How a function in an app is called: by `post`, and again `retries` times if that fails."""

    post: Post
    retries: int
    cancelled_event_name: str


class Drive:
    """One attempt of a run."""

    def __init__(self, context: Context, remote: Remote) -> None:
        """Begin where the recorded answers begin."""
        self._context = context
        self._step = context.step.with_retries(_ONCE)
        self._remote = remote
        self._event = event_for(context.event, remote.cancelled_event_name)
        self._ended: dict[str, Ended] = {}
        self._pending: dict[str, asyncio.Task[bool]] = {}
        self._version = _NO_VERSION
        self._planned_only = False
        self._races = False
        self._without_news = 0

    async def run(self) -> None:
        """Go on with the function until it has returned.

        Raises:
            AppError: It failed, and won't be tried again.
        """
        try:
            while not self._note(await self._answer("discover", DISCOVER), DISCOVER):  # 1, 2
                self._check_news()
                if await self._wait():  # 3
                    return
        finally:
            for task in self._pending.values():
                task.cancel()
            await asyncio.gather(*self._pending.values(), return_exceptions=True)

    def _check_news(self) -> None:
        """Refuse to ask for ever: an app that tells the same again, and nothing is under way.

        Recorded answers may do that, since what they told has gone on meanwhile.
        """
        if self._without_news > _MOST_WITHOUT_NEWS:
            message = "the app tells steps that have ended, again and again: is it another version?"
            raise AppError({"name": "NoProgress", "message": message})

    async def _wait(self) -> bool:
        """Wait until the app is to be asked again; whether the function has returned."""
        asks_after_each = self._version < _ALL_AT_ONCE or self._races
        while self._pending:
            before = len(self._ended)
            tasks = self._pending
            await asyncio.wait(tasks.values(), return_when=asyncio.FIRST_COMPLETED)
            done = [tasks.pop(id_) for id_, task in list(tasks.items()) if task.done()]
            returned = [task.result() for task in done]
            if any(returned):
                return True
            if asks_after_each and len(self._ended) > before:
                return False
        self._races = False
        if self._version >= _ALL_AT_ONCE:
            self._planned_only = False
        return False

    def _note(self, answer: Answer, asked: str) -> bool:
        """Note what an answer tells, and begin what it asks for; whether the function has returned.

        A return in an answer to a planned step says nothing: Go has it for "not found".

        Raises:
            AppError: It asks for something that isn't there.
        """
        if answer.has_ended:
            return asked == DISCOVER
        if self._version == _NO_VERSION:
            self._version = answer.version or 1
        operations = answer.operations or []
        if any(one.id not in self._ended for one in operations):
            self._without_news = 0
        self._planned_only = self._planned_only or len(operations) > 1
        self._races = self._races or any(one.is_race for one in operations)
        returned = [self._noted(one, answer.at) for one in operations]
        return any(returned)

    def _noted(self, one: Operation, at: int) -> bool:
        if one.op not in answers.KNOWN_OPS:
            raise AppError(
                {
                    "name": "Unsupported",
                    "message": f"step {one.shown!r} needs {one.op}, which Countermand doesn't have",
                }
            )
        if one.op == answers.COMPLETE:
            return True
        if one.op in answers.RUN:
            self._ended.setdefault(one.id, Ended(at, {"data": one.data}))
        elif one.op in {answers.ERROR, answers.FAILED}:
            self._ended.setdefault(one.id, Ended(at, {"error": one.error}))
        elif one.id not in self._ended and one.id not in self._pending:
            wait = self._sleep(one, at) if one.op == answers.SLEEP else self._planned(one)
            self._pending[one.id] = asyncio.get_running_loop().create_task(wait)
        return False

    async def _planned(self, one: Operation) -> bool:
        return self._note(await self._answer(_named(one), one.id), one.id)

    async def _sleep(self, one: Operation, at: int) -> bool:
        try:
            until = end_ms(one.until, at)
        except ValueError as error:
            raise AppError(
                {"name": "BadSleep", "message": f"step {one.shown!r}: {error}"}
            ) from None
        await self._step.sleep_until(_named(one), _instant(until))
        self._ended.setdefault(one.id, Ended(max(until, at), None))
        return False

    async def _answer(self, name: str, step: str) -> Answer:
        """The app's answer to a call, after as many attempts as it takes.

        Raises:
            AppError: It failed in all of them, or must not be tried again.
        """
        attempt = 0
        while True:
            answer = await self._call(name, step, attempt)
            attempt += 1
            if not answer.failed:
                return answer
            if attempt > self._remote.retries or not answer.again:
                if answer.error is None:
                    return answer
                raise AppError(answer.error)
            await self._step.sleep_until(f"{name} again", _again(answer, attempt))

    async def _call(self, name: str, step: str, attempt: int) -> Answer:
        async def post() -> Titled:
            self._without_news += step == DISCOVER
            asked = Asked(
                run_id=self._context.run_id,
                event=self._event,
                ended=self._ended,
                attempt=attempt,
                most=self._remote.retries + 1,
                planned_only=self._planned_only,
                version=self._version,
            )
            answer = await self._remote.post(step, asked)
            return Titled(msgspec.to_builtins(answer), answer.title)

        return msgspec.convert(await self._step.run(name, post), type=Answer)


def _named(one: Operation) -> str:
    """The name of a step in `steps`; the hashed id keeps those of one name apart."""
    return f"{one.shown[:_NAME_CHARS]} {one.id[:40]}"


def _again(answer: Answer, attempts: int) -> datetime:
    """When a failed call is made again."""
    if answer.after and answer.after.isdecimal():
        wait_ms = int(answer.after[:9]) * limits.SECOND_MS
    elif answer.after:
        try:
            wait_ms = end_ms(answer.after, answer.at) - answer.at
        except ValueError:
            wait_ms = 0
    else:
        return _instant(answer.at + _WAITS_S[min(attempts, len(_WAITS_S)) - 1] * limits.SECOND_MS)
    return _instant(answer.at + min(max(wait_ms, _SHORTEST_MS), _LONGEST_MS))


def _instant(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
