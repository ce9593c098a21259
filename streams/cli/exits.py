"""Exit codes, and how an error becomes one: with a clear message, without a traceback."""

import os
import sys
from enum import IntEnum
from typing import Final

import typer
from typer._click import Command, Context
from typer._click.exceptions import ClickException
from typer.core import TyperGroup

from streams import errors
from streams.cli.commands import load
from streams.printable import printable_lines


class ExitCode(IntEnum):
    """What a script may rely on (docs/cli.md)."""

    OK = 0
    FAILED = 1
    USAGE = 2
    NOT_FOUND = 3
    REFUSED = 4
    UNREACHABLE = 5
    TOPICS = 6
    DATABASE = 7
    INTERRUPTED = 130
    BROKEN_PIPE = 141


_NOT_OURS: Final = (typer.Exit, ClickException)
_CODES: Final = (
    (errors.SettingsError, ExitCode.USAGE),
    (errors.NotFoundError, ExitCode.NOT_FOUND),
    (errors.RefusedError, ExitCode.REFUSED),
    (errors.KafkaRefusedError, ExitCode.REFUSED),
    (errors.DefinitionError, ExitCode.REFUSED),
    (errors.MatchingError, ExitCode.REFUSED),
    (errors.UnreachableError, ExitCode.UNREACHABLE),
    (errors.TopicsError, ExitCode.TOPICS),
    (errors.DatabaseError, ExitCode.DATABASE),
)


def exit_code(error: BaseException) -> ExitCode:
    """The code of an error, by its class."""
    for kind, code in _CODES:
        if isinstance(error, kind):
            return code
    return ExitCode.FAILED


class Commands(TyperGroup):
    """The root group: loads the command that is called, and turns every error into a message."""

    def resolve_command(
        self, ctx: Context, args: list[str]
    ) -> tuple[str | None, Command | None, list[str]]:
        """The command that the arguments name, from its module."""
        name, command, rest = super().resolve_command(ctx, args)
        return name, None if command is None or name is None else load(name), rest

    def invoke(self, ctx: Context) -> object:
        """Run a command; an error becomes a message on stderr and an exit code."""
        try:
            return super().invoke(ctx)
        except BrokenPipeError:
            _silence_stdout()
            raise typer.Exit(ExitCode.BROKEN_PIPE) from None
        except errors.CountermandError as error:
            if ctx.params.get("debug"):
                raise
            _complain(str(error))
            raise typer.Exit(exit_code(error)) from None
        except (KeyboardInterrupt, EOFError, typer.Abort):
            raise typer.Exit(ExitCode.INTERRUPTED) from None
        except _NOT_OURS:  # Typer's own
            raise
        except Exception as error:
            if ctx.params.get("debug"):
                raise
            what = f"{type(error).__name__}: {error}"
            _complain(f"unexpected {what} (--debug shows where)")
            raise typer.Exit(ExitCode.FAILED) from None


def _complain(what: str) -> None:
    typer.echo(f"countermand: {printable_lines(what)}", err=True)


def _silence_stdout() -> None:
    """Discard what is still buffered; else Python reports the broken pipe at its exit."""
    if sys.stdout is sys.__stdout__ and sys.stdout is not None:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)
