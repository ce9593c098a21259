"""Does ahead of time what would slow down a start: fetch, format, and train the JVM.

Without this the first start fetches and formats. The archive of loaded classes is made
only here, because making it takes longer than one start saves.
"""

from pathlib import Path

from confluent_kafka import Consumer, KafkaException, Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from streams.broker import jvm, lock
from streams.broker.cache import BrokerCache, adopt
from streams.broker.download import ensure_jars
from streams.broker.java import Java, find_java
from streams.broker.local import LocalBroker
from streams.broker.progress import say
from streams.broker.storage import ensure_template
from streams.errors import BrokerError

_CREATE_TIMEOUT_S = 120
_CLIENT_TIMEOUT_S = 30
_TOPIC = "training"


def prepare() -> None:
    """Fill the cache of this machine; what is there already is left as it is."""
    cache = BrokerCache(lock.load())
    java = find_java()
    ensure_jars(cache)
    ensure_template(cache, java)
    archive = jvm.archive_path(cache, java)
    if archive is None or archive.exists():
        return
    say("Training the local Kafka to start faster (once)")
    with cache.scratch() as scratch:
        recording = scratch / "recording"
        _record(recording, scratch)
        made = _create_archive(recording, cache, java)
        adopt(made, archive)


def _record(recording: Path, scratch: Path) -> None:
    options = ["-XX:AOTMode=record", f"-XX:AOTConfiguration={recording}"]
    with LocalBroker(scratch / "data", jvm_options=options) as broker:
        try:
            _use_once(broker.bootstrap_servers)
        except KafkaException as error:
            raise BrokerError(f"The local broker fails in training: {error}") from error
    if not recording.exists():
        raise BrokerError(f"{options[0]} made no recording; delete the cache or set another Java")


def _use_once(bootstrap_servers: str) -> None:
    """Make the broker load what a transaction and a consumer group need."""
    settings: dict[str, str | int | float | bool] = {"bootstrap.servers": bootstrap_servers}
    admin = AdminClient(settings)
    admin.create_topics([NewTopic(_TOPIC, 1, 1)])[_TOPIC].result(_CLIENT_TIMEOUT_S)
    producer = Producer({**settings, "transactional.id": _TOPIC})
    producer.init_transactions(_CLIENT_TIMEOUT_S)
    producer.begin_transaction()
    producer.produce(_TOPIC, b"value", key=b"key")
    producer.commit_transaction(_CLIENT_TIMEOUT_S)
    consumer = Consumer({**settings, "group.id": _TOPIC, "auto.offset.reset": "earliest"})
    try:
        consumer.subscribe([_TOPIC])
        if consumer.poll(_CLIENT_TIMEOUT_S) is not None:
            consumer.commit(asynchronous=False)
    finally:
        consumer.close()


def _create_archive(recording: Path, cache: BrokerCache, java: Java) -> Path:
    made = recording.with_name("archive")
    modes = ["-XX:AOTMode=create", f"-XX:AOTConfiguration={recording}", f"-XX:AOTCache={made}"]
    command, failure = jvm.command(java, modes), "Java cannot make its start-up archive"
    jvm.run(command, cache, _CREATE_TIMEOUT_S, failure)
    return made
