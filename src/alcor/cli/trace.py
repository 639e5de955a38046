"""`alcor trace`: where one imaginary packet goes, hop by hop, and why it is dropped if it is."""

from collections.abc import Mapping
from ipaddress import ip_address
from typing import Annotated, Any

import httpx
import typer
from rich.console import Console
from rich.table import Table

from alcor.cli.client import (
    DataOption,
    EndpointOption,
    FormatOption,
    TokenOption,
    checked,
    fail,
    open_client,
    print_json,
)

DROPPED, DIFFERS = 3, 4
"""Exit statuses, for scripts: the packet is dropped; a switch does something else than intent says."""


def trace_packet(
    source: Annotated[
        str,
        typer.Argument(help="The port it comes from: ID or name; or an external network, with --from-ip."),
    ],
    destination: Annotated[str, typer.Argument(help="An IP address, or a port: ID or name.")],
    protocol: Annotated[
        str, typer.Option("--protocol", "-p", help="icmp, tcp, udp, sctp or a number.")
    ] = "icmp",
    port: Annotated[int, typer.Option("--port", help="Destination port.", min=0, max=65535)] = 80,
    source_port: Annotated[int, typer.Option("--source-port", help="Source port.", min=0, max=65535)] = 40000,
    from_ip: Annotated[
        str, typer.Option("--from-ip", help="Another source address than the port's own.")
    ] = "",
    size: Annotated[int, typer.Option("--size", help="Bytes of the IP packet.", min=28, max=9000)] = 98,
    actual: Annotated[
        bool, typer.Option("--actual", help="Ask the hosts' own switches too, and say where they differ.")
    ] = False,
    format: FormatOption = "table",
    endpoint: EndpointOption = None,
    token: TokenOption = None,
    data: DataOption = None,
) -> None:
    """Trace one imaginary packet through intent and, with --actual, through the switches' own flows.

    Exit status: 0 it arrives, 3 it is dropped, 4 a switch differs from intent, 1 the question could not be answered.
    """
    with open_client(endpoint, token, data) as client:
        question: dict[str, Any] = {
            "protocol": protocol,
            "destination_port": port,
            "source_port": source_port,
            "ip_bytes": size,
            "actual": actual,
            **_source(client, source),
            **_destination(client, destination),
        }
        if from_ip:
            question["source_ip"] = from_ip
        found = checked(client.post("/v2.0/traces", json={"trace": question}))["trace"]
    if format == "json":
        print_json(found)
    else:
        _print(found)
    if found["agrees"] is False:
        raise typer.Exit(DIFFERS)
    if found["verdict"] == "dropped":
        raise typer.Exit(DROPPED)


def _source(client: httpx.Client, name: str) -> dict[str, str]:
    port = _find(client, "ports", name)
    if port is not None:
        return {"port_id": port}
    network = _find(client, "networks", name)
    if network is None:
        fail(f"no port and no network has the ID or the name '{name}'")
    return {"network_id": network}


def _destination(client: httpx.Client, name: str) -> dict[str, str]:
    try:
        return {"destination_ip": str(ip_address(name))}
    except ValueError:
        port = _find(client, "ports", name)
    if port is None:
        fail(f"'{name}' is not an IP address, and no port has it as ID or name")
    return {"destination_port_id": port}


def _find(client: httpx.Client, collection: str, name: str) -> str | None:
    """The ID of what has this ID or this name; ends the command if several have the name."""
    for attribute in ("id", "name"):
        rows = checked(client.get(f"/v2.0/{collection}", params={attribute: name, "fields": "id"}))[
            collection
        ]
        if len(rows) > 1:
            fail(f"'{name}' is the name of several {collection}; use an ID")
        if rows:
            return str(rows[0]["id"])
    return None


def _print(trace: Mapping[str, Any]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    _print_way(console, trace, "There")
    if trace["reply"] is not None:
        _print_way(console, trace["reply"], "And back")
    for look in trace["actual"]:
        says = {True: "does the same", False: "DIFFERS", None: "cannot say"}[look["agrees"]]
        console.print(f"switch of {look['host']}: {says}{': ' + look['error'] if look['error'] else ''}")
        if look["agrees"] is False:
            console.print(
                f"  should give it to {_exits(look['wanted'])}; gives it to {_exits(look['found'])}"
            )
            for flow in look["flows"]:
                console.print(f"    {flow}", markup=False)


def _print_way(console: Console, trace: Mapping[str, Any], title: str) -> None:
    table = Table("host", "table", "what", "decided by", "from", "to", "ttl", highlight=False, title=title)
    if not console.is_terminal:
        console.width = 10_000
    for hop in trace["hops"]:
        packet = hop["packet"]
        decided = " ".join(word for word in (hop["kind"], hop["decided_by"]) if word)
        table.add_row(
            hop["host"],
            hop["table"],
            hop["text"],
            decided,
            packet["ip_source"],
            packet["ip_destination"],
            str(packet["ttl"]),
        )
    console.print(table, markup=False)
    code = f" [{trace['cause']}]" if trace["cause"] else ""
    to = f" port {trace['port_id']}" if trace["port_id"] else ""
    console.print(f"{trace['verdict']}{to}{code}: {trace['text']}", markup=False)


def _exits(exits: list[Mapping[str, str]]) -> str:
    return ", ".join(f"{each['kind']} {each['to']}".strip() for each in exits) or "nobody"
