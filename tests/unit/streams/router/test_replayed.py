"""Records of `replayed`: a run's event starts one run of one function once more."""

import json
from typing import Any

import pytest

from streams.functions.definition import read_text
from streams.functions.registry import Registry
from streams.router.drafts import Routed
from streams.router.record import Record
from streams.router.replayed import route_replayed
from streams.router.route import EventRouter
from topology import codec, keys
from topology.records import Register

RUN = bytes(range(16))
REPLAY = bytes(range(16, 32))
EVENT = {"name": "report/requested", "data": {"reportId": "r1"}, "id": "e1", "ts": 1}
FUNCTIONS = """
functions:
  - {id: one, app: a, triggers: [{event: report/requested}],
     cancel_on: [{event: report/requested, match: data.reportId}]}
  - {id: two, app: a, triggers: [{event: report/requested}]}
"""


def route(limit: int = 10_000, **fields: Any) -> Routed:
    """What becomes of a replayed run of a-one."""
    record = {
        "function_id": "a-one",
        "event": EVENT,
        "replay_of": keys.run_id_text(RUN),
        "replay_id": keys.run_id_text(REPLAY),
        **fields,
    }
    registry = Registry()
    for number, function in enumerate(read_text(FUNCTIONS)):
        key = f"{function.slug}/{number:026}".encode()
        registry.apply(number, 0, key, codec.encode_function(function))
    value = json.dumps(record).encode()
    router = EventRouter(8, "function.cancelled", {})
    return route_replayed(Record("replayed", 0, 5, 9_000, None, value), router, registry, limit)


def test_it_starts_one_run_of_its_function_and_cancels_nothing() -> None:
    """Though the event triggers others, and would cancel earlier runs."""
    [draft] = route().drafts.values()
    [command] = draft.commands
    assert isinstance(command, Register)
    assert (command.replay_of, command.replay_id, command.cancels) == (RUN, REPLAY, ())
    assert draft.definitions[0].slug == "a-one"


def test_each_replay_of_a_run_has_an_id_of_its_own() -> None:
    """Two replays in one ms are two runs; a repeated record is the same one."""
    other = keys.run_id_text(RUN)
    ids = [next(iter(one.drafts.values())).commands[0] for one in (route(), route())]
    assert ids[0] == ids[1]
    [draft] = route(replay_id=other).drafts.values()
    command = draft.commands[0]
    assert isinstance(command, Register)
    assert isinstance(ids[0], Register)
    assert command.run_id != ids[0].run_id


@pytest.mark.parametrize(("due", "expected"), [(0, 0), (8_000, 0), (9_500, 9_500)])
def test_it_is_dispatched_when_it_is_due(due: int, expected: int) -> None:
    """A time that has passed is now."""
    [draft] = route(dispatch_at=due).drafts.values()
    assert isinstance(draft.commands[0], Register)
    assert draft.commands[0].dispatch_at == expected


def test_a_function_that_is_gone_runs_no_more() -> None:
    """Nothing happens, as with an event that triggers nothing."""
    routed = route(function_id="a-gone")
    assert (routed.drafts, routed.rejections) == ({}, ())


@pytest.mark.parametrize(
    "fields",
    [
        {"event": []},
        {"event": {"name": "x"}},
        {"replay_of": "x"},
        {"replay_id": None},
        {"function_id": 7},
        {"dispatch_at": "soon"},
    ],
)
def test_what_is_no_replayed_run_is_refused(fields: dict[str, Any]) -> None:
    """The topic is ours, but anybody may write to it."""
    [rejection] = route(**fields).rejections
    assert rejection.kind == "bad_replay"


def test_a_record_beyond_the_limit_is_refused() -> None:
    """Its event was within the limit when it came first."""
    [rejection] = route(limit=10).rejections
    assert rejection.kind == "too_large"
