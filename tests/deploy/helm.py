"""Helm, as tests call it: the chart rendered from values, and what Helm says when it refuses."""

import functools
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import yaml

from tests.repo import tree

CHART: Final = Path("deploy/helm/countermand")
RELEASE: Final = "countermand"
Object = dict[str, Any]


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


def rendered(
    values: Path | Mapping[str, Any],
    *options: str,
    namespace: str = "jobs",
    release: str = RELEASE,
    version: int = 3,
    chart: Path = tree.ROOT / CHART,
) -> str:
    """What the chart makes of a file of values, or of values.

    Raises:
        RefusedError: Helm refuses the values.
    """
    given = values if isinstance(values, Path) else "-"
    command = [helm(version), "template", release, str(chart), "--namespace", namespace]
    done = subprocess.run(
        [*command, "--values", str(given), *options],
        input=None if isinstance(values, Path) else yaml.safe_dump(dict(values)),
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode:
        raise RefusedError(done.stderr)
    return done.stdout


def objects(text: str) -> list[Object]:
    """The objects of a rendered chart."""
    return [one for one in yaml.safe_load_all(text) if one]


def named(found: list[Object], kind: str, name: str) -> Object:
    """The one object of that kind and name."""
    (one,) = [each for each in found if (each["kind"], each["metadata"]["name"]) == (kind, name)]
    return one


def pods(found: list[Object]) -> Iterator[tuple[str, Object]]:
    """The pods that objects make: the name of what makes them, and their template."""
    for one in found:
        if one["kind"] == "Pod":
            yield one["metadata"]["name"], one
        elif "template" in one.get("spec", {}):
            yield one["metadata"]["name"], one["spec"]["template"]
