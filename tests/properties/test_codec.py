"""Properties of the codecs of internal records."""

from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from topology import codec, held_rows, records, tables

BYTES = st.binary(max_size=20)
NUMBERS = st.integers(0, 2**63 - 1)
TEXT = st.text(max_size=8)
POSITIONS = st.builds(records.Position, TEXT, BYTES, NUMBERS, NUMBERS)
CANCELS = st.builds(records.CancelEvent, NUMBERS, POSITIONS, BYTES, POSITIONS, st.booleans())
LISTENERS = st.lists(st.builds(records.Listener, BYTES, st.integers(0, 4), NUMBERS)).map(tuple)
MATCHES = st.lists(st.builds(records.Match, BYTES, NUMBERS, st.booleans())).map(tuple)
ERRORS = st.none() | st.tuples(TEXT, TEXT)
UPDATES = st.builds(
    records.Update, BYTES, BYTES, TEXT, NUMBERS, TEXT, TEXT, NUMBERS, ERRORS
)  # fmt: skip
COMMANDS = st.one_of(
    st.builds(records.Register, NUMBERS, BYTES, BYTES, LISTENERS, MATCHES, NUMBERS),
    st.builds(records.Listen, BYTES, LISTENERS),
    st.builds(records.Cancel, MATCHES),
    UPDATES,
)
ENTRIES = st.builds(
    records.Entry, NUMBERS, NUMBERS, NUMBERS, NUMBERS, BYTES, st.lists(COMMANDS).map(tuple)
)
BATCHES = st.builds(
    records.CommandBatch,
    st.lists(st.builds(records.Topic, TEXT, BYTES)).map(tuple),
    st.lists(st.builds(records.Definition, TEXT, NUMBERS, BYTES)).map(tuple),
    st.lists(ENTRIES, max_size=4).map(tuple),
    st.lists(st.builds(records.Complete, NUMBERS, NUMBERS, NUMBERS, NUMBERS)).map(tuple),
)
FORWARDS = st.lists(
    st.builds(records.ForwardedMatch, CANCELS, st.lists(st.tuples(BYTES, NUMBERS)).map(tuple))
    | st.builds(records.ForwardedCancel, CANCELS, MATCHES)
    | st.builds(records.Unlisten, BYTES, st.lists(BYTES).map(tuple))
).map(tuple)
EVENT_ROWS = st.builds(
    tables.EventRow,
    *(TEXT, NUMBERS, NUMBERS, POSITIONS, BYTES, BYTES, NUMBERS, LISTENERS, LISTENERS, NUMBERS),
)
HELD_ROWS = st.one_of(
    st.builds(held_rows.HeldCancel, CANCELS, NUMBERS),
    st.builds(held_rows.HeldMatch, CANCELS, st.lists(st.integers(0, 4)).map(tuple)),
    st.builds(held_rows.HeldUnlisten, st.lists(BYTES).map(tuple)),
    st.builds(held_rows.HeldUpdate, NUMBERS, UPDATES),
)


@settings(max_examples=50, deadline=None)
@pytest.mark.parametrize(
    ("kind", "strategy"),
    [
        (codec.COMMANDS, BATCHES),
        (codec.FORWARDS, FORWARDS),
        (codec.EVENT_ROWS, EVENT_ROWS),
        (codec.HELD_ROWS, HELD_ROWS),
    ],
    ids=["commands", "forwards", "event_rows", "held_rows"],
)
@given(choices=st.data())
def test_decoding_undoes_encoding(
    kind: codec.Codec[Any], strategy: st.SearchStrategy[Any], choices: st.DataObject
) -> None:
    """A record that was encoded is decoded as the same record."""
    record = choices.draw(strategy)
    assert kind.decode(kind.encode(record)) == record


@given(st.binary(max_size=60))
@example(b"\x91\xa1\x80")  # text that is not UTF-8
def test_bytes_that_are_no_record_are_refused(noise: bytes) -> None:
    """Damage is a CodecError, or a record that is written as it was read."""
    kinds: tuple[codec.Codec[Any], ...] = (codec.COMMANDS, codec.FORWARDS, codec.HELD_ROWS)
    for kind in kinds:
        for data in (noise, b"\x01" + noise):
            with suppress(codec.CodecError):
                record = kind.decode(data)
                assert kind.decode(kind.encode(record)) == record
