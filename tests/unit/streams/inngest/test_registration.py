"""Functions of apps become Countermand's, or are refused with every reason at once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.inngest.registration import RegistrationError, Rules, read_registration
from topology import limits
from topology.records import CancelRule, Trigger

URL = "http://app/api/inngest?fnId=shop-report&stepId=step"
STEP = {"runtime": {"type": "http", "url": URL}, "retries": {"attempts": 2}}
REPORT: dict[str, Any] = {
    "id": "shop-report",
    "name": "Report",
    "triggers": [{"event": "report/requested", "expression": "event.data.size > 1"}],
    "steps": {"step": STEP},
    "cancel": [
        {"event": "report/cancelled", "if": "event.data.id == async.data.id", "timeout": "1d2h"}
    ],
    "timeouts": {"start": "10m", "finish": "1h30m"},
}


def body(*functions: object, **more: object) -> bytes:
    """A registration of these functions."""
    whole = {"url": "http://app/api/inngest", "appName": "shop", "functions": functions} | more
    return json.dumps(whole).encode()


RULES = Rules()


def read(*functions: object, rules: Rules = RULES, **more: object) -> Any:
    """The registration of these functions."""
    return read_registration(body(*functions, **more), rules)


def refused(*functions: object, rules: Rules = RULES) -> str:
    """Why they are refused, a line each."""
    with pytest.raises(RegistrationError) as raised:
        read(*functions, rules=rules)
    return "\n".join(raised.value.problems)


def test_a_function_is_taken_with_all_that_it_says() -> None:
    """Durations of several units are joined, and its runs may sleep for a year."""
    (function,) = read(REPORT).functions
    definition = function.definition
    assert (definition.app, definition.id) == ("shop", "report")
    assert definition.triggers == (Trigger(event="report/requested", if_="event.data.size > 1"),)
    assert (definition.start_timeout_ms, definition.finish_timeout_ms) == (600_000, 5_400_000)
    (rule,) = definition.cancel_on
    assert (rule.event, rule.timeout_ms) == ("report/cancelled", 93_600_000)
    assert definition.pending_for_ms == limits.LONGEST_MS
    assert (function.url, function.retries) == (URL, 2)


@pytest.mark.parametrize("name", ["appName", "appname", "app_id"])
def test_each_sdk_names_its_app_in_its_own_way(name: str) -> None:
    """TypeScript and Go, Python, and all of them in an in-band answer."""
    found = read_registration(
        json.dumps({"url": "u", name: "shop", "functions": []}).encode(), Rules()
    )
    assert found.app_id == "shop"


def test_null_is_as_good_as_nothing() -> None:
    """Go and older SDKs send it; without retries a call is tried five times."""
    bare = {"id": "shop-a", "triggers": [{"event": "a", "expression": None}], "cancel": None}
    step = {"runtime": {"url": "http://app/?fnId=shop-a&step=step"}, "retries": None}
    (function,) = read(
        bare | {"steps": {"step": step}, "timeouts": None, "batchEvents": None}
    ).functions
    assert (function.definition.cancel_on, function.retries) == ((), 4)


@pytest.mark.parametrize("condition", [None, "", "async.data.all"])
def test_a_rule_that_chooses_no_runs_is_for_all_of_them(condition: str | None) -> None:
    """Which is said, since it may not be meant."""
    found = read(REPORT | {"cancel": [{"event": "stop", "if": condition}]})
    (rule,) = found.functions[0].definition.cancel_on
    assert rule == CancelRule(event="stop", if_=condition or None, all_runs=True)
    assert found.warnings == ("shop-report: cancel: each stop cancels every run of it",)


def test_the_cancelled_event_has_its_own_name_here() -> None:
    """The one that the joiner writes."""
    cleanup = REPORT | {"triggers": [{"event": "inngest/function.cancelled"}], "cancel": []}
    (function,) = read(cleanup, rules=Rules(cancelled_event_name="gone")).functions
    assert function.definition.triggers == (Trigger(event="gone"),)


def test_a_singleton_that_cancels_is_a_rule_on_the_own_trigger() -> None:
    """Each new run cancels the one before with the same key."""
    one = {"mode": "cancel", "key": "event.data.userId"}
    for name in ("singleton", "Singleton"):  # Go
        (function,) = read(REPORT | {"cancel": [], name: one}).functions
        rules = function.definition.cancel_on
        assert rules == (CancelRule(event="report/requested", match="data.userId"),)


def test_what_only_changes_load_is_taken_with_a_warning() -> None:
    """Or refused, by a setting."""
    busy = REPORT | {"concurrency": 5, "throttle": {"limit": 1}, "priority": {"run": "1"}}
    found = read(busy).warnings
    assert found == tuple(
        f"shop-report: {field} has no effect" for field in ("concurrency", "throttle", "priority")
    )
    assert refused(busy, rules=Rules(refuses_load_fields=True)).count("isn't supported") == 3


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"triggers": [{"cron": "0 12 * * 5"}]}, "cron isn't supported"),
        ({"triggers": []}, "triggers: is missing"),
        ({"batchEvents": {"maxSize": 10}}, "batchEvents isn't supported"),
        ({"debounce": {"period": "10s"}}, "debounce isn't supported"),
        ({"rateLimit": {"limit": 1}}, "rateLimit isn't supported"),
        ({"idempotency": "event.data.x"}, "idempotency isn't supported"),
        ({"singleton": {"mode": "skip"}}, "only the mode cancel"),
        ({"singleton": {"mode": "cancel", "key": "event.name"}}, "a path such as"),
        ({"steps": {"step": {"runtime": {"type": "ws", "url": "x"}}}}, "not with connect()"),
        ({"steps": None}, "register it with serve()"),
        ({"id": "shop-a b"}, "letters, digits"),
        ({"timeouts": {"start": "soon"}}, "timeouts.start: not a duration"),
        ({"cancel": [{"event": "c", "timeout": "never"}]}, "cancel.timeout: not a duration"),
        ({"cancel": [{"event": "c", "if": "event.data.x =="}]}, "column 16"),
        ({"cancel": "all"}, "Expected `array | null`, got `str`"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(change: dict[str, Any], said: str) -> None:
    """With the function, the field and the reason."""
    text = refused(REPORT | change)
    assert said in text
    assert "register it" in text or text.startswith("shop-")


def test_all_refusals_come_at_once() -> None:
    """The developer sees one answer."""
    text = refused(REPORT | {"debounce": {"period": "1s"}, "triggers": []}, {"id": 5}, REPORT)
    assert len(text.splitlines()) == 3


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"{}", b'{"url":1}', b'{"url":"u"}', b"\xff", b"[" * 9_999]
)
def test_what_is_no_registration_is_refused(text: bytes) -> None:
    """Whatever it is."""
    with pytest.raises(RegistrationError, match="not a registration"):
        read_registration(text, Rules())


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=10,
)


@given(st.dictionaries(st.sampled_from([*REPORT, "singleton", "concurrency"]), JSON, max_size=4))
def test_any_function_is_taken_or_refused(change: dict[str, Any]) -> None:
    """Nothing else is raised."""
    try:
        found = read(REPORT | change)
    except RegistrationError as error:
        told: object = error.problems
    else:
        told = len(found.functions) == 1
    assert told
