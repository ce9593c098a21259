"""Commands on the real API without a broker: lists, paging, what they show, and refusals."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import insert
from typer.testing import Result

from streams.api.call.roles import Role
from streams.cli.exits import ExitCode
from streams.database.engine import writing
from streams.database.schema import AUDIT, FAILURES, PROGRESS, REQUESTS
from streams.functions.registry import Registry
from streams.settings import load
from tests.support.api import NOWHERE, Api, add_runs, add_version, open_api, run_id, run_row
from tests.support.cli import json_lines, json_of, run
from topology.records import CancelRule, Function, Trigger

AT = 1_700_000_000_000
ID = "01HMRMPE5ZQ4AMNJ3S2N79QGRZ"
HOUR = 3_600_000
FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on:
      - {event: report/cancelled, match: data.n, timeout: 1h}
      - {event: account/closed, if: "event.data.user == async.data.user && async.data.hard"}
      - {event: maintenance/started, all_runs: true}
    timeouts: {start: 10m}
"""


@pytest.fixture
def api(clean_environment: None, tmp_path: Path) -> Iterator[Api]:
    """An API with a database of this test, that knows one function, at version 0."""
    with open_api(load(kafka_bootstrap_servers=NOWHERE, state_dir=tmp_path)) as found:
        found.know(FUNCTIONS)
        yield found


def call(api: Api, *arguments: str, role: Role = Role.ADMIN, stdin: str | None = None) -> Result:
    """Run a command as somebody with a role."""
    return run(*arguments, stdin=stdin, api_url=api.url, api_key=api.keys[role][1])


def rows_of(result: Result) -> list[str]:
    """The lines of a table, without its head."""
    assert result.exit_code == ExitCode.OK, result.output
    return [line for line in result.stdout.splitlines() if line.strip()][2:]


def test_runs_are_listed_newest_first(api: Api) -> None:
    """One line per run, with the times in UTC and why it ended."""
    cause = {"type": "cancellation", "cancellation_id": ID, "requested_by": "ann", "reason": "bug"}
    ended = {"status": "cancelled", "ended_at": AT + 5, "cause": orjson.dumps(cause).decode()}
    add_runs(api.service, run_row(AT), run_row(AT + 1, 1, **ended))
    listed = call(api, "runs", "list")
    first, second = rows_of(listed)
    assert first.split()[:5] == [
        run_id(AT + 1, 1),
        "reports-generate",
        "Cancelled",
        "2023-11-14T22:13:20.001Z",
        "2023-11-14T22:13:20.005Z",
    ]
    assert f"cancellation {ID} by ann: bug" in first
    assert second.split()[:3] == [run_id(AT), "reports-generate", "Scheduled"]
    assert listed.stderr == "2 runs\n"
    assert "\x1b" not in listed.output


def test_what_a_run_says_steers_no_terminal(api: Api) -> None:
    """Its event, its worker, its error: escaped for people, and the same values in JSON."""
    evil = "\x1b]0;owned\x07\n\x9b2J\u202etxt"
    event = {"name": evil, "data": {evil: evil}, "id": evil, "ts": 0}
    row = run_row(
        AT,
        event_id=evil,
        event_name=evil,
        event=orjson.dumps(event).decode(),
        status="failed",
        worker=evil,
        last_step=evil,
        error=orjson.dumps({"name": evil, "message": evil}).decode(),
    )
    add_runs(api.service, row)
    for command in (["runs", "list"], ["runs", "show", run_id(AT)]):
        shown = call(api, *command)
        assert shown.stdout.replace("\n", "").isprintable(), shown.stdout
        assert r"\u001b]0;owned\u0007\n\u009b2J\u202etxt" in shown.stdout
        as_json = call(api, *command, "--json")
        assert as_json.stdout.replace("\n", "").isprintable()
        assert json_of(as_json)["event"] == event
    (line,) = rows_of(call(api, "runs", "list"))
    assert run_id(AT) in line


@pytest.mark.parametrize(
    ("filters", "numbers"),
    [
        ([], [3, 2, 1, 0]),
        (["--status", "scheduled", "--status", "Running"], [3, 0]),
        (["--after", "2023-11-14T22:13:20.001Z"], [3, 2]),
        (["--before", "2023-11-14T22:13:20.001Z"], [0]),
        (["--after", "1h"], []),
        (["--ended-after", "2023-11-14T22:13:20.010Z"], [2]),
        (["--ended-before", "2023-11-14T22:13:20.012Z"], [1]),
        (["--event-id", "e2"], [2]),
        (["--function", "data-sync"], [2]),
        (["--cancellation", ID], [1]),
        (["--replay", ID], [3]),
        (["--if", "event.data.n > 1"], [3, 2]),
    ],
)
def test_runs_are_filtered(api: Api, filters: list[str], numbers: list[int]) -> None:
    """Each flag is one filter of the API."""
    add_runs(
        api.service,
        run_row(AT),
        run_row(AT + 1, 1, status="cancelled", cancellation_id=ID, ended_at=AT + 10),
        run_row(AT + 2, 2, status="failed", function_id="data-sync", ended_at=AT + 12),
        run_row(AT + 3, 3, status="running", replay_id=ID),
    )
    listed = json_lines(call(api, "runs", "list", "--json", *filters))
    assert [one["event"]["data"]["n"] for one in listed] == numbers


def test_pages_are_followed_and_can_be_gone_on_with(api: Api) -> None:
    """More than the API gives at once; stderr says how to go on, also with --json."""
    add_runs(api.service, *(run_row(AT + number, number) for number in range(130)))
    first = call(api, "runs", "list", "--limit", "120", "--json")
    assert len(json_lines(first)) == 120
    (more,) = first.stderr.splitlines()
    rest = call(api, "runs", "list", "--cursor", more.rpartition(" ")[2], "--limit", "120")
    assert len(rows_of(rest)) == 10
    assert rest.stderr == "10 runs\n"


def test_runs_without_an_answer_are_told(api: Api) -> None:
    """They are left out of the list, so nobody would know."""
    add_runs(api.service, run_row(AT), run_row(AT + 1, 1))
    listed = call(api, "runs", "list", "--if", "event.data.n > 0 || event.data.gone")
    assert len(rows_of(listed)) == 1
    assert listed.stderr == "1 runs; on 1 others --if had no answer\n"


def test_a_run_is_shown(api: Api) -> None:
    """Only what there is, with its event."""
    add_runs(api.service, run_row(AT, worker="w1", status="running"))
    shown = call(api, "runs", "show", run_id(AT))
    assert "received  2023-11-14T22:13:20.000Z\n" in shown.stdout
    assert "worker    w1\n" in shown.stdout
    assert '"name": "report/requested"' in shown.stdout
    assert "sleeps" not in shown.stdout
    assert json_of(call(api, "runs", "show", run_id(AT), "--json"))["worker"] == "w1"


def test_what_is_not_there_is_told_apart(api: Api) -> None:
    """Exit code 3, with where to look."""
    for command in (["runs", "show"], ["cancellations", "show"], ["replays", "show"], ["explain"]):
        result = call(api, *command, ID)
        assert result.exit_code == ExitCode.NOT_FOUND
        assert "list` shows those there are" in result.stderr


def test_an_ended_run_is_not_cancelled(api: Api) -> None:
    """Exit code 4; nothing is asked of Kafka, which isn't there."""
    add_runs(api.service, run_row(AT, status="completed", ended_at=AT))
    result = call(api, "runs", "cancel", run_id(AT))
    assert result.exit_code == ExitCode.REFUSED
    assert "Cannot cancel an ended run" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["runs", "show", "x"], "RUN_ID: "),
        (["runs", "list", "--status", "lost"], "--status: "),
        (["runs", "list", "--cursor", "x"], "--cursor: "),
        (["runs", "list", "--if", "event.data.x ="], "    event.data.x =\n"),
        (["cancel", "--function", "reports-generate", "--if", "1 +"], "--if: invalid expression"),
        (["cancel", "--function", "reports-generate", "--before", "2999-01-01T00:00:00Z"],
         "--before: started_before must be in the past"),
        (["replay", "--function", "reports-generate", "--from", "1h"], "--status: "),
        (["replay", "--function", "reports-generate", "--status", "failed"], "--from: "),
    ],
)  # fmt: skip
def test_what_the_api_refuses_is_told_by_the_flag(
    api: Api, arguments: list[str], words: str
) -> None:
    """Exit code 4, and the place."""
    result = call(api, *arguments)
    assert result.exit_code == ExitCode.REFUSED
    assert words in result.stderr
    assert result.stdout == ""


@pytest.mark.parametrize(
    "arguments",
    [
        ["cancel", "--function", "nobody-knows"],
        ["cancel", "--app", "nobody", "--function", "knows"],
        ["pause", "nobody-knows", "--yes"],
        ["resume", "nobody-knows"],
        ["replay", "--function", "nobody-knows", "--from", "1h", "--status", "failed"],
    ],
)
def test_an_unknown_function_is_not_found(api: Api, arguments: list[str]) -> None:
    """Whatever it was named for."""
    result = call(api, *arguments)
    assert result.exit_code == ExitCode.NOT_FOUND
    assert "`countermand functions list` shows those there are" in result.stderr


def test_another_function_with_the_same_slug_is_not_found(api: Api) -> None:
    """`a` and `b-c` don't name the function that `a-b` and `c` name."""
    api.know("functions: [{id: c, app: a-b, triggers: [{event: e}]}]")
    result = call(api, "cancel", "--app", "a", "--function", "b-c")
    assert result.exit_code == ExitCode.NOT_FOUND
    assert "a-b-c is function c of app a-b" in result.stderr


def test_a_deleted_function_is_found_where_its_runs_are_cancelled(api: Api) -> None:
    """What is asked for goes to Kafka, which isn't there; a pause would be of no use any more."""
    api.delete(FUNCTIONS, "reports-generate")
    found = call(
        api, "cancel", "--function", "reports-generate", "--before", "2999-01-01T00:00:00Z"
    )
    assert found.exit_code == ExitCode.REFUSED
    assert "--before: started_before must be in the past" in found.stderr
    paused = call(api, "pause", "reports-generate", "--yes")
    assert paused.exit_code == ExitCode.NOT_FOUND
    assert "was deleted (its unfinished runs can be cancelled)" in paused.stderr


def test_keys_and_roles_are_told(api: Api) -> None:
    """Exit code 4 with what to do; the key itself is never shown."""
    add_runs(api.service, run_row(AT))
    missing = run("runs", "list", api_url=api.url)
    assert missing.exit_code == ExitCode.REFUSED
    assert "set COUNTERMAND_API_KEY" in missing.stderr
    wrong = run("runs", "list", "--api-url", api.url, "--api-key", "cmk_secret")
    assert wrong.exit_code == ExitCode.REFUSED
    assert "cmk_secret" not in wrong.output
    low = call(api, "runs", "cancel", run_id(AT), role=Role.VIEWER)
    assert low.exit_code == ExitCode.REFUSED
    assert "use a key with that role" in low.stderr


def test_a_pause_needs_agreement(api: Api) -> None:
    """Nothing is counted, and nothing asked of Kafka, where nobody can answer."""
    result = call(api, "pause", "reports-generate", "--running", "now")
    assert result.exit_code == ExitCode.REFUSED
    assert "add --yes" in result.stderr


def asked(api: Api, kind: str, body: dict[str, Any], **counts: Any) -> None:
    """Put a request, and what one partition told of it, into the read model."""
    request = {
        "request_id": ID,
        "type": kind,
        "target": ID,
        "function_id": "reports-generate",
        "requested_by": "ann",
        "reason": "a bug",
        "at": AT,
        "received_at": AT,
        "body": orjson.dumps(body).decode(),
    }
    names = ("scanned", "matched", "cancelled", "replayed", "already_ended", "failed")
    progress = dict.fromkeys(names, 0) | {"request_id": ID, "partition": 0, "state": "running"}
    progress |= {"sample": "[]", "updated_at": AT}
    with writing(api.service.engine) as connection:
        connection.execute(insert(REQUESTS).values(request))
        connection.execute(insert(PROGRESS).values(progress | counts))


CANCEL = {
    "app_id": "reports",
    "function_id": "generate",
    "started_before": AT + 10,
    "if": "event.data.n > 1",
    "name": "cleanup",
}


def test_cancellations_are_listed_and_shown(api: Api) -> None:
    """Rule, who, why, counts, and the runs on which the expression had no answer."""
    asked(api, "cancel_runs", CANCEL, scanned=1_500, cancelled=1_200, matched=1_200, failed=1)
    add_runs(api.service, run_row(AT, 7), run_row(AT + 1, 8, cancellation_id=ID))
    with writing(api.service.engine) as connection:
        failure = {"request_id": ID, "run_id": run_id(AT, 7), "error": "no such member: n"}
        connection.execute(insert(FAILURES).values(failure))
    (row,) = rows_of(call(api, "cancellations", "list"))
    assert row.split()[:6] == [ID, "2023-11-14T22:13:20.000Z", "reports-generate", "running",
                               "1,200", "1,200"]  # fmt: skip
    assert "ann" in row
    assert "cleanup; event.data.n > 1; a bug" in row
    shown = call(api, "cancellations", "show", ID)
    assert "before 2023-11-14T22:13:20.010Z where event.data.n > 1" in shown.stdout
    assert "running (0 of 8 partitions done)" in shown.stdout
    assert "1,200 cancelled of 1,500 looked at, 1 left alone" in shown.stdout
    assert "2023-11-14T22:13:20.000Z by ann" in shown.stdout
    assert "a bug" in shown.stdout
    assert f"{run_id(AT, 7)}   2023-11-14T22:13:20.000Z   no such member: n" in shown.stdout
    cancelled = call(api, "cancellations", "show", ID, "--runs", "cancelled", "--json")
    found, ran = json_lines(cancelled)
    assert (found["id"], ran["run_id"]) == (ID, run_id(AT + 1, 8))


def test_a_count_that_differs_from_the_one_before_is_told(api: Api) -> None:
    """Who agreed to 12 sees that 13 were cancelled; not while it may still change."""
    partitions = api.service.settings.partitions
    asked(api, "cancel_runs", CANCEL | {"expected": 12}, state="done", matched=13, cancelled=13)
    assert "counted before" not in call(api, "cancellations", "show", ID).stdout
    row = {"request_id": ID, "state": "done", "sample": "[]", "updated_at": AT}
    row |= dict.fromkeys(("scanned", "matched", "cancelled", "replayed"), 0)
    row |= {"already_ended": 0, "failed": 0}
    with writing(api.service.engine) as connection:
        rest = [row | {"partition": number} for number in range(1, partitions)]
        connection.execute(insert(PROGRESS), rest)
    shown = call(api, "cancellations", "show", ID).stdout
    assert "13 cancelled of 0 looked at, 12 had been counted before" in shown


def test_replays_are_listed_and_shown(api: Api) -> None:
    """By function and statuses, or of one cancellation."""
    body = {
        "function_id": "reports-generate",
        "from": AT,
        "to": AT + 10,
        "statuses": ["failed", "skipped"],
        "spread": 600_000,
    }
    asked(api, "replay", body, scanned=9, matched=4, replayed=3)
    (row,) = rows_of(call(api, "replays", "list"))
    assert row.split()[:6] == [ID, "2023-11-14T22:13:20.000Z", "reports-generate", "running", "3",
                               "4"]  # fmt: skip
    shown = call(api, "replays", "show", ID)
    assert "failed or skipped runs of reports-generate received after" in shown.stdout
    assert "spread over 10m" in shown.stdout
    assert "3 replayed of 9 looked at" in shown.stdout


def test_the_audit_trail_is_listed(api: Api) -> None:
    """Who, what, when, why and with what outcome; for admins."""
    row = {
        "id": ID,
        "at": AT,
        "api_key": "k1",
        "actor": "ann",
        "action": "createCancellation",
        "target": "reports-generate",
        "reason": "a bug",
        "request_id": ID,
        "dry_run": True,
        "outcome": "done",
    }
    with writing(api.service.engine) as connection:
        connection.execute(insert(AUDIT).values(row))
    (line,) = rows_of(call(api, "audit", "list", "--actor", "ann"))
    assert "ann     createCancellation (dry run)   reports-generate   done" in line
    assert "a bug" in line
    assert json_lines(call(api, "audit", "list", "--target", "other", "--json")) == []
    assert call(api, "audit", "list", role=Role.OPERATOR).exit_code == ExitCode.REFUSED


def explained(api: Api, *arguments: str, event: dict[str, Any] | None = None) -> Result:
    """Explain the run of these tests."""
    add_runs(api.service, run_row(AT, 1, function_version=0, status="running"))
    stdin = None if event is None else orjson.dumps(event).decode()
    more = [] if event is None else ["--event", "-"]
    return call(api, "explain", run_id(AT, 1), *more, *arguments, stdin=stdin)


def test_a_run_is_explained(api: Api) -> None:
    """Its rules, the values that they wait for, until when, and its timeouts."""
    lines = explained(api).stdout.splitlines()
    assert "function     reports-generate (version 0)" in lines
    assert "timeouts     start 10m" in lines
    assert "waits until  it ends, at the latest 2023-12-14T22:13:20Z" in lines
    assert lines[lines.index("rule 0 on report/cancelled: event.data.n == async.data.n") :] == [
        "rule 0 on report/cancelled: event.data.n == async.data.n",
        "    async.data.n == 1 (its event.data.n)",
        "    until 2023-11-14T23:13:20Z",
        "rule 1 on account/closed: event.data.user == async.data.user && async.data.hard",
        "    async.data.user == nothing (its event.data.user)",
        "    can never match: the run's event has no value there",
        "rule 2 on maintenance/started: every run",
    ]


def test_a_rule_from_before_it_was_refused_is_explained(api: Api) -> None:
    """Runs keep the version that they were registered with."""
    registry = Registry()
    rule = CancelRule(event="report/cancelled", if_="async.data.hard")
    trigger = Trigger(event="report/requested")
    stored = Function(app="reports", id="generate", triggers=(trigger,), cancel_on=(rule,))
    add_version(registry, stored)
    api.service.catalogue.show(registry, lambda: True)
    assert explained(api).stdout.splitlines()[-1] == "rule 0 on report/cancelled: async.data.hard"


def test_an_event_is_judged(api: Api) -> None:
    """Each rule says whether it matches, or why it doesn't."""
    result = explained(api, event={"name": "report/cancelled", "data": {"n": 2}})
    assert result.exit_code == ExitCode.OK
    other = "the event is report/cancelled, the rule is for"
    said = [line.removeprefix("rule ") for line in result.stdout.splitlines()[-4:]]
    assert said == [
        "0 doesn't match report/cancelled: the rule listened until 2023-11-14T23:13:20Z",
        "0 doesn't match report/cancelled: event.data.n is 1 but async.data.n is 2",
        f"1 doesn't match report/cancelled: {other} account/closed",
        f"2 doesn't match report/cancelled: {other} maintenance/started",
    ]
    assert result.stderr == "report/cancelled would not cancel the run\n"


def test_a_matching_event_is_judged_as_json(api: Api) -> None:
    """For scripts: the rules, and a verdict for each."""
    found = json_of(explained(api, "--json", event={"name": "maintenance/started"}))
    assert [one["matches"] for one in found["verdicts"]] == [False, False, True]
    assert [one["why"] for one in found["verdicts"][0]["reasons"]] == ["other_name"]
    assert found["rules"][0]["keys"] == [
        [{"event_path": "event.data.n", "async_path": "async.data.n", "value": 1}]
    ]
    assert found["rules"][0]["until"] == "2023-11-14T23:13:20Z"
    assert found["run"]["run_id"] == run_id(AT, 1)


@pytest.mark.parametrize(
    ("file", "code"), [("none.json", ExitCode.NOT_FOUND), ("bad.json", ExitCode.REFUSED)]
)
def test_an_event_that_is_none_is_told(api: Api, tmp_path: Path, file: str, code: ExitCode) -> None:
    """A file that isn't there, or that holds no event."""
    (tmp_path / "bad.json").write_text('{"data": {}}')
    result = explained(api, "--event", str(tmp_path / file))
    assert result.exit_code == code
    assert file in result.stderr


def test_a_run_of_a_deleted_function_is_explained(api: Api) -> None:
    """Its version is kept as long as the run."""
    api.delete(FUNCTIONS, "reports-generate")
    assert "rule 2 on maintenance/started: every run" in explained(api).stdout.splitlines()


def test_a_version_that_is_kept_no_more_is_told(api: Api) -> None:
    """Nobody has it, and nobody else need be asked: there is no Kafka here."""
    add_runs(api.service, run_row(AT, 2, function_version=5))
    result = call(api, "explain", run_id(AT, 2))
    assert result.exit_code == ExitCode.NOT_FOUND
    assert "Version 5 of reports-generate is kept no more" in result.stderr
