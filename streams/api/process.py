"""The API as a process: database, Kafka, and uvicorn until a signal."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import uvicorn
from sqlalchemy import Engine, text

from streams import logs
from streams.api.app import create_app
from streams.api.auth import Authenticator
from streams.api.catalogue import Catalogue
from streams.api.producer import AckedProducer
from streams.api.requests import RequestWriter
from streams.api.service import Service
from streams.database.engine import open_database
from streams.health import Check, Health, Kind
from streams.metrics import Metrics
from streams.settings import Settings

_DRAIN_S: Final = 10

_log = logs.get(__name__)


def run_api(settings: Settings) -> None:
    """Serve the API until SIGTERM or SIGINT; calls under way get some seconds to end.

    Raises:
        SettingsError: the address is taken, or isn't of this machine.
        DatabaseError: the database can't be used.
    """
    with open_service(settings) as service:
        config = uvicorn.Config(
            create_app(service),
            host=settings.api_host,
            port=settings.api_port,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_graceful_shutdown=_DRAIN_S,
        )
        _log.info("API serves", host=settings.api_host, port=settings.api_port)
        uvicorn.Server(config).run()


@contextmanager
def open_service(settings: Settings) -> Iterator[Service]:
    """What the routes stand on; closed in the end."""
    engine = open_database(settings)
    producer = AckedProducer(settings)
    catalogue = Catalogue(settings)
    health = Health()
    health.add(Kind.READY, "database", _answers(engine))
    health.add(Kind.READY, "functions", catalogue.check)
    catalogue.start()
    try:
        yield Service(
            settings=settings,
            engine=engine,
            authenticator=Authenticator(engine),
            writer=RequestWriter(settings, engine, producer),
            catalogue=catalogue,
            metrics=Metrics(),
            health=health,
        )
    finally:
        catalogue.close()
        producer.close()
        engine.dispose()


def _answers(engine: Engine) -> Check:
    """Whether the database answers."""

    def check() -> str | None:
        with engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        return None

    return check
