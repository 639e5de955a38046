"""`alcor ca`: the region's authority, and certificates for its processes on other machines."""

from pathlib import Path
from typing import Annotated, Any

import typer

from alcor.cli.client import fail

ca_app = typer.Typer(
    help="The region's authority, which certifies hosts and processes.", no_args_is_help=True
)
BROKER = "broker"
ConfigOption = Annotated[Path | None, typer.Option("--config", help="Configuration file.")]
DataOption = Annotated[Path | None, typer.Option("--data", help="Data folder of the region.")]


@ca_app.command()
def show(config: ConfigOption = None, data: DataOption = None) -> None:
    """Print the authority's fingerprint, its files and how long it is valid."""
    from alcor.identity.name import fingerprint_of

    folder, _ = _folder(config, data)
    try:
        found = folder.trusted()
    except OSError as error:
        fail(f"{folder.path}: {error.strerror or error}. `alcor up` makes an authority on first start.")
    for one in found:
        print(f"{fingerprint_of(one)}  until {one.not_valid_after_utc:%Y-%m-%d}  {folder.path}/ca.pem")


@ca_app.command()
def issue(
    role: Annotated[str, typer.Argument(help="ncm, dataplane, api, or broker (a NATS server).")],
    out: Annotated[Path, typer.Option("--out", help="Folder to write <role>.pem, <role>.key and ca.pem to.")],
    name: Annotated[
        list[str] | None, typer.Option("--name", help="Of a broker: its address or DNS name; repeatable.")
    ] = None,
    config: ConfigOption = None,
    data: DataOption = None,
) -> None:
    """Certify a process that runs where the authority's key is not: copy the folder to its `tls.folder`."""
    from alcor.identity.authority import pem_of, utc_now
    from alcor.identity.key import make_key, pem_of_key, write_file

    if role not in ("ncm", "dataplane", "api", BROKER):
        fail(f"'{role}' is not a role; there are ncm, dataplane, api and {BROKER}")
    if (role == BROKER) != bool(name):
        fail(f"--name says where a {BROKER} is found, and goes with `alcor ca issue {BROKER}` only")
    folder, days = _folder(config, data)
    try:
        authority = folder.authority()
        if authority is None:
            fail(f"{folder.path} has no ca.key; run this where the region's first API process ran")
        key = make_key()
        if name:
            made = authority.issue_server(key.public_key(), name, now=utc_now(), days=days)
        else:
            made = authority.issue_role(key.public_key(), role, now=utc_now(), days=days)
        out.mkdir(parents=True, exist_ok=True, mode=0o700)
        write_file(out / f"{role}.key", pem_of_key(key), 0o600)
        write_file(out / f"{role}.pem", pem_of(made), 0o644)
        write_file(out / "ca.pem", authority.trusted_pem, 0o644)
    except ValueError as error:
        fail(f"--name {' '.join(name or ())}: {error}")
    except OSError as error:
        fail(f"{error.filename or folder.path}: {error.strerror or error}")
    print(f"{out}/{role}.pem, {role}.key and ca.pem are written, valid for {days:g} days")


def _folder(config: Path | None, data: Path | None) -> tuple[Any, float]:
    import os

    from alcor.runtime.config import RegionConfig
    from alcor.runtime.settings import ConfigurationError, load
    from alcor.runtime.tls import region_folder

    try:
        settings = load(RegionConfig, file=config, environ=os.environ, flags={"data.folder": data})
    except ConfigurationError as error:
        fail(str(error))
    return region_folder(settings), settings.tls.role_days
