"""A run that sleeps for long costs its worker nothing meanwhile."""

import asyncio
import gc
from collections.abc import Callable, Sequence

import msgspec
from msgspec import Raw

from streams.metrics import Metrics
from streams.sdk import App, Context
from streams.sdk.execution import Execution
from streams.sdk.worker.claimed import ClaimedRun
from streams.sdk.worker.dispatches import Dispatch
from streams.sdk.worker.figures import Figures
from streams.sdk.worker.journal import Outgoing
from streams.sdk.worker.updates import Updates
from streams.sdk.worker.worker import Limits, Worker
from streams.settings import load
from topology import keys
from topology.records import RunRecord

RUNS = 200

app = App("parking")


@app.function(id="sleeper", trigger="sleep")
async def sleeper(ctx: Context) -> None:
    """Sleep for a day."""
    await ctx.step.sleep("day", "1d")


class _Written:
    """A journal whose transactions always commit at once."""

    def __init__(self) -> None:
        self.updates: list[dict[str, object]] = []

    async def write(
        self, records: Sequence[Outgoing], may_write: Callable[[], bool] = lambda: True
    ) -> None:
        assert may_write()
        for one in records:
            if one.topic.endswith("run-updates"):
                self.updates.append(msgspec.json.decode(one.value or b""))


def test_a_parked_run_leaves_nothing_behind() -> None:
    """Once `runs` shows that it sleeps, no object of it is left in the worker."""
    before = _alive()
    asyncio.run(_park(RUNS))
    assert _alive() == before


async def _park(count: int) -> None:
    journal, done = _Written(), set[int]()
    updates = Updates(load(), "worker", 8)
    worker = Worker(
        updates,
        journal,  # type: ignore[arg-type]  # as much of it as a worker uses
        None,  # type: ignore[arg-type]  # first attempts have no history
        Limits(concurrency=count, park_after_ms=30_000, overrun_s=60.0),
        Figures(Metrics()),
        lambda _partition, offset: done.add(offset),
    )
    runs = [_run(number) for number in range(count)]
    function = app.functions["sleeper"]
    worker.dispatched(Dispatch(run, function, 0, at) for at, run in enumerate(runs))
    worker.seen(_now(run, status="running", worker="worker", dispatch=False) for run in runs)
    for _ in range(10):  # as often as it takes tasks to write and end
        await asyncio.sleep(0)
    assert sum(update["status"] == "sleeping" for update in journal.updates) == count
    worker.seen(_now(run, status="sleeping", dispatch=False) for run in runs)
    await asyncio.sleep(0)
    assert worker.runs == {}
    assert done == set(range(count))


def _run(number: int) -> RunRecord:
    run_id = keys.run_id(1_700_000_000_000 + number, bytes(16), number.to_bytes(16, "big"))
    return RunRecord(
        run_id=keys.run_id_text(run_id),
        function_id="parking-sleeper",
        app_id="parking",
        status="scheduled",
        attempt=1,
        dispatch=True,
        scheduled_at=1_700_000_000_000,
        event=Raw(b'{"name":"sleep","id":"1","ts":1,"data":{}}'),
    )


def _now(run: RunRecord, **fields: object) -> RunRecord:
    return msgspec.structs.replace(run, **fields)


def _alive() -> int:
    """How many objects of runs there are."""
    gc.collect()
    return sum(isinstance(one, ClaimedRun | Execution | asyncio.Task) for one in gc.get_objects())
