"""Records of the topic `apps`, and the functions that follow from them."""

import msgspec
import orjson
import pytest

from streams.functions.registry import Registry
from streams.inngest.apps import Address, RemoteApp, encoded
from streams.inngest.remote import Failures, functions_of
from topology import codec, limits
from topology.records import Function, RunRecord, Trigger

A, B, C = (Address(f"http://app/{name}", 4) for name in "abc")


def app(**functions: Address) -> RemoteApp:
    """An app."""
    return RemoteApp("shop", "http://app", "inngest-js:v4.24.0", 1, functions)


def registry(*functions: Function) -> Registry:
    """A registry with these versions."""
    found = Registry()
    for offset, function in enumerate(functions):
        key = f"{function.slug}/{offset}".encode()
        found.apply(offset, 0, key, codec.encode_function(function))
    return found


def function(id_: str, *, remote: bool = True, deleted: bool = False) -> Function:
    """A definition."""
    triggers = () if deleted else (Trigger(event="a/b"),)
    return Function(app="shop", id=id_, triggers=triggers, remote=remote)


def test_a_record_is_read_as_it_was_written() -> None:
    """JSON, which a later release may add fields to."""
    value = encoded(app(a=A))
    assert msgspec.json.decode(value, type=RemoteApp) == app(a=A)
    later = orjson.dumps(orjson.loads(value) | {"new": 1})
    assert msgspec.json.decode(later, type=RemoteApp) == app(a=A)


def test_functions_that_are_missing_stay() -> None:
    """Their runs may go on; what is registered again is the newest."""
    assert app(a=A, b=B).with_functions(app(a=C, c=C)).functions == {"a": A, "b": B, "c": C}
    assert app(a=A).with_functions(None) == app(a=A)


def test_only_declared_functions_are_run() -> None:
    """One that isn't declared yet, was deleted, or is a worker's own isn't called."""
    known = registry(
        function("a"),
        function("b"),
        function("b", deleted=True),
        function("c", remote=False),
    )
    found = functions_of(app(a=A, b=B, c=C, d=A), known)
    assert [(one.definition.id, one.url, one.retries) for one in found] == [("a", A.url, 4)]


def test_a_slug_of_another_app_is_not_run() -> None:
    """The app `shop-a` and its `b` have the slug of `shop` and its `a-b`."""
    other = RemoteApp("shop-a", "http://other", "inngest-js:v4.24.0", 1, {"b": B})
    known = registry(function("a-b"))
    assert functions_of(other, known) == []
    assert [one.url for one in functions_of(app(**{"a-b": A}), known)] == [A.url]


FAILURES = Failures("events", "function.cancelled")


def run(status: str = "failed", name: str = "a/b", size: int = 0) -> RunRecord:
    """A run that has ended."""
    event = {"name": name, "id": "e", "data": {"fill": "x" * size}}
    return RunRecord(
        run_id="01HZ", function_id="shop-a", app_id="shop", status=status, attempt=1,
        dispatch=False, scheduled_at=1, event=msgspec.Raw(orjson.dumps(event)),
        error={"name": "OSError", "message": "no paper"},
    )  # fmt: skip


def test_a_failure_is_told_once_for_each_run() -> None:
    """Under Inngest's name, with the run's id as its own."""
    (record,) = FAILURES(run())
    event = orjson.loads(record.value or b"")
    assert (record.topic, event["name"], event["id"]) == (
        "events",
        "inngest/function.failed",
        "01HZ",
    )
    data = event["data"]
    assert (data["function_id"], data["run_id"], data["event"]["id"]) == ("shop-a", "01HZ", "e")
    assert data["events"] == [data["event"]]
    assert data["error"] == {"name": "OSError", "message": "no paper", "error": "no paper"}


@pytest.mark.parametrize("status", ["completed", "cancelled", "skipped", "expired"])
def test_other_ends_are_not_told(status: str) -> None:
    """A cancel has an event of its own."""
    assert FAILURES(run(status)) == ()


@pytest.mark.parametrize(
    "name", ["inngest/function.failed", "inngest/function.cancelled", "function.cancelled"]
)
def test_no_failure_of_a_handler_is_told(name: str) -> None:
    """It would be handled by the same function again."""
    assert FAILURES(run(name=name)) == ()


@pytest.mark.parametrize("size", [10, limits.EVENT_BYTES // 2, limits.EVENT_BYTES - 200])
def test_a_large_event_is_told_as_far_as_it_fits(size: int) -> None:
    """First it is left out of `events`, then its data go."""
    (record,) = FAILURES(run(size=size))
    assert len(record.value or b"") <= limits.EVENT_BYTES
    assert orjson.loads(record.value or b"")["data"]["event"]["id"] == "e"
