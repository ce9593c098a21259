"""Bridges that are killed in the middle of runs: no work is lost, nor done twice."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest

from tests.inngest.conftest import Bridge, Runs, SdkApp, joined, sync
from tests.support.deadline import eventually
from tests.support.worker import PATIENCE_S, Backend

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600)]
KILLED = 128 + 9
LEASE_S = 10


def made(backend: Backend, number: int) -> Bridge:
    """A bridge, which isn't started yet."""
    settings, folder = backend.settings, backend.folder
    return Bridge(settings, folder, number=number, INNGEST_LEASE=f"{LEASE_S}s")


@pytest.fixture(scope="module")
def registered(backend: Backend) -> SdkApp:
    """An app that is registered, and runs no more."""
    with (
        joined(made(backend, 10)) as bridge,
        SdkApp("python", bridge, backend.folder) as found,
    ):
        done = sync(bridge, found)
        assert done.returncode == 0, done.stderr
    return found


@pytest.fixture
def bridges(backend: Backend, registered: SdkApp) -> Iterator[tuple[Bridge, Bridge]]:
    """Two bridges, of which the second isn't started yet."""
    first, second = made(backend, 11), made(backend, 12)
    try:
        first.join()
        yield first, second
    finally:
        first.end()  # in order, since the next ones would wait for dead members of their groups
        second.end()


@pytest.fixture
def app(bridges: tuple[Bridge, Bridge], registered: SdkApp) -> Iterator[SdkApp]:
    """The app, which runs."""
    registered.configure(INNGEST_DEV=bridges[0].front)
    with registered:
        yield registered


def test_a_bridge_dies_during_a_call(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """Another one goes on with the run when the lease has ended; only that call is made again."""
    first, second = bridges
    runs.send("report/requested", reportId="k1", hold=True)
    app.until("k1", "render")
    first.kill()
    second.join()
    app.open_gate("k1")
    runs.reaches(f"{app.id}-report", "reportId", "k1", "completed")
    assert app.marks("k1") == ["load", "render", "render", "save 2"]


def test_a_bridge_needs_no_app_to_start(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """It knows apps from their topic; a call that finds no app is made again."""
    first, second = bridges
    app.kill()
    first.end()
    second.join()
    runs.send("report/requested", reportId="k2")
    runs.reaches(f"{app.id}-report", "reportId", "k2", "running")
    app.start()
    runs.reaches(f"{app.id}-report", "reportId", "k2", "completed")
    assert app.marks("k2") == ["load", "render", "save 2"]


def test_two_bridges_share_the_runs(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """Each works; when one dies, the other one ends the runs of both."""
    first, second = bridges
    second.join()
    sent: list[str] = []

    def workers() -> set[str]:
        """Who has worked, after one more run has begun."""
        sent.append(f"k7-{len(sent)}")
        runs.send("report/requested", reportId=sent[-1], hold=True)
        app.until(sent[-1], "render")
        seen = [runs.of(f"{app.id}-report", "reportId", id_) for id_ in sent]
        return {run["worker"] for story in seen for run in story if run.get("worker")}

    eventually(lambda: len(workers()) == 2, PATIENCE_S)
    first.kill()
    for id_ in sent:
        app.open_gate(id_)
    for id_ in sent:
        runs.reaches(f"{app.id}-report", "reportId", id_, "completed")
        assert app.marks(id_) in (
            ["load", "render", "save 2"],
            ["load", "render", "render", "save 2"],
        )


def test_cancelled_in_its_sleep_while_no_bridge_runs(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """A run that sleeps long is at no bridge: it needs none to be cancelled."""
    first, second = bridges
    late = (datetime.now(UTC) + timedelta(days=30)).isoformat()
    runs.send("reminder/created", id="k8", at=late)
    runs.reaches(f"{app.id}-reminder", "id", "k8", "sleeping")
    first.kill()
    runs.send("reminder/deleted", id="k8")
    runs.reaches(f"{app.id}-reminder", "id", "k8", "cancelled")
    second.join()
    runs.send("reminder/created", id="k9", at="2020-01-01T00:00:00+00:00")
    runs.reaches(f"{app.id}-reminder", "id", "k9", "completed")
    assert (app.marks("k8"), app.marks("k9")) == ([], ["push"])


def test_cancelled_before_its_start(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """A run that no bridge has claimed yet is never begun."""
    first, second = bridges
    first.kill()
    runs.send("report/requested", reportId="k10")
    runs.reaches(f"{app.id}-report", "reportId", "k10", "scheduled")
    runs.send("report/cancelled", reportId="k10")
    runs.reaches(f"{app.id}-report", "reportId", "k10", "cancelled")
    second.join()
    app.until("k10", "inngest/function.cancelled")
    assert app.marks("k10") == ["inngest/function.cancelled"]


@pytest.mark.parametrize("step", ["worker_after_produce", "worker_before_commit"])
def test_a_bridge_dies_while_it_records_an_answer(
    step: str, bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """A call whose answer isn't recorded is made again, one that is recorded is not."""
    first, second = bridges
    id_ = f"k14-{step}"
    first.end()
    first.start(crash_at=f"{step}:2")
    runs.send("report/requested", reportId=id_)
    assert first.wait(PATIENCE_S) == KILLED
    second.join()
    runs.reaches(f"{app.id}-report", "reportId", id_, "completed")
    found = app.marks(id_)
    assert [what for what, _ in groupby(found)] == ["load", "render", "save 2"]
    assert len(found) <= len(set(found)) + 1


def test_a_slow_call_keeps_its_lease(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """A step may take longer than the lease: the bridge renews it."""
    assert bridges
    later = (datetime.now(UTC) + timedelta(seconds=2 * LEASE_S)).isoformat()
    runs.send("report/requested", reportId="k15", hold=True)
    app.until("k15", "render")
    runs.send("reminder/created", id="clock", at=later)
    runs.reaches(f"{app.id}-reminder", "id", "clock", "completed")
    app.open_gate("k15")
    done = runs.reaches(f"{app.id}-report", "reportId", "k15", "completed")
    assert done["attempt"] == 1
    assert app.marks("k15") == ["load", "render", "save 2"]


def test_functions_that_are_added_to_a_running_bridge(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """Another app comes while the first one's runs go on; both bridges run both."""
    _, second = bridges
    second.join()
    runs.send("report/requested", reportId="k3", hold=True)
    app.until("k3", "render")
    with SdkApp("python", second, second.log.parent) as other:
        done = sync(second, other)
        assert done.returncode == 0, done.stderr
        runs.send("reminder/created", id="k4", at="2020-01-01T00:00:00+00:00")
        runs.reaches(f"{other.id}-reminder", "id", "k4", "completed")
    app.open_gate("k3")
    runs.reaches(f"{app.id}-report", "reportId", "k3", "completed")
    assert app.marks("k3") == ["load", "render", "save 2"]
