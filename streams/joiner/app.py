"""The joiner as a Faust app: consumer group, one agent on `commands`, web pages, lifecycle."""

import asyncio
import threading
from contextlib import suppress
from typing import Final

import faust
import uvloop
from confluent_kafka import KafkaException
from faust.transport.drivers import aiokafka as driver
from faust.types import TP
from faust.web import Request, Response
from faust.web import View as WebView

from streams import logs, web
from streams.collector import rare_collections
from streams.crash import crash_at
from streams.errors import CountermandError
from streams.health import Health, Kind, Progress
from streams.joiner.changelog import Changelog, Log
from streams.joiner.decide.partition import Partition
from streams.joiner.decide.sources import Source
from streams.joiner.figures import Report
from streams.joiner.flow import Flow
from streams.joiner.processor import PartitionProcessor, Parts, TopicIds
from streams.joiner.store import Memory
from streams.joiner.transaction import Transactions
from streams.kafka import clients, faust_client
from streams.kafka.admin import admin_client, describe_topics
from streams.kafka.topics import check_topics
from streams.kafka.transactional import producer_config
from streams.metrics import Metrics
from streams.settings import Settings
from topology import topics

_REFRESH_S: Final = 10.0
_LOOK_S: Final = 1.0
_FETCH_BYTES: Final = 4 * 1024 * 1024
# Above it Faust stops partitions and may forget to start them again. The agent never waits, so
# what is buffered stays small; the processors' inboxes are what is bounded.
_BUFFERED: Final = 1_000_000

log = logs.get(__name__)


class Joiner:
    """One process of stage 2: what Faust's app is wired to."""

    def __init__(self, settings: Settings) -> None:
        """Check the topics and prepare; nothing runs yet.

        Raises:
            TopicsError: a topic is missing or made the wrong way.
            UnreachableError: no broker answers.
        """
        report = check_topics(settings)
        self.settings = settings
        self.metrics = Metrics()
        self.health = Health()
        self.progress = Progress(settings.stall_timeout.total_seconds())
        self.reports: dict[int, Report] = {}
        names = {spec.name: settings.topic(spec) for spec in topics.TOPICS}
        self._topics = names
        ids = {
            name: report.topics[full].id for name, full in names.items() if full in report.topics
        }
        self._partitions = report.topics[names["commands"]].partitions
        self._state_id = ids["state"]
        self._tombstones_ms = int(report.topics[names["state"]].config["delete.retention.ms"])
        self._ids = TopicIds(ids["commands"], ids["forwards"])
        self._memory = Memory(settings.rocksdb_memory_mib)
        self._turn = threading.Lock()
        self.flow = Flow(names["commands"], lambda: self.app.consumer, self._processor)
        self._refresh_sources()
        self.app = _create_app(self)
        self.health.add(Kind.LIVE, "progress", self.progress)
        self.health.add(Kind.READY, "partitions", self._unready)

    def assigned(self, partitions: set[int]) -> None:
        """Partitions of `commands` are ours now."""
        self.metrics.rebalances.inc()
        self.flow.assign(partitions)

    def revoked(self, partitions: set[int]) -> None:
        """Partitions of `commands` are no longer ours."""
        self.flow.revoke(partitions)
        for partition in partitions & set(self.reports):
            self.reports.pop(partition).gone()
            self.progress.forget(partition)
            self.metrics.forget_source(self._topics["commands"], partition)

    async def look_after(self) -> None:
        """Keep the sources current, and note how far each partition is."""
        refreshed = 0.0
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(_LOOK_S)
            for partition, report in list(self.reports.items()):
                lag = self.flow.lag(partition)
                self.metrics.source(self._topics["commands"], partition).set(lag)
                self.progress.seen(
                    partition, report.applied.commands, lag if report.is_ready else 0
                )
            if loop.time() - refreshed > _REFRESH_S:
                refreshed = loop.time()
                await asyncio.to_thread(self._refresh_sources)

    def _processor(
        self, partition: int, flow: Flow, predecessor: threading.Thread | None
    ) -> PartitionProcessor:
        report = self.reports[partition] = Report(self.metrics, partition)
        settings, names = self.settings, self._topics
        client = clients.librdkafka(settings)
        config = client | producer_config(settings.transactional_id(partition))
        parts = Parts(
            client=client,
            topics=names,
            ids=self._ids,
            path=settings.state_dir / "partitions" / str(partition),
            memory=self._memory,
            changelog=Changelog(
                client,
                Log(names["state"], self._state_id, partition, self._tombstones_ms),
                self._turn,
            ),
            transactions=lambda: Transactions(config, names, partition, self._turn),
            turn=self._turn,
        )
        which = Partition(partition, self._partitions, settings.cancelled_event_name)
        return PartitionProcessor(which, parts, flow, report, predecessor)

    def _refresh_sources(self) -> None:
        try:
            found = describe_topics(admin_client(self.settings), self.settings.routed_topics)
        except (CountermandError, KafkaException) as error:
            log.warning("Sources can't be refreshed", error=str(error))
            return
        sources: set[Source] = set()
        for topic in found.values():
            sources |= {(topic.id, partition) for partition in range(topic.partitions)}
        self.flow.set_sources(frozenset(sources))

    def _unready(self) -> str | None:
        waiting = {
            number: report.problem or "restoring"
            for number, report in self.reports.items()
            if not report.is_ready
        }
        if waiting:
            return ", ".join(
                f"partition {number}: {problem}" for number, problem in sorted(waiting.items())
            )
        return None if self.reports else "no partitions assigned yet"


def run_joiner(settings: Settings) -> None:
    """Run a joiner until it is told to stop.

    Raises:
        TopicsError: a topic is missing or made the wrong way.
        UnreachableError: no broker answers.
    """
    settings.state_dir.mkdir(parents=True, exist_ok=True)
    # Faust takes the current loop; uvloop's takes a third less time per record.
    loop = uvloop.new_event_loop()
    asyncio.set_event_loop(loop)
    app = Joiner(settings).app
    worker = faust.Worker(
        app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True
    )
    with rare_collections():
        worker.execute_from_commandline()


def _create_app(joiner: Joiner) -> faust.App:
    settings = joiner.settings

    class Thread(driver.AIOKafkaConsumerThread):
        """Ends also while the brokers are away, when aiokafka's close lets out its own cancel."""

        async def on_thread_stop(self) -> None:
            with suppress(asyncio.CancelledError):
                await super().on_thread_stop()

    class Consumer(driver.Consumer):
        """Faust's consumer; where it would go back to committed offsets, it goes to ours."""

        def _new_consumer_thread(self) -> Thread:
            return Thread(self, loop=self.loop, beacon=self.beacon)

        async def perform_seek(self) -> None:
            positions = joiner.flow.positions()
            if positions:
                await self.seek_wait(positions)

    class Transport(driver.Transport):
        """Brings our consumer along."""

    Transport.Consumer = Consumer

    class App(faust.App):
        """Closes the partitions when the process is told to stop: Faust sends no revoke then."""

        async def on_stop(self) -> None:
            await asyncio.to_thread(joiner.flow.close)
            await super().on_stop()

    session_s = settings.session_timeout.total_seconds()
    app = App(
        settings.joiner_group,
        **faust_client.faust(settings),
        store="memory://",
        datadir=str(settings.state_dir / "faust"),
        topic_allow_declare=False,
        topic_disable_leader=True,
        broker_session_timeout=session_s,
        broker_heartbeat_interval=session_s / 5,
        broker_request_timeout=max(90, session_s + 30),  # Faust refuses less than the session's
        broker_client_id=settings.application_id,
        consumer_group_instance_id=settings.group_instance_id,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=_FETCH_BYTES,
        stream_wait_empty=False,
        stream_buffer_maxsize=_BUFFERED,
        worker_redirect_stdouts=False,
        web_enabled=True,
        web_bind=settings.web_host,
        web_host=settings.web_host,
        web_port=settings.web_port,
        web_tables_enabled=False,
    )
    app.transport = Transport(app.conf.broker_consumer, app)
    _wire(app, joiner)
    return app


def _wire(app: faust.App, joiner: Joiner) -> None:
    name = joiner.settings.topic(topics.COMMANDS)
    topic = app.topic(name, value_serializer="raw", value_type=bytes, key_type=bytes)

    async def commands(stream: faust.Stream[bytes]) -> None:
        async for event in stream.noack().events():
            message = event.message
            joiner.flow.offer(message.partition, message.offset, event.value)
            event.ack()

    async def assigned(_app: object, assigned: set[TP], *_: object, **__: object) -> None:
        joiner.assigned({tp.partition for tp in assigned if tp.topic == name})
        crash_at("joiner_after_assigned")

    async def revoked(_app: object, revoked: set[TP], *_: object, **__: object) -> None:
        joiner.revoked({tp.partition for tp in revoked if tp.topic == name})

    # The stubs ask for less general functions than Faust calls.
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
