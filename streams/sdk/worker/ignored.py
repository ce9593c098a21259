"""Counts the records that a worker ignores because they aren't what they should be (S38)."""

from collections.abc import Callable
from typing import TypeVar

from confluent_kafka import Message

from streams import logs
from streams.sdk.worker.figures import Figures
from topology.codec import CodecError

T = TypeVar("T")
log = logs.get(__name__)


class Ignored:
    """Counts, and logs one record a minute and topic; any thread may use it."""

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._limiter = logs.Limiter()

    def unless_read(self, message: Message, read: Callable[[], T]) -> T | None:
        """What `read` makes of a record; None if it raises `CodecError`: the record is ignored."""
        try:
            return read()
        except CodecError as error:
            topic = message.topic() or ""
            self._figures.ignored(topic)
            suppressed = self._limiter.admit(topic)
            if suppressed is not None:
                log.warning(
                    "A record is ignored: it isn't what this topic holds",
                    topic=topic,
                    partition=message.partition(),
                    offset=message.offset(),
                    error=str(error),
                    suppressed=suppressed,
                )
            return None
