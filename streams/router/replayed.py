"""Routes records of `replayed`: a run starts anew, as if its event were received now (S29).

The event starts a run of that function alone, whatever the triggers of the newest version say, and
cancels nothing.
"""

import orjson

from streams.functions.registry import Registry
from streams.router.drafts import Routed, rejected
from streams.router.record import Event, Record, Rejection
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
        body = bytes(replayed.event)
        document = orjson.loads(body)
        event = Event(document["name"], document["id"], document["ts"], document, body)
        replay_of = keys.run_id_bytes(replayed.replay_of)
        replay_id = keys.run_id_bytes(replayed.replay_id)
    except (codec.CodecError, ValueError, TypeError, KeyError, RecursionError) as error:
        return rejected(Rejection("bad_replay", f"not a replayed run: {error}"))
    routed = Routed()
    function = functions.version_at(replayed.function_id, record.received)
    if function is not None and function.trigger_names:
        router.replay(function, record, event, (replay_of, replay_id, replayed.dispatch_at), routed)
    return routed
