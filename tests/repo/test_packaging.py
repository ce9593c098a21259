"""What is installed, from where, and what a wheel carries."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path
from typing import Any

import pytest

from tests.repo import tree

LOCKS = {
    "deploy/image/requirements.lock": [],
    "deploy/image/requirements-dev.lock": ["local", "dev"],
}
PIN = re.compile(r"^([A-Za-z0-9._-]+)==(\S+)")


def _project() -> dict[str, Any]:
    return tomllib.loads((tree.ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def _pins(lock: str) -> dict[str, str]:
    text = (tree.ROOT / lock).read_text(encoding="utf-8")
    pins = [PIN.match(line) for line in text.splitlines()]
    return {match[1].lower(): match[2] for match in pins if match}


def _name(requirement: str) -> str:
    match = re.match(r"[A-Za-z0-9._-]+", requirement)
    assert match, requirement
    return re.sub(r"[-_.]+", "-", match[0]).lower()


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_holds_every_dependency(lock: str) -> None:
    """A dependency that isn't locked would be installed in its newest version."""
    project = _project()["project"]
    wanted = {_name(requirement) for requirement in project["dependencies"]}
    for extra in LOCKS[lock]:
        wanted |= {_name(each) for each in project["optional-dependencies"][extra]}
    assert wanted - set(_pins(lock)) == set(), "run: make lock"


@pytest.mark.parametrize("lock", LOCKS)
def test_lock_is_hashed_and_names_no_source(lock: str) -> None:
    """Plain pip checks each file by its hash, and gets it from the user's own registry."""
    text = (tree.ROOT / lock).read_text(encoding="utf-8")
    entries = re.split(r"\n(?=[A-Za-z0-9])", text.partition("\n")[2])
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert re.findall(r"^\s*(?:-\w|--(?!hash)\S+).*|.*://.*| @ .*", text, re.MULTILINE) == []


def test_what_runs_is_what_is_tested() -> None:
    """The image installs the same versions that the tests ran with."""
    runtime, tested = (_pins(lock) for lock in LOCKS)
    assert runtime.items() <= tested.items()


def test_exact_pins_are_the_locked_ones() -> None:
    """The engine's versions in pyproject.toml and in the lock are the same."""
    exact = {
        _name(each): each.rpartition("==")[2]
        for each in _project()["project"]["dependencies"]
        if "==" in each
    }
    pins = _pins("deploy/image/requirements.lock")
    assert {name: pins[name] for name in exact} == exact


@pytest.mark.parametrize(
    "script",
    [
        ".ci/run",
        "deploy/setup.sh",
        "deploy/lock.sh",
        "deploy/postgresql.sh",
        "deploy/redis.sh",
        "deploy/chromium.sh",
        "deploy/npm.sh",
        "deploy/helm.sh",
        "deploy/kube.sh",
        "tests/kubernetes/run.sh",
        "tests/kubernetes/node.sh",
        "deploy/promtool.sh",
        "deploy/image/base.sh",
        "deploy/image/build.sh",
        "deploy/compose-go.sh",
    ],
)
def test_scripts_stop_at_the_first_error(script: str) -> None:
    """Each script is executable and ends after its first error."""
    text = (tree.ROOT / script).read_text(encoding="utf-8")
    assert "set -euo pipefail" in text
    assert os.access(tree.ROOT / script, os.X_OK)


@pytest.mark.parametrize(
    ("python", "said"),
    [
        ("exit 127", ["Python 3.11 to 3.14 is missing", "apt-get install python3 python3-venv"]),
        (
            f'case "$*" in *ensurepip*) exit 1 ;; *) exec {sys.executable} "$@" ;; esac',
            ["lacks the modules venv and ensurepip", "apt-get install python3.", "-venv"],
        ),
    ],
    ids=["no python", "no venv"],
)
def test_setup_says_what_is_missing_before_it_downloads(
    tmp_path: Path, python: str, said: list[str]
) -> None:
    """If a requirement is missing, set-up names it and its Debian package, and does nothing."""
    shutil.copytree(tree.ROOT / "deploy", tmp_path / "deploy")
    (tmp_path / "python").write_text(f"#!/bin/sh\n{python}\n", encoding="utf-8")
    (tmp_path / "python").chmod(0o755)
    run = subprocess.run(
        ["bash", str(tmp_path / "deploy/setup.sh")],
        env={"PATH": os.environ["PATH"], "PYTHON": str(tmp_path / "python")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 1
    assert [words for words in said if words not in run.stderr] == []
    assert not (tmp_path / ".venv").exists()


@pytest.mark.slow
def test_wheel_carries_what_the_packages_hold(tmp_path: Path) -> None:
    """The wheel has all code, the marks of typed packages, and the local broker's files."""
    source = tmp_path / "source"
    expected = set()
    for path in tree.files():
        if path.parts[0] in {"streams", "topology", "pyproject.toml", "README.md", "LICENSE"}:
            (source / path).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(tree.ROOT / path, source / path)
            kept = path.suffix == ".py" or path.name == "py.typed" or "broker" in path.parts
            expected |= {path.as_posix()} if kept and len(path.parts) > 1 else set()
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-index"]
    subprocess.run(
        [*command, "--no-build-isolation", "--wheel-dir", str(tmp_path), str(source)], check=True
    )
    (wheel,) = tmp_path.glob("countermand-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())
    assert expected - held == set()
    assert {name.split("/")[0] for name in held if ".dist-info" not in name} <= {
        "streams",
        "topology",
    }
