"""What commands print: data on stdout, progress and words on stderr, JSON on request.

Everything printed may hold what others wrote, so all of it is made printable here.
"""

import sys
from collections.abc import Iterable, Sequence
from typing import Final

import orjson
import typer
from rich import box
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.status import Status
from rich.table import Table
from rich.text import Text

from streams.printable import printable
from topology.records import Json

# Where there is no terminal a row stays one line, for grep and its like.
_UNFOLDED: Final = 100_000


def json_out(value: Json) -> None:
    """One line of JSON on stdout."""
    out(orjson.dumps(value, default=str).decode())


def out(text: str) -> None:
    """One line of data on stdout."""
    typer.echo(printable(text))


def say(text: str) -> None:
    """One line of progress or advice on stderr."""
    typer.echo(printable(text), err=True)


def console(*, stderr: bool = False) -> Console:
    """Rich's console; it knows NO_COLOR and whether there is a terminal."""
    return Console(stderr=stderr, highlight=False)


def cell(text: str, style: str = "") -> Text:
    """A text for Rich's console, in one line: not markup."""
    return Text(printable(text), style)


def table(title: str, columns: Sequence[str], rows: Iterable[Sequence[str]]) -> None:
    """A table on stdout; what is in the cells is text, not markup."""
    drawn = Table(title=title or None, box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for column in columns:
        drawn.add_column(column, overflow="fold")
    for row in rows:
        drawn.add_row(*map(cell, row))
    screen = console()
    if not screen.is_terminal:
        screen.width = _UNFOLDED
    screen.print(drawn)


def progress(*, unit: str = "") -> Progress:
    """A progress bar on stderr, absent where stderr is no terminal."""
    screen = console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn(unit),
        TimeElapsedColumn(),
        console=screen,
        transient=True,
        disable=not screen.is_terminal,
    )


def waiting(text: str) -> Status:
    """A line on stderr that says what is waited for, absent where stderr is no terminal."""
    return console(stderr=True).status(text)


def fields(values: Iterable[tuple[str, str | Sequence[str] | None]]) -> None:
    """Names and values on stdout, one per line; those without a value are left out.

    A value of several lines is given as a list of them.
    """
    shown = [
        (name, [value] if isinstance(value, str) else value) for name, value in values if value
    ]
    width = max((len(name) for name, _ in shown), default=0)
    for name, lines in shown:
        for number, line in enumerate(lines):
            out(f"{'' if number else name:<{width}}  {line}")


def confirm(question: str, *, yes: bool) -> bool:
    """Whether the user agrees; without a terminal only `--yes` does."""
    if yes:
        return True
    if not sys.stdin.isatty():
        return False
    return typer.confirm(printable(question), err=True)
