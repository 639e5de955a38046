"""`alcor`: start a region, look after its token."""

import asyncio
import signal
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer

from alcor import __version__
from alcor.cli import epoch, realized, resource, trace
from alcor.cli.ca import ca_app
from alcor.cli.host import host_app
from alcor.cli.selftest import selftest
from alcor.cli.simulate import simulate

T = TypeVar("T")

app = typer.Typer(
    help="Alcor: VPCs, subnets and ports behind the OpenStack Networking API, on real switches.",
    no_args_is_help=True,
    add_completion=True,
    pretty_exceptions_enable=False,
)
token_app = typer.Typer(help="The admin token of an embedded region.", no_args_is_help=True)
app.add_typer(token_app, name="token")
app.add_typer(host_app, name="host")
app.add_typer(ca_app, name="ca")
app.add_typer(epoch.app, name="epoch")

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file (default /etc/alcor/alcor.toml, if there)."),
]
DataOption = Annotated[
    Path | None,
    typer.Option("--data", help="Data folder (/var/lib/alcor as root, else ~/.local/share/alcor)."),
]
ListenOption = Annotated[str | None, typer.Option("--listen", help="API address:port (127.0.0.1:9696).")]
AgentsOption = Annotated[
    str | None, typer.Option("--agents-listen", help="Address:port for agents (127.0.0.1:9697).")
]
SocketOption = Annotated[
    str | None, typer.Option("--agents-socket", help="Unix socket for agents (<data>/agents.sock).")
]
StoreOption = Annotated[
    str | None, typer.Option("--store", help="postgresql://user@host/database (SQLite in the data folder).")
]
LevelOption = Annotated[str | None, typer.Option("--log-level", help="debug, info, warning or error.")]
JsonOption = Annotated[bool | None, typer.Option("--log-json", help="Log one JSON object a line.")]


@app.command()
def up(
    config: ConfigOption = None,
    data: DataOption = None,
    listen: ListenOption = None,
    agents_listen: AgentsOption = None,
    agents_socket: SocketOption = None,
    store: StoreOption = None,
    log_level: LevelOption = None,
    log_json: JsonOption = None,
) -> None:
    """Start a whole region in this process, on SQLite or on PostgreSQL, until Ctrl-C."""
    from alcor.runtime.region import Role

    flags = _flags(data, listen, agents_listen, agents_socket, store, log_level, log_json)
    _serve(config, flags, list(Role), None)


@app.command()
def serve(
    role: Annotated[list[str], typer.Option("--role", help="api, dataplane or ncm; repeat for several.")],
    service: Annotated[
        list[str] | None,
        typer.Option("--service", help="With api: mount only this manager's routes; repeat for several."),
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
    listen: ListenOption = None,
    agents_listen: AgentsOption = None,
    agents_socket: SocketOption = None,
    store: StoreOption = None,
    bus_listen: Annotated[
        list[str] | None,
        typer.Option(
            "--bus-listen", help="With dataplane: address:port for ncms (127.0.0.1:9698); repeatable."
        ),
    ] = None,
    dataplane: Annotated[
        list[str] | None,
        typer.Option(
            "--dataplane", help="With ncm or api: a dataplane's address:port or unix:/path; repeatable."
        ),
    ] = None,
    advertise: Annotated[
        str | None,
        typer.Option("--advertise", help="With dataplane: its address:port for ncms of other machines."),
    ] = None,
    operations_listen: Annotated[
        str | None,
        typer.Option(
            "--operations-listen", help="Without api: address:port of /healthz and /metrics (any free)."
        ),
    ] = None,
    log_level: LevelOption = None,
    log_json: JsonOption = None,
) -> None:
    """Run chosen roles of a region; roles in processes of their own need PostgreSQL (docs/design/region.md)."""
    from alcor.runtime.region import Role

    try:
        roles = [Role(name) for name in role]
    except ValueError:
        _fail(f"'{role}': a role is one of {', '.join(Role)}")
    flags = _flags(data, listen, agents_listen, agents_socket, store, log_level, log_json)
    flags |= {
        "bus.listen": bus_listen,
        "bus.dataplane": dataplane,
        "bus.advertise": advertise,
        "operations.listen": operations_listen,
    }
    _serve(config, flags, roles, service)


@token_app.command("show")
def token_show(config: ConfigOption = None, data: DataOption = None) -> None:
    """Print the admin token's text."""
    from alcor.runtime.identity import token_path

    path = token_path(_load(config, {"data.folder": data}).data.folder)
    try:
        print(path.read_text().strip())
    except OSError as error:
        _fail(
            f"{path}: {error.strerror}. `alcor up` makes it on first start; `alcor token rotate` makes another."
        )


@token_app.command("rotate")
def token_rotate(config: ConfigOption = None, data: DataOption = None, store: StoreOption = None) -> None:
    """Replace the admin token by a new one and print it. A region on SQLite must be stopped."""
    from alcor.runtime.database import open_store
    from alcor.runtime.identity import rotate_admin_token

    settings = _load(config, {"data.folder": data, "store.url": store})
    folder = settings.data.folder

    async def rotate() -> str:
        store = await open_store(settings)
        try:
            return await rotate_admin_token(store, folder)
        finally:
            await store.close()

    if not folder.exists():
        _fail(f"{folder} does not exist. `alcor up --data {folder}` makes a region there.")
    print(_run(rotate()))


app.command("list")(resource.list_rows)
app.command("show")(resource.show_row)
app.command("realized")(realized.show_realized)
app.command("changes")(resource.list_changes)
app.command("trace")(trace.trace_packet)
app.command("recover")(epoch.recover)
app.command("selftest")(selftest)
app.command("simulate")(simulate)


@app.command()
def version() -> None:
    """Print the version."""
    print(f"alcor {__version__}")


def _flags(
    data: Path | None,
    listen: str | None,
    agents_listen: str | None,
    agents_socket: str | None,
    store: str | None,
    log_level: str | None,
    log_json: bool | None,
) -> dict[str, Any]:
    return {
        "data.folder": data,
        "api.listen": listen,
        "ncm.listen": agents_listen,
        "ncm.socket": agents_socket,
        "store.url": store,
        "log.level": log_level,
        "log.json": log_json,
    }


def _load(config: Path | None, flags: dict[str, Any]) -> Any:
    import os

    from alcor.runtime.config import RegionConfig
    from alcor.runtime.settings import ConfigurationError, load

    try:
        return load(RegionConfig, file=config, environ=os.environ, flags=flags)
    except ConfigurationError as error:
        _fail(str(error))


def _serve(config: Path | None, flags: dict[str, Any], roles: list[Any], services: list[str] | None) -> None:
    from alcor.cli.welcome import print_welcome
    from alcor.runtime.region import serve as serve_region
    from alcor.telemetry.log import configure

    settings = _load(config, flags)
    configure(settings.log.level, json=settings.log.json)

    async def main() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        for name in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(name, stop.set)
        await serve_region(settings, roles, services=services, started=print_welcome, stop=stop)

    _run(main())


def _run(work: Coroutine[Any, Any, T]) -> T:
    """Run to the end on uvloop; errors a person can mend are one sentence, not a trace."""
    import uvloop

    from alcor.model.errors import AlcorError
    from alcor.runtime.settings import ConfigurationError

    try:
        return uvloop.run(work)
    except (AlcorError, ConfigurationError, OSError) as error:
        _fail(str(error))


def _fail(reason: str) -> NoReturn:
    print(f"alcor: {reason}", file=sys.stderr)
    raise typer.Exit(1)


if __name__ == "__main__":
    app()
