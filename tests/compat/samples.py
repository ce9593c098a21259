"""One record of every kind that is kept: in `commands` and `forwards`, in the changelog, on disk.

The bytes of version 1 lie in golden/v1 and are never edited: a change of format gets a folder.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

from streams import matching
from topology import codec, keys
from topology.keys import MatchKeys
from topology.records import (
    Cancel,
    CancelEvent,
    CommandBatch,
    Complete,
    Definition,
    Entry,
    ForwardedCancel,
    ForwardedMatch,
    Listen,
    Listener,
    Match,
    Position,
    Register,
    Topic,
    Unlisten,
    Update,
)
from topology.tables import (
    AppliedRow,
    Checkpoint,
    EventRow,
    FanOutRow,
    HeldCancel,
    HeldMatch,
    HeldUnlisten,
    HeldUpdate,
    ListenerRow,
    RunRow,
    SourceRow,
)

_RUN: Final = bytes(range(16))
_KEY: Final = bytes(range(16, 32))
_TOPIC: Final = bytes(range(32, 48))
_NOW: Final = 1_700_000_000_000
_EVENT: Final = b'{"name":"report/requested","data":{"reportId":"r1"},"id":"e1","ts":1}'
_POSITION: Final = Position("events", _TOPIC, 3, 70_000)
_CANCEL: Final = CancelEvent(
    _NOW, _POSITION, _EVENT, Position("cancels", _TOPIC, 0, 1), triggers=True
)
_LISTENER: Final = Listener(_KEY, 4, _NOW + 86_400_000)
_UPDATE: Final = Update(_RUN, b"", "failed", 2, "w1", "second", 0, ("ValueError", "no"))


class Sample(NamedTuple):
    """A record and what encodes and decodes it."""

    codec: codec.Codec[Any]
    record: Any


SAMPLES: Final[dict[str, Sample]] = {
    "commands": Sample(
        codec.COMMANDS,
        CommandBatch(
            topics=(Topic("events", _TOPIC),),
            definitions=(Definition("reports-generate", 7, b"{}"),),
            entries=(
                Entry(
                    *(0, 3, 70_000, _NOW, _EVENT),
                    (
                        Register(0, _RUN, _KEY, (_LISTENER,), (Match(_KEY, 600_000),), _NOW + 1),
                        Listen(_RUN, (_LISTENER,)),
                        Cancel((Match(_KEY, 0, everywhere=True),)),
                        _UPDATE,
                    ),
                ),
            ),
            progress=(Complete(0, 3, 70_000, _NOW),),
        ),
    ),
    "forwards": Sample(
        codec.FORWARDS,
        (
            ForwardedMatch(_CANCEL, ((_RUN, 1), (_KEY, 0))),
            ForwardedCancel(_CANCEL, (Match(_KEY, 1),)),
            Unlisten(_RUN, (_KEY,)),
        ),
    ),
    "event_row": Sample(
        codec.EVENT_ROWS,
        EventRow(
            *("reports-generate", 7, _NOW, _POSITION, _KEY, _EVENT, _NOW + 9),
            *((_LISTENER,), (_LISTENER,), _NOW + 5),
        ),
    ),
    "run_row": Sample(
        codec.RUN_ROWS,
        RunRow(
            *("cancelled", 5, 2, False, _NOW, _NOW + 1, _NOW + 2, _NOW + 3, _NOW + 4, _NOW + 5),
            *(_NOW + 6, "w1", "second", ("ValueError", "no"), b'{"type":"event"}'),
        ),
    ),
    "source_row": Sample(codec.SOURCE_ROWS, SourceRow(70_000, _NOW)),
    "applied_row": Sample(codec.APPLIED_ROWS, AppliedRow(9, 8, _NOW, _TOPIC, _KEY, 3)),
    "listener_row": Sample(codec.LISTENER_ROWS, ListenerRow(_NOW)),
    "held_cancel": Sample(codec.HELD_ROWS, HeldCancel(_CANCEL, 600_000)),
    "held_match": Sample(codec.HELD_ROWS, HeldMatch(_CANCEL, (0, 4))),
    "held_unlisten": Sample(codec.HELD_ROWS, HeldUnlisten((_KEY,))),
    "held_update": Sample(codec.HELD_ROWS, HeldUpdate(_NOW, _UPDATE)),
    "fan_out": Sample(codec.FAN_OUT_ROWS, FanOutRow(_CANCEL, _KEY)),
    "checkpoint": Sample(codec.CHECKPOINTS, Checkpoint(_TOPIC, 70_000, _NOW)),
}

_PATHS: Final = (("data", "reportId"), ("data", "items", 0))
# Runs that wait under a key of one release must be found under that of the next.
KEYS: Final[dict[str, Callable[[], bytes]]] = {
    "match_key": lambda: MatchKeys("reports-generate", "report/cancelled", _PATHS).key(
        matching.canonical(("r1", 1.0))
    ),
    "canonical": lambda: matching.canonical(("é", 1, 1.5, True, [1, {"b": "x", "a": 2**53 + 1}])),
    "scan_key": lambda: keys.scan_key("reports-generate", "report/cancelled"),
    "event_key": lambda: keys.event_key("reports-generate", "e1"),
    "run_id": lambda: keys.run_id(_NOW, _KEY, _TOPIC),
    "replayed_run_id": lambda: keys.run_id(_NOW, _KEY, _TOPIC, _RUN),
}
