"""Countermand and its dashboard as processes, people with keys, runs that real events start."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Self

import httpx
import orjson

from streams.api.call.api_key import ApiKey
from streams.api.call.keys import create_key, revoke_key
from streams.api.call.roles import Role
from streams.clock import now_ms
from streams.dashboard.sessions import make_link
from streams.dashboard.sign_in import LINK_PATH
from streams.database.engine import open_database
from streams.functions.definition import read_text
from streams.functions.writer import apply_functions
from streams.kafka import clients
from streams.kafka.producers import Sender
from streams.kafka.tail import read_all
from streams.kafka.topics import create_topics
from streams.settings import load
from tests.support.broker import unique_name
from tests.support.deadline import eventually
from tests.support.services import API, JOINER, READ_MODEL, ROUTER, Service
from topology import topics

PATIENCE_S: Final = 90
Json = Any


class Site:
    """Router, joiner, read model and API on one database; a context manager."""

    def __init__(self, bootstrap: str, folder: Path, name: str | None = None) -> None:
        """Nothing runs yet; `name` is that of its topics and groups on the broker."""
        name = name or unique_name("pages")
        self.settings = load(
            kafka_bootstrap_servers=bootstrap,
            topic_prefix=f"{name}.",
            application_id=name,
            partitions=2,
            state_dir=folder / "state",
        )
        self._folder = folder
        self.joiner, self.router, self.read_model, self.api = self._services = [
            self._service(role) for role in (JOINER, ROUTER, READ_MODEL, API)
        ]
        self.url = self.api.url
        self._engine = open_database(self.settings)
        # Shorter than the server's 5 s, which must not end a connection that is just used again.
        limits = httpx.Limits(keepalive_expiry=1)
        self._client = httpx.Client(base_url=self.url, timeout=PATIENCE_S, limits=limits)

    def __enter__(self) -> Self:
        try:
            create_topics(self.settings)
            for service in self._services:
                service.start()
            self.is_up(*self._services)
            self._client.headers["Authorization"] = f"Bearer {self.key('deploys', Role.ADMIN)[1]}"
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End everything."""
        for service in reversed(self._services):
            service.end()
        self._client.close()
        self._engine.dispose()

    def is_up(self, *services: Service) -> None:
        """Wait until processes are ready."""
        eventually(lambda: all(one.is_ready for one in services), PATIENCE_S)

    @contextmanager
    def another_api(self) -> Iterator[Service]:
        """One more API on the same database, for the block."""
        found = self._service(API, number=2)
        found.start()
        try:
            self.is_up(found)
            yield found
        finally:
            found.end()

    def _service(self, role: str, number: int = 1) -> Service:
        extra = {"STATE_DIR": str(self.settings.state_dir)}
        return Service(role, self.settings, self._folder, number=number, extra=extra)

    @contextmanager
    def frozen(self, service: Service) -> Iterator[None]:
        """A process does nothing for the block."""
        service.pause()
        try:
            yield
        finally:
            service.resume()

    # People

    def key(self, name: str, role: Role) -> tuple[ApiKey, str]:
        """Make a key: what is known of it, and its text."""
        return create_key(self._engine, name, role, now_ms(), actor=None)

    def revoke(self, key: ApiKey) -> None:
        """Let a key count no more."""
        revoke_key(self._engine, key.id, now_ms(), actor=None)

    def link(self, key: ApiKey) -> str:
        """A link that signs in once, as `countermand up` prints it."""
        return f"{self.url}{LINK_PATH}?token={make_link(self._engine, key.id, now_ms())}"

    # Functions and runs

    def apply(self, functions: str) -> None:
        """Apply functions, and wait until the API knows them."""
        config = clients.librdkafka(self.settings, log_level=0)
        definitions = read_text(functions)
        applied = apply_functions(config, self.settings.topic(topics.FUNCTIONS), definitions)
        slugs = [one.slug for one in applied.differences]
        eventually(lambda: all(map(self._knows, slugs)), PATIENCE_S)

    def _knows(self, slug: str) -> bool:
        return self._client.get(f"/v1/functions/{slug}").is_success

    def send(self, name: str, *events: Json, topic: topics.TopicSpec = topics.EVENTS) -> None:
        """Send events of a name, of which the other fields are given."""
        self.produce(topic, *(orjson.dumps({"name": name, **event}) for event in events))

    def produce(self, topic: topics.TopicSpec, *values: bytes) -> None:
        """Produce records."""
        with Sender(self.settings) as sender:
            for value in values:
                sender.send(self.settings.topic(topic), value)

    def work(self, name: str) -> "Work":
        """A function of one test alone, without runs."""
        found = Work(self, unique_name(name).lower())
        self.apply(
            f"functions: [{{id: generate, app: {found.app}, triggers: [{{event: {found.event}}}]}}]"
        )
        return found

    def get(self, path: str, **params: Any) -> Any:
        """What the API answers to an admin."""
        answer = self._client.get(path, params=params)
        assert answer.is_success, answer.text
        return answer.json()["data"]

    def post(self, path: str, **body: Json) -> None:
        """Let an admin write something."""
        answer = self._client.post(path, json=body)
        assert answer.is_success, answer.text

    def records(self, topic: topics.TopicSpec) -> list[Json]:
        """All records of a topic."""
        found = read_all(self.settings, self.settings.topic(topic))
        return [orjson.loads(value) for message in found if (value := message.value())]


class Work:
    """The runs of one function."""

    def __init__(self, site: Site, app: str) -> None:
        self.site = site
        self.app = app
        self.slug = f"{app}-generate"
        self.event = f"{app}/requested"

    def request(self, count: int, **data: Json) -> None:
        """Let events start runs, numbered by `n` in their data, and wait until pages show them."""
        before = self.count("Scheduled")
        self.site.send(self.event, *({"data": {"n": n, **data}} for n in range(count)))
        self.reaches("Scheduled", before + count)

    def count(self, status: str) -> int:
        """How many of its runs have a status."""
        counts = self.site.get("/v1/runs/counts", function_id=self.slug)
        return sum(one["count"] for one in counts if one["status"] == status)

    def reaches(self, status: str, count: int) -> None:
        """Wait until as many runs have a status."""
        eventually(lambda: self.count(status) == count, PATIENCE_S)

    def cancelled(self, count: int) -> list[Json]:
        """What its cancelled events say, in no order, once there are `count` of them.

        A transaction ends in one partition after the other: pages may know of a cancel before.
        """
        eventually(lambda: len(self._cancelled()) >= count, PATIENCE_S)
        return self._cancelled()

    def _cancelled(self) -> list[Json]:
        found = [one["data"] for one in self.site.records(topics.CANCELLED)]
        return [one for one in found if one["function_id"] == self.slug]

    def newest(self) -> str:
        """The id of its newest run."""
        return str(self.site.get("/v1/runs", function_id=self.slug, limit=1)[0]["run_id"])


def later() -> str:
    """A time that is past, as a browser's field for times has it; what comes now comes after it.

    It has three decimals, the last of which isn't 0: fields show such a time as it was typed.
    """
    at = now_ms() | 1
    eventually(lambda: now_ms() > at)
    seconds, rest = divmod(at, 1000)
    return f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(seconds))}.{rest:03}"
