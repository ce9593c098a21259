"""The image as `deploy/image/build.sh` builds it, and what runs containers of it here."""

import json
import os
import subprocess
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest

from tests.repo import tree

VERSION: Final[str] = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["version"]
_ENGINES: Final = ("docker", "podman")
# As build.sh ends where nothing can build an image, and this user may install nothing.
UNAVAILABLE: Final = 69
# As the chart and compose.yaml run it.
HARDENED: Final = ("--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges")
# Of a machine that may not raise limits, and whose cgroups only the older runtime knows.
_RESTRICTED: Final = """\
[containers]
default_ulimits = ["nofile=4096:4096", "nproc=4096:4096"]
[engine]
runtime = "runc"
"""


@dataclass(frozen=True, slots=True)
class Engine:
    """docker or podman, and with which environment it runs containers on this machine."""

    program: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def call(self, *arguments: str, stdin: str | None = None, check: bool = True) -> str:
        """Run a command of the engine, and give what it prints to stdout."""
        done = subprocess.run(
            [self.program, *arguments],
            env=os.environ | self.environment,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, f"{arguments}: {done.stdout}{done.stderr}"
        return done.stdout

    def works(self, *arguments: str) -> bool:
        """Whether a command of the engine ends without an error."""
        run = subprocess.run(
            [self.program, *arguments],
            env=os.environ | self.environment,
            capture_output=True,
            check=False,
        )
        return run.returncode == 0


@dataclass(frozen=True, slots=True)
class Image:
    """A built image: its name, the engine that has it, and its bill of materials."""

    name: str
    engine: Engine
    sbom: Path

    def run(self, *command: str, entrypoint: str, stdin: str) -> str:
        """What a command prints in a hardened container of it; fails if the command does."""
        chosen = ("--interactive", "--entrypoint", entrypoint)
        return self.engine.call("run", "--rm", *HARDENED, *chosen, self.name, *command, stdin=stdin)

    def inspect(self) -> dict[str, Any]:
        """What the engine says of it."""
        (found,) = json.loads(self.engine.call("image", "inspect", self.name))
        return dict(found)


def _engine(name: str, folder: Path) -> Engine:
    """Who has the image, with what it takes to run a container of it here."""
    held = [each for each in map(Engine, _ENGINES) if _holds(each, name)]
    if not held:
        pytest.skip("buildah builds images here, and nothing runs containers of them")
    restricted = folder / "containers.conf"
    restricted.write_text(_RESTRICTED, encoding="utf-8")
    for engine in (*held, Engine("podman", {"CONTAINERS_CONF": str(restricted)})):
        if engine.works("run", "--rm", *HARDENED, name, "version"):
            return engine
    pytest.skip(f"{held[0].program} can start no container on this machine")


def _holds(engine: Engine, name: str) -> bool:
    try:
        return engine.works("image", "inspect", name)
    except FileNotFoundError:
        return False


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """The image of this checkout; skips where nothing can build or run one."""
    folder = tmp_path_factory.mktemp("image")
    sbom = folder / "sbom.json"
    wanted = {"TAG": "countermand:test", "SBOM": str(sbom)}
    built = subprocess.run(
        ["bash", "deploy/image/build.sh"],
        cwd=tree.ROOT,
        env=os.environ | wanted,
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode == UNAVAILABLE:
        pytest.skip(built.stderr.strip())
    assert built.returncode == 0, built.stderr
    name = built.stdout.split()[-1]
    return Image(name, _engine(name, folder), sbom)
