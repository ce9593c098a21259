"""The OpenAPI document says all that the routes do, and its page needs no network."""

import re
from typing import Any

import pytest
from pydantic import BaseModel

from streams.api.app import ROUTERS
from streams.api.call.guard import ROLE, GuardedRoute
from streams.api.routes.cancellations import Cancellation, CancellationBody
from streams.api.routes.functions import PauseBody
from streams.api.routes.replays import ReplayBody
from tests.support.api import Api


@pytest.fixture
def document(api: Api) -> Any:
    """The document as it is served."""
    return api.call("GET", "/openapi.json", role=None).json()


def operations(document: Any) -> list[Any]:
    """Every operation."""
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_ids_are_unique_and_all_is_described(document: Any) -> None:
    """A generated client has a name and a text for everything."""
    found = operations(document)
    ids = [operation["operationId"] for operation in found]
    assert len(set(ids)) == len(ids)
    assert all(operation["description"] and operation["tags"] for operation in found)
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in found for tag in operation["tags"]} == tags


def test_what_needs_a_key_says_so(document: Any) -> None:
    """With the role, the scheme and the answers to a key that isn't enough."""
    (scheme,) = document["components"]["securitySchemes"]
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert (ROLE in operation) == path.startswith("/v1/")
            if ROLE in operation:
                assert operation["security"] == [{scheme: []}]
                assert {"401", "403", "503"} <= operation["responses"].keys()


def test_every_error_is_a_problem(document: Any) -> None:
    """None has FastAPI's own shape."""
    for operation in operations(document):
        for status, answer in operation["responses"].items():
            if status >= "400" and ROLE in operation:
                assert list(answer["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in document["components"]["schemas"]


def test_wrong_fields_are_400_or_422(document: Any) -> None:
    """400 on the two paths that Inngest's scripts call, 422 elsewhere."""
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if ROLE not in operation:
                continue
            bad_request = path.startswith(("/v1/cancellations", "/v1/runs"))
            assert ("400" in operation["responses"]) == bad_request, path
            assert bad_request or "422" in operation["responses"], path


def test_references_lead_somewhere(document: Any) -> None:
    """No schema is named that isn't there."""
    named = set(re.findall(r"#/components/schemas/([^'\"]+)", str(document)))
    assert named == document["components"]["schemas"].keys() & named
    assert named


@pytest.mark.parametrize("model", [CancellationBody, PauseBody, ReplayBody, Cancellation])
def test_examples_are_valid(model: type[BaseModel]) -> None:
    """Who copies an example isn't refused."""
    extra = model.model_config["json_schema_extra"]
    assert isinstance(extra, dict)
    examples = extra["examples"]
    assert isinstance(examples, list)
    for example in examples:
        assert isinstance(example, dict)
        # Answers are named by their own fields, bodies by those of the request.
        names = {"if": "if_"} if model is Cancellation else {}
        model.model_validate({names.get(name, name): value for name, value in example.items()})


def test_the_page_needs_no_network(api: Api) -> None:
    """Script and style come from here, and are there."""
    page = api.call("GET", "/docs", role=None).text
    places = re.findall(r'(?:src|href)="([^"]+)"', page)
    assert places
    for place in places:
        assert place.startswith("/")
        assert api.call("GET", place, role=None).status_code == 200


def test_each_route_below_v1_is_guarded() -> None:
    """A router that forgets its guard is found here."""
    for router in ROUTERS:
        for route in router.routes:
            path = getattr(route, "path", "")
            assert isinstance(route, GuardedRoute) == path.startswith("/v1/"), path
