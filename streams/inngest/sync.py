"""Asks apps for their functions: `countermand inngest sync`, and the bridge when it starts."""

import threading
import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

import httpx
import msgspec

from streams import logs
from streams.errors import CountermandError, NotFoundError, RefusedError, UnreachableError
from streams.inngest.caller import Origins, canonical
from streams.inngest.register import Registrar, Taken
from streams.inngest.signing import Keys

_WITHIN_S: Final = 10.0
_AGAIN_S: Final = 5.0
_KIND: Final = "x-inngest-sync-kind"
_IN_BAND: Final = "in_band"
_SDK: Final = "x-inngest-sdk"
# An app that isn't in development refuses it: it would register itself elsewhere.
_YOURSELF: Final = {"x-inngest-server-kind": "dev"}
_SHOWN: Final = 2_000
# A query of a sync by which an app that registers itself in development says that it has moved.
DEPLOY: Final = "deployId"
MOVED: Final = "moved"

log = logs.get(__name__)


class Syncer:
    """Asks apps for their functions, and registers what they answer."""

    def __init__(self, keys: Keys, registrar: Registrar, origins: Origins) -> None:
        self._keys = keys
        self._registrar = registrar
        self._origins = origins

    def sync(self, url: str, *, moved: bool = False) -> Taken | None:
        """Register the app at this URL; `moved`: it may have been at another origin before.

        None: the app doesn't answer with its functions, but registers itself where its settings
        say; that process has taken it, and its log has the warnings.

        Raises:
            RefusedError: Something of what it says is wrong, or it refuses to say what it has.
            NotFoundError: There is no app.
            UnreachableError: It doesn't answer.
        """
        if not self._origins.allow(url):
            raise RefusedError(f"{url} isn't among COUNTERMAND_INNGEST_ORIGINS")
        answer = self._put(url, {_KIND: _IN_BAND}, moved=moved)
        if self._keys.is_dev and _wants_signature(answer):
            answer = self._put(url, _YOURSELF, moved=moved)
        if answer.headers.get(_KIND) == _IN_BAND and answer.status_code == HTTPStatus.OK:
            self._check_signature(answer)
            return self._registrar.take(answer.content, answer.headers.get(_SDK, ""), moved=moved)
        error = _error(answer)
        if error is None:
            return None
        raise RefusedError(error)

    def sync_all(self, urls: Sequence[str], stop: threading.Event) -> None:
        """Register these apps, each as soon as it answers, until `stop` is set."""
        waiting = list(urls)
        while waiting and not stop.is_set():
            waiting = [url for url in waiting if not self._has_synced(url)]
            stop.wait(_AGAIN_S if waiting else 0)

    def _has_synced(self, url: str) -> bool:
        try:
            taken = self.sync(url)
        except CountermandError as error:
            log.warning("An app isn't registered yet", url=url, error=str(error))
            return False
        if taken is not None:
            log.info("App registered", app=taken.app_id, functions=len(taken.differences))
        return True

    def _put(self, url: str, how: Mapping[str, str], *, moved: bool) -> httpx.Response:
        body = canonical({"url": url})
        headers = {"content-type": "application/json", **how}
        headers |= self._keys.sign(body, int(time.time()))
        asked = httpx.URL(url)
        if moved:
            # SDKs pass it on where they register themselves.
            asked = asked.copy_merge_params({DEPLOY: MOVED})
        try:
            with httpx.Client(timeout=_WITHIN_S, trust_env=False) as client:
                answer = client.put(asked, content=body, headers=headers)
        except (httpx.HTTPError, ValueError) as error:
            raise UnreachableError(
                f"{url} doesn't answer: {str(error) or type(error).__name__}"
            ) from None
        if _SDK not in answer.headers and answer.status_code != HTTPStatus.UNAUTHORIZED:
            raise NotFoundError(f"{url}: no Inngest app answers there, but {answer.status_code}")
        return answer

    def _check_signature(self, answer: httpx.Response) -> None:
        signature, now_s = answer.headers.get("x-inngest-signature", ""), int(time.time())
        # Go signs its answer without the newline at its end.
        bodies = answer.content, answer.content.removesuffix(b"\n")
        if not any(self._keys.have_signed(body, signature, now_s) for body in bodies):
            raise RefusedError("the app's answer isn't signed with COUNTERMAND_INNGEST_SIGNING_KEY")


def _wants_signature(answer: httpx.Response) -> bool:
    """Whether an app tells only who signs what it has: older ones of Python, in development too."""
    return answer.status_code == HTTPStatus.UNAUTHORIZED and _SDK in answer.headers


def _error(answer: httpx.Response) -> str | None:
    """What an app says is wrong; None if nothing is.

    Some SDKs relay what the process said that they registered with: a refusal too, with status 200.
    """
    try:
        found: Any = msgspec.json.decode(answer.content)
    except msgspec.DecodeError:
        found = None
    fields = found if isinstance(found, dict) else {}
    if answer.status_code == HTTPStatus.OK:
        return str(fields["error"]) if fields.get("error") else None
    if answer.headers.get("x-inngest-sdk-handled") and _SDK not in answer.headers:
        return (
            f"{answer.url} takes this signing key or this clock for wrong: compare both with the "
            "app's INNGEST_SIGNING_KEY and clock"
        )
    said = fields.get("message") or fields.get("error") or answer.text
    return f"{answer.url} answers {answer.status_code}: {str(said)[:_SHOWN]}"
