"""Takes what the group's share of `runs` brought, on the event loop."""

import asyncio
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import Final

from streams.sdk.errors import Suspended
from streams.sdk.worker.dispatches import Dispatch
from streams.sdk.worker.history import History
from streams.sdk.worker.journal import Journal
from streams.sdk.worker.updates import Words
from streams.sdk.worker.worker import Worker

_EVERY_S: Final = 0.5
_AT_ONCE: Final = 1_000
_MOST: Final = 20_000


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
        self._over: dict[int, list[tuple[str, int]]] = {}

    @property
    def is_full(self) -> bool:
        """Whether more was read than can be taken."""
        return self._worker.is_full or sum(map(len, self._over.values())) > _MOST

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
        for partition in partitions:
            self._over.pop(partition, None)

    def ended(self, run_id: str, partition: int, offset: int) -> None:
        """A run is over: nobody asks for its steps any more."""
        self._worker.went_on(run_id)
        self._over.setdefault(partition, []).append((run_id, offset))

    async def tend(self) -> None:
        """Remove what is needed no more, many runs at once; until cancelled."""
        while True:
            await asyncio.sleep(_EVERY_S)
            for partition, over in list(self._over.items()):
                part = self._over[partition] = over[_AT_ONCE:]
                if not part:
                    del self._over[partition]
                await self._forget(partition, over[:_AT_ONCE])

    async def _forget(self, partition: int, over: list[tuple[str, int]]) -> None:
        with suppress(Suspended):  # whoever has the partition now reads these records too
            found = await self._history.recorded(partition, [run_id for run_id, _ in over])
            words = [
                self._words.forgotten(run_id, step)
                for run_id, recorded in found.items()
                for step in recorded
            ]
            if words:
                await self._journal.write(words)
        for _, offset in over:
            self._done(partition, offset)
