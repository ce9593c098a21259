"""Dead letters of what a partition refuses or can't decide, sent with its transaction."""

from collections.abc import Sequence

from streams.joiner.decide.transaction import Input
from streams.joiner.decide.view import Output, Refused, View
from streams.kafka.dead_letters import Origin, dead_letter
from streams.kafka.headers import Headers
from topology.records import IDENTITY_HEADER, CommandBatch


def emit(view: View, forwards: str, inputs: Sequence[Input], reached: Sequence[int]) -> None:
    """Add the dead letters of a transaction's decisions to its view.

    `forwards` is the topic's full name, `reached` how many entries are decided of each input.
    """
    for record, at in zip(inputs, reached, strict=False):
        for (entry, _), error in record.refused.items():
            if record.done <= entry < at:
                _emit(view, _origin(view, forwards, record, entry), "undecidable", error)
    for refused in view.refused:
        _emit(view, _origin_of(refused), refused.kind, refused.message)


def _origin(view: View, forwards: str, record: Input, entry: int) -> Origin:
    """Where the event of an undecidable command lay."""
    if not isinstance(record.body, CommandBatch):
        return Origin(forwards, view.partition, record.offset)
    of = record.body.entries[entry]
    topic = record.body.topics[of.topic].name
    return Origin(topic, of.partition, of.offset, None, of.event, _headers(of.identity))


def _origin_of(refused: Refused) -> Origin:
    at = refused.at
    headers = _headers(refused.identity)
    return Origin(at.topic, at.partition, at.offset, None, refused.event, headers)


def _headers(identity: bytes) -> Headers:
    """The event's JSON has no source: whoever sends it again sends the same event."""
    return [(IDENTITY_HEADER, identity.hex().encode())] if identity else []


def _emit(view: View, origin: Origin, kind: str, message: str) -> None:
    letter = dead_letter(origin, stage="joiner", kind=kind, message=message)
    view.outputs.append(Output("dead-letters", letter.key, letter.value, [*letter.headers]))
    view.count("dead_letters", kind)
