"""What is known of apps and their functions, from the topics `apps` and `functions`."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Self, TypeAlias

from streams.functions.reader import RegistryReader
from streams.inngest.apps import AppsReader
from streams.inngest.registration import RemoteFunction
from streams.inngest.remote import functions_of
from streams.kafka import clients
from streams.settings import Settings
from topology.topics import APPS, FUNCTIONS

# The declared functions of each app, by its id.
Declared: TypeAlias = Mapping[str, Sequence[RemoteFunction]]

_POLL_S: Final = 0.1


class Directory:
    """Reads both topics; used by one thread at a time."""

    def __init__(self, settings: Settings) -> None:
        """Connect; a context manager."""
        client = clients.librdkafka(settings, log_level=0)
        self._apps = AppsReader(client, settings.topic(APPS))
        self._functions = RegistryReader(client, settings.topic(FUNCTIONS))

    def load(self) -> Declared:
        """What there is now.

        Raises:
            UnreachableError: The brokers don't answer in time.
            RegistryError: The functions can't be read.
        """
        self._apps.load()
        self._functions.load()
        return self._declared()

    def keep_up(self, heard: Callable[[Declared], None], stop: threading.Event) -> None:
        """Call `heard` with what there is whenever that has changed, until `stop` is set."""
        while not stop.is_set():
            changed = self._apps.poll(_POLL_S)
            # Both are asked, one after the other.
            if self._functions.poll(_POLL_S) or changed:
                heard(self._declared())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self._apps.close()
        self._functions.close()

    def _declared(self) -> Declared:
        registry = self._functions.registry
        return {id_: functions_of(app, registry) for id_, app in self._apps.apps.items()}
