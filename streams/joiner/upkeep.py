"""What a partition does beside its input: it ends misdated rows, and forgets old sources."""

import threading
from collections.abc import Callable
from itertools import islice
from typing import Final, TypeAlias

from msgspec.structs import replace

from streams import logs
from streams.clock import Clock
from streams.errors import AbortedError, KafkaRefusedError, UnreachableError
from streams.joiner.decide import timers
from streams.joiner.decide.poison import PoisonError, deciding_on
from streams.joiner.decide.sources import outlived
from streams.joiner.decide.transaction import finish
from streams.joiner.decide.view import View
from streams.joiner.store import Store
from topology import limits, tables
from topology.tables import AppliedRow

_MISDATED_AT_ONCE: Final = 100_000

# Makes the view of a transaction; commits it, and gives the new applied row.
NewView: TypeAlias = Callable[[Store, AppliedRow], View]
Commit: TypeAlias = Callable[[Store, View, AppliedRow], AppliedRow]

log = logs.get(__name__)


class Upkeep:
    """The upkeep of one partition; its methods are called with the store and `commit` of a life."""

    def __init__(
        self,
        new_view: NewView,
        topic_ids: Callable[[], frozenset[bytes]],
        turn: threading.Lock,
        clock: Clock,
    ) -> None:
        """`topic_ids` asks the cluster for the ids of its topics; computes in its `turn`."""
        self._new_view = new_view
        self._topic_ids = topic_ids
        self._turn = turn
        self._clock = clock
        self._looked_at = 0
        self._missing: frozenset[bytes] = frozenset()

    def end_misdated(self, store: Store, applied: AppliedRow, commit: Commit) -> AppliedRow:
        """End what an earlier release took from a wrong clock (S38); the new applied row."""
        if not applied.watermark:
            return applied  # nobody knows the time yet
        ahead = tables.timers_until(applied.watermark + limits.MISDATED_MS)
        left = [key for key, _ in islice(store.scan(ahead, tables.TIMERS), _MISDATED_AT_ONCE)]
        while left:
            view, rest = self._new_view(store, applied), list(left)
            try:
                with self._turn:
                    _end_misdated(view, rest)
            except PoisonError as error:
                log.exception("A misdated row stays", row=error.key.hex())
                left.remove(error.key)
                continue
            left = rest
            pending = applied.pending + view.pending
            applied = commit(store, view, replace(applied, pending=pending))
        return applied

    def forget_sources(self, store: Store, applied: AppliedRow, commit: Commit) -> AppliedRow:
        """Remove the rows of sources that no router can read again; the new applied row.

        Once an hour: two looks must have missed their topics, since one answer may be incomplete.
        """
        if self._clock() - self._looked_at < limits.HOUR_MS:
            return applied
        self._looked_at = self._clock()
        rows = outlived(store.scan(tables.SOURCES, tables.SOURCES), applied.watermark)
        if not rows:
            return applied
        missed = self._missing
        try:
            self._missing = frozenset(rows.values()) - self._topic_ids()
            view = self._new_view(store, applied)
            for key, topic_id in rows.items():
                if topic_id in missed & self._missing:
                    view.put(key, None)
            return commit(store, view, applied) if view.changed else applied
        except (UnreachableError, KafkaRefusedError, AbortedError) as error:
            log.info("Old sources stay for another hour", error=str(error))
            return applied


def _end_misdated(view: View, left: list[bytes]) -> None:
    """End what the timers in `left` are for, and take them from it, as long as there is room."""
    view.allow(view.bounds.timers)
    while left and not view.is_full():
        timer = left.pop()
        view.derive(timer, None)
        with deciding_on(timer):
            timers.end_misdated(view, timer[tables.TIMER_ROW])
    finish(view)
