"""The report app's function in the SDK's testing kit: what each cancel leaves behind."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from examples.report_app import functions, reports
from examples.report_app.database import Database, migrate, open_engine
from examples.report_app.models import Report, Status
from examples.report_app.settings import Settings
from streams.sdk import StepError
from streams.sdk.testing import After, Before, During, InSleep, Outcome, TestKit

ANN = "ann"


class Bench:
    """One report, its files, and a kit that runs its function."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self.database = database
        self.settings = settings
        self.report_id = ""

    def ask(self, year: int = 2025) -> None:
        """Ask for a report to be generated."""
        self.report_id = reports.create(self.database, ANN, "Sales", year)
        reports.request_generation(self.database, ANN, self.report_id)

    def run(self, **more: Any) -> Outcome:
        """Let a run begin and end."""
        kit = TestKit(functions.app)
        data = {"reportId": self.report_id, "userId": ANN}
        request_id = self.report.request_id
        outcome = asyncio.run(kit.run("generate-report", data=data, event_id=request_id, **more))
        if outcome.status == "cancelled":
            for _ in range(2):  # told at least once
                asyncio.run(kit.clean_up(outcome))
        return outcome

    @property
    def report(self) -> Report:
        """The report as it is now."""
        return reports.find(self.database, ANN, self.report_id)

    @property
    def files(self) -> list[str]:
        """The ends of the names of what lies in its folder."""
        found = (self.settings.files / self.report_id).glob("*")
        return sorted(path.name.partition(".")[2] for path in found)


@pytest.fixture
def bench(
    clean_environment: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Bench]:
    """A database of this test, and a function that computes fast."""
    monkeypatch.setenv("REPORT_APP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("REPORT_APP_COMPUTE_SECONDS", "0")
    engine = open_engine(functions.settings())
    migrate(engine)
    yield Bench(functions.database(), functions.settings())
    engine.dispose()
    functions.database().kw["bind"].dispose()
    functions.settings.cache_clear()
    functions.database.cache_clear()


def test_a_report_is_generated(bench: Bench) -> None:
    """Four steps and a sleep; figures and sums are in the file."""
    bench.ask()
    outcome = bench.run()
    assert (outcome.status, outcome.slept_ms) == ("completed", 10_000)
    assert outcome.steps == ["load", "compute", "render", "complete"]
    report = bench.report
    assert (report.status, bench.files) == (Status.GENERATED, ["csv"])
    path = bench.settings.files / report.id / f"{report.run_id}.csv"
    assert path.read_text(encoding="utf-8").splitlines()[-1] == "west,total,6846"


@pytest.mark.parametrize(
    ("cancel", "steps"),
    [
        (InSleep("settle", after="3s"), ["load"]),
        (Before("compute"), ["load"]),
        (During("compute"), ["load", "compute"]),
        (After("compute"), ["load", "compute"]),
        (During("render"), ["load", "compute", "render"]),
        (Before("complete"), ["load", "compute", "render"]),
    ],
)
def test_a_cancel_leaves_nothing(bench: Bench, cancel: Any, steps: list[str]) -> None:
    """Wherever the run is: no step after it, no file, and the report is cancelled."""
    bench.ask()
    outcome = bench.run(cancel=cancel, cause={"type": "api"})
    assert (outcome.status, outcome.steps) == ("cancelled", steps)
    assert (bench.report.status, bench.files) == (Status.CANCELLED, [])
    assert bench.report.cancelled_by == "an operator"


def test_a_cancel_after_the_last_step(bench: Bench) -> None:
    """The report is there: it is kept."""
    bench.ask()
    bench.run(cancel=During("complete"))
    assert (bench.report.status, bench.files) == (Status.GENERATED, ["csv"])


def test_a_cancel_that_is_on_its_way(bench: Bench) -> None:
    """A run that finishes after its user asked for the cancel lets it come."""
    bench.ask()
    reports.request_cancel(bench.database, ANN, bench.report_id)
    outcome = bench.run(cancel=InSleep("grace"), cause={"type": "event"})
    assert (outcome.status, bench.report.status) == ("cancelled", Status.CANCELLED)
    assert (bench.report.cancelled_by, bench.files) == (ANN, [])


def test_a_cancel_that_never_comes(bench: Bench) -> None:
    """In the end the report is generated, and says that the cancel was too late."""
    bench.ask()
    reports.request_cancel(bench.database, ANN, bench.report_id)
    outcome = bench.run()
    assert (outcome.status, outcome.slept_ms) == ("completed", 40_000)
    assert outcome.steps[-2:] == ["complete", "complete:1"]
    assert (bench.report.status, bench.files) == (Status.GENERATED, ["csv"])
    assert bench.report.cancel_requested_at is not None


def test_a_failure(bench: Bench) -> None:
    """No second attempt at what can't go well; the report says why."""
    bench.ask(year=2031)
    outcome = bench.run()
    assert (outcome.status, outcome.steps) == ("failed", ["load", "fail"])
    assert isinstance(outcome.error, StepError)
    assert (outcome.error.code, outcome.error.attempts) == ("LookupError", 1)
    assert (bench.report.status, bench.report.error) == (Status.FAILED, str(outcome.error))
    assert bench.files == []
