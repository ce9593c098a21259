"""Whatever an app answers, its run ends: no crash, and no calls without end."""

import json
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.clock import now_ms
from streams.inngest.answers import Answer, Response, failure, read_answer, unwrapped
from streams.inngest.drive import AppError
from streams.sdk.errors import StepError
from tests.unit.streams.inngest.test_drive import Told, outcome

_TEXT = st.text(max_size=8)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=8,
)
_OPS = st.sampled_from(
    ["StepRun", "Step", "StepError", "StepFailed", "StepPlanned", "Sleep", "RunComplete", "None",
     "DiscoveryRequest", "WaitForEvent", "InvokeFunction", "AIGateway", "Gateway", "DeferAdd", ""]
)  # fmt: skip
_IDS = st.sampled_from(["a", "b", "c", "0" * 40, ""])
_SLEEPS = st.sampled_from(["1s", "", "1d2h", "-5m", "2020-01-01T00:00:00Z", "soon", "9" * 30 + "w"])
_MODES = st.sampled_from(["race", "", None])
_OPTIONS = st.none() | st.fixed_dictionaries(
    {}, optional={"duration": _SLEEPS, "parallelMode": _MODES, "timeout": _JSON}
)
_OPERATION = st.fixed_dictionaries(
    {"op": _OPS, "id": _IDS},
    optional={"name": _SLEEPS, "displayName": _TEXT, "opts": _OPTIONS, "data": _JSON,
              "error": _JSON, "userland": _JSON, "mode": _TEXT},
)  # fmt: skip
# Often such as go on, so that runs come far.
_STATUSES = st.just(206) | st.sampled_from(
    [200, 201, 204, 206, 301, 400, 401, 404, 410, 429, 500, 503]
)
_HEADERS = st.fixed_dictionaries(
    {"x-inngest-sdk": st.sampled_from(["inngest-js:v4.24.0", "inngest-py:v0.5.19", "x"])},
    optional={
        "x-inngest-no-retry": st.sampled_from(["true", "false", "maybe"]),
        "x-inngest-req-version": st.sampled_from(["1", "2", "3", "-1", "two"]),
        "retry-after": st.sampled_from(["1", "0", "-3", "99999999999", "soon", "2020-01-01"]),
    },
)


class Given(NamedTuple):
    """What an app answers to a call."""

    status: int
    headers: dict[str, str]
    body: Any


_ANSWERS = st.lists(
    st.builds(Given, _STATUSES, _HEADERS, st.lists(_OPERATION, max_size=4) | _JSON),
    min_size=1,
    max_size=8,
)
# Each of few ids is new once, and an app that tells nothing new is called a few times more.
_MOST_CALLS = 60


@settings(deadline=None, max_examples=150)
@given(_ANSWERS)
def test_any_answers_end_the_run(answers: Sequence[Given]) -> None:
    """It completes, or fails as the app's: though the app begins anew where its answers end."""
    told, numbers, clock = Told(), count(), count(now_ms())

    def play(*_: object) -> Answer:
        at = next(numbers)
        assert at < _MOST_CALLS, "calls without end"
        return _read(answers[at % len(answers)], next(clock))

    found = outcome(told, play, retries=1)
    # A step's error: an integer of more than 64 bits can't be recorded.
    assert found.status == "completed" or isinstance(found.error, AppError | StepError), found


def _read(given: Given, at: int) -> Answer:
    """As `Caller` reads it."""
    body = json.dumps(given.body, default=str).encode()
    try:
        return read_answer(unwrapped(Response(given.status, given.headers, body)), at)
    except ValueError as error:
        return failure("ValueError", str(error), at)
