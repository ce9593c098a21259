"""Follows a request until it is over, with a progress bar on a terminal."""

import time
from collections.abc import Callable
from typing import Final

from rich.progress import (
    BarColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from streams.cli.client import Document
from streams.cli.console import console
from streams.errors import UnreachableError

OVER: Final = frozenset({"done", "stopped", "failed"})
_LOOK_S: Final = 0.3
# The API may be restarted meanwhile, which loses no request.
_PATIENCE_S: Final = 60.0


def follow(
    fetch: Callable[[], Document],
    what: str,
    *,
    total: int | None = None,
    interrupted: Callable[[], None] | None = None,
) -> Document:
    """Fetch a request again and again until it is over; its last state.

    Args:
        fetch: Gives the request as it is now.
        what: What is done, for the bar.
        total: How many runs are to be looked at, where that is known.
        interrupted: Called on Ctrl-C; if it returns, the request is followed on.

    Raises:
        UnreachableError: The API hasn't answered for a minute.
        KeyboardInterrupt: Ctrl-C, without `interrupted`.
    """
    patient = _Patient(fetch)
    while True:
        try:
            with _bar() as bar:
                task = bar.add_task(what, total=total or None, note="")
                while True:
                    found = patient.look()
                    if found is not None:
                        counts = found["counts"]
                        bar.update(task, completed=counts["scanned"], note=_note(found))
                        if found["status"] in OVER:
                            return found
                    else:
                        bar.update(task, note="the API doesn't answer")
                    time.sleep(_LOOK_S)
        except KeyboardInterrupt:
            if interrupted is None:
                raise
            interrupted()


class _Patient:
    """Fetches a request; waits up to a minute for an API that doesn't answer."""

    def __init__(self, fetch: Callable[[], Document]) -> None:
        self._fetch = fetch
        self._answered = time.monotonic()

    def look(self) -> Document | None:
        try:
            found = self._fetch()
        except UnreachableError:
            if time.monotonic() - self._answered > _PATIENCE_S:
                raise
            return None
        self._answered = time.monotonic()
        return found


def _note(found: Document) -> str:
    """What a request has done so far, in a few words."""
    counts = found["counts"]
    if "replayed" in counts:
        done = f"{counts['replayed']:,} replayed"
    else:
        done = f"{counts['cancelled']:,} cancelled"
    if found.get("dry_run"):
        done = f"{counts['matched']:,} match"
    return done if found["status"] != "queued" else "queued"


class _LookedAtColumn(ProgressColumn):
    """How many runs were looked at, and of how many, where that is known."""

    def render(self, task: Task) -> Text:
        total = "" if task.total is None else f"/{task.total:,.0f}"
        return Text(f"{task.completed:,.0f}{total} looked at")


class _RateColumn(ProgressColumn):
    """Runs per second."""

    def render(self, task: Task) -> Text:
        speed = task.finished_speed or task.speed
        return Text("" if speed is None else f"{speed:,.0f} runs/s")


def _bar() -> Progress:
    screen = console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        _LookedAtColumn(),
        TextColumn("{task.fields[note]}"),
        _RateColumn(),
        TimeRemainingColumn(),
        TextColumn("left"),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    )
