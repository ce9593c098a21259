"""One record of every kind that is kept: in `commands` and `forwards`, in the changelog, on disk.

Their bytes lie in golden/v1, v2 and so on, and are never edited: a change of format gets a folder
with the kinds that changed. `FORMER` has what lies in the folders before the newest of a kind.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from streams import matching
from topology import codec, held_rows, keys
from topology.held_rows import FirstCancel, HeldCancel, HeldMatch, HeldUnlisten, HeldUpdate
from topology.keys import MatchKeys
from topology.records import (
    Cancel,
    CancelEvent,
    CancelRun,
    CancelRuns,
    CommandBatch,
    Complete,
    Definition,
    Entry,
    FirstOccurrence,
    ForwardedCancel,
    ForwardedMatch,
    Listen,
    Listener,
    Match,
    Pause,
    Position,
    Register,
    Replay,
    Request,
    Resume,
    StopCancellation,
    Topic,
    Unlisten,
    Update,
)
from topology.tables import (
    AppliedRow,
    Checkpoint,
    Counts,
    DeliveryRow,
    EventRow,
    FanOutRow,
    ListenerRow,
    MeetingRow,
    PostponedCancel,
    RequestRow,
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
_IDENTITY: Final = bytes(range(48, 64))
_REPEATED: Final = CancelEvent(
    *(_NOW, _POSITION, _EVENT, Position("cancels", _TOPIC, 0, 1), True, _IDENTITY),
    (FirstOccurrence(60_000, _NOW - 1, _POSITION),),
)
_LATEST: Final = msgspec.structs.replace(_REPEATED, at_received=_NOW + 3)
_LISTENER: Final = Listener(_KEY, 4, _NOW + 86_400_000)
_REQUEST: Final = Request(_KEY, "ada", "too long")
_REPLAY: Final = Replay(
    *(_REQUEST, "reports-generate", 0, _NOW, ("cancelled", "failed"), _KEY, 600_000, False)
)
_REPLAY_ONE: Final = msgspec.structs.replace(_REPLAY, run=_RUN)
_UPDATE: Final = Update(_RUN, b"", "failed", 2, "w1", "second", 0, ("ValueError", "no"))


class Sample(NamedTuple):
    """A record and what encodes and decodes it."""

    codec: codec.Codec[Any]
    record: Any


SAMPLES: Final[dict[str, Sample]] = {
    "v4/commands": Sample(
        codec.COMMANDS,
        CommandBatch(
            topics=(Topic("replayed", _TOPIC),),
            definitions=(Definition("reports-generate", 7, b"{}"),),
            entries=(
                Entry(
                    *(0, 3, 70_000, _NOW, _EVENT),
                    (
                        Register(0, _RUN, _KEY, (_LISTENER,), (), _NOW + 1, _KEY, _TOPIC),
                        CancelRuns(_REQUEST, "reports-generate", 0, _NOW, "event.data.n > 1", True),
                        StopCancellation(_REQUEST, _KEY),
                        CancelRun(_REQUEST, _RUN),
                        Cancel((Match(_KEY, 9, everywhere=True, dedupes=(60_000,)),)),
                        Pause(_REQUEST, "reports-generate", "later", 604_800_000),
                        Resume(_REQUEST, "reports-generate"),
                        _REPLAY_ONE,
                    ),
                    _IDENTITY,
                ),
            ),
        ),
    ),
    "v3/forwards": Sample(
        codec.FORWARDS,
        (
            ForwardedMatch(_LATEST, ((_RUN, 1), (_KEY, 0))),
            ForwardedCancel(_LATEST, (Match(_KEY, 1),)),
            Unlisten(_RUN, (_KEY,)),
        ),
    ),
    "v3/event_row": Sample(
        codec.EVENT_ROWS,
        EventRow(
            *("reports-generate", 7, _NOW, _POSITION, _KEY, _EVENT, _NOW + 9),
            *((_LISTENER,), (_LISTENER,), _NOW + 5, _RUN, _TOPIC, _IDENTITY),
        ),
    ),
    "v2/run_row": Sample(
        codec.RUN_ROWS,
        RunRow(
            *("cancelled", 5, 2, False, _NOW, _NOW + 1, _NOW + 2, _NOW + 3, _NOW + 4, _NOW + 5),
            *(_NOW + 6, "w1", "second", ("ValueError", "no"), b'{"type":"event"}', True, _KEY),
        ),
    ),
    "v3/request": Sample(
        codec.REQUEST_ROWS,
        RequestRow(
            *(_REPLAY_ONE, _NOW, "failed", True, _NOW + 1, False, _KEY, _NOW + 2),
            *(Counts(1, 2, 3, 4, 5, 6), (_RUN,), "why"),
        ),
    ),
    "v1/source_row": Sample(codec.SOURCE_ROWS, SourceRow(70_000, _NOW)),
    "v2/applied_row": Sample(codec.APPLIED_ROWS, AppliedRow(9, 8, _NOW, _TOPIC, _KEY, 3, 12)),
    "v1/listener_row": Sample(codec.LISTENER_ROWS, ListenerRow(_NOW)),
    "v3/held_cancel": Sample(codec.HELD_ROWS, HeldCancel(_LATEST, 600_000)),
    "v3/held_match": Sample(codec.HELD_ROWS, HeldMatch(_LATEST, (0, 4))),
    "v3/held_unlisten": Sample(codec.HELD_ROWS, HeldUnlisten((_KEY,))),
    "v3/held_update": Sample(codec.HELD_ROWS, HeldUpdate(_NOW, _UPDATE)),
    "v3/first_cancel": Sample(
        codec.HELD_ROWS, FirstCancel((FirstOccurrence(60_000, _NOW - 1, _POSITION),))
    ),
    "v3/fan_out": Sample(codec.FAN_OUT_ROWS, FanOutRow(_LATEST, _KEY)),
    "v3/meeting": Sample(codec.WORK_ROWS, MeetingRow(2, _KEY, (_RUN, _KEY), (_KEY,))),
    "v3/delivery": Sample(codec.WORK_ROWS, DeliveryRow(_KEY, _RUN)),
    "v3/postponed_cancel": Sample(
        codec.WORK_ROWS, PostponedCancel(_LATEST, (Match(_KEY, 1), Match(_RUN, 0)), 3)
    ),
    "v4/checkpoint": Sample(codec.CHECKPOINTS, Checkpoint(_TOPIC, 70_000, _NOW)),
}
FORMER: Final[dict[str, Sample]] = {
    "v2/forwards": Sample(
        codec.FORWARDS,
        (
            ForwardedMatch(_REPEATED, ((_RUN, 1), (_KEY, 0))),
            ForwardedCancel(_REPEATED, (Match(_KEY, 1),)),
            Unlisten(_RUN, (_KEY,)),
        ),
    ),
    "v2/held_cancel": Sample(codec.HELD_ROWS, HeldCancel(_REPEATED, 600_000)),
    "v2/held_match": Sample(codec.HELD_ROWS, HeldMatch(_REPEATED, (0, 4))),
    "v2/held_unlisten": Sample(codec.HELD_ROWS, HeldUnlisten((_KEY,))),
    "v2/held_update": Sample(codec.HELD_ROWS, HeldUpdate(_NOW, _UPDATE)),
    "v2/first_cancel": Sample(
        codec.HELD_ROWS, FirstCancel((FirstOccurrence(60_000, _NOW - 1, _POSITION),))
    ),
    "v2/fan_out": Sample(codec.FAN_OUT_ROWS, FanOutRow(_REPEATED, _KEY)),
    "v2/meeting": Sample(codec.WORK_ROWS, MeetingRow(2, _KEY, (_RUN, _KEY), (_KEY,))),
    "v2/delivery": Sample(codec.WORK_ROWS, DeliveryRow(_KEY, _RUN)),
    "v2/postponed_cancel": Sample(
        codec.WORK_ROWS, PostponedCancel(_REPEATED, (Match(_KEY, 1), Match(_RUN, 0)), 3)
    ),
    "v3/commands": Sample(
        codec.COMMANDS,
        CommandBatch(
            topics=(Topic("replayed", _TOPIC),),
            definitions=(Definition("reports-generate", 7, b"{}"),),
            entries=(
                Entry(
                    *(0, 3, 70_000, _NOW, _EVENT),
                    (
                        Register(0, _RUN, _KEY, (_LISTENER,), (), _NOW + 1, _KEY, _TOPIC),
                        CancelRuns(_REQUEST, "reports-generate", 0, _NOW, "event.data.n > 1", True),
                        StopCancellation(_REQUEST, _KEY),
                        CancelRun(_REQUEST, _RUN),
                        Cancel((Match(_KEY, 9, everywhere=True, dedupes=(60_000,)),)),
                        Pause(_REQUEST, "reports-generate", "later", 604_800_000),
                        Resume(_REQUEST, "reports-generate"),
                        _REPLAY,
                    ),
                    _IDENTITY,
                ),
            ),
        ),
    ),
    "v2/request": Sample(
        codec.REQUEST_ROWS,
        RequestRow(
            *(_REPLAY, _NOW, "failed", True, _NOW + 1, False, _KEY, _NOW + 2),
            *(Counts(1, 2, 3, 4, 5, 6), (_RUN,), "why"),
        ),
    ),
    "v2/commands": Sample(
        codec.COMMANDS,
        CommandBatch(
            topics=(Topic("replayed", _TOPIC),),
            definitions=(Definition("reports-generate", 7, b"{}"),),
            entries=(
                Entry(
                    *(0, 3, 70_000, _NOW, _EVENT),
                    (
                        Register(0, _RUN, _KEY, (_LISTENER,), (), _NOW + 1, _KEY, _TOPIC),
                        CancelRuns(_REQUEST, "reports-generate", 0, _NOW, "event.data.n > 1", True),
                        StopCancellation(_REQUEST, _KEY),
                        CancelRun(_REQUEST, _RUN),
                        Pause(_REQUEST, "reports-generate", "later", 604_800_000),
                        Resume(_REQUEST, "reports-generate"),
                        _REPLAY,
                    ),
                ),
            ),
        ),
    ),
    "v1/forwards": Sample(
        codec.FORWARDS,
        (
            ForwardedMatch(_CANCEL, ((_RUN, 1), (_KEY, 0))),
            ForwardedCancel(_CANCEL, (Match(_KEY, 1),)),
            Unlisten(_RUN, (_KEY,)),
        ),
    ),
    "v2/event_row": Sample(
        codec.EVENT_ROWS,
        EventRow(
            *("reports-generate", 7, _NOW, _POSITION, _KEY, _EVENT, _NOW + 9),
            *((_LISTENER,), (_LISTENER,), _NOW + 5, _RUN, _TOPIC),
        ),
    ),
    "v1/held_cancel": Sample(codec.HELD_ROWS, HeldCancel(_CANCEL, 600_000)),
    "v1/held_match": Sample(codec.HELD_ROWS, HeldMatch(_CANCEL, (0, 4))),
    "v1/held_unlisten": Sample(codec.HELD_ROWS, HeldUnlisten((_KEY,))),
    "v1/held_update": Sample(codec.HELD_ROWS, HeldUpdate(_NOW, _UPDATE)),
    "v1/fan_out": Sample(codec.FAN_OUT_ROWS, FanOutRow(_CANCEL, _KEY)),
    "v1/meeting": Sample(codec.WORK_ROWS, MeetingRow(2, _KEY, (_RUN, _KEY), (_KEY,))),
    "v1/delivery": Sample(codec.WORK_ROWS, DeliveryRow(_KEY, _RUN)),
    "v1/postponed_cancel": Sample(
        codec.WORK_ROWS, PostponedCancel(_CANCEL, (Match(_KEY, 1), Match(_RUN, 0)), 3)
    ),
    "v1/commands": Sample(
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
    "v1/event_row": Sample(
        codec.EVENT_ROWS,
        EventRow(
            *("reports-generate", 7, _NOW, _POSITION, _KEY, _EVENT, _NOW + 9),
            *((_LISTENER,), (_LISTENER,), _NOW + 5),
        ),
    ),
    "v1/run_row": Sample(
        codec.RUN_ROWS,
        RunRow(
            *("cancelled", 5, 2, False, _NOW, _NOW + 1, _NOW + 2, _NOW + 3, _NOW + 4, _NOW + 5),
            *(_NOW + 6, "w1", "second", ("ValueError", "no"), b'{"type":"event"}'),
        ),
    ),
    "v1/applied_row": Sample(codec.APPLIED_ROWS, AppliedRow(9, 8, _NOW, _TOPIC, _KEY, 3)),
    "v1/request": Sample(
        codec.REQUEST_ROWS,
        RequestRow(
            *(_REPLAY, _NOW, "running", True, _NOW + 1, False, _KEY, _NOW + 2),
            *(Counts(1, 2, 3, 4, 5, 6), (_RUN,)),
        ),
    ),
    "v1/checkpoint": Sample(codec.CHECKPOINTS, None),
    "v2/checkpoint": Sample(codec.CHECKPOINTS, None),
    "v3/checkpoint": Sample(codec.CHECKPOINTS, None),
}

_PATHS: Final = (("data", "reportId"), ("data", "items", 0))
# Runs that wait under a key of one release must be found under that of the next.
KEYS: Final[dict[str, Callable[[], bytes]]] = {
    "v1/match_key": lambda: MatchKeys("reports-generate", "report/cancelled", _PATHS).key(
        matching.canonical(("r1", 1.0))
    ),
    "v1/canonical": lambda: matching.canonical(
        ("é", 1, 1.5, True, [1, {"b": "x", "a": 2**53 + 1}])
    ),
    "v1/scan_key": lambda: keys.scan_key("reports-generate", "report/cancelled"),
    "v1/event_key": lambda: keys.event_key("reports-generate", "e1"),
    "v1/run_id": lambda: keys.run_id(_NOW, _KEY, _TOPIC),
    "v2/function_digest": lambda: keys.function_digest("reports-generate"),
    "v3/identity": lambda: keys.event_identity("/shop", "report/requested", "e1"),
    "v3/place_identity": lambda: keys.place_identity(_TOPIC, 3, 70_000),
    "v3/identified_run_id": lambda: keys.run_id(_NOW, _KEY, _TOPIC, b"", _IDENTITY),
    "v3/identified_replay_id": lambda: keys.run_id(_NOW, _KEY, _TOPIC, _RUN + _KEY, _IDENTITY),
    "v3/undo_id": lambda: keys.undo_id(_RUN),
    "v3/first_cancel_prefix": lambda: held_rows.first_cancel_prefix(_KEY, _IDENTITY),
    "v1/replayed_run_id": lambda: keys.run_id(_NOW, _KEY, _TOPIC, _RUN),
}
