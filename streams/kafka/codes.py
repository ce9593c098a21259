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
# A call that a transaction's state doesn't allow.
WRONG_STATE: Final = KafkaError._STATE
UNKNOWN_TOPIC: Final = KafkaError._UNKNOWN_TOPIC
UNKNOWN_PARTITION: Final = KafkaError._UNKNOWN_PARTITION
TIMED_OUT: Final = KafkaError._TIMED_OUT
UNREACHABLE: Final = (
    KafkaError._TRANSPORT,
    TIMED_OUT,
    KafkaError._ALL_BROKERS_DOWN,
    KafkaError._RESOLVE,
)
# The client, or a broker, never takes this record.
REFUSED: Final = (
    KafkaError.MSG_SIZE_TOO_LARGE,
    KafkaError.RECORD_LIST_TOO_LARGE,
    KafkaError.INVALID_MSG_SIZE,
    KafkaError.INVALID_RECORD,
)
# This client lacks a right.
NOT_ALLOWED: Final = (
    KafkaError.TOPIC_AUTHORIZATION_FAILED,
    KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    KafkaError.CLUSTER_AUTHORIZATION_FAILED,
)
# This client may not see the group that it is named after; who joins none reads on.
NO_GROUP_RIGHT: Final = KafkaError.GROUP_AUTHORIZATION_FAILED
# Records of a transaction were not delivered, for reasons that its commit doesn't tell.
UNDELIVERED: Final = KafkaError._INCONSISTENT
# A producer has given a record up before a broker acknowledged it.
UNACKNOWLEDGED: Final = (
    KafkaError._MSG_TIMED_OUT,
    KafkaError._PURGE_QUEUE,
    KafkaError._PURGE_INFLIGHT,
)
