"""What `alcor up` prints once the region runs: where everything is, and the lines that make a client work."""

from rich.console import Console
from rich.table import Table

from alcor.runtime.region import Running


def print_welcome(running: Running) -> None:
    """Say where the region is, to standard output."""
    console = Console(soft_wrap=True, highlight=False)
    table = Table.grid(padding=(0, 2))
    if running.endpoint:
        table.add_row("API", f"{running.endpoint}/v2.0")
        table.add_row("API docs", f"{running.endpoint}/docs")
        table.add_row("Metrics", f"{running.endpoint}/metrics")
    for address in running.agents:
        table.add_row("Agents", address)
    table.add_row("Data", str(running.data))
    if running.token:
        table.add_row("Admin token", f"{running.token}   (also in {running.data / 'admin.token'})")
    else:
        table.add_row("Admin token", "its file is gone; stop the region and run `alcor token rotate`")
    console.print("[bold green]Alcor is up.[/bold green]")
    console.print(table)
    if running.endpoint and running.token and running.clouds:
        console.print("\nMake the OpenStack client work with either of")
        console.print(
            f"  export OS_AUTH_TYPE=admin_token OS_ENDPOINT={running.endpoint} OS_TOKEN={running.token}",
            markup=False,
        )
        console.print(
            f"  export OS_CLIENT_CONFIG_FILE={running.clouds} OS_CLOUD=alcor\nthen: openstack network list",
            markup=False,
        )
    console.print(
        "\n[yellow]Security groups are not enforced yet[/yellow]: ports pass everything after anti-spoofing, and say "
        "port_filter=false in binding:vif_details.\nCtrl-C stops the region; its data stays."
    )
