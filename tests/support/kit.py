"""One function in an app of its own, run by the testing kit."""

import asyncio
from typing import Any

from streams.sdk import App, Retries
from streams.sdk.app import Call
from streams.sdk.testing import Outcome, TestKit

ONCE = Retries(attempts=1)


def app_of(call: Call, retries: Retries = ONCE, **fields: Any) -> App:
    """An app with one function."""
    app = App("reports")
    app.function(id="generate", trigger="report/requested", retries=retries, **fields)(call)
    return app


def run(call: Call, *, retries: Retries = ONCE, now: str | None = None, **options: Any) -> Outcome:
    """Run a function to its end."""
    kit = TestKit(app_of(call, retries), now=now)
    return asyncio.run(kit.run("generate", **options))


def load() -> str:
    """A step that returns something."""
    return "loaded"


def fail(message: str = "no paper") -> None:
    """A step that fails."""
    raise OSError(message)
