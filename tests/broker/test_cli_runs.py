"""Commands over the API on all processes and a real broker, as people and scripts use them."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import pytest
from typer.testing import Result

from streams.cli.exits import ExitCode
from streams.settings import Settings, load
from tests.support.broker import unique_name
from tests.support.cli import json_lines, json_of, run
from tests.support.deadline import eventually
from tests.support.services import environment
from tests.support.terminal import CHECKOUT, Terminal
from topology import limits

pytestmark = [pytest.mark.broker, pytest.mark.slow, pytest.mark.timeout(300)]
MOST_LISTED = 500
PATIENCE_S = 90
FUNCTION = """
functions:
  - id: {id}
    app: reports
    triggers: [{{event: {id}/requested}}]
    cancel_on: [{{event: {id}/cancelled, match: data.n, timeout: 24h{more}}}]
"""


class Running:
    """A running `countermand up`, and commands that call its API and its Kafka."""

    def __init__(self, settings: Settings, ready: dict[str, Any], pid: int) -> None:
        self._pid = pid
        self._where = {
            "kafka_bootstrap_servers": settings.kafka_bootstrap_servers,
            "topic_prefix": settings.topic_prefix,
            "api_url": ready["urls"]["api"],
            "api_key": ready["api_key"],
        }

    def call(self, *arguments: str, stdin: str | None = None) -> Result:
        """Run a command where there is no terminal."""
        return run(*arguments, stdin=stdin, **self._where)

    def on_terminal(self, *arguments: str) -> Terminal:
        """Run a command on a terminal."""
        return Terminal(*arguments, **self._where)

    @contextmanager
    def router_stopped(self) -> Iterator[None]:
        """Nothing that is asked for meanwhile is begun."""
        command = ["-m", "streams.cli", "router"]
        children = psutil.Process(self._pid).children(recursive=True)
        routers = [one for one in children if one.cmdline()[1:4] == command]
        for router in routers:
            router.suspend()
        try:
            yield
        finally:
            for router in routers:
                router.resume()

    def function(self, more: str = "") -> str:
        """A function of one test, whose rule has `more` fields; its slug."""
        id_ = unique_name("f")
        text = FUNCTION.format(id=id_, more=more)
        applied = self.call("functions", "apply", "-f", "-", stdin=text)
        assert applied.exit_code == ExitCode.OK, applied.output
        return f"reports-{id_}"

    def send(self, slug: str, what: str, *data: dict[str, Any], **fields: str) -> None:
        """Send events, with more `fields`, that trigger or cancel runs of a function."""
        event = {"name": f"{slug.removeprefix('reports-')}/{what}", **fields}
        lines = "\n".join(json.dumps({**event, "data": one}) for one in data)
        sent = self.call("events", "send", "-f", "-", stdin=lines)
        assert sent.exit_code == ExitCode.OK, sent.output

    def start(self, slug: str, *data: dict[str, Any]) -> None:
        """Send events that trigger runs, and wait until the API shows them."""
        wanted = len(self.runs(slug)) + len(data)
        self.send(slug, "requested", *data)
        self.lists(wanted, slug)

    def runs(self, slug: str, *filters: str) -> list[Any]:
        """Runs of a function."""
        listed = self.call(
            "runs", "list", "--function", slug, "--limit", f"{MOST_LISTED}", "--json", *filters
        )
        assert listed.exit_code == ExitCode.OK, listed.output
        return json_lines(listed)

    def lists(self, count: int, slug: str, *filters: str) -> list[Any]:
        """Runs of a function, once there are so many: their rows may come after the counts."""

        def look() -> list[Any]:
            found = self.runs(slug, *filters)
            return found if len(found) == count else []

        return eventually(look, PATIENCE_S)

    def statuses(self, slug: str) -> set[str]:
        """The statuses that runs of a function have."""
        return {one["status"] for one in self.runs(slug)}


@pytest.fixture(scope="module")
def running(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    """All processes, with topics of this module."""
    name = unique_name("runs")
    settings = load(
        kafka_bootstrap_servers=kafka, topic_prefix=f"{name}.", application_id=name, partitions=2
    )
    folder: Path = tmp_path_factory.mktemp("up")
    command = ["-m", "streams.cli", "up", "--json", "--data-dir", str(folder)]
    with subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=CHECKOUT,
        env=environment(settings) | {"COUNTERMAND_API_PORT": "0"},
    ) as process:
        try:
            assert process.stdout is not None
            ready = json.loads(process.stdout.readline() or "null")
            assert ready, process.communicate(timeout=PATIENCE_S)[1]
            yield Running(settings, ready, process.pid)
        finally:
            process.terminate()
            process.communicate(timeout=PATIENCE_S)


def numbered(count: int) -> list[dict[str, Any]]:
    """The data of so many events."""
    return [{"n": number} for number in range(count)]


def test_a_cancellation_from_dry_run_to_history(running: Running) -> None:
    """Counted, refused without agreement, done within a bound, and shown afterwards."""
    slug = running.function()
    running.start(slug, *numbered(30), {})
    cancel = ["cancel", "--function", slug, "--if", "event.data.n < 20"]
    dry = json_of(running.call(*cancel, "--dry-run", "--json"))
    counts = dry["dry_run"]["counts"]
    assert (counts["matched"], counts["scanned"], counts["failed"]) == (20, 31, 1)
    assert (dry["cancellation"], len(dry["dry_run"]["sample"])) == (None, 10)
    refused = running.call(*cancel)
    assert refused.exit_code == ExitCode.REFUSED
    assert "20 would be cancelled of 31 looked at, 1 left alone" in refused.stdout
    assert '{"n":' in refused.stdout  # the sample
    assert "no terminal to ask: add --yes, or --confirm-at-most N" in refused.stderr
    few = running.call(*cancel, "--confirm-at-most", "19")
    assert few.exit_code == ExitCode.REFUSED
    assert "20 runs match, more than --confirm-at-most 19 allows" in few.stderr
    assert running.statuses(slug) == {"Scheduled"}
    agreed = [*cancel, "--confirm-at-most", "20", "--reason", "wrong", "--name", "cleanup"]
    done = json_of(running.call(*agreed, "--json"))
    found = done["cancellation"]
    assert (found["status"], found["counts"]["cancelled"]) == ("done", 20)
    assert found["started_before"] == done["dry_run"]["started_before"]
    assert running.lists(20, slug, "--cancellation", found["id"])
    assert running.lists(11, slug, "--status", "scheduled")
    again = running.call(*cancel, "--yes")
    assert again.exit_code == ExitCode.OK
    assert "nothing to cancel" in again.stderr
    shown = running.call("cancellations", "show", found["id"]).stdout
    assert "20 cancelled of 31 looked at, 1 left alone" in shown
    assert "no such member: event.data.n" in shown
    listed = json_lines(running.call("cancellations", "list", "--function", slug, "--json"))
    assert [one["dry_run"] for one in listed] == [True, False, True, True, True, True]


def test_runs_of_a_deleted_function_are_cancelled(running: Running) -> None:
    """They go on without it, so they must be in reach; and a pause of it must be resumable."""
    slug = running.function()
    running.start(slug, *numbered(3))
    assert running.call("pause", slug, "--after", "1d", "--yes").exit_code == ExitCode.OK
    assert running.call("functions", "delete", slug, "--yes").exit_code == ExitCode.OK
    eventually(lambda: running.call("pause", slug, "--yes").exit_code == ExitCode.NOT_FOUND)
    assert running.call("resume", slug).exit_code == ExitCode.OK
    cancel = ["cancel", "--function", slug, "--if", "event.data.n < 2", "--yes", "--json"]
    done = json_of(running.call(*cancel))["cancellation"]
    assert (done["status"], done["counts"]["cancelled"]) == ("done", 2)
    running.lists(2, slug, "--status", "cancelled")


def test_app_and_id_name_a_function_too(running: Running) -> None:
    """As in the API; `--no-wait` ends when the request is written."""
    slug = running.function()
    running.start(slug, *numbered(2))
    names = ["--app", "reports", "--function", slug.removeprefix("reports-")]
    begun = json_of(running.call("cancel", *names, "--yes", "--no-wait", "--json"))
    assert begun["cancellation"]["status"] == "queued"
    watched = running.call("cancellations", "show", begun["cancellation"]["id"], "--watch")
    assert "2 cancelled of 2 looked at" in watched.stdout
    assert re.search(r"done \((\d) of \1 partitions done\)", watched.stdout)


def test_somebody_at_a_terminal_is_asked(running: Running) -> None:
    """No and Ctrl-C leave all as it is, yes shows the progress and what became of it."""
    slug = running.function()
    running.start(slug, *numbered(5))
    with running.on_terminal("cancel", "--function", slug) as terminal:
        terminal.expect("Cancel 5 runs?")
        assert terminal.leave_prompt() == ExitCode.INTERRUPTED
    with running.on_terminal("cancel", "--function", slug) as terminal:
        assert "5 would be cancelled of 5 looked at" in terminal.expect("Cancel 5 runs?")
        terminal.type("n")
        assert terminal.wait() == ExitCode.REFUSED
    assert running.statuses(slug) == {"Scheduled"}
    with running.on_terminal("cancel", "--function", slug) as terminal:
        terminal.expect("Cancel 5 runs?")
        terminal.type("y")
        progress = terminal.expect("is done: 5 cancelled of 5 looked at")
        assert "cancelling" in progress
        assert "5/5 looked at 5 cancelled" in progress
        assert terminal.wait() == ExitCode.OK
    assert running.lists(5, slug, "--status", "cancelled")


def test_ctrl_c_can_stop_the_cancellation(running: Running) -> None:
    """Or end only the display; either way the exit code says that it was interrupted."""
    slug = running.function()
    # Twenty slices: the stop comes right behind the cancellation, before it is done.
    running.send(slug, "requested", *numbered(20 * limits.SLICE_DECISIONS))
    running.lists(MOST_LISTED, slug)
    with running.on_terminal("cancel", "--function", slug) as terminal:
        terminal.expect("runs?")
        with running.router_stopped():
            terminal.type("y")
            terminal.expect("queued")
            terminal.press_ctrl_c()
            terminal.expect("Stop the cancellation?")
            terminal.type("y")
            terminal.expect("queued")
        terminal.expect("is stopped: ")
        assert terminal.wait() == ExitCode.INTERRUPTED
    (newest, *_) = json_lines(running.call("cancellations", "list", "--function", slug, "--json"))
    assert newest["status"] == "stopped"


def test_ctrl_c_can_end_the_display_alone(running: Running) -> None:
    """The cancellation goes on, and the command says how to look at it."""
    slug = running.function()
    running.start(slug, *numbered(5))
    with running.on_terminal("cancel", "--function", slug) as terminal:
        terminal.expect("Cancel 5 runs?")
        with running.router_stopped():
            terminal.type("y")
            terminal.expect("queued")
            terminal.press_ctrl_c()
            terminal.expect("Stop the cancellation?")
            terminal.type("n")
            said = terminal.expect("--watch")
            assert terminal.wait() == ExitCode.INTERRUPTED
    id_ = said.split(" goes on:")[0].split()[-1]
    found = json_of(running.call("cancellations", "show", id_, "--watch", "--json"))
    assert (found["status"], found["counts"]["cancelled"]) == ("done", 5)


def test_ctrl_c_while_counting_ends_the_dry_run(running: Running) -> None:
    """Nobody waits for its counts any more."""
    slug = running.function()
    cancel = ("cancel", "--function", slug)
    with running.router_stopped(), running.on_terminal(*cancel) as terminal:
        terminal.expect("queued")
        terminal.press_ctrl_c()
        assert terminal.wait() == ExitCode.INTERRUPTED
    (dry,) = json_lines(running.call("cancellations", "list", "--function", slug, "--json"))
    ended = running.call("cancellations", "show", dry["id"], "--watch", "--json")
    assert (dry["dry_run"], json_of(ended)["status"]) == (True, "stopped")


def test_a_cancellation_is_stopped_by_its_id(running: Running) -> None:
    """It cancels nothing more, and whoever waits is told; one that is over stays as it was."""
    slug = running.function()
    running.start(slug, *numbered(3))
    with running.on_terminal("cancel", "--function", slug) as terminal:
        terminal.expect("Cancel 3 runs?")
        with running.router_stopped():
            terminal.type("y")
            terminal.expect("queued")
            (newest, *_) = json_lines(running.call("cancellations", "list", "--json"))
            stop = running.on_terminal("cancellations", "stop", newest["id"], "--reason", "oops")
            stop.expect("queued")
        with stop:
            stop.expect(f"{newest['id']} is stopped: ")
            assert stop.wait() == ExitCode.OK
        terminal.expect(f"{newest['id']} is stopped: ")
        assert terminal.wait() == ExitCode.FAILED
    done = json_of(running.call("cancel", "--function", slug, "--yes", "--json"))["cancellation"]
    late = running.call("cancellations", "stop", done["id"])
    assert late.exit_code == ExitCode.OK
    assert f"{done['id']} was done before: " in late.stdout


def test_what_was_cancelled_is_replayed(running: Running) -> None:
    """Exactly the runs of one cancellation, counted first; then runs by range and status."""
    slug = running.function()
    running.start(slug, *numbered(6))
    cancel = ["cancel", "--function", slug, "--if", "event.data.n < 4", "--yes", "--json"]
    cancelled = json_of(running.call(*cancel))["cancellation"]["id"]
    replay = ["replay", "--cancellation", cancelled]
    refused = running.call(*replay)
    assert refused.exit_code == ExitCode.REFUSED
    assert "4 would be replayed" in refused.stdout
    done = json_of(running.call(*replay, "--spread", "1s", "--yes", "--json"))["replay"]
    assert (done["status"], done["counts"]["replayed"]) == ("done", 4)
    running.lists(4, slug, "--replay", done["id"])
    by_range = ["replay", "--function", slug, "--from", "1h", "--status", "cancelled"]
    counted = json_of(running.call(*by_range, "--dry-run", "--json"))
    assert (counted["dry_run"]["counts"]["matched"], counted["replay"]) == (4, None)
    listed = json_lines(running.call("replays", "list", "--function", slug, "--json"))
    # Its id has the cancellation's time.
    assert [one["dry_run"] for one in listed] == [True, True, True, False]
    second = running.call(*replay, "--yes")
    assert second.exit_code == ExitCode.REFUSED
    assert f"were started again before, by the replay {done['id']}" in second.stderr
    shown = running.call("replays", "show", done["id"], "--watch").stdout
    assert f"that {cancelled} cancelled, spread over 1s" in shown
    assert "4 replayed of" in shown


def test_pause_and_resume(running: Running) -> None:
    """Unfinished runs are cancelled as asked, new ones skipped until the resume."""
    slug = running.function()
    running.start(slug, *numbered(3))
    with running.on_terminal("pause", slug, "--running", "now", "--reason", "deploy") as terminal:
        terminal.expect("3 unfinished ones are cancelled now")
        terminal.type("y")
        terminal.expect("3 unfinished ones were cancelled")
        assert terminal.wait() == ExitCode.OK
    stopped = running.lists(3, slug, "--status", "cancelled")
    assert {one["cause"]["reason"] for one in stopped} == {"deploy"}
    running.start(slug, {"n": 3})
    running.lists(1, slug, "--status", "skipped")
    assert running.call("resume", slug).stdout == f"{slug} is resumed\n"
    running.start(slug, {"n": 4})
    (pending,) = running.runs(slug, "--status", "scheduled")
    assert pending["event"]["data"]["n"] == 4
    later = json_of(running.call("pause", slug, "--after", "1d", "--yes", "--json"))
    assert (later["running"], later["after"]) == ("later", "1d")
    assert running.call("resume", slug).exit_code == ExitCode.OK


def test_one_run_is_cancelled(running: Running) -> None:
    """With who and why; a second time is refused, an unknown run is not found."""
    slug = running.function()
    running.start(slug, {"n": 1})
    (pending,) = running.runs(slug)
    done = json_of(running.call("runs", "cancel", pending["run_id"], "--reason", "no", "--json"))
    cause = {name: done["cause"][name] for name in ("type", "requested_by", "reason")}
    assert cause == {"type": "api", "requested_by": "up", "reason": "no"}
    unknown = "0" * 10 + pending["run_id"][10:]
    # Without a decision in time the command only says so, or how the run is.
    for id_, code in ((pending["run_id"], ExitCode.REFUSED), (unknown, ExitCode.NOT_FOUND)):
        eventually(
            lambda id_=id_, code=code: running.call("runs", "cancel", id_).exit_code == code,  # type: ignore[misc]
            PATIENCE_S,
        )


def test_a_run_is_explained(running: Running) -> None:
    """What an event would do, what it did, and the rules even of a function that is gone."""
    slug = running.function()
    running.start(slug, {"n": 1})
    (pending,) = running.runs(slug)
    explain = ["explain", pending["run_id"]]
    name = f"{slug.removeprefix('reports-')}/cancelled"
    events = {number: json.dumps({"name": name, "data": {"n": number}}) for number in (1, 2)}
    for number, matches in ((1, True), (2, False)):
        judged = json_of(running.call(*explain, "--event", "-", "--json", stdin=events[number]))
        assert [one["matches"] for one in judged["verdicts"]] == [matches]
    running.send(slug, "cancelled", {"n": 1})
    eventually(lambda: running.statuses(slug) == {"Cancelled"}, PATIENCE_S)
    assert running.call("functions", "delete", slug, "--yes").exit_code == ExitCode.OK
    told = running.call(*explain, "--event", "-", stdin=events[1]).stdout
    assert f"event {name} [event.data.n == async.data.n]" in told
    assert "by event" in told
    assert f"rule 0 doesn't match {name}: the run has ended" in told


def test_a_repeat_of_a_cancel_event_is_explained(running: Running) -> None:
    """S36: its first occurrence is named, as joiners have noted it; another event isn't one."""
    slug = running.function(", dedupe: 24h")
    running.start(slug, {"n": 1})
    running.send(slug, "cancelled", {"n": 1}, id="c1")
    eventually(lambda: running.statuses(slug) == {"Cancelled"}, PATIENCE_S)
    running.start(slug, {"n": 1})
    (pending,) = running.runs(slug, "--status", "scheduled")
    name = f"{slug.removeprefix('reports-')}/cancelled"
    for id_, whys in (("c1", ["repeat"]), ("c2", [])):
        event = json.dumps({"name": name, "id": id_, "data": {"n": 1}})
        told = running.call("explain", pending["run_id"], "--event", "-", "--json", stdin=event)
        (verdict,) = json_of(told)["verdicts"]
        assert [reason["why"] for reason in verdict["reasons"]] == whys
    running.send(slug, "cancelled", {"n": 1}, id="c1")
    running.send(slug, "cancelled", {"n": 2}, id="c1")
    running.start(slug, {"n": 3})
    assert len(running.runs(slug, "--status", "scheduled")) == 2


def test_who_did_what_is_listed(running: Running) -> None:
    """Every write by this API's key, with its reason and outcome."""
    slug = running.function()
    running.start(slug, {"n": 1})
    assert running.call("cancel", "--function", slug, "--yes", "--reason", "because").exit_code == 0
    trail = json_lines(running.call("audit", "list", "--target", slug, "--json"))
    assert [(one["action"], one["dry_run"]) for one in trail] == [
        ("createCancellation", False),
        ("createCancellation", True),
    ]
    outcomes = {(one["actor"], one["reason"], one["outcome"]) for one in trail}
    assert outcomes == {("up", "because", "done")}
