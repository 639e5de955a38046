"""What a region prints once it runs: where everything is, and the lines that make a client work."""

from rich.console import Console

from alcor.runtime.region import Running


def print_welcome(running: Running) -> None:
    """Say where the region is, to standard output. Long lines are never broken: people copy them."""
    console = Console(soft_wrap=True, highlight=False)

    def line(label: str, value: str) -> None:
        console.print(f"{label:<12} {value}", markup=False)

    what = "Alcor" if running.is_whole else f"Alcor's {', '.join(running.roles)}"
    console.print(f"[bold green]{what} is up.[/bold green]")
    if running.endpoint:
        line("API", f"{running.endpoint}/v2.0")
        line("API docs", f"{running.endpoint}/docs")
    line("Metrics", f"{running.operations}/metrics")
    line("Health", f"{running.operations}/healthz")
    for address in running.agents:
        line("Agents", address)
    for address in running.bus:
        line("Ncms", address)
    line("Data", str(running.data))
    if running.token:
        line("Admin token", f"{running.token}   (also in {running.data / 'admin.token'})")
    elif running.endpoint:
        line(
            "Admin token",
            "its text is not here: see the first process of the region, or `alcor token rotate`",
        )
    if running.endpoint and running.token and running.clouds:
        console.print("\nMake the OpenStack client work with either of")
        line("", f"export OS_AUTH_TYPE=admin_token OS_ENDPOINT={running.endpoint} OS_TOKEN={running.token}")
        line("", f"export OS_CLIENT_CONFIG_FILE={running.clouds} OS_CLOUD=alcor")
        console.print("then: openstack network list")
    console.print(
        "Ctrl-C stops the region; its data stays." if running.is_whole else "Ctrl-C stops this process."
    )
