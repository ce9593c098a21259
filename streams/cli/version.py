"""`countermand version`: the versions of Countermand and of what it stands on."""

from streams.cli import options
from streams.cli.console import json_out, out
from streams.versions import versions


def version(*, json: options.Json = False) -> None:
    """Print the version, and those of what it stands on."""
    found = versions()
    if json:
        json_out(found)
        return
    for name, number in found.items():
        out(f"{name} {number}")
