"""Asks before many runs are changed; without a terminal only flags can agree."""

import sys
from dataclasses import dataclass
from enum import Enum
from typing import Annotated

import typer

from streams.cli.console import confirm
from streams.errors import RefusedError

AtMost = Annotated[
    int | None,
    typer.Option(
        "--confirm-at-most", min=0, metavar="N", help="Don't ask; go on if N runs or fewer match."
    ),
]


class Decision(Enum):
    """What to do after a dry run."""

    GO_AHEAD = "go ahead"
    ASK = "ask"
    REFUSE = "refuse"


@dataclass(frozen=True, slots=True)
class Agreement:
    """What the flags allow without asking.

    Raises:
        BadParameter: Both flags are given.
    """

    yes: bool = False
    at_most: int | None = None

    def __post_init__(self) -> None:
        if self.yes and self.at_most is not None:
            raise typer.BadParameter("give --yes or --confirm-at-most, not both")

    def decide(self, count: int, *, terminal: bool) -> Decision:
        """What to do where `count` runs match."""
        if self.at_most is not None:
            return Decision.GO_AHEAD if count <= self.at_most else Decision.REFUSE
        if self.yes:
            return Decision.GO_AHEAD
        return Decision.ASK if terminal else Decision.REFUSE


def agree(agreement: Agreement, count: int, question: str) -> None:
    """Go on only with the user's agreement.

    Raises:
        RefusedError: The user doesn't agree, or can't be asked; the message says which flag agrees.
    """
    decision = agreement.decide(count, terminal=sys.stdin.isatty())
    if decision is Decision.REFUSE:
        runs = f"{count:,} runs match"
        if agreement.at_most is not None:
            limit = f"--confirm-at-most {agreement.at_most}"
            raise RefusedError(f"Nothing was done: {runs}, more than {limit} allows")
        raise RefusedError(
            f"Nothing was done: {runs}, and there is no terminal to ask: add --yes, or "
            "--confirm-at-most N"
        )
    if decision is Decision.ASK and not confirm(question, yes=False):
        raise RefusedError("Nothing was done")
