"""What is called, what of an answer is taken, and what stands for one that isn't."""

import asyncio
from collections.abc import Callable

import httpx
import pytest

from streams.inngest.answers import Answer
from streams.inngest.caller import ANSWER_BYTES, BODY_BYTES, Caller, Origins, new_client
from streams.inngest.calls import Asked
from streams.inngest.signing import Keys, SigningKey

SDK = {"x-inngest-sdk": "inngest-js:v4.24.0"}
URL = "https://app.example.com/api/inngest?x=1"
DEV = Keys([])


def asked(**data: object) -> Asked:
    """A first call for an event with this data."""
    event = {"name": "report/requested", "data": data, "id": "e1", "ts": 1}
    return Asked(
        run_id="r1", event=event, ended={}, attempt=0, most=5, planned_only=False, version=-1
    )


def post(
    answer: Callable[[httpx.Request], httpx.Response],
    what: Asked,
    *,
    url: str = URL,
    keys: Keys = DEV,
) -> tuple[Answer, list[httpx.Request]]:
    """Call an app that answers so; what came of it, and the requests that the app got."""
    got: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        got.append(request)
        return answer(request)

    async def call() -> Answer:
        async with (
            new_client(5) as usual,
            httpx.AsyncClient(
                transport=httpx.MockTransport(handle),
                timeout=usual.timeout,
                follow_redirects=usual.follow_redirects,
            ) as client,
        ):
            caller = Caller(client, keys, Origins(["https://app.example.com"]))
            return await caller.post(url, "app-report", "step", what)

    return asyncio.run(call()), got


def test_the_function_and_its_step_are_named_in_the_query() -> None:
    """Beside what the app's own URL has."""
    answer, (request,) = post(lambda _: httpx.Response(200, headers=SDK, json="done"), asked())
    assert answer.has_ended
    assert dict(request.url.params) == {"x": "1", "fnId": "app-report", "stepId": "step"}


@pytest.mark.parametrize(
    "url", ["https://other.example.com/", "http://app.example.com/", "http://127.0.0.1:3000/", "x"]
)
def test_other_origins_are_not_called(url: str) -> None:
    """Whatever an app has registered."""
    answer, got = post(lambda _: httpx.Response(200, headers=SDK), asked(), url=url)
    assert answer.failed
    assert "COUNTERMAND_INNGEST_ORIGINS" in str(answer.error)
    assert got == []


def test_redirects_are_not_followed() -> None:
    """They would lead to origins that nobody has configured."""
    elsewhere = {"location": "https://app.example.com/there"}
    answer, got = post(lambda _: httpx.Response(307, headers=elsewhere), asked())
    assert (answer.failed, len(got)) == (True, 1)


def test_a_call_that_is_too_large_is_not_made() -> None:
    """It would be no smaller the next time."""
    answer, got = post(lambda _: httpx.Response(200, headers=SDK), asked(text="x" * BODY_BYTES))
    assert (answer.failed, answer.again, got) == (True, False, [])


def test_an_answer_that_is_too_large_is_not_kept() -> None:
    """Nor is it asked for again."""
    body = b'"' + b"x" * ANSWER_BYTES + b'"'
    answer, _ = post(lambda _: httpx.Response(200, headers=SDK, content=body), asked())
    assert (answer.failed, answer.again) == (True, False)


def test_answers_must_be_signed() -> None:
    """By one who has the key; keep-alive spaces before a streamed answer don't count."""
    key = SigningKey("signkey-test-0123456789abcdef")

    def unsigned(_: httpx.Request) -> httpx.Response:
        return httpx.Response(200, headers=SDK, json=1)

    def signed(request: httpx.Request) -> httpx.Response:
        at = int(request.headers["x-inngest-signature"].partition("&")[0].removeprefix("t="))
        headers = SDK | {"x-inngest-signature": key.sign(b"1", at)}
        return httpx.Response(200, headers=headers, content=b"  1")

    assert post(unsigned, asked(), keys=Keys([key]))[0].failed
    assert post(signed, asked(), keys=Keys([key]))[0].has_ended
