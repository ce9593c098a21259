"""The peers by name: how each is started on one joined topic."""

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final, NamedTuple

from tests.bench.deployment import PARTITIONS
from tests.bench.peers import environment, kafka_streams

_HERE: Final = Path(__file__).parent


class Contest(NamedTuple):
    """Where a peer works: the broker, its input, its output, a folder and a consumer group."""

    broker: str
    topic: str
    output: str
    folder: Path
    group: str

    @property
    def arguments(self) -> list[str]:
        """What every peer is told, in this order."""
        return [self.broker, self.topic, self.output, str(self.folder / "state"), self.group]


def _quix(contest: Contest) -> list[str]:
    return [str(environment.python()), str(_HERE / "quix_join.py"), *contest.arguments]


def _faust(contest: Contest) -> list[str]:
    command = [sys.executable, str(_HERE / "faust_join.py"), *contest.arguments]
    return [*command, str(PARTITIONS)]


def _kafka_streams(contest: Contest) -> list[str]:
    return kafka_streams.command(contest.folder, contest.arguments)


PEERS: Final[Mapping[str, Callable[[Contest], list[str]]]] = {
    "quix": _quix,
    "faust": _faust,
    "kafka_streams": _kafka_streams,
}


def why_not(peer: str) -> str | None:
    """Why a peer can't run on this machine, or None."""
    return kafka_streams.why_not() if peer == "kafka_streams" else None
