"""Routers that die with batches unsent, repeat from committed offsets, and linger."""

from collections import deque
from collections.abc import Mapping
from typing import NamedTuple

from streams.functions.registry import Registry
from streams.router.batches import Progress, progress_batch
from streams.router.pipeline import Pipeline, Way
from streams.router.record import Record
from streams.router.watermarks import SourceProgress
from tests.simulation.faults import Faults
from tests.support.logs import Cluster
from tests.support.partition import Clock
from topology.topics import TopicPlace


class Router:
    """One router: what it reads goes into queues, one per partition, which empty at their pace."""

    def __init__(self, routers: "Routers") -> None:
        """Begin without any source."""
        self._shared = routers
        self._pipeline = Pipeline(routers.routing.ways, routers.routing.topic_ids)
        self._positions: dict[TopicPlace, int] = {}
        self._progress: dict[TopicPlace, SourceProgress] = {}
        self._asked: dict[TopicPlace, tuple[int, int]] = {}
        self.queues: list[deque[bytes]] = [deque() for _ in range(routers.routing.partitions)]

    def assign(self, places: set[TopicPlace]) -> None:
        """Read these; new ones from where their offsets were committed."""
        for place in self._positions.keys() - places:
            del self._positions[place], self._progress[place]
            self._asked.pop(place, None)
        for place in sorted(places - self._positions.keys()):
            self._positions[place] = self._shared.committed.get(place, 0)
            self._progress[place] = SourceProgress()

    def read(self, place: TopicPlace, most: int) -> None:
        """Route the next records of a source."""
        log, position = self._shared.cluster.log(*place), self._positions[place]
        records = log.read(position, most)
        self._pipeline.feed(
            (Record(*place, one.offset, one.received, one.key, one.value) for one in records),
            self._shared.routing.registry,
        )
        for partition, batch in self._pipeline.take().batches:
            self.queues[partition].append(batch)
        progress, now = self._progress[place], self._shared.clock.now
        if records:
            more = log.read(records[-1].offset + 1, 1)
            self._positions[place] = records[-1].offset + 1 if more else log.end
            progress.read(records[-1].offset, max(one.received for one in records), now)
        if self._positions[place] == log.end:
            progress.reached(log.end)

    def ask(self, place: TopicPlace) -> None:
        """Ask for a source's end, or get the answer to the last such question."""
        if place in self._asked:
            self._progress[place].answered(*self._asked.pop(place))
        else:
            end = self._shared.cluster.log(*place).end
            self._asked[place] = (self._shared.clock.now, end)

    def report(self) -> None:
        """Tell every partition how far the sources are complete."""
        claims = [(place, progress.claim()) for place, progress in self._progress.items()]
        progress = [Progress(*place, one.offset, one.time) for place, one in claims if one]
        if progress:
            batch = progress_batch(progress, self._shared.routing.topic_ids)
            for queue in self.queues:
                queue.append(batch)

    def send(self, partition: int, most: int) -> None:
        """The brokers take the next batches of one partition."""
        queue = self.queues[partition]
        for _ in range(min(most, len(queue))):
            self._shared.cluster.log("commands", partition).append(queue.popleft())

    def flush(self) -> None:
        """The brokers take everything."""
        for partition, queue in enumerate(self.queues):
            self.send(partition, len(queue))

    def commit(self) -> None:
        """Commit offsets, once everything is with the brokers."""
        self.flush()
        self._shared.committed.update(self._positions)

    @property
    def places(self) -> list[TopicPlace]:
        """The sources that it reads."""
        return sorted(self._positions)


class Brokers(NamedTuple):
    """Where the logs are, and what time it is there."""

    cluster: Cluster
    clock: Clock


class Routing(NamedTuple):
    """What every router of a group knows."""

    registry: Registry
    ways: Mapping[str, Way]
    topic_ids: Mapping[str, bytes]
    places: list[TopicPlace]
    partitions: int


class Routers:
    """A group of routers that share the sources."""

    def __init__(self, brokers: Brokers, faults: Faults, routing: Routing, count: int) -> None:
        """Begin with `count` routers."""
        self.cluster, self.clock = brokers
        self.routing = routing
        self.committed: dict[TopicPlace, int] = {}
        self._faults = faults
        self._members = [Router(self) for _ in range(count)]
        self._zombies: list[Router] = []
        self._rebalance()

    def step(self) -> None:
        """One router does one thing, or something happens to it."""
        random, faults = self._faults.random, self._faults
        if faults.happens("router_crash", 0.5):
            self._members[random.randrange(len(self._members))] = Router(self)
            self._rebalance()
        elif faults.happens("router_zombie", 0.5):
            at = random.randrange(len(self._members))
            self._zombies.append(self._members[at])
            self._members[at] = Router(self)
            self._rebalance()
        elif faults.happens("router_rebalance", 0.5):
            for router in self._members:
                router.commit()
            self._rebalance()
        elif self._zombies and random.random() < 0.1:
            self._linger()
        else:
            self._act(random.choice(self._members))

    def settle(self) -> None:
        """Nothing fails any more: those who linger go, everything is read, sent and reported."""
        self._zombies.clear()
        self._members = [Router(self) for _ in self._members]
        self._rebalance()
        for router in self._members:
            for place in router.places:
                router.read(place, 1 << 30)
                router.ask(place)
                router.ask(place)
            router.report()
            router.commit()

    def _act(self, router: Router) -> None:
        random = self._faults.random
        what = random.random()
        if what < 0.45 and router.places:
            router.read(random.choice(router.places), random.randint(1, 10))
        elif what < 0.6:
            for place in router.places:
                router.read(place, 20)
                router.ask(place)
        elif what < 0.7:
            router.report()
        elif what < 0.98:
            router.send(random.randrange(self.routing.partitions), random.randint(1, 5))
        else:
            router.commit()

    def _linger(self) -> None:
        """What one that lost its sources had sent arrives late, or never."""
        random = self._faults.random
        zombie = random.choice(self._zombies)
        zombie.send(random.randrange(self.routing.partitions), 3)
        if random.random() < 0.2:
            self._zombies.remove(zombie)

    def _rebalance(self) -> None:
        shares: list[set[TopicPlace]] = [set() for _ in self._members]
        for place in self.routing.places:
            self._faults.random.choice(shares).add(place)
        for router, share in zip(self._members, shares, strict=True):
            router.assign(share)
