"""Each object is one that its cluster knows: Kubernetes in three versions, and the operators."""

import functools
import importlib.resources
import json
import re
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from referencing import Registry, Resource
from referencing.jsonschema import DRAFT202012

from tests.deploy import helm
from tests.deploy.helm import CASES, Object
from tests.repo import tree

pytestmark = [pytest.mark.network, pytest.mark.timeout(1800)]
# The oldest that the chart takes, that of the tests on a cluster, the newest that is known here.
VERSIONS = ("1.29", "1.34", "1.37")
OPERATORS = {
    "kafka.strimzi.io", "keda.sh", "monitoring.coreos.com", "gateway.networking.k8s.io",
}  # fmt: skip
HERE = Path(__file__).parent / "schemas"
CORE = importlib.resources.files("kubernetes_validate") / "kubernetes-json-schema"


def group_of(one: Object) -> str:
    """An object's API group; empty for the oldest kinds."""
    return str(one["apiVersion"]).rpartition("/")[0]


def read(place: Any) -> dict[str, Any]:
    """A schema."""
    schema: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
    return schema


@functools.cache
def definitions(version: str) -> Registry[Any]:
    """What the schemas of a version of Kubernetes refer to."""
    folder = CORE / f"v{version}.0-local-strict"
    shared = Resource.from_contents(read(folder / "_definitions.json"), DRAFT202012)
    registry: Registry[Any] = Registry().with_resource("_definitions.json", shared)
    return registry


@functools.cache
def validator(version: str, api: str, kind: str) -> Draft202012Validator:
    """The schema of a kind: an operator's, or that of a version of Kubernetes."""
    group, _, number = api.rpartition("/")
    if group in OPERATORS:
        return Draft202012Validator(read(HERE / f"{group}_{number}_{kind}.json"))
    name = "-".join(part for part in (kind.lower(), group.partition(".")[0], number) if part)
    schema = read(CORE / f"v{version}.0-local-strict" / f"{name}.json")
    return Draft202012Validator(schema, registry=definitions(version))


def problems(one: Object, version: str) -> tuple[str, ...]:
    """What a cluster of that version would refuse about an object, or drop."""
    return _problems(json.dumps(one), version)


@functools.cache  # cases have many objects in common
def _problems(text: str, version: str) -> tuple[str, ...]:
    one: Object = json.loads(text)
    found = validator(version, one["apiVersion"], one["kind"]).iter_errors(one)
    where = f"{one['kind']} {one['metadata']['name']}"
    return tuple(f"{where} {error.json_path}: {error.message[:200]}" for error in found)


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("name", CASES)
def test_each_object_fits_its_schema(name: str, version: str) -> None:
    """With no field that is unknown, or of another type."""
    found = helm.case(name)
    if version != VERSIONS[-1]:  # operators' schemas are the same for all
        found = [one for one in found if group_of(one) not in OPERATORS]
    assert [problem for one in found for problem in problems(one, version)] == []


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("file", ["countermand.yaml", "topics.yaml"])
def test_the_plain_manifests_fit_too(file: str, version: str) -> None:
    """They are what people apply without Helm."""
    found = helm.objects((tree.ROOT / "deploy/k8s" / file).read_text(encoding="utf-8"))
    assert [problem for one in found for problem in problems(one, version)] == []


def test_every_operators_schema_is_used() -> None:
    """Each kind of the schemas here is made by a case, so that none is checked by none."""
    made = {
        f"{one['apiVersion'].replace('/', '_')}_{one['kind']}"
        for name in CASES
        for one in helm.case(name)
    }
    kept = {re.sub(r"\.json$", "", path.name) for path in HERE.glob("*.json")}
    assert kept - made == set()


@pytest.mark.parametrize(
    ("kind", "path"),
    [
        ("StatefulSet", ["spec", "podManagementPolicies"]),
        ("KafkaTopic", ["spec", "retention"]),
        ("KafkaUser", ["spec", "authorization", "acl"]),
        ("ScaledObject", ["spec", "maxReplicas"]),
        ("PodMonitor", ["spec", "endpoints"]),
    ],
)
def test_a_misspelt_field_is_found(kind: str, path: list[str]) -> None:
    """The schemas refuse what a cluster would drop in silence."""
    every = [one for name in CASES for one in helm.case(name)]
    one = next(each for each in every if each["kind"] == kind)
    part = one
    for name in path[:-1]:
        part = part[name]
    part[path[-1]] = []
    assert any(path[-1] in problem for problem in problems(one, VERSIONS[1]))
