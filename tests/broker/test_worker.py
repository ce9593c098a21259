"""A worker on a real broker: where a cancel stops a run, and what else ends or moves one."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import orjson
import pytest

from streams.broker.ports import free_port
from tests.support.worker import (
    PATIENCE_S,
    Backend,
    Shop,
    Worker,
    check_attempts,
    check_steps,
)

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
OVERRUNS = "countermand_worker_overruns_total"
OVERRUNNING = "countermand_worker_overrunning_runs"


@pytest.fixture(scope="module")
def backend(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """Router and joiner for all tests; each has works of its own."""
    found = Backend(kafka, tmp_path_factory.mktemp("worker"))
    try:
        found.start()
        yield found
    finally:
        found.close()


@pytest.fixture(scope="module")
def running(backend: Backend) -> Iterator[tuple[Shop, Worker]]:
    """An app with a worker that parks no sleep of these tests but the longest."""
    with Shop(backend) as shop:
        yield shop, shop.start(WORKER_PARK_AFTER="10m", WORKER_OVERRUN="100ms")


@pytest.fixture
def shop(running: tuple[Shop, Worker]) -> Shop:
    """The app that has its worker."""
    return running[0]


@pytest.fixture
def fresh(backend: Backend) -> Iterator[Shop]:
    """An app of one test alone, without a worker yet."""
    with Shop(backend, lease="1h") as found:
        yield found


def cancel_during_a_step(running: tuple[Shop, Worker], work: str) -> None:
    """Cancel a run whose step goes on, and wait until its worker knows: `runs` shows it before."""
    shop, worker = running
    shop.until(lambda: worker.metric(OVERRUNNING) == 0)
    shop.cancel(work)
    shop.until(lambda: worker.metric(OVERRUNNING) == 1)


def test_a_run_takes_its_steps(shop: Shop) -> None:
    """Each once, in order; the run is completed, and its steps' outcomes are removed (S34)."""
    shop.request("all", "load", "hold compute", "sleep wait 10ms", "render")
    shop.open_gate("all")
    done = shop.reaches("all", "completed")
    assert (done["attempt"], done["last_step"]) == (1, "render")
    assert shop.begun("all") == ["load", "compute", "render"]
    keys = [f"{done['run_id']}/{step}" for step in ("load", "compute", "wait", "render")]
    shop.until(lambda: all(shop.steps()[key][-1] is None for key in keys))
    recorded = shop.recorded("all")
    assert [recorded[step]["result"] for step in ("load", "compute", "render")] == [
        "load",
        "compute",
        "render",
    ]
    assert shop.marks("all", "cleanup") == []


def test_s31_cancelled_before_any_worker(fresh: Shop) -> None:
    """A run that was cancelled before a worker came never runs, and needs no stop."""
    fresh.register()
    for work in ("gone", "kept"):
        fresh.request(work, "load")
        fresh.reaches(work, "scheduled")
    fresh.cancel("gone")
    fresh.reaches("gone", "cancelled")
    fresh.start()
    fresh.reaches("kept", "completed")
    fresh.is_cleaned("gone")
    assert fresh.begun("gone") == []
    [cleanup] = fresh.marks("gone", "cleanup")
    assert cleanup.fields["status_before"] == "scheduled"
    assert {one["status"] for one in fresh.history("gone")} == {"scheduled", "cancelled"}


def test_s31_a_claim_that_loses_to_a_cancel(backend: Backend, shop: Shop) -> None:
    """Claimed too late, a run takes no step: until that happened, ask and cancel at once."""
    late, work = False, ""
    works = [f"race{number}" for number in range(50)]
    while not late:
        work = works.pop()
        # Both lie on their topics before either is read, so they are decided close together.
        backend.router.pause()
        shop.request(work, "load", "render")
        shop.cancel(work)
        backend.router.resume()
        run = shop.reaches(work, "cancelled", "completed")
        assert run["status"] == "cancelled", "a cancel received later found nothing"
        if run.get("started_at") is None:
            shop.is_cleaned(work)
            assert shop.begun(work) == []
            late = any(one.get("run_id") == run["run_id"] for one in shop.updates())
    shop.request("next", "load")
    shop.reaches("next", "completed")
    assert shop.begun(work) == []


def test_s32_cancelled_within_a_step(shop: Shop) -> None:
    """It runs to its end; `stopped_at` and the cleanup come after; nothing follows."""
    shop.request("step", "load", "hold compute", "render")
    shop.begins("step", "compute")
    shop.cancel("step")
    shop.reaches("step", "cancelled")
    first = next(one for one in shop.history("step") if one["status"] == "cancelled")
    assert first["status_before"] == "running"
    # Those that come later are stopped and cleaned up, while this one's step goes on.
    shop.request("later", "sleep wait 5m")
    shop.sleeps_in_worker("later", "wait")
    shop.cancel("later")
    shop.is_cleaned("later")
    assert shop.run("step").get("stopped_at") is None
    assert shop.marks("step", "cleanup") == []
    shop.open_gate("step")
    shop.stops("step")
    shop.is_cleaned("step")
    assert [one.what for one in shop.marks("step")] == ["begin", "end"] * 2 + ["cleanup"]
    assert shop.begun("step") == ["load", "compute"]


def test_s32_cancelled_within_a_sleep(shop: Shop) -> None:
    """The run stops long before the sleep would end, and cleans up once."""
    shop.request("sleep", "load", "sleep wait 9m", "render")
    shop.sleeps_in_worker("sleep", "wait")
    assert shop.run("sleep")["status"] == "running"
    shop.cancel("sleep")
    run = shop.stops("sleep")
    assert run["stopped_at"] < shop.recorded("sleep")["wait"]["wake_at"]
    shop.is_cleaned("sleep")
    shop.request("after-sleep", "sleep wait 9m")
    shop.sleeps_in_worker("after-sleep", "wait")
    shop.cancel("after-sleep")
    shop.is_cleaned("after-sleep")
    assert [one.what for one in shop.marks("sleep")] == ["begin", "end", "cleanup"]


def test_s32_cancelled_within_a_parked_sleep(shop: Shop) -> None:
    """No worker holds the run, so it is over at once, and never wakes."""
    shop.request("parked", "load", "sleep wait 1h", "render")
    shop.reaches("parked", "sleeping")
    shop.cancel("parked")
    run = shop.reaches("parked", "cancelled")
    assert (run["status_before"], run["attempt"]) == ("sleeping", 1)
    shop.is_cleaned("parked")
    assert shop.begun("parked") == ["load"]


def test_s34_a_parked_sleep_wakes(fresh: Shop) -> None:
    """The run goes on as attempt 2, repeating nothing; one that was cancelled doesn't."""
    fresh.start(WORKER_PARK_AFTER="100ms")
    fresh.request("wakes", "load", "sleep wait 3s", "render")
    fresh.request("cancelled", "load", "sleep wait 1h", "render")
    fresh.reaches("cancelled", "sleeping")
    fresh.cancel("cancelled")
    done = fresh.reaches("wakes", "completed")
    assert (done["attempt"], done["last_step"]) == (2, "render")
    assert [(one.step, one.attempt) for one in fresh.marks("wakes", "begin")] == [
        ("load", 1),
        ("render", 2),
    ]
    assert "sleeping" in {one["status"] for one in fresh.history("wakes")}
    fresh.is_cleaned("cancelled")
    assert fresh.run("cancelled")["status"] == "cancelled"


def test_s33_an_exception_handler_swallows_no_cancel(running: tuple[Shop, Worker]) -> None:
    """A function that goes on after every `Exception` takes no step after the cancel."""
    shop, _ = running
    plan = ["fail first", "hold second", "third", "sleep wait 5m", "fourth"]
    shop.request("stubborn", *plan, function="stubborn")
    shop.begins("stubborn", "second")
    cancel_during_a_step(running, "stubborn")
    shop.open_gate("stubborn")
    shop.stops("stubborn")
    assert [one.what for one in shop.marks("stubborn", "swallowed")] == ["swallowed"]
    assert set(shop.begun("stubborn")) == {"first", "second"}


@pytest.mark.parametrize("returns", [False, True], ids=["raises", "returns"])
def test_a_function_tidies_up_after_a_cancel(shop: Shop, returns: bool) -> None:
    """It is told why; whether it raises the cancel again or returns, the run is cancelled."""
    work = f"tidy-{returns}"
    shop.request(work, "load", "sleep wait 5m", function="tidy", returns=returns)
    shop.sleeps_in_worker(work, "wait")
    shop.cancel(work)
    shop.stops(work)
    shop.is_cleaned(work)
    tidied, cleanup = shop.marks(work, "tidied", "cleanup")
    assert (tidied.what, cleanup.what) == ("tidied", "cleanup")
    assert tidied.fields["code"] == "CANCELLED"
    assert tidied.fields["cause"]["event"]["name"] == f"{shop.app}/cancelled"
    assert cleanup.fields["cause"] == "event"


def test_a_failing_step_fails_its_run(shop: Shop) -> None:
    """With the error's name and words, after its retries; a later cancel finds nothing."""
    shop.request("fails", "load", "fail compute", "render")
    run = shop.reaches("fails", "failed")
    assert run["error"] == {"name": "LookupError", "message": "no such thing as compute"}
    assert shop.begun("fails") == ["load", "compute", "compute"]
    shop.cancel("fails")
    shop.request("after-fails", "sleep wait 5m")
    shop.sleeps_in_worker("after-fails", "wait")
    shop.cancel("after-fails")
    shop.is_cleaned("after-fails")
    assert shop.run("fails")["status"] == "failed"
    assert shop.marks("fails", "cleanup") == []


def test_a_step_that_fails_after_the_cancel(running: tuple[Shop, Worker]) -> None:
    """The run was cancelled, so it ends so: the step isn't tried again, and nothing failed."""
    shop, _ = running
    shop.request("fails-late", "fail compute", "render", gated=True)
    shop.begins("fails-late", "compute")
    cancel_during_a_step(running, "fails-late")
    shop.open_gate("fails-late")
    shop.stops("fails-late")
    shop.is_cleaned("fails-late")
    assert shop.begun("fails-late") == ["compute"]


def test_a_blocking_function(running: tuple[Shop, Worker]) -> None:
    """The same holds in a thread: steps once, a sleep that a cancel ends, a step that completes."""
    shop, _ = running
    shop.request("plain", "slow one", "sleep wait 10ms", "hold two", function="blocking", pause=0)
    shop.open_gate("plain")
    shop.reaches("plain", "completed")
    assert shop.begun("plain") == ["one", "two"]
    shop.request("plain-sleep", "slow one", "sleep wait 5m", function="blocking", pause=0)
    shop.request("plain-step", "hold one", "slow two", function="blocking", pause=0)
    shop.sleeps_in_worker("plain-sleep", "wait")
    shop.begins("plain-step", "one")
    shop.cancel("plain-sleep")
    shop.stops("plain-sleep")
    cancel_during_a_step(running, "plain-step")
    shop.open_gate("plain-step")
    shop.stops("plain-step")
    for work in ("plain-sleep", "plain-step"):
        shop.is_cleaned(work)
        assert [one.what for one in shop.marks(work)] == ["begin", "end", "cleanup"]


def test_a_step_that_goes_on_after_a_cancel_is_counted(running: tuple[Shop, Worker]) -> None:
    """It shows on the metrics while it lasts, and once for ever after."""
    shop, worker = running
    shop.until(lambda: worker.metric(OVERRUNNING) == 0)
    before = worker.metric(OVERRUNS)
    shop.request("overruns", "hold compute")
    shop.begins("overruns", "compute")
    cancel_during_a_step(running, "overruns")
    assert worker.metric(OVERRUNS) == before + 1
    shop.open_gate("overruns")
    shop.stops("overruns")
    shop.until(lambda: worker.metric(OVERRUNNING) == 0)
    assert worker.metric(OVERRUNS) == before + 1


def test_a_cleanup_for_nobody_is_warned_of(running: tuple[Shop, Worker]) -> None:
    """The name may be mistyped; the app's own are not warned of."""
    said = running[1].log.read_text("utf-8").splitlines()
    warned = [line for line in said if "on_cancelled names a function that nobody has" in line]
    assert [orjson.loads(line)["function_id"] for line in warned] == ["of-nobody"]


def test_a_worker_that_is_told_to_stop_hands_its_runs_over(fresh: Shop) -> None:
    """Long before the lease ends another one has them, and no step is repeated."""
    first = fresh.start(WORKER_PARK_AFTER="10m", WORKER_GRACE="2m")
    fresh.request("sleeps", "load", "sleep wait 9m", "render")
    fresh.request("holds", "hold load", "render")
    fresh.sleeps_in_worker("sleeps", "wait")
    fresh.begins("holds", "load")
    second = fresh.start(2, WORKER_PARK_AFTER="10m")
    os.kill(first.pid, signal.SIGTERM)
    fresh.until(lambda: fresh.run("sleeps")["attempt"] == 2)
    fresh.open_gate("holds")
    assert first.wait(PATIENCE_S) == 0
    assert fresh.reaches("holds", "completed")["attempt"] == 2
    assert [one.step for one in fresh.marks("holds", "end")] == ["load", "render"]
    assert fresh.marks("holds", "end")[-1].pid == second.pid
    fresh.reaches("sleeps", "running")
    fresh.cancel("sleeps")
    fresh.stops("sleeps")
    assert fresh.begun("sleeps") == ["load"]
    check_attempts(fresh)
    check_steps(fresh)


def worker_command(name: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """What `countermand worker NAME` says and how it ends, where it can't start."""
    env = {f"COUNTERMAND_{key}": value for key, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "streams.cli", "worker", name],
        capture_output=True,
        text=True,
        env=env,
        check=False,
        timeout=120,
    )


@pytest.mark.parametrize(
    ("name", "says"),
    [
        ("nowhere.at_all:app", "No module nowhere.at_all here: name it as MODULE:APP"),
        ("tests.support.worker_app:shop", "has no attribute 'shop'"),
        ("tests.support.worker_app:NAME", "is no streams.sdk.App but a str"),
    ],
    ids=["no module", "no attribute", "no app"],
)
def test_an_app_that_is_not_there(name: str, says: str) -> None:
    """The worker says what it looked for, in a line, and exits with `not found`."""
    ended = worker_command(name)
    assert ended.returncode == 3
    assert says in ended.stderr
    assert "Traceback" not in ended.stderr


def test_a_worker_without_kafka_or_topics(kafka: str) -> None:
    """It doesn't start, and says which of them it misses."""
    app = "tests.support.worker_app:app"
    nowhere = f"127.0.0.1:{free_port()}"
    ended = worker_command(app, KAFKA_BOOTSTRAP_SERVERS=nowhere)
    assert (ended.returncode, "Kafka doesn't answer" in ended.stderr) == (5, True)
    ended = worker_command(app, KAFKA_BOOTSTRAP_SERVERS=kafka, TOPIC_PREFIX="nothing.here.")
    assert (ended.returncode, "countermand topics create" in ended.stderr) == (6, True)
