"""What apps answer is read as their SDKs mean it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.inngest.answers import Answer, Response, read_answer, unwrapped

AT = 1_760_000_000_000
SDK = {"x-inngest-sdk": "inngest-js:v4.24.0"}
RUN = {"op": "StepRun", "id": "a" * 40, "name": "load", "displayName": "load", "data": {"n": 1}}


def read(status: int, body: object, **headers: str) -> Answer:
    """The answer of an app."""
    raw = body if isinstance(body, bytes) else json.dumps(body).encode()
    given = {name.replace("_", "-"): text for name, text in headers.items()}
    return read_answer(unwrapped(Response(status, SDK | given, raw)), AT)


def test_a_function_that_has_returned_has_ended() -> None:
    """Whatever it returned."""
    for body in ({"any": 1}, None, b"no json"):
        answer = read(200, body)
        assert (answer.has_ended, answer.failed) == (True, False)


def test_steps_are_told_with_how_the_app_wants_to_be_asked() -> None:
    """Unknown fields are left out, and so are operations that do nothing."""
    answer = read(206, [RUN | {"timing": 1}, {"op": "None"}], x_inngest_req_version="2")
    assert answer.operations is not None
    (one,) = answer.operations
    assert (one.op, one.shown, one.data, answer.version) == ("StepRun", "load", {"n": 1}, 2)
    assert not answer.has_ended
    assert not answer.failed


@pytest.mark.parametrize("body", [RUN, [RUN]])
def test_the_oldest_sdks_tell_one_step_without_a_list(body: object) -> None:
    """It is the same."""
    answer = read(206, body)
    assert answer.operations is not None
    assert [one.id for one in answer.operations] == ["a" * 40]


def test_nothing_may_have_happened() -> None:
    """Then the app is asked again."""
    answer = read(206, [])
    assert answer.operations == []
    assert not answer.has_ended


@pytest.mark.parametrize(
    ("status", "headers", "again"),
    [
        (500, {}, True),
        (500, {"x_inngest_no_retry": "false"}, True),
        (400, {"x_inngest_no_retry": "true"}, False),
        (500, {"x_inngest_no_retry": "true"}, False),
        (410, {}, True),
    ],
)
def test_a_function_that_raises_says_whether_to_try_again(
    status: int, headers: dict[str, str], again: bool
) -> None:
    """Its status says nothing; its error is kept as it is."""
    error = {"name": "Boom", "message": "no", "stack": "…"}
    answer = read(status, error, **headers)
    assert (answer.error, answer.again, answer.failed) == (error, again, True)


def test_a_step_that_raises_is_a_failed_call() -> None:
    """And may say when to try again; one that has failed for good is no failed call."""
    raised = RUN | {"op": "StepError", "error": {"name": "E"}, "data": None}
    answer = read(206, [raised], retry_after="30")
    assert (answer.failed, answer.after) == (True, "30")
    assert not read(206, [raised | {"op": "StepFailed"}]).failed


@pytest.mark.parametrize("body", ["[]", {"op": "x"}, [RUN]])
def test_a_streamed_answer_is_its_last_part(body: object) -> None:
    """Python has its body as text, Go as a value."""
    status = 206 if isinstance(body, list) else 200
    for inner in (body, json.dumps(body)):
        wrapped = {"status": status, "headers": {"X-Inngest-Req-Version": "1"}, "body": inner}
        answer = read(201, b"   " + json.dumps(wrapped).encode())
        assert answer.version == 1
        assert answer.has_ended is (status == 200)


def test_a_streamed_answer_that_breaks_off_is_refused() -> None:
    """It has no status."""
    with pytest.raises(ValueError, match="streamed"):
        read(201, b"    ")


@pytest.mark.parametrize("body", [b"", b"{", b"[1]", b'"x"', b"\xff", b"[" * 5_000])
def test_what_is_no_list_of_operations_is_a_failed_call(body: bytes) -> None:
    """Which may be made again."""
    answer = read(206, body)
    assert answer.failed
    assert answer.again


def test_an_answer_of_no_sdk_is_a_failed_call() -> None:
    """Also with status 200: a proxy's page; a refused signature is told apart."""
    answer = read_answer(Response(200, {}, b"<html>" + b"x" * 9_999), AT)
    assert answer.error["name"] == "NotAnSdk"
    assert len(answer.error["message"]) < 600
    handled = {"x-inngest-sdk-handled": "true"}
    assert read_answer(Response(401, handled, b"{}"), AT).error["name"] == "Unauthorized"


@given(
    status=st.sampled_from([200, 201, 206, 400, 401, 500, 302]),
    body=st.binary(max_size=30) | st.just(b"[]") | st.just(b'{"status":206,"body":"[]"}'),
    sdk=st.booleans(),
    headers=st.dictionaries(
        st.sampled_from(["x-inngest-no-retry", "retry-after", "x-inngest-req-version"]),
        st.text(max_size=5),
    ),
)
def test_any_answer_is_read(status: int, body: bytes, sdk: bool, headers: dict[str, Any]) -> None:
    """Or refused as a broken stream; nothing else is raised."""
    response = Response(status, headers | (SDK if sdk else {}), body)
    try:
        answer = read_answer(unwrapped(response), AT)
    except ValueError:
        assert status == 201
    else:
        assert answer.at == AT
