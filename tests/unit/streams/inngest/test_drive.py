"""Runs of functions in apps, driven on the SDK's testing kit by an app that is played here."""

import asyncio
import json
from collections.abc import Callable
from itertools import count
from typing import Any

import pytest

from streams.clock import now_ms
from streams.inngest.answers import Answer, Response, read_answer
from streams.inngest.calls import Asked, body_of
from streams.inngest.drive import DISCOVER, Drive, Remote
from streams.sdk import App, Context, Retries
from streams.sdk.testing import InSleep, Outcome, TestKit

# Answers a call: to the step that it asks for (or `DISCOVER`), by what has ended, and its attempt.
Play = Callable[[str, list[str], int], Answer]


class Told:
    """Makes answers, one ms after the other, and keeps what was asked."""

    def __init__(self, version: int = 2) -> None:
        self.asked: list[tuple[str, list[str], int]] = []
        self.bodies: list[dict[str, Any]] = []
        self._version = str(version)
        self._clock = count(now_ms())

    def answer(self, status: int, body: object, **headers: str) -> Answer:
        """An answer of the app's SDK."""
        given = {name.replace("_", "-"): text for name, text in headers.items()}
        sdk = {"x-inngest-sdk": "inngest-js:v4", "x-inngest-req-version": self._version}
        raw = json.dumps(body).encode()
        return read_answer(Response(status, sdk | given, raw), next(self._clock))

    def steps(self, *operations: dict[str, Any], **headers: str) -> Answer:
        """That steps happened, or are to come."""
        return self.answer(206, list(operations), **headers)

    @property
    def end(self) -> Answer:
        """That the function has returned."""
        return self.answer(200, None)


def ran(name: str, data: object = None) -> dict[str, Any]:
    """A step that has run."""
    return {"op": "StepRun", "id": name, "displayName": name, "data": data}


def planned(name: str, **more: object) -> dict[str, Any]:
    """A step that is to be called by itself."""
    return {"op": "StepPlanned", "id": name, "displayName": name, **more}


def asleep(name: str, duration: str) -> dict[str, Any]:
    """A sleep."""
    return {"op": "Sleep", "id": name, "displayName": name, "name": duration}


def kit(told: Told, play: Play, retries: int = 4) -> TestKit:
    """The testing kit with one function, which lives in the app that is played."""
    app = App("shop")

    async def post(step: str, asked: Asked) -> Answer:
        body = body_of(asked)
        told.bodies.append(body)
        ended = body["ctx"]["stack"]["stack"]
        told.asked.append((step, ended, asked.attempt))
        return play(step, ended, asked.attempt)

    @app.function(id="f", trigger="a/b", retries=Retries(attempts=1))
    async def function(context: Context) -> None:
        await Drive(context, Remote(post, retries, "function.cancelled")).run()

    return TestKit(app)


def outcome(told: Told, play: Play, retries: int = 4) -> Outcome:
    """What becomes of a run."""
    return asyncio.run(kit(told, play, retries).run("f", data={"id": 1}))


def test_each_call_goes_on_behind_the_steps_that_have_ended() -> None:
    """What the app gets of them is what it said, in the order in which they ended."""
    told = Told()

    def play(_: str, ended: list[str], __: int) -> Answer:
        return {0: told.steps(ran("b", 5)), 1: told.steps(ran("a"))}.get(len(ended)) or told.end

    found = outcome(told, play)
    assert found.status == "completed"
    assert [ended for _, ended, _ in told.asked] == [[], ["b"], ["b", "a"]]
    assert told.bodies[-1]["steps"] == {"b": {"data": 5}, "a": {"data": None}}
    assert [body["version"] for body in told.bodies] == [-1, 2, 2]


def test_a_long_sleep_leaves_the_worker_and_goes_on_in_another_attempt() -> None:
    """Nothing that was answered is asked again."""
    told = Told()

    def play(_: str, ended: list[str], __: int) -> Answer:
        answers = [told.steps(ran("a")), told.steps(asleep("z", "2h")), told.end]
        return answers[len(ended)]

    found = outcome(told, play)
    assert (found.status, found.attempts) == ("completed", 2)
    assert [ended for _, ended, _ in told.asked] == [[], ["a"], ["a", "z"]]
    assert told.bodies[-1]["steps"]["z"] is None


def test_a_cancel_in_a_sleep_ends_the_calls() -> None:
    """The app isn't called any more."""
    told = Told()
    testing = kit(told, lambda *_: told.steps(asleep("z", "2h")))
    found = asyncio.run(testing.run("f", data={}, cancel=InSleep("z z", "1h")))
    assert found.status == "cancelled"
    assert len(told.asked) == 1


def test_a_failed_call_is_made_again_with_its_attempt() -> None:
    """As often as the function says; each later call begins at 0."""
    told = Told()

    def play(_: str, ended: list[str], attempt: int) -> Answer:
        if not ended:
            return told.steps(ran("a")) if attempt else told.answer(500, {"name": "E"})
        return told.end

    assert (outcome(told, play)).status == "completed"
    assert [attempt for *_, attempt in told.asked] == [0, 1, 0]


@pytest.mark.parametrize(("retries", "calls"), [(0, 1), (2, 3)])
def test_a_function_that_goes_on_failing_fails_its_run(retries: int, calls: int) -> None:
    """With the name and the message of the app's error."""
    told = Told()
    error = {"name": "Boom", "message": "no"}
    found = outcome(told, lambda *_: told.answer(500, error), retries)
    assert (found.status, len(told.asked)) == ("failed", calls)
    assert str(found.error) == "no"
    assert getattr(found.error, "code", None) == "Boom"


def test_what_must_not_be_tried_again_is_not() -> None:
    """Whatever the status."""
    told = Told()
    refused = {"x_inngest_no_retry": "true"}
    found = outcome(told, lambda *_: told.answer(400, {"message": "no"}, **refused))
    assert (found.status, len(told.asked)) == ("failed", 1)


def test_a_function_may_catch_the_error_of_a_step() -> None:
    """It gets the error word for word, once the step's calls are used up."""
    told = Told()
    error = {"name": "E", "message": "m", "data": {"kept": 1}}

    def play(_: str, ended: list[str], __: int) -> Answer:
        raised = {"op": "StepError", "id": "a", "displayName": "a", "error": error}
        return told.end if ended else told.steps(raised)

    assert (outcome(told, play, retries=1)).status == "completed"
    assert told.bodies[-1]["steps"] == {"a": {"error": error}}
    assert [attempt for *_, attempt in told.asked] == [0, 1, 0]


@pytest.mark.parametrize(("version", "discovered"), [(1, 3), (2, 2)])
def test_planned_steps_are_called_beside_each_other(version: int, discovered: int) -> None:
    """The app is asked after each of them, or when both have ended, as its version says."""
    told = Told(version)

    def play(step: str, ended: list[str], __: int) -> Answer:
        if step != DISCOVER:
            return told.steps(ran(step))
        return told.end if len(ended) == 2 else told.steps(planned("p"), planned("q"))

    found = outcome(told, play)
    assert found.status == "completed"
    assert sorted(step for step, *_ in told.asked if step != DISCOVER) == ["p", "q"]
    assert sum(step == DISCOVER for step, *_ in told.asked) in {2, discovered}
    only = [body["ctx"]["disable_immediate_execution"] for body in told.bodies]
    assert only[0] is False
    assert only[1] is True


def test_a_step_that_the_app_does_not_find_says_nothing() -> None:
    """Go answers that as if its function had returned: the app is asked again."""
    told = Told()

    def play(step: str, ended: list[str], __: int) -> Answer:
        if step != DISCOVER:
            return told.end if len(told.asked) < 3 else told.steps(ran(step))
        return told.end if ended else told.steps(planned("p"))

    assert (outcome(told, play)).status == "completed"
    assert [step for step, *_ in told.asked] == [DISCOVER, "p", DISCOVER, "p", DISCOVER]


@pytest.mark.parametrize("op", ["WaitForEvent", "InvokeFunction", "AIGateway", "SomethingNew"])
def test_what_is_not_supported_fails_the_run(op: str) -> None:
    """And names the step and the operation; it isn't tried again."""
    told = Told()
    one = {"op": op, "id": "w", "displayName": "wait here"}
    found = outcome(told, lambda *_: told.steps(one))
    assert (found.status, len(told.asked)) == ("failed", 1)
    assert f"'wait here' needs {op}" in str(found.error)


def test_a_run_may_be_told_complete_by_an_operation() -> None:
    """Which is as good as a return."""
    told = Told()
    found = outcome(told, lambda *_: told.steps(ran("a"), {"op": "RunComplete", "id": "x"}))
    assert (found.status, len(told.asked)) == ("completed", 1)


def test_an_app_that_tells_nothing_new_fails_its_run() -> None:
    """It would be asked for ever; a few times it may."""
    told = Told()
    found = outcome(told, lambda *_: told.steps(ran("a")))
    assert found.status == "failed"
    assert "again and again" in str(found.error)
    assert len(told.asked) < 20
