"""The topics: what each holds and how Kafka keeps it. Who writes them: `topology.graph`."""

from enum import Enum
from typing import Final, TypeAlias

from msgspec import Struct

from topology import limits

# A topic's full name and the number of one of its partitions.
TopicPlace: TypeAlias = tuple[str, int]
_SAFE_REPLICAS: Final = 3


class Owner(Enum):
    """Whose topic it is: inputs are users' own, all others are Countermand's."""

    USER = "user"
    COUNTERMAND = "countermand"


class Partitions(Enum):
    """How many partitions a topic has."""

    SHARED = "the shared count, fixed for life"
    ONE = "one"
    FREE = "any"


class TopicSpec(Struct, frozen=True, kw_only=True):
    """A topic: its name without the prefix, what it holds, and how it must be created.

    `retention_ms` is None for Kafka's default; `extra` holds further options of Kafka by name. An
    `optional` topic is younger than deployments may be: only what reads it needs it.
    """

    name: str
    key: str
    content: str
    partitions: Partitions = Partitions.SHARED
    cleanup: str = "delete"
    owner: Owner = Owner.COUNTERMAND
    log_append_time: bool = False
    retention_ms: int | None = None
    extra: dict[str, str] = {}
    optional: bool = False

    def config(self, replication_factor: int) -> dict[str, str]:
        """The topic's options by Kafka's names; three replicas or more need two in sync."""
        config = {"cleanup.policy": self.cleanup, "max.message.bytes": str(limits.MESSAGE_BYTES)}
        if self.log_append_time:
            config["message.timestamp.type"] = "LogAppendTime"
        if self.retention_ms is not None:
            config["retention.ms"] = str(self.retention_ms)
        if replication_factor >= _SAFE_REPLICAS:
            config["min.insync.replicas"] = "2"
        return config | self.extra


_WEEK: Final = 7 * limits.DAY_MS

EVENTS: Final = TopicSpec(
    name="events",
    key="any",
    content="events that may trigger functions, or cancel",
    partitions=Partitions.FREE,
    owner=Owner.USER,
    log_append_time=True,
    retention_ms=_WEEK,
)
CANCELS: Final = TopicSpec(
    name="cancels",
    key="any",
    content="cancel events",
    partitions=Partitions.FREE,
    owner=Owner.USER,
    log_append_time=True,
    retention_ms=_WEEK,
)
FUNCTIONS: Final = TopicSpec(
    name="functions",
    key="<slug>/<ULID>",
    content="versions of functions",
    partitions=Partitions.ONE,
    cleanup="compact",
    log_append_time=True,
)
RUN_UPDATES: Final = TopicSpec(
    name="run-updates",
    key="run id",
    content="claims, heartbeats, ends",
    partitions=Partitions.FREE,
    log_append_time=True,
    retention_ms=_WEEK,
)
REQUESTS: Final = TopicSpec(
    name="requests",
    key="id of what is addressed",
    content="requests",
    partitions=Partitions.FREE,
    log_append_time=True,
    retention_ms=limits.PENDING_FOR_MS,
)
COMMANDS: Final = TopicSpec(
    name="commands",
    key="none",
    content="command batches",
    retention_ms=_WEEK,
)
FORWARDS: Final = TopicSpec(
    name="forwards",
    key="none",
    content="commands for another partition",
    retention_ms=_WEEK,
)
REPLAYED: Final = TopicSpec(
    name="replayed",
    key="original run id",
    content="events of replayed runs",
    log_append_time=True,
    retention_ms=_WEEK,
)
STATE: Final = TopicSpec(
    name="state",
    key="row key",
    content="changelog of the joiner's tables",
    cleanup="compact",
    extra={
        "segment.bytes": str(64 * 1024 * 1024),
        "min.cleanable.dirty.ratio": "0.1",
        "delete.retention.ms": str(limits.DAY_MS),
    },
)
RUNS: Final = TopicSpec(
    name="runs",
    key="run id",
    content="every status change of every run",
    cleanup="compact",
    extra={"min.compaction.lag.ms": str(limits.UNCOMPACTED_MS)},
)
STEPS: Final = TopicSpec(
    name="steps",
    key="run id and step",
    content="step results",
    cleanup="compact",
)
APPS: Final = TopicSpec(
    name="apps",
    key="app id",
    content="where apps of other SDKs are reached",
    partitions=Partitions.ONE,
    cleanup="compact",
    optional=True,
)
CANCELLED: Final = TopicSpec(
    name="cancelled",
    key="run id",
    content="`function.cancelled` events",
    log_append_time=True,
    retention_ms=limits.PENDING_FOR_MS,
)
REQUEST_PROGRESS: Final = TopicSpec(
    name="request-progress",
    key="<request id>/<partition>",
    content="progress",
    cleanup="compact,delete",
    retention_ms=limits.PENDING_FOR_MS,
)
DEAD_LETTERS: Final = TopicSpec(
    name="dead-letters",
    key="original key",
    content="what could not be read, and why",
    retention_ms=limits.PENDING_FOR_MS,
)

TOPICS: Final = (
    EVENTS, CANCELS, FUNCTIONS, RUN_UPDATES, REQUESTS, COMMANDS, FORWARDS, REPLAYED, STATE, RUNS,
    STEPS, APPS, CANCELLED, REQUEST_PROGRESS, DEAD_LETTERS,
)  # fmt: skip
# What routers read besides the inputs; the watermark waits for these too.
ROUTED: Final = (REPLAYED, RUN_UPDATES, REQUESTS)
