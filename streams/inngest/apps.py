"""The topic `apps`: where each app is reached. A record says all of its app; the newest counts.

It is apart from the functions' definitions, so that a deploy of an app makes no new version of its
functions, and a bridge that starts needs no app to be up.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, Self

import msgspec
from confluent_kafka import OFFSET_BEGINNING, KafkaException, Message, TopicPartition
from msgspec import Struct

from streams import logs
from streams.clock import now_ms
from streams.errors import UnreachableError
from streams.inngest.registration import RemoteFunction
from streams.kafka.consumers import bounds, follower, is_end, is_record
from streams.kafka.deadline import Deadline
from topology.codec import UNREADABLE

_RECORDS: Final = 500
_WAIT_S: Final = 0.1
_LOAD_S: Final = 30.0

log = logs.get(__name__)


class Address(Struct, frozen=True):
    """How a function is called: by posting to `url`, and again `retries` times if that fails."""

    url: str
    retries: int


class RemoteApp(Struct, frozen=True):
    """An app of another SDK.

    Attributes:
        app_id: Its id; all of its functions' slugs begin with it.
        url: Where it is.
        sdk: The SDK that it is written with, such as `inngest-js:v4.24.0`.
        at: When it was registered, in ms since 1970.
        functions: The addresses of its functions, by their ids.
    """

    app_id: str
    url: str
    sdk: str
    at: int
    functions: dict[str, Address]
    v: int = 1

    def with_functions(self, before: "RemoteApp | None") -> "RemoteApp":
        """This app, with the functions that it had before and doesn't register any more."""
        earlier = {} if before is None else before.functions
        return msgspec.structs.replace(self, functions=earlier | self.functions)


def app_of(
    app_id: str, url: str, sdk: str, functions: Iterable[RemoteFunction], at: int | None = None
) -> RemoteApp:
    """The record of an app that registers these functions, now or at a time (ms)."""
    addresses = {one.definition.id: Address(one.url, one.retries) for one in functions}
    return RemoteApp(app_id, url, sdk, now_ms() if at is None else at, addresses)


def encoded(app: RemoteApp) -> bytes:
    """The value of an app's record; its key is the app's id."""
    return msgspec.json.encode(app)


class AppsReader:
    """Reads the topic; used by one thread.

    Attributes:
        apps: The apps that were read, by their ids.
    """

    def __init__(self, client: Mapping[str, Any], topic: str) -> None:
        """Prepare to read `topic` (a full name); `client`: librdkafka's connection settings."""
        self.apps: dict[str, RemoteApp] = {}
        self._topic = topic
        self._position = 0
        self._consumer = follower(client, "countermand-apps")
        self._consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exception: object) -> None:
        self.close()

    def load(self) -> Mapping[str, RemoteApp]:
        """Read up to the present end of the topic.

        Raises:
            UnreachableError: The brokers don't answer in time.
        """
        deadline = Deadline(_LOAD_S)
        _, end = bounds(self._consumer, TopicPartition(self._topic, 0))
        while self._position < end:
            deadline.seconds()  # raises when time is over
            self.poll(_WAIT_S)
        return self.apps

    def poll(self, timeout_s: float = 0.0) -> bool:
        """Take new records, after waiting for some at most so long; whether there were any.

        Raises:
            UnreachableError: The brokers don't answer.
        """
        messages = self._consumer.consume(_RECORDS, timeout_s)
        taken = [self._take(message) for message in messages]
        return any(taken)

    def close(self) -> None:
        """Close the connection."""
        self._consumer.close()

    def _take(self, message: Message) -> bool:
        if is_end(message):
            # Compaction may have removed the last records before the end.
            self._position = max(self._position, message.offset() or 0)
            return False
        try:
            if not is_record(message):
                return False
        except (UnreachableError, KafkaException) as error:
            log.warning("Apps can't be read now", topic=self._topic, error=str(error))
            return False
        self._position = (message.offset() or 0) + 1
        self._note(message.key(), message.value())
        return True

    def _note(self, key: bytes | str | None, value: bytes | None) -> None:
        app_id = key.decode(errors="replace") if isinstance(key, bytes) else ""
        if value is None:
            self.apps.pop(app_id, None)
            return
        try:
            app = msgspec.json.decode(value, type=RemoteApp)
        except UNREADABLE as error:
            log.warning(
                "An app's record is ignored", topic=self._topic, app=app_id, error=str(error)
            )
            return
        if app.app_id == app_id:
            self.apps[app_id] = app
