"""Reads functions that people write in YAML or JSON, and reports all errors at once."""

import re
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

from streams import matching
from streams.durations import format_duration, format_instant
from streams.errors import DefinitionError, ExpressionError, FieldPath, Problem
from streams.functions import source as documents
from streams.functions.compiled import TRIGGER_VARIABLES
from streams.functions.fields import Fields, Problems
from topology import codec, limits
from topology.records import SEMANTICS, CancelRule, Function, Json, Trigger

MOST_FUNCTIONS: Final = 10_000

_FUNCTION: Final = (
    "id",
    "app",
    "triggers",
    "cancel_on",
    "timeouts",
    "lease",
    "pending_for",
    "retention",
)
_TRIGGER: Final = ("event", "if")
_RULE: Final = ("event", "match", "if", "all_runs", "timeout", "early_cancel", "dedupe")
_TIMEOUTS: Final = ("start", "finish")
_RULE_VARIABLES: Final = frozenset({"event", "async"})

_NAME: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*")
# A path that names the event that it is read in, as paths in expressions do.
_PATH_OF_AN_EVENT: Final = re.compile(r"(?:event|async)(?:\.(?P<rest>.*)|\[.*)?")
_NAME_MEANING: Final = "must be letters, digits, '.', '_' and '-', and begin with a letter or digit"


def read_files(paths: Iterable[Path]) -> tuple[Function, ...]:
    """Read the functions of YAML or JSON files, in their order.

    Raises:
        DefinitionError: It has every wrong field of every file.
    """
    collected = _Collected()
    for path in paths:
        try:
            text = path.read_text("utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
            problem = Problem((), f"the file can't be read: {reason}", "file", str(path))
            collected.problems.append(problem)
        else:
            collected.add_text(text, str(path))
    return collected.result()


def read_text(text: str, source: str = "") -> tuple[Function, ...]:
    """Read the functions of one YAML or JSON text; `source` names it in errors.

    Raises:
        DefinitionError: It has every wrong field.
    """
    collected = _Collected()
    collected.add_text(text, source)
    return collected.result()


def read_function(definition: Mapping[str, Json]) -> Function:
    """Read a new function from a mapping, such as a JSON body or the SDK's.

    Raises:
        DefinitionError: It has every wrong field.
    """
    return _read(definition, Problems(""))


def read_stored(definition: Mapping[str, Json]) -> Function:
    """Read a function that was applied before, as `as_document` gives it.

    It may say what is refused in new definitions: an older release has accepted it.

    Raises:
        DefinitionError: It has every wrong field.
    """
    return _read(definition, Problems("", stored=True))


def as_document(function: Function) -> dict[str, Json]:
    """Give the mapping that `read_stored` reads as this function, without unset fields."""
    timeouts = {"start": function.start_timeout_ms, "finish": function.finish_timeout_ms}
    document = {
        "id": function.id,
        "app": function.app,
        "triggers": [
            _given(event=trigger.event, **{"if": trigger.if_}) for trigger in function.triggers
        ],
        "cancel_on": [_rule_document(rule) for rule in function.cancel_on],
        "timeouts": {name: format_duration(ms) for name, ms in timeouts.items() if ms},
        "lease": format_duration(function.lease_ms) if function.lease_ms else None,
        "pending_for": format_duration(function.pending_for_ms),
        "retention": format_duration(function.retention_ms),
    }
    return {name: value for name, value in document.items() if value not in (None, [], {})}


class _Collected:
    """The functions and problems of some sources."""

    def __init__(self) -> None:
        self.problems: list[Problem] = []
        self._functions: dict[str, tuple[Function, str]] = {}

    def add_text(self, text: str, source: str) -> None:
        root, of_syntax = documents.parse_text(text, source)
        self.problems += of_syntax
        if root is None:
            return
        problems = Problems(source)
        fields = Fields(root, (), ("functions",), problems)
        for item, path in fields.items("functions", MOST_FUNCTIONS, required=True):
            function = _function(item, path, problems)
            if function is not None:
                self._keep(function, f"{source}:{item.line}", path, item.line, problems)
        self.problems += problems.noted

    def result(self) -> tuple[Function, ...]:
        if self.problems:
            raise DefinitionError(
                sorted(self.problems, key=lambda problem: (problem.source, problem.line))
            )
        return tuple(function for function, _ in self._functions.values())

    def _keep(
        self, function: Function, place: str, path: FieldPath, line: int, problems: Problems
    ) -> None:
        other, first = self._functions.setdefault(function.slug, (function, place))
        if other is not function:
            same = (other.app, other.id) == (function.app, function.id)
            what = f"{function.slug} is already " + (
                "defined" if same else f"the name of app {other.app}, id {other.id}"
            )
            problems.add((*path, "id"), line, f"{what} ({first})", "duplicate")


def _read(definition: Mapping[str, Json], problems: Problems) -> Function:
    try:
        function = _function(documents.from_value(definition), (), problems)
    except RecursionError:
        raise DefinitionError([Problem((), "nested too deeply", "syntax")]) from None
    if problems.noted or function is None:
        raise DefinitionError(problems.noted)
    return function


def _function(item: documents.Item, path: FieldPath, problems: Problems) -> Function | None:
    before = len(problems.noted)
    fields = Fields(item, path, _FUNCTION, problems)
    app = fields.name("app", _NAME, _NAME_MEANING, limits.SLUG_CHARS)
    id_ = fields.name("id", _NAME, _NAME_MEANING, limits.SLUG_CHARS)
    triggers = _triggers(fields, problems)
    names = frozenset(trigger.event for trigger in triggers)
    rules = [
        _rule(Fields(rule, place, _RULE, problems), names)
        for rule, place in fields.items("cancel_on", limits.CANCEL_RULES)
    ]
    timeouts = fields.fields("timeouts", _TIMEOUTS)
    function = Function(
        app=app or "",
        id=id_ or "",
        triggers=triggers,
        cancel_on=tuple(rules),
        start_timeout_ms=timeouts.duration("start"),
        finish_timeout_ms=timeouts.duration("finish"),
        lease_ms=fields.duration("lease", limits.SECOND_MS),
        pending_for_ms=fields.duration("pending_for") or limits.PENDING_FOR_MS,
        retention_ms=fields.duration("retention") or limits.RETENTION_MS,
        semantics=SEMANTICS,
    )
    _check_size(function, fields)
    return function if len(problems.noted) == before else None


def _triggers(fields: Fields, problems: Problems) -> tuple[Trigger, ...]:
    triggers = []
    for item, path in fields.items("triggers", limits.TRIGGERS, required=True):
        trigger = Fields(item, path, _TRIGGER, problems)
        event = _event_name(trigger)
        condition = trigger.expression("if", TRIGGER_VARIABLES, limits.FUNCTION_BYTES)
        if_ = None if condition is None else condition.text
        triggers.append(Trigger(event=event or "", if_=if_))
    return tuple(triggers)


def _rule(fields: Fields, triggers: frozenset[str]) -> CancelRule:
    event = _event_name(fields)
    expression = fields.expression("if", _RULE_VARIABLES, limits.FUNCTION_BYTES)
    match = _match(fields)
    all_runs = fields.flag("all_runs")
    timeout_ms, timeout_at = fields.duration_or_instant("timeout")
    early_cancel_ms = fields.duration("early_cancel") or 0
    _check_scope(fields, expression, all_runs=all_runs)
    if fields.has("early_cancel"):
        scans = all_runs is True or (expression is not None and not expression.indexed)
        _check_early_cancel(fields, scans=scans, triggering=event in triggers)
    return CancelRule(
        event=event or "",
        match=match,
        if_=None if expression is None else expression.text,
        all_runs=all_runs is True,
        timeout_ms=timeout_ms,
        timeout_at=timeout_at,
        early_cancel_ms=early_cancel_ms,
        dedupe_ms=fields.duration("dedupe", most_ms=limits.DEDUPE_CANCELS_MS) or 0,
    )


def _event_name(fields: Fields) -> str | None:
    name = fields.text("event", limits.EVENT_NAME_CHARS, required=True)
    if name is not None and "*" in name and not fields.stored:
        message = "has a *, but events are compared by their whole names: name each event"
        fields.refuse("event", message, "wildcard")
    return name


def _match(fields: Fields) -> str | None:
    path = fields.text("match", limits.FUNCTION_BYTES)
    if path is None:
        return None
    try:
        matching.match_expression(path)
    except ExpressionError as error:
        fields.refuse_expression("match", error)
        return None
    of_an_event = _PATH_OF_AN_EVENT.fullmatch(path)
    if of_an_event is not None and not fields.stored:
        meant = of_an_event["rest"] or "a path such as data.userId"
        message = f"is looked up in event and in async, so it names neither: write {meant}"
        fields.refuse("match", message, "expression", 0)
    return path


def _check_scope(
    fields: Fields, condition: matching.Expression | None, *, all_runs: bool | None
) -> None:
    """Refuse a rule that doesn't say which runs it cancels, or says it twice."""
    of_all = fields.has("all_runs") and all_runs is not False
    if fields.has("match"):
        for name, given in (("if", fields.has("if")), ("all_runs", of_all)):
            if given:
                fields.refuse(name, "can't stand beside match: keep one of them", "scope")
    elif fields.has("if"):
        if condition is not None:
            _check_condition(fields, condition, of_all=of_all)
    elif not of_all:
        message = (
            "has neither match nor if, so each such event would cancel every run of the function: "
            "add one of them, or all_runs: true if that is meant"
        )
        fields.refuse_whole(message, "unscoped")


def _check_condition(fields: Fields, condition: matching.Expression, *, of_all: bool) -> None:
    """Refuse a condition that is for every run and doesn't say so, or says so and isn't."""
    if condition.mentions("event"):
        if of_all:
            message = "can't stand beside an if that mentions event, which chooses among the runs"
            fields.refuse("all_runs", f"{message}: keep one of them", "scope")
    # The equality that `early_cancel` asks for mends this, too.
    elif not (of_all or fields.stored or fields.has("early_cancel")):
        message = (
            "mentions neither event nor async, so it is the same for all of them: "
            "write all_runs: true instead if each such event shall cancel every run"
        )
        if condition.mentions("async"):
            message = (
                "doesn't mention event, so it would cancel every run of the function: compare "
                "with event, or add all_runs: true if that is meant"
            )
        fields.refuse("if", message, "unscoped")


def _check_early_cancel(fields: Fields, *, scans: bool, triggering: bool) -> None:
    if scans:
        message = "needs an equality between event and async: without one every run is searched"
        fields.refuse("early_cancel", message, "early_cancel")
    if triggering:
        message = "can't be used with an event that also triggers the function: each would cancel"
        fields.refuse("early_cancel", f"{message} the runs after it", "early_cancel")


def _check_size(function: Function, fields: Fields) -> None:
    if len(function.slug) > limits.SLUG_CHARS:
        message = f"with app and '-' is over {limits.SLUG_CHARS} characters"
        fields.refuse("id", message, "length")
    size = len(codec.encode_function(function))
    if size > limits.FUNCTION_BYTES:
        message = f"the function takes {size} bytes, at most {limits.FUNCTION_BYTES} are allowed"
        fields.refuse("cancel_on", message, "length")


def _rule_document(rule: CancelRule) -> dict[str, Json]:
    timeout = format_duration(rule.timeout_ms) if rule.timeout_ms else None
    if rule.timeout_at:
        timeout = format_instant(rule.timeout_at)
    return _given(
        event=rule.event,
        match=rule.match,
        **{"if": rule.if_},
        all_runs=rule.all_runs or None,
        timeout=timeout,
        early_cancel=format_duration(rule.early_cancel_ms) if rule.early_cancel_ms else None,
        dedupe=format_duration(rule.dedupe_ms) if rule.dedupe_ms else None,
    )


def _given(**fields: Json) -> dict[str, Json]:
    return {name: value for name, value in fields.items() if value is not None}
