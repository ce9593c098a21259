"""What every measurement starts from: one broker, one folder, names that no two share."""

import itertools
import shutil
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # not in __all__

from streams.broker import LocalBroker, prepare
from tests.bench.deployment import PARTITIONS, Deployment
from tests.bench.load import FUNCTIONS
from topology.records import Function

_ADMIN_S = 30.0


@dataclass(frozen=True)
class Bench:
    """A running broker and a folder for everything that is measured on it."""

    broker: str
    broker_pid: int
    folder: Path
    prefix: str = ""
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    def name(self, stem: str) -> str:
        """A name that nothing else here has, nor contains."""
        return f"{self.prefix}{stem}-{next(self._numbers):03}"

    @contextmanager
    def deployment(
        self,
        functions: Sequence[Function] = FUNCTIONS,
        launchers: Mapping[str, Sequence[str]] | None = None,
        tree: Path | None = None,
        partitions: int = PARTITIONS,
    ) -> Iterator[Deployment]:
        """A fresh application, of which nothing is left afterwards; see `Deployment`."""
        name = self.name("app")
        with Deployment(
            self.broker, self.folder, name, functions, launchers, tree, partitions
        ) as app:
            yield app
        self.forget(name)

    def topic(self, stem: str) -> str:
        """Make a topic with as many partitions as everybody's; its name."""
        name = self.name(stem)
        admin = AdminClient({"bootstrap.servers": self.broker})
        admin.create_topics([NewTopic(name, PARTITIONS, 1)])[name].result(_ADMIN_S)
        return name

    def forget(self, *names: str) -> None:
        """Delete topics and files that are over, so that the broker has nothing to do for them."""
        admin = AdminClient({"bootstrap.servers": self.broker})
        found = admin.list_topics(timeout=_ADMIN_S).topics
        over = [topic for topic in found if any(name in topic for name in names)]
        if over:
            for future in admin.delete_topics(over).values():
                future.result(_ADMIN_S)
        for name in names:
            shutil.rmtree(self.folder / name, ignore_errors=True)


@contextmanager
def local_bench() -> Iterator[Bench]:
    """A bench on a local broker, with everything in a temporary folder."""
    prepare()
    with (
        tempfile.TemporaryDirectory(prefix="countermand-bench-") as folder,
        LocalBroker(Path(folder) / "broker-data") as broker,
    ):
        yield Bench(broker.bootstrap_servers, broker.pid, Path(folder))
