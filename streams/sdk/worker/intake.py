"""What the group's share of `runs` asks of a worker: dispatches, and what is over."""

import asyncio
from collections.abc import Callable
from typing import Any, Final, Protocol

from streams import logs
from streams.sdk.app import App
from streams.sdk.worker.claimed import has_ended
from streams.sdk.worker.dispatches import Dispatch
from topology import codec
from topology.codec import CodecError
from topology.records import RunRecord

_log = logs.get(__name__)
_HEADER: Final = "function-id"


class Ended:
    """A run that is over: the outcomes of its steps are needed no more."""

    __slots__ = ("run_id",)

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id


class Taker(Protocol):
    """Who takes what was read, on the event loop."""

    def dispatched(self, found: list[Dispatch]) -> None:
        """Runs are to be claimed."""

    def went_on(self, run_id: str) -> None:
        """A run has a later record than its dispatch."""

    def ended(self, run_id: str, partition: int, offset: int) -> None:
        """A run is over."""

    def passed(self, partition: int, offset: int) -> None:
        """A record asks for nothing more."""

    def revoked(self, partitions: set[int]) -> None:
        """Other workers read these partitions now."""


class Intake:
    """`reader.Handler` of a worker: reads in its thread, hands over to the loop."""

    def __init__(
        self,
        app: App,
        taker: Taker,
        loop: asyncio.AbstractEventLoop,
        owned: Callable[[set[int]], None],
        lost: Callable[[set[int]], None],
    ) -> None:
        """`owned` and `lost` are told of partitions, from the reader's thread."""
        self._app = app
        self._functions = app.by_slug()
        self._prefix = f"{app.id}-"
        self._taker = taker
        self._loop = loop
        self._owned = owned
        self._lost = lost

    def select(self, message: Any) -> object | None:  # noqa: ANN401  # unstubbed
        """A record of one of the app's runs; all else is passed by."""
        slug = slug_of(message)
        if slug not in self._functions and not slug.startswith(self._prefix):
            return None
        value = message.value()
        if value is None:
            return Ended(message.key().decode())
        record = read_record(value)
        return record if record is not None and record.app_id == self._app.id else None

    def deliver(self, found: list[tuple[int, int, object]]) -> None:
        """Let the loop take them."""
        self._loop.call_soon_threadsafe(self._take, found)

    def assigned(self, partitions: set[int]) -> None:
        """These partitions are ours now."""
        self._owned(partitions)

    def revoked(self, partitions: set[int]) -> None:
        """These partitions are no longer ours."""
        self._lost(partitions)
        self._loop.call_soon_threadsafe(self._taker.revoked, partitions)

    def _take(self, found: list[tuple[int, int, object]]) -> None:
        for partition, offset, what in found:
            if isinstance(what, Ended):
                self._taker.ended(what.run_id, partition, offset)
                continue
            assert isinstance(what, RunRecord)
            if what.dispatch:
                function = self._functions.get(what.function_id)
                self._taker.dispatched([Dispatch(what, function, partition, offset)])
                continue
            self._taker.went_on(what.run_id)
            if has_ended(what.status):
                self._taker.ended(what.run_id, partition, offset)
            else:
                self._taker.passed(partition, offset)


def read_record(value: bytes) -> RunRecord | None:
    """A record of `runs`; None, and a warning, for what is none."""
    try:
        return codec.decode_json(value, RunRecord)
    except CodecError as error:
        _log.warning("A record of runs can't be read", error=str(error))
        return None


def slug_of(message: Any) -> str:  # noqa: ANN401  # unstubbed
    """Of which function a record of `runs` or `cancelled` is, from its header."""
    for name, value in message.headers() or ():
        if name == _HEADER and value is not None:
            return bytes(value).decode(errors="replace")
    return ""
