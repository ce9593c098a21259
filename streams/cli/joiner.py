"""`countermand joiner`: the process that makes state and cancelled events of commands."""

from streams.cli.services import with_state
from streams.joiner.app import run_joiner

joiner = with_state(run_joiner, "Run a joiner: commands to state and cancelled events.")
