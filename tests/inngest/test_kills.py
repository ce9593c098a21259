"""Bridges and apps that are killed in the middle of runs: no work is lost, nor done twice."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import groupby

import pytest

from tests.inngest.conftest import Bridge, Runs, SdkApp, sync
from tests.support.deadline import eventually
from tests.support.worker import PATIENCE_S, Backend

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
KILLED = 128 + 9
LEASE_S = 5


@pytest.fixture
def bridges(backend: Backend) -> Iterator[tuple[Bridge, Bridge]]:
    """Two bridges, of which the second isn't started yet."""
    found = tuple(
        Bridge(
            backend.settings,
            backend.folder,
            number=number,
            INNGEST_LEASE=f"{LEASE_S}s",
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


def test_cancelled_between_two_steps(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """While the bridge itself holds the run in a sleep, it stops and makes no call more."""
    assert bridges
    soon = (datetime.now(UTC) + timedelta(seconds=25)).isoformat()
    runs.send("reminder/created", id="k11", at=soon)
    eventually(lambda: list(runs.steps(f"{app.id}-reminder", "id", "k11")), PATIENCE_S)
    runs.send("reminder/deleted", id="k11")
    runs.stops(f"{app.id}-reminder", "id", "k11")
    assert app.marks("k11") == []


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


def test_an_app_that_hangs_in_a_call(
    bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs
) -> None:
    """It is given up in time and called again; other apps have their runs meanwhile."""
    first, _ = bridges
    first.end()
    first.configure(INNGEST_ANSWER_WITHIN="2s")
    first.join()
    runs.send("report/requested", reportId="k16", hold=True)
    runs.failing(f"{app.id}-report", "reportId", "k16", "ANSWER_WITHIN")
    app.open_gate("k16")
    runs.reaches(f"{app.id}-report", "reportId", "k16", "completed")
    assert app.marks("k16") == ["load", "render", "render", "save 2"]


def test_an_app_of_another_version(bridges: tuple[Bridge, Bridge], app: SdkApp, runs: Runs) -> None:
    """A run goes on in it with the steps that it has; what it doesn't know it executes."""
    assert bridges
    runs.send("report/requested", reportId="k17", hold=True)
    app.until("k17", "render")
    app.kill()
    app.open_gate("k17")
    app.configure(RELEASE="2")
    app.start()
    runs.reaches(f"{app.id}-report", "reportId", "k17", "completed")
    assert app.marks("k17") == ["load", "render", "render", "check", "save 2"]
