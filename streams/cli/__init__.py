"""The command line: `countermand`. One file per group of commands, heavy imports inside them."""


def main() -> None:
    """Run the command line; the entry point of `countermand`."""
    from streams.cli.app import app  # noqa: PLC0415  # importing the package must stay cheap

    app(prog_name="countermand")
