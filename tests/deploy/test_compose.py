"""The compose files, as Docker Compose reads them."""

import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from streams.settings import Settings, variable
from tests.deploy.composition import COMPOSE, FOLDER, GRACE_S, OWN_KAFKA, model
from tests.repo import tree
from tests.support.image import VERSION

# Docker Compose's reader is built first, where it is missing.
pytestmark = pytest.mark.network

_PROCESS: Final = re.compile(r"^\| `countermand ([a-z-]+)", re.MULTILINE)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    """The services of compose.yaml alone."""
    return dict(model(COMPOSE)["services"])


@pytest.fixture(scope="module")
def ours(services: dict[str, Any]) -> dict[str, Any]:
    """Those that run Countermand's image."""
    return {name: service for name, service in services.items() if name != "kafka"}


@pytest.fixture(scope="module")
def with_own_kafka(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What both files come to, with the example of settings in its place."""
    folder = tmp_path_factory.mktemp("checkout") / "deploy/compose"
    shutil.copytree(FOLDER, folder)
    shutil.copy(folder / "own-kafka.env.example", folder / "own-kafka.env")
    return model(folder / COMPOSE.name, folder / OWN_KAFKA.name)


def _variables(file: Path) -> set[str]:
    lines = file.read_text(encoding="utf-8").splitlines()
    return {line.partition("=")[0] for line in lines if line and not line.startswith("#")}


def _lasting(services: Mapping[str, Any]) -> dict[str, Any]:
    return {name: service for name, service in services.items() if name != "topics"}


def test_every_process_has_a_service(ours: dict[str, Any]) -> None:
    """Nobody finds a process missing that `docs/operating.md` says is needed."""
    page = (tree.ROOT / "docs/operating.md").read_text(encoding="utf-8")
    started = {service["command"][0] for service in ours.values()}
    assert set(_PROCESS.findall(page.partition("## The database")[0])) <= started


def test_variables_are_settings(services: dict[str, Any]) -> None:
    """An unknown variable would keep each process from starting."""
    known = {variable(name) for name in Settings.model_fields}
    files = [FOLDER / "kafka.env", FOLDER / "own-kafka.env.example"]
    named = set().union(*map(_variables, files))
    for service in services.values():
        named |= {key for key in service.get("environment", {}) if key.startswith("COUNTERMAND_")}
    assert named
    assert named - known == set()


def test_images_are_named_for_good(services: dict[str, Any]) -> None:
    """Kafka is one image by its digest, Countermand the release of this checkout."""
    assert re.search(r"/kafka:\d+\.\d+\.\d+@sha256:[0-9a-f]{64}$", services["kafka"]["image"])
    own = {service["image"] for name, service in services.items() if name != "kafka"}
    assert own == {f"countermand:{VERSION}"}


def test_services_have_no_rights(ours: dict[str, Any]) -> None:
    """No service of ours can write to its root, or become more than it is."""
    for service in ours.values():
        assert service["read_only"] is True
        assert service["cap_drop"] == ["ALL"]
        assert service["security_opt"] == ["no-new-privileges:true"]
        assert service["tmpfs"] == ["/tmp"]  # noqa: S108  # of its container
    assert _lasting(ours) != {}


def test_services_that_last_are_looked_after(services: dict[str, Any]) -> None:
    """Each has a health check, is started again, and gets time to end in order."""
    for service in _lasting(services).values():
        assert service["healthcheck"]["test"][0] == "CMD"
        assert service["restart"] == "unless-stopped"
        assert service["stop_grace_period"] == f"{GRACE_S}s"


def test_what_lasts_is_in_named_volumes(services: dict[str, Any]) -> None:
    """Who has a disk keeps it by name; API and read model share the database, no others share."""
    places: dict[str, list[str]] = {}
    for name, service in services.items():
        for mount in service.get("volumes", ()):
            if mount["type"] == "volume":
                places.setdefault(mount["source"], []).append(name)
                data = "/var/lib/kafka/data" if name == "kafka" else "/var/lib/countermand"
                assert mount["target"] == data
    shared = {source: sorted(names) for source, names in places.items()}
    assert shared == {
        "database": ["api", "read-model"],
        "joiner": ["joiner"],
        "kafka": ["kafka"],
        "worker": ["worker"],
    }
    assert set(model(COMPOSE)["volumes"]) == shared.keys()


def test_only_this_machine_reaches_it(services: dict[str, Any]) -> None:
    """Neither Kafka nor the API, which speaks plain HTTP, is open to the network."""
    ports = [port for service in services.values() for port in service.get("ports", ())]
    assert {port["published"] for port in ports} == {"8420", "9092"}
    assert {port["host_ip"] for port in ports} == {"127.0.0.1"}


def test_own_kafka_takes_the_place_of_the_other(
    services: dict[str, Any], with_own_kafka: dict[str, Any]
) -> None:
    """With the second file no Kafka is started, none waited for, and its settings win."""
    changed = with_own_kafka["services"]
    assert changed.keys() == services.keys() - {"kafka"}
    assert "kafka" not in with_own_kafka["volumes"]
    for service in changed.values():
        assert "kafka" not in service.get("depends_on", {})
        files = [Path(each["path"]).name for each in service["env_file"]]
        assert files == ["kafka.env", "own-kafka.env"]
    assert _variables(FOLDER / "kafka.env") <= _variables(FOLDER / "own-kafka.env.example")


def test_settings_of_an_own_kafka_stay_out_of_git() -> None:
    """The file that has the password is ignored; its example isn't."""
    ignored = (tree.ROOT / ".gitignore").read_text(encoding="utf-8").split()
    assert "/deploy/compose/own-kafka.env" in ignored


def test_commands_at_the_top_are_of_these_files() -> None:
    """What a reader copies from the files' heads names files that there are."""
    for file in (COMPOSE, OWN_KAFKA):
        head = file.read_text(encoding="utf-8").partition("\nservices:")[0]
        named = set(re.findall(r"deploy/compose/[\w.-]+", head)) - {"deploy/compose/own-kafka.env"}
        assert named
        assert [name for name in named if not (tree.ROOT / name).exists()] == []
