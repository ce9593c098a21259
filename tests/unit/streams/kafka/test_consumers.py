"""Where a partition begins and ends, asked while the brokers change."""

from typing import cast

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from streams.errors import KafkaRefusedError
from streams.kafka.consumers import PASSING, UNSETTLED, bounds

PLACE = TopicPartition("things", 0)


class Answers:
    """A consumer that refuses once for each of these reasons, and then tells."""

    def __init__(self, *codes: int) -> None:
        self.left = list(codes)

    def get_watermark_offsets(self, place: TopicPartition, timeout: float) -> tuple[int, int]:
        """What the brokers would say."""
        assert (place, timeout > 0) == (PLACE, True)
        if self.left:
            raise KafkaException(KafkaError(self.left.pop(0)))
        return 3, 7


@pytest.mark.parametrize("code", UNSETTLED)
def test_what_passes_is_waited_for(code: int) -> None:
    """A leader that moves, or that the client has yet to hear of, is no reason to give up."""
    assert bounds(cast("Consumer", Answers(code)), PLACE) == (3, 7)


def test_a_refusal_is_told() -> None:
    """No right to read isn't waited for."""
    refusing = Answers(KafkaError.TOPIC_AUTHORIZATION_FAILED)
    with pytest.raises(KafkaRefusedError):
        bounds(cast("Consumer", refusing), PLACE)
    assert refusing.left == []


def test_a_reader_is_told_that_its_partition_is_gone() -> None:
    """What passes while reading is skipped for as long as it lasts, so this must not be."""
    assert set(UNSETTLED) - set(PASSING) == {KafkaError._UNKNOWN_PARTITION}
