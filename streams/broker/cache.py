"""Where fetched and prepared files live: outside the checkout, one folder per lock."""

import os
import shutil
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path

from streams.broker.lock import Jar, Lock

CACHE_DIR_VARIABLE = "COUNTERMAND_CACHE_DIR"
_SCRATCH_PREFIX = ".partial-"
_ABANDONED_AFTER_S = 24 * 60 * 60


def cache_root(environ: Mapping[str, str] | None = None) -> Path:
    """The cache folder: `COUNTERMAND_CACHE_DIR`, else the XDG cache of this user."""
    env = os.environ if environ is None else environ
    if chosen := env.get(CACHE_DIR_VARIABLE):
        return Path(chosen).expanduser().absolute()
    base = Path(env["XDG_CACHE_HOME"]) if env.get("XDG_CACHE_HOME") else Path.home() / ".cache"
    return base.absolute() / "countermand"


class BrokerCache:
    """The files of one lock: its jars, and what was prepared from them.

    Every file is complete or absent: it is made in a scratch folder on the same file
    system and renamed into place, so a killed process or a second one does no harm.
    """

    def __init__(self, lock: Lock, root: Path | None = None) -> None:
        self.lock = lock
        self.folder = (root or cache_root()) / f"kafka-{lock.kafka_version}-{lock.digest}"
        self.jars = self.folder / "jars"

    def path(self, jar: Jar) -> Path:
        """Where the jar is kept."""
        return self.jars / jar.filename

    def missing(self) -> tuple[Jar, ...]:
        """The jars that are absent or differ from the lock."""
        return tuple(jar for jar in self.lock.jars if not jar.matches(self.path(jar)))

    def class_path(self) -> str:
        """The Java class path of the broker, in lock order."""
        return os.pathsep.join(str(self.path(jar)) for jar in self.lock.jars)

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """A folder to make files in before `adopt`, removed at the end."""
        self.jars.mkdir(parents=True, exist_ok=True)
        _remove_abandoned(self.folder)
        folder = Path(tempfile.mkdtemp(prefix=_SCRATCH_PREFIX, dir=self.folder))
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)


def adopt(made: Path, target: Path) -> None:
    """Move a complete file into its place in the cache, in one step."""
    target.parent.mkdir(parents=True, exist_ok=True)
    made.replace(target)


def _remove_abandoned(folder: Path) -> None:
    # A killed process leaves its scratch folder behind; no running process has so old a folder.
    oldest_kept = time.time() - _ABANDONED_AFTER_S
    for scratch in folder.glob(f"{_SCRATCH_PREFIX}*"):
        with suppress(FileNotFoundError):
            if scratch.stat().st_mtime < oldest_kept:
                shutil.rmtree(scratch, ignore_errors=True)
