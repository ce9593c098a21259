"""One seeded run: traffic, routers and joiners in virtual time, and everything that goes wrong."""

from random import Random

from streams.functions.definition import read_text
from streams.functions.registry import Registry
from streams.joiner.decide.view import Bounds
from streams.router.pipeline import ways_of
from streams.settings import load
from tests.simulation.faults import Faults
from tests.simulation.joiners import Joiners
from tests.simulation.routers import Brokers, Routers, Routing
from tests.simulation.traffic import FUNCTIONS, Traffic
from tests.support.logs import Cluster, topic_id
from tests.support.partition import TOMBSTONES_MS, Clock, Setting, StepwisePartition
from topology import codec
from topology.limits import Allowance
from topology.records import Function

START_MS = 1_700_000_000_000
_RATE = 0.02
# So little that everything long takes many transactions.
_BOUNDS = Bounds(
    slice_decisions=2,
    met_at_once=1,
    timers=Allowance(bytes=2_000, cost=10_000),
    slice=Allowance(bytes=4_000, cost=20_000),
    input=Allowance(bytes=4_000, cost=20_000),
)


class World:
    """Everything there is in one run; the same seed gives the same run."""

    def __init__(self, seed: int) -> None:
        """Draw the size of the world from the seed."""
        self.random = random = Random(seed)
        self.clock = Clock(START_MS)
        self.cluster = Cluster(lambda: self.clock.now)
        self.faults = Faults(random, _RATE)
        self.functions = read_text(FUNCTIONS)
        partitions, input_partitions = random.randint(1, 4), random.randint(1, 3)
        settings = load(topic_prefix="", partitions=partitions)
        ids = {topic: topic_id(topic) for topic in settings.routed_topics}
        places = [
            (topic, number)
            for topic in settings.routed_topics
            for number in range(
                {"requests": 1, "replayed": partitions}.get(topic, input_partitions)
            )
        ]
        sources = frozenset((ids[topic], number) for topic, number in places)
        self.setting = Setting(
            self.cluster,
            self.clock,
            partitions,
            lambda: sources,
            crash_at=self.faults.crash_at,
            bounds=_BOUNDS,
        )
        self.joiners = Joiners(self.setting, self.faults, StepwisePartition)
        self.traffic = Traffic(self.cluster, self.clock, random, input_partitions)
        self.routers = Routers(
            Brokers(self.cluster, self.clock),
            self.faults,
            Routing(
                _registry(self.functions),
                ways_of(settings, partitions, ids),
                ids,
                places,
                partitions,
            ),
            random.randint(1, 3),
        )
        self._compactable: list[tuple[int, list[int]]] = []

    def run(self, steps: int) -> None:
        """Let everything happen at random, then nothing fail any more until all is done."""
        actors = (self._produce, self.routers.step, self._join, self._pass_time)
        for _ in range(steps):
            self.random.choices(actors, (3, 10, 5, 2))[0]()
        self.traffic.resume()
        self.settle()

    def settle(self) -> None:
        """Work off everything that was produced, held rows included."""
        self.faults.stop()
        self.routers.settle()
        self.joiners.settle()
        self.skip(60_000)
        self.skip(2_000)  # what was put off

    def skip(self, duration_ms: int) -> None:
        """Let time pass in a world in which nothing fails."""
        self.clock.now += duration_ms
        for _ in range(2):
            self.routers.settle()
            self.joiners.settle()

    def _produce(self) -> None:
        what = self.random.random()
        if what < 0.75:
            self.traffic.produce()
        elif what < 0.88:
            self.traffic.update()
        else:
            self.traffic.request()

    def _join(self) -> None:
        if self.random.random() < 0.1:
            self.joiners.linger()
        else:
            self.joiners.step(self.random.randrange(self.setting.partitions))

    def _pass_time(self) -> None:
        """Mostly little, so that many records have one time; sometimes an outage, with clean-up."""
        if self.faults.happens("outage", 0.4):
            self.clock.now += self.random.randint(60_000, 8 * 60 * 60_000)
            self._compact()
        else:
            self.clock.now += self.random.choice((0, 0, 1, 20, 300, 3_000))

    def _compact(self) -> None:
        """Clean the changelogs: tombstones go when they are old enough."""
        logs = [self.cluster.log("state", number) for number in range(self.setting.partitions)]
        self._compactable.append((self.clock.now, [log.end for log in logs]))
        old = [ends for at, ends in self._compactable if at <= self.clock.now - TOMBSTONES_MS]
        for log, before in zip(logs, old[-1] if old else [0] * len(logs), strict=True):
            log.compact(log.end, before)


def _registry(functions: tuple[Function, ...]) -> Registry:
    registry = Registry()
    for number, function in enumerate(functions):
        key = f"{function.slug}/{number:026}".encode()
        body = codec.encode_function(function)
        registry.apply(number, START_MS - 10_000, key, body)
    return registry
