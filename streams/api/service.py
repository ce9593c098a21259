"""What the routes stand on, made once per process."""

from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from sqlalchemy import Engine

from streams.api.call.auth import Authenticator
from streams.api.catalogue import Catalogue
from streams.api.request_writer import RequestWriter
from streams.health import Health
from streams.metrics import Metrics
from streams.settings import Settings


@dataclass(frozen=True, slots=True)
class Service:
    """Settings, database, Kafka, and who may call."""

    settings: Settings
    engine: Engine
    authenticator: Authenticator
    writer: RequestWriter
    catalogue: Catalogue
    metrics: Metrics
    health: Health


def current_service(request: Request) -> Service:
    """The service of the app that a request came to."""
    service: Service = request.app.state.service
    return service


CurrentService = Annotated[Service, Depends(current_service)]
