"""How `alcor-agent status` looks to a person."""

from typing import Any

from rich.console import Console
from rich.table import Table


def print_status(facts: dict[str, Any]) -> None:
    """Print what `Agent.status` says."""
    console = Console(soft_wrap=True, highlight=False)
    host, region, switch = facts["host"], facts["region"], facts["switch"]
    table = Table.grid(padding=(0, 2))
    table.add_row("Host", f"{host['name'] or '(not told yet)'}  {host['id']}")
    table.add_row("VTEPs", ", ".join(host["vtep_addresses"]) or "none")
    table.add_row("Region", _state(region["state"], region["error"]) + f"  epoch {region['epoch']}")
    table.add_row("Switch", _state("connected" if switch["connected"] else "gone", switch["error"]))
    table.add_row(
        "Flows", f"{switch['flows']}  ({facts['counters']['flow_changes']} changed since the start)"
    )
    in_sync = "yes" if switch["connected"] else "with the region; the switch gets it when it is back"
    missing = f"no, missing {', '.join(facts['missing']) or 'nothing'}"
    table.add_row("In sync", in_sync if facts["in_sync"] else missing)
    if facts["hold"]:
        table.add_row("Hold", f"[red]{facts['hold']}[/red]")
    console.print(table)
    ports = Table(title="Ports bound to this host", title_justify="left")
    for column in ("port", "name", "network", "state", "ofport", "key"):
        # Ids are copied by people: folded where the terminal is narrow, never cut.
        ports.add_column(column, overflow="fold")
    for id, port in facts["ports"].items():
        state = "plugged" if port["plugged"] else "not plugged"
        if port["closed"]:
            state = "closed"
        ports.add_row(
            id, port["name"], port["network_id"], state, str(port["ofport"] or ""), str(port["port_key"])
        )
    console.print(ports if facts["ports"] else "No port is bound to this host.")


def _state(word: str, error: str) -> str:
    return f"{word}: {error}" if error else word
