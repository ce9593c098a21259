"""Definitions and registries over generated functions and logs."""

import json

from hypothesis import given
from hypothesis import strategies as st

from streams.durations import format_duration, parse_duration
from streams.functions.definition import as_document, read_function, read_stored, read_text
from streams.functions.registry import Registry
from streams.matching import Meter
from topology import codec, limits
from topology.records import SEMANTICS, CancelRule, Function, Trigger

names = st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,20}", fullmatch=True)
durations = st.integers(1, limits.LONGEST_MS)
events = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=30).filter(
    lambda name: name.strip() and "*" not in name
)
rules = st.builds(
    CancelRule,
    event=events.map("cancel ".__add__),
    match=st.sampled_from(["data.id", "data.user.id", 'data["a-b"]', "user.items[3]"]),
    timeout_ms=st.none() | durations,
    dedupe_ms=st.just(0) | st.integers(1, limits.DEDUPE_CANCELS_MS),
    early_cancel_ms=st.just(0) | durations,
) | st.builds(
    CancelRule,
    event=events,
    if_=st.none() | st.sampled_from(["async.data.hard", "true"]),
    all_runs=st.just(True),
    timeout_at=st.integers(1, 250_000_000_000_000),
)
functions = st.builds(
    Function,
    app=names,
    id=names,
    triggers=st.lists(
        st.builds(
            Trigger,
            event=events.map("trigger ".__add__),
            if_=st.none() | st.sampled_from(["event.data.pages > 0", "has(event.data.x)"]),
        ),
        min_size=1,
        max_size=3,
    ).map(tuple),
    cancel_on=st.lists(rules, max_size=limits.CANCEL_RULES).map(tuple),
    start_timeout_ms=st.none() | durations,
    finish_timeout_ms=st.none() | durations,
    lease_ms=st.none() | st.integers(1_000, limits.LONGEST_MS),
    pending_for_ms=durations,
    retention_ms=durations,
    semantics=st.just(SEMANTICS),
)

# Three apps and ids with two slugs, and keys that are written several times.
owners = st.sampled_from([("a", "b"), ("a-b", "c"), ("a", "b-c")])
records = st.tuples(
    owners,
    st.integers(0, 3),
    st.integers(0, 50),
    st.sampled_from(["tombstone", "damaged", "x", "y", "z"]),
)


@given(durations)
def test_every_duration_can_be_written_and_read(duration_ms: int) -> None:
    """The text of a duration means that duration."""
    assert parse_duration(format_duration(duration_ms)) == duration_ms


@given(functions)
def test_every_function_can_be_written_and_read(function: Function) -> None:
    """The document of a function defines it, as a mapping and as JSON in a file."""
    document = as_document(function)
    assert read_function(document) == read_stored(document) == function
    text = json.dumps({"functions": [document]})
    assert read_text(text) == (function,)


@given(st.lists(records, max_size=30))
def test_a_compacted_log_gives_the_same_view(
    log: list[tuple[tuple[str, str], int, int, str]],
) -> None:
    """A router that starts after compaction routes like a router that has read everything."""
    whole, compacted = Registry(), Registry()
    last: dict[str, int] = {}
    encoded = []
    for offset, ((app, id_), number, timestamp, content) in enumerate(log):
        key = f"{app}-{id_}/{number}"
        last[key] = offset
        function = Function(
            app=app,
            id=id_,
            triggers=(Trigger(event=content),),
            cancel_on=(CancelRule(event="c", match=f"data.{content}"),),
        )
        value = {"tombstone": None, "damaged": b"{"}.get(content, codec.encode_function(function))
        encoded.append((offset, timestamp, key.encode(), value))
    for offset, timestamp, key_bytes, value in encoded:
        whole.apply(offset, timestamp, key_bytes, value)
        if last[key_bytes.decode()] == offset and value is not None:
            compacted.apply(offset, timestamp, key_bytes, value)
    for received in range(limits.VALID_FROM_DELAY_MS - 1, limits.VALID_FROM_DELAY_MS + 52):
        assert seen(whole, received) == seen(compacted, received)


def seen(registry: Registry, received: int) -> object:
    """All that a router can ask the registry."""
    view = registry.at(received)
    event = {"name": "c", "data": {"x": 1, "y": 1, "z": 1}}
    return (
        {slug: version.version for slug, version in view.functions.items()},
        {
            (name, route.slug): (
                route.triggered is not None,
                route.cancels
                and sorted(match.key for match in route.cancels.matches(event, Meter())),
            )
            for name, routes in view.routes.items()
            for route in routes
        },
    )
