"""Compose files: what they come to, and the containers that they describe, without Docker Compose.

Docker Compose's own reader says what the files come to. Then each service is a container on the
engine's default network that knows the others by name, started once what it depends on is there.
"""

import json
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Final

from streams.broker import lock, prepare
from streams.broker.cache import BrokerCache
from streams.broker.java import find_java
from tests.repo import tree
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.image import Engine, Image

FOLDER: Final = tree.ROOT / "deploy/compose"
COMPOSE: Final = FOLDER / "compose.yaml"
OWN_KAFKA: Final = FOLDER / "own-kafka.yaml"
KAFKA: Final = "kafka"
# What every process has to end in order.
GRACE_S: Final = 60
_STAND_IN: Final = tree.ROOT / "tests/deploy/kafka"


def model(*files: Path) -> dict[str, Any]:
    """What the files come to, read as Docker Compose reads them.

    Raises:
        AssertionError: Docker Compose would refuse them; the message says why.
    """
    reader = subprocess.run(
        ["bash", "deploy/compose-go.sh"],
        cwd=tree.ROOT,
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    ).stdout.strip()
    command = [reader, "--format", "json", *map(str, files)]
    # Paths are relative to the first file, as for Docker Compose.
    read = subprocess.run(command, cwd=files[0].parent, capture_output=True, text=True, check=False)
    assert read.returncode == 0, read.stderr
    return dict(json.loads(read.stdout))


def kafka_image(engine: Engine, name: str, base: str, folder: Path) -> str:
    """The image of that name if a registry answers, else one made of this machine's Kafka."""
    if engine.works("image", "inspect", name) or engine.works("pull", "--quiet", name):
        return name
    cache = BrokerCache(lock.load())
    stand_in = f"countermand-kafka:{cache.lock.digest}"
    if not engine.works("image", "inspect", stand_in):
        prepare()
        context = folder / "kafka"
        shutil.copytree(_STAND_IN, context)
        shutil.copytree(cache.jars, context / "jars")
        shutil.copytree(find_java().executable.resolve().parents[1], context / "java")
        options = ("--build-arg", f"BASE={base}", "--tag", stand_in)
        engine.call("build", "--quiet", *options, str(context))
    return stand_in


class Composition:
    """The containers of a model; `up` starts them.

    Args:
        image: The image of Countermand's own services.
        services: The services of a model, by name.
        kafka: The image of the service of that name.
    """

    def __init__(self, image: Image, services: Mapping[str, Any], kafka: str) -> None:
        """Nothing is started yet."""
        self._engine = image.engine
        self._services = services
        self._project = unique_name("countermand")
        self._images = dict.fromkeys(services, image.name) | {KAFKA: kafka}
        self._addresses: dict[str, str] = {}

    @property
    def processes(self) -> list[str]:
        """The services that stay, in the order in which they were started."""
        return [name for name in self._addresses if "healthcheck" in self._services[name]]

    def up(self) -> None:
        """Start each service once what it depends on is there, and wait until all are healthy."""
        waiting = dict(self._services)
        while waiting:
            name = next(
                each for each, service in waiting.items()
                if not waiting.keys() & service.get("depends_on", {}).keys()
            )  # fmt: skip
            for other, wanted in waiting.pop(name).get("depends_on", {}).items():
                self._await(other, wanted["condition"])
            self._start(name)
        for name in self.processes:
            eventually(partial(self._is_healthy, name))

    def call(self, service: str, *command: str, check: bool = True) -> str:
        """What a command prints in the container of a service."""
        return self._engine.call("exec", self._container(service), *command, check=check)

    def stop(self) -> dict[str, int]:
        """Tell all processes to stop, Kafka last, and give their exit codes."""
        for names in ([name for name in self.processes if name != KAFKA], [KAFKA]):
            containers = [self._container(name) for name in names]
            self._engine.call("stop", "--time", str(GRACE_S), *containers)
        return {name: self._exit_code(name) for name in self.processes}

    def down(self) -> None:
        """Remove all containers and volumes."""
        for name in reversed(self._addresses):
            self._engine.call("rm", "--force", "--volumes", self._container(name), check=False)
        for service in self._services.values():
            for mount in service.get("volumes", ()):
                if mount["type"] == "volume":
                    self._engine.call("volume", "rm", "--force", self._volume(mount), check=False)

    def _start(self, name: str) -> None:
        service = self._services[name]
        options = [f"--add-host={host}:{at}" for host, at in self._addresses.items() if at]
        options += [f"--env-file={each['path']}" for each in service.get("env_file", ())]
        options += [f"--env={key}={value}" for key, value in service.get("environment", {}).items()]
        options += [f"--tmpfs={folder}" for folder in service.get("tmpfs", ())]
        options += [f"--cap-drop={each}" for each in service.get("cap_drop", ())]
        options += [f"--security-opt={each}" for each in service.get("security_opt", ())]
        options += [f"--volume={self._mount(each)}" for each in service.get("volumes", ())]
        options += ["--read-only"] if service.get("read_only") else []
        options += [f"--workdir={service['working_dir']}"] if "working_dir" in service else []
        named = ("--detach", "--name", self._container(name), "--hostname", name)
        command = service.get("command") or ()
        self._engine.call("run", *named, *options, self._images[name], *command)
        self._addresses[name] = self._inspect(name)["NetworkSettings"]["IPAddress"]

    def _await(self, name: str, condition: str) -> None:
        if condition == "service_healthy":
            eventually(partial(self._is_healthy, name))
        else:
            assert condition == "service_completed_successfully", condition
            self._engine.call("wait", self._container(name))
            assert self._exit_code(name) == 0, self.logs(name)

    def logs(self, name: str) -> str:
        """What a service has printed."""
        return self._engine.call("logs", self._container(name))

    def _is_healthy(self, name: str) -> bool:
        assert self._inspect(name)["State"]["Running"], self.logs(name)
        kind, *command = self._services[name]["healthcheck"]["test"]
        assert kind == "CMD"
        return self._engine.works("exec", self._container(name), *command)

    def _exit_code(self, name: str) -> int:
        return int(self._inspect(name)["State"]["ExitCode"])

    def _inspect(self, name: str) -> dict[str, Any]:
        (found,) = json.loads(self._engine.call("container", "inspect", self._container(name)))
        return dict(found)

    def _container(self, name: str) -> str:
        return f"{self._project}-{name}"

    def _volume(self, mount: Mapping[str, Any]) -> str:
        return f"{self._project}-{mount['source']}"

    def _mount(self, mount: Mapping[str, Any]) -> str:
        source = self._volume(mount) if mount["type"] == "volume" else mount["source"]
        return f"{source}:{mount['target']}{':ro' if mount.get('read_only') else ''}"


@contextmanager
def running(image: Image, files: tuple[Path, ...], folder: Path) -> Iterator[Composition]:
    """The containers of compose files, up and healthy; removed at the end."""
    services = model(*files)["services"]
    kafka = kafka_image(image.engine, services[KAFKA]["image"], image.name, folder)
    composition = Composition(image, services, kafka)
    try:
        composition.up()
        yield composition
    finally:
        composition.down()
