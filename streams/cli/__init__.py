"""The command line: `countermand`. One file per group of commands; `commands.py` lists them."""

from streams.cli.app import main

__all__ = ["main"]
