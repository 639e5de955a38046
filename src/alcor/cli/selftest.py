"""`alcor selftest`: prove on the hosts at hand that packets do what the region says, and leave nothing behind."""

import os
import secrets
import shutil
import signal
import socket
import time
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer
from rich.console import Console
from rich.table import Table

from alcor.cli.client import DataOption, EndpointOption, FormatOption, TokenOption, open_client, print_json

PROVED, FAILED, COULD_NOT = 0, 1, 2
"""Exit statuses, for scripts."""
# Only root's: what its ledger names is removed.
FOLDER = Path("/var/lib/alcor-selftest")
_PROGRAMS = ("ip", "ethtool", "ping", "ovs-vsctl", "busybox")
_MARKS = {"proved": "[green]✓ proved[/green]", "failed": "[red]✗ failed[/red]"}


def selftest(
    agent_socket: Annotated[
        list[Path] | None,
        typer.Option(
            "--agent-socket",
            help="An agent's status socket; repeat for several. Default: every /run/alcor-agent*.sock, and those "
            "of the demo whose region is --data.",
        ),
    ] = None,
    external_network: Annotated[
        str, typer.Option("--external-network", help="The external network for the floating IP: ID or name.")
    ] = "",
    keep: Annotated[
        bool, typer.Option("--keep", help="Leave all as it is, to be looked at; the next run removes it.")
    ] = False,
    format: FormatOption = "table",
    endpoint: EndpointOption = None,
    token: TokenOption = None,
    data: DataOption = None,
) -> None:
    """Make a throw-away VPC on the hosts at hand and prove ping, deny, route, floating IP, DHCP, DNS and metadata.

    Needs root on a machine that reaches the hosts' Open vSwitch, and an administrator's token. Exit status: 0 all that
    could be tried was proved, 1 something failed, 2 nothing could be tried.
    """
    _require_root_and_programs()
    # An abstract address is held as long as the process lives, and leaves nothing behind.
    mutex = socket.socket(socket.AF_UNIX)
    try:
        mutex.bind("\0alcor-selftest")
    except OSError:
        _could_not("another self-test runs on this machine")
    # Ctrl-C too: whoever starts it in the background leaves it with that signal ignored.
    for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(name, _interrupt)
    try:
        with open_client(endpoint, token, data) as http:
            status = _run(http, _sockets(agent_socket, data), external_network, format, keep=keep)
    except typer.Exit:
        # `open_client` said why.
        raise typer.Exit(COULD_NOT) from None
    raise typer.Exit(status)


def _run(http: Any, sockets: list[Path], external: str, format: str, *, keep: bool) -> int:
    from alcor.lab.at_hand import find_hosts
    from alcor.lab.command import LabError
    from alcor.lab.ledger import Ledger
    from alcor.lab.region import Client
    from alcor.lab.selftest import Proof, Selftest

    client, ledger = Client("", "", http=http), Ledger(FOLDER)
    console = Console(stderr=format == "json", highlight=False, soft_wrap=True)
    began = time.monotonic()
    try:
        client.show("v2.0/networks?limit=1")
        if swept := _clean(client, ledger):
            console.print(f"Removed {swept} things that an earlier run left behind.")
    except (LabError, OSError) as error:
        _could_not(str(error))
    prefix = f"st{secrets.token_hex(2)}-"
    hosts = find_hosts(sockets, client, prefix, ledger)
    if not hosts:
        asked = ", ".join(map(str, sockets)) or "any socket"
        _could_not(f"no agent of a host of this region answers at {asked}; name one with --agent-socket")
    console.print(f"Hosts at hand: {', '.join(host.name for host in hosts)}")

    def said(proof: Proof) -> None:
        console.print(f"[dim]{time.monotonic() - began:5.1f} s[/dim]  {proof.name}: {proof.outcome}")

    test = Selftest(client, hosts, ledger, prefix, said, external=external)
    interrupted = False
    try:
        ledger.add("folder", str(FOLDER))
        works = test.run()
    except LabError as error:
        works = False
        console.print(str(error), markup=False)
    except KeyboardInterrupt:
        works, interrupted = False, True
    finally:
        # A second Ctrl-C must not leave half of it behind; the ledger would serve the next run anyway.
        for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            signal.signal(name, signal.SIG_IGN)
        cleaned = keep or _tidy(lambda: _clean(client, ledger), console)
    _print(test.proofs, format, keep=keep, run_name=test.name, prefix=prefix)
    if interrupted:
        return COULD_NOT
    return PROVED if works and cleaned else FAILED


def _clean(client: Any, ledger: Any) -> int:
    """Remove what the ledger names: machines first, so that nothing is bound to what is deleted."""
    from alcor.lab.selftest import remove_intent

    removed: int = ledger.sweep_machines()
    for entry in ledger.entries():
        if entry.kind == "intent":
            removed += remove_intent(client, entry.name)
    ledger.sweep()
    return removed


def _tidy(clean: Callable[[], object], console: Console) -> bool:
    from alcor.lab.command import LabError

    try:
        clean()
    except (LabError, OSError) as error:
        console.print(f"Could not clean up: {error}. The next run will try again.", markup=False)
        return False
    return True


def _sockets(named: list[Path] | None, data: Path | None) -> list[Path]:
    if named:
        return named
    found = sorted(Path("/run").glob("alcor-agent*.sock"))
    if data is not None:
        found += sorted((data.absolute().parent / "hosts").glob("*/agent.sock"))
    return found


def _print(proofs: Any, format: str, *, keep: bool, run_name: str, prefix: str) -> None:
    if format == "json":
        rows = [
            {"name": p.name, "outcome": str(p.outcome), "elapsed_ms": round(p.elapsed_ms, 1), "text": p.text}
            for p in proofs
        ]
        print_json({"proofs": rows, "kept": keep, "name": run_name})
        return
    console = Console(highlight=False, soft_wrap=True)
    table = Table("what", "outcome", "ms", "seen", title="Self-test", title_justify="left", highlight=False)
    table.columns[2].justify = "right"
    for proof in proofs:
        mark = _MARKS.get(str(proof.outcome), f"[dim]{proof.outcome}[/dim]")
        table.add_row(proof.name, mark, f"{proof.elapsed_ms:,.0f}", proof.text)
    if not console.is_terminal:
        console.width = 160
    console.print(table)
    if keep:
        console.print(f"Kept: namespaces {prefix}*, and all with the description {run_name}.")


def _require_root_and_programs() -> None:
    if os.geteuid() != 0:
        _could_not("the self-test makes network namespaces and plugs them into Open vSwitch: run it as root")
    path = f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"
    if missing := [program for program in _PROGRAMS if shutil.which(program, path=path) is None]:
        _could_not(f"needs {', '.join(missing)}, which is not installed")


def _could_not(reason: str) -> NoReturn:
    Console(stderr=True, highlight=False, soft_wrap=True).print(f"alcor: {reason}", markup=False)
    raise typer.Exit(COULD_NOT)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
