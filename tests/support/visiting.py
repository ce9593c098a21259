"""Somebody who uses the dashboard without a browser: follows links, sends forms, keeps cookies."""

import html
import re
from typing import Any

import httpx

from streams.api.call.roles import Role
from tests.support.api import PATIENCE_S, Api

_FIELD = re.compile(r'<input type="hidden" name="(\w+)" value="([^"]*)"')


class Visit:
    """A visit to the pages of a server."""

    def __init__(self, api: Api, role: Role | None = None) -> None:
        """Come, and sign in with the key of a role."""
        self.api = api
        self.client = httpx.Client(base_url=api.url, timeout=PATIENCE_S)
        if role is not None:
            answer = self.send("/sign-in", key=api.keys[role][1])
            assert answer.status_code == 303, answer.text

    def close(self) -> None:
        """Go."""
        self.client.close()

    def get(self, path: str, **more: Any) -> httpx.Response:
        """Ask for a page."""
        return self.client.get(path, **more)

    def page(self, path: str) -> str:
        """A page that is there."""
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return answer.text

    def send(self, path: str, **fields: str) -> httpx.Response:
        """Send a form as a browser does from one of these pages, with these fields alone."""
        return self.client.post(path, data=fields, headers={"Origin": self.api.url})

    def submit(self, page: str, to: str, **fields: str) -> httpx.Response:
        """Send the form of a page that goes to an address, with its hidden fields."""
        return self.send(to, **(self.hidden(page, to) | fields))

    def hidden(self, page: str, to: str) -> dict[str, str]:
        """The hidden fields of the form of a page that goes to an address."""
        return self.hidden_in(self.page(page), to)

    def hidden_in(self, text: str, to: str) -> dict[str, str]:
        """The same, of a page that was an answer."""
        address = html.escape(to, quote=True)
        begin = text.index(f'action="{address}"')
        found = _FIELD.findall(text[begin : text.index("</form>", begin)])
        return {name: html.unescape(value) for name, value in found}

    @property
    def token(self) -> str:
        """What each form of this session sends."""
        return self.hidden("/functions", "/sign-out")["csrf"]
