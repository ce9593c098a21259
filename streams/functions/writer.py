"""Writes versions of functions: `functions apply`, `delete` and `list`, from anywhere."""

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, Message
from ulid_transform import ulid_now

from streams.clock import Clock, now_ms
from streams.errors import NotFoundError, RegistryError
from streams.functions.changes import Change, Difference, compare, superseded
from streams.functions.reader import RegistryReader
from streams.functions.registry import Registry, Version
from streams.kafka.producers import idempotent_producer
from topology import codec, limits
from topology.records import SEMANTICS, Function

_ACKNOWLEDGED_WITHIN_S: Final = 30.0
# How far the clocks of brokers and this machine may differ: for whether a version is recent.
_CLOCKS_MS: Final = limits.MINUTE_MS


@dataclass(frozen=True, slots=True)
class Timing:
    """How a writer reads clocks and waits, in seconds but for `now_ms`; tests bring their own."""

    monotonic: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    now_ms: Clock = now_ms


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply_functions` did.

    Attributes:
        differences: Per function, in the order given.
        removed: How many versions were tombstoned, since no run needs them any more.
    """

    differences: tuple[Difference, ...]
    removed: int


SYSTEM_TIMING: Final = Timing()


def plan_functions(
    config: Mapping[str, Any], topic: str, functions: Sequence[Function]
) -> tuple[Difference, ...]:
    """Say what `apply_functions` would do, without doing it.

    Raises:
        RefusedError: A slug belongs to another app and id.
    """
    with RegistryReader(config, topic) as reader:
        return compare(reader.load(), functions)


def apply_functions(
    config: Mapping[str, Any],
    topic: str,
    functions: Sequence[Function],
    timing: Timing = SYSTEM_TIMING,
) -> Applied:
    """Write the versions that differ from the newest, and remove those that no run needs.

    Returns once every event produced from then on is routed by these versions (S35): 2 s after
    Kafka's acknowledgement, or 2 s after the call if another call has just written a version.

    Args:
        config: librdkafka's settings of the connection.
        topic: The full name of the topic `functions`.
        functions: The functions as they shall be; others stay as they are.
        timing: Clocks, and how to wait.

    Raises:
        RefusedError: A slug belongs to another app and id; nothing is written.
        RegistryError: Not every version was acknowledged.
    """
    with RegistryReader(config, topic) as reader:
        registry = reader.load()
    differences = compare(registry, functions)
    wanted = [new.function for new in differences if new.change is not Change.UNCHANGED]
    gone = list(superseded(registry, timing.now_ms()))
    _write(config, topic, [*map(_record, wanted), *((version.key, None) for version in gone)])
    if wanted or _any_recent(registry, functions, timing):
        _wait_until_valid(timing)
    return Applied(differences, len(gone))


def delete_function(
    config: Mapping[str, Any], topic: str, slug: str, timing: Timing = SYSTEM_TIMING
) -> None:
    """Stop a function from starting runs; its pending runs can still be cancelled.

    This writes a last version without triggers and rules. The versions before it keep their cancel
    rules until none of their runs can be pending; the next `apply_functions` after that tombstones
    all of them. Returns once no event starts a run any more.

    Raises:
        NotFoundError: There is no such function.
        RegistryError: The deletion was not acknowledged.
    """
    with RegistryReader(config, topic) as reader:
        newest = reader.load().newest(slug)
    if newest is None or newest.deleted:
        raise NotFoundError(
            f"no function {slug}: `countermand functions list` shows those there are"
        )
    last = newest.compiled.function
    marker = Function(
        app=last.app, id=last.id, pending_for_ms=last.pending_for_ms, semantics=SEMANTICS
    )
    _write(config, topic, [_record(marker)])
    _wait_until_valid(timing)


def list_functions(config: Mapping[str, Any], topic: str) -> tuple[Version, ...]:
    """Give the newest version of every function that is not deleted, sorted by slug."""
    with RegistryReader(config, topic) as reader:
        registry = reader.load()
    newest = (registry.newest(slug) for slug in registry.slugs())
    return tuple(version for version in newest if version is not None and not version.deleted)


def _record(function: Function) -> tuple[str, bytes | None]:
    return f"{function.slug}/{ulid_now()}", codec.encode_function(function)


def _write(
    config: Mapping[str, Any], topic: str, records: Iterable[tuple[str, bytes | None]]
) -> None:
    """Write records in their order, and wait until Kafka has acknowledged each."""
    failed: dict[str, str] = {}

    def delivered(error: KafkaError | None, message: Message) -> None:
        if error is not None:
            failed[_text(message.key())] = error.str()

    producer = idempotent_producer(
        config,
        message_max_bytes=limits.MESSAGE_BYTES,
        delivery_timeout_ms=int(_ACKNOWLEDGED_WITHIN_S * limits.SECOND_MS),
    )
    for key, value in records:
        producer.produce(topic, value, key, 0, on_delivery=delivered)
        producer.poll(0)
    # Longer than the delivery timeout, so that each record that fails has its own reason.
    waiting = producer.flush(_ACKNOWLEDGED_WITHIN_S + 5.0)
    if waiting or failed:
        reasons = "; ".join(f"{key}: {reason}" for key, reason in failed.items())
        raise RegistryError(
            f"Kafka did not acknowledge all of {topic}: {reasons}. "
            "Repeat the call: what was written is not written twice"
        )


def _text(key: bytes | str | None) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)


def _any_recent(registry: Registry, functions: Iterable[Function], timing: Timing) -> bool:
    """Whether one of the functions has a version that may not be valid yet."""
    newest = (registry.newest(function.slug) for function in functions)
    valid = [version.compiled.valid_from for version in newest if version is not None]
    return max(valid, default=0) + _CLOCKS_MS > timing.now_ms()


def _wait_until_valid(timing: Timing) -> None:
    until = timing.monotonic() + limits.VALID_FROM_DELAY_MS / limits.SECOND_MS
    while (left := until - timing.monotonic()) > 0:
        timing.sleep(left)
