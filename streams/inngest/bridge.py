"""`countermand inngest`: the process that apps of Inngest's SDKs are pointed at.

Its main thread runs the workers, one for each registered app, which call the apps. A thread serves
what apps call, another one keeps up with the topics `apps` and `functions`. Several such processes
share the work, as workers do.
"""

import asyncio
import hashlib
import sys
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import uvicorn
import uvloop

from streams import logs
from streams.api.call.auth import Authenticator
from streams.api.process import listening, server
from streams.api.producer import AckedProducer
from streams.api.protocol import Doors
from streams.database.engine import open_database
from streams.errors import SettingsError, TopicsError
from streams.health import Health, Kind
from streams.inngest.caller import Caller, Origins, new_client
from streams.inngest.directory import Declared, Directory
from streams.inngest.front import Front, is_this_machine
from streams.inngest.register import Registrar
from streams.inngest.registration import RemoteFunction
from streams.inngest.remote import Failures, as_function
from streams.inngest.signing import Keys, SigningKey
from streams.inngest.sync import Syncer
from streams.kafka.certificates import show_certificates
from streams.kafka.topics import check_topics
from streams.metrics import Metrics
from streams.sdk.app import App
from streams.sdk.worker.app_worker import AppWorker, Voice
from streams.sdk.worker.crew import Crew, end_hanging
from streams.sdk.worker.threads import Threads
from streams.settings import Settings
from streams.web import WebServer
from topology import limits, topics

log = logs.get(__name__)


def run_bridge(settings: Settings) -> None:
    """Serve apps and run their functions until SIGTERM or SIGINT.

    Raises:
        CountermandError: The process can't start, or can't go on.
    """
    keys, origins = keys_of(settings), origins_of(settings)
    partitions = check_topics(settings, topics.APPS).partitions
    _check_input(settings)
    metrics, health = Metrics(process="inngest"), Health()
    metrics.watch_disk(settings.state_dir)
    show_certificates(settings, metrics)
    crew = Crew(settings, metrics, health, partitions)
    with (
        WebServer(settings.web_host, settings.web_port, metrics, health) as web,
        _served(settings, keys, origins, metrics, health) as syncer,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        log.info("Metrics are served", url=web.url)
        try:
            runner.run(_work(settings, crew, keys, origins, syncer))
        finally:
            if crew.hangs:
                end_hanging(sys.exception())


def keys_of(settings: Settings) -> Keys:
    """The signing keys of the settings; none in development, where only this machine is served.

    Raises:
        SettingsError: A key is none, or development isn't bound to this machine.
    """
    given = {
        "COUNTERMAND_INNGEST_SIGNING_KEY": settings.inngest_signing_key,
        "COUNTERMAND_INNGEST_SIGNING_KEY_FALLBACK": settings.inngest_signing_key_fallback,
    }
    found = []
    for name, secret in given.items():
        if secret is not None:
            try:
                found.append(SigningKey(secret.get_secret_value()))
            except ValueError as error:
                raise SettingsError(f"{name}: {error}") from None
    if settings.inngest_signing_key is None:
        if found:
            raise SettingsError("COUNTERMAND_INNGEST_SIGNING_KEY is missing beside its fallback")
        if not is_this_machine(settings.inngest_host):
            raise SettingsError(
                f"COUNTERMAND_INNGEST_HOST is {settings.inngest_host}, and nothing is signed: set "
                "COUNTERMAND_INNGEST_SIGNING_KEY, or serve 127.0.0.1"
            )
    return Keys(found)


def origins_of(settings: Settings) -> Origins:
    """Where apps may be called.

    Raises:
        SettingsError: One is no origin.
    """
    try:
        return Origins(settings.inngest_origins, loopback=settings.inngest_signing_key is None)
    except ValueError as error:
        raise SettingsError(f"COUNTERMAND_INNGEST_ORIGINS: {error}") from None


def _check_input(settings: Settings) -> None:
    """Check that routers read what apps send.

    Raises:
        TopicsError: They don't.
    """
    topic = settings.topic(topics.EVENTS)
    if topic not in {spec.topic for spec in settings.input_specs}:
        raise TopicsError(f"apps' events go to {topic}, which COUNTERMAND_INPUTS lacks")


@contextmanager
def _served(
    settings: Settings, keys: Keys, origins: Origins, metrics: Metrics, health: Health
) -> Iterator[Syncer]:
    """Serve what apps call, in a thread; gives what asks apps for their functions."""
    with ExitStack() as stack:
        engine = open_database(settings)
        stack.callback(engine.dispose)
        producer = AckedProducer(settings)
        stack.callback(producer.close)
        listener = stack.enter_context(
            listening(settings.inngest_host, settings.inngest_port, "INNGEST")
        )
        registrar = Registrar(settings, producer, origins)
        topic = settings.topic(topics.EVENTS)
        front = Front(keys, Authenticator(engine), registrar, producer, topic)
        serving = server(front.app(), Doors(settings.api_connections, metrics))
        thread = threading.Thread(target=serving.run, args=([listener],), name="front")
        thread.start()
        health.add(
            Kind.READY, "front", lambda: None if thread.is_alive() else "apps are served no more"
        )
        stack.callback(thread.join)
        stack.callback(_stop, serving)
        host, port = settings.inngest_host, listener.getsockname()[1]
        mode = "development: nothing is signed" if keys.is_dev else "signed"
        log.info("Apps are served", host=host, port=port, mode=mode)
        yield Syncer(keys, registrar, origins)


def _stop(serving: uvicorn.Server) -> None:
    serving.should_exit = True


class _Bridge:
    """Keeps a worker for each registered app, with the functions that it has; on the event loop."""

    def __init__(self, settings: Settings, crew: Crew, caller: Caller) -> None:
        self._settings = settings
        self._crew = crew
        self._caller = caller
        self._workers: dict[str, AppWorker] = {}
        self._known: dict[str, RemoteFunction] = {}
        self._turn = asyncio.Lock()

    async def take(self, declared: Declared) -> None:
        """Run these functions, too; those that are known run on."""
        async with self._turn:
            for app_id, functions in declared.items():
                new = [one for one in functions if self._known.get(one.definition.slug) != one]
                if new:
                    await self._run(app_id, new)

    async def _run(self, app_id: str, functions: Sequence[RemoteFunction]) -> None:
        name = self._settings.cancelled_event_name
        made = [as_function(function, self._caller, name) for function in functions]
        worker = self._workers.get(app_id)
        if worker is None:
            app = App(app_id)
            for function in made:
                app.add(function)
            self._workers[app_id] = await self._crew.add(app, self._name(app_id), self._voice())
        else:
            for function in made:
                worker.add(function)
        self._known |= {function.definition.slug: function for function in functions}

    def _name(self, app_id: str) -> str | None:
        """Of a static name and the app; a long one is replaced by its digest."""
        if self._settings.worker_name is None:
            return None
        name = f"{self._settings.worker_name}.{app_id}"
        if len(name) <= limits.WORKER_CHARS:
            return name
        return hashlib.blake2b(name.encode(), digest_size=16).hexdigest()

    def _voice(self) -> Voice:
        topic = self._settings.topic(topics.EVENTS)
        tell = Failures(topic, self._settings.cancelled_event_name)
        return Voice(tell, (topics.EVENTS,))


async def _work(
    settings: Settings, crew: Crew, keys: Keys, origins: Origins, syncer: Syncer
) -> None:
    """Run workers until a signal."""
    loop = asyncio.get_running_loop()
    client = new_client(settings.inngest_answer_within)
    caller = Caller(client, keys, origins)
    bridge = _Bridge(settings, crew, caller)
    threads = Threads(loop, crew.fail)

    def heard(declared: Declared) -> None:
        with suppress(CancelledError):  # the process ends
            asyncio.run_coroutine_threadsafe(bridge.take(declared), loop).result()

    with Directory(settings) as directory:

        async def begin() -> None:
            await bridge.take(await asyncio.to_thread(directory.load))
            threads.start("directory", partial(directory.keep_up, heard))
            threads.start("sync", partial(syncer.sync_all, settings.inngest_apps))

        try:
            await crew.run(begin)
        finally:
            await asyncio.to_thread(threads.close)
            await client.close()
