"""Rewrite kafka-streams.lock from the roots below: `python -m tests.bench.peers.relock`."""

import sys
import tempfile
from pathlib import Path

from streams.broker.lock import render
from streams.broker.relock import resolve
from tests.bench.peers.kafka_streams import LOCK

# The version of the local broker.
ROOTS = ("org.apache.kafka:kafka-streams:4.1.1", "org.slf4j:slf4j-simple:1.7.36")


def main() -> None:
    """Write the lock next to this module."""
    header = "".join(
        line
        for line in LOCK.read_text(encoding="utf-8").splitlines(keepends=True)
        if line.startswith("#")
    )
    with tempfile.TemporaryDirectory() as folder:
        jars = resolve(ROOTS, Path(folder))
    LOCK.write_text(header + render(jars), encoding="utf-8")
    sys.stderr.write(f"locked {len(jars)} jars in {LOCK.name}\n")


if __name__ == "__main__":
    main()
