"""What `runs` shows of a step that has a title."""

import asyncio
from typing import Any

import orjson
import pytest
from msgspec import UNSET

from streams.sdk.execution import Execution, Titled
from streams.sdk.retries import Retries
from tests.support.claimed import run_id
from topology import limits
from topology.records import StepRecord


class Kept:
    """A journal that keeps what is recorded."""

    def __init__(self) -> None:
        self.records: list[StepRecord] = []

    async def record(self, record: StepRecord) -> None:
        """Keep it."""
        self.records.append(record)


def recorded(result: object) -> StepRecord:
    """The record of a step with this result, which its function gets."""

    async def taken() -> StepRecord:
        journal: Any = Kept()
        execution = Execution(run_id(), "a-b", 1, sleeps_at_most_ms=1, recorded={}, journal=journal)

        async def call(_begin: object) -> object:
            return result

        got = await execution.step("call", call, Retries(attempts=1))
        assert got == {"a": 1}
        (record,) = journal.records
        found: StepRecord = record
        return found

    return asyncio.run(taken())


@pytest.mark.parametrize("title", ["", "render", "x" * limits.STEP_CHARS])
def test_a_title_stands_for_the_name(title: str) -> None:
    """The record has both; the function gets the result alone."""
    record = recorded(Titled({"a": 1}, title))
    assert (record.step, record.title) == ("call", title)
    assert record.result is not UNSET
    assert orjson.loads(bytes(record.result)) == {"a": 1}


def test_a_title_is_cut_to_what_a_record_may_hold() -> None:
    """It comes from an app."""
    assert recorded(Titled({"a": 1}, "x" * 1_000)).title == "x" * limits.STEP_CHARS


def test_usual_steps_have_none() -> None:
    """Their names are shown."""
    assert recorded({"a": 1}).title is UNSET
