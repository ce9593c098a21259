"""Takes registrations of apps, in this order.

1. check it against what there is: all that is wrong is told together
2. write where the app is to the topic `apps`, and wait until Kafka has acknowledged it
3. apply its functions, which start runs from then on

A crash between 2 and 3 leaves an app of which some functions aren't declared: registering it again
is enough. The other way round there would be runs of which nobody knows where to call.
"""

from collections.abc import Iterator, Sequence
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from streams.api.producer import AckedProducer, Outgoing
from streams.errors import RefusedError
from streams.functions.changes import Change, Difference, compare
from streams.functions.reader import RegistryReader
from streams.functions.registry import Registry
from streams.functions.writer import apply_functions
from streams.inngest.apps import AppsReader, RemoteApp, app_of, encoded
from streams.inngest.caller import Origins
from streams.inngest.registration import (
    CANCELLED,
    Registration,
    RegistrationError,
    Rules,
    read_registration,
)
from streams.kafka import clients
from streams.settings import Settings
from topology import limits, topics
from topology.records import Function

_SETTING: Final = "COUNTERMAND_INNGEST_ORIGINS"


class Taken(Struct, frozen=True):
    """What became of a registration: how each function differs, and what to know of some."""

    app_id: str
    differences: tuple[Difference, ...]
    warnings: tuple[str, ...]

    @property
    def modified(self) -> bool:
        """Whether a function is new or has changed."""
        return any(one.change is not Change.UNCHANGED for one in self.differences)


class Registrar:
    """Takes registrations; may be used by several threads."""

    def __init__(self, settings: Settings, producer: AckedProducer, origins: Origins) -> None:
        self._settings = settings
        self._producer = producer
        self._origins = origins
        self._client = clients.librdkafka(settings, log_level=0)
        self._rules = Rules(
            settings.cancelled_event_name,
            settings.inngest_load_fields == "refuse",
            round(settings.inngest_lease.total_seconds() * limits.SECOND_MS),
        )

    def take(self, body: bytes, sdk: str, *, moved: bool = False) -> Taken:
        """Register what an app says of itself; `moved`: its address may have another origin now.

        Raises:
            RegistrationError: Something of it is wrong; nothing was registered.
            CountermandError: Kafka doesn't take it; it is to be registered again.
        """
        found = read_registration(body, self._rules)
        functions = self._settings.topic(topics.FUNCTIONS)
        with AppsReader(self._client, self._settings.topic(topics.APPS)) as reader:
            before = reader.load().get(found.app_id)
        with RegistryReader(self._client, functions) as declared:
            registry = declared.load()
        definitions = [function.definition for function in found.functions]
        problems = [*self._problems(found, before, moved=moved), *_taken(registry, definitions)]
        if problems:
            raise RegistrationError(problems)  # 1
        app = app_of(found.app_id, found.url, sdk, found.functions).with_functions(before)
        self._write(app)  # 2
        applied = apply_functions(self._client, functions, definitions)  # 3
        warnings = (*found.warnings, *_missing(registry, found, app))
        return Taken(found.app_id, applied.differences, warnings)

    def _problems(
        self, found: Registration, before: RemoteApp | None, *, moved: bool
    ) -> Iterator[str]:
        urls = dict.fromkeys([found.url, *(function.url for function in found.functions)])
        for url in urls:
            if not self._origins.allow(url):
                yield f"{url} isn't among {_SETTING}: add its origin there, if it is yours"
        if before is not None and _origin(before.url) != _origin(found.url) and not moved:
            yield (
                f"app {found.app_id} is registered at {_origin(before.url)}: choose another app "
                f"id, or run countermand inngest sync --moved {found.url}"
            )
        cancelled = self._settings.topic(topics.CANCELLED)
        if cancelled not in {spec.topic for spec in self._settings.input_specs}:
            for function in found.functions:
                if any(
                    trigger.event == self._rules.cancelled_event_name
                    for trigger in function.definition.triggers
                ):
                    yield (
                        f"{function.definition.slug}: {CANCELLED} needs {cancelled} among "
                        "COUNTERMAND_INPUTS, of routers too"
                    )

    def _write(self, app: RemoteApp) -> None:
        topic = self._settings.topic(topics.APPS)
        self._producer.send([Outgoing(topic, app.app_id.encode(), encoded(app))])


def _taken(registry: Registry, definitions: Sequence[Function]) -> Iterator[str]:
    """Why functions can't be declared: each slug that is another's."""
    for definition in definitions:
        try:
            compare(registry, [definition])
        except RefusedError as error:
            yield str(error)


def _missing(registry: Registry, found: Registration, app: RemoteApp) -> Iterator[str]:
    """What to say of functions that the app had before, and doesn't register any more."""
    registered = {function.definition.id for function in found.functions}
    for id_ in app.functions:
        slug = f"{app.app_id}-{id_}"
        newest = registry.newest(slug)
        if id_ not in registered and newest is not None and not newest.deleted:
            yield (
                f"{slug}: isn't registered any more, but stays: countermand functions delete {slug}"
            )


def _origin(url: str) -> str:
    parts: Any = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc}"
