"""Kills of joiners too, so each test has a backend of its own; many of all, at random times."""

import random
import threading
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, Protocol

import pytest

from tests.inngest.conftest import Bridge, Runs, SdkApp, at_work, sync
from tests.support.deadline import eventually
from tests.support.worker import PATIENCE_S, Backend
from topology import topics

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(600)]
RUNS: Final = 200
LINKS: Final = 6
SPREAD: Final = 40
KILLS: Final = 8
SEED: Final = time.time_ns()
WITHIN_S: Final = 300


@pytest.fixture
def backend(kafka: str, tmp_path: Path) -> Iterator[Backend]:
    """Router and joiner of a test alone."""
    with at_work(kafka, tmp_path) as found:
        yield found


@pytest.fixture
def runs(backend: Backend) -> Iterator[Runs]:
    """What can be seen of its runs."""
    found = Runs(backend.settings)
    yield found
    found.close()


@pytest.fixture
def bridges(backend: Backend) -> Iterator[list[Bridge]]:
    """Two that share the work."""
    found = [
        # A call that waits in the app for longer than a lease would be executed after its repeat.
        Bridge(
            backend.settings,
            backend.folder,
            number=number,
            INNGEST_LEASE="10s",
            WORKER_CONCURRENCY="20",
        )
        for number in (21, 22)
    ]
    try:
        for one in found:
            one.start()
        for one in found:
            one.join()
        yield found
    finally:
        for one in found:
            one.kill()


def test_a_joiner_dies_during_a_call(backend: Backend, bridges: list[Bridge], runs: Runs) -> None:
    """Runs go on, and cancels that come meanwhile count when it is back."""
    with SdkApp("python", bridges[0], backend.folder) as app:
        assert sync(bridges[0], app).returncode == 0
        for id_ in ("k12", "k13"):
            runs.send("report/requested", reportId=id_, hold=True)
            app.until(id_, "render")
        backend.joiner.kill()
        runs.send("report/cancelled", reportId="k13")
        backend.joiner.start()
        runs.reaches(f"{app.id}-report", "reportId", "k13", "cancelled")
        eventually(lambda: sum(one.stopping for one in bridges) == 1, PATIENCE_S)
        for id_ in ("k12", "k13"):
            app.open_gate(id_)
        runs.reaches(f"{app.id}-report", "reportId", "k12", "completed")
        runs.stops(f"{app.id}-report", "reportId", "k13")
        app.until("k13", "inngest/function.cancelled")
        assert app.marks("k12") == ["load", "render", "save 2"]
        assert app.marks("k13") == ["load", "render", "inngest/function.cancelled"]


def test_cancels_and_kills(backend: Backend, bridges: list[Bridge], runs: Runs) -> None:
    """Each run ends as it must, no recorded step is called again, none after the stop."""
    chance = random.Random(SEED)
    print(f"seed {SEED}")
    works = [f"w{number}" for number in range(RUNS)]
    doomed = set(chance.sample(works, RUNS // 2))
    with SdkApp("python", bridges[0], backend.folder) as app:
        assert sync(bridges[0], app).returncode == 0
        killed: list[Killed] = [backend.joiner, app, *bridges]
        pause = threading.Event()
        for do in _plan(chance, runs, works, doomed, killed):
            do()
            pause.wait(chance.uniform(0, 0.05))
        newest = eventually(lambda: _ended(runs, f"{app.id}-chain"), WITHIN_S)
    cancelled = {work for work, run in newest.items() if run["status"] == "cancelled"}
    assert cancelled <= doomed
    assert len(cancelled) > RUNS // 8
    assert {run["status"] for run in newest.values()} == {"completed", "cancelled"}
    marks = _marks(app)
    links = {f"link {number}" for number in range(LINKS)}
    unfinished = {work for work in works if {one["what"] for one in marks[work]} != links}
    assert unfinished <= cancelled
    _check_recorded(runs, newest, marks)
    for work in cancelled:
        stopped = newest[work].get("stopped_at") or newest[work]["ended_at"]
        assert [one for one in marks[work] if one["at"] > stopped] == [], work


class Killed(Protocol):
    """What dies, and comes back."""

    def kill(self) -> None:
        """End it as a crash does."""

    def start(self) -> object:
        """Start it again."""


def _plan(
    chance: random.Random,
    runs: Runs,
    works: list[str],
    doomed: set[str],
    killed: list[Killed],
) -> list[Callable[[], object]]:
    """What is done, in order: cancels come shortly after their runs' events, kills in between."""
    places: defaultdict[int, list[Callable[[], object]]] = defaultdict(list)
    for place, work in enumerate(works):
        places[place].append(partial(runs.send, "chain/requested", id=work))
        if work in doomed:
            later = place + chance.randrange(SPREAD)
            places[later].append(partial(runs.send, "chain/cancelled", id=work))
    for place in chance.sample(range(SPREAD, RUNS), KILLS):
        one = chance.choice(killed)
        places[place] += [one.kill, one.start]
    return [do for place in sorted(places) for do in places[place]]


def _ended(runs: Runs, function: str) -> dict[str, dict[str, Any]]:
    """The newest records by work; empty as long as a run goes on, or executes."""
    stories = runs.stories(function, "id")
    if len(stories) < RUNS or not all(map(_is_over, stories.values())):
        return {}
    return {work: story[-1] for work, story in stories.items()}


def _is_over(story: list[dict[str, Any]]) -> bool:
    """It ended; one that was cancelled while somebody executed it has also stopped."""
    ended = next((one for one in story if one["status"] in {"completed", "cancelled"}), None)
    if ended is None:
        return False
    executed = ended["status"] == "cancelled" and ended["status_before"] == "running"
    return not executed or bool(story[-1].get("stopped_at"))


def _marks(app: SdkApp) -> dict[str, list[dict[str, Any]]]:
    """What the steps wrote, by work."""
    found = defaultdict(list)
    for one in app.written():
        found[one["id"]].append(one)
    return found


def _check_recorded(
    runs: Runs, newest: dict[str, dict[str, Any]], marks: dict[str, list[dict[str, Any]]]
) -> None:
    """No step began after its outcome was recorded."""
    works = {run["run_id"]: work for work, run in newest.items()}
    recorded: dict[tuple[str, str], int] = {}
    for record, at in runs.records(topics.STEPS):
        work, title = works.get(record.get("run_id", "")), record.get("title")
        if work is not None and title:
            recorded.setdefault((work, title), at)
    done = [work for work, run in newest.items() if run["status"] == "completed"]
    assert {(work, one["what"]) for work in done for one in marks[work]} <= recorded.keys()
    late = [
        (work, one)
        for work, ones in marks.items()
        for one in ones
        if one["at"] > recorded.get((work, one["what"]), one["at"])
    ]
    assert late == []
