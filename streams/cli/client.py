"""The command line's way to the REST API: one client, and problems as the project's errors."""

import time
import uuid
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from types import TracebackType
from typing import Any, Final, Self, TypeAlias
from urllib.parse import quote

import httpx

from streams.cli.problems import problem_error
from streams.cli.settings import load_settings
from streams.errors import CountermandError, NotFoundError, SettingsError, UnreachableError

Document: TypeAlias = dict[str, Any]

MOST_PER_PAGE: Final = 100
_LOOPBACK: Final = frozenset({"127.0.0.1", "localhost", "::1"})
# The slowest answers wait for an acknowledgement of Kafka, or for one run's decision.
_TIMEOUTS: Final = httpx.Timeout(20.0, connect=5.0)
_AGAIN_WITHIN_S: Final = 15.0
_PAUSE_S: Final = 1.0
_IN_USE: Final = "idempotency_key_in_use"
_NEVER_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.UnsupportedProtocol)


class ApiClient:
    """Calls the API; every answer is its JSON document, every problem an error of the project.

    A `POST` has an Idempotency-Key of its own, so a call whose answer was lost is sent again, and
    still done once.
    """

    def __init__(self, url: str, key: str | None = None) -> None:
        """Prepare calls to `url`; nothing is sent yet.

        Raises:
            SettingsError: The URL or the key can't be used.
        """
        self.url = url.rstrip("/")
        headers = {"Accept": "application/json"}
        if key is not None:
            headers["Authorization"] = f"Bearer {_checked_key(key)}"
        host = _host(self.url)
        # A proxy can't reach this machine's own loopback.
        self._http = httpx.Client(
            headers=headers, timeout=_TIMEOUTS, trust_env=host not in _LOOPBACK
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        error_type: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._http.close()

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Document:
        """The answer to a `GET`; parameters that are None are left out.

        Raises:
            CountermandError: As `problem_error`.
        """
        sent = _given(params)
        return self._repeated(self._http.build_request("GET", self.url + path, params=sent), sent)

    def find(self, path: str, params: Mapping[str, Any] | None = None) -> Document | None:
        """The `data` of the answer to a `GET`, None where there is nothing.

        Raises:
            CountermandError: As `problem_error`.
        """
        try:
            found: Document = self.get(path, params)["data"]
        except NotFoundError:
            return None
        return found

    def post(self, path: str, body: Document) -> Document:
        """The `data` of the answer to a `POST`; members that are None are left out.

        Raises:
            CountermandError: As `problem_error`.
        """
        sent, headers = _given(body), {"Idempotency-Key": str(uuid.uuid4())}
        url = self.url + path
        request = self._http.build_request("POST", url, json=sent, headers=headers)
        data: Document = self._repeated(request, sent)["data"]
        return data

    def delete(self, path: str, params: Mapping[str, Any] | None = None) -> Document:
        """The `data` of the answer to a `DELETE`, which is sent once only.

        Raises:
            CountermandError: As `problem_error`.
        """
        sent = _given(params)
        request = self._http.build_request("DELETE", self.url + path, params=sent)
        data: Document = self._answer(request, sent)["data"]
        return data

    def pages(
        self, path: str, params: Mapping[str, Any], *, limit: int, cursor: str | None
    ) -> Iterator[Document]:
        """The pages of a list with at most `limit` rows in all; the last has the next cursor.

        Raises:
            CountermandError: As `problem_error`.
        """
        left = limit
        while left > 0:
            asked = {**params, "limit": min(left, MOST_PER_PAGE), "cursor": cursor}
            page = self.get(path, asked)
            yield page
            left -= len(page["data"])
            cursor = page["metadata"]["next_cursor"]
            if cursor is None:
                return

    def now(self) -> str:
        """The time by the API's clock, against which it checks bounds."""
        # Of all lists the one that waits for no other call.
        at: str = self.get("/v1/cancellations", {"limit": 1})["metadata"]["fetched_at"]
        return at

    def _repeated(self, request: httpx.Request, sent: Document) -> Document:
        """Send a call that may be repeated until it is answered, for at most 15 s."""
        end = time.monotonic() + _AGAIN_WITHIN_S
        while True:
            try:
                return self._answer(request, sent)
            except _AgainError as error:
                if time.monotonic() + error.pause > end:
                    raise error.error from None
                time.sleep(error.pause)

    def _answer(self, request: httpx.Request, sent: Document) -> Document:
        try:
            response = self._http.send(request)
        except _NEVER_SENT as error:
            raise UnreachableError(self._no_answer(error)) from None
        except httpx.TransportError as error:
            raise _AgainError(UnreachableError(self._no_answer(error)), _PAUSE_S) from None
        if response.is_success:
            return self._document(response)
        failure = problem_error(response.status_code, response.text, sent, self.url)
        again = response.status_code == HTTPStatus.SERVICE_UNAVAILABLE or _IN_USE in response.text
        if again:
            raise _AgainError(failure, _pause(response))
        raise failure

    def _document(self, response: httpx.Response) -> Document:
        try:
            found = response.json()
        except ValueError:
            found = None
        if not isinstance(found, dict) or "data" not in found:
            raise CountermandError(
                f"{self.url} answers, but not as Countermand's API does: look at "
                "COUNTERMAND_API_URL or --api-url"
            )
        return found

    def _no_answer(self, error: httpx.TransportError) -> str:
        why = str(error) or type(error).__name__
        return (
            f"The API at {self.url} doesn't answer ({why}): is it running? Its place is "
            "COUNTERMAND_API_URL or --api-url"
        )


class _AgainError(UnreachableError):
    """A call may be repeated after `pause` seconds; `error` is raised if it isn't."""

    def __init__(self, error: CountermandError, pause: float) -> None:
        super().__init__(str(error))
        self.error = error
        self.pause = pause


def open_client(api_url: str | None, api_key: str | None) -> ApiClient:
    """The client of a command's flags and settings.

    Raises:
        SettingsError: A setting can't be used.
    """
    settings = load_settings(api_url=api_url, api_key=api_key)
    url = settings.api_url or f"http://127.0.0.1:{settings.api_port}"
    key = settings.api_key
    return ApiClient(url, None if key is None else key.get_secret_value())


def path_of(*parts: str) -> str:
    """The path of a resource; the parts are quoted, as people may type anything."""
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def _given(values: Mapping[str, Any] | None) -> Document:
    return {name: value for name, value in (values or {}).items() if value is not None}


def _pause(response: httpx.Response) -> float:
    """How long the API asks to wait."""
    seconds = response.headers.get("Retry-After", "")
    return float(seconds) if seconds.isdecimal() else _PAUSE_S


def _checked_key(key: str) -> str:
    key = key.strip()
    if not key.isascii() or not key.isprintable() or " " in key:
        raise SettingsError("COUNTERMAND_API_KEY is no key: keys look like cmk_…")
    return key


def _host(url: str) -> str:
    try:
        parsed = httpx.URL(url)
    except httpx.InvalidURL as error:
        raise SettingsError(f"COUNTERMAND_API_URL can't be used: {error}") from None
    if parsed.scheme not in {"http", "https"} or not parsed.host:
        raise SettingsError("COUNTERMAND_API_URL must begin with http:// or https:// and a host")
    return parsed.host
