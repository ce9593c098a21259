"""librdkafka's own error codes; those of brokers are `KafkaError`'s public names."""
# ruff: noqa: SLF001  # public codes in spite of the underscore

from typing import Final

from confluent_kafka import KafkaError

# A consumer has read a partition to its end.
END: Final = KafkaError._PARTITION_EOF
# The client can't go on. It comes as a message, whose own `fatal()` is false.
FATAL: Final = KafkaError._FATAL
# The offset to read lies outside of the log, and `auto.offset.reset` is `error`.
OUT_OF_LOG: Final = KafkaError._AUTO_OFFSET_RESET
UNKNOWN_TOPIC: Final = KafkaError._UNKNOWN_TOPIC
UNKNOWN_PARTITION: Final = KafkaError._UNKNOWN_PARTITION
UNREACHABLE: Final = (
    KafkaError._TRANSPORT,
    KafkaError._TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
)
# A producer has given a record up before a broker acknowledged it.
UNACKNOWLEDGED: Final = (
    KafkaError._MSG_TIMED_OUT,
    KafkaError._PURGE_QUEUE,
    KafkaError._PURGE_INFLIGHT,
)
