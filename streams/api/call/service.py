"""What the routes use, made once per process."""

from dataclasses import dataclass, field
from typing import Annotated, Final

from fastapi import Depends, Request
from sqlalchemy import Engine

from streams.api.call.auth import Authenticator
from streams.api.call.partition_count import PartitionCount
from streams.api.call.request_writer import RequestWriter
from streams.api.call.turns import Turns
from streams.api.catalogue import Catalogue
from streams.health import Health
from streams.metrics import Metrics
from streams.settings import Settings

DECIDED_WITHIN_S: Final = 2.0
BODY_WITHIN_S: Final = 60.0
KAFKA_WITHIN_S: Final = 8.0


@dataclass(frozen=True, slots=True)
class Service:
    """Settings, database, Kafka, and who may call."""

    settings: Settings
    partitions: PartitionCount
    engine: Engine
    authenticator: Authenticator
    writer: RequestWriter
    catalogue: Catalogue
    metrics: Metrics
    health: Health
    searches: Turns = field(default_factory=Turns)
    kafka_reads: Turns = field(default_factory=Turns)
    decided_within_s: float = DECIDED_WITHIN_S  # a call waits so long for the joiner, then: 202
    body_within_s: float = BODY_WITHIN_S  # a body that takes longer is refused
    kafka_within_s: float = KAFKA_WITHIN_S  # a call reads from Kafka for so long at most


async def current_service(request: Request) -> Service:
    """The service of the app that a request came to."""
    service: Service = request.app.state.service
    return service


CurrentService = Annotated[Service, Depends(current_service)]
