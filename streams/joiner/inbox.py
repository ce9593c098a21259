"""What waits in memory for one partition's processor."""

import threading
from collections import deque
from typing import NamedTuple

from topology import limits


class Record(NamedTuple):
    """One record of `commands` or `forwards` of the partition."""

    offset: int
    value: bytes


class Inbox:
    """Two bounded queues and a way to wait for both; thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._commands: deque[Record] = deque()
        self._forwards: deque[Record] = deque()
        self._bytes = 0
        self._closed = False

    @property
    def bytes(self) -> int:
        """Size of all that waits."""
        return self._bytes

    def put_command(self, record: Record) -> bool:
        """Queue a record of `commands`.

        False where there is no room (never for an empty inbox) or it is closed.
        """
        with self._changed:
            full = self._bytes >= limits.QUEUE_BYTES or len(self._commands) >= limits.QUEUE_BATCHES
            if self._closed or full:
                return False
            self._commands.append(record)
            self._bytes += len(record.value)
            self._changed.notify()
            return True

    def put_forward(self, record: Record) -> None:
        """Queue a record of `forwards`; waits while there is no room."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or len(self._forwards) < limits.QUEUE_BATCHES
            )
            self._forwards.append(record)
            self._bytes += len(record.value)
            self._changed.notify()

    def take(self, room: int, timeout_s: float) -> tuple[list[Record], list[Record]]:
        """Take at most `room` records of each, and no more bytes than are decided on at once.

        Waits until there is one, or the time is over, or it is closed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._commands or self._forwards, timeout_s
            )
            commands, forwards = _first(self._commands, room), _first(self._forwards, room)
            self._bytes -= sum(len(record.value) for record in commands + forwards)
            self._changed.notify_all()
            return commands, forwards

    def has_room(self) -> bool:
        """Whether half of it is free again: time to go on after it was full."""
        with self._changed:
            return (
                self._bytes < limits.QUEUE_BYTES // 2
                and len(self._commands) < limits.QUEUE_BATCHES // 2
            )

    def close(self) -> None:
        """Drop everything and let everybody go who waits."""
        with self._changed:
            self._closed = True
            self._commands.clear()
            self._forwards.clear()
            self._bytes = 0
            self._changed.notify_all()


def _first(queue: deque[Record], room: int) -> list[Record]:
    taken: list[Record] = []
    size = 0
    while queue and len(taken) < room and size < limits.INTAKE_BYTES:
        taken.append(queue.popleft())
        size += len(taken[-1].value)
    return taken
