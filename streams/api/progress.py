"""How far a request is: the sum over its partitions."""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import orjson
from pydantic import Field
from sqlalchemy import Connection, select

from streams.api.fields import Answer
from streams.database.schema import PROGRESS
from topology import limits


class State(StrEnum):
    """Where a request is."""

    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"


_OVER = frozenset({State.DONE, State.STOPPED, State.FAILED})


class Counts(Answer):
    """What was found so far, over all partitions."""

    scanned: int = Field(description="Runs in the range that were looked at.")
    matched: int = Field(description="Unfinished ones for which `if` is true.")
    already_ended: int = Field(description="Runs that had ended before; `if` isn't asked.")
    failed: int = Field(description="Runs on which `if` had no answer; they are left alone.")
    partitions_done: int
    partitions: int


class CancelCounts(Counts):
    """The counts of what cancels."""

    cancelled: int = Field(description="Runs that were cancelled; 0 in a dry run.")


class ReplayCounts(Counts):
    """The counts of a replay."""

    replayed: int = Field(description="Runs registered again; 0 in a dry run.")


@dataclass(frozen=True, slots=True)
class Progress:
    """The progress of one request."""

    state: State
    counts: dict[str, int]
    sample: list[str]
    errors: list[str]
    updated_at: int | None

    def cancels(self) -> CancelCounts:
        """As the counts of what cancels."""
        return CancelCounts.model_validate(self.counts)

    def replays(self) -> ReplayCounts:
        """As the counts of a replay."""
        return ReplayCounts.model_validate(self.counts)


_SUMS = ("scanned", "matched", "cancelled", "replayed", "already_ended", "failed")


def read_progress(
    connection: Connection, request_ids: Sequence[str], partitions: int
) -> dict[str, Progress]:
    """The progress of requests by id, also of those that no partition has begun."""
    rows = defaultdict(list)
    if request_ids:
        query = select(PROGRESS).where(PROGRESS.c.request_id.in_(request_ids))
        for row in connection.execute(query).mappings():
            rows[row["request_id"]].append(row)
    return {id_: summed(rows[id_], partitions) for id_ in request_ids}


def summed(rows: Sequence[Any], partitions: int) -> Progress:
    """The progress of one request from its partitions' rows."""
    counts = {name: sum(row[name] for row in rows) for name in _SUMS}
    states = [State(row["state"]) for row in rows]
    done = sum(state in _OVER for state in states)
    sample = [run_id for row in rows for run_id in orjson.loads(row["sample"])]
    return Progress(
        state=overall(states, partitions),
        counts=counts | {"partitions_done": done, "partitions": partitions},
        sample=sorted(sample)[: limits.SAMPLE],
        errors=sorted({row["error"] for row in rows if row["error"]}),
        updated_at=max((row["updated_at"] for row in rows), default=None),
    )


def overall(states: Iterable[State], partitions: int) -> State:
    """The state of a request from its partitions' states."""
    found = list(states)
    if set(found) <= {State.QUEUED}:
        return State.QUEUED
    if State.RUNNING in found or State.QUEUED in found:
        return State.RUNNING
    if State.FAILED in found:
        return State.FAILED
    if State.STOPPED in found:
        return State.STOPPED
    return State.DONE if len(found) >= partitions else State.RUNNING
