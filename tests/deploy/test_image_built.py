"""The built image: what it says, holds and runs."""

import json
import re
from typing import Any, Final

import pytest

from streams.settings import Settings, variable
from tests.repo import tree
from tests.support.image import VERSION, Image

# Where nothing is cached, Debian's packages and Python's are fetched first.
pytestmark = [pytest.mark.slow, pytest.mark.network, pytest.mark.timeout(900)]

LOCK: Final = (tree.ROOT / "deploy/image/requirements.lock").read_text(encoding="utf-8")
LARGEST_BYTES: Final = 350_000_000
# Installs the project while the image is built, and doesn't stay in it.
BUILD_ONLY: Final = "setuptools"


@pytest.fixture(scope="module")
def inside(image: Image) -> dict[str, Any]:
    """What `tests/deploy/inside.py` finds in a hardened container."""
    program = (tree.ROOT / "tests/deploy/inside.py").read_text(encoding="utf-8")
    return dict(json.loads(image.run("-", entrypoint="python3", stdin=program)))


def _pins() -> set[tuple[str, str]]:
    """Name and version of what the lock installs on Linux and the image keeps."""
    entries = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)(.*)$", LOCK, re.MULTILINE)
    return {
        (name, version)
        for name, version, marker in entries
        if name != BUILD_ONLY and "win32" not in marker
    }


def test_image_says_what_it_is(image: Image) -> None:
    """Labels, user, signal, command and ports are what others rely on."""
    config = image.inspect()["Config"]
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in config["Labels"].items()
    }
    assert (labels["title"], labels["licenses"]) == ("Countermand", "Apache-2.0")
    assert labels["version"] == VERSION
    assert {"description", "revision", "base.name"} <= labels.keys()
    assert config["User"] == "10001:10001"
    assert config["Entrypoint"] == ["countermand"]
    assert config.get("StopSignal", "SIGTERM") == "SIGTERM"
    ports = [Settings.model_fields[name].default for name in ("api_port", "web_port")]
    assert set(config["ExposedPorts"]) == {f"{port}/tcp" for port in ports}


def test_environment_of_the_image_is_settings(image: Image) -> None:
    """A name that no setting has would keep each process from starting."""
    names = {each.partition("=")[0] for each in image.inspect()["Config"]["Env"]}
    ours = {name for name in names if name.startswith("COUNTERMAND_")}
    assert ours
    assert ours <= {variable(name) for name in Settings.model_fields}


def test_image_is_small(image: Image) -> None:
    """Nodes pull it before they start a process, so its size is a part of each recovery."""
    assert image.inspect()["Size"] <= LARGEST_BYTES


def test_image_holds_what_is_locked_and_nothing_else(inside: dict[str, Any]) -> None:
    """What runs is what was tested: each distribution, in its version, and no other."""
    found = {(name, version) for name, version in inside["installed"]}
    assert found == _pins() | {("countermand", VERSION)}


def test_no_tool_is_left_in_it(inside: dict[str, Any]) -> None:
    """Who breaks into a container finds neither an installer nor a compiler there."""
    assert inside["unwanted"] == []


def test_bytecode_of_everything_lies_in_it(inside: dict[str, Any]) -> None:
    """A read-only root can't keep what Python compiles, so each start would compile anew."""
    assert inside["without_bytecode"] == []


def test_each_process_finds_its_libraries(inside: dict[str, Any]) -> None:
    """A library that the base lacks would only be missed by the process that needs it."""
    assert inside["failing"] == {}


def test_user_of_the_image_has_no_rights(inside: dict[str, Any]) -> None:
    """It is nobody, and can write to nothing of the image."""
    assert (inside["user"], inside["writable"]) == ([10001, 10001], [])


def test_bill_of_materials_lists_what_is_in_it(image: Image) -> None:
    """Scanners find each Python distribution, Python itself and each package of the system."""
    bill = json.loads(image.sbom.read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    assert bill["metadata"]["component"]["purl"] == f"pkg:pypi/countermand@{VERSION}"
    urls = [component["purl"] for component in bill["components"]]
    assert len(urls) == len(set(urls))
    packages = {tuple(url.removeprefix("pkg:pypi/").split("@")) for url in urls if "pypi" in url}
    assert packages == _pins()
    assert [url for url in urls if url.startswith("pkg:generic/python@3.")]
    assert [url for url in urls if url.startswith("pkg:deb/debian/libc6@")]
    assert [url for url in urls if re.search(r"/python3?-?[\d.]*-(pip|venv|setuptools)", url)] == []
