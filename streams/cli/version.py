"""`countermand version`: the versions of Countermand and of what it stands on."""

from importlib.metadata import version as installed

from streams.cli import options
from streams.cli.console import json_out, out
from streams.metrics import installed_version


def version(*, json: options.Json = False) -> None:
    """Print the version, and those of what it stands on."""
    parts = ("faust-streaming", "aiokafka", "confluent-kafka", "rocksdict", "cel-python")
    versions = {"countermand": installed_version()} | {name: installed(name) for name in parts}
    if json:
        json_out(versions)
        return
    for name, number in versions.items():
        out(f"{name} {number}")
