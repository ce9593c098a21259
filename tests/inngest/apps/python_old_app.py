"""The functions of `python_app.py` on an older SDK, which hands steps over beside the context."""

import runpy
from collections.abc import Awaitable, Callable
from typing import Any

import inngest

Handler = Callable[[Any], Awaitable[None]]


def create_function(
    client: inngest.Inngest, *, on_failure: Handler | None = None, **options: Any
) -> Callable[[Handler], Any]:
    """Create a function as newer SDKs do."""
    failing = on_failure and beside(on_failure)
    return lambda handler: create(client, on_failure=failing, **options)(beside(handler))


def beside(handler: Handler) -> Any:
    """A handler as the SDK calls it."""

    async def called(ctx: Any, step: Any) -> None:
        ctx.step = step
        await handler(ctx)

    return called


create: Any = inngest.Inngest.create_function
inngest.Inngest.create_function = create_function  # type: ignore[method-assign, assignment]

if __name__ == "__main__":
    runpy.run_module("tests.inngest.apps.python_app", run_name="__main__")
