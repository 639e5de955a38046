"""`alcor-agent join`, `renew`, `leave`: how this machine becomes a host of a region, and ceases to be one."""

import os
import socket
import sys
import time
from pathlib import Path
from typing import Annotated, Any, NoReturn
from urllib.parse import urlsplit

import typer

ConfigOption = Annotated[
    Path | None,
    typer.Option("--config", help="Configuration file (default /etc/alcor/alcor.toml, if there)."),
]
FolderOption = Annotated[
    Path | None,
    typer.Option("--identity", help="Where the key and certificates are (/etc/alcor/identity)."),
]


def join(
    token: Annotated[
        str, typer.Option("--token", envvar="ALCOR_JOIN_TOKEN", help="What `alcor host invite` printed.")
    ],
    region: Annotated[
        str, typer.Option("--region", help="URL of the region's API, such as http://192.0.2.10:9696.")
    ],
    name: Annotated[
        str, typer.Option("--name", help="The host's name, which ports are bound to (this machine's).")
    ] = "",
    vtep: Annotated[
        list[str] | None,
        typer.Option(
            "--vtep",
            help="Address of its tunnels; repeatable (what the region has, else the one that leads to the region).",
        ),
    ] = None,
    mapping: Annotated[
        list[str] | None,
        typer.Option("--bridge-mapping", help="physical_network:bridge; repeatable."),
    ] = None,
    ncm: Annotated[
        str, typer.Option("--ncm", help="Where to attach, if it is not where the region says.")
    ] = "",
    identity: FolderOption = None,
    config: ConfigOption = None,
) -> None:
    """Join a region by an invitation: make this machine's key, be registered, be certified.

    Again with the same key is the same host. Then `alcor-agent run` needs to be told nothing more.
    """
    from alcor.agent.joining import JoinError
    from alcor.agent.joining import join as join_region
    from alcor.identity.invitation import Invitation

    folder = _folder(config, identity)
    said: dict[str, Any] = {"name": name or socket.gethostname()}
    if vtep:
        said["vtep_addresses"] = list(vtep)
    else:
        said["reached_from"] = _address_towards(region)
    if mapping:
        said["bridge_mappings"] = " ".join(mapping)
    try:
        joined = join_region(folder, Invitation.parse(token), region, said, agents=(ncm,) if ncm else ())
        certificate = folder.certificate()
    except (JoinError, ValueError) as error:
        _fail(str(error))
    except OSError as error:
        _fail(f"{folder.path}: {error.strerror or error}")
    print(f"host {joined.name} has joined as {joined.host_id}")
    print(f"  tunnels      {', '.join(joined.vteps)}")
    print(f"  attaches to  {', '.join(joined.agents)}{' (mutual TLS)' if joined.tls else ''}")
    print(
        f"  certificate  {folder.path}/host.pem, until {certificate.not_valid_after_utc:%Y-%m-%d %H:%M} UTC"
    )
    print("Start the agent: alcor-agent run")


def renew(identity: FolderOption = None, config: ConfigOption = None) -> None:
    """Have a new certificate now. The agent does this by itself, after two thirds of the old one's life."""
    from alcor.agent.joining import JoinError
    from alcor.agent.joining import renew as renew_certificate

    folder = _folder(config, identity)
    joined = _joined(folder)
    try:
        renew_certificate(folder, joined.host_id, joined.region)
        end = folder.certificate().not_valid_after_utc
    except (JoinError, ValueError, OSError) as error:
        _fail(str(error))
    print(f"certificate renewed, valid until {end:%Y-%m-%d %H:%M} UTC")


def leave(
    keep: Annotated[bool, typer.Option("--keep", help="Leave the switch as it is.")] = False,
    identity: FolderOption = None,
    config: ConfigOption = None,
) -> None:
    """Leave the region: it forgets this host, whose identity and flows are removed here. Stop the agent first.

    Refused while ports are bound to it: `alcor host drain` says which. With VMs still plugged, or with --keep, the
    switch stays as it is.
    """
    import asyncio

    from alcor.agent.joining import JOINED, JoinError
    from alcor.agent.joining import leave as leave_region
    from alcor.runtime.leaving import clear_switch, is_running

    settings = _load(config)
    folder = _folder(config, identity)
    joined = _joined(folder)
    if is_running(settings.agent.status_socket):
        _fail("the agent still runs; stop it first, or it would be refused and try again")
    try:
        leave_region(folder, joined, now_ms=time.time_ns() // 1_000_000)
    except (JoinError, ValueError, OSError) as error:
        _fail(str(error))
    print(f"host {joined.name} has left the region")
    try:
        folder.remove(JOINED)
    except OSError as error:
        _fail(f"{error.filename}: {error.strerror}. Remove it by hand: it is worth nothing any more.")
    if keep:
        return
    try:
        print(asyncio.run(clear_switch(settings.agent)))
    except OSError as error:
        bridge = settings.agent.bridge
        _fail(
            f"the switch was not cleared: {error}. Its flows stay until the bridge is removed "
            f"(ovs-vsctl --if-exists del-br {bridge})."
        )


def _joined(folder: Any) -> Any:
    from alcor.agent.joining import Joined, JoinError

    try:
        joined = Joined.read(folder)
    except JoinError as error:
        _fail(str(error))
    if joined is None:
        _fail(f"{folder.path} has no identity: this host has not joined a region (`alcor-agent join`)")
    return joined


def _load(config: Path | None) -> Any:
    from alcor.runtime.agent_config import AgentConfig
    from alcor.runtime.settings import ConfigurationError, load

    try:
        return load(AgentConfig, file=config, environ=os.environ, flags={})
    except ConfigurationError as error:
        _fail(str(error))


def _folder(config: Path | None, identity: Path | None) -> Any:
    from alcor.identity.folder import HostFolder

    return HostFolder(identity or _load(config).agent.identity_folder)


def _address_towards(region: str) -> str:
    """The address this machine reaches the region from. Nothing is sent: a UDP socket only asks for the route."""
    host = urlsplit(region).hostname
    try:
        found = socket.getaddrinfo(host, 9, type=socket.SOCK_DGRAM)
        with socket.socket(found[0][0], socket.SOCK_DGRAM) as probe:
            probe.connect(found[0][4])
            return str(probe.getsockname()[0])
    except (OSError, IndexError) as error:
        _fail(
            f"no address of this machine leads to '{region}' ({error}); name the tunnels' address by --vtep"
        )


def _fail(reason: str) -> NoReturn:
    print(f"alcor-agent: {reason}", file=sys.stderr)
    raise typer.Exit(1)
