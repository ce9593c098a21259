"""Faust's app, consumer and transport, changed where they would lose or repeat records.

Why each change is needed: `docs/decisions/0001-faust-carries-the-stream.md`.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, NoReturn

import faust
from aiokafka.errors import KafkaConnectionError, KafkaError  # type: ignore[import-untyped]
from faust.assignor.client_assignment import ClientMetadata
from faust.assignor.partition_assignor import PartitionAssignor
from faust.transport.drivers import aiokafka as driver

from streams import logs
from streams.errors import CountermandError
from streams.joiner.flow import Flow
from streams.kafka import faust_client
from streams.kafka.deadline import PAUSE_S, START_S, Deadline
from streams.settings import Settings

_FETCH_BYTES: Final = 4 * 1024 * 1024
# Above this number Faust stops partitions and may forget to start them again. The agent never
# waits, so few records are buffered; the inboxes of the processors bound what is in memory.
_BUFFERED: Final = 1_000_000
_LOOK_S: Final = 1.0

log = logs.get(__name__)


class ConsumerThread(driver.AIOKafkaConsumerThread):
    """A consumer's thread that waits for brokers, heeds refusals, and ends while brokers are away.

    aiokafka leaves its group when it is refused, until somebody asks for the error, which Faust
    never does. And aiokafka's `close` lets its own cancellation escape while brokers are away.
    """

    _looking: asyncio.Task[None] | None = None

    async def on_start(self) -> None:
        """Start the consumer, and look for refusals from then on."""
        await start_client(self, super().on_start, lambda: self._ensure_consumer().start())
        self._looking = asyncio.create_task(self._look_for_refusals())

    async def on_thread_stop(self) -> None:
        """Stop, whatever aiokafka cancels meanwhile."""
        if self._looking is not None:
            self._looking.cancel()
        with suppress(asyncio.CancelledError):
            await super().on_thread_stop()

    async def _look_for_refusals(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            assert self._consumer is not None
            rejoin_if_refused(self._consumer._coordinator)  # noqa: SLF001  # nobody else shows it


def rejoin_if_refused(coordinator: Any) -> None:  # noqa: ANN401  # aiokafka is untyped
    """Join anew, as a new member, where the group has refused this one.

    A static member is refused ("fenced") when another process has its name, or when its own earlier
    attempt to join counts as the other.
    """
    try:
        coordinator.check_errors()
    except KafkaError as error:
        log.warning(
            "The group refused this joiner, which joins again. If this goes on, another process "
            "has the same COUNTERMAND_GROUP_INSTANCE_ID: give each its own",
            error=str(error),
        )
        coordinator.reset_generation()


class Producer(driver.Producer):
    """A producer that waits for brokers at its start."""

    async def on_start(self) -> None:
        """Start the producer."""
        await start_client(self, super().on_start, lambda: self._ensure_producer().start())


async def start_client(
    service: ConsumerThread | Producer,
    start: Callable[[], Awaitable[None]],
    again: Callable[[], Awaitable[None]],
) -> None:
    """Make and start a service's client; while no broker answers, start it `again`.

    It stays the same client: aiokafka has closed what an attempt that failed had opened.

    Raises:
        UnreachableError: no broker has answered in time.
    """
    assert isinstance(service.app, FaustApp)
    deadline = Deadline(service.app.start_s)
    while not service.should_stop:
        try:
            async with asyncio.timeout(deadline.seconds()):
                await start()
        except (KafkaConnectionError, TimeoutError) as error:
            log.warning("No broker answers yet", error=repr(error))
        else:
            return
        start = again
        await service.sleep(PAUSE_S)


class Consumer(driver.Consumer):
    """A consumer that goes on at the flow's positions, not at the committed offsets."""

    def _new_consumer_thread(self) -> ConsumerThread:
        return ConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def perform_seek(self) -> None:
        """Seek to the flow's positions; Faust calls this after every rebalance."""
        assert isinstance(self.app, FaustApp)
        positions = self.app.flow.positions()
        if positions:
            await self.seek_wait(positions)


class Transport(driver.Transport):
    """Faust's transport with our consumer and producer."""

    Consumer = Consumer
    Producer = Producer


class Assignor(PartitionAssignor):
    """Takes an assignment from when this member had another address.

    A static member that starts again within its session gets what it had, with the address that its
    web pages had then. Faust refuses another address than today's, each time anew.
    """

    _url_then: str | None = None

    @property
    def _url(self) -> Any:  # noqa: ANN401  # a URL, or one as text
        return self._url_then or super()._url

    def on_assignment(self, assignment: Any) -> None:  # noqa: ANN401  # aiokafka is untyped
        """Take what the group's leader has assigned."""
        data: Any = ClientMetadata.loads(self._decompress(assignment.user_data))
        self._url_then = data.url
        super().on_assignment(assignment)


class FaustApp(faust.App):
    """Faust's app around a flow, which it closes when the process is told to stop.

    Faust signals no revocation then. Its clients wait `start_s` for brokers, each at its start.
    """

    flow: Flow
    start_s: float

    async def on_stop(self) -> None:
        """Close all partitions first."""
        await asyncio.to_thread(self.flow.close)
        await super().on_stop()


def create_app(settings: Settings, flow: Flow, start_s: float = START_S) -> FaustApp:
    """The joiner's app around `flow`; agents, tasks and pages are still to be added."""
    session_s = settings.session_timeout.total_seconds()
    app = FaustApp(
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
        PartitionAssignor=Assignor,
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
    app.flow = flow
    app.start_s = start_s
    app.transport = Transport(app.conf.broker_consumer, app)
    return app


def execute(app: FaustApp, loop: asyncio.AbstractEventLoop) -> NoReturn:
    """Run the app until SIGTERM or SIGINT; then, or when it has failed, this process exits.

    Raises:
        CountermandError: the app can't start, or can't go on.
    """
    worker = faust.Worker(
        app, loop=loop, override_logging=False, redirect_stdouts=False, quiet=True
    )
    try:
        worker.execute_from_commandline()
    except SystemExit as end:
        # Whose code says only that it failed.
        if isinstance(end.__context__, CountermandError):
            raise end.__context__ from None
        raise
