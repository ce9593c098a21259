"""Which stage reads and writes which topics, as data; checks and prints of it."""

from collections.abc import Iterator
from typing import Final

from msgspec import Struct

from topology import tables, topics
from topology.topics import Partitions, TopicSpec


class Stage(Struct, frozen=True, kw_only=True):
    """One box of the picture: a process or command of Countermand, or a program of its users.

    `reads` and `writes` are the topics whose records it fetches and produces; `outside` marks what
    runs users' code or by users' command; a `transactional` stage writes in transactions alone.
    """

    name: str
    reads: tuple[TopicSpec, ...] = ()
    writes: tuple[TopicSpec, ...] = ()
    outside: bool = False
    transactional: bool = False


USERS: Final = Stage(name="your services", writes=(topics.EVENTS, topics.CANCELS), outside=True)
DEPLOYERS: Final = Stage(
    name="functions apply", reads=(topics.FUNCTIONS,), writes=(topics.FUNCTIONS,), outside=True
)
OPERATORS: Final = Stage(
    name="dead-letters redrive",
    reads=(topics.DEAD_LETTERS,),
    writes=(topics.EVENTS, topics.CANCELS, *topics.ROUTED),
    outside=True,
)
API: Final = Stage(
    name="API",
    reads=(topics.FUNCTIONS, topics.DEAD_LETTERS),
    # What `dead-letters redrive` writes, too.
    writes=(topics.FUNCTIONS, topics.EVENTS, topics.CANCELS, *topics.ROUTED),
)
READ_MODEL: Final = Stage(
    name="read model",
    reads=(topics.RUNS, topics.REQUESTS, topics.REQUEST_PROGRESS),
)
WORKERS: Final = Stage(
    name="your workers",
    reads=(topics.FUNCTIONS, topics.RUNS, topics.STEPS, topics.CANCELLED),
    writes=(topics.FUNCTIONS, topics.RUN_UPDATES, topics.STEPS, topics.DEAD_LETTERS),
    outside=True,
)
BRIDGE: Final = Stage(
    name="inngest",
    reads=(topics.FUNCTIONS, topics.APPS, topics.RUNS, topics.STEPS),
    writes=(topics.FUNCTIONS, topics.APPS, topics.EVENTS, topics.RUN_UPDATES, topics.STEPS),
)
CLEANUP: Final = Stage(name="your cleanup consumers", reads=(topics.CANCELLED,), outside=True)
ROUTER: Final = Stage(
    name="router",
    reads=(
        topics.EVENTS,
        topics.CANCELS,
        topics.RUN_UPDATES,
        topics.REQUESTS,
        topics.REPLAYED,
        topics.FUNCTIONS,
    ),
    writes=(topics.COMMANDS, topics.DEAD_LETTERS),
)
JOINER: Final = Stage(
    name="joiner",
    reads=(topics.COMMANDS, topics.FORWARDS, topics.STATE),
    writes=(
        topics.STATE,
        topics.FORWARDS,
        topics.RUNS,
        topics.CANCELLED,
        topics.REPLAYED,
        topics.REQUEST_PROGRESS,
        topics.DEAD_LETTERS,
    ),
    transactional=True,
)

STAGES: Final = (
    USERS, DEPLOYERS, OPERATORS, API, ROUTER, JOINER, READ_MODEL, WORKERS, BRIDGE, CLEANUP,
)  # fmt: skip


def writers(topic: TopicSpec) -> tuple[Stage, ...]:
    """The stages that write a topic."""
    return tuple(stage for stage in STAGES if topic in stage.writes)


def problems(stages: tuple[Stage, ...] = STAGES) -> Iterator[str]:
    """Each contradiction between `stages`, the topics and the design, as a sentence."""
    for topic in topics.TOPICS:
        if not any(topic in stage.writes for stage in stages):
            yield f"{topic.name} has no writer"
        if not any(topic in stage.reads for stage in stages):
            yield f"{topic.name} has no reader"
    for stage in stages:
        joins = topics.STATE in stage.writes
        free = {t.name for t in stage.writes + stage.reads if t.partitions is not Partitions.SHARED}
        if joins and free:
            yield f"{', '.join(free)}: joiner p writes partition p, so its topics share one count"
        if topics.COMMANDS in stage.writes and stage.transactional:
            yield "commands must have contiguous offsets, so nobody writes it in transactions"
    if topics.STATE.cleanup != "compact":
        yield "state must be compacted and never expire: it is the only full copy of the rows"
    spaces = [space.value for space in tables.Space]
    if len(set(spaces)) != len(spaces) or any(len(space) != 1 for space in spaces):
        yield "spaces of rows are told apart by one byte each"


def validate(stages: tuple[Stage, ...] = STAGES) -> None:
    """Check the wiring.

    Raises:
        ValueError: it contradicts the design; the message has every contradiction.
    """
    if contradictions := list(problems(stages)):
        raise ValueError("\n".join(contradictions))


def text() -> str:
    """The topology for a terminal: topics, then stages, then spaces of rows."""
    width = max(len(topic.name) for topic in topics.TOPICS)
    lines = ["TOPICS"]
    for topic in topics.TOPICS:
        kept = f"{topic.cleanup}, {topic.partitions.value}"
        by = ", ".join(
            stage.name + " in transactions" * stage.transactional for stage in writers(topic)
        )
        lines.append(f"  {topic.name:<{width}}  {topic.content}  [{kept}; written by {by}]")
    lines.append("STAGES")
    for stage in STAGES:
        reads = ", ".join(topic.name for topic in stage.reads) or "-"
        writes = ", ".join(topic.name for topic in stage.writes) or "-"
        lines.append(f"  {stage.name}: {reads} -> {writes}")
    lines.append("ROWS (one RocksDB per partition)")
    for space in tables.Space:
        kept = "derived" if space.value in tables.DERIVED else "changelog"
        kept = "local" if space is tables.Space.CHECKPOINT else kept
        lines.append(f"  {space.value.decode('latin-1')!r:<7} {space.name.lower():<14} {kept}")
    return "\n".join(lines)


def mermaid() -> str:
    """The topology as a Mermaid flowchart."""
    lines = ["flowchart LR"]
    for stage in STAGES:
        shape = f'(["{stage.name}"])' if stage.outside else f'["<b>{stage.name}</b>"]'
        lines.append(f"  {_id(stage.name)}{shape}")
    lines += [f"  {_id(topic.name)}[({topic.name})]" for topic in topics.TOPICS]
    for stage in STAGES:
        both = [topic for topic in stage.writes if topic in stage.reads]
        for topic in stage.reads:
            if topic not in both:
                lines.append(f"  {_id(topic.name)} --> {_id(stage.name)}")
        for topic in stage.writes:
            arrow = "<-->" if topic in both else "-->"
            lines.append(f"  {_id(stage.name)} {arrow} {_id(topic.name)}")
    return "\n".join(lines)


def _id(name: str) -> str:
    return name.replace(" ", "_").replace("-", "_").replace(",", "")
