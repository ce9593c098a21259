"""Bad input is answered as design section 8 says, and everything else goes on."""

from random import Random
from typing import Any

import pytest
from msgspec.structs import replace

from streams.errors import UnreadableError
from tests.support.driver import Driver
from topology import codec, limits
from topology.records import CommandBatch, Entry, Listen

FUNCTIONS = """
functions:
  - id: generate
    app: reports
    triggers: [{event: report/requested}]
    cancel_on: [{event: report/cancelled, match: data.reportId}]
"""
GOOD = b'{"name": "report/requested", "data": {"reportId": "r1"}}'
DEEP = b'{"name": "a", "data": ' + b'{"a":' * 300 + b"1" + b"}" * 301


@pytest.fixture
def driver() -> Driver:
    """A driver with one function."""
    return Driver(FUNCTIONS)


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (None, "no_value"),
        (b"", "not_json"),
        (b"{", "not_json"),
        (b"\xff\xfe", "not_json"),
        (b"[1]", "not_an_object"),
        (b'"report/requested"', "not_an_object"),
        (b'{"data": {}}', "no_name"),
        (b'{"name": 7}', "no_name"),
        (b'{"name": ""}', "no_name"),
        (b'{"name": "%s"}' % (b"n" * 257), "name_too_long"),
        (b'{"name": "a", "data": [1]}', "data_not_an_object"),
        (b'{"name": "a", "data": {"n": NaN}}', "not_json"),
        (b'{"name": "a", "data": {"n": 1e400}}', "not_json"),
        (b'{"name": "a", "data": {"n": 9223372036854775808}}', "integer_too_large"),
        (b'{"name": "a", "data": {"n": "\\ud800"}}', "not_json"),
        (b'{"name": "a", "data": {}, "ts": "yesterday"}', "bad_ts"),
        (b'{"name": "a", "data": {}, "id": 7}', "bad_id"),
        (b'{"name": "a", "data": {"t": "%s"}}' % (b"x" * limits.EVENT_BYTES), "too_large"),
        (DEEP, None),
    ],
)
def test_what_is_no_event_is_a_dead_letter(
    driver: Driver, value: bytes | None, kind: str | None
) -> None:
    """The original bytes go to dead-letters with the reason, the next record is taken."""
    driver.record(value)
    driver.record(GOOD)

    (letter,) = driver.dead_letters()
    assert kind in {None, letter["class"]}
    assert (letter["topic"], letter["partition"], letter["offset"]) == ("events", "0", "0")
    assert (
        letter["value"].encode("utf-8", "replace")[:9]
        == (value or b"").decode(errors="replace").encode()[:9]
    )
    assert len(driver.runs()) == 1


def test_an_unknown_event_name_is_ignored(driver: Driver) -> None:
    """A name that nothing listens to is counted and gone."""
    driver.event("nobody/listens")

    assert driver.router_counts["ignored", "events"] == 1
    assert driver.dead_letters() == []


@pytest.mark.parametrize(("beyond_ms", "runs"), [(0, 1), (1, 0)])
def test_a_start_beyond_pending_for_is_refused(driver: Driver, beyond_ms: int, runs: int) -> None:
    """A ts later than receipt + pending_for would be given up before it starts."""
    at = driver.now + 1
    driver.event("report/requested", ts=at + limits.PENDING_FOR_MS + beyond_ms, reportId="r1")

    assert len(driver.runs()) == runs
    assert ["reports-generate" in one["message"] for one in driver.dead_letters()] == [
        True
    ] * beyond_ms


def test_an_update_of_an_unknown_run_is_ignored(driver: Driver) -> None:
    """A run id that nobody has is counted."""
    driver.update("completed", run_id="01HF7YAVYHRNC0GFEA02R0RXD0", attempt=1)

    assert driver.count("ignored_updates", "unknown_run") == 1


@pytest.mark.parametrize(
    "update",
    [
        {"status": "finished", "run_id": "01HF7YAVYHRNC0GFEA02R0RXD0", "attempt": 1},
        {"status": "completed", "run_id": "no ulid", "attempt": 1},
        {"status": "completed", "run_id": "01HF7YAVYHRNC0GFEA02R0RXD0"},
        {"status": "completed", "run_id": "01HF7YAVYHRNC0GFEA02R0RXD0", "attempt": 0},
        {"status": "running", "run_id": "01HF7YAVYHRNC0GFEA02R0RXD0", "attempt": 1},
        {"status": "sleeping", "run_id": "01HF7YAVYHRNC0GFEA02R0RXD0", "attempt": 1},
        {"status": "completed"},
        {"status": "heartbeat"},
    ],
)
def test_a_malformed_update_is_a_dead_letter(driver: Driver, update: dict[str, Any]) -> None:
    """What a worker says wrongly is kept for it to see."""
    driver.update(str(update.pop("status")), **update)

    (letter,) = driver.dead_letters()
    assert letter["topic"] == "run-updates"


def test_a_thousand_malformed_records_leave_everything_running(driver: Driver) -> None:
    """Noise on every topic lands in dead-letters, and the next event is handled as ever."""
    random = Random(1)
    for _ in range(1_000):
        noise = bytearray(GOOD)
        for _ in range(random.randint(1, 8)):
            noise[random.randrange(len(noise))] = random.randrange(256)
        topic = random.choice(("events", "cancels", "run-updates", "requests"))
        driver.record(b"\x00" + bytes(noise), topic=topic, partition=random.randrange(2))

    run = driver.event("report/requested", reportId="last")
    driver.cancel("report/cancelled", reportId="last")

    assert len(driver.dead_letters()) == 1_000
    assert driver.status(run) == "cancelled"


def test_a_batch_of_an_unknown_version_stops_its_partition(driver: Driver) -> None:
    """A joiner that is older than its routers stops with a clear error, and never skips."""
    batch = bytearray(codec.COMMANDS.encode(CommandBatch()))
    batch[0] += 1

    with pytest.raises(UnreadableError, match=r"commands/0@0 .*upgrade every joiner"):
        driver.send_batch(bytes(batch), 0)

    assert driver.partitions[0].applied.commands == -1


def test_a_command_that_can_not_be_decided_is_a_dead_letter() -> None:
    """One poisonous command doesn't stop a partition: the others of its batch go on."""
    driver = Driver(FUNCTIONS, partitions=1)
    with driver.down():
        with driver.unread():
            runs = [driver.event("report/requested", reportId=f"r{number}") for number in range(3)]
        driver.read()
        log = driver.cluster.log("commands", 0)
        batch = codec.COMMANDS.decode(log.records[-1].value or b"")
        first, poisoned, last = batch.entries
        (register,) = poisoned.commands
        # The batch has no such definition.
        poisoned = replace(poisoned, commands=(replace(register, definition=1),))
        batch = replace(batch, entries=(first, poisoned, last))
        log.records[-1] = log.records[-1]._replace(value=codec.COMMANDS.encode(batch))

    assert [bool(driver.runs(run)) for run in runs] == [True, False, True]
    (letter,) = driver.dead_letters()
    assert (letter["stage"], letter["offset"]) == ("joiner", "1")


def test_an_entry_that_fails_outside_its_commands_stops_the_partition(driver: Driver) -> None:
    """A batch without the topic of its entry is never decided, and never skipped either."""
    entry = Entry(0, 0, 0, driver.now, b"", (Listen(bytes(16), ()),))

    with pytest.raises(UnreadableError, match=r"commands/0@0 .*SKIP_RECORDS"):
        driver.send_batch(codec.COMMANDS.encode(CommandBatch(entries=(entry,))), 0)

    assert driver.partitions[0].applied.commands == -1
