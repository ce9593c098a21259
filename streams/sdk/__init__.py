"""Functions whose runs can be cancelled: what user code imports.

An `App` holds functions; `countermand worker MODULE:APP` runs them. A run stops between its steps,
and a step whose outcome was recorded is never executed again.
"""

from streams.sdk.app import App
from streams.sdk.cancelled_run import CancelledRun, Event
from streams.sdk.context import BlockingContext, BlockingStep, Context, Step
from streams.sdk.errors import Cancelled, StepError
from streams.sdk.retries import Retries
from streams.sdk.revocations import RevocationView

__all__ = [
    "App",
    "BlockingContext",
    "BlockingStep",
    "Cancelled",
    "CancelledRun",
    "Context",
    "Event",
    "Retries",
    "RevocationView",
    "Step",
    "StepError",
]
