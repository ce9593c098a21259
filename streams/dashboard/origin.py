"""From where a browser may come: hosts that are served, and the origin that writes come from."""

from dataclasses import dataclass
from typing import Final, Self
from urllib.parse import urlsplit

from starlette.datastructures import Headers

from streams.settings import Settings

_HERE: Final = frozenset({"localhost", "127.0.0.1", "::1"})
_EVERYWHERE: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # compared with, not listened on


@dataclass(frozen=True, slots=True)
class Origin:
    """Where the pages are served.

    Attributes:
        public: Scheme, host and port that browsers use; None: those of this machine, over HTTP.
        hosts: The names by which a browser may ask, without ports.
    """

    public: str | None
    hosts: frozenset[str]

    @classmethod
    def of(cls, settings: Settings) -> Self:
        """As the settings say."""
        if settings.public_url is not None:
            parts = urlsplit(settings.public_url)
            return cls(f"{parts.scheme}://{parts.netloc}", frozenset({parts.hostname or ""}))
        return cls(None, _HERE | ({settings.api_host} - _EVERYWHERE))

    @property
    def is_secure(self) -> bool:
        """Whether browsers come by TLS, so that cookies can be kept to it."""
        return self.public is not None and self.public.startswith("https://")

    def serves(self, headers: Headers) -> bool:
        """Whether the name that a browser asked by is one of this server's."""
        return _hostname(headers.get("host", "")) in self.hosts

    def of_request(self, headers: Headers) -> str:
        """The origin by which a browser came, once `serves` has said yes."""
        return self.public or f"http://{headers.get('host', '')}"

    def own(self, url: str, headers: Headers) -> str | None:
        """Path and query of an address, if it is one of these pages."""
        begin = self.of_request(headers)
        return url.removeprefix(begin) if url.startswith(f"{begin}/") else None

    def wrote(self, headers: Headers) -> bool:
        """Whether a write comes from one of these pages; a browser says so in one of two ways."""
        origin = headers.get("origin")
        if origin is not None:
            return origin == self.of_request(headers)
        return headers.get("sec-fetch-site") == "same-origin"


def _hostname(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
