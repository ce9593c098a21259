"""The kinds of apps: SDKs and versions of them, and how an app of each is started."""

import shutil
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.trees import ROOT

# Those of `make test-inngest`, and those that only `make test-inngest-all` has.
USUAL: Final = ("python", "node")
FURTHER: Final = ("python_old", "node_v3", "go")
KINDS: Final = (*USUAL, *(pytest.param(kind, marks=pytest.mark.long) for kind in FURTHER))
_APPS: Final = Path(__file__).parent / "apps"
# The targets of the Makefile install and build what is here.
_PACKAGES: Final = {
    "node": ROOT / "examples/inngest/app/node_modules",
    "node_v3": _APPS / "node_v3/node_modules",
}
_PYTHON: Final = {"python_old": str(ROOT / ".venv-inngest/bin/python")}
_GO_APP: Final = ROOT / "build/inngest-go-app"
_ENVIRONMENT: Final = {"node_v3": {"SDK_VERSION": "3"}}


def command(kind: str, folder: Path) -> list[str]:
    """What starts an app, which has this folder."""
    if kind == "go":
        return [str(_GO_APP)]
    if kind in _PACKAGES:
        # Node finds packages beside the app.
        (folder / "node_modules").symlink_to(_PACKAGES[kind])
        app = shutil.copy(_APPS / "node_app.mjs", folder)
        return [shutil.which("node") or "node", str(app)]
    return [_PYTHON.get(kind, sys.executable), "-m", f"tests.inngest.apps.{kind}_app"]


def environment(kind: str) -> dict[str, str]:
    """What an app is told of its SDK."""
    return _ENVIRONMENT.get(kind, {})
