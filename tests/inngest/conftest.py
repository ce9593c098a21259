"""A backend, a bridge and apps of real SDKs, each a process."""

import json
import os
import subprocess
import urllib.error
import urllib.request
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple, Self

import orjson
import pytest

from streams.broker.ports import free_port
from streams.broker.process import GuardedProcess
from streams.kafka.producers import Sender
from streams.settings import Settings
from tests.inngest import kinds
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.services import Service
from tests.support.trees import ROOT
from tests.support.watch import Watch
from tests.support.worker import PATIENCE_S, Backend
from topology import topics
from topology.topics import TopicPlace

SIGNING_KEY: Final = "signkey-test-0123456789abcdef0123456789abcdef"


class Bridge(Service):
    """One `countermand inngest`."""

    def __init__(self, settings: Settings, folder: Path, *, number: int = 1, **extra: str) -> None:
        """Not started yet."""
        # Any step that goes on after a cancel overruns, so that `stopping` counts it.
        own = {"INPUTS": inputs(settings), "WORKER_OVERRUN": "1ms", **extra}
        super().__init__("inngest", settings, folder, number=number, extra=own)
        self._choose_port()

    @property
    def front(self) -> str:
        """Where apps find it."""
        return f"http://127.0.0.1:{self.port}"

    def join(self) -> Self:
        """Start it, and wait until it works."""
        self.start()
        eventually(self._is_at_work, PATIENCE_S)
        return self

    @property
    def stopping(self) -> int:
        """How many of its runs it knows to be cancelled, while a step of each goes on.

        `runs` shows a cancel before that: a step that ends in between may have another after it.
        """
        return int(self.metric("countermand_worker_overrunning_runs"))

    def _is_at_work(self) -> bool:
        if self.wait(0) is not None:
            said = "".join(self.last_words(20))
            # It takes seconds until it listens: another program may have been faster.
            assert "Can't listen on" in "".join(self.last_words(1)), said
            self._choose_port()
            self.start()
        return self.is_ready

    def _choose_port(self) -> None:
        self.port = free_port()
        self.configure(INNGEST_PORT=str(self.port))


def inputs(settings: Settings) -> str:
    """The inputs of routers, the cancelled events among them."""
    names = (topics.EVENTS, topics.CANCELS, topics.CANCELLED)
    return json.dumps([{"topic": settings.topic(spec)} for spec in names])


class SdkApp:
    """An app of an SDK, and what its steps wrote; a context manager."""

    def __init__(
        self, kind: str, bridge: Bridge, folder: Path, *, id_: str = "", **environment: str
    ) -> None:
        """Not started yet, and in development, unless the environment says something else."""
        self.id = id_ or unique_name(kind)
        self.folder = folder / unique_name(self.id)
        self.folder.mkdir()
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api/inngest"
        self._command = kinds.command(kind, self.folder)
        self._environment = (
            {name: text for name, text in os.environ.items() if not name.startswith("INNGEST_")}
            | {
                "APP": self.id,
                "GATES": str(self.folder),
                "MARKS": str(self.folder / "marks"),
                "PORT": str(self.port),
                "INNGEST_DEV": bridge.front,
                "PYTHONPATH": str(ROOT),
            }
            | kinds.environment(kind)
            | environment
        )
        self._process: GuardedProcess | None = None

    @property
    def origin(self) -> str:
        """Where it is, without a path."""
        return f"http://127.0.0.1:{self.port}"

    def configure(self, **environment: str) -> None:
        """Set more of its environment; counts from the next start on."""
        self._environment |= environment

    def start(self) -> Self:
        """Start it, and wait until it answers."""
        log = self.folder / "log"
        self._process = GuardedProcess(self._command, log, environment=self._environment)
        try:
            eventually(self._answers, PATIENCE_S)
        except BaseException:
            self.kill()
            raise
        return self

    def kill(self) -> None:
        """End it as a crash does."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()

    def open_gate(self, id_: str) -> None:
        """Let a held step end."""
        (self.folder / id_).touch()

    def marks(self, id_: str) -> list[str]:
        """What the steps of a run wrote, in order."""
        return [one["what"] for one in self.written() if one["id"] == id_]

    def written(self) -> list[dict[str, Any]]:
        """All that its steps wrote, in order; a line that isn't whole yet doesn't count."""
        path = self.folder / "marks"
        whole, _, _ = path.read_bytes().rpartition(b"\n") if path.exists() else (b"", b"", b"")
        return [orjson.loads(line) for line in whole.splitlines()]

    def until(self, id_: str, what: str) -> None:
        """Wait until a step wrote this."""
        eventually(lambda: what in self.marks(id_), PATIENCE_S)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.kill()

    def _answers(self) -> bool:
        assert self._process is not None
        code = self._process.wait(0)
        assert code is None, (self.folder / "log").read_text("utf-8")[-2_000:]
        try:
            with urllib.request.urlopen(self.url, timeout=5):  # noqa: S310  # our own
                return True
        except urllib.error.HTTPError as error:
            with error:
                return True  # in production it says nothing to strangers
        except OSError:
            return False


class Read(NamedTuple):
    """A record, and when it was written (ms)."""

    record: dict[str, Any]
    at: int


class Runs:
    """What `runs` shows, and events."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self._watch = Watch(settings)
        self._sender = Sender(settings)
        # By topic; each look reads only what has come since.
        self._read: defaultdict[str, list[Read]] = defaultdict(list)
        self._positions: Counter[TopicPlace] = Counter()

    def send(self, name: str, id_: str = "", **data: object) -> None:
        """Send an event."""
        event = {"name": name, "data": data} | ({"id": id_} if id_ else {})
        self._sender.send(self.settings.topic(topics.EVENTS), orjson.dumps(event))
        self._sender.flush()

    def records(self, topic: topics.TopicSpec) -> Sequence[Read]:
        """All committed records of a topic, each partition's in their order."""
        found = self._read[topic.name]
        for partition in self._watch.partitions:
            place = self.settings.topic(topic), partition
            for message in self._watch.read(place, self._positions[place]):
                found.append(Read(orjson.loads(message.value() or b"{}"), message.timestamp()[1]))
                self._positions[place] = message.offset() + 1
        return found

    def of(self, function: str, key: str, value: str) -> list[dict[str, Any]]:
        """The records of the runs of a function whose event has this, in their order."""
        return [run for run in self._all(function) if run["event"]["data"].get(key) == value]

    def stories(self, function: str, key: str) -> dict[str, list[dict[str, Any]]]:
        """The records of each run of a function, in order, by a field of its event's data."""
        found = defaultdict(list)
        for run in self._all(function):
            found[run["event"]["data"][key]].append(run)
        return found

    def _all(self, function: str) -> Iterator[dict[str, Any]]:
        for one in self.records(topics.RUNS):
            if one.record.get("function_id") == function:
                yield one.record

    def reaches(self, function: str, key: str, value: str, status: str) -> dict[str, Any]:
        """The newest record of the run, once it has this status."""

        def look() -> dict[str, Any]:
            newest: dict[str, Any] = next(reversed(self.of(function, key, value)), {})
            return newest if newest.get("status") == status else {}

        return eventually(look, PATIENCE_S)

    def stops(self, function: str, key: str, value: str) -> dict[str, Any]:
        """The newest record of the run, once it is cancelled and nobody executes it."""

        def look() -> dict[str, Any]:
            newest: dict[str, Any] = next(reversed(self.of(function, key, value)), {})
            return newest if newest.get("stopped_at") else {}

        return eventually(look, PATIENCE_S)

    def steps(self, function: str, key: str, value: str) -> Iterator[dict[str, Any]]:
        """What is recorded of the calls for a run, in order."""
        newest: dict[str, Any] = next(reversed(self.of(function, key, value)), {})
        for one in self.records(topics.STEPS):
            if newest and one.record.get("run_id") == newest["run_id"]:
                yield one.record

    def failing(self, function: str, key: str, value: str, text: str) -> None:
        """Wait until a call for a run was recorded as failed, with this in its error."""

        def look() -> bool:
            results = (str(one.get("result")) for one in self.steps(function, key, value))
            return any("error" in result and text in result for result in results)

        eventually(look, PATIENCE_S)

    def close(self) -> None:
        """Stop watching."""
        self._watch.close()


@contextmanager
def at_work(bootstrap: str, folder: Path) -> Iterator[Backend]:
    """Router and joiner, which read cancelled events too."""
    found = Backend(bootstrap, folder)
    for one in (found.router, found.joiner):
        one.configure(INPUTS=inputs(found.settings))
    try:
        found.start()
        yield found
    finally:
        found.close()


@contextmanager
def joined(bridge: Bridge) -> Iterator[Bridge]:
    """A bridge that works, and ends in order."""
    try:
        yield bridge.join()
    finally:
        bridge.end()


@pytest.fixture(scope="module")
def backend(kafka: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Backend]:
    """One for the tests of a module: bridges run every app that it knows, and events start runs."""
    with at_work(kafka, tmp_path_factory.mktemp("inngest")) as found:
        yield found


@pytest.fixture(scope="module")
def bridge(backend: Backend) -> Iterator[Bridge]:
    """A bridge in development."""
    with joined(Bridge(backend.settings, backend.folder)) as found:
        yield found


@pytest.fixture(scope="module")
def runs(backend: Backend) -> Iterator[Runs]:
    """What can be seen of runs."""
    found = Runs(backend.settings)
    yield found
    found.close()


def cloud(bridge: Bridge, event_key: str, signing_key: str = SIGNING_KEY) -> dict[str, str]:
    """What an app has in production."""
    return {
        "INNGEST_DEV": "",  # Go takes any other text for development
        "INNGEST_BASE_URL": bridge.front,
        "INNGEST_EVENT_KEY": event_key,
        "INNGEST_SIGNING_KEY": signing_key,
        "NODE_ENV": "production",
    }


def put(url: str) -> dict[str, Any]:
    """What an app answers to a deploy hook, which tells it to register itself."""
    request = urllib.request.Request(url, method="PUT")  # noqa: S310  # our own
    with urllib.request.urlopen(request, timeout=60) as answer:  # noqa: S310  # our own
        found: dict[str, Any] = orjson.loads(answer.read())
    return found


def sync(bridge: Bridge, app: SdkApp, *more: str) -> "subprocess.CompletedProcess[str]":
    """`countermand inngest sync`, with a bridge's settings."""
    return bridge.command("inngest", "sync", *more, app.url)
