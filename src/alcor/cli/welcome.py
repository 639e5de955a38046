"""What `alcor up` prints once the region runs: where everything is, and the lines that make a client work."""

from rich.console import Console

from alcor.runtime.region import Running


def print_welcome(running: Running) -> None:
    """Say where the region is, to standard output. Long lines are never broken: people copy them."""
    console = Console(soft_wrap=True, highlight=False)

    def line(label: str, value: str) -> None:
        console.print(f"{label:<12} {value}", markup=False)

    console.print("[bold green]Alcor is up.[/bold green]")
    if running.endpoint:
        line("API", f"{running.endpoint}/v2.0")
        line("API docs", f"{running.endpoint}/docs")
        line("Metrics", f"{running.endpoint}/metrics")
    for address in running.agents:
        line("Agents", address)
    line("Data", str(running.data))
    if running.token:
        line("Admin token", f"{running.token}   (also in {running.data / 'admin.token'})")
    else:
        line("Admin token", "its file is gone; stop the region and run `alcor token rotate`")
    if running.endpoint and running.token and running.clouds:
        console.print("\nMake the OpenStack client work with either of")
        line("", f"export OS_AUTH_TYPE=admin_token OS_ENDPOINT={running.endpoint} OS_TOKEN={running.token}")
        line("", f"export OS_CLIENT_CONFIG_FILE={running.clouds} OS_CLOUD=alcor")
        console.print("then: openstack network list")
    console.print(
        "\n[yellow]Security groups are not enforced yet[/yellow]: ports pass everything after anti-spoofing, and say "
        "port_filter=false in binding:vif_details.\nCtrl-C stops the region; its data stays."
    )
