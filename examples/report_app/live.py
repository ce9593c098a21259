"""What a page shows, sent again whenever it has changed (server-sent events).

The database is looked at for every open page, which is good for some hundred of them, and needs
nothing else. PostgreSQL's LISTEN would be the next step.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from typing import Final

from fastapi.sse import KEEPALIVE_COMMENT, format_sse_event
from starlette.concurrency import run_in_threadpool

_LOOK_S: Final = 0.25
_KEEPALIVE_S: Final = 15.0


async def changes(
    render: Callable[[], str], is_stopping: Callable[[], bool]
) -> AsyncIterator[bytes]:
    """The page's live part as it is, and each time that it changes."""
    shown = None
    last = time.monotonic()
    while not is_stopping():
        html = await run_in_threadpool(render)
        now = time.monotonic()
        if html != shown:
            yield format_sse_event(data_str=html, retry=1_000)
        elif now - last > _KEEPALIVE_S:
            yield KEEPALIVE_COMMENT
        else:
            await asyncio.sleep(_LOOK_S)
            continue
        shown, last = html, now
