"""A run that is cancelled as it was registered is cancelled like any other, in fewer steps."""

from typing import Any, Final

import msgspec
import orjson
from hypothesis import given
from hypothesis import strategies as st

from streams.functions.definition import read_text
from streams.joiner.decide import runs
from streams.joiner.decide.functions import Functions
from streams.joiner.decide.runs import Run
from streams.joiner.decide.view import Partition, View
from tests.support.rows import MemoryRows
from topology import codec, tables
from topology.records import Listener, Position
from topology.tables import EventRow

NOW: Final = 1_700_000_000_000
[FUNCTION] = read_text(
    """
functions:
  - {id: report, app: p, triggers: [{event: report}], retention: 36h, cancel_on: [
      {event: stop, match: data.a}, {event: drop, match: data.b}]}
"""
)

digests: Final = st.binary(min_size=16, max_size=16)
listeners: Final = st.lists(
    st.builds(Listener, digests, st.integers(0, 1), st.just(0)), max_size=3
).map(tuple)
events: Final = st.builds(
    EventRow,
    slug=st.just(FUNCTION.slug),
    version=st.just(3),
    received=st.integers(NOW - 10**9, NOW),
    position=st.builds(
        Position,
        st.sampled_from(("events", "replayed")),
        digests,
        st.integers(0, 9),
        st.integers(0, 1 << 40),
    ),
    event_key=digests,
    event=st.dictionaries(st.text(max_size=3), st.text(max_size=5)).map(orjson.dumps),
    due=st.integers(NOW, NOW + 10**9),
    listeners=listeners,
    remote=listeners,
    dispatch_at=st.sampled_from((0, NOW + 5)),
    replay_of=digests,
    replay_id=st.just(b"") | digests,
    identity=st.just(b"") | digests,
)


@given(
    events,
    digests,
    st.sampled_from((b'{"type":"event"}', b'{"type":"cancellation","reason":"\xc3\xa9"}')),
    st.just(b"") | digests,
    st.booleans(),
)
def test_both_ways_of_cancelling_do_the_same(
    event: EventRow, run_id: bytes, cause: bytes, cancellation: bytes, waits: bool
) -> None:
    """Rows, records, counts and what other partitions are told are equal."""
    found = []
    for cancel in (runs.cancel_as_registered, runs.cancel_changed):
        rows = MemoryRows({tables.function_key(FUNCTION.slug, 3): codec.encode_function(FUNCTION)})
        view = View(rows, Partition(0, 4, "it's over"), Functions(), NOW, NOW)
        row = runs.as_registered(event)
        if waits:  # much was held for it
            row = msgspec.structs.replace(row, dispatch=False)
        run = Run(run_id, event, row)
        cancel(view, run, cause, cancellation)
        found.append((run.row, effects(view)))
    assert found[0] == found[1]


def effects(view: View) -> tuple[Any, ...]:
    """All that a view's transaction would write, send and count."""
    return (
        view.changed, view.derived, view.outputs, view.forwards, dict(view.counts), view.pending,
        view.bytes,
    )  # fmt: skip
