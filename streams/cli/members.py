"""`countermand members`: who is in the groups of routers, joiners and read models."""

from collections.abc import Iterator
from typing import Annotated

import typer

from streams.cli import options
from streams.cli.console import json_out, out, say, table
from streams.cli.settings import load_settings
from streams.errors import NotFoundError
from streams.kafka.admin import admin_client
from streams.kafka.groups import GroupMember, describe_group
from streams.kafka.static_members import remove_static_members
from streams.settings import Settings

app = typer.Typer(
    help="Who is in the groups of routers, joiners and read models.", no_args_is_help=True
)
Name = Annotated[
    str, typer.Argument(help="Its COUNTERMAND_GROUP_INSTANCE_ID, such as the pod's name.")
]


@app.command(name="list")
def list_members(
    *, json: options.Json = False, bootstrap_servers: options.Bootstrap = None
) -> None:
    """List the members of each group, and how many partitions each has."""
    settings = load_settings(bootstrap_servers=bootstrap_servers)
    found = [
        {
            "group": group,
            "name": member.instance_id,
            "host": member.host,
            "partitions": len(member.places),
        }
        for group, member in _members(settings)
    ]
    if json:
        json_out({"members": found})
        return
    if found:
        columns = ("group", "name", "host", "partitions")
        table("", columns, [[str(one[name] or "") for name in columns] for one in found])
    say(f"{len(found)} members")


@app.command()
def remove(name: Name, *, bootstrap_servers: options.Bootstrap = None) -> None:
    """Remove a member that never comes back, so that others get its partitions at once.

    Without it they do when the session timeout has passed. One that is alive joins again.
    """
    settings = load_settings(bootstrap_servers=bootstrap_servers)
    groups = [group for group, member in _members(settings) if member.instance_id == name]
    if not groups:
        raise NotFoundError(f"No group has a member {name}: countermand members list shows them")
    for group in groups:
        remove_static_members(settings, group, [name])
        out(f"removed {name} from {group}")


def _members(settings: Settings) -> Iterator[tuple[str, GroupMember]]:
    admin = admin_client(settings)
    for group in (settings.router_group, settings.joiner_group, settings.read_model_group):
        for member in describe_group(admin, group).members:
            yield group, member
