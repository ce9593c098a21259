"""S38: whatever lies on a topic that a worker reads is what it should be, or is ignored."""

from collections.abc import Callable
from typing import Any

import msgspec
import orjson
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.router.record import Record
from streams.router.updates import route_update
from streams.sdk.worker.offsets import begins
from streams.sdk.worker.records import (
    has_stopped,
    read_cancellation,
    read_run,
    read_step,
    run_id_of,
    slug_of,
    step_of,
)
from streams.sdk.worker.updates import Updates
from streams.settings import load
from tests.support.claimed import run_id, run_record
from topology import keys
from topology.codec import CodecError

P = 8
RUN = run_id()
SLUG = "reports-generate"
EVENT = {"name": "report/requested", "id": "e1", "ts": 1, "data": {}, "user": None}
RUN_FIELDS: dict[str, Any] = msgspec.json.decode(
    msgspec.json.encode(run_record(cause={"type": "api"}, stopped_at=7, worker="w"))
)
STEP_FIELDS: dict[str, Any] = {"run_id": RUN, "step": "load", "attempt": 1, "v": 1}
OUTCOMES: tuple[dict[str, Any], ...] = (
    {"result": {"pages": [1, 2.5, None]}},
    {"error": {"code": "OSError", "message": "no paper", "attempts": 3}},
    {"wake_at": 1_800_000_000_000},
)
CANCELLED_FIELDS: dict[str, Any] = {
    "function_id": SLUG,
    "run_id": RUN,
    "event": EVENT,
    "cause": {"type": "api"},
    "run": {"status_before": "running", "attempt": 1, "last_step": "load"},
}

# Texts of JSON at and beyond what readers take, of every type; some aren't JSON at all.
VALUES = st.sampled_from(
    (
        *("null", "true", "0", "-1", "1.0", "-0.0", "1e999", "NaN", "[]", "{}", '""', '"x"'),
        *(str(2**power + more) for power in (31, 32, 48, 53, 63, 64, 70) for more in (-1, 0, 1)),
        *(f'"{RUN}"', f'"{RUN.lower()}"', '"\\ud800"', '"\\udfff\\ud800"', '"' + "é" * 3_000 + '"'),
        *("[" * 2_000, "[" * 100_000, "[" * 900 + "]" * 900, '{"a":' * 100_000, "9" * 5_000),
        *('"scheduled"', '"running"', '"cancelled"', '"reports-other"', "1e-400", "{", '"\xff'),
    )
)
RAW = st.binary(max_size=40) | st.sampled_from((b"\xff", b"", b"[" * 100_000, b"\x00", b"null"))
KEYS = (
    st.none()
    | RAW
    | st.sampled_from(
        (RUN.encode(), RUN.lower().encode(), f"{RUN}/load".encode(), f"{RUN}/".encode(), b"/load")
    )
)


def texts(fields: dict[str, Any]) -> st.SearchStrategy[bytes]:
    """A record, but for some fields, which are left out or are any JSON."""
    known = {name: orjson.dumps(value).decode() for name, value in fields.items()}
    changes = st.dictionaries(st.sampled_from(list(known)), st.none() | VALUES, max_size=2)

    def text(changed: dict[str, str | None]) -> bytes:
        kept = {name: value for name, value in (known | changed).items() if value is not None}
        members = ",".join(f'"{name}":{value}' for name, value in kept.items())
        return f"{{{members}}}".encode(errors="surrogatepass")

    return changes.map(text)


def cancelled(data: bytes) -> bytes:
    """A record of `cancelled` with these data."""
    return b'{"v":1,"name":"function.cancelled","data":' + data + b"}"


RUNS = texts(RUN_FIELDS) | RAW
STEPS = st.sampled_from(OUTCOMES).flatmap(lambda one: texts(STEP_FIELDS | one)) | RAW
CANCELLED = (
    texts(CANCELLED_FIELDS)
    | st.sampled_from(("event", "run")).flatmap(
        lambda name: texts(CANCELLED_FIELDS[name]).map(
            lambda inner: orjson.dumps(CANCELLED_FIELDS | {name: 0}).replace(
                b'"%b":0' % name.encode(), b'"%b":%b' % (name.encode(), inner)
            )
        )
    )
).map(cancelled) | RAW
HEADERS = st.none() | st.lists(
    st.tuples(st.sampled_from(("function-id", "x")), st.none() | RAW | st.just(SLUG.encode()))
)


def read(read_it: Callable[..., Any], *arguments: object) -> Any:
    """What is read; None if it is refused."""
    try:
        return read_it(*arguments)
    except CodecError:
        return None


def is_taken_by_routers(topic: str, key: bytes, value: bytes | None) -> bool:
    """Whether routers refuse nothing of a record."""
    return not route_update(Record(topic, 0, 0, 1, key, value), P).rejections


@settings(deadline=None)
@given(KEYS | st.just(RUN.encode()), RUNS)
@example(RUN.encode(), orjson.dumps(RUN_FIELDS))
def test_s38_what_is_read_of_runs_can_be_claimed(key: bytes | None, value: bytes) -> None:
    """Else it is refused; nothing else happens."""
    record = read(read_run, key, value)
    assert has_stopped_or_none(key, value) == (record and record.stopped_at is not None)
    if record is None:
        return
    assert record.run_id == read(run_id_of, key)
    if record.dispatch:
        claim = Updates(load(), "worker", P).claim(record.run_id, record.attempt)
        assert is_taken_by_routers(claim.topic, claim.key, claim.value)


def has_stopped_or_none(key: bytes | None, value: bytes) -> bool | None:
    """Whether a record says that its run has stopped; None if it is refused."""
    found: bool | None = read(has_stopped, key, value)
    return found


@settings(deadline=None)
@given(KEYS | st.just(f"{RUN}/load".encode()), STEPS)
@example(f"{RUN}/load".encode(), orjson.dumps(STEP_FIELDS | OUTCOMES[0]))
def test_s38_what_is_read_of_steps_is_an_outcome(key: bytes | None, value: bytes) -> None:
    """Of the step that its key names, and its result can be read."""
    record = read(read_step, key, value)
    step = read(step_of, key)
    if step is not None:
        removed = Updates(load(), "worker", P).forgotten(*step)
        assert (removed.key, removed.value) == (key, None)
    if record is None:
        return
    assert (record.run_id, record.step) == step
    if record.result is not msgspec.UNSET:
        orjson.loads(bytes(record.result))


@settings(deadline=None)
@given(HEADERS | st.just([("function-id", SLUG.encode())]), CANCELLED)
@example([("function-id", SLUG.encode())], cancelled(orjson.dumps(CANCELLED_FIELDS)))
def test_s38_what_is_read_of_cancelled_has_a_run(
    headers: list[tuple[str, bytes | None]] | None, value: bytes
) -> None:
    """Of the function that its header names."""
    run = read(read_cancellation, headers, value)
    if run is not None:
        assert run.function_id == slug_of(headers)
        assert keys.partition_of_run(keys.run_id_bytes(run.run_id), P) < P


@given(
    st.integers(-1001, 2**63 - 1), st.text() | VALUES | texts({"a": 1, "b": 2}).map(bytes.decode)
)
def test_s38_any_metadata_of_a_commit_gives_a_place(offset: int, note: str) -> None:
    """At the committed offset or before it."""
    begun, left = begins(offset, note, {"a"}.__contains__)
    assert begun <= offset
    assert "a" not in left


@pytest.mark.parametrize("key", [None, "text", b"\xff", b"", RUN.encode()])
def test_a_tombstone_is_read_by_its_key_alone(key: bytes | str | None) -> None:
    """It says that the run is gone."""
    assert read(run_id_of, key) == (RUN if key == RUN.encode() else None)
