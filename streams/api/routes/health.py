"""Health, metrics and the OpenAPI page: what is served without a key."""

from fastapi import APIRouter, Response

from streams import web
from streams.api.call.service import CurrentService

router = APIRouter()


@router.get("/healthz/live", operation_id="live", tags=["health"], response_class=Response)
async def live(service: CurrentService) -> Response:
    """Whether a restart wouldn't help."""
    # Without a thread: nothing here waits, and it is answered however busy the threads are.
    return _page("/healthz/live", service)


@router.get(
    "/healthz/ready",
    operation_id="ready",
    tags=["health"],
    response_class=Response,
    responses={503: {"description": "One of them doesn't.", "content": {"application/json": {}}}},
)
def ready(service: CurrentService) -> Response:
    """Whether Kafka and the database answer."""
    return _page("/healthz/ready", service)


@router.get("/metrics", operation_id="metrics", tags=["health"], response_class=Response)
def metrics(service: CurrentService) -> Response:
    """Metrics for Prometheus."""
    return _page("/metrics", service)


def _page(path: str, service: CurrentService) -> Response:
    status, content_type, body = web.page(path, service.metrics, service.health)
    return Response(body, status, headers={"Content-Type": content_type})
