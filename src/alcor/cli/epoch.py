"""`alcor epoch`, `alcor recover`: after the database was restored, what lives on hosts and is not known any more."""

from collections.abc import Mapping, Sequence
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

app = typer.Typer(
    help="The life of the region's history, and what hosts hold back since a new one began.",
    no_args_is_help=True,
)
HELD = 3
"""Exit status, for scripts: hosts hold something back."""


@app.command()
@connected
def show(
    client: httpx.Client,
    format: FormatOption = "table",
) -> None:
    """Show the epoch, the hosts that hold deletions back, and the living ports that the region does not know.

    Exit status: 0 nothing is held, 3 something is, 1 it could not be found out.
    """
    found = checked(client.get("/epoch"))["epoch"]
    if format == "json":
        print_json(found)
    else:
        _print(found)
    if found["holding"] or found["silent"]:
        raise typer.Exit(HELD)


@app.command()
@connected
def begin(
    client: httpx.Client,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
) -> None:
    """Begin a new epoch: hosts are told everything anew, and delete nothing that lives until it is released.

    A restored database is noticed by itself (hosts know more than it does, or the server says so); this is for when
    you want to be sure. Nothing that is right is sent again.
    """
    if not yes:
        typer.confirm("Begin a new epoch?", abort=True)
    found = checked(client.post("/epoch"))["epoch"]
    print(f"epoch {found['epoch']} begins at revision {found['revision']}")


@app.command()
@connected
def release(
    client: httpx.Client,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask, whatever lives.")] = False,
) -> None:
    """Let hosts delete what the region does not know. The flows of living ports that are not imported go."""
    found = checked(client.get("/epoch"))["epoch"]
    orphans, silent = found["orphans"], found["silent"]
    if (orphans or silent) and not yes:
        _print(found)
        unheard = (
            f", and of all that is not known on {len(silent)} hosts that are not heard" if silent else ""
        )
        typer.confirm(f"Let go of {len(orphans)} living ports{unheard}?", abort=True)
    done = checked(client.post("/epoch/release"))["release"]
    print(f"epoch {done['epoch']} is released; {len(orphans)} living ports were not known")


@connected
def recover(
    client: httpx.Client,
    ports: Annotated[list[str] | None, typer.Argument(help="IDs of the ports to import.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Import every living port that is not known.")] = False,
    format: FormatOption = "table",
) -> None:
    """Import living ports that a restored database does not know: same ID, MAC and addresses, where they live.

    Exit status: 0 all are known now, 1 some could not be imported, 3 all that was found is known, and of some hosts
    it is not known what they hold.
    """
    if bool(ports) == every:
        fail("name ports, or say --all; `alcor epoch show` lists those that live and are not known")
    body = {"ports": "all" if every else list(ports or ())}
    answer = checked(client.post("/epoch/recover", json=body))
    found: Sequence[Mapping[str, Any]] = answer["ports"]
    silent: Sequence[Mapping[str, Any]] = answer["silent"] if every else ()
    if format == "json":
        print_json(found)
    elif not found:
        where = "on the other hosts " if silent else ""
        print(f"nothing to import: no port lives {where}that the region does not know")
    else:
        print_table(
            [(one["port_id"], one["state"], one["reason"]) for one in found], ("Port", "State", "Reason")
        )
    if silent and format != "json":
        _print_silent(silent)
    if any(one["state"] not in ("imported", "known") for one in found):
        raise typer.Exit(1)
    if silent:
        raise typer.Exit(HELD)


def _print(found: Mapping[str, Any]) -> None:
    is_open = found["holding"] or found["silent"]
    state = "released" if found["released"] else "not released" if is_open else "nothing is held"
    print(f"epoch {found['epoch']}, revision {found['revision']}: {state}")
    if found["holding"]:
        print_table([(one["host"], one["reason"]) for one in found["holding"]], ("Host", "Holds because"))
    if found["silent"]:
        _print_silent(found["silent"])
    if found["orphans"]:
        rows = [
            (
                one["port_id"],
                one["host"],
                one["mac_address"],
                " ".join(one["ip_addresses"]),
                one["network_id"],
            )
            for one in found["orphans"]
        ]
        print_table(rows, ("Living port", "Host", "MAC", "Addresses", "Network"))


def _print_silent(silent: Sequence[Mapping[str, Any]]) -> None:
    rows = [(one["host"], one["reason"]) for one in silent]
    print_table(rows, ("Host", "Not known what it holds, because"))
