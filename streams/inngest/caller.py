"""Calls apps over HTTP: signed, bounded, and only at the origins that were configured."""

import ipaddress
import time
from collections.abc import Iterable
from datetime import timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import aiohttp
import jcs
import yarl

from streams.clock import now_ms
from streams.inngest.answers import Answer, Response, failure, read_answer, unwrapped
from streams.inngest.calls import Asked, body_of
from streams.inngest.signing import Keys
from topology import limits

# As much as Inngest's own servers send.
BODY_BYTES: Final = 4 * 1024 * 1024
# An answer is recorded as a step's outcome, beside a few fields.
ANSWER_BYTES: Final = limits.STEP_RESULT_BYTES - 4 * 1024
_CONNECT_S: Final = 10.0
# Node closes an idle connection after 5 s: a call on one that is just closing would fail.
_IDLE_S: Final = 4.0
_SIGNING_SDKS: Final = ("inngest-js", "inngest-py")
_PORTS: Final = {"http": 80, "https": 443}


class Origins:
    """Where apps may be called: a registration's URL decides where this process posts to."""

    def __init__(self, origins: Iterable[str], *, loopback: bool = False) -> None:
        """`origins` such as `https://app.example.com`; with `loopback`, any port of this machine.

        Raises:
            ValueError: One is no origin.
        """
        self._origins = frozenset(map(_configured, origins))
        self._loopback = loopback

    def allow(self, url: str) -> bool:
        """Whether an app at this URL may be called."""
        try:
            origin = _origin(url)
        except ValueError:
            return False
        return origin in self._origins or (self._loopback and _is_loopback(origin[1]))


def new_client(within: timedelta) -> aiohttp.ClientSession:
    """A client for a `Caller`: no proxies, credentials or cookies that somebody else has set.

    `within`: how long an app may take for one call, whatever it sends meanwhile.
    """
    # Not httpx: with 100 calls at once its pool took ten times the work of all else.
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(within.total_seconds(), sock_connect=_CONNECT_S),
        connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=_IDLE_S),
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
    )


class Caller:
    """Makes calls; it has no state of any run."""

    def __init__(self, client: aiohttp.ClientSession, keys: Keys, origins: Origins) -> None:
        self._client = client
        self._keys = keys
        self._origins = origins

    async def post(self, url: str, slug: str, step: str, asked: Asked) -> Answer:
        """Ask an app to go on with a run of a function, or to execute one planned step of it.

        What goes wrong with the call is its answer, too.
        """
        if not self._origins.allow(url):
            message = f"{url} isn't among COUNTERMAND_INNGEST_ORIGINS, so it isn't called"
            return failure("NotAllowed", message, now_ms())
        body = canonical(body_of(asked))
        if len(body) > BODY_BYTES:
            message = f"the run's steps and event take {len(body)} bytes, at most {BODY_BYTES} go"
            return failure("TooLarge", message, now_ms(), again=False)
        headers = {"content-type": "application/json", "x-run-id": asked.run_id}
        headers |= self._keys.sign(body, int(time.time()))
        try:
            response = await self._exchange(_with(url, fnId=slug, stepId=step), body, headers)
            return self._read(response)
        except (aiohttp.ClientError, ValueError) as error:
            what = str(error) or type(error).__name__
            return failure(type(error).__name__, f"{url}: {what}", now_ms())
        except TimeoutError:
            message = f"{url}: no answer within COUNTERMAND_INNGEST_ANSWER_WITHIN"
            return failure("Timeout", message, now_ms())

    async def _exchange(self, url: str, body: bytes, headers: dict[str, str]) -> Response:
        """Post, and read the answer; keep-alive spaces before a streamed one don't count.

        Redirects aren't followed: they would lead to origins that nobody has configured.

        Raises:
            aiohttp.ClientError: No answer came.
            TimeoutError: None came in time.
        """
        async with self._client.post(
            yarl.URL(url, encoded=True), data=body, headers=headers, allow_redirects=False
        ) as response:
            found = bytearray()
            async for chunk in response.content.iter_any():
                found += chunk if found else chunk.lstrip()
                if len(found) > ANSWER_BYTES:
                    response.close()  # the rest isn't read
                    break
            got = {name.lower(): value for name, value in response.headers.items()}
        return Response(response.status, got, bytes(found))

    def _read(self, response: Response) -> Answer:
        at = now_ms()
        if len(response.body) > ANSWER_BYTES:
            message = f"the answer is larger than {ANSWER_BYTES} bytes: store it elsewhere"
            return failure("TooLarge", message, at, again=False)
        inner = unwrapped(response)
        if inner.sdk.startswith(_SIGNING_SDKS) and not self._is_signed(inner):
            return failure("Unsigned", "the answer isn't signed with the signing key", at)
        return read_answer(inner, at)

    def _is_signed(self, response: Response) -> bool:
        signature = response.headers.get("x-inngest-signature", "")
        return self._keys.have_signed(response.body, signature, int(time.time()))


def canonical(value: Any) -> bytes:  # noqa: ANN401  # any JSON
    """JSON as RFC 8785 writes it, which is what signatures are made of."""
    text: bytes = jcs.canonicalize(value)
    return text


def _with(url: str, **more: str) -> str:
    parts = urlsplit(url)
    query = urlencode(dict(parse_qsl(parts.query)) | more)
    return urlunsplit(parts._replace(query=query, fragment=""))


def _configured(text: str) -> tuple[str, str, int]:
    origin, parts = _origin(text), urlsplit(text)
    if parts.path.strip("/") or parts.query or parts.fragment:
        raise ValueError(f"{text}: an origin has no path: write {parts.scheme}://{parts.netloc}")
    return origin


def _origin(url: str) -> tuple[str, str, int]:
    """Scheme, host and port.

    Raises:
        ValueError: The URL isn't one of http, names a user, or has no host.
    """
    parts = urlsplit(url)
    if parts.scheme not in _PORTS or not parts.hostname or "@" in parts.netloc:
        raise ValueError(f"{url}: not an address such as https://app.example.com")
    return parts.scheme, parts.hostname.lower(), parts.port or _PORTS[parts.scheme]


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
