"""Functions as routers know them, and records that are routed by them."""

from collections.abc import Callable
from typing import Any, TypeAlias

import orjson
import pytest

from streams.functions.registry import Registry
from streams.router.inputs import read_event
from streams.router.record import Event, Record
from topology import codec
from topology.limits import VALID_FROM_DELAY_MS
from topology.records import CancelRule, Function, Trigger

Apply: TypeAlias = Callable[..., None]
RECEIVED = 1_732_570_023_717


def an_event(name: str, *, received: int = RECEIVED, offset: int = 0, **event: Any) -> Record:
    """A record of the topic `events` that is an event."""
    value = {"name": name, "data": {}, "id": "e1", "ts": received} | event
    return Record("events", 1, offset, received, None, orjson.dumps(value))


def parsed(record: Record) -> Event:
    """The event of a record."""
    event = read_event(record)
    assert isinstance(event, Event)
    return event


@pytest.fixture
def registry() -> Registry:
    """A registry without functions."""
    return Registry()


@pytest.fixture
def apply(registry: Registry) -> Apply:
    """Put a version into the registry: `apply("ship", ["placed"], CancelRule(...), at=0)`."""

    def apply_version(
        name: str, triggers: list[str | Trigger], *rules: CancelRule, at: int = 0, **function: Any
    ) -> None:
        version = Function(
            app="shop",
            id=name,
            triggers=tuple(
                one if isinstance(one, Trigger) else Trigger(event=one) for one in triggers
            ),
            cancel_on=rules,
            **function,
        )
        offset = registry.position
        key = f"{version.slug}/{offset:026}".encode()
        registry.apply(offset, at - VALID_FROM_DELAY_MS, key, codec.encode_function(version))

    return apply_version
