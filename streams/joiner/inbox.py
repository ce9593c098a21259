"""The input in memory that waits for one partition's processor."""

import threading
from collections import deque
from typing import NamedTuple

from topology import limits


class Record(NamedTuple):
    """A record of the partition's `commands` or `forwards`."""

    offset: int
    value: bytes


class Inbox:
    """Two bounded queues, for `commands` and `forwards`; thread-safe."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._commands: deque[Record] = deque()
        self._forwards: deque[Record] = deque()
        self._bytes = 0
        self._closed = False

    @property
    def bytes(self) -> int:
        """The size of the values of all queued records."""
        return self._bytes

    def put_command(self, record: Record) -> bool:
        """Queue a record of `commands`; False if there is no room, or the inbox is closed.

        An empty inbox has room for a record of any size.
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
        """Queue a record of `forwards`; wait while there is no room and the inbox is open."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or len(self._forwards) < limits.QUEUE_BATCHES
            )
            self._forwards.append(record)
            self._bytes += len(record.value)
            self._changed.notify()

    def take(self, room: int, timeout_s: float) -> tuple[list[Record], list[Record]]:
        """Take at most `room` records of each queue, as many bytes as one transaction decides on.

        Wait for a first record for `timeout_s`, or until the inbox is closed.
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
        """Whether half of the inbox is free, so that records may come again after it was full."""
        with self._changed:
            return (
                self._bytes < limits.QUEUE_BYTES // 2
                and len(self._commands) < limits.QUEUE_BATCHES // 2
            )

    def close(self) -> None:
        """Drop all records, and wake the threads that wait."""
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
