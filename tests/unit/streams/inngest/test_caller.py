"""What is called, what of an answer is taken, and what stands for one that isn't."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from datetime import timedelta

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from streams.inngest.answers import Answer
from streams.inngest.caller import ANSWER_BYTES, BODY_BYTES, Caller, Origins, new_client
from streams.inngest.calls import Asked
from streams.inngest.signing import Keys, SigningKey

SDK = {"x-inngest-sdk": "inngest-js:v4.24.0"}
DEV = Keys([])


def asked(**data: object) -> Asked:
    """A first call for an event with this data."""
    event = {"name": "report/requested", "data": data, "id": "e1", "ts": 1}
    return Asked(
        run_id="r1", event=event, ended={}, attempt=0, most=5, planned_only=False, version=-1
    )


def post(
    handler: Callable[[web.Request], Awaitable[web.StreamResponse]],
    what: Asked,
    *,
    elsewhere: str = "",
    keys: Keys = DEV,
    within: timedelta = timedelta(seconds=60),
) -> tuple[Answer, list[web.Request]]:
    """Call an app that answers so; what came of it, and the requests that the app got."""
    got: list[web.Request] = []

    async def handle(request: web.Request) -> web.StreamResponse:
        got.append(request)
        return await handler(request)

    async def call() -> Answer:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", handle)
        async with TestServer(app) as server, new_client(within) as client:
            url = elsewhere or str(server.make_url("/api/inngest?x=1"))
            origin = str(server.make_url("")).rstrip("/")
            caller = Caller(client, keys, Origins([origin]))
            return await caller.post(url, "app-report", "step", what)

    return asyncio.run(call()), got


def answering(
    status: int = 200, body: bytes = b"", **headers: str
) -> Callable[[web.Request], Awaitable[web.Response]]:
    """An app that always answers the same."""

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body, headers=SDK | headers)

    return answer


def test_the_function_and_its_step_are_named_in_the_query() -> None:
    """Beside what the app's own URL has."""
    answer, (request,) = post(answering(body=b'"done"'), asked())
    assert answer.has_ended
    assert dict(request.query) == {"x": "1", "fnId": "app-report", "stepId": "step"}


@pytest.mark.parametrize(
    "url", ["https://other.example.com/", "http://app.example.com/", "http://127.0.0.1:3000/", "x"]
)
def test_other_origins_are_not_called(url: str) -> None:
    """Whatever an app has registered."""
    answer, got = post(answering(), asked(), elsewhere=url)
    assert answer.failed
    assert "COUNTERMAND_INNGEST_ORIGINS" in str(answer.error)
    assert got == []


def test_redirects_are_not_followed() -> None:
    """They would lead to origins that nobody has configured."""
    answer, got = post(answering(307, location="/there"), asked())
    assert (answer.failed, len(got)) == (True, 1)


def test_a_call_that_is_too_large_is_not_made() -> None:
    """It would be no smaller the next time."""
    answer, got = post(answering(), asked(text="x" * BODY_BYTES))
    assert (answer.failed, answer.again, got) == (True, False, [])


def test_an_answer_that_is_too_large_is_not_kept() -> None:
    """Nor is it asked for again."""
    body = b'"' + b"x" * ANSWER_BYTES + b'"'
    answer, _ = post(answering(body=body), asked())
    assert (answer.failed, answer.again) == (True, False)


def test_answers_must_be_signed() -> None:
    """By one who has the key; keep-alive spaces before a streamed answer don't count."""
    key = SigningKey("signkey-test-0123456789abcdef")

    async def signed(request: web.Request) -> web.Response:
        at = int(request.headers["x-inngest-signature"].partition("&")[0].removeprefix("t="))
        headers = SDK | {"x-inngest-signature": key.sign(b"1", at)}
        return web.Response(headers=headers, body=b"  1")

    assert post(answering(body=b"1"), asked(), keys=Keys([key]))[0].failed
    assert post(signed, asked(), keys=Keys([key]))[0].has_ended


def test_an_answer_that_never_ends_is_given_up() -> None:
    """Though something comes all the time: SDKs that stream send spaces meanwhile."""

    async def spaces(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(status=201, headers=SDK)
        await response.prepare(request)
        with suppress(ConnectionError):  # until nobody listens any more
            while True:
                await response.write(b" ")
        return response

    answer, _ = post(spaces, asked(), within=timedelta(milliseconds=200))
    assert (answer.failed, answer.again) == (True, True)
    assert "no answer within COUNTERMAND_INNGEST_ANSWER_WITHIN" in str(answer.error)
