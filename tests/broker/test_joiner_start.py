"""What a joiner starts through Faust waits for brokers, as the check of the topics before it."""

import asyncio
import math
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import TypeAlias

import pytest
from faust.types import TP
from faust.types.transports import ConsumerT, ProducerT

from streams.broker import LocalBroker
from streams.broker.config import HOST
from streams.errors import UnreachableError
from streams.joiner.faust_app import Consumer, FaustApp, create_app, execute
from streams.joiner.flow import Flow
from streams.joiner.processor import PartitionProcessor
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from topology import topics

Client: TypeAlias = ProducerT | ConsumerT
client_of = pytest.mark.parametrize(
    "client_of", [lambda app: app.producer, lambda app: app.consumer], ids=["producer", "consumer"]
)


def no_processor(*_: object) -> PartitionProcessor:
    """No partition is assigned here."""
    raise NotImplementedError


def app_of(settings: Settings, start_s: float) -> FaustApp:
    """A joiner's app whose clients wait so long for a broker."""
    flow = Flow(settings.topic(topics.COMMANDS), lambda: app.consumer, no_processor)
    app = create_app(settings, flow, start_s)
    return app


def hang_up(listener: socket.socket, times: int) -> None:
    """Take so many connections, and close each before it has an answer."""
    listener.settimeout(60)
    for _ in range(times):
        listener.accept()[0].close()


async def end_of(place: TP, client: Client) -> int:
    """Where an empty partition ends, as a producer finds it by a record, a consumer by asking."""
    if isinstance(client, ProducerT):
        written = await client.send_and_wait(place.topic, b"", b"", place.partition, None, None)
        return written.offset
    return (await client.highwaters(place))[place]


@pytest.mark.broker
@pytest.mark.slow
@client_of
def test_a_client_starts_once_there_is_a_broker(
    prepared_cache: None, tmp_path: Path, client_of: Callable[[FaustApp], Client]
) -> None:
    """Its broker is killed while it starts: it tries again until another answers, then works."""
    broker = LocalBroker()
    _, port = broker.bootstrap_servers.split(":")
    settings = load(kafka_bootstrap_servers=broker.bootstrap_servers, state_dir=tmp_path)

    async def start_and_use() -> None:
        client = client_of(app_of(settings, math.inf))
        with closing(socket.create_server((HOST, int(port)))) as dying:
            starting = asyncio.create_task(client.start())
            await asyncio.to_thread(hang_up, dying, 2)
        await asyncio.to_thread(broker.start)
        await asyncio.to_thread(create_topics, settings)
        await starting
        assert await end_of(TP(settings.topic(topics.COMMANDS), 0), client) == 0
        await client.stop()

    with closing(broker):
        asyncio.run(start_and_use())


@client_of
def test_a_client_that_waits_for_a_broker_can_be_stopped(
    tmp_path: Path, client_of: Callable[[FaustApp], Client]
) -> None:
    """Though it would wait for ever; it leaves nothing open."""

    async def start_and_stop() -> None:
        with closing(socket.create_server((HOST, 0))) as dying:
            servers = f"{HOST}:{dying.getsockname()[1]}"
            settings = load(kafka_bootstrap_servers=servers, state_dir=tmp_path)
            client = client_of(app_of(settings, math.inf))
            starting = asyncio.create_task(client.start())
            await asyncio.to_thread(hang_up, dying, 1)
        await client.stop()
        await starting
        assert not client.crashed

    asyncio.run(start_and_stop())


def test_a_joiner_that_finds_no_broker_in_time_says_so(tmp_path: Path) -> None:
    """As the check of the topics does, with the same error and so the same exit code."""
    with closing(socket.socket()) as silent:
        silent.bind((HOST, 0))
        servers = f"{HOST}:{silent.getsockname()[1]}"
        settings = load(kafka_bootstrap_servers=servers, state_dir=tmp_path)
        app = app_of(settings, 1)
        with pytest.raises(UnreachableError, match="within 1 s"):
            execute(app, asyncio.new_event_loop())
    assert isinstance(app.consumer, Consumer)
    app.consumer._thread.thread_loop.close()  # Faust makes it, but didn't come to use it
