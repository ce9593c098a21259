"""Definitions: what is accepted, and with which messages and places the rest is refused."""

import json
from pathlib import Path
from typing import Any

import pytest

from streams.errors import DefinitionError, Problem
from streams.functions.compiled import compile_definition
from streams.functions.definition import (
    as_document,
    read_files,
    read_function,
    read_stored,
    read_text,
)
from topology import codec, limits
from topology.records import SEMANTICS, CancelRule, Definition, Function, Trigger

COMPLETE = """\
functions:
  - id: generate-report
    app: reports
    triggers: [{event: report/generation.requested, if: "event.data.pages > 0"}]
    cancel_on:
      - {event: report/generation.cancelled, match: data.reportId, timeout: 24h}
      - event: account/closed
        if: |
          event.data.userId == async.data.userId
          && async.data.hard == true
        early_cancel: 10m
      - {event: maintenance/started, all_runs: true, timeout: 2026-01-31T12:00:00+01:00}
    timeouts: {start: 10m, finish: 2h}
    lease: 60s
    pending_for: 30d
    retention: 7d
"""


def definition(**fields: Any) -> dict[str, Any]:
    """A valid definition with some fields replaced, or left out where the value is None."""
    base = {"id": "ship", "app": "shop", "triggers": [{"event": "order/placed"}]}
    return base | fields


def rule(**fields: Any) -> dict[str, Any]:
    """A valid definition with one cancel rule of these fields."""
    return definition(cancel_on=[{"event": "order/dropped"} | fields])


def problems(document: dict[str, Any]) -> tuple[Problem, ...]:
    """The problems of a definition."""
    with pytest.raises(DefinitionError) as caught:
        read_function(document)
    return caught.value.problems


def text_problems(text: str) -> tuple[Problem, ...]:
    """The problems of a text."""
    with pytest.raises(DefinitionError) as caught:
        read_text(text, "f.yaml")
    return caught.value.problems


def test_a_complete_definition_is_read() -> None:
    """Every field of the documented example is read, durations in ms."""
    assert read_text(COMPLETE) == (
        Function(
            app="reports",
            id="generate-report",
            triggers=(Trigger(event="report/generation.requested", if_="event.data.pages > 0"),),
            cancel_on=(
                CancelRule(
                    event="report/generation.cancelled",
                    match="data.reportId",
                    timeout_ms=limits.DAY_MS,
                ),
                CancelRule(
                    event="account/closed",
                    if_="event.data.userId == async.data.userId\n&& async.data.hard == true\n",
                    early_cancel_ms=10 * limits.MINUTE_MS,
                ),
                CancelRule(
                    event="maintenance/started", all_runs=True, timeout_at=1_769_857_200_000
                ),
            ),
            start_timeout_ms=10 * limits.MINUTE_MS,
            finish_timeout_ms=2 * limits.HOUR_MS,
            lease_ms=limits.MINUTE_MS,
            pending_for_ms=30 * limits.DAY_MS,
            retention_ms=7 * limits.DAY_MS,
            semantics=SEMANTICS,
        ),
    )


def test_what_is_left_out_has_its_documented_default() -> None:
    """Nothing times out, nothing has a lease; runs wait 30 days and stay 7."""
    assert read_function(definition()) == Function(
        app="shop", id="ship", triggers=(Trigger(event="order/placed"),), semantics=SEMANTICS
    )


def test_null_is_the_same_as_left_out() -> None:
    """A template may leave a value empty."""
    assert read_function(definition(lease=None, cancel_on=None)) == read_function(definition())


def test_camel_case_is_the_same() -> None:
    """Definitions of other systems write camelCase."""
    camel = {
        "id": "ship",
        "appId": "shop",
        "triggers": [{"event": "order/placed"}],
        "cancelOn": [
            {"event": "a", "allRuns": True},
            {"event": "b", "match": "data.id", "earlyCancel": "1m"},
        ],
        "pendingFor": "1d",
    }
    snake = definition(
        cancel_on=[
            {"event": "a", "all_runs": True},
            {"event": "b", "match": "data.id", "early_cancel": "1m"},
        ],
        pending_for="1d",
    )
    assert read_function(camel) == read_function(snake)


def test_a_definition_can_be_written_out_and_read_again() -> None:
    """What `functions list` shows is what `functions apply` takes."""
    (function,) = read_text(COMPLETE)
    assert read_function(as_document(function)) == function


def test_json_is_read_with_tabs_escapes_and_lines() -> None:
    """JSON is read right even where YAML would refuse or misread it."""
    good = json.dumps({"functions": [definition(cancelOn=[])]}, indent="\t")
    assert read_text(good) == (read_function(definition()),)
    trigger = [{"event": "\N{PARTY POPPER}"}]
    escaped = json.dumps({"functions": [definition(triggers=trigger)]})
    assert "\\ud83c" in escaped
    assert read_text(escaped)[0].triggers == (Trigger(event="\N{PARTY POPPER}"),)
    (problem,) = text_problems(good.replace('"cancelOn"', '"cancelOff"'))
    assert (problem.line, problem.path[-1]) == (11, "cancelOff")


WRONG: list[tuple[dict[str, Any], str, str]] = [
    (definition(id=None), "id", "is missing"),
    (definition(id=""), "id", "must not be empty"),
    (definition(id="a b"), "id", "must be letters, digits"),
    (definition(id="-a"), "id", "begin with a letter or digit"),
    (definition(id="\u00e4"), "id", "must be letters, digits"),
    (definition(id=12), "id", "must be text, not a number: put it in quotes"),
    (definition(id="a" * 201), "id", "has 201 characters, at most 200"),
    (definition(id="a" * 196), "id", "with app and '-' is over 200 characters"),
    (definition(app="a/b"), "app", "must be letters, digits"),
    (definition(app=None), "app", "is missing"),
    (definition(triggers=None), "triggers", "is missing"),
    (definition(triggers=[]), "triggers", "must not be empty"),
    (definition(triggers={"event": "a"}), "triggers", "must be a list, not a mapping"),
    (definition(triggers=["a"]), "triggers[0]", "must be a mapping, not text"),
    (definition(triggers=[{}]), "triggers[0].event", "is missing"),
    (definition(triggers=[{"event": "a" * 257}]), "triggers[0].event", "at most 256"),
    (definition(triggers=[{"event": "\ud800"}]), "triggers[0].event", "surrogate"),
    (definition(triggers=[{"event": "a"}] * 11), "triggers", "has 11 entries, at most 10"),
    (definition(cancel_on=[{"event": "a", "match": "b"}] * 6), "cancel_on", "at most 5"),
    (definition(trigger=[]), "trigger", "unknown key: did you mean triggers?"),
    (definition(xyz=1), "xyz", "unknown key: there are id, app, triggers"),
    (rule(), "cancel_on[0]", "all_runs: true if that is meant"),
    (rule(all_runs=False), "cancel_on[0]", "would cancel every run"),
    (rule(match="a", all_runs=True), "cancel_on[0].all_runs", "can't stand beside match"),
    (rule(match="data.id", **{"if": "true"}), "cancel_on[0].if", "can't stand beside match"),
    (rule(all_runs="yes"), "cancel_on[0].all_runs", "must be true or false, not text"),
    (rule(event=None, match="data.id"), "cancel_on[0].event", "is missing"),
    (rule(match="data..id"), "cancel_on[0].match", "expected a path"),
    (rule(match="event.data == 1"), "cancel_on[0].match", "expected a path"),
    (rule(match="data.id", timeout="24"), "cancel_on[0].timeout", "not a duration"),
    (rule(match="data.id", timeout=24), "cancel_on[0].timeout", "a duration has a unit"),
    (rule(match="data.id", timeout="1h30m"), "cancel_on[0].timeout", "one number and one unit"),
    (rule(match="data.id", timeout="1.5h"), "cancel_on[0].timeout", "not a duration"),
    (rule(match="data.id", timeout="-1h"), "cancel_on[0].timeout", "not a duration"),
    (rule(match="data.id", timeout="0s"), "cancel_on[0].timeout", "more than 0 and at most 366d"),
    (rule(match="data.id", timeout="367d"), "cancel_on[0].timeout", "at most 366d"),
    (rule(match="data.id", dedupe="8d"), "cancel_on[0].dedupe", "at most 7d"),
    (rule(match="data.id", dedupe=24), "cancel_on[0].dedupe", "a duration has a unit"),
    (rule(match="data.id", timeout="2026-13-01"), "cancel_on[0].timeout", "RFC 3339"),
    (rule(match="data.id", timeout="2026-01-31T12:00:00"), "cancel_on[0].timeout", "offset"),
    (rule(match="data.id", timeout="1960-01-31T12:00:00Z"), "cancel_on[0].timeout", "1970"),
    (rule(all_runs=True, early_cancel="1m"), "cancel_on[0].early_cancel", "needs an equality"),
    (
        rule(early_cancel="1m", **{"if": "async.data.x == 1"}),
        "cancel_on[0].early_cancel",
        "needs an equality",
    ),
    (
        rule(early_cancel="1m", all_runs=True, **{"if": "async.data.x == 1"}),
        "cancel_on[0].early_cancel",
        "needs an equality",
    ),
    (
        rule(event="order/placed", match="data.id", earlyCancel="1m"),
        "cancel_on[0].earlyCancel",
        "also triggers the function",
    ),
    (definition(timeouts={"start": "0m"}), "timeouts.start", "more than 0"),
    (definition(timeouts={"finish": "400d"}), "timeouts.finish", "at most 366d"),
    (definition(timeouts={"end": "1m"}), "timeouts.end", "there are start, finish"),
    (definition(timeouts="1m"), "timeouts", "must be a mapping, not text"),
    (definition(lease="999ms"), "lease", "must be at least 1s"),
    (definition(pending_for="400d"), "pending_for", "at most 366d"),
    (definition(retention="0d"), "retention", "more than 0"),
    (definition(pendingFor="1d", pending_for="2d"), "pending_for", "is also given as pendingFor"),
]


# What can't do what it seems to: the rule or trigger, its field, and what to write instead.
MISLEADING: list[tuple[dict[str, Any], str, str]] = [
    (rule(match="event.data.userId"), "cancel_on[0].match", "write data.userId"),
    (rule(match="async.data.userId"), "cancel_on[0].match", "write data.userId"),
    (rule(match="event.data['user-id'][0]"), "cancel_on[0].match", "write data['user-id'][0]"),
    (rule(match="async"), "cancel_on[0].match", "write a path such as data.userId"),
    (rule(match="event['data']"), "cancel_on[0].match", "write a path such as data.userId"),
    (definition(triggers=[{"event": "order/*"}]), "triggers[0].event", "name each event"),
    (definition(triggers=[{"event": "a"}, {"event": "*"}]), "triggers[1].event", "name each event"),
    (rule(event="order/*", match="data.id"), "cancel_on[0].event", "name each event"),
    (rule(**{"if": "async.data.hard"}), "cancel_on[0].if", "compare with event, or add all_runs"),
    (rule(allRuns=False, **{"if": "has(async.data.x)"}), "cancel_on[0].if", "or add all_runs"),
    (
        rule(**{"if": "async.data.ids.exists(x, x == 'event')"}),
        "cancel_on[0].if",
        "compare with event, or add all_runs",
    ),
    (rule(**{"if": "true"}), "cancel_on[0].if", "write all_runs: true instead"),
    (rule(**{"if": "1 == 1 || [2].exists(x, x > 1)"}), "cancel_on[0].if", "all_runs: true instead"),
]


@pytest.mark.parametrize(("document", "field", "message"), MISLEADING)
def test_what_cannot_do_what_it_seems_to_is_refused_when_applied(
    document: dict[str, Any], field: str, message: str
) -> None:
    """A rule that never matches, or cancels more than anybody sees in it; with the remedy."""
    (problem,) = problems(document)
    assert problem.field == field
    assert message in problem.message


@pytest.mark.parametrize("document", [document for document, _, _ in MISLEADING])
def test_what_was_applied_before_it_was_refused_goes_on(document: dict[str, Any]) -> None:
    """A stored version is compiled, shown and explained as ever."""
    stored = read_stored(document)
    body = codec.encode_function(stored)
    compiled = compile_definition(Definition(stored.slug, 1, body))
    assert read_stored(as_document(compiled.function)) == stored


def test_literals_that_take_too_much_are_refused_only_when_applied() -> None:
    """A stored version's literals count when they are evaluated."""
    bomb = "[[[1]]]" + ".map(x, x + x)" * 9 + "[0]" + ".map(x, x + x)" * 16 + ".exists(x, 2 in x)"
    condition = f"event.data.id == async.data.id && {bomb}"
    assert "takes more than an evaluation may" in problems(rule(**{"if": condition}))[0].message
    assert read_stored(rule(**{"if": condition})).cancel_on[0].if_ == condition


@pytest.mark.parametrize(
    "fields",
    [
        {"match": "events.data"},
        {"match": "data.event"},
        {"match": "asyncs"},
        {"if": "async.data.all || event.data.id == async.data.id"},
        {"if": "async.data.ids.exists(x, x == event.data.id)"},
        {"if": "has(event.data.id) && async.data.hard"},
        {"if": "async.data.hard", "all_runs": True},
        {"if": "true", "allRuns": True},
    ],
    ids=str,
)
def test_what_only_looks_like_it_is_accepted(fields: dict[str, Any]) -> None:
    """Also a condition for every run, since `all_runs` beside it says that it is meant."""
    document = rule(**fields)
    function = read_function(document)
    assert read_function(as_document(function)) == function


def test_all_runs_beside_a_choice_among_them_is_refused() -> None:
    """Who reads it could not tell which of both holds."""
    (problem,) = problems(rule(all_runs=True, **{"if": "event.data.id == async.data.id"}))
    assert problem.field == "cancel_on[0].all_runs"
    assert "can't stand beside an if that mentions event" in problem.message


@pytest.mark.parametrize(("document", "field", "message"), WRONG)
def test_each_wrong_field_is_named(document: dict[str, Any], field: str, message: str) -> None:
    """A wrong field gives one problem, which names the field as written and says what to do."""
    (problem,) = problems(document)
    assert problem.field == field
    assert message in problem.message


def test_a_place_in_an_expression_is_told() -> None:
    """The position counts from 0; people read a column from 1."""
    (problem,) = problems(rule(**{"if": "event.data.id == async.data.id && zork"}))
    assert problem.position == 34
    assert problem.code == "expression"
    assert problem.pointer == "/cancel_on/0/if"
    assert "(column 35 of the expression)" in problem.message


@pytest.mark.parametrize(
    "expression",
    ["event.", "a" * 3000, "(" * 40 + "1" + ")" * 40, "async.data.x == 1"],
)
def test_a_trigger_condition_is_cel_over_the_event_alone(expression: str) -> None:
    """Syntax, limits and variables are checked when applied."""
    (problem,) = problems(definition(triggers=[{"event": "a", "if": expression}]))
    assert problem.field == "triggers[0].if"
    assert problem.position is not None


def test_all_problems_of_a_file_are_told_with_their_lines() -> None:
    """All mistakes of a file are reported at once, so that they can be corrected at once."""
    text = COMPLETE.replace("24h", "24").replace("hard", "hard +").replace("lease:", "leese:")
    found = text_problems(text.replace("app: reports", "app: re ports"))
    assert [(problem.source, problem.line, problem.field) for problem in found] == [
        ("f.yaml", 3, "functions[0].app"),
        ("f.yaml", 6, "functions[0].cancel_on[0].timeout"),
        ("f.yaml", 8, "functions[0].cancel_on[1].if"),
        ("f.yaml", 14, "functions[0].leese"),
    ]
    assert str(found[0]).startswith("f.yaml:3: functions[0].app: must be letters")


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("", 0, "the file is empty"),
        ("# nothing\n", 0, "the file is empty"),
        ("functions:\n  - id: [", 2, "not YAML"),
        ("functions:\n\t- id: a", 2, "not YAML"),
        ("functions: []\n---\nfunctions: []", 2, "expected a single document"),
        ("- id: a", 1, "must be a mapping, not a list"),
        ("functions: []", 1, "must not be empty"),
        ("functions: &f [*f]", 1, "an alias can't contain itself"),
        ("\x00", 0, "not YAML"),
        ("[" * 5000, 0, "nested too deeply"),
        ("functions:\n  - !python/object:os.system a", 2, "has no meaning here"),
        ("? [a]\n: b\n", 1, "a key must be a name"),
        ("functions:\n- id: a\n  id: b", 3, "given twice"),
    ],
)
def test_what_is_no_such_file_is_refused(text: str, line: int, message: str) -> None:
    """Broken, hostile or empty files give a problem, never a crash."""
    assert any(
        problem.line == line and message in problem.message for problem in text_problems(text)
    )


def test_values_nested_without_end_are_refused() -> None:
    """A JSON body may be nested deeper than any stack."""
    deep: Any = 1
    for _ in range(5_000):
        deep = [deep]
    assert problems(definition(cancel_on=deep))[0].message == "nested too deeply"


def test_a_definition_over_the_size_limit_is_refused() -> None:
    """Registrations carry the definition, so its size is bounded."""
    condition = f'event.data.x == "{chr(1) * 1_900}"'
    document = definition(triggers=[{"event": "a", "if": condition}] * 10)
    assert "at most 65536 are allowed" in problems(document)[0].message


def test_aliases_are_followed_once() -> None:
    """Nested aliases take no more memory than what they refer to."""
    text = """\
functions:
  - {id: a, app: x, triggers: &t [{event: e}], cancel_on: &c [{event: f, match: data.id}]}
  - {id: b, app: x, triggers: *t, cancel_on: *c}
"""
    first, second = read_text(text)
    assert (first.triggers, first.cancel_on) == (second.triggers, second.cancel_on)
    bomb = "a: &a [x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{', '.join([f'*{chr(97 + n)}'] * 9)}]\n" for n in range(20)
    )
    assert len(text_problems(bomb)) == 22


def test_one_function_is_defined_once() -> None:
    """The same app and id twice, and two names that give one slug, are refused."""
    text = """\
functions:
  - {id: a, app: x, triggers: [{event: e}]}
  - {id: a, app: x, triggers: [{event: f}]}
  - {id: b-c, app: x, triggers: [{event: e}]}
  - {id: c, app: x-b, triggers: [{event: e}]}
"""
    first, second = text_problems(text)
    assert (first.line, first.message) == (3, "x-a is already defined (f.yaml:2)")
    assert second.line == 5
    assert second.message == "x-b-c is already the name of app x, id b-c (f.yaml:4)"


def test_files_are_read_together(tmp_path: Path) -> None:
    """Problems of all files come at once, and functions are unique over all of them."""
    good, bad = tmp_path / "a.yaml", tmp_path / "b.json"
    good.write_text("\ufeff" + COMPLETE)
    assert len(read_files([good])) == 1
    bad.write_text('{"functions": [{"id": 1}]}')
    latin = tmp_path / "c.yaml"
    latin.write_bytes(b"\xe9")
    with pytest.raises(DefinitionError) as caught:
        read_files([bad, latin, tmp_path / "none.yaml", tmp_path])
    sources = [Path(problem.source).name for problem in caught.value.problems]
    assert sorted(set(sources)) == sorted(["b.json", "c.yaml", "none.yaml", tmp_path.name])
    with pytest.raises(DefinitionError, match=r"already defined .*a\.yaml:2"):
        read_files([good, good])
