"""What a worker says is what routers take."""

import dataclasses

import pytest
from msgspec import Raw

from streams.router.record import Record
from streams.router.updates import route_update
from streams.sdk.worker.journal import Outgoing
from streams.sdk.worker.updates import Updates
from streams.settings import load
from tests.support.claimed import WORKER, run_id
from topology import codec, keys, limits
from topology.records import StepRecord, Update

P = 8
RUN = keys.run_id_bytes(run_id())
HOME = keys.partition_of_run(RUN, P)


class LoudError(Exception):
    """An error with more to say than a record holds."""

    code = "é" * 1_000


def worker_updates() -> Updates:
    """The updates of one worker."""
    return Updates(load(), WORKER, P)


def routed(written: Outgoing) -> list[tuple[int, Update]]:
    """What a router makes of a record: per partition, nothing refused."""
    assert written.topic == "countermand.run-updates"
    result = route_update(Record(written.topic, 0, 0, 1, written.key, written.value), P)
    assert result.rejections == ()
    commands = [
        (home, command) for home, draft in result.drafts.items() for command in draft.commands
    ]
    assert all(isinstance(command, Update) for _, command in commands)
    return commands  # type: ignore[return-value]  # just asserted


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        (worker_updates().claim(run_id(), 2), Update(RUN, b"", "running", 2, WORKER)),
        (worker_updates().took_step(run_id(), 2, "a"), Update(RUN, b"", "running", 2, WORKER, "a")),
        (worker_updates().sleeps(run_id(), 2, 77), Update(RUN, b"", "sleeping", 2, WORKER, "", 77)),
        (worker_updates().completed(run_id(), 2), Update(RUN, b"", "completed", 2, WORKER)),
        (worker_updates().stopped(run_id(), 2), Update(RUN, b"", "stopped", 2, WORKER)),
        (
            worker_updates().failed(run_id(), 2, OSError("no paper")),
            Update(RUN, b"", "failed", 2, WORKER, error=("OSError", "no paper")),
        ),
        (
            worker_updates().failed(run_id(), 2, OSError()),
            Update(RUN, b"", "failed", 2, WORKER, error=("OSError", "OSError")),
        ),
        (
            worker_updates().failed(run_id(), 2, ValueError("\udcff")),
            Update(RUN, b"", "failed", 2, WORKER, error=("ValueError", "?")),
        ),
    ],
    ids=lambda value: value.status if isinstance(value, Update) else "",
)
def test_routers_take_each_update(written: Outgoing, expected: Update) -> None:
    """At the run's home, under its key."""
    assert written.key == run_id().encode()
    assert routed(written) == [(HOME, expected)]


def test_routers_take_the_longest_texts() -> None:
    """Names and messages are cut to what a record may hold."""
    step = "x" * limits.STEP_CHARS
    [(_, update)] = routed(worker_updates().took_step(run_id(), 2, step))
    assert update.step == step
    [(_, update)] = routed(worker_updates().failed(run_id(), 2, LoudError("é" * 10_000)))
    assert update.error is not None
    name, message = update.error
    assert len(name) == limits.ERROR_NAME_CHARS
    assert len(message.encode()) == limits.ERROR_MESSAGE_BYTES


def test_a_heartbeat_is_for_many_runs() -> None:
    """As many as one record may name."""
    runs = [(run_id(number), 3) for number in range(limits.HEARTBEAT_RUNS)]
    written = worker_updates().heartbeat(runs)
    assert written.key == WORKER.encode()
    updates = [update for _, update in routed(written)]
    assert len(updates) == len(runs)
    assert {(one.status, one.attempt, one.worker) for one in updates} == {("heartbeat", 3, WORKER)}
    assert len(written.value or b"") <= limits.EVENT_BYTES


def test_outcomes_lie_in_the_partition_of_their_run() -> None:
    """Whoever gets the run's dispatch has them; a removal has the same key and place."""
    record = StepRecord(run_id=run_id(), step="load", attempt=2, result=Raw(b"[1]"))
    written = worker_updates().step(record)
    assert (written.topic, written.partition) == ("countermand.steps", HOME)
    assert written.key == f"{run_id()}/load".encode()
    assert codec.decode_json(written.value or b"", StepRecord) == record
    assert worker_updates().home(run_id()) == HOME
    forgotten = worker_updates().forgotten(run_id(), "load")
    assert forgotten == dataclasses.replace(written, value=None)
