"""The Python environment of peers that want other clients than ours, from a lock of its own."""

import subprocess
import sys
import venv
from pathlib import Path
from typing import Final

from streams.broker.lock import sha256_of

_HERE: Final = Path(__file__).resolve().parent
_LOCK: Final = _HERE / "requirements.lock"
_FOLDER: Final = _HERE.parents[2] / ".venv-peers"
_STAMP: Final = _FOLDER / "requirements.stamp"


def python() -> Path:
    """The interpreter of the environment, which is made anew where the lock or Python changed."""
    wanted = f"{sys.version} {sha256_of(_LOCK)}"
    interpreter = _FOLDER / "bin" / "python"
    if not _STAMP.exists() or _STAMP.read_text(encoding="utf-8") != wanted:
        print("Installing the benchmark's peers (once)", flush=True)
        venv.create(_FOLDER, clear=True, with_pip=True)
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(_LOCK)]
        subprocess.run([str(interpreter), *install], check=True)
        _STAMP.write_text(wanted, encoding="utf-8")
    return interpreter
