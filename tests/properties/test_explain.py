"""What `explain` says about an event is what a joiner does with it."""

from typing import Any, Final

from hypothesis import event, given, settings
from hypothesis import strategies as st

from streams.functions.explain import Subject, judge, listening
from tests.support.driver import Driver

FUNCTIONS: Final = """
functions:
  - id: placed
    app: any
    triggers: [{event: placed}]
    cancel_on:
      - {event: dropped, match: data.a, timeout: 3ms}
      - {event: closed, if: "event.data.a == async.data.a && async.data.n > 1"}
      - {event: purged, if: "event.data.a == async.data.a || event.data.b == async.data.b"}
      - {event: purged, if: "async.data.n > event.data.n"}
      - {event: stopped, all_runs: true, timeout: 4ms}
"""
NAMES: Final = st.sampled_from(("dropped", "closed", "purged", "purged", "stopped", "other"))
VALUES: Final = st.sampled_from((1, 1.0, 1, "1", None, [1], [1.0]))
NUMBERS: Final = st.integers(0, 3)
DATA: Final = st.one_of(
    st.fixed_dictionaries({"a": VALUES, "b": VALUES, "n": NUMBERS}),
    st.fixed_dictionaries({}, optional={"a": VALUES, "b": VALUES, "n": NUMBERS}),
)


@settings(max_examples=150, deadline=None)
@given(DATA, NAMES, DATA, st.integers(1, 6), st.sampled_from(("cancel-1", "cancel-1", "placed-1")))
def test_a_verdict_is_what_happens(
    placed: dict[str, Any], name: str, data: dict[str, Any], later: int, id_: str
) -> None:
    """The run is cancelled exactly if a rule matches; its cause names a rule that does."""
    driver = Driver(FUNCTIONS, partitions=2)
    sent = driver.event("placed", id="placed-1", **placed)
    trigger = {"name": "placed", "data": placed, "id": "placed-1", "ts": sent.received}
    received = sent.received + later
    cancel = {"name": name, "data": data, "id": id_, "ts": received}
    newest = driver.registry.newest("any-placed")
    assert newest is not None

    subject = Subject(trigger, sent.received)
    verdicts = judge(newest.compiled, subject, cancel, received)
    driver.cancel(name, id=id_, at=received, **data)
    cancelled = driver.cancellations()

    matching = [verdict.index for verdict in verdicts if verdict.matches]
    event(f"{len(matching)} rules match")
    assert bool(cancelled) is bool(matching)
    assert {event["data"]["cause"]["rule"]["index"] for event in cancelled} <= set(matching)
    hopeful = {rule.index for rule in listening(newest.compiled, subject) if rule.can_match}
    assert set(matching) <= hopeful
