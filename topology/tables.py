"""The joiner's rows: what they hold, and how their keys are laid out. One RocksDB per partition.

The first byte of a key names the space of the row. Facts are written to the changelog. Derived
rows (`DERIVED`) are not: `streams.joiner.decide.derive` makes them from facts, when writing and
when restoring. A listener is a fact only where the run's home is another partition.
"""

from collections.abc import Iterable
from enum import Enum
from typing import Final, TypeAlias

from msgspec import Struct

from topology.keys import RUN_ID_BYTES, TIME_END_MS, function_digest, received_ms
from topology.records import CancelEvent, Listener, LongRequest, Match, Position
from topology.statuses import UNFINISHED, Status


class Space(bytes, Enum):
    """The first byte of a row's key, and what the rest of the key is."""

    CHECKPOINT = b"\x00"  # one row, on disk only: how far the disk follows the changelog
    APPLIED = b"a"  # one row
    BARRIER = b"b"  # one row; a restore that has read it has read everything
    SOURCE = b"s"  # topic id, partition
    FUNCTION = b"f"  # slug, NUL, version
    EVENT = b"e"  # run id
    RUN = b"r"  # run id; without a row the run is as it was registered
    LISTENER = b"l"  # match key, run id, rule
    HELD_CANCEL = b"h"  # match key, until, position
    HELD_MATCH = b"m"  # run id, position, first occurrences
    HELD_UNLISTEN = b"u"  # run id
    HELD_UPDATE = b"p"  # event key (or, during its meeting, run id), until, position
    REFUSED_CANCEL = b"c"  # digest of function and position, until
    FIRST_CANCEL = b"o"  # digest of match key and identity, until
    MEETING = b"n"  # run id
    DELIVERY = b"d"  # match key, run id, rule
    POSTPONED = b"x"  # match key, position, target
    FAN_OUT = b"w"  # match key, received, position
    REQUEST = b"q"  # request id
    TIMER = b"t"  # due, key of the row that it concerns
    BY_EVENT = b"i"  # event key, which event and home key; the value is run ids
    BY_FUNCTION = b"g"  # digest of the function, run id; the value is a letter for the status
    RUNS_OF_VERSION = b"v"  # slug, NUL, version; the value is how many runs there are of it


DERIVED: Final = frozenset({Space.TIMER, Space.BY_EVENT, Space.BY_FUNCTION, Space.RUNS_OF_VERSION})

# Sets of spaces by their numbers: a key is in one of them if `key[0]` is in the set.
RUN_SPACES: Final = frozenset({Space.EVENT[0], Space.RUN[0]})
HELD_SPACES: Final = frozenset(
    {
        Space.HELD_CANCEL[0],
        Space.HELD_MATCH[0],
        Space.HELD_UNLISTEN[0],
        Space.HELD_UPDATE[0],
        Space.REFUSED_CANCEL[0],
        Space.FIRST_CANCEL[0],
    }
)
# Those that a new run looks for, so that an index of their prefixes is kept.
MET_SPACES: Final = HELD_SPACES - {Space.REFUSED_CANCEL[0], Space.FIRST_CANCEL[0]}
# Long work, of which each transaction does a slice; requests that scan runs are long work, too.
WORK_SPACES: Final = frozenset(
    {Space.FAN_OUT[0], Space.MEETING[0], Space.DELIVERY[0], Space.POSTPONED[0]}
)
# Spaces that are scanned by prefix: the space's byte and 16 bytes of a digest or a run id.
SCANNED_SPACES: Final = HELD_SPACES | {Space.LISTENER[0], Space.FAN_OUT[0], Space.BY_EVENT[0]}

# Spaces whose keys are cut into parts: the byte of the space, and 16 bytes at least.
_WITH_PARTS: Final = SCANNED_SPACES | WORK_SPACES | RUN_SPACES | {Space.REQUEST[0]}
SHORTEST_KEYS: Final = dict.fromkeys(_WITH_PARTS, 17)

# What all keys of a space begin with; `LISTENERS + match_key` is a prefix to be scanned.
EVENTS: Final = Space.EVENT.value
LISTENERS: Final = Space.LISTENER.value
HELD_CANCELS: Final = Space.HELD_CANCEL.value
HELD_MATCHES: Final = Space.HELD_MATCH.value
HELD_UPDATES: Final = Space.HELD_UPDATE.value
FAN_OUTS: Final = Space.FAN_OUT.value
MEETINGS: Final = Space.MEETING.value
DELIVERIES: Final = Space.DELIVERY.value
POSTPONED: Final = Space.POSTPONED.value
REQUESTS: Final = Space.REQUEST.value
SOURCES: Final = Space.SOURCE.value
TIMERS: Final = Space.TIMER.value

# Where parts of a key lie: `key[LISTENER_RUN]` is the run id in a listener's key.
PREFIX: Final = slice(17)
LISTENER_RUN: Final = slice(17, 33)
LISTENER_RULE: Final = 33
LISTED_RUN: Final = slice(17, 33)  # of a run in its function's list
FAN_OUT_MATCH_KEY: Final = slice(1, 17)
SOURCE_TOPIC: Final = slice(1, 17)  # the topic id in a source's key
RUN_WITHOUT_TIME: Final = slice(6, 16)  # of a run's id
RUN_OF_ROW: Final = slice(1, 17)  # of an event's row, a run's and a meeting's
HELD_UNDER: Final = slice(1, 17)  # what a held row is held under
DELIVERY_MATCH_KEY: Final = slice(1, 17)
DELIVERY_RUN: Final = slice(17, 33)
DELIVERY_RULE: Final = 33
TIMER_ROW: Final = slice(9, None)  # the key of the row that a timer concerns

_BYTES: Final = tuple(bytes([number]) for number in range(256))

APPLIED_KEY: Final = Space.APPLIED.value
BARRIER_KEY: Final = Space.BARRIER.value
CHECKPOINT_KEY: Final = Space.CHECKPOINT.value

# The whole value of a run in its function's list, by the text of its status.
LETTERS: Final[dict[str, bytes]] = {
    Status.SCHEDULED.value: b"s",
    Status.RUNNING.value: b"r",
    Status.SLEEPING.value: b"z",
    Status.COMPLETED.value: b"c",
    Status.FAILED.value: b"f",
    Status.CANCELLED.value: b"x",
    Status.SKIPPED.value: b"k",
    Status.EXPIRED.value: b"e",
}
# Scheduled too, and nothing has happened to the run since it was registered: it has no `RunRow`.
REGISTERED: Final = b"n"
UNFINISHED_LETTERS: Final = frozenset(LETTERS[status] for status in UNFINISHED) | {REGISTERED}

# The value of a row that only has to be there.
NOTED: Final = b"1"

CHECKPOINT_FORMAT: Final = 4


class AppliedRow(Struct, array_like=True, frozen=True):
    """How far a partition is: the last offsets applied (-1: none) and the watermark (ms).

    `commands_id` and `forwards_id` are the ids of the topics that the offsets belong to: a topic
    that is recreated has another id. `pending` is the number of unfinished runs. `partitions` is
    the shared count for which all rows of the partition were made (0: an older release's row).
    """

    commands: int = -1
    forwards: int = -1
    watermark: int = 0
    commands_id: bytes = b""
    forwards_id: bytes = b""
    pending: int = 0
    partitions: int = 0


class SourceRow(Struct, array_like=True, frozen=True):
    """How far a source is applied: every record up to `offset`, all received before `time` (ms)."""

    offset: int = -1
    time: int = -1


class EventRow(Struct, array_like=True, frozen=True):
    """What never changes of a run: its trigger event and what it was registered with.

    The `listeners` are in the run's home, the `remote` ones in other partitions. `due` (ms) is when
    the run's timer fires while the run has no `RunRow`. `identity`: the event's; empty at level 1.
    """

    slug: str
    version: int
    received: int
    position: Position
    event_key: bytes
    event: bytes
    due: int
    listeners: tuple[Listener, ...] = ()
    remote: tuple[Listener, ...] = ()
    dispatch_at: int = 0
    replay_of: bytes = b""
    replay_id: bytes = b""
    identity: bytes = b""


class RunRow(Struct, array_like=True, frozen=True):
    """What changes of a run. Without this row a run is scheduled, with seq 1 and attempt 1.

    `due` (ms) is when the run's one timer fires: the earliest time at which something happens to
    the run by itself. `kept_back`: the function was paused when the run came, and the watermark
    hasn't passed the run yet (S28). `cancellation` is the id of the cancellation that cancelled it.
    """

    status: str
    seq: int
    attempt: int
    dispatch: bool
    at: int
    due: int
    started_at: int = 0
    ended_at: int = 0
    stopped_at: int = 0
    sleep_until: int = 0
    lease_until: int = 0
    worker: str = ""
    last_step: str = ""
    error: tuple[str, str] | None = None
    cause: bytes = b""
    kept_back: bool = False
    cancellation: bytes = b""


class ListenerRow(Struct, array_like=True, frozen=True):
    """A listener whose run has another home; `until` (ms) is the listener's, 0 for no end."""

    until: int = 0


class FanOutRow(Struct, array_like=True, frozen=True):
    """A cancel event that meets its listeners in slices; `cursor` is the last listener's key."""

    cancel: CancelEvent
    cursor: bytes = b""


class MeetingRow(Struct, array_like=True, frozen=True, tag="meeting"):
    """A new run that has yet to meet what was held for it: so much of it that it takes slices.

    Of the held cancels under its listeners' keys it has met those before the listener of the index
    `listener` (all, if that is their number), and under that one's key those up to the key
    `cursor`. `lasts` has the last key of each listener at its registration: cancels that come later
    meet the run by themselves. `requests` are the keys of the requests that it has yet to meet.
    Until it has met all, it isn't dispatched, its timers don't fire, and updates of it wait.
    """

    listener: int = 0
    cursor: bytes = b""
    requests: tuple[bytes, ...] = ()
    lasts: tuple[bytes, ...] = ()


class DeliveryRow(Struct, array_like=True, frozen=True, tag="delivery"):
    """Held cancels that are sent to a run's home: those beyond the key `cursor`, up to `last`."""

    cursor: bytes
    last: bytes


class PostponedCancel(Struct, array_like=True, frozen=True, tag="postponed"):
    """A cancel event with matches that it has yet to meet.

    They are to be met here if `target` is -1, else in all partitions from that number on.
    """

    cancel: CancelEvent
    matches: tuple[Match, ...]
    target: int = -1


WorkRow: TypeAlias = MeetingRow | DeliveryRow | PostponedCancel


class Counts(Struct, array_like=True, frozen=True):
    """How many runs a request has scanned, changed and left alone in one partition (S21).

    Of the `scanned` runs, some had `already_ended`, some `matched`, and for some the evaluation of
    the request's condition `failed`.
    """

    scanned: int = 0
    matched: int = 0
    cancelled: int = 0
    replayed: int = 0
    already_ended: int = 0
    failed: int = 0


class RequestRow(Struct, array_like=True, frozen=True):
    """A request in one partition: at work, or a rule for later runs, or a guard against repeats.

    `state` is what users see. While the request is `scanning`, slices go on from the key `cursor`.
    `due` (ms) is when the request's timer fires (0: it has none). A request that is `over` applies
    to no run any more. `resumed_at` (ms) is when a pause's `resume` was received (0: not yet).
    `error` says why it failed, if it did.
    """

    command: LongRequest
    received: int
    state: str
    scanning: bool
    due: int = 0
    over: bool = False
    cursor: bytes = b""
    resumed_at: int = 0
    counts: Counts = Counts()
    sample: tuple[bytes, ...] = ()
    error: str = ""


class Checkpoint(Struct, array_like=True, frozen=True):
    """How far a disk follows the changelog: a topic id, the next offset, the time of writing (ms).

    The version of its codec is the format of all rows on the disk.
    """

    topic_id: bytes
    offset: int
    time: int


def source_key(topic_id: bytes, partition: int) -> bytes:
    """The key of a source's row."""
    return b"s" + topic_id + partition.to_bytes(4, "big")


def function_key(slug: str, version: int) -> bytes:
    """The key of a function version's row."""
    return b"f%s\x00%s" % (slug.encode(), version.to_bytes(8, "big"))


def runs_of_version_key(slug: str, version: int) -> bytes:
    """The key of the number of a function version's runs."""
    return b"v" + function_key(slug, version)[1:]


def event_row_key(run_id: bytes) -> bytes:
    """The key of a run's `EventRow`."""
    return b"e" + run_id


def run_row_key(run_id: bytes) -> bytes:
    """The key of a run's `RunRow`."""
    return b"r" + run_id


def by_event_prefix(event_key: bytes) -> bytes:
    """What the keys of an event's lists of runs begin with."""
    return b"i" + event_key


def occurrences_key(event_key: bytes, which: bytes) -> bytes:
    """The key of a list of runs of an event id: those of one event and home key."""
    return b"i" + event_key + which


def listener_key(match_key: bytes, run_id: bytes, rule: int) -> bytes:
    """The key of a listener."""
    return b"l" + match_key + run_id + _BYTES[rule]


def fan_out_key(match_key: bytes, cancel: CancelEvent) -> bytes:
    """The key of a cancel event that is worked off in slices."""
    return b"w" + match_key + cancel.received.to_bytes(8, "big") + position_key(cancel.at)


def meeting_key(run_id: bytes) -> bytes:
    """The key of the work of a new run that has yet to meet what was held for it."""
    return b"n" + run_id


def delivery_key(match_key: bytes, run_id: bytes, rule: int) -> bytes:
    """The key of the work of sending held cancels to the home of a run that listens here."""
    return b"d" + match_key + run_id + _BYTES[rule]


def postponed_key(row: PostponedCancel) -> bytes:
    """The key of a cancel event with matches that it has yet to meet."""
    target = row.target.to_bytes(4, "big", signed=True)
    return b"x" + row.matches[0].key + position_key(row.cancel.at) + target


def request_key(request_id: bytes) -> bytes:
    """The key of a request's row."""
    return b"q" + request_id


def by_function_prefix(slug: str) -> bytes:
    """What the keys of a function's list of runs begin with."""
    return b"g" + function_digest(slug)


def by_function_from(slug: str, received: int) -> bytes:
    """Where a function's runs begin that were received at a time (ms) or later."""
    return b"g" + function_digest(slug) + received.to_bytes(6, "big")


def by_function_key(slug: str, run_id: bytes) -> bytes:
    """The key of a run in its function's list, which is in the order of received times."""
    return b"g" + function_digest(slug) + run_id


def oldest_meeting(work: Iterable[bytes]) -> int:
    """The received time (ms) of the oldest run that has yet to meet what was held for it.

    `work` are keys of work rows: of meetings at the run's home, or of deliveries to it. The end of
    all times if there is none.
    """
    oldest = TIME_END_MS
    for key in work:
        if key[:1] == MEETINGS:
            oldest = min(oldest, received_ms(key[RUN_OF_ROW]))
        elif key[:1] == DELIVERIES:
            oldest = min(oldest, received_ms(key[DELIVERY_RUN]))
    return oldest


def timer_key(due: int, row_key: bytes) -> bytes:
    """The key of a timer that fires at `due` (ms) for the row under `row_key`."""
    return b"t" + due.to_bytes(8, "big") + row_key


def timers_until(watermark: int) -> bytes:
    """The key that all timers come before which the watermark (ms) has passed."""
    return timer_key(watermark, b"")


def counted(number: int) -> bytes | None:
    """The value of a row that counts; no row if there is nothing to count."""
    return number.to_bytes(8, "big") if number else None


def count_of(value: bytes | None) -> int:
    """The number in a row that counts, or 0 without a row."""
    return int.from_bytes(value or b"", "big")


def run_ids(listed: bytes) -> list[bytes]:
    """The ids in a list of an event's runs."""
    return [listed[at : at + RUN_ID_BYTES] for at in range(0, len(listed), RUN_ID_BYTES)]


def position_key(position: Position) -> bytes:
    """28 bytes that no other input record has."""
    return (
        position.topic_id
        + position.partition.to_bytes(4, "big")
        + position.offset.to_bytes(8, "big")
    )
