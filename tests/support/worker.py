"""Workers as processes, the runs of an app of a test alone, and what can be seen of them."""

from collections import Counter, defaultdict
from collections.abc import Callable, Collection, Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple, Self, TypeVar

import orjson

from streams.kafka.producers import Sender
from streams.kafka.topics import create_topics
from streams.settings import Settings, load
from tests.support import worker_app
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.services import JOINER, ROUTER, Service
from tests.support.watch import Watch
from topology import topics

T = TypeVar("T")
PATIENCE_S: Final = 90
ENDED: Final = {"completed", "failed", "cancelled"}


class Mark(NamedTuple):
    """What a run's code wrote down; `at` is the machine's monotonic time."""

    work: str
    what: str
    pid: int
    at: int
    fields: dict[str, Any]

    @property
    def step(self) -> str:
        """The step that began or ended."""
        return str(self.fields["step"])

    @property
    def attempt(self) -> int:
        """The attempt that did it."""
        return int(self.fields["attempt"])


class _Record(NamedTuple):
    partition: int
    offset: int
    key: bytes
    value: bytes | None


class Kept(NamedTuple):
    """A record of `runs`, and where it lies."""

    partition: int
    offset: int
    record: dict[str, Any]


class Backend:
    """Router and joiner as processes, on topics of their own."""

    def __init__(self, bootstrap: str, folder: Path, **security: str) -> None:
        """Nothing is started yet; `security` are settings by which clients log in."""
        name = unique_name("worker")
        self.settings: Settings = load(
            **security,
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"{name}.",
            application_id=name,
            partitions=2,
        )
        self.folder = folder
        self.router, self.joiner = (
            Service(role, self.settings, folder) for role in (ROUTER, JOINER)
        )

    def start(self) -> None:
        """Make the topics, start both, and wait until they work."""
        create_topics(self.settings)
        both = self.router, self.joiner
        for one in both:
            one.start()
        eventually(lambda: all(one.is_ready for one in both), PATIENCE_S)

    def close(self) -> None:
        """End both."""
        self.router.end()
        self.joiner.end()


class Worker(Service):
    """One `countermand worker`."""

    def __init__(  # noqa: PLR0913  # what makes a worker
        self,
        settings: Settings,
        folder: Path,
        *,
        number: int,
        app: str,
        lease: str,
        extra: Mapping[str, str],
    ) -> None:
        super().__init__("worker", settings, folder, number=number, extra=extra)
        self._environment |= {"TEST_APP": app, "TEST_LEASE": lease}

    def join(self) -> None:
        """Wait until it has joined; fail with its last words if it ends."""
        eventually(self._has_joined, PATIENCE_S)

    def _has_joined(self) -> bool:
        assert self.wait(0) is None, self.log.read_text("utf-8")[-2_000:]
        return self.is_ready

    def _arguments(self) -> list[str]:
        return ["worker", "tests.support.worker_app:app"]


class Shop:
    """An app of its own on a backend, with workers; a context manager."""

    def __init__(self, backend: Backend, *, lease: str = "60s") -> None:
        """No worker runs yet; `lease` is every function's."""
        self.app = unique_name("shop")
        self.settings = backend.settings
        self.folder = backend.folder / self.app
        self.folder.mkdir()
        self._watch = Watch(self.settings)
        self._lease = lease
        self._sender = Sender(self.settings)
        self._workers: list[Worker] = []
        self._events: dict[str, dict[str, Any]] = {}
        self._records: defaultdict[str, list[_Record]] = defaultdict(list)
        self._positions: Counter[tuple[str, int]] = Counter()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        for one in self._workers:
            one.kill()
        self._watch.close()

    # Workers

    def worker(self, number: int = 1, **settings: str) -> Worker:
        """A worker that isn't started yet; `settings` in the environment's upper case."""
        one = Worker(
            self.settings,
            self.folder,
            number=number,
            app=self.app,
            lease=self._lease,
            extra=settings,
        )
        self._workers.append(one)
        return one

    def start(self, number: int = 1, crash_at: str = "", **settings: str) -> Worker:
        """A worker that has started and joined."""
        one = self.worker(number, **settings)
        one.start(crash_at)
        one.join()
        return one

    def register(self) -> None:
        """Register the functions, by a worker that ends again."""
        self.start(99).end()

    # Events

    def request(self, work: str, *plan: str, function: str = "work", **data: object) -> None:
        """Ask for a run of a plan (`worker_app`)."""
        self._events[work] = {
            "work": work,
            "folder": str(self.folder),
            "plan": plan,
            **data,
        }
        event = {"name": f"{self.app}/{function}", "id": self._id(work), "data": self._events[work]}
        self._send(topics.EVENTS, event)

    def cancel(self, work: str) -> None:
        """Ask for a work to be cancelled."""
        self._send(topics.CANCELS, {"name": f"{self.app}/cancelled", "data": {"work": work}})

    def open_gate(self, work: str) -> None:
        """Let a work's held steps end."""
        worker_app.gate_of(self._events[work]).touch()

    def _send(self, topic: topics.TopicSpec, event: dict[str, Any]) -> None:
        self._sender.send(self.settings.topic(topic), orjson.dumps(event))
        self._sender.flush()

    def _id(self, work: str) -> str:
        return f"{self.app}/{work}"

    # What can be seen

    def marks(self, work: str | None = None, *whats: str) -> list[Mark]:
        """What the code of runs wrote, in the order in which it did."""
        path = self.folder / worker_app.MARKS
        whole, _, _ = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
        found = [
            Mark(one.pop("work"), one.pop("what"), one.pop("pid"), one.pop("at"), one)
            for one in map(orjson.loads, whole.splitlines())
        ]
        return [
            one for one in found if work in (None, one.work) and (not whats or one.what in whats)
        ]

    def begun(self, work: str) -> list[str]:
        """The steps that were executed, in order."""
        return [one.step for one in self.marks(work, "begin")]

    def kept(self) -> Iterator[Kept]:
        """The records of this app's runs."""
        for message in self._read("runs"):
            record = _parsed(message.value)
            if record.get("app_id") == self.app:
                yield Kept(message.partition, message.offset, record)

    def history(self, work: str) -> list[dict[str, Any]]:
        """The records of a work's run, in order."""
        wanted = self._id(work)
        return [one.record for one in self.kept() if one.record["event"]["id"] == wanted]

    def run(self, work: str) -> dict[str, Any]:
        """The newest record of a work's run; empty where there is none."""
        return next(reversed(self.history(work)), {})

    def updates(self) -> list[dict[str, Any]]:
        """The words of all workers, as committed."""
        return [orjson.loads(one.value or b"") for one in self._read("run-updates")]

    def steps(self) -> dict[str, list[dict[str, Any] | None]]:
        """What was written of each step, by `<run id>/<step>`; None where it was removed."""
        found = defaultdict(list)
        for _, _, key, value in self._read("steps"):
            found[key.decode()].append(None if value is None else orjson.loads(value))
        return found

    def recorded(self, work: str) -> dict[str, dict[str, Any]]:
        """The outcomes of a work's steps that were ever recorded; each at most once."""
        run_id = self.run(work)["run_id"]
        outcomes = {}
        for key, values in self.steps().items():
            owner, _, step = key.partition("/")
            written = [one for one in values if one is not None]
            if owner == run_id and written:
                assert len(written) == 1, f"{key} was recorded {len(written)} times"
                outcomes[step] = written[0]
        return outcomes

    def _read(self, topic: str) -> list[_Record]:
        """All that is committed; what was read before isn't read again."""
        found = self._records[topic]
        for partition in self._watch.partitions:
            place = self.settings.topic_prefix + topic, partition
            for one in self._watch.read(place, self._positions[place]):
                found.append(_Record(partition, one.offset(), one.key(), one.value()))
                self._positions[place] = one.offset() + 1
        return found

    # Waiting

    def until(self, look: Callable[[], T]) -> T:
        """Wait until the answer is truthy."""
        return eventually(look, PATIENCE_S)

    def reaches(self, work: str, *statuses: str) -> dict[str, Any]:
        """A work's run, once it has one of these statuses."""

        def look() -> dict[str, Any]:
            found = self.run(work)
            return found if found.get("status") in statuses else {}

        return self.until(look)

    def all_reach(self, works: Collection[str], *statuses: str) -> None:
        """Wait until every work's run has one of these statuses."""
        wanted = {self._id(work) for work in works}

        def look() -> bool:
            newest = {one.record["event"]["id"]: one.record["status"] for one in self.kept()}
            return all(newest.get(event) in statuses for event in wanted)

        self.until(look)

    def stops(self, work: str) -> dict[str, Any]:
        """A work's run, once it is cancelled and its worker has left it."""

        def look() -> dict[str, Any]:
            found = self.run(work)
            return found if found.get("stopped_at") else {}

        found = self.until(look)
        assert found["status"] == "cancelled"
        return found

    def is_cleaned(self, work: str) -> None:
        """Wait until a work's cleanup was called."""
        self.until(lambda: self.marks(work, "cleanup"))

    def begins(self, work: str, step: str) -> None:
        """Wait until a step of a work is executed."""
        self.until(lambda: step in self.begun(work))

    def sleeps_in_worker(self, work: str, step: str) -> None:
        """Wait until a sleep in the worker was recorded."""
        self.until(lambda: step in self.recorded(work) if self.run(work) else {})


def _parsed(value: bytes | None) -> dict[str, Any]:
    """The object of a record; empty where it is none."""
    try:
        found = orjson.loads(value or b"")
    except orjson.JSONDecodeError:
        return {}
    return found if isinstance(found, dict) else {}


def check_attempts(shop: Shop) -> None:
    """Each attempt of a run was one worker's alone, by `runs` and by who executed its steps."""
    holders, doers = defaultdict(set), defaultdict(set)
    for _, _, record in shop.kept():
        if record["status"] == "running":
            holders[record["run_id"], record["attempt"]].add(record["worker"])
    for mark in shop.marks(None, "begin"):
        doers[mark.work, mark.attempt].add(mark.pid)
    assert {key: found for key, found in holders.items() if len(found) > 1} == {}
    assert {key: found for key, found in doers.items() if len(found) > 1} == {}


def check_steps(shop: Shop) -> None:
    """No step was recorded twice, nor executed by an attempt after the one that recorded it."""
    works = {one.record["run_id"]: one.record["event"]["data"]["work"] for one in shop.kept()}
    recorded: dict[tuple[str, str], int] = {}
    for key, values in shop.steps().items():
        run_id, _, step = key.partition("/")
        written = [one for one in values if one is not None]
        if run_id in works and written:
            assert len(written) == 1, f"{key} was recorded {len(written)} times"
            recorded[works[run_id], step] = written[0]["attempt"]
    begun = [(one.work, one.step, one.attempt) for one in shop.marks(None, "begin")]
    assert [one for one in begun if one[2] > recorded.get(one[:2], one[2])] == []
    assert len(begun) == len(set(begun)), "an attempt executed a step twice"
