"""Apps of the real SDKs on a real broker."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.inngest.conftest import Bridge, Runs, SdkApp, at_work, sync
from tests.inngest.kinds import KINDS
from tests.support.deadline import eventually
from tests.support.worker import PATIENCE_S, Backend

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture(scope="module", params=KINDS)
def kind(request: pytest.FixtureRequest) -> str:
    """Each kind of app."""
    return str(request.param)


@pytest.fixture(scope="module")
def backend(kind: str, kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One for each kind: events would start the functions of the others, too."""
    with at_work(kafka, tmp_path_factory.mktemp(kind)) as found:
        yield found


@pytest.fixture(scope="module")
def app(kind: str, bridge: Bridge) -> Iterator[SdkApp]:
    """An app that has registered itself, in development."""
    with SdkApp(kind, bridge, bridge.log.parent) as found:
        done = sync(bridge, found)
        assert done.returncode == 0, done.stderr
        yield found


def test_a_run_takes_its_steps(app: SdkApp, runs: Runs) -> None:
    """Each once, in order, and each with what the one before returned."""
    runs.send("report/requested", reportId="r1")
    done = runs.reaches(f"{app.id}-report", "reportId", "r1", "completed")
    assert app.marks("r1") == ["load", "render", "save 2"]
    assert (done["attempt"], done["last_step"]) == (1, "save")


def test_cancelled_within_a_step(bridge: Bridge, app: SdkApp, runs: Runs) -> None:
    """It runs to its end, no step follows, and the cleanup is told under Inngest's name."""
    runs.send("report/requested", reportId="r2", hold=True)
    app.until("r2", "render")
    runs.send("report/cancelled", reportId="r2")
    runs.reaches(f"{app.id}-report", "reportId", "r2", "cancelled")
    eventually(lambda: bridge.stopping == 1, PATIENCE_S)
    app.open_gate("r2")
    runs.stops(f"{app.id}-report", "reportId", "r2")
    app.until("r2", "inngest/function.cancelled")
    assert app.marks("r2") == ["load", "render", "inngest/function.cancelled"]


def test_a_reminder(app: SdkApp, runs: Runs) -> None:
    """One is pushed in time, one is cancelled while it sleeps."""
    soon = (datetime.now(UTC) + timedelta(seconds=2)).isoformat()
    late = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    runs.send("reminder/created", id="late", at=late)
    runs.send("reminder/created", id="soon", at=soon)
    runs.reaches(f"{app.id}-reminder", "id", "late", "sleeping")
    runs.send("reminder/deleted", id="late")
    runs.reaches(f"{app.id}-reminder", "id", "late", "cancelled")
    runs.reaches(f"{app.id}-reminder", "id", "soon", "completed")
    assert app.marks("soon") == ["push"]
    assert app.marks("late") == []


def test_steps_beside_each_other(app: SdkApp, runs: Runs) -> None:
    """Two steps and a sleep are planned, and joined when all have ended."""
    runs.send("parallel/requested", id="p1")
    runs.reaches(f"{app.id}-parallel", "id", "p1", "completed")
    found = app.marks("p1")
    assert sorted(found[:2]) == ["left", "right"]
    assert found[2:] == ["joined LR"]


def test_a_step_that_fails_once(app: SdkApp, runs: Runs) -> None:
    """It is tried again when the app says; one that fails for good can be caught."""
    runs.send("flaky/requested", id="f1")
    runs.reaches(f"{app.id}-flaky", "id", "f1", "completed")
    assert app.marks("f1") == ["try 1", "try 2", "caught out of paper"]


def test_on_failure(app: SdkApp, runs: Runs) -> None:
    """A run that has failed is told to the function for it."""
    runs.send("doomed/requested", id="d1")
    runs.reaches(f"{app.id}-doomed", "id", "d1", "failed")
    app.until("d1", "failed as asked")
    assert app.marks("d1") == ["failed as asked"]
