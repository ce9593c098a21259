"""A transactional producer whose errors say what to do: try again, or make a new producer."""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from time import monotonic
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

from streams.crash import crash_at
from streams.errors import AbortedError, FencedError, GaveUpError
from streams.kafka import codes
from topology import limits

_TIMEOUT_S: Final = limits.TRANSACTION_TIMEOUT_MS / 1000
# How long a call waits for the brokers before it looks whether the producer is to stop.
_PATIENCE_S: Final = 2.0


def producer_config(transactional_id: str) -> dict[str, Any]:
    """Options for transactions that are bounded in time and in size."""
    return {
        "transactional.id": transactional_id,
        "transaction.timeout.ms": limits.TRANSACTION_TIMEOUT_MS,
        "delivery.timeout.ms": limits.TRANSACTION_TIMEOUT_MS,
        "message.max.bytes": limits.MESSAGE_BYTES,
        "compression.type": "lz4",
        # A flush ends this wait. Shorter waits would cut batches, and the client's thread spins
        # through the last ms of each.
        "linger.ms": 1_000,
        "batch.num.messages": limits.TRANSACTION_RECORDS,
        "batch.size": 1024 * 1024,
        # More than one transaction holds: a full queue would abort it for nothing.
        "queue.buffering.max.messages": 4 * limits.TRANSACTION_RECORDS,
        "queue.buffering.max.kbytes": 128 * 1024,
    }


class TransactionalProducer:
    """The transactions of one transactional id; used by one thread.

    Attributes:
        leaving: Set it to stop waiting for brokers that don't answer.
        producer: The client; produce with it inside of `transact`.
    """

    def __init__(self, config: Mapping[str, Any], owner: str) -> None:
        """Prepare a producer of `config`; `owner` begins the names of its crash points."""
        self.leaving = threading.Event()
        self.producer = Producer(dict(config))
        self._owner = owner

    def begin_life(self) -> None:
        """Fence every earlier producer of this transactional id.

        An earlier commit has finished when this returns.

        Raises:
            GaveUpError: `leaving` was set while the brokers didn't answer.
            KafkaException: the brokers refuse.
        """
        self._settle(self.producer.init_transactions)

    def transact(self, produce: Callable[[], None]) -> None:
        """Commit what `produce` produces, in one transaction.

        Raises:
            AbortedError: nothing was written: the same may be tried again.
            FencedError: this producer can't go on: make a new one.
            GaveUpError: `leaving` was set while the brokers didn't answer.
        """
        with self._aborted_on_error():
            self.producer.begin_transaction()
            produce()
            crash_at(f"{self._owner}_after_produce")
            self._flush()
            crash_at(f"{self._owner}_before_commit")
            self._settle(self.producer.commit_transaction)
        crash_at(f"{self._owner}_after_commit")

    def rehearse(self, topic: str, key: bytes) -> None:
        """Find out whether Kafka takes a record for a topic, by writing one that isn't committed.

        Raises:
            TransactionError: Kafka doesn't take it; else as `transact`.
        """
        refused: list[KafkaError] = []

        def delivered(error: KafkaError | None, _message: Message) -> None:
            if error is not None:
                refused.append(error)

        with self._aborted_on_error():
            self.producer.begin_transaction()
            self.producer.produce(topic, None, key, on_delivery=delivered)
            self._flush()
            self._check_failed()
            if refused:
                raise KafkaException(refused[0])
            self._settle(self.producer.abort_transaction)

    def close(self) -> None:
        """Drop what was not committed; the next producer of the id aborts it anyway."""
        with suppress(KafkaException):  # a fenced producer raises once more
            self.producer.purge()
            self.producer.flush(0)

    @contextmanager
    def _aborted_on_error(self) -> Iterator[None]:
        """Abort the transaction if the client fails; the error then says what to do."""
        try:
            yield
        except SystemError as error:
            # The client raised a fatal error and called a delivery callback all the same.
            if not isinstance(error.__cause__, KafkaException):
                raise
            self._give_up(error.__cause__)
        except (KafkaException, BufferError) as error:
            self._give_up(error)

    def _flush(self) -> None:
        """Serve delivery callbacks until all is written; the commit reports what was not."""
        end = monotonic() + _TIMEOUT_S
        while self.producer.flush(_PATIENCE_S) and monotonic() < end:
            self._check_leaving()
            self._check_failed()

    def _settle(self, call: Callable[[float], None]) -> None:
        """Repeat a call until it succeeds, or fails in a way that librdkafka says is final."""
        while True:
            try:
                call(_PATIENCE_S)
            except KafkaException as error:
                if not error.args[0].retriable():
                    raise
            else:
                return
            self._check_leaving()

    def _check_leaving(self) -> None:
        if self.leaving.is_set():
            raise GaveUpError("stopped while the brokers didn't answer")

    def _check_failed(self) -> None:
        """Raise if the transaction has failed: its records are no longer sent, or were dropped."""
        try:
            self.producer.begin_transaction()  # always refused here, and with the failure's reason
        except KafkaException as error:
            if error.args[0].code() != codes.WRONG_STATE:
                raise

    def _give_up(self, error: KafkaException | BufferError) -> None:
        cause = error.args[0] if isinstance(error, KafkaException) else None
        code = None if cause is None else cause.code()
        # Without a right, a transaction can't be ended either: the next producer aborts it.
        if cause is not None and (cause.fatal() or code in codes.NOT_ALLOWED):
            raise FencedError(str(cause), code) from error
        try:
            self._settle(self.producer.abort_transaction)
        except KafkaException as failed:
            raise FencedError(f"{error}, and the abort failed: {failed}", code) from failed
        raise AbortedError(str(error), code) from error
