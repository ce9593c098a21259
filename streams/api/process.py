"""The API as a process: database, Kafka, and uvicorn until a signal."""

import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final, TypeAlias

import uvicorn
from fastapi import FastAPI
from sqlalchemy import Engine, text
from starlette.applications import Starlette

from streams import logs
from streams.api.app import create_app
from streams.api.call.auth import Authenticator
from streams.api.call.partition_count import PartitionCount
from streams.api.call.request_writer import RequestWriter
from streams.api.call.service import Service
from streams.api.catalogue import Catalogue
from streams.api.producer import AckedProducer
from streams.api.protocol import Doors, protocol_of
from streams.database.engine import open_database, watch_disk
from streams.errors import SettingsError, UnreachableError
from streams.health import Check, Health, Kind
from streams.kafka.certificates import show_certificates
from streams.kafka.topics import check_topics
from streams.metrics import Metrics
from streams.settings import Settings
from streams.signals import stopped_by_signals

_DRAIN_S: Final = 10
_BACKLOG: Final = 2048
# So long a thread that searches keeps Python's lock from the others; by default it is 5 ms, and
# beside two searches each call waits for it several times.
_SWITCH_S: Final = 0.001

Extend: TypeAlias = Callable[[FastAPI], None]
log = logs.get(__name__)


def run_api(settings: Settings, extend: Extend = lambda _: None) -> None:
    """Serve the API until SIGTERM or SIGINT; calls under way get some seconds to end.

    Args:
        settings: Where to serve, and what the API stands on.
        extend: Adds to the app what is served besides.

    Raises:
        SettingsError: the address is taken, or isn't of this machine.
        TopicsError: a topic is missing, or made the wrong way.
        DatabaseError: the database can't be used.
    """
    sys.setswitchinterval(_SWITCH_S)
    partitions = _shared_count(settings)
    # Uvicorn raises its signal again once it has stopped: caught here, so that all is closed.
    with (
        stopped_by_signals(threading.Event()),
        open_service(settings, partitions) as service,
        listening(settings.api_host, settings.api_port, "API") as listener,
    ):
        log.info("API serves", host=settings.api_host, port=listener.getsockname()[1])
        doors = Doors(settings.api_connections, service.metrics)
        app = create_app(service)
        extend(app)
        server(app, doors).run(sockets=[listener])


class _Server(uvicorn.Server):
    """Tells its app when it stops, so that answers without an end find one."""

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        app: Starlette = self.config.app  # type: ignore[assignment]  # made with it
        app.state.stopping.set()
        await super().shutdown(sockets)


def server(app: Starlette, doors: Doors) -> uvicorn.Server:
    """The server of an app; `run` takes the sockets."""
    config = uvicorn.Config(
        app,
        loop="uvloop",
        http=protocol_of(doors),
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # who a peer is, the connection says
        timeout_graceful_shutdown=_DRAIN_S,
    )
    return _Server(config)


@contextmanager
def open_service(settings: Settings, partitions: int | None = None) -> Iterator[Service]:
    """The service of a process; closed at the end of the block.

    `partitions` is the count that topics share; None: Kafka is asked when it is needed.
    """
    metrics = Metrics(process="api")
    show_certificates(settings, metrics)
    engine = open_database(settings)
    watch_disk(engine, metrics)
    producer = AckedProducer(settings)
    catalogue = Catalogue(settings)
    health = Health()
    health.add(Kind.READY, "database", _answers(engine))
    health.add(Kind.READY, "functions", catalogue.check)
    catalogue.start()
    try:
        yield Service(
            settings=settings,
            partitions=PartitionCount(settings, partitions),
            engine=engine,
            authenticator=Authenticator(engine),
            writer=RequestWriter(settings, engine, producer),
            catalogue=catalogue,
            metrics=metrics,
            health=health,
        )
    finally:
        catalogue.close()
        producer.close()
        engine.dispose()


def _answers(engine: Engine) -> Check:
    """A check whether the database answers."""

    def check() -> str | None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        return None

    return check


def _shared_count(settings: Settings) -> int | None:
    """The topics' partition count; None if no broker answers, as that may also happen later.

    Raises:
        TopicsError: a topic is missing, or made the wrong way.
    """
    try:
        return check_topics(settings).partitions
    except UnreachableError as error:
        log.warning("Kafka doesn't answer: what needs it answers 503", error=str(error))
        return None


@contextmanager
def listening(host: str, port: int, what: str) -> Iterator[socket.socket]:
    """The socket that is served; `what` is part of the settings' names, such as `API`.

    Raises:
        SettingsError: the address is taken, or isn't of this machine.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise SettingsError(
            f"Can't listen on {host}:{port} ({error.strerror}): "
            f"set COUNTERMAND_{what}_HOST and COUNTERMAND_{what}_PORT, or port 0 for a free one"
        ) from error
    with listener:
        yield listener
