"""`alcor realized`: which hosts must have an object, and which have it in their switch."""

import time
from typing import Annotated, Any

import httpx
import typer

from alcor.cli.client import (
    FormatOption,
    checked,
    connected,
    fail,
    print_json,
    print_table,
)
from alcor.cli.resource import found_row, path_of, resource_named
from alcor.model.realized import REACHING

# Between two looks of `--wait`: a person does not notice it, and a region does not either.
LOOK_S = 0.1


@connected
def show_realized(
    client: httpx.Client,
    resource: Annotated[str, typer.Argument(help="A resource, such as port or security-group.")],
    name: Annotated[str, typer.Argument(help="The ID, or a name that only one has.")],
    wait: Annotated[
        float, typer.Option("--wait", help="Wait up to so many seconds until no host is missing.", min=0)
    ] = 0,
    format: FormatOption = "table",
) -> None:
    """Show which hosts have an object as it is now; exit status 2 if a host is missing."""
    found = resource_named(resource)
    if found.name not in REACHING:
        fail(f"no host needs to know a {found.member_key}")
    row = found_row(client, found, name, {})
    told = _until_complete(client, f"{path_of(found)}/{row['id']}/data-plane", wait)
    if format == "json":
        print_json(told)
    else:
        lines = [["revision", str(told["revision"])]]
        lines += [["hosts", f"{told['hosts_actual']} of {told['hosts_intended']}"]]
        lines += [[f"missing: {one['host']}", one["reason"]] for one in told.get("missing", ())]
        print_table(lines, (found.member_key, row.get("name") or row["id"]))
    if told["hosts_actual"] < told["hosts_intended"]:
        raise typer.Exit(2)


def _until_complete(client: httpx.Client, path: str, wait_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + wait_s
    while True:
        told: dict[str, Any] = checked(client.get(path))["data_plane"]
        if told["hosts_actual"] >= told["hosts_intended"] or time.monotonic() >= deadline:
            return told
        time.sleep(LOOK_S)
