"""The `curl` call that does what a page did, quoted for a shell."""

import shlex
from typing import Final

import orjson

from streams.dashboard.calls import ApiCall

_KEY: Final = '"Authorization: Bearer $COUNTERMAND_API_KEY"'


def curl(call: ApiCall, origin: str) -> str | None:
    """The command of a call; None where a field has a control character, which a shell may obey."""
    words = [f"curl -H {_KEY}"]
    if call.method != "GET":
        words.append(f"-X {call.method}")
    if call.body is not None:
        given = {name: value for name, value in call.body.items() if value is not None}
        words.append("-H 'Content-Type: application/json'")
        words.append(f"-d {shlex.quote(orjson.dumps(given).decode())}")
    words.append(shlex.quote(origin + call.target))
    command = " ".join(words)
    return command if command.isprintable() else None
