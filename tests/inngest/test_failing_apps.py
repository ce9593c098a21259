"""Apps that are killed, hang or change in the middle of runs: no work is lost, nor done twice."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.inngest.conftest import Bridge, Runs, SdkApp, joined, sync
from tests.support.deadline import eventually
from tests.support.worker import PATIENCE_S, Backend

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600)]


@pytest.fixture(scope="module")
def bridge(backend: Backend) -> Iterator[Bridge]:
    """A bridge that gives up calls which take long, and holds runs that sleep for some hours."""
    found = Bridge(
        backend.settings, backend.folder, INNGEST_ANSWER_WITHIN="10s", WORKER_PARK_AFTER="1d"
    )
    with joined(found):
        yield found


@pytest.fixture(scope="module")
def registered(bridge: Bridge) -> SdkApp:
    """An app that is registered, and runs no more."""
    with SdkApp("python", bridge, bridge.log.parent) as found:
        done = sync(bridge, found)
        assert done.returncode == 0, done.stderr
    return found


@pytest.fixture
def app(registered: SdkApp) -> Iterator[SdkApp]:
    """The app, which runs."""
    with registered:
        yield registered
    registered.configure(RELEASE="1")


def test_an_app_dies_during_a_call(app: SdkApp, runs: Runs) -> None:
    """The call fails, and is made again; what was recorded before isn't executed again."""
    runs.send("report/requested", reportId="k5", hold=True)
    app.until("k5", "render")
    app.kill()
    runs.failing(f"{app.id}-report", "reportId", "k5", app.origin)
    app.open_gate("k5")
    app.start()
    runs.reaches(f"{app.id}-report", "reportId", "k5", "completed")
    assert app.marks("k5") == ["load", "render", "render", "save 2"]


def test_cancelled_before_a_call_is_made_again(app: SdkApp, runs: Runs) -> None:
    """The call isn't made any more, and the run stops at once."""
    app.kill()
    runs.send("report/requested", reportId="k6")
    runs.failing(f"{app.id}-report", "reportId", "k6", app.origin)
    runs.send("report/cancelled", reportId="k6")
    runs.stops(f"{app.id}-report", "reportId", "k6")
    app.start()
    app.until("k6", "inngest/function.cancelled")
    assert app.marks("k6") == ["inngest/function.cancelled"]


def test_cancelled_between_two_steps(app: SdkApp, runs: Runs) -> None:
    """While the bridge itself holds the run in a sleep, it stops and makes no call more."""
    later = (datetime.now(UTC) + timedelta(hours=12)).isoformat()
    runs.send("reminder/created", id="k11", at=later)
    eventually(lambda: list(runs.steps(f"{app.id}-reminder", "id", "k11")), PATIENCE_S)
    runs.send("reminder/deleted", id="k11")
    runs.stops(f"{app.id}-reminder", "id", "k11")
    assert app.marks("k11") == []


def test_an_app_of_another_version(app: SdkApp, runs: Runs) -> None:
    """A run goes on in it with the steps that it has; what it doesn't know it executes."""
    runs.send("report/requested", reportId="k17", hold=True)
    app.until("k17", "render")
    app.kill()
    app.open_gate("k17")
    app.configure(RELEASE="2")
    app.start()
    runs.reaches(f"{app.id}-report", "reportId", "k17", "completed")
    assert app.marks("k17") == ["load", "render", "render", "check", "save 2"]


def test_an_app_that_hangs_in_a_call(app: SdkApp, runs: Runs) -> None:
    """It is given up in time and called again; other apps have their runs meanwhile."""
    runs.send("report/requested", reportId="k16", hold=True)
    runs.failing(f"{app.id}-report", "reportId", "k16", "ANSWER_WITHIN")
    app.open_gate("k16")
    runs.reaches(f"{app.id}-report", "reportId", "k16", "completed")
    assert app.marks("k16") == ["load", "render", "render", "save 2"]
