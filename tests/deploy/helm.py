"""Helm, as tests call it: the chart rendered from values, and what Helm says when it refuses."""

import functools
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, TypeAlias

import yaml

from tests.repo import tree

CHART: Final = Path("deploy/helm/countermand")
RELEASE: Final = "countermand"
# The values that the tests render the chart from, by name.
CASES: Final = {path.stem: path for path in sorted(Path(__file__).parent.glob("values/*.yaml"))}
Object: TypeAlias = dict[str, Any]
_LOADER: Final = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class RefusedError(Exception):
    """Helm's own words."""


@functools.cache
def helm(version: int = 3) -> str:
    """The path of Helm's binary, which is built if it is missing."""
    done = subprocess.run(
        ["bash", str(tree.ROOT / "deploy/helm.sh"), str(version)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout.strip()


def call(*arguments: str, values: Mapping[str, Any] | None = None, version: int = 3) -> str:
    """What Helm prints; `values` are those of `--values -`.

    Raises:
        RefusedError: Helm refuses.
    """
    done = subprocess.run(
        [helm(version), *arguments],
        input=None if values is None else yaml.safe_dump(dict(values)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RefusedError(done.stdout + done.stderr)
    return done.stdout


def rendered(
    values: Path | Mapping[str, Any],
    *options: str,
    namespace: str = "jobs",
    version: int = 3,
    chart: Path = tree.ROOT / CHART,
) -> str:
    """What the chart makes of a file of values, or of values.

    Raises:
        RefusedError: Helm refuses the values.
    """
    given = None if isinstance(values, Path) else values
    place = ["--values", str(values) if isinstance(values, Path) else "-"]
    template = ["template", RELEASE, str(chart), "--namespace", namespace]
    return call(*template, *place, *options, values=given, version=version)


def objects(text: str) -> list[Object]:
    """The objects of a rendered chart."""
    return [one for one in yaml.load_all(text, _LOADER) if one]


@functools.cache
def _case(name: str) -> str:
    return rendered(CASES[name])


def case(name: str) -> list[Object]:
    """The objects of one of `CASES`."""
    return objects(_case(name))


def of_kind(found: list[Object], kind: str) -> dict[str, Object]:
    """The objects of a kind, by name."""
    return {one["metadata"]["name"]: one for one in found if one["kind"] == kind}


def pods(found: list[Object]) -> Iterator[tuple[str, Object]]:
    """The pods that objects make: kind and name of what makes them, and their template."""
    for one in found:
        name = f"{one['kind']} {one['metadata']['name']}"
        if one["kind"] == "Pod":
            yield name, one
        elif "template" in one.get("spec", {}):
            yield name, one["spec"]["template"]


def containers(found: list[Object]) -> Iterator[tuple[str, Object]]:
    """All containers of these pods: where they are, and they themselves."""
    for name, pod in pods(found):
        for container in pod["spec"]["containers"]:
            yield f"{name}, {container['name']}", container
