"""Command batches: bounded, in order, each entry whole, each definition once."""

from collections import Counter

import pytest

from streams.router.batches import Batches, Encoded, Progress, progress_batch
from streams.router.drafts import Draft, Registration, Routed
from streams.router.record import Record
from topology import codec, limits
from topology.records import (
    Cancel,
    Command,
    CommandBatch,
    Complete,
    Definition,
    Listen,
    Listener,
    Match,
    Register,
    Topic,
    Update,
)

IDS = {"events": b"e" * 16, "cancels": b"c" * 16}
KEY = b"k" * 16
CANCEL = Cancel((Match(KEY),))


def record(offset: int, topic: str = "events") -> Record:
    """A record at partition 3 of a topic."""
    return Record(topic, 3, offset, 1_000 + offset)


def register(definition: int = 0) -> Register:
    """A registration of the definition with this number."""
    return Register(definition, KEY, KEY, (Listener(KEY, 0, 0),))


def definition(slug: str, version: int = 1, size: int = 100) -> Definition:
    """A version of a function whose body has some size."""
    return Definition(slug, version, b"b" * size)


@pytest.fixture
def batches() -> Batches:
    """Batches of two topics."""
    return Batches(IDS)


def decoded(encoded: list[Encoded]) -> list[tuple[int, CommandBatch]]:
    """Batches as joiners read them; each is checked against the limits."""
    found = []
    for partition, data in encoded:
        batch = codec.COMMANDS.decode(data)
        commands = sum(len(entry.commands) for entry in batch.entries)
        assert len(data) <= limits.MESSAGE_BYTES
        if len(batch.entries) > 1:
            assert commands <= limits.BATCH_COMMANDS
            assert len(data) <= limits.BATCH_BYTES
        found.append((partition, batch))
    return found


def test_entry_holds_position_event_and_commands(batches: Batches) -> None:
    """An entry says where its record lay, when it was received, and all that it gives there."""
    draft = Draft([register(), CANCEL], b"{}", [definition("f")])
    assert batches.add(record(7), Routed({5: draft})) is None
    encoded, counts = batches.take()
    [(partition, batch)] = decoded(encoded)
    assert partition == 5
    assert batch.topics == (Topic("events", IDS["events"]),)
    assert batch.definitions == (definition("f"),)
    [entry] = batch.entries
    assert (entry.topic, entry.partition, entry.offset, entry.received) == (0, 3, 7, 1_007)
    assert entry.event == b"{}"
    assert entry.commands == (register(), CANCEL)
    assert counts == Counter({Register: 1, Cancel: 1})


def test_taken_batches_are_gone(batches: Batches) -> None:
    """What was taken is not given again."""
    batches.add(record(7), Routed({5: Draft([CANCEL])}))
    batches.take()
    assert batches.take() == ([], Counter())


def test_topics_and_definitions_are_there_once(batches: Batches) -> None:
    """Entries refer to topics and definitions of their batch by number, whatever came first."""
    f, g, newer = definition("f"), definition("g", 2), definition("f", 3)
    batches.add(record(1, "cancels"), Routed({0: Draft([CANCEL])}))
    batches.add(record(1), Routed({0: Draft([register(0), register(1)], b"", [f, g])}))
    batches.add(record(2), Routed({0: Draft([register(0)], b"", [g])}))
    batches.add(record(3), Routed({0: Draft([CANCEL, register(1), register(0)], b"", [newer, f])}))
    [(_, batch)] = decoded(batches.take()[0])
    assert [topic.name for topic in batch.topics] == ["cancels", "events"]
    assert [entry.topic for entry in batch.entries] == [0, 1, 1, 1]
    assert batch.definitions == (f, g, newer)
    numbers = [
        [one.definition for one in entry.commands if type(one) is Register]
        for entry in batch.entries
    ]
    assert numbers == [[], [0, 1], [1], [0, 2]]


def test_batches_of_a_partition_keep_the_order(batches: Batches) -> None:
    """Entries of one source come in their order, across batches too."""
    for offset in range(2_000):
        batches.add(record(offset), Routed({offset % 3: Draft([CANCEL], b"e" * (offset % 700))}))
    seen: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for partition, batch in decoded(batches.take()[0]):
        seen[partition] += [entry.offset for entry in batch.entries]
    assert seen == {number: list(range(number, 2_000, 3)) for number in range(3)}


def test_batch_is_full_at_500_commands(batches: Batches) -> None:
    """An entry that would make it more begins the next batch; entries are never split."""
    for offset in range(4):
        batches.add(record(offset), Routed({0: Draft([CANCEL] * 200)}))
    assert [
        [len(entry.commands) for entry in batch.entries] for _, batch in decoded(batches.take()[0])
    ] == [[200, 200], [200, 200]]


def test_batch_is_full_at_256_kib(batches: Batches) -> None:
    """Sizes are bounded from above, definitions included."""
    for offset in range(40):
        own = definition(f"f{offset % 20}", offset % 20, 20_000)
        batches.add(record(offset), Routed({0: Draft([register()], b"e" * 20_000, [own])}))
    found = decoded(batches.take()[0])
    assert sum(len(batch.entries) for _, batch in found) == 40
    assert all(1 < len(batch.entries) < 13 for _, batch in found[:-1])
    for _, batch in found:
        for entry in batch.entries:
            [command] = entry.commands
            assert isinstance(command, Register)
            assert batch.definitions[command.definition].version == entry.offset % 20


@pytest.mark.parametrize(
    "draft",
    [
        Draft([CANCEL] * 3_000, b"e" * limits.EVENT_BYTES),
        Draft([Update(KEY, b"", "heartbeat", 1, "w" * 128)] * limits.HEARTBEAT_RUNS),
        Draft([Listen(KEY, (Listener(KEY, 0, 0),) * 300)] * 100),
    ],
    ids=["cancels", "heartbeats", "listens"],
)
def test_large_entry_is_a_batch_of_its_own(batches: Batches, draft: Draft) -> None:
    """What is larger than a batch travels alone, in its place."""
    for offset, one in enumerate([Draft([CANCEL]), draft, Draft([CANCEL])]):
        assert batches.add(record(offset), Routed({0: one})) is None
    found = decoded(batches.take()[0])
    assert [[entry.offset for entry in batch.entries] for _, batch in found] == [[0], [1], [2]]


def test_entry_that_no_message_takes_is_refused_whole(batches: Batches) -> None:
    """None of its output is taken: half of a record's output would be a lie."""
    definitions = [definition(f"f{number}", number, 60_000) for number in range(40)]
    commands: list[Command] = [register(number) for number in range(40)]
    rejection = batches.add(
        record(0), Routed({0: Draft([CANCEL]), 1: Draft(commands, b"e" * 1_000, definitions)})
    )
    assert rejection is not None
    assert rejection.kind == "too_many_commands"
    assert batches.take() == ([], Counter())


def test_runs_whose_output_no_transaction_holds_are_refused_whole(batches: Batches) -> None:
    """S39: a large event that starts many runs in one partition would be tried again for ever."""
    event = b"e" * 500_000
    most = limits.ENTRY_BYTES // (2 * len(event) + limits.REGISTRATION_BYTES + 4_000)
    drafts = {
        number: Draft(
            [register(one) for one in range(number)],
            event,
            [definition(f"f{one}", one, 4_000) for one in range(number)],
        )
        for number in (most, most + 1)
    }
    rejection = batches.add(record(0), Routed({0: Draft([CANCEL]), 1: drafts[most + 1]}))
    assert rejection is not None
    assert rejection.kind == "too_many_runs"
    assert f"starts {most + 1} runs in one partition" in rejection.message
    assert batches.take() == ([], Counter())
    assert batches.add(record(0), Routed({1: drafts[most], 2: drafts[most]})) is None


def test_many_small_definitions_are_no_reason_to_refuse(batches: Batches) -> None:
    """Only what is really too large is refused, not what might be."""
    definitions = [definition(f"f{number}", number) for number in range(200)]
    commands: list[Command] = [register(number) for number in range(200)]
    assert batches.add(record(0), Routed({0: Draft(commands, b"", definitions)})) is None
    [(_, batch)] = decoded(batches.take()[0])
    assert batch.definitions == tuple(definitions)


def test_bound_is_never_below_what_is_written(batches: Batches) -> None:
    """The longest of every kind of command stays within its bound."""
    match = Match(KEY, 2**63 - 1, everywhere=True)
    listener = Listener(KEY, 2**31, 2**63 - 1)
    far = Register(0, KEY, KEY, (listener,) * 9, (match,) * 9, 2**63 - 1)
    told = Update(KEY, KEY, "completed", 2**31, "é" * 128, "é" * 256, 2**48, ("é" * 256, "é" * 99))
    for command in (far, told, Cancel((match,) * 99), Listen(KEY, (listener,) * 99)):
        draft = Draft([command], b"", [definition("f", 2**40)] if command is far else [])
        batches.add(Record("events", 2**31, 2**62, 2**48), Routed({0: draft}))
        [(_, data)] = batches.take()[0]
        assert len(data) <= draft.size + 1_024 + 200


def test_progress_is_one_batch_for_all() -> None:
    """A router's progress names each topic once."""
    data = progress_batch(
        [
            Progress("events", 0, 7, 100),
            Progress("cancels", 0, -1, 90),
            Progress("events", 1, 8, 0),
        ],
        IDS,
    )
    assert codec.COMMANDS.decode(data) == CommandBatch(
        topics=(Topic("events", IDS["events"]), Topic("cancels", IDS["cancels"])),
        progress=(Complete(0, 0, 7, 100), Complete(1, 0, -1, 90), Complete(0, 1, 8, 0)),
    )


def a_registration(event: bytes) -> Registration:
    """A run of partition 5."""
    return Registration(5, definition("f"), KEY, KEY, (Listener(KEY, 0, 0),), event, b"i" * 16)


def test_a_registration_takes_the_bytes_of_its_output(batches: Batches) -> None:
    """Whether it is put into a batch as it is, or as the output of any record."""
    one, others = a_registration(b"{}"), Batches(IDS)
    assert batches.register(record(7), one)
    assert others.add(record(7), one.routed()) is None
    assert batches.take() == others.take()


def test_a_registration_that_may_be_too_large_is_left_to_be_measured(batches: Batches) -> None:
    """Its true size is found where all outputs are."""
    assert not batches.register(record(7), a_registration(b"e" * limits.MESSAGE_BYTES))
    assert batches.take() == ([], Counter())
