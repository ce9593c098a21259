"""The peers by name: how each is started on one joined topic.

Kafka Streams has a thread for each partition. Quix Streams, which computes on one core, has a
process for each. Faust has one process: when a second joins, the first repeats what it had not
committed, which at-least-once allows, and then runs are cancelled twice.
"""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.deployment import PARTITIONS
from tests.bench.peers import kafka_streams
from tests.support.environments import interpreter

_HERE: Final = Path(__file__).parent


class Contest(NamedTuple):
    """Where a peer works: the broker, its input, its output, a folder and a consumer group."""

    broker: str
    topic: str
    output: str
    folder: Path
    group: str

    def arguments(self, process: int) -> list[str]:
        """What a peer's process of this number is told, in this order."""
        state = str(self.folder / f"state-{process}")
        return [self.broker, self.topic, self.output, state, self.group]


def _quix(contest: Contest) -> list[list[str]]:
    python = interpreter(".venv-peers", _HERE / "requirements.lock")
    command = [str(python), str(_HERE / "quix_join.py")]
    return [[*command, *contest.arguments(process)] for process in range(PARTITIONS)]


def _faust(contest: Contest) -> list[list[str]]:
    command = [sys.executable, str(_HERE / "faust_join.py")]
    return [[*command, *contest.arguments(0), str(PARTITIONS)]]


def _kafka_streams(contest: Contest) -> list[list[str]]:
    return [kafka_streams.command(contest.folder, contest.arguments(0))]


# The command line of each process.
PEERS: Final[Mapping[str, Callable[[Contest], list[list[str]]]]] = {
    "quix": _quix,
    "faust": _faust,
    "kafka_streams": _kafka_streams,
}


def why_not(peer: str) -> str | None:
    """Why a peer can't run on this machine, or None."""
    return kafka_streams.why_not() if peer == "kafka_streams" else None
