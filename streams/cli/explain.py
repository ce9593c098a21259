"""`countermand explain`: what a run waits for, why it ended, and what an event would do to it."""

import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import orjson
import typer

from streams.cli import options
from streams.cli.client import ApiClient, Document, open_client, path_of
from streams.cli.console import fields, json_out, out, say
from streams.cli.repeats import asks_for_repeats, repeated
from streams.cli.runs import UNFINISHED, RunId, why
from streams.cli.settings import load_settings
from streams.clock import now_ms
from streams.durations import format_duration, format_instant, parse_instant
from streams.errors import KafkaRefusedError, NotFoundError, RefusedError, UnreachableError
from streams.functions.compiled import CompiledFunction
from streams.functions.explain import (
    First,
    KeyValue,
    ListeningRule,
    Subject,
    Verdict,
    compile_version,
    judge,
    listening,
)
from streams.router.inputs import read_event
from streams.router.record import Event, Record, RecordHeaders, Rejection
from topology import keys

_STDIN: Final = "-"

EventFile = Annotated[
    str | None,
    typer.Option("--event", help="Judge this event, a JSON file or - for stdin, as sent now."),
]


def explain(
    run_id: RunId,
    *,
    event: EventFile = None,
    json: options.Json = False,
    api_url: options.ApiUrl = None,
    api_key: options.ApiKey = None,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Say what cancels a run: its rules, the values they wait for, until when, and its cause.

    With --event also what each rule says to a cancel event that is sent now.
    """
    now = now_ms()
    cancel = None if event is None else _read_event(event, now)
    kafka = {"bootstrap_servers": bootstrap_servers, "topic_prefix": topic_prefix}
    with open_client(api_url, api_key) as client:
        run = client.get(path_of("runs", run_id))["data"]
        function = _version(client, run)
    subject = _subject(run)
    rules = listening(function, subject)
    verdicts: tuple[Verdict, ...] = ()
    if cancel is not None:
        received = max(now, subject.received)  # clocks differ, but what is sent now comes later
        firsts = _firsts(function, run_id, cancel, received, kafka)
        verdicts = judge(function, subject, cancel.document, received, firsts)
    if json:
        json_out(_as_json(run, function, rules, verdicts))
    else:
        _show(run, function, subject, rules)
        if cancel is not None:
            _show_verdicts(cancel.name, verdicts)


def _read_event(file: str, now: int) -> Event:
    """The event of a file, completed as a router does.

    Raises:
        NotFoundError: The file can't be read.
        RefusedError: The file holds no event.
    """
    try:
        value = sys.stdin.buffer.read() if file == _STDIN else Path(file).read_bytes()
    except OSError as error:
        raise NotFoundError(f"Can't read {file}: {error.strerror}") from None
    found = read_event(Record(file, 0, 0, now, value=value, headers=_headers(value)))
    if isinstance(found, Rejection):
        raise RefusedError(f"{file} is no event: {found.message}")
    return found


def _headers(value: bytes) -> RecordHeaders | None:
    """Those that a CloudEvent would have on its way to a router."""
    is_cloud_event = b'"specversion"' in value
    return [("content-type", b"application/cloudevents+json")] if is_cloud_event else None


def _firsts(
    function: CompiledFunction,
    run_id: str,
    cancel: Event,
    received: int,
    kafka: dict[str, str | None],
) -> Mapping[int, First]:
    """What the event repeats, for rules with `dedupe`: joiners have noted it in Kafka."""
    if cancel.id_of_place or not asks_for_repeats(function, cancel.document):
        return {}
    settings = load_settings(**kafka)
    try:
        return repeated(settings, function, keys.run_id_bytes(run_id), cancel, received)
    except (UnreachableError, NotFoundError, KafkaRefusedError) as error:
        say(f"whether {cancel.id} is a repeat (dedupe) isn't known: {error}")
        return {}


def _subject(run: Document) -> Subject:

    received = parse_instant(run["run_started_at"])
    return Subject(run["event"], received, run["status"] not in UNFINISHED)


def _version(client: ApiClient, run: Document) -> CompiledFunction:
    """The version that a run was registered with, also if its function was deleted.

    Raises:
        NotFoundError: The version is kept no more.
    """
    slug, number = run["function_id"], run["function_version"]
    found = client.find(path_of("functions", slug), {"deleted": True}) or {"versions": []}
    for version in found["versions"]:
        if version["version"] == number:
            return compile_version(slug, number, version["definition"], version.get("semantics", 1))
    raise NotFoundError(f"Version {number} of {slug} is kept no more: its rules aren't known")


def _show(
    run: Document,
    function: CompiledFunction,
    subject: Subject,
    rules: tuple[ListeningRule, ...],
) -> None:
    expires = format_instant(subject.received + function.function.pending_for_ms)
    fields(
        [
            ("run", run["run_id"]),
            ("function", f"{function.slug} (version {function.version})"),
            ("event", f"{run['event']['name']} {run['event_id']}"),
            ("received", run["run_started_at"]),
            ("status", run["status"]),
            ("ended", run["ended_at"]),
            ("why", why(run)),
            ("by event", _place((run["cause"] or {}).get("event"))),
            ("timeouts", _timeouts(function)),
            ("waits until", None if subject.ended else f"it ends, at the latest {expires}"),
        ]
    )
    if not rules:
        say("no cancel rules: only a request or a timeout can cancel it")
    for rule in rules:
        out(f"rule {rule.index} on {rule.event}: {rule.expression or 'every run'}")
        for text in _waits_for(rule):
            out(f"    {text}")


def _place(event: Document | None) -> str:
    """Which event cancelled a run, and its place in Kafka."""
    if event is None:
        return ""
    return f"{event['id']} ({event['topic']}, partition {event['partition']}, {event['offset']})"


def _timeouts(function: CompiledFunction) -> str:

    own = function.function
    timeouts = {"start": own.start_timeout_ms, "finish": own.finish_timeout_ms}
    return ", ".join(f"{name} {format_duration(ms)}" for name, ms in timeouts.items() if ms)


def _waits_for(rule: ListeningRule) -> list[str]:
    """What a rule waits for, one line per branch, and until when."""
    lines = [" and ".join(_key_text(key) for key in branch) for branch in rule.keys]
    if not rule.can_match:
        lines.append("can never match: the run's event has no value there")
    if rule.until is not None:
        lines.append(f"until {format_instant(rule.until)}")
    return lines


def _key_text(key: KeyValue) -> str:
    value = "nothing" if key.value is None else orjson.dumps(key.value).decode()
    return f"{key.async_path} == {value} (its {key.event_path})"


def _show_verdicts(name: str, verdicts: tuple[Verdict, ...]) -> None:
    """Print for each rule whether it matches the event."""
    for verdict in verdicts:
        if verdict.matches:
            out(f"rule {verdict.index} matches {name}: it would cancel the run")
        for reason in verdict.reasons:
            out(f"rule {verdict.index} doesn't match {name}: {reason.text}")
    if not any(verdict.matches for verdict in verdicts):
        say(f"{name} would not cancel the run")


def _as_json(
    run: Document,
    function: CompiledFunction,
    rules: tuple[ListeningRule, ...],
    verdicts: tuple[Verdict, ...],
) -> Document:

    shown = [
        asdict(rule) | {"until": None if rule.until is None else format_instant(rule.until)}
        for rule in rules
    ]
    return {
        "run": run,
        "function_version": function.version,
        "rules": shown,
        "verdicts": [
            {
                "index": verdict.index,
                "matches": verdict.matches,
                "reasons": [
                    {"why": reason.why.value, "text": reason.text} for reason in verdict.reasons
                ],
            }
            for verdict in verdicts
        ],
    }
