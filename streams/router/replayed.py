"""Routes records of `replayed`: a run starts anew, as if its event were received now (S29).

The event starts a run of that function alone, whatever the triggers of the newest version say, and
cancels nothing.
"""

from streams.functions.registry import Registry
from streams.router import cloud_events, documents
from streams.router.drafts import Routed, rejected
from streams.router.record import Event, Record, RejectedError, Rejection
from streams.router.route import EventRouter
from topology import codec, keys, limits
from topology.records import Replayed


def route_replayed(
    record: Record, router: EventRouter, functions: Registry, limit: int = limits.EVENT_BYTES
) -> Routed:
    """The commands that start a run anew; none where its function is gone."""
    value = record.value or b""
    if len(value) > limit:
        return rejected(Rejection("too_large", f"{len(value)} bytes: at most {limit}"))
    try:
        replayed = codec.decode_json(value, Replayed)
        replay = (
            keys.run_id_bytes(replayed.replay_of),
            keys.run_id_bytes(replayed.replay_id),
            replayed.dispatch_at,
        )
        event = _event(bytes(replayed.event), limit)
        identity = _identity(replayed, event)
    except RejectedError as refused:
        return rejected(Rejection("bad_replay", f"its event: {refused}"))
    except ValueError as error:
        return rejected(Rejection("bad_replay", f"not a replayed run: {error}"))
    routed = Routed(identity=identity)
    function = functions.version_at(replayed.function_id, record.received)
    if function is not None and function.trigger_names:
        router.replay(function, record, event, replay, routed)
    return routed


def _identity(replayed: Replayed, event: Event) -> bytes:
    """The identity of the event; a run of level 1 has kept none, but a CloudEvent its source."""
    identity = bytes.fromhex(replayed.identity)
    if not identity:
        return keys.event_identity(cloud_events.source_of(event.document), event.name, event.id)
    if len(identity) != keys.DIGEST_BYTES:
        raise RejectedError("bad_replay", f"identity of {len(identity)} bytes")
    return identity


def _event(body: bytes, limit: int) -> Event:
    """The event of a run, which has all parts: it was complete when it started that run.

    Raises:
        RejectedError: it is no such event.
    """
    document = documents.load(body, limit)
    name, id_ = documents.name(document.get("name")), documents.event_id(document.get("id"))
    if type(document.get("data")) is not dict:
        raise RejectedError("data_not_an_object", "data is no object")
    ts = document.get("ts")
    if type(ts) is not int:
        raise RejectedError("bad_ts", "ts is no integer of ms")
    return Event(name, id_, documents.time_ms(ts), document, body)
