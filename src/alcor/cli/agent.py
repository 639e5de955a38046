"""`alcor-agent`: run and inspect the agent of this host."""

import asyncio
import json
import os
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from alcor import __version__
from alcor.cli import agent_join

T = TypeVar("T")

app = typer.Typer(
    help="The Alcor agent of one host: programs its Open vSwitch from the region's goal state.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file (default /etc/alcor/alcor.toml, if there)."),
]
StatusSocketOption = Annotated[
    Path | None, typer.Option("--status-socket", help="Where `status` asks (/run/alcor-agent.sock).")
]


@app.command()
def run(
    config: ConfigOption = None,
    host_id: Annotated[
        str | None, typer.Option("--host-id", help="The host's ID from its registration.")
    ] = None,
    token_file: Annotated[
        Path | None, typer.Option("--token-file", help="File with the host's token.")
    ] = None,
    ncm: Annotated[
        str | None, typer.Option("--ncm", help="address:port or unix:/path of the region (127.0.0.1:9697).")
    ] = None,
    ovsdb: Annotated[Path | None, typer.Option("--ovsdb", help="Open vSwitch's database socket.")] = None,
    run_folder: Annotated[
        Path | None, typer.Option("--run-folder", help="Open vSwitch's run folder (its .mgmt sockets).")
    ] = None,
    bridge: Annotated[str | None, typer.Option("--bridge", help="The integration bridge (br-int).")] = None,
    datapath_type: Annotated[
        str | None, typer.Option("--datapath-type", help="system or netdev (default: as the bridge is).")
    ] = None,
    status_socket: StatusSocketOption = None,
    release_hold: Annotated[
        bool | None,
        typer.Option("--release-hold", help="Let held deletions go on (see docs/design/agent.md)."),
    ] = None,
    log_level: Annotated[
        str | None, typer.Option("--log-level", help="debug, info, warning or error.")
    ] = None,
) -> None:
    """Run until stopped. Flows stay in the switch when the agent ends."""
    from alcor.runtime.agent import serve
    from alcor.telemetry.log import configure

    settings = _load(
        config,
        {
            "agent.host_id": host_id,
            "agent.token_file": token_file,
            "agent.ncm": ncm,
            "agent.ovsdb": ovsdb,
            "agent.run_folder": run_folder,
            "agent.bridge": bridge,
            "agent.datapath_type": datapath_type,
            "agent.status_socket": status_socket,
            "agent.release_hold": release_hold,
            "agent_log.level": log_level,
        },
    )
    configure(settings.agent_log.level, json=settings.agent_log.json)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
        await serve(settings, stop=stop)

    _run(main())


@app.command()
def status(
    config: ConfigOption = None,
    status_socket: StatusSocketOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Say what the agent of this host knows, and whether its switch is as it should be."""
    from alcor.agent.status import fetch

    path = _load(config, {"agent.status_socket": status_socket}).agent.status_socket
    try:
        facts = asyncio.run(fetch(path))
    except OSError as error:
        _fail(f"no agent answers at {path} ({error.strerror}). Start it with `alcor-agent run`.")
    if as_json:
        print(json.dumps(facts, indent=2))
    else:
        from alcor.cli.agent_status import print_status

        print_status(facts)


app.command()(agent_join.join)
app.command()(agent_join.renew)
app.command()(agent_join.leave)


@app.command()
def version() -> None:
    """Print the version."""
    print(f"alcor-agent {__version__}")


def _load(config: Path | None, flags: dict[str, Any]) -> Any:
    from alcor.runtime.agent_config import AgentConfig
    from alcor.runtime.settings import ConfigurationError, load

    try:
        return load(AgentConfig, file=config, environ=os.environ, flags=flags)
    except ConfigurationError as error:
        _fail(str(error))


def _run(work: Coroutine[Any, Any, T]) -> T:
    import uvloop

    from alcor.runtime.settings import ConfigurationError

    try:
        return uvloop.run(work)
    except (ConfigurationError, OSError) as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    print(f"alcor-agent: {reason}", file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
