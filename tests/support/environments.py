"""Python environments beside .venv, each from a lock of its own: `python -m … .venv-peers LOCK`."""

import subprocess
import sys
import venv
from pathlib import Path

from streams.broker.lock import sha256_of
from tests.support.trees import ROOT


def interpreter(name: str, lock: Path) -> Path:
    """The interpreter of an environment, which is made anew where the lock or Python changed."""
    folder = ROOT / name
    stamp = folder / "requirements.stamp"
    wanted = f"{sys.version} {sha256_of(lock)}"
    found = folder / "bin" / "python"
    if not stamp.exists() or stamp.read_text(encoding="utf-8") != wanted:
        print(f"Installing {lock.relative_to(ROOT)} into {name} (once)", flush=True)
        venv.create(folder, clear=True, with_pip=True)
        install = ["-m", "pip", "install", "--quiet", "--require-hashes", "-r", str(lock)]
        subprocess.run([str(found), *install], check=True)
        stamp.write_text(wanted, encoding="utf-8")
    return found


if __name__ == "__main__":
    interpreter(sys.argv[1], ROOT / sys.argv[2])
