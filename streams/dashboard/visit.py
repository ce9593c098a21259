"""One request for a page: who asks, what they may do, and the ways to answer."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from ulid_transform import ulid_now

from streams.api.call.api_key import ApiKey
from streams.api.problems import ProblemError
from streams.dashboard.calls import Calls, encoded
from streams.dashboard.curl import curl
from streams.dashboard.may import May
from streams.dashboard.rendering import render, render_live
from streams.dashboard.sessions import Session

ULID: Final = re.compile("[0-7][0-9A-HJKMNP-TV-Z]{25}", re.ASCII)
# In the state of a request that renews a page's live part.
LIVE: Final = "live"


@dataclass(slots=True)
class Visit:
    """A request of somebody who is signed in.

    Attributes:
        request: As it came.
        session: The browser's session.
        caller: Who calls the API.
        may: What the pages offer them.
        calls: The calls that the page makes.
        origin: Scheme and host of these pages.
        form: The fields of a form that was sent; the last value of each.
        path: Where the page is found; a form may be sent elsewhere, and answered by it.
        behind: Up to which time the read model shows what happened, where that isn't now.
    """

    request: Request
    session: Session
    caller: ApiKey
    may: May
    calls: Calls
    origin: str
    path: str
    form: Mapping[str, str] = field(default_factory=dict)
    behind: str | None = None

    @property
    def query(self) -> Mapping[str, str]:
        """The parameters of the address."""
        return self.request.query_params

    @property
    def address(self) -> str:
        """Path and query of this page."""
        query = self.request.url.query
        return f"{self.path}?{query}" if query else self.path

    def address_with(self, **changes: str | None) -> str:
        """The address of this page with other parameters; None: without."""
        asked = self.request.query_params
        given: dict[str, Any] = {name: asked.getlist(name) for name in asked}
        changed = encoded(given | changes)
        return f"{self.path}?{changed}" if changed else self.path

    @property
    def commands(self) -> list[str]:
        """The calls that read this page as commands, but for those that no shell may be given."""
        commands = [curl(call, self.origin) for call in self.calls.made if call.method == "GET"]
        return [command for command in commands if command is not None]

    def page(self, template: str, status: int = HTTPStatus.OK, **context: object) -> Response:
        """A page; only its live part where that is what is asked for."""
        known = {"visit": self, "may": self.may, "path": self.path} | context
        if self.request.scope["state"].get(LIVE):
            return HTMLResponse(render_live(template, known), status)
        return HTMLResponse(render(template, known), status)

    def go(self, path: str) -> Response:
        """Go on to another page, after a write."""
        return RedirectResponse(path, HTTPStatus.SEE_OTHER)

    def typed(self, *names: str) -> dict[str, str | None]:
        """Fields of the form without spaces around; None for what is empty."""
        return {name: self.form.get(name, "").strip() or None for name in names}

    def once(self, refused: int | None = None) -> str:
        """The Idempotency-Key of a form, by the status of the answer that it was refused with.

        After a 503 nobody knows whether Kafka has the call: it keeps its key, and is sent once.
        """
        sent = self.form.get("once")
        return sent if sent and refused == HTTPStatus.SERVICE_UNAVAILABLE else ulid_now()

    def ulid(self, name: str) -> str:
        """A part of the path that must be an id of a run, a cancellation or a replay.

        Raises:
            ProblemError: 404.
        """
        text = str(self.request.path_params[name]).upper()
        if ULID.fullmatch(text) is None:
            detail = f"{text[:64]} is no id: it has 26 digits and letters"
            raise ProblemError(HTTPStatus.NOT_FOUND, "page_not_found", detail)
        return text
