"""The input in memory that waits for one partition's processor."""

import threading
from collections import deque
from typing import NamedTuple

from topology import limits


class Record(NamedTuple):
    """A record of the partition's `commands` or `forwards`.

    Without a value it is a marker: all before its offset was read, and there may be no record.
    """

    offset: int
    value: bytes | None

    @property
    def size(self) -> int:
        """The bytes of its value."""
        return len(self.value or b"")


class Inbox:
    """Two bounded queues, for `commands` and `forwards`; thread-safe.

    Each has its own share of the memory, so neither kind keeps the other out.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._commands = _Queue(limits.QUEUE_BYTES)
        self._forwards = _Queue(limits.QUEUE_FORWARD_BYTES)
        self._closed = False

    @property
    def bytes(self) -> int:
        """The size of the values of all queued records."""
        return self._commands.bytes + self._forwards.bytes

    @property
    def closed(self) -> bool:
        """Whether the inbox takes no more records."""
        return self._closed

    def put_command(self, record: Record) -> bool:
        """Queue a record of `commands`; False if there is no room, or the inbox is closed.

        An empty queue has room for a record of any size.
        """
        with self._changed:
            if self._closed or not self._commands.has_room(record):
                return False
            self._commands.put(record)
            self._changed.notify_all()
            return True

    def put_forward(self, record: Record, timeout_s: float) -> bool:
        """Queue a record of `forwards`, once there is room within `timeout_s`.

        False if there was none, or the inbox is closed. An empty queue has room for a record of any
        size.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._forwards.has_room(record), timeout_s
            )
            if self._closed or not self._forwards.has_room(record):
                return False
            self._forwards.put(record)
            self._changed.notify_all()
            return True

    def take(self, room: int, timeout_s: float) -> tuple[list[Record], list[Record]]:
        """Take at most `room` records of each queue, as many bytes as one transaction decides on.

        Wait for a first record for `timeout_s`, or until the inbox is closed.
        """
        with self._changed:
            self._changed.wait_for(
                lambda: self._closed or self._commands.records or self._forwards.records, timeout_s
            )
            taken = self._commands.take(room), self._forwards.take(room)
            self._changed.notify_all()
            return taken

    def has_room(self) -> bool:
        """Whether half is free, so that `commands` may come again after there was no room."""
        with self._changed:
            return self._commands.is_half_free()

    def close(self) -> None:
        """Drop all records, and wake the threads that wait."""
        with self._changed:
            self._closed = True
            self._commands.clear()
            self._forwards.clear()
            self._changed.notify_all()


class _Queue:
    """Records in order; bounded by their number and by `most_bytes`, the size of their values."""

    def __init__(self, most_bytes: int) -> None:
        self.records: deque[Record] = deque()
        self.bytes = 0
        self._most_bytes = most_bytes

    def has_room(self, record: Record) -> bool:
        fits = self.bytes + record.size <= self._most_bytes
        return not self.records or (fits and len(self.records) < limits.QUEUE_BATCHES)

    def is_half_free(self) -> bool:
        few = len(self.records) < limits.QUEUE_BATCHES // 2
        return few and self.bytes < self._most_bytes // 2

    def put(self, record: Record) -> None:
        self.records.append(record)
        self.bytes += record.size

    def take(self, room: int) -> list[Record]:
        taken: list[Record] = []
        size = 0
        while self.records and len(taken) < room and size < limits.INTAKE_BYTES:
            taken.append(self.records.popleft())
            size += taken[-1].size
        self.bytes -= size
        return taken

    def clear(self) -> None:
        self.records.clear()
        self.bytes = 0
