"""`alcor host`: the machines of a region, from their invitation to their removal."""

import re
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar

import httpx
import orjson
import typer

from alcor.cli.client import (
    FormatOption,
    checked,
    connected,
    fail,
    print_json,
    print_table,
)
from alcor.model.errors import InvalidInput

T = TypeVar("T")

host_app = typer.Typer(help="Hosts: invite, list, drain, remove, import.", no_args_is_help=True)

HostArgument = Annotated[str, typer.Argument(help="The host's name or ID.")]
DRAIN_LOOK_S = 1.0
NAMED_MAX = 5
_DURATION = re.compile(r"(\d+)([smhd])\Z")
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@host_app.command()
@connected
def invite(
    client: httpx.Client,
    cluster: Annotated[str, typer.Option("--cluster", help="The cluster its hosts are in.")] = "",
    zone: Annotated[str, typer.Option("--zone", help="Their availability zone.")] = "nova",
    gateway: Annotated[bool, typer.Option("--gateway", help="They may serve routers' gateways.")] = False,
    uses: Annotated[int, typer.Option("--uses", help="How many hosts may join by it.", min=1)] = 1,
    expires: Annotated[str, typer.Option("--expires", help="For how long: 30m, 1h, 7d.")] = "1h",
    host: Annotated[
        str, typer.Option("--host", help="Only this host, also in place of the machine that was it before.")
    ] = "",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="Print the invitation only.")] = False,
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
@connected
def invites(
    client: httpx.Client,
    format: FormatOption = "table",
) -> None:
    """List the invitations there are."""
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
@connected
def withdraw(
    client: httpx.Client,
    id: Annotated[str, typer.Argument(help="The invitation's ID.")],
) -> None:
    """Withdraw an invitation. Hosts that joined by it stay."""
    done(client.delete(f"/host-invites/{id}"))
    print(f"invitation {id} is withdrawn")


@host_app.command("list")
@connected
def list_hosts(
    client: httpx.Client,
    format: FormatOption = "table",
) -> None:
    """List the hosts: their health, tunnels and cluster."""
    rows = list(all_hosts(client))
    if format == "json":
        print_json(rows)
        return
    cells = [
        [one["name"], one["health_state"], ", ".join(one["vtep_addresses"]), one["cluster"], one["id"]]
        for one in rows
    ]
    print_table(cells, ("name", "state", "tunnels", "cluster", "id"))


@host_app.command()
@connected
def show(
    client: httpx.Client,
    host: HostArgument,
    format: FormatOption = "table",
) -> None:
    """Show a host: what it is, what its agent says, and which ports are on it."""
    row = _find(client, host)
    health = checked(client.get(f"/hosts/{row['id']}/health"))["health"]
    left = checked(client.get(f"/hosts/{row['id']}/drain"))["drain"]
    if format == "json":
        print_json({**row, "health": health, "drain": left})
        return
    told = {**row, **{name: health[name] for name in ("seen_at", "agent_version")}}
    cells = [[name, _text(value)] for name, value in sorted(told.items())]
    wrong = [["wrong", complaint] for complaint in health["complaints"]]
    print_table([*cells, ["ports", str(left["ports_left"])], *wrong], ("attribute", "value"))


@host_app.command()
@connected
def drain(
    client: httpx.Client,
    host: HostArgument,
    wait: Annotated[bool, typer.Option("--wait", help="Until no port is left on it.")] = False,
    timeout_s: Annotated[float, typer.Option("--timeout", help="Seconds to wait at most; 0: for ever.")] = 0,
) -> None:
    """Let nothing new come to a host, and its gateways be served by others; say what is left on it."""
    row = _find(client, host)
    changed = checked(client.put(f"/hosts/{row['id']}/drain"))["host"]
    if changed["rotation"] == "out":
        print(f"host {row['name']} is out of rotation already: nothing new comes")
    else:
        print(f"host {row['name']} drains: nothing new comes, routers' gateways move to other hosts")
    deadline = time.monotonic() + timeout_s if timeout_s else float("inf")
    told = -1
    while True:
        left = checked(client.get(f"/hosts/{row['id']}/drain"))["drain"]
        if left["ports_left"] != told:
            told = left["ports_left"]
            print(_left(left))
        if not told or not wait:
            return
        if time.monotonic() >= deadline:
            fail(f"{told} ports are on {row['name']} still, after {timeout_s:g} s; move their servers away")
        time.sleep(DRAIN_LOOK_S)


@host_app.command()
@connected
def undrain(
    client: httpx.Client,
    host: HostArgument,
) -> None:
    """Let work come to a host again."""
    row = _find(client, host)
    changed = checked(client.put(f"/hosts/{row['id']}/undrain"))["host"]
    if not changed["admin_state_up"]:
        fail(
            f"host {row['name']} takes no work still: its administrative state is down. Set it up: "
            f"openstack network agent set --enable {row['id']}"
        )
    print(f"host {row['name']} takes work again")


@host_app.command()
@connected
def remove(
    client: httpx.Client,
    host: HostArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Also with ports on it: they become unbound.")
    ] = False,
) -> None:
    """Remove a host and its identity from the region. Its agent is refused from then on."""
    row = _find(client, host)
    if force:
        # Nothing new may come between the two.
        checked(client.put(f"/hosts/{row['id']}/drain"))
        unbound = checked(client.put(f"/hosts/{row['id']}/evict"))["unbound"]
        print(f"{unbound} ports were unbound from {row['name']}")
    answer = client.delete(f"/hosts/{row['id']}")
    if answer.status_code == 409:
        left = checked(client.get(f"/hosts/{row['id']}/drain"))["drain"]
        fail(
            f"host {row['name']} has ports on it: {_left(left)}. Move them away (`alcor host drain {row['name']} "
            "--wait`), or unbind them by --force."
        )
    done(answer)
    print(f"host {row['name']} is removed; its identity is worth nothing any more")


@host_app.command()
@connected
def revoke(
    client: httpx.Client,
    host: HostArgument,
) -> None:
    """Forget a host's key and token: its agent is refused at once, its ports stay as they are."""
    row = _find(client, host)
    checked(client.put(f"/hosts/{row['id']}/revoke"))
    print(
        f"the identity of {row['name']} is revoked. It comes back by: alcor host invite --host {row['name']}"
    )


@host_app.command("import")
@connected
def import_hosts(
    client: httpx.Client,
    file: Annotated[Path, typer.Argument(help="Inventory: .yaml, .json or .csv.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    tokens: Annotated[
        Path | None, typer.Option("--tokens", help="Write the new hosts' tokens here; without, they join.")
    ] = None,
) -> None:
    """Add and change hosts as an inventory file says. Again changes nothing; hosts it does not name stay."""
    from alcor.cli.host_import import apply, plan, read_file, read_tokens, write_tokens

    rows = _read(file, read_file)
    made = plan(rows, all_hosts(client))
    if made.errors:
        for wrong in made.errors:
            print(wrong, file=sys.stderr)
        fail(f"{len(made.errors)} of {len(rows)} hosts are wrong, so nothing was changed")
    print(f"{len(made.added)} to add, {len(made.changed)} to change, {len(made.same)} as they should be")
    if dry_run:
        return
    given: dict[str, str] = {}
    if tokens is not None:
        given = _read(tokens, read_tokens)
        # Before any host is added: a token is said once.
        _read(tokens, lambda path: write_tokens(path, given))

    def keep(new: Mapping[str, str]) -> None:
        given.update(new)
        if tokens is not None:
            write_tokens(tokens, given)

    failed = apply(client, made, lambda done, total: print(f"  {done} of {total}"), keep)
    if failed:
        for reason in failed:
            print(reason, file=sys.stderr)
        fail(f"{len(failed)} parts failed; mend them and import again: what is done stays done")
    print("done")
    if given and tokens is None:
        print(f"the new hosts join by an invitation: alcor host invite --uses {len(given)}")
    elif tokens is not None:
        _tell_without([row.values["name"] for row in rows if row.values["name"] not in given], tokens)


def _read(path: Path, read: Callable[[Path], T]) -> T:
    """Do something with a file; ends the command if it cannot be."""
    try:
        return read(path)
    except InvalidInput as error:
        fail(f"{path}: {error.message}")
    except OSError as error:
        fail(f"{path}: {error.strerror or error}")


def _tell_without(names: Sequence[str], tokens: Path) -> None:
    """Hosts that were there before have a token that nobody can read any more, or a key."""
    if names:
        more = f" and {len(names) - NAMED_MAX} more" if len(names) > NAMED_MAX else ""
        print(
            f"{tokens} has no token of {', '.join(names[:NAMED_MAX])}{more}, which were there before: they join by an "
            f"invitation (alcor host invite --uses {len(names)})"
        )


def all_hosts(client: httpx.Client) -> Iterator[dict[str, Any]]:
    """Every host, page by page."""
    url = "/hosts"
    while url:
        body = checked(client.get(url))
        yield from body["hosts"]
        url = next((link["href"] for link in body.get("hosts_links", []) if link["rel"] == "next"), "")


def _find(client: httpx.Client, host: str) -> dict[str, Any]:
    """By name or ID; ends the command if there is none."""
    named = checked(client.get("/hosts", params={"name": host}))["hosts"]
    found: dict[str, Any] = named[0] if named else checked(client.get(f"/hosts/{host}"))["host"]
    return found


def _left(left: dict[str, Any]) -> str:
    if not left["ports_left"]:
        return "no port is left on it"
    names = ", ".join([one["name"] or one["id"] for one in left["ports"][:NAMED_MAX]])
    more = left["ports_left"] - min(NAMED_MAX, len(left["ports"]))
    return f"{left['ports_left']} ports left: {names}" + (f" and {more} more" if more else "")


def _text(value: Any) -> str:
    return value if isinstance(value, str) else "" if value is None else orjson.dumps(value).decode()


def done(answer: httpx.Response) -> None:
    """Demand the success of a call that answers nothing."""
    if not answer.is_success:
        checked(answer)


def _seconds(text: str) -> int:
    found = _DURATION.match(text)
    if found is None:
        fail(f"--expires {text}: write a number and s, m, h or d, such as 30m")
    return int(found[1]) * _SECONDS[found[2]]
