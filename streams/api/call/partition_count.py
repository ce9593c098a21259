"""The partition count that topics share: without it nobody knows when a request is done."""

from streams.api.problems import unavailable
from streams.errors import CountermandError
from streams.kafka.topics import check_topics
from streams.settings import Settings


class PartitionCount:
    """Knows the count once Kafka has told it; it never changes."""

    def __init__(self, settings: Settings, known: int | None = None) -> None:
        """Ask Kafka when the count is needed first, unless it is `known`."""
        self._settings = settings
        self._known = known

    def get(self) -> int:
        """The count.

        Raises:
            ProblemError: 503; Kafka hasn't told it since this process started.
        """
        if self._known is None:
            try:
                self._known = check_topics(self._settings).partitions
            except CountermandError as error:
                raise unavailable("kafka_unavailable", str(error)) from error
        return self._known
