"""The pages, one module per resource, as the API's routes are."""

from typing import Final

from streams.dashboard.pages import (
    audit,
    cancel_many,
    cancellations,
    dead_letters,
    functions,
    keys,
    overview,
    replays,
    runs,
    system,
)

ALL: Final = (
    overview.pages,
    runs.pages,
    functions.pages,
    cancel_many.pages,
    cancellations.pages,
    replays.pages,
    dead_letters.pages,
    audit.pages,
    keys.pages,
    system.pages,
)
