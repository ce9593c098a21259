"""Takes what the group's share of `runs` brought, on the event loop."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress

from streams.sdk.errors import Suspended
from streams.sdk.worker.dispatches import Dispatch
from streams.sdk.worker.history import History
from streams.sdk.worker.journal import Journal
from streams.sdk.worker.words import Words
from streams.sdk.worker.worker import Worker


class Taker:
    """Hands dispatches to the worker, and removes the recorded steps of runs that are over."""

    def __init__(
        self,
        worker: Worker,
        words: Words,
        history: History,
        journal: Journal,
        done: Callable[[int, int], None],
    ) -> None:
        """`done(partition, offset)`: a record needn't be read again."""
        self._worker = worker
        self._words = words
        self._history = history
        self._journal = journal
        self._done = done
        self._tasks: set[asyncio.Task[None]] = set()

    def dispatched(self, found: Iterable[Dispatch]) -> None:
        """Runs are to be claimed."""
        self._worker.dispatched(found)

    def went_on(self, run_id: str) -> None:
        """A run has a later record than its dispatch."""
        self._worker.went_on(run_id)

    def passed(self, partition: int, offset: int) -> None:
        """A record asks for nothing more."""
        self._done(partition, offset)

    def revoked(self, partitions: set[int]) -> None:
        """Other workers read these partitions now."""
        self._worker.revoked(partitions)

    def ended(self, run_id: str, partition: int, offset: int) -> None:
        """A run is over: nobody asks for its steps any more."""
        task = asyncio.get_running_loop().create_task(self._forget(run_id, partition, offset))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forget(self, run_id: str, partition: int, offset: int) -> None:
        with suppress(Suspended):  # whoever has the partition now reads this record too
            recorded = await self._history.recorded(partition, run_id)
            if recorded:
                await self._journal.write(
                    [self._words.forgotten(run_id, step) for step in recorded]
                )
        self._done(partition, offset)
