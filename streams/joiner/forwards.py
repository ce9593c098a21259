"""Reads the committed records of one partition of `forwards`, from the applied offset on."""

import threading
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import TopicPartition

from streams import logs
from streams.joiner.inbox import Inbox, Record
from streams.kafka import codes
from streams.kafka.consumers import follower
from topology import limits

_WAIT_S: Final = 0.5
# The client's own queue: little beside the inbox, since every partition of a process has one.
_FETCHED_KIB: Final = limits.QUEUE_FORWARD_BYTES // 1024

log = logs.get(__name__)


class ForwardReader:
    """A thread that puts forwarded commands into the inbox while it has room."""

    def __init__(
        self, config: Mapping[str, Any], topic: str, partition: int, offset: int, inbox: Inbox
    ) -> None:
        """Read from `offset` on; `start` begins."""
        self._consumer = follower(
            config,
            "countermand-forwards",
            auto_offset_reset="error",
            fetch_wait_max_ms=100,
            # The default waits a second with a full queue, and then runs dry.
            fetch_queue_backoff_ms=10,
            queued_max_messages_kbytes=_FETCHED_KIB,
        )
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        self._inbox = inbox
        self._stopping = threading.Event()
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._run, name=f"forwards-{partition}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to read; close the inbox first, so that nobody waits for room in it."""
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def check(self) -> None:
        """Raise the error that ended the thread, if one did: the partition begins again."""
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            self._read()
        except Exception as error:  # noqa: BLE001  # the partition's thread raises it
            self._failure = error

    def _read(self) -> None:
        while not self._stopping.is_set():
            # One at a time: a record that waits for room must not keep others in memory.
            message = self._consumer.poll(_WAIT_S)
            if message is None:
                continue
            error, offset = message.error(), message.offset()
            if error is None:
                assert offset is not None
                self._put(Record(offset, _bytes(message.value())))
            elif error.code() == codes.END:
                # All before was read, trailing markers too.
                self._put(Record((offset or 0) - 1, None))
            else:
                log.warning("Reading forwards is disturbed", error=str(error))

    def _put(self, record: Record) -> None:
        """Wait for room; drop the record if the inbox is closed, since this life is over."""
        while not self._inbox.put_forward(record, _WAIT_S):
            if self._inbox.closed or self._stopping.is_set():
                self._stopping.set()
                return


def _bytes(value: bytes | str | None) -> bytes:
    return value if isinstance(value, bytes) else b""  # a tombstone: the partition stops at it
