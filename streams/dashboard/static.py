"""Scripts, styles and pictures; their addresses have a hash, so browsers keep them for ever."""

import hashlib
from functools import cache
from importlib.resources import files
from typing import Final, NamedTuple

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

_FOLDER: Final = "static"
_HASH_CHARS: Final = 12
_TYPES: Final = {
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
    "svg": "image/svg+xml",
}
_FOR_EVER: Final = {"Cache-Control": "public, max-age=31536000, immutable"}


class Asset(NamedTuple):
    """A file as it is served."""

    address: str
    media_type: str
    content: bytes


def address(name: str) -> str:
    """The path under which a file is served."""
    return _assets()[name].address


async def serve(request: Request) -> Response:
    """The file of an address."""
    for asset in _assets().values():
        if asset.address == request.url.path:
            return Response(asset.content, media_type=asset.media_type, headers=_FOR_EVER)
    raise HTTPException(404)


@cache
def _assets() -> dict[str, Asset]:
    folder = files("streams.dashboard") / _FOLDER
    return {file.name: _asset(file.name, file.read_bytes()) for file in folder.iterdir()}


def _asset(name: str, content: bytes) -> Asset:
    stem, _, kind = name.rpartition(".")
    digest = hashlib.sha256(content).hexdigest()[:_HASH_CHARS]
    return Asset(f"/{_FOLDER}/{stem}.{digest}.{kind}", _TYPES[kind], content)
