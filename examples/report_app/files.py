"""The reports' files: one that is being written has another name until it is whole."""

import csv
from collections.abc import Iterable, Sequence
from pathlib import Path

from examples.report_app.settings import Settings


def finished(settings: Settings, report_id: str, run_id: str) -> Path:
    """Where a run's file is when it is whole."""
    return settings.files / report_id / f"{run_id}.csv"


def partial(settings: Settings, report_id: str, run_id: str) -> Path:
    """Where it is until then."""
    return settings.files / report_id / f"{run_id}.csv.part"


def begin(settings: Settings, report_id: str, run_id: str) -> None:
    """Begin a file, or begin it anew."""
    path = partial(settings, report_id, run_id)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("", encoding="utf-8")


def append(
    settings: Settings, report_id: str, run_id: str, rows: Iterable[Sequence[object]]
) -> None:
    """Write more of a file."""
    path = partial(settings, report_id, run_id)
    with path.open("a", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows(rows)


def finish(settings: Settings, report_id: str, run_id: str) -> None:
    """A file is whole: it takes the place of the report's earlier ones."""
    path = finished(settings, report_id, run_id)
    partial(settings, report_id, run_id).replace(path)
    for other in path.parent.glob("*.csv"):
        if other != path:
            other.unlink()


def remove(settings: Settings, report_id: str, run_id: str) -> None:
    """Leave nothing of a run that was cancelled."""
    for path in (
        partial(settings, report_id, run_id),
        finished(settings, report_id, run_id),
    ):
        path.unlink(missing_ok=True)
