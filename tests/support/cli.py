"""The command line in tests: run in this process, with no settings but those given."""

import json
import os
from typing import Any

from typer.testing import CliRunner, Result

from streams.cli.app import app


def run(*arguments: str, stdin: str | None = None, **settings: str) -> Result:
    """Run `countermand` with `COUNTERMAND_<NAME>` variables and nothing of the developer's."""
    env: dict[str, str | None] = {
        name: None for name in os.environ if name.startswith("COUNTERMAND_")
    }
    env |= {f"COUNTERMAND_{name.upper()}": value for name, value in settings.items()}
    env |= {"NO_COLOR": "1", "TERM": "dumb", "COLUMNS": "200"}
    return CliRunner().invoke(app, list(arguments), input=stdin, env=env)


def json_of(result: Result) -> Any:
    """The one JSON value on stdout of a command that went well."""
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def json_lines(result: Result) -> list[Any]:
    """The JSON values on stdout, one per line."""
    return [json.loads(line) for line in result.stdout.splitlines()]
