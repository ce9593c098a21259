"""Bridges and apps that are killed in the middle of runs: no work is lost, nor done twice."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from tests.inngest.conftest import Bridge, Runs, SdkApp, sync
from tests.support.deadline import eventually
from tests.support.worker import PATIENCE_S, Backend

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]


@pytest.fixture
def bridges(backend: Backend) -> Iterator[tuple[Bridge, Bridge]]:
    """Two bridges, of which the second isn't started yet."""
    found = tuple(
        Bridge(
            backend.settings,
            backend.folder,
            number=number,
            INNGEST_LEASE="5s",
            WORKER_NAME=f"bridge{number}",
        )
        for number in (11, 12)
    )
    first, second = found
    try:
        first.join()
        yield first, second
    finally:
        for one in found:
            one.kill()


@pytest.fixture
def app(bridges: tuple[Bridge, Bridge]) -> Iterator[SdkApp]:
    """An app that is registered with the first."""
    with SdkApp("python", bridges[0], bridges[0].log.parent) as found:
        assert sync(bridges[0], found).returncode == 0
        yield found


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


def test_an_app_dies_during_a_call(bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs) -> None:
    """The call fails, and is made again; what was recorded before isn't executed again."""
    assert bridges
    runs.send("report/requested", reportId="k5", hold=True)
    app.until("k5", "render")
    app.kill()
    runs.failing(f"{app.id}-report", "reportId", "k5", app.origin)
    app.open_gate("k5")
    app.start()
    runs.reaches(f"{app.id}-report", "reportId", "k5", "completed")
    assert app.marks("k5") == ["load", "render", "render", "save 2"]


def test_cancelled_before_a_call_is_made_again(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """The call isn't made any more, and the run stops at once."""
    assert bridges
    app.kill()
    runs.send("report/requested", reportId="k6")
    runs.failing(f"{app.id}-report", "reportId", "k6", app.origin)
    runs.send("report/cancelled", reportId="k6")
    runs.stops(f"{app.id}-report", "reportId", "k6")
    app.start()
    app.until("k6", "inngest/function.cancelled")
    assert app.marks("k6") == ["inngest/function.cancelled"]


def test_two_bridges_share_the_runs(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """Each works; when one dies, the other one ends the runs of both."""
    first, second = bridges
    second.join()
    sent: list[str] = []

    def workers() -> set[str]:
        """Who works, after one more run has begun."""
        sent.append(f"k7-{len(sent)}")
        runs.send("report/requested", reportId=sent[-1], hold=True)
        app.until(sent[-1], "render")
        newest = [runs.of(f"{app.id}-report", "reportId", id_)[-1] for id_ in sent]
        return {run["worker"].partition(".")[0] for run in newest}

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
