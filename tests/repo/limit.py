"""A row of the page of limits."""

from typing import NamedTuple


class Limit(NamedTuple):
    """One row: what is limited, to how much, what happens beyond, and the test that shows it."""

    what: str
    bound: str
    beyond: str
    test: str
