"""`countermand read-model`: the process that copies Kafka's records into the SQL database."""

import typer

from streams.cli import options
from streams.cli.console import json_out, out, progress
from streams.cli.services import with_state
from streams.cli.settings import load_settings
from streams.read_model.process import run_read_model
from streams.read_model.rebuild import rebuild as start_anew

app = typer.Typer(
    help="Copy runs, requests and their progress into the SQL database.", no_args_is_help=True
)


app.command("run")(with_state(run_read_model, "Run the read model: Kafka to the SQL database."))


@app.command()
def rebuild(
    *,
    bootstrap_servers: options.Bootstrap = None,
    topic_prefix: options.Prefix = None,
    state_dir: options.StateDir = None,
    json: options.Json = False,
) -> None:
    """Read everything from Kafka again; API keys and the audit trail stay."""
    settings = load_settings(
        bootstrap_servers=bootstrap_servers,
        topic_prefix=topic_prefix,
        state_dir=state_dir,
    )
    with progress(unit="offsets") as bar:
        task = bar.add_task("rebuilding", total=None)
        done = start_anew(settings, lambda passed, of: bar.update(task, completed=passed, total=of))
    if json:
        json_out(vars(done))
    else:
        out(f"{done.records} records in {done.seconds:.1f} s")
