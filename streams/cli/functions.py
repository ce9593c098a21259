"""`countermand functions`: apply definitions with their diff, list them, delete one."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Final

import typer

from streams.cli import options
from streams.cli.console import confirm, json_out, out, say, table
from streams.cli.settings import load_settings
from streams.errors import RefusedError
from streams.functions import definition, writer
from streams.functions.changes import Difference, FieldChange, RuleReport
from streams.functions.definition import as_document
from streams.functions.registry import Version
from streams.functions.writer import apply_functions, delete_function, plan_functions
from streams.kafka import clients
from topology.records import Function
from topology.topics import FUNCTIONS

app = typer.Typer(help="Functions and their cancel rules.", no_args_is_help=True)
_STDIN: Final = "-"
_SIGNS: Final = {"new": "+", "changed": "~", "unchanged": "="}

Files = Annotated[list[str], typer.Option("--file", "-f", help="YAML or JSON file; - for stdin.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the difference; change nothing.")]
Slug = Annotated[str, typer.Argument(help="The function: <app>-<id>.")]


@app.command()
def apply(
    file: Files,
    *,
    dry_run: DryRun = False,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Apply definitions; events produced after this returns are routed by them."""
    functions = _read(file)
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    config, topic = clients.librdkafka(settings, log_level=0), settings.topic(FUNCTIONS)
    removed = 0
    differences = plan_functions(config, topic, functions)
    if not json:
        show(differences)
    if not dry_run:
        applied = apply_functions(config, topic, functions)
        differences, removed = applied.differences, applied.removed
    changed = sum(difference.change.value != "unchanged" for difference in differences)
    if json:
        listed = [_difference_json(difference) for difference in differences]
        json_out({"functions": listed, "applied": not dry_run, "versions_removed": removed})
    else:
        say(f"{changed} of {len(differences)} functions {'differ' if dry_run else 'applied'}")


@app.command(name="list")
def list_functions(
    *,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """List the newest version of every function."""
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    found = writer.list_functions(
        clients.librdkafka(settings, log_level=0), settings.topic(FUNCTIONS)
    )
    if json:
        json_out({"functions": [_version_json(version) for version in found]})
        return
    if found:
        columns = ("function", "version", "triggers", "cancelled by")
        table("", columns, [_version_row(version) for version in found])
    say(f"{len(found)} functions")


@app.command()
def delete(
    slug: Slug,
    *,
    yes: options.Yes = False,
    json: options.Json = False,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
) -> None:
    """Delete a function: it starts no more runs, and pending ones stay cancellable."""
    settings = load_settings(bootstrap_servers=bootstrap_servers, topic_prefix=topic_prefix)
    if not confirm(f"Delete {slug}? It starts no more runs", yes=yes):
        raise RefusedError(f"{slug} was not deleted: add --yes to go ahead")
    delete_function(clients.librdkafka(settings, log_level=0), settings.topic(FUNCTIONS), slug)
    if json:
        json_out({"deleted": slug})
    else:
        say(f"{slug} deleted")


def _read(files: list[str]) -> tuple[Function, ...]:

    if _STDIN in files:
        if len(files) > 1:
            raise typer.BadParameter("stdin can't stand beside files", param_hint="--file")
        return definition.read_text(sys.stdin.read(), "stdin")
    return definition.read_files(Path(file) for file in files)


def rule_text(rule: RuleReport) -> str:
    """How a rule finds its runs, in words."""
    if rule.expression is None:
        return "cancels every run: asks every partition"
    if not rule.indexed:
        return f"scans every run of the function: {rule.expression}"
    keys = " or ".join(" + ".join(paths) for paths in rule.keys)
    rest = ""
    if rule.evaluated:
        rest = ", then evaluates" + ("" if rule.compiled else " with the slower interpreter")
    return f"indexed by {keys}{rest}: {rule.expression}"


def show(differences: Sequence[Difference]) -> None:
    """Each function's difference: fields that changed, then how each rule matches."""
    for difference in differences:
        out(f"{_SIGNS[difference.change.value]} {difference.slug} ({difference.change.value})")
        for field in difference.fields:
            out(f"    {_field_text(field)}")
        if difference.fields:
            for rule in difference.rules:
                out(f"    rule {rule.index} on {rule.event}: {rule_text(rule)}")


def _field_text(field: FieldChange) -> str:
    if field.before is None:
        return f"+ {field.field}: {field.after}"
    if field.after is None:
        return f"- {field.field}: {field.before}"
    return f"~ {field.field}: {field.before} -> {field.after}"


def _difference_json(difference: Difference) -> dict[str, Any]:
    return {
        "function_id": difference.slug,
        "change": difference.change.value,
        "fields": [
            {"field": field.field, "before": field.before, "after": field.after}
            for field in difference.fields
        ],
        "rules": [
            {
                "index": rule.index,
                "event": rule.event,
                "expression": rule.expression,
                "indexed": rule.indexed,
                "keys": rule.keys,
                "evaluated": rule.evaluated,
                "compiled": rule.compiled,
            }
            for rule in difference.rules
        ],
    }


def _version_json(version: Version) -> dict[str, Any]:

    compiled = version.compiled
    return {
        "function_id": compiled.slug,
        "version": compiled.version,
        "valid_from": compiled.valid_from,
        "definition": as_document(compiled.function),
    }


def _version_row(version: Version) -> list[str]:
    function = version.compiled.function
    triggers = ", ".join(trigger.event for trigger in function.triggers)
    rules = ", ".join(rule.event for rule in function.cancel_on)
    return [version.compiled.slug, str(version.compiled.version), triggers, rules]
