"""Reads the committed records of one partition of `forwards`, from the applied offset on."""

import threading
from collections.abc import Mapping
from typing import Any, Final

from confluent_kafka import TopicPartition

from streams import logs
from streams.joiner.inbox import Inbox, Record
from streams.kafka import codes
from streams.kafka.consumers import follower

_WAIT_S: Final = 0.5
_READ_AT_ONCE: Final = 100

log = logs.get(__name__)


class ForwardReader:
    """A thread that puts forwarded commands into the inbox while it has room."""

    def __init__(
        self, config: Mapping[str, Any], topic: str, partition: int, offset: int, inbox: Inbox
    ) -> None:
        """Read from `offset` on; `start` begins."""
        self._consumer = follower(
            config, "countermand-forwards", auto_offset_reset="error", fetch_wait_max_ms=100
        )
        self._consumer.assign([TopicPartition(topic, partition, offset)])
        self._inbox = inbox
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"forwards-{partition}", daemon=True)

    def start(self) -> None:
        """Begin to read."""
        self._thread.start()

    def stop(self) -> None:
        """Stop to read; close the inbox first, since the thread waits while it is full."""
        self._stopping.set()
        self._thread.join()
        self._consumer.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            first = self._consumer.poll(_WAIT_S)
            if first is None:
                continue
            # Only what is there: `consume` would wait for as many as it may take.
            for message in (first, *self._consumer.consume(_READ_AT_ONCE, 0)):
                error, offset = message.error(), message.offset()
                if error is None:
                    value = message.value()
                    assert isinstance(value, bytes)
                    assert offset is not None
                    self._inbox.put_forward(Record(offset, value))
                elif error.code() == codes.END:
                    # All before was read, trailing markers too: an empty record says so.
                    self._inbox.put_forward(Record((offset or 0) - 1, b""))
                else:
                    log.warning("Reading forwards is disturbed", error=str(error))
