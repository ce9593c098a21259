"""Functions, their versions and pauses as the API shows them."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Any

from pydantic import Field
from sqlalchemy import Connection, RowMapping, func, select

from streams import durations
from streams.api.fields import Answer, Json, Row, Time, time_text
from streams.api.progress import CancelCounts, Progress, State
from streams.api.run_counts import Counted
from streams.database.schema import REQUESTS
from streams.functions.changes import Difference, RuleReport, rule_reports
from streams.functions.definition import as_document
from streams.functions.registry import Version
from topology import codec, requests
from topology.records import Function


class Rule(Answer):
    """How a cancel rule finds its runs."""

    index: int
    event: str
    expression: str | None = Field(description="Null: it cancels every run of the function.")
    indexed: bool = Field(description="Runs are found by key; otherwise all are looked through.")
    keys: list[list[str]] = Field(description="What is looked up in the cancel event, per branch.")
    evaluated: bool = Field(description="Whether what is found is then evaluated.")
    compiled: bool


class FunctionVersion(Answer):
    """One version of a function; a run keeps the one that it was registered with."""

    version: int
    valid_from: Time
    semantics: int = Field(description="Its level: what a release means by its rules.")
    deleted: bool
    definition: dict[str, Json]
    rules: list[Rule]


class Running(StrEnum):
    """What becomes of a paused function's unfinished runs."""

    NOW = "now"
    LATER = "later"
    NEVER = "never"


class Pause(Answer):
    """A pause of a function."""

    id: str
    created_at: Time
    function_id: str
    running: Running
    after: str | None = Field(description="With `later`: when unfinished runs are cancelled.")
    status: State
    counts: CancelCounts
    requested_by: str
    reason: str | None


class FunctionSummary(Answer):
    """A function as it is now."""

    function_id: str = Field(description="Its slug.")
    app_id: str
    id: str
    version: int
    valid_from: Time
    definition: dict[str, Json]
    paused: bool
    unfinished: Counted = Field(description="Its unfinished runs, counted up to 10,000.")


class FunctionDetail(FunctionSummary):
    """A function with its versions, newest first, its rules, and its pause if there is one."""

    rules: list[Rule]
    versions: list[FunctionVersion]
    pause: Pause | None


class Change(Answer):
    """One field's value before and after."""

    field: str
    before: Json
    after: Json


class AppliedFunction(Answer):
    """What applying a definition changed, or would change."""

    function_id: str
    change: str = Field(description="new, changed or unchanged.")
    fields: list[Change]
    rules: list[Rule]
    definition: dict[str, Json]
    applied: bool = Field(description="False in a dry run.")


def find_pauses(connection: Connection, slugs: Sequence[str]) -> dict[str, RowMapping]:
    """The rows of the requests that paused some functions, by slug; without those not paused."""
    newest_first = (REQUESTS.c.received_at.desc(), REQUESTS.c.request_id.desc())
    rank = func.row_number().over(partition_by=REQUESTS.c.function_id, order_by=newest_first)
    kinds = REQUESTS.c.type.in_((requests.PAUSE, requests.RESUME))
    of_them = REQUESTS.c.function_id.in_(slugs)
    ranked = select(REQUESTS, rank.label("rank")).where(of_them, kinds).subquery()
    newest = connection.execute(select(ranked).where(ranked.c.rank == 1)).mappings()
    return {row["function_id"]: row for row in newest if row["type"] == requests.PAUSE}


def summary(version: Version, pause_row: RowMapping | None, unfinished: Counted) -> dict[str, Any]:
    """The fields of a function as it is now."""
    function = version.compiled.function
    return {
        "function_id": function.slug,
        "app_id": function.app,
        "id": function.id,
        "version": version.compiled.version,
        "valid_from": time_text(version.compiled.valid_from),
        "definition": as_document(function),
        "paused": pause_row is not None,
        "unfinished": unfinished,
    }


def version_answer(version: Version) -> FunctionVersion:
    """One version as an answer."""
    return FunctionVersion(
        version=version.compiled.version,
        valid_from=time_text(version.compiled.valid_from),
        semantics=version.compiled.function.semantics,
        deleted=version.deleted,
        definition=as_document(version.compiled.function),
        rules=rules(version.compiled.function),
    )


def rules(function: Function) -> list[Rule]:
    """How the cancel rules of a function find their runs."""
    return [_rule(report) for report in rule_reports(function)]


def applied(difference: Difference, *, dry_run: bool) -> AppliedFunction:
    """What applying a definition changed, as an answer."""
    fields = [
        Change(field=field.field, before=field.before, after=field.after)
        for field in difference.fields
    ]
    return AppliedFunction(
        function_id=difference.slug,
        change=difference.change.value,
        fields=fields,
        rules=[_rule(report) for report in difference.rules],
        definition=as_document(difference.function),
        applied=not dry_run,
    )


def pause_answer(row: Row, progress: Progress) -> Pause:
    """A pause from its request and progress."""
    body = codec.decode_json(row["body"].encode(), requests.PauseBody)
    later = Running(body.running) is Running.LATER
    return Pause(
        id=row["request_id"],
        created_at=time_text(row["at"]),
        function_id=body.function_id,
        running=Running(body.running),
        after=durations.format_duration(body.after) if later else None,
        status=progress.state,
        counts=progress.cancels(),
        requested_by=row["requested_by"],
        reason=row["reason"],
    )


def _rule(report: RuleReport) -> Rule:
    return Rule(
        index=report.index,
        event=report.event,
        expression=report.expression,
        indexed=report.indexed,
        keys=[list(paths) for paths in report.keys],
        evaluated=report.evaluated,
        compiled=report.compiled,
    )
