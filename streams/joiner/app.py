"""The joiner as a Faust app: consumer group, one agent on `commands`, web pages, lifecycle."""

import asyncio
import threading
from time import monotonic
from typing import Final

import faust
import uvloop
from confluent_kafka import KafkaException
from faust.types import TP
from faust.web import Request, Response
from faust.web import View as WebView

from streams import logs, private, web
from streams.collector import rare_collections
from streams.crash import crash_at
from streams.errors import CountermandError
from streams.health import Health, Kind, StallCheck
from streams.joiner.changelog import Changelog, Log
from streams.joiner.decide.functions import Functions
from streams.joiner.decide.view import Partition
from streams.joiner.faust_app import create_app, execute
from streams.joiner.figures import Figures
from streams.joiner.flow import Flow
from streams.joiner.intake import Places
from streams.joiner.known_sources import KnownSources
from streams.joiner.processor import PartitionProcessor, Parts, TopicIds
from streams.joiner.store import Memory
from streams.joiner.transaction import Transactions
from streams.kafka import clients
from streams.kafka.admin import admin_client, describe_topics, topic_ids
from streams.kafka.certificates import show_certificates
from streams.kafka.topics import await_topics
from streams.kafka.transactional import producer_config
from streams.metrics import Metrics
from streams.settings import Settings
from topology import topics

_REFRESH_S: Final = 10.0
_LOOK_S: Final = 1.0
_PARTITIONS: Final = "partitions"

log = logs.get(__name__)


class Joiner:
    """A joiner's process: gives Faust's assignments and records to the partitions' processors."""

    def __init__(self, settings: Settings) -> None:
        """Check the topics and create Faust's app; nothing runs yet.

        Raises:
            TopicsError: a topic is missing or has the wrong options.
            UnreachableError: no broker answers.
        """
        report = await_topics(settings, threading.Event())
        self.settings = settings
        self.metrics = Metrics(process="joiner")
        self.metrics.watch_disk(settings.state_dir)
        show_certificates(settings, self.metrics)
        self.health = Health()
        self.stalls = StallCheck(settings.stall_timeout.total_seconds())
        self.figures: dict[int, Figures] = {}
        names = {spec.name: settings.topic(spec) for spec in topics.TOPICS}
        self._topics = names
        ids = {
            name: report.topics[full].id for name, full in names.items() if full in report.topics
        }
        self._partitions = report.partitions
        self._state_id = ids["state"]
        self._tombstones_ms = int(report.topics[names["state"]].config["delete.retention.ms"])
        self._ids = TopicIds(ids["commands"], ids["forwards"])
        self._memory = Memory(settings.rocksdb_memory_mib)
        self._turn = threading.Lock()
        self._functions = Functions()
        self.flow = Flow(names["commands"], lambda: self.app.consumer, self._processor)
        self._sources = KnownSources(settings.routed_topics)
        self._refresh_sources()
        self.app = create_app(settings, self.flow)
        _wire(self.app, self)
        self.health.add(Kind.LIVE, "progress", self.stalls)
        self.health.add(Kind.READY, "partitions", self._unready)

    def assigned(self, partitions: set[int]) -> None:
        """Faust has assigned these partitions of `commands` to this process."""
        self.metrics.rebalances.inc()
        self.flow.assign(partitions)

    def revoked(self, partitions: set[int]) -> None:
        """Faust has revoked these partitions of `commands`."""
        self.flow.revoke(partitions)
        for partition in partitions & set(self.figures):
            self.figures.pop(partition).gone()
            self.stalls.forget(partition)
            self.metrics.forget_source(self._topics["commands"], partition)

    async def look_after(self) -> None:
        """Refresh the sources, and note each partition's lag and progress, until cancelled."""
        refreshed = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_S)
            for partition, figures in list(self.figures.items()):
                lag, position = self.flow.lag(partition), figures.applied.commands + 1
                self.metrics.source(self._topics["commands"], partition, position=position, lag=lag)
                self.stalls.seen(partition, position, lag if figures.is_ready else 0)
            if loop.time() - refreshed > _REFRESH_S:
                refreshed = loop.time()
                await asyncio.to_thread(self._refresh_sources)

    def _processor(
        self, partition: int, flow: Flow, predecessor: threading.Thread | None
    ) -> PartitionProcessor:
        figures = self.figures[partition] = Figures(self.metrics, partition)
        settings, names = self.settings, self._topics
        client = clients.librdkafka(settings)
        config = client | producer_config(settings.transactional_id(partition))
        parts = Parts(
            client=client,
            topics=names,
            ids=self._ids,
            path=settings.state_dir / _PARTITIONS / str(partition),
            memory=self._memory,
            changelog=Changelog(
                client,
                Log(names["state"], self._state_id, partition, self._tombstones_ms),
                self._turn,
                Places(partition, settings.skip_records),
            ),
            transactions=lambda: Transactions(config, names, partition, self._turn),
            turn=self._turn,
            functions=self._functions,
            topic_ids=lambda: topic_ids(admin_client(settings)),
            skipped=settings.skip_records,
        )
        which = Partition(partition, self._partitions, settings.cancelled_event_name)
        return PartitionProcessor(which, parts, flow, figures, predecessor)

    def _refresh_sources(self) -> None:
        try:
            states = describe_topics(admin_client(self.settings), self.settings.routed_topics)
        except (CountermandError, KafkaException) as error:
            log.warning("Sources can't be refreshed", error=str(error))
            return
        found = {
            name: frozenset((topic.id, partition) for partition in range(topic.partitions))
            for name, topic in states.items()
        }
        self.flow.set_sources(self._sources.answered(found, monotonic()))

    def _unready(self) -> str | None:
        waiting = {
            number: figures.problem or "restoring"
            for number, figures in self.figures.items()
            if not figures.is_ready
        }
        if waiting:
            return ", ".join(
                f"partition {number}: {problem}" for number, problem in sorted(waiting.items())
            )
        return None if self.figures else "no partitions assigned yet"


def run_joiner(settings: Settings) -> None:
    """Run a joiner until SIGTERM or SIGINT.

    Raises:
        TopicsError: a topic is missing or has the wrong options.
        UnreachableError: no broker answers.
    """
    private.make_folder(settings.state_dir)
    private.make_tree(settings.state_dir / _PARTITIONS)
    # Faust uses the current loop; uvloop's needs a third less time per record.
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = Joiner(settings).app
    with rare_collections(), private.masked():
        execute(app, loop)


def _wire(app: faust.App, joiner: Joiner) -> None:
    name = joiner.settings.topic(topics.COMMANDS)
    topic = app.topic(name, value_serializer="raw", value_type=bytes, key_type=bytes)

    async def commands(stream: faust.Stream[bytes]) -> None:
        async for event in stream.noack().events():
            message = event.message
            # A tombstone is no command batch: the partition stops at it.
            joiner.flow.offer(message.partition, message.offset, event.value or b"")
            event.ack()

    async def assigned(_app: object, assigned: set[TP], *_: object, **__: object) -> None:
        joiner.assigned({tp.partition for tp in assigned if tp.topic == name})
        crash_at("joiner_after_assigned")

    async def revoked(_app: object, revoked: set[TP], *_: object, **__: object) -> None:
        joiner.revoked({tp.partition for tp in revoked if tp.topic == name})

    # Faust's stubs know these calls with fewer types than Faust itself.
    app.agent(topic)(commands)  # type: ignore[arg-type]
    app.on_partitions_assigned.connect(assigned, weak=False)  # type: ignore[arg-type]
    app.on_partitions_revoked.connect(revoked, weak=False)  # type: ignore[arg-type]
    app.task(joiner.flow.watch)
    app.task(joiner.look_after)
    for path in web.PATHS:
        _serve(app, joiner, path)


def _serve(app: faust.App, joiner: Joiner, path: str) -> None:
    async def page(view: WebView, _request: Request) -> Response:
        status, content_type, body = web.page(path, joiner.metrics, joiner.health)
        plain = content_type.partition(";")[0]
        return view.bytes(body, content_type=plain, status=status)

    app.page(path, name=path)(page)
