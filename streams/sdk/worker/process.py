"""`countermand worker`: the process of one app's worker."""

import asyncio
import sys
from collections.abc import Callable, Mapping
from typing import Any

import uvloop

from streams import logs
from streams.functions.changes import Difference
from streams.functions.reader import RegistryReader
from streams.functions.writer import apply_functions, plan_functions
from streams.health import Health
from streams.kafka import clients
from streams.kafka.certificates import show_certificates
from streams.kafka.topics import check_topics
from streams.metrics import Metrics
from streams.sdk.app import App
from streams.sdk.worker.crew import Crew, end_hanging
from streams.settings import Settings
from streams.web import WebServer
from topology.topics import FUNCTIONS

log = logs.get(__name__)


def run_worker(
    settings: Settings,
    app: App,
    show: Callable[[tuple[Difference, ...]], None] = lambda _: None,
) -> None:
    """Apply the app's functions, then work until SIGTERM or SIGINT; serves metrics and health.

    Before the functions are applied, `show` is called with the changes. If user code can't be
    interrupted at the end, the process ends without returning.

    Raises:
        CountermandError: The worker can't start, or can't go on.
    """
    partitions = check_topics(settings).partitions
    definitions = [function.definition for function in app.functions.values()]
    config, topic = clients.librdkafka(settings, log_level=0), settings.topic(FUNCTIONS)
    show(plan_functions(config, topic, definitions))
    apply_functions(config, topic, definitions)
    _warn_of_unknown(config, topic, app)
    metrics, health = Metrics(process="worker"), Health()
    metrics.watch_disk(settings.state_dir)
    show_certificates(settings, metrics)
    crew = Crew(settings, metrics, health, partitions)
    with (
        WebServer(settings.web_host, settings.web_port, metrics, health) as web,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        log.info("Worker starts", url=web.url, app=app.id)

        async def begin() -> None:
            await crew.add(app, settings.worker_name)

        try:
            runner.run(crew.run(begin))
        finally:
            if crew.hangs:
                end_hanging(sys.exception())


def _warn_of_unknown(config: Mapping[str, Any], topic: str, app: App) -> None:
    """Warn of cleanups for functions that no app has: their names may be mistyped."""
    others = app.cleanups.keys() - app.by_slug().keys()
    if not others:
        return
    with RegistryReader(config, topic) as reader:
        unknown = others - set(reader.load().slugs())
    for slug in sorted(unknown):
        log.warning("on_cancelled names a function that nobody has", function_id=slug)
