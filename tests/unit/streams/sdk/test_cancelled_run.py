"""Records of `cancelled` become runs, and what is none is refused with a reason."""

from dataclasses import FrozenInstanceError
from typing import Any

import orjson
import pytest

from streams.sdk.cancelled_run import CancelledRun, Event, read_cancelled
from topology.codec import CodecError

RUN_ID = "01JDJ9P7X5S2X3QG0R6N9K4T7B"
EVENT = {"name": "report/requested", "data": {"pages": 3}, "id": "e1", "ts": 1732570023717}
RUN = {
    "status_before": "running",
    "scheduled_at": 1732570023717,
    "started_at": 1732570023800,
    "last_step": "load",
    "attempt": 2,
}
DATA = {
    "function_id": "reports-generate",
    "run_id": RUN_ID,
    "event": EVENT,
    "events": [EVENT],
    "error": {"name": "Error", "message": "function cancelled", "error": "function cancelled"},
    "cause": {"type": "api", "requested_by": "ann"},
    "run": RUN,
}


def record(**data: Any) -> bytes:
    """A record of the contract, but for these fields of its data."""
    whole = {"v": 1, "name": "function.cancelled", "id": RUN_ID, "ts": 1, "data": DATA | data}
    return orjson.dumps(whole)


def test_a_record_becomes_a_run() -> None:
    """Everything that cleaning up needs is there, under its name."""
    assert read_cancelled(record()) == CancelledRun(
        run_id=RUN_ID,
        function_id="reports-generate",
        event=Event("report/requested", "e1", 1732570023717, {"pages": 3}),
        cause={"type": "api", "requested_by": "ann"},
        status_before="running",
        last_step="load",
        attempt=2,
        stopped=False,
    )


def test_a_run_that_never_started_has_no_step() -> None:
    """What is null in the record is None."""
    fields = {"status_before": "scheduled", "started_at": None, "last_step": None}
    run = read_cancelled(record(run=RUN | fields))
    assert (run.status_before, run.last_step, run.stopped) == ("scheduled", None, True)


@pytest.mark.parametrize("user", [{"id": 7}, "ann", None])
def test_any_user_is_kept(user: object) -> None:
    """A user's own topic may name its users as it likes: its runs are cancelled all the same."""
    assert read_cancelled(record(event=EVENT | {"user": user})).event.user == user


def test_later_fields_are_ignored() -> None:
    """A record of a later release is read, wherever something was added."""
    event = EVENT | {"v": "2", "more": 1}
    assert read_cancelled(record(event=event, run=RUN | {"more": 1}, more=1)) == read_cancelled(
        record()
    )


def test_a_run_can_not_be_changed() -> None:
    """A handler can't spoil what the next one sees."""
    run = read_cancelled(record())
    with pytest.raises(FrozenInstanceError):
        run.attempt = 3  # type: ignore[misc]


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (b"", "truncated"),
        (b"\x00\xff garbage", "invalid"),
        (b"[]", "Expected `object`"),
        (b"{}", "missing required field `data`"),
        (record(run=None), r"Expected `object`, got `null` - at `\$.data.run`"),
        (record(event={"name": "a"}), r"missing required field `id` - at `\$.data.event`"),
        (record(run_id="no-ulid"), "not a run id"),
        (b'{"x":' * 50_000 + b"1" + b"}" * 50_000, "recursion"),
    ],
    ids=["nothing", "no JSON", "no object", "no data", "no run", "no event", "no id", "too deep"],
)
def test_garbage_is_refused_with_a_reason(value: bytes, why: str) -> None:
    """Nothing but one kind of error, which says where it is wrong."""
    with pytest.raises(CodecError, match=why) as caught:
        read_cancelled(value)
    assert str(caught.value).startswith("not a function.cancelled event: ")
