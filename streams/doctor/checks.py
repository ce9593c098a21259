"""The checks of `countermand doctor` that need no broker, and the results of checks."""

import os
import resource
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Final

from aiokafka import codec  # type: ignore[import-untyped]

from streams.errors import CountermandError
from streams.settings import Settings

_MIB: Final = 1 << 20
_LOW_DISK_MIB: Final = 1_024
_NO_DISK_MIB: Final = 64
_OPEN_FILES: Final = 4_096
_CODECS: Final = ("gzip", "snappy", "lz4", "zstd")
_PINNED: Final = ("faust-streaming", "mode-streaming", "aiokafka")


class Verdict(StrEnum):
    """The outcome of a check."""

    OK = "ok"
    WARNING = "warning"
    FAILED = "failed"


@dataclass(frozen=True)
class Result:
    """The result of a check: what it found, and what to do unless all is well."""

    name: str
    verdict: Verdict
    found: str
    remedy: str = ""


Check = Callable[[Settings], Result]


def run(settings: Settings, checks: Iterable[tuple[str, Check]]) -> Iterator[Result]:
    """The results of checks, in their order; a check that raises has failed."""
    for name, check in checks:
        try:
            yield check(settings)
        except (CountermandError, OSError) as error:
            yield Result(name, Verdict.FAILED, str(error))


def state_dir(settings: Settings) -> Result:
    """Whether the joiner can write to its state directory, and has room there."""
    folder = settings.state_dir
    remedy = "Set COUNTERMAND_STATE_DIR to a local disk that this user can write to"
    try:
        existing = write_test(folder)
    except OSError as error:
        return Result("state directory", Verdict.FAILED, f"{folder}: {error.strerror}", remedy)
    return room("state directory", f"{folder} is writable", existing, remedy)


def room(name: str, found: str, folder: Path, remedy: str) -> Result:
    """The result of a check that has `found` all well, unless the disk of a folder has no room."""
    free = shutil.disk_usage(folder).free // _MIB
    found = f"{found}, {free:,} MiB free"
    if free < _NO_DISK_MIB:
        return Result(name, Verdict.FAILED, found, "Make room, or " + remedy)
    if free < _LOW_DISK_MIB:
        return Result(name, Verdict.WARNING, found, "Make room, or " + remedy)
    return Result(name, Verdict.OK, found)


def write_test(folder: Path) -> Path:
    """Write to a folder, or where it would be made; the folder that exists.

    Raises:
        OSError: the system refuses.
    """
    existing = next(place for place in (folder, *folder.parents) if place.exists())
    probe = existing / f".doctor-{uuid.uuid4().hex}"
    try:
        with probe.open("xb") as file:
            file.write(b"\0" * 4096)
            file.flush()
            os.fsync(file.fileno())
    finally:
        probe.unlink(missing_ok=True)
    return existing


def codecs(_settings: Settings) -> Result:
    """Whether the joiner's client knows all compressions that producers may use."""
    missing = [name for name in _CODECS if not getattr(codec, f"has_{name}")()]
    if missing:
        found = f"missing: {', '.join(missing)}"
        remedy = "Run: pip install 'aiokafka[snappy,lz4,zstd]'"
        return Result("codecs", Verdict.FAILED, found, remedy)
    return Result("codecs", Verdict.OK, ", ".join(_CODECS))


def open_files(_settings: Settings) -> Result:
    """Whether RocksDB may open as many files as it needs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < _OPEN_FILES:
        remedy = f"Run: ulimit -n {min(max(hard, soft), 65_536)}, or raise the limit of the service"
        return Result("open files", Verdict.WARNING, f"at most {soft:,}", remedy)
    return Result("open files", Verdict.OK, f"at most {soft:,}")


def engine(_settings: Settings) -> Result:
    """Whether the pinned libraries have the versions that the joiner is built on."""
    try:
        pins = dict(_pins(requires("countermand") or []))
    except PackageNotFoundError:
        return Result("engine", Verdict.WARNING, "run from a checkout: pins aren't known")
    wrong = [f"{name} {version(name)}" for name in _PINNED if version(name) != pins.get(name)]
    if wrong:
        found = ", ".join(wrong)
        return Result("engine", Verdict.FAILED, found, "Run: pip install --force countermand")
    return Result("engine", Verdict.OK, ", ".join(f"{name} {pins[name]}" for name in _PINNED))


LOCAL_CHECKS: Final[tuple[tuple[str, Check], ...]] = (
    ("engine", engine),
    ("codecs", codecs),
    ("open files", open_files),
    ("state directory", state_dir),
)


def _pins(requirements: Iterable[str]) -> Iterator[tuple[str, str]]:
    for requirement in requirements:
        name, separator, number = requirement.partition("==")
        if separator:
            yield name.partition("[")[0].strip(), number.partition(";")[0].strip()
