"""Whatever an app answers, its run ends: no crash, and no calls without end."""

import json
from collections.abc import Sequence
from itertools import count
from typing import Any, NamedTuple

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.clock import now_ms
from streams.inngest.answers import Answer, Response, read_answer, unwrapped
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
_STATUSES = st.sampled_from([200, 201, 204, 206, 301, 400, 401, 404, 410, 429, 500, 503])
_HEADERS = st.fixed_dictionaries(
    {},
    optional={
        "x-inngest-sdk": st.sampled_from(["inngest-js:v4.24.0", "inngest-py:v0.5.19", "x"]),
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
    st.builds(Given, _STATUSES, _HEADERS, st.lists(_OPERATION, max_size=4) | _OPERATION | _JSON),
    max_size=8,
)


@settings(deadline=None, max_examples=150)
@given(_ANSWERS)
def test_any_answers_end_the_run(answers: Sequence[Given]) -> None:
    """It completes, or fails with an error; once the answers are over, the function returns."""
    told, numbers, clock = Told(), count(), count(now_ms())

    def play(*_: object) -> Answer:
        at = next(numbers)
        if at >= len(answers):
            return told.end
        return _read(answers[at], next(clock))

    found = outcome(told, play, retries=1)
    assert found.status in {"completed", "failed"}
    assert len(told.asked) <= 40


def _read(given: Given, at: int) -> Answer:
    body = json.dumps(given.body, default=str).encode()
    response = Response(given.status, given.headers, body)
    try:
        return read_answer(unwrapped(response), at)
    except ValueError:
        return read_answer(Response(given.status, {}, body), at)
