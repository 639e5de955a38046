"""Wiring of mutual TLS: which addresses have it, and what each role proves itself by."""

import ssl
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc

from alcor.bus.grpc_listen import Tls
from alcor.bus.grpc_tls import ChannelTls, server_credentials
from alcor.identity.authority import utc_now
from alcor.identity.credential import Reread
from alcor.identity.folder import CA, CA_KEY, RegionFolder
from alcor.identity.mode import Mode, is_secured
from alcor.identity.name import fingerprint_of
from alcor.managers.node.authority import Certifier, Welcome
from alcor.model.region_authority import REGION_AUTHORITY_ID, RegionAuthority
from alcor.runtime.config import RegionConfig
from alcor.runtime.settings import ConfigurationError
from alcor.store.interface import Store, Transaction
from alcor.telemetry.log import get_log

log = get_log("runtime")


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


async def claim_authority(config: RegionConfig, store: Store) -> Certifier:
    """Who certifies hosts here: by the authority that the region began with, or, without its key, nobody.

    Raises: ConfigurationError if the folder's authority is of another region.
    """
    known = await store.reader.find(RegionAuthority, REGION_AUTHORITY_ID)
    folder = region_folder(config)
    if known is None:
        ensure_authority(config)
        first = folder.authority()
        if first is not None:
            known = await _claim(store, first.fingerprint)
    try:
        here = [fingerprint_of(one) for one in folder.trusted()] if (folder.path / CA).exists() else []
    except OSError as error:
        raise ConfigurationError(f"tls.folder = '{folder.path}': {_text(error)}") from error
    if known is not None and here and known.fingerprint not in here:
        raise ConfigurationError(
            f"tls.folder = '{folder.path}': its authority is not the region's; another API process made that one. Copy "
            "its `tls` folder here, and remove this one."
        )
    if folder.path.exists() and not (folder.path / CA_KEY).exists():
        log.info("hosts_not_certified_here", folder=str(folder.path))
    return Certifier(folder.authority, days=config.tls.host_days, welcome=welcome_of(config, ()))


def welcome_of(config: RegionConfig, agents: Sequence[str]) -> Welcome:
    """What hosts that join are told. `agents`: where this process's ncm listens, with the ports that were taken."""
    listening = next((one for one in agents if not one.startswith("unix:")), config.ncm.listen)
    return Welcome(
        config.ncm.public_addresses or (listening,), is_secured(config.tls.agents, config.ncm.listen)
    )


async def _claim(store: Store, fingerprint: str) -> RegionAuthority:
    async def work(tx: Transaction) -> RegionAuthority:
        known = await tx.find(RegionAuthority, REGION_AUTHORITY_ID)
        if known is None:
            known = RegionAuthority(id=REGION_AUTHORITY_ID, name="region", fingerprint=fingerprint)
            tx.insert(known)
        return known

    return (await store.write(work)).value


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
        return ChannelTls(region_folder(config).source(own, days=config.tls.role_days), to, own)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{address} has TLS, but {_text(error)}") from error


def client_contexts(
    named: str, ca_file: str, certificate_file: str = "", key_file: str = ""
) -> Callable[[], ssl.SSLContext]:
    """How to connect to what is not of the region: by the files of now, asked at each connection; what cannot be read
    then is as it was before. The same files are the same context.

    named: the settings, for messages. ca_file: empty for whom the system believes. Raises: ConfigurationError.
    """

    def make() -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=ca_file or None)
        if certificate_file:
            context.load_cert_chain(certificate_file, key_file or None)
        return context

    files = Reread([Path(name) for name in (ca_file, certificate_file, key_file) if name], make)
    try:
        last = files.current()
    except OSError as error:  # ssl.SSLError is one too
        raise ConfigurationError(f"{named}: {error.strerror or error}") from error

    def current() -> ssl.SSLContext:
        nonlocal last
        try:
            last = files.current()
        except OSError as error:
            # A copy in progress is no reason to lose anybody.
            log.error("certificate_unreadable", files=named, reason=str(error))
        return last

    return current


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
