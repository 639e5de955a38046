"""`alcor host`: the machines of a region, from their invitation to their removal."""

import re
from typing import Annotated

import httpx
import typer

from alcor.cli.client import (
    DataOption,
    EndpointOption,
    FormatOption,
    TokenOption,
    checked,
    fail,
    open_client,
    print_json,
    print_table,
)

host_app = typer.Typer(help="Hosts: invite, list, drain, remove, import.", no_args_is_help=True)

_DURATION = re.compile(r"(\d+)([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@host_app.command()
def invite(
    cluster: Annotated[str, typer.Option("--cluster", help="The cluster its hosts are in.")] = "",
    zone: Annotated[str, typer.Option("--zone", help="Their availability zone.")] = "nova",
    gateway: Annotated[bool, typer.Option("--gateway", help="They may serve routers' gateways.")] = False,
    uses: Annotated[int, typer.Option("--uses", help="How many hosts may join by it.", min=1)] = 1,
    expires: Annotated[str, typer.Option("--expires", help="For how long: 30m, 1h, 7d.")] = "1h",
    host: Annotated[
        str, typer.Option("--host", help="Only this host, also in place of the machine that was it before.")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the invitation only.")] = False,
    endpoint: EndpointOption = None,
    token: TokenOption = None,
    data: DataOption = None,
) -> None:
    """Make an invitation, by which machines join the region as hosts. It is shown this once."""
    said = {
        "cluster": cluster,
        "availability_zone": zone,
        "gateway": gateway,
        "uses_max": uses,
        "expires_s": _seconds(expires),
        "host_name": host or None,
    }
    with open_client(endpoint, token, data) as client:
        made = checked(client.post("/host-invites", json={"host_invite": said}))["host_invite"]
        url = str(client.base_url).rstrip("/")
    if quiet:
        print(made["token"])
        return
    whom = f"host {host}" if host else "1 host" if uses == 1 else f"{uses} hosts"
    print(f"{whom} may join until {made['expires_at']}, by this on each of them:")
    print(f"  alcor-agent join --region {url} --token {made['token']}")
    print(f"Withdraw it by: alcor host withdraw {made['id']}")


@host_app.command()
def invites(
    format: FormatOption = "table",
    endpoint: EndpointOption = None,
    token: TokenOption = None,
    data: DataOption = None,
) -> None:
    """List the invitations there are."""
    with open_client(endpoint, token, data) as client:
        rows = checked(client.get("/host-invites"))["host_invites"]
    if format == "json":
        print_json(rows)
        return
    cells = [
        [
            one["id"],
            f"{one['uses']} of {one['uses_max']}",
            one["expires_at"],
            one["host_name"] or "",
            one["cluster"],
        ]
        for one in rows
    ]
    print_table(cells, ("id", "used", "expires", "host", "cluster"))


@host_app.command()
def withdraw(
    id: Annotated[str, typer.Argument(help="The invitation's ID.")],
    endpoint: EndpointOption = None,
    token: TokenOption = None,
    data: DataOption = None,
) -> None:
    """Withdraw an invitation. Hosts that joined by it stay."""
    with open_client(endpoint, token, data) as client:
        done(client.delete(f"/host-invites/{id}"))
    print(f"invitation {id} is withdrawn")


def done(answer: httpx.Response) -> None:
    """Demand the success of a call that answers nothing."""
    if not answer.is_success:
        checked(answer)


def _seconds(text: str) -> int:
    found = _DURATION.match(text)
    if found is None:
        fail(f"--expires {text}: write a number and s, m, h or d, such as 30m")
    return int(found[1]) * _SECONDS[found[2]]
