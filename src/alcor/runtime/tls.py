"""Wiring of mutual TLS: which addresses have it, and what each role proves itself by."""

from pathlib import Path

import grpc

from alcor.bus.grpc_listen import Tls
from alcor.bus.grpc_tls import ChannelTls, Mode, is_secured, server_credentials
from alcor.identity.authority import utc_now
from alcor.identity.folder import RegionFolder
from alcor.runtime.config import RegionConfig
from alcor.runtime.settings import ConfigurationError


def region_folder(config: RegionConfig) -> RegionFolder:
    """Where the authority and the roles' certificates are."""
    return RegionFolder(
        Path(config.tls.folder).expanduser() if config.tls.folder else config.data.folder / "tls"
    )


def ensure_authority(config: RegionConfig) -> RegionFolder:
    """The region's folder, with an authority in it, made if there is none. Raises: ConfigurationError."""
    folder = region_folder(config)
    try:
        folder.ensure(now=utc_now())
        folder.authority()
    except OSError as error:
        raise ConfigurationError(f"tls.folder = '{folder.path}': {error.strerror or error}") from error
    return folder


def listening_tls(config: RegionConfig, mode: Mode, role: str) -> Tls:
    """What a role's server has at each of its addresses; nothing is read while all of them are plain."""

    def of(address: str) -> grpc.ServerCredentials | None:
        if not is_secured(mode, address):
            return None
        try:
            return server_credentials(region_folder(config).source(role, days=config.tls.role_days))
        except (OSError, ValueError) as error:
            raise ConfigurationError(f"{address} is to have TLS, but {_text(error)}") from error

    return of


def channel_tls(config: RegionConfig, mode: Mode, address: str, *, own: str, to: str) -> ChannelTls | None:
    """How a role connects to another one at an address. Raises: ConfigurationError."""
    if not is_secured(mode, address):
        return None
    try:
        return ChannelTls(region_folder(config).source(own, days=config.tls.role_days), to)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{address} has TLS, but {_text(error)}") from error


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
