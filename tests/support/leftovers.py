"""What a test may not leave behind, and how it is found."""

import asyncio
import gc
import os
import threading
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

# Pytest itself sets this one around each phase of a test.
_ENVIRONMENT_OF_PYTEST = "PYTEST_CURRENT_TEST"
_OPEN_FILES = Path("/proc/self/fd")
# multiprocessing keeps these for the life of the process, whoever asked first.
_KEPT_BY_PYTHON = ("multiprocessing.resource_tracker", "multiprocessing.forkserver")


@dataclass(frozen=True)
class Snapshot:
    """Threads, tasks, children, environment and open stores at one moment."""

    threads: frozenset[threading.Thread]
    tasks: frozenset[int]
    children: frozenset[int]
    environment: dict[str, str]
    stores: frozenset[str]


def take_snapshot() -> Snapshot:
    """Record what exists now, so that fixtures of a wider scope don't count as leftovers."""
    return Snapshot(
        threads=frozenset(threading.enumerate()),
        tasks=frozenset(id(task) for task in _pending_tasks()),
        children=frozenset(child.pid for child in _children()),
        environment=_environment(),
        stores=frozenset(_open_stores()),
    )


def leftovers_since(before: Snapshot, grace_seconds: float = 30.0) -> list[str]:
    """Name what came since; threads and children that are just ending get the grace time."""
    return [
        *_left_threads(before, grace_seconds),
        *_left_children(before, grace_seconds),
        *(f"asyncio task {task!r}" for task in _pending_tasks() if id(task) not in before.tasks),
        *(f"open store {path}" for path in sorted(_open_stores() - before.stores)),
        *_changed_environment(before),
    ]


def restore_environment(before: Snapshot) -> None:
    """Put os.environ back, so that one careless test doesn't fail the rest."""
    for name in set(_environment()) - set(before.environment):
        del os.environ[name]
    os.environ.update(before.environment)


def _left_threads(before: Snapshot, grace_seconds: float) -> list[str]:
    new = [thread for thread in threading.enumerate() if thread not in before.threads]
    for thread in new:
        # Threads that foreign code started show up as dummies, which can't be joined.
        if not isinstance(thread, threading._DummyThread):
            thread.join(grace_seconds)
    return [f"thread {thread.name}" for thread in new if thread.is_alive()]


def _left_children(before: Snapshot, grace_seconds: float) -> list[str]:
    new = [child for child in _children() if child.pid not in before.children]
    _, alive = psutil.wait_procs(new, timeout=grace_seconds if new else 0)
    return [f"process {child.pid} {_command(child)}" for child in alive]


def _changed_environment(before: Snapshot) -> list[str]:
    now = _environment()
    names = sorted(set(now) | set(before.environment))
    return [
        f"environment variable {name}"
        for name in names
        if now.get(name) != before.environment.get(name)
    ]


def _environment() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name != _ENVIRONMENT_OF_PYTEST}


def _children() -> list[psutil.Process]:
    return [
        child
        for child in psutil.Process().children()
        if child.is_running()
        and _status(child) != psutil.STATUS_ZOMBIE
        and not any(kept in _command(child) for kept in _KEPT_BY_PYTHON)
    ]


def _status(process: psutil.Process) -> str:
    try:
        return str(process.status())
    except psutil.NoSuchProcess:
        return str(psutil.STATUS_ZOMBIE)


def _command(process: psutil.Process) -> str:
    try:
        return " ".join(process.cmdline())
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return "(ended)"


def _pending_tasks() -> list["asyncio.Task[Any]"]:
    # asyncio.all_tasks needs a loop; the set behind it (gone in 3.14, where the heap is searched)
    # also knows the tasks of loops that nobody holds any more.
    registry: Iterable[Any] | None = getattr(
        asyncio.tasks, "_scheduled_tasks", getattr(asyncio.tasks, "_all_tasks", None)
    )
    candidates: list[Any] = gc.get_objects() if registry is None else list(registry)
    return [task for task in candidates if issubclass(type(task), asyncio.Task) and not task.done()]


def _open_stores() -> set[str]:
    # RocksDB keeps a file LOCK open for as long as a database is open.
    if not _OPEN_FILES.is_dir():
        return set()
    targets = {_target(entry) for entry in _OPEN_FILES.iterdir()}
    return {path for path in targets if path.removesuffix(" (deleted)").endswith("/LOCK")}


def _target(entry: Path) -> str:
    try:
        return str(entry.readlink())
    except OSError:  # closed since it was listed
        return ""
