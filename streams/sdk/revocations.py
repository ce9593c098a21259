"""Tells which runs were cancelled, for workers with a queue of their own, such as Celery's.

A `RevocationView` reads the topic `cancelled` in a thread of the process that uses the view.
"""

import os
import threading
import time
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import timedelta
from types import TracebackType
from typing import Final, Self

from confluent_kafka import (
    OFFSET_BEGINNING,
    OFFSET_END,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    TopicPartition,
)

from streams import logs
from streams.clock import now_ms
from streams.durations import parse_duration
from streams.errors import KafkaRefusedError, NotFoundError, UnreachableError
from streams.kafka import clients, codes
from streams.kafka.admin import REACH_TIMEOUT_S, unreachable
from streams.kafka.consumers import PASSING, UNSETTLED, follower
from streams.kafka.deadline import TIMEOUT_S
from streams.kafka.headers import headers_of
from streams.sdk.cancelled_run import CancelledRun, read_cancelled
from streams.settings import Settings, load
from topology import keys
from topology.codec import CodecError
from topology.topics import CANCELLED, TopicPlace

_POLL_S: Final = 0.1
# Old runs are forgotten portion by portion; `since` is divided into so many.
_PORTIONS: Final = 64
_REFUSALS: Final = (codes.FATAL, KafkaError.TOPIC_AUTHORIZATION_FAILED)
log = logs.get(__name__)


@dataclass(frozen=True, slots=True)
class Waits:
    """How long a view waits, in seconds.

    Attributes:
        tend_s: The time between looks for new partitions, when old runs are forgotten too.
        silence_s: Entering the view fails when the brokers send nothing for so long.
    """

    tend_s: float = 10.0
    silence_s: float = 30.0


_WAITS: Final = Waits()


class RevocationView:
    """Tells whether a run, or the run that an event triggered, was cancelled.

        with RevocationView(functions=["shop-render"]) as view:
            if view.is_cancelled(function_id="shop-render", event_id=task_id):
                ...

    Inside the block the view knows all runs that were cancelled since `since` ago, and learns of
    each later cancel within some ms. Many threads may use the view, but only in the process that
    entered the view: a forked process doesn't have the thread that reads the topic. The view keeps
    about 270 bytes for each run.

    Attributes:
        unreadable: How many records of the topic couldn't be decoded, and were skipped.

    Raises (on entering):
        NotFoundError: The topic is missing.
        UnreachableError: The brokers don't answer.
        KafkaRefusedError: The brokers refuse access.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        functions: Collection[str] | None = None,
        since: str | timedelta = "7d",
        on_revoked: Callable[[CancelledRun], None] | None = None,
        waits: Waits = _WAITS,
    ) -> None:
        """Create a view; only entering the view connects to Kafka.

        Args:
            settings: Where Kafka is; read from the environment if None.
            functions: The slugs of the functions whose runs to know; all functions if None.
            since: How long a cancel is remembered, such as `7d`.
            on_revoked: Called once with each run, also with those cancelled before. Called in the
                thread that reads the topic; errors that it raises are logged.
            waits: How long the view waits.
        """
        self.unreadable = 0
        self._settings = load() if settings is None else settings
        self._topic = self._settings.topic(CANCELLED)
        self._functions = None if functions is None else frozenset(functions)
        self._since_ms = _duration_ms(since)
        self._on_revoked = on_revoked
        self._waits = waits
        self._limiter = logs.Limiter()
        self._thread: threading.Thread | None = None
        self._begin()

    def start(self) -> None:
        """Enter the view; returns once the view has read all records that are there now."""
        if self._thread is not None:
            raise RuntimeError("the view is entered already")
        self._begin()
        client = clients.librdkafka(self._settings, log_level=0, error_cb=self._report)
        consumer = follower(client, f"{self._settings.application_id}-revocations")
        try:
            self._assign(consumer)
        except BaseException:
            consumer.close()
            raise
        self._process = os.getpid()
        name = f"follow {self._topic}"
        self._thread = threading.Thread(target=self._run, args=(consumer,), name=name, daemon=True)
        self._thread.start()
        try:
            self._await_start()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """Leave the view: stop its thread; `on_revoked` isn't called again."""
        thread, self._thread = self._thread, None
        if thread is not None:
            self._stopping.set()
            thread.join()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.stop()

    def is_cancelled(
        self,
        *,
        run_id: str | None = None,
        function_id: str | None = None,
        event_id: str | None = None,
    ) -> bool:
        """Whether a run was cancelled: by its id, or by its function's slug and its event's id.

        Raises:
            ValueError: Neither or both were given, or the view doesn't follow the function.
            KafkaRefusedError, RuntimeError: As `check` does.
        """
        self.check()
        if run_id is not None and function_id is None and event_id is None:
            return keys.run_id_bytes(run_id) in self._known
        if run_id is not None or function_id is None or event_id is None:
            raise ValueError("give either run_id, or function_id and event_id")
        if not self._is_followed(function_id):
            raise ValueError(f"{function_id} is none of the functions that this view follows")
        return keys.event_key(function_id, event_id) in self._known

    def check(self) -> None:
        """Raise if the view doesn't follow the topic, and so may miss cancels.

        Raises:
            KafkaRefusedError: The topic can't be read any more.
            RuntimeError: This process hasn't entered the view.
        """
        if self._failure is not None:
            raise KafkaRefusedError(
                f"{self._topic} isn't followed any more: {self._failure}"
            ) from self._failure
        if self._thread is None:
            raise RuntimeError("the view isn't entered: use it in a `with` block")
        if os.getpid() != self._process:
            raise RuntimeError("the view was entered by another process: enter one in this process")

    def _begin(self) -> None:
        self._known = _Keys(self._since_ms)
        self._failure: BaseException | None = None
        self._stopping = threading.Event()
        self._caught_up = threading.Event()
        self._unread: set[int] = set()
        self._partitions = 0
        self._process = 0
        self._last_heard = self._last_tended = time.monotonic()

    def _assign(self, consumer: Consumer) -> None:
        """Begin in each partition at the first record of the time that the view remembers."""
        self._partitions = self._count(consumer)
        self._unread = set(range(self._partitions))
        places = [(self._topic, number) for number in self._unread]
        consumer.assign(_first_since(consumer, places, max(0, now_ms() - self._since_ms)))

    def _count(self, consumer: Consumer) -> int:
        try:
            found = consumer.list_topics(self._topic, timeout=REACH_TIMEOUT_S).topics[self._topic]
        except KafkaException as error:
            raise unreachable(error) from error
        if found.error is None:
            return len(found.partitions)
        if found.error.code() == KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise NotFoundError(f"Topic {self._topic} is missing. Run: countermand topics create")
        raise unreachable(KafkaException(found.error))

    def _await_start(self) -> None:
        self._caught_up.wait()
        if self._failure is not None:
            raise self._failure

    def _run(self, consumer: Consumer) -> None:
        try:
            while not self._stopping.is_set():
                message = consumer.poll(_POLL_S)
                if message is not None:
                    self._take(message)
                elif not self._caught_up.is_set():
                    self._check_silence()
                if time.monotonic() - self._last_tended > self._waits.tend_s:
                    self._tend(consumer)
        except BaseException as error:  # a callback's SystemExit too: `check` raises it
            self._failure = error
            if self._caught_up.is_set():
                log.exception("Cancelled runs aren't followed any more", topic=self._topic)
        finally:
            consumer.close()
            self._caught_up.set()

    def _check_silence(self) -> None:
        silence_s = self._waits.silence_s
        if time.monotonic() - self._last_heard > silence_s:
            raise UnreachableError(
                f"Kafka has sent nothing of {self._topic} for {silence_s:.0f} s. Is it up?"
            )

    def _take(self, message: Message) -> None:
        error = message.error()
        if error is None:
            self._take_record(message)
        elif error.code() == codes.END:
            self._unread.discard(message.partition() or 0)
            if not self._unread:
                self._caught_up.set()
        else:
            self._report(error)
            if error.fatal() or error.code() in _REFUSALS:
                raise unreachable(KafkaException(error))
            return
        self._last_heard = time.monotonic()

    def _take_record(self, message: Message) -> None:
        try:
            slug = dict(headers_of(message) or ()).get("function-id")
            if isinstance(slug, bytes) and not self._is_followed(slug.decode(errors="replace")):
                return
            run = read_cancelled(message.value() or b"")
        except CodecError as error:
            self._skip(message, error)
            return
        if self._is_followed(run.function_id):
            self._learn(run, message.timestamp()[1])

    def _learn(self, run: CancelledRun, at: int) -> None:
        key = keys.run_id_bytes(run.run_id)
        if key in self._known:
            return
        self._known.add(key, at)
        self._known.add(keys.event_key(run.function_id, run.event.id), at)
        if self._on_revoked is None:
            return
        try:
            self._on_revoked(run)
        except Exception:  # later runs must still be passed on
            log.exception("on_revoked failed", run_id=run.run_id, function_id=run.function_id)

    def _skip(self, message: Message, error: CodecError) -> None:
        self.unreadable += 1
        suppressed = self._limiter.admit("unreadable")
        if suppressed is not None:
            place = {"partition": message.partition(), "offset": message.offset()}
            log.warning("A record is skipped", topic=self._topic, **place, error=str(error))

    def _tend(self, consumer: Consumer) -> None:
        """Forget old runs, and read new partitions, from their first record on."""
        self._last_tended = time.monotonic()
        self._known.forget(now_ms() - self._since_ms)
        try:
            count = self._count(consumer)
        except (UnreachableError, NotFoundError, KafkaRefusedError) as error:
            self._warn(type(error).__name__, str(error))
            return
        if count > self._partitions:
            new = range(self._partitions, count)
            log.info("New partitions are followed", topic=self._topic, number=len(new))
            consumer.incremental_assign(
                [TopicPartition(self._topic, number, OFFSET_BEGINNING) for number in new]
            )
            self._partitions = count

    def _is_followed(self, slug: str) -> bool:
        return self._functions is None or slug in self._functions

    def _report(self, error: KafkaError) -> None:
        """Log an error from which librdkafka recovers by itself."""
        if error.code() not in PASSING:
            self._warn(str(error.code()), error.str())

    def _warn(self, kind: str, error: str) -> None:
        if self._limiter.admit(kind) is not None:
            log.warning("Kafka reports trouble", topic=self._topic, error=error)


class _Keys:
    """A set of keys of 16 bytes that forgets old keys; safe for many threads."""

    def __init__(self, kept_ms: int) -> None:
        """Keys are kept for `kept_ms`, or up to a 64th of that longer."""
        self._portion_ms = max(1, kept_ms // _PORTIONS)
        # By key the portion to which it belongs, and by portion the keys that may belong to it.
        self._portions: dict[bytes, int] = {}
        self._members: dict[int, list[bytes]] = {}
        self._lock = threading.Lock()

    def add(self, key: bytes, at_ms: int) -> None:
        """Add a key with its time; of two times for a key, the later counts."""
        portion = at_ms // self._portion_ms
        with self._lock:
            if self._portions.get(key, -1) < portion:
                self._portions[key] = portion
                self._members.setdefault(portion, []).append(key)

    def forget(self, before_ms: int) -> None:
        """Forget the keys of all portions of time that ended before `before_ms`."""
        with self._lock:
            over = [old for old in self._members if (old + 1) * self._portion_ms <= before_ms]
            for portion in over:
                for key in self._members.pop(portion):
                    if self._portions[key] == portion:
                        del self._portions[key]

    def __contains__(self, key: bytes) -> bool:
        with self._lock:
            return key in self._portions

    def __len__(self) -> int:
        with self._lock:
            return len(self._portions)


def _first_since(consumer: Consumer, places: list[TopicPlace], then: int) -> list[TopicPartition]:
    """The offset of each partition's first record since a time; its end if there is none."""
    # The ends come first, so that no record that is written meanwhile is missed. Both end before
    # open transactions, so their records aren't missed either.
    ends = _offsets(consumer, places, OFFSET_END)
    firsts = _offsets(consumer, places, then)
    return [
        TopicPartition(*place, ends[place] if firsts[place] == OFFSET_END else firsts[place])
        for place in places
    ]


def _offsets(consumer: Consumer, places: list[TopicPlace], at: int) -> dict[TopicPlace, int]:
    """The offsets of a time, or of the ends; retries while a partition changes its leader.

    Raises:
        UnreachableError: The brokers don't answer.
    """
    asked = [TopicPartition(*place, at) for place in places]
    until = time.monotonic() + TIMEOUT_S
    while True:
        try:
            found = consumer.offsets_for_times(asked, timeout=TIMEOUT_S)
            wrong = [place.error for place in found if place.error is not None]
        except KafkaException as error:
            found, wrong = [], [error.args[0]]
        if not wrong:
            return {(place.topic, place.partition): place.offset for place in found}
        if wrong[0].code() not in UNSETTLED or time.monotonic() > until:
            raise unreachable(KafkaException(wrong[0]))
        time.sleep(_POLL_S)


def _duration_ms(since: str | timedelta) -> int:
    if isinstance(since, str):
        return parse_duration(since)
    if since <= timedelta(0):
        raise ValueError(f"since must be more than 0, and is {since}")
    return max(1, since // timedelta(milliseconds=1))
