"""`sessions`: what a router's session of 10 s brings and costs beside one of 30 s.

Two routers share the inputs, 500 events/s come in, and one router is frozen for a while, or killed
with kill -9. A figure is how long, in seconds, the event waited that waited longest for its first
command (what a router repeats, joiners skip): `frozen_15s_10s` is for 15 s of freeze at a session
of 10 s.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Sequence
from typing import Final, Self

from streams.durations import parse_duration
from streams.kafka.tail import follow
from tests.bench import load
from tests.bench.bench import Bench
from tests.bench.deployment import PARTITIONS, Deployment, WebService, until
from topology import codec, topics

SESSIONS: Final = ("10s", "30s")
FREEZES_S: Final = (5, 15)
_PER_TICK: Final = 10
_TICK_S: Final = 0.02
# What a rebalance takes beyond the session, and more.
_AFTER_S: Final = 10.0
_IDLE_S: Final = 60.0
_INPUTS: Final = 2
_POSITION: Final = "countermand_position_records"


def measure(
    bench: Bench, sessions: Sequence[str] = SESSIONS, freezes_s: Sequence[int] = FREEZES_S
) -> dict[str, float]:
    """The longest waits, by what happened and by session."""
    found = {}
    for session in sessions:
        for freeze_s in freezes_s:
            found[f"frozen_{freeze_s}s_{session}"] = _longest_wait(bench, session, freeze_s)
        found[f"killed_{session}"] = _longest_wait(bench, session, None)
    return found


def _longest_wait(bench: Bench, session: str, freeze_s: int | None) -> float:
    """That of a freeze, or of kill -9 where there is none."""
    with bench.deployment() as app:
        routers = [app.router(session_timeout=session) for _ in range(2)]
        for router in routers:
            router.wait_ready()
        with _Traffic(bench, app) as traffic:
            until(lambda: all(map(_sources, routers)), "both share the partitions")
            until(lambda: traffic.sources == _INPUTS * PARTITIONS, "all partitions are routed")
            began = time.time()
            _disturb(max(routers, key=_inputs_of(app)), freeze_s, traffic)
            traffic.go_on(parse_duration(session) / 1_000 + _AFTER_S)
            return traffic.longest_wait_s(began)


def _sources(router: WebService) -> int:
    """How many partitions it reads."""
    return len(router.samples(_POSITION))


def _inputs_of(app: Deployment) -> Callable[[WebService], int]:
    """What tells how many of the partitions with events a router reads."""
    inputs = [spec.topic for spec in app.settings.input_specs]
    return lambda router: sum(len(router.samples(_POSITION, topic=topic)) for topic in inputs)


def _disturb(router: WebService, freeze_s: int | None, traffic: "_Traffic") -> None:
    if freeze_s is None:
        os.kill(router.pid, signal.SIGKILL)
        return
    os.kill(router.pid, signal.SIGSTOP)
    traffic.go_on(freeze_s)
    os.kill(router.pid, signal.SIGCONT)


class _Traffic:
    """Events into both inputs, and when their commands came; a context manager."""

    def __init__(self, bench: Bench, app: Deployment) -> None:
        self._app = app
        self._broker = bench.broker
        # When an event's first entry came, and how long the event had waited (both s).
        self._entries: list[tuple[float, float]] = []
        self._offsets: dict[tuple[str, int], int] = {}  # the last one of each source
        self._begun, self._closing = threading.Event(), threading.Event()
        self._threads = [threading.Thread(target=one) for one in (self._watch, self._send)]

    @property
    def sources(self) -> int:
        """How many partitions of inputs have been routed from."""
        return len(self._offsets)

    def go_on(self, seconds: float) -> None:
        """Let it go on for some time."""
        self._closing.wait(seconds)

    def longest_wait_s(self, since: float) -> float:
        """The longest wait of an event whose command came since then."""
        return round(max(wait for came, wait in self._entries if came >= since), 1)

    def __enter__(self) -> Self:
        self._threads[0].start()
        self._begun.wait(_IDLE_S)
        self._threads[1].start()
        return self

    def __exit__(self, *_exception: object) -> None:
        self._closing.set()
        for thread in self._threads:
            thread.join()

    def _watch(self) -> None:
        settings = self._app.settings
        topic = settings.topic(topics.COMMANDS)
        for message in follow(settings, topic, idle_seconds=_IDLE_S, on_ready=self._begun.set):
            if self._closing.is_set():
                return
            batch, now = codec.COMMANDS.decode(message.value() or b""), time.time()
            for entry in batch.entries:
                source = batch.topics[entry.topic].name, entry.partition
                if entry.offset > self._offsets.get(source, -1):
                    self._offsets[source] = entry.offset
                    self._entries.append((now, now - entry.received / 1_000))

    def _send(self) -> None:
        sender = load.producer(self._broker, **{"linger.ms": 0})
        number = 0
        while not self._closing.is_set():
            for _ in range(_PER_TICK):
                report = load.report_id(number)
                trigger, cancel = load.trigger(number, report), load.cancel(number, report)
                sender.produce(self._app.triggers_topic, trigger.value, trigger.key)
                if number % load.PER_CANCEL == 0:
                    sender.produce(self._app.cancels_topic, cancel.value, cancel.key)
                number += 1
            sender.poll(0)
            self._closing.wait(_TICK_S)
        load.flush(sender)
