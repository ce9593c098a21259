"""Command batches as a router writes them, written one by one, where a test wants to say when."""

from collections import Counter
from typing import Any

import orjson
from confluent_kafka import Producer

from streams.clock import now_ms
from streams.functions.definition import read_text
from streams.functions.registry import Registry
from streams.kafka import clients
from streams.kafka.topics import check_topics
from streams.router.batches import Progress, progress_batch
from streams.router.pipeline import Pipeline, ways_of
from streams.router.record import Record
from streams.settings import Settings
from topology import codec, topics

Batch = tuple[int, bytes]


class Feed:
    """Stands for all routers of a test: events that never lay on a topic become commands."""

    def __init__(self, settings: Settings, functions: str) -> None:
        self._settings = settings
        self._states = check_topics(settings).topics
        self._ids = {name: self._states[name].id for name in settings.routed_topics}
        ways = ways_of(settings, settings.partitions, self._ids)
        self._pipeline = Pipeline(ways, self._ids)
        self._registry = Registry()
        self._offsets: Counter[tuple[str, int]] = Counter()
        self._received = now_ms()
        self._producer = Producer(
            clients.librdkafka(
                settings,
                enable_idempotence=True,
                message_max_bytes=2_000_000,
                linger_ms=2,
                log_level=0,
            )
        )
        for function in read_text(functions):
            position = self._registry.position
            key = f"{function.slug}/{position:026}".encode()
            self._registry.apply(position, 0, key, codec.encode_function(function))

    def batches(
        self, name: str, *datas: dict[str, Any], topic: str = "events", at_once: int = 1
    ) -> list[Batch]:
        """The batches of one event per data, whose id is its data's; so many go into one batch."""
        place = self._settings.topic_prefix + topic, 0
        made = []
        for first in range(0, len(datas), at_once):
            records = [self._record(place, name, data) for data in datas[first : first + at_once]]
            self._pipeline.feed(records, self._registry)
            output = self._pipeline.take()
            assert not output.dead_letters, output.dead_letters[0].headers
            made += output.batches
        return made

    def _record(self, place: tuple[str, int], name: str, data: dict[str, Any]) -> Record:
        self._received += 1
        offset = self._offsets[place]
        self._offsets[place] += 1
        value = orjson.dumps({"name": name, "data": data, "id": data["id"]})
        return Record(*place, offset, self._received, None, value, None)

    def send(self, batches: list[Batch]) -> None:
        """Write batches, and wait until the broker has them."""
        commands = self._settings.topic(topics.COMMANDS)
        for partition, value in batches:
            self._producer.produce(commands, value, partition=partition)
            self._producer.poll(0)
        assert self._producer.flush(60) == 0

    def start(self, *keys: str, at_once: int = 5) -> None:
        """Runs whose events' ids and match values are these."""
        datas = ({"id": key, "k": key} for key in keys)
        self.send(self.batches("start", *datas, at_once=at_once))

    def stop(self, *keys: str, at_once: int = 5) -> None:
        """Cancel the runs of these match values."""
        datas = ({"id": f"stop-{key}", "k": key} for key in keys)
        self.send(self.batches("stop", *datas, topic="cancels", at_once=at_once))

    def complete(self) -> None:
        """Every source is complete as of now: the watermark moves on."""
        self._received += 1
        progress = [
            Progress(name, number, self._offsets[name, number] - 1, self._received)
            for name in self._settings.routed_topics
            for number in range(self._states[name].partitions)
        ]
        batch = progress_batch(progress, self._ids)
        self.send([(number, batch) for number in range(self._settings.partitions)])
