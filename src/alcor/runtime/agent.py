"""Composition of one host agent: nothing here reaches the region's packages."""

import asyncio
import os
import random
import time
from collections.abc import Callable
from typing import Any

import msgspec

from alcor import __version__
from alcor.agent.answer.registry import MAKERS
from alcor.agent.bgp.handler import Settings as BgpSettings
from alcor.agent.bgp.handler import bgp_speaker
from alcor.agent.driver import Switch
from alcor.agent.handler import Maker
from alcor.agent.joining import Joined, JoinError, renew
from alcor.agent.metadata.handler import Settings, host_services
from alcor.agent.metadata.link import service_port
from alcor.agent.metadata.service import Compute
from alcor.agent.on_demand import LookupTimes
from alcor.agent.ovs.switch import OvsSwitch
from alcor.agent.part import Part
from alcor.agent.rescue import Rescuer
from alcor.agent.service import Agent
from alcor.agent.status import serve as serve_status
from alcor.bus.codec import ProtobufCodec
from alcor.bus.fallback import FallbackConnector
from alcor.bus.grpc_client import GrpcConnector
from alcor.bus.grpc_tls import ChannelTls
from alcor.identity.authority import utc_now
from alcor.identity.credential import renewal_of
from alcor.identity.folder import HostFolder
from alcor.identity.mode import is_secured
from alcor.identity.proof import make_proof
from alcor.model.ids import is_uuid
from alcor.runtime.agent_config import Agent as AgentSettings
from alcor.runtime.agent_config import AgentConfig
from alcor.runtime.collector import seldom_collecting
from alcor.runtime.rescue import RescueWork, listens
from alcor.runtime.settings import ConfigurationError
from alcor.telemetry.log import get_log

log = get_log("agent")

NCM = "127.0.0.1:9697"
# Between tries of a renewal; one third of the certificate's life is left for them.
RENEW_RETRY_S = 60.0


def service_settings(config: AgentConfig) -> Settings:
    """What the host's services are told. Raises: ConfigurationError if there is no secret for the compute service."""
    settings = config.metadata
    if not settings.nova_url:
        return Settings(settings.device)
    try:
        secret = settings.nova_secret_file.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(
            f"metadata.nova_secret_file = '{settings.nova_secret_file}': {error}. Write the secret there that the "
            "compute service has as `metadata_proxy_shared_secret`."
        ) from error
    if not secret:
        raise ConfigurationError(f"metadata.nova_secret_file = '{settings.nova_secret_file}' is empty")
    return Settings(settings.device, Compute(settings.nova_url, secret))


class _Here:
    """The agent's status, and where it and its switch are, for programs on this machine."""

    def __init__(self, agent: Agent, settings: AgentSettings) -> None:
        self._agent, self._settings = agent, settings

    def status(self) -> dict[str, Any]:
        """As `Agent.status`, with here: {pid, ovsdb, run_folder, bridge}."""
        settings = self._settings
        here = {
            "pid": os.getpid(),
            "ovsdb": str(settings.ovsdb.absolute()),
            "run_folder": str(settings.run_folder.absolute()),
            "bridge": settings.bridge,
        }
        return {**self._agent.status(), "here": here}


def makers_of(config: AgentConfig) -> tuple[Maker, ...]:
    """The packet handlers, and what else is switched on. Raises: ConfigurationError, as `service_settings`."""
    found: tuple[Maker, ...] = tuple(MAKERS)
    if config.metadata.enabled:
        found += (host_services(service_settings(config)),)
    if config.bgp.enabled:
        found += (bgp_speaker(BgpSettings(config.bgp.run_folder, config.bgp.source_address)),)
    return found


def with_joined(settings: AgentSettings, identity: HostFolder) -> AgentSettings:
    """The settings, completed by what joining answered. Raises: ConfigurationError."""
    try:
        joined = Joined.read(identity) if identity.is_joined else None
    except JoinError as error:
        raise ConfigurationError(str(error)) from error
    if joined is None:
        return msgspec.structs.replace(settings, ncm=settings.ncm or NCM)
    mode = settings.tls
    if mode == "auto" and not settings.ncm:
        mode = "on" if joined.tls else "off"
    return msgspec.structs.replace(
        settings,
        host_id=settings.host_id or joined.host_id,
        region=settings.region or joined.region,
        ncm=settings.ncm or joined.agents[0],
        tls=mode,
    )


async def keep_renewed(identity: HostFolder, settings: AgentSettings) -> None:
    """Renew the host's certificate after two thirds of its life, and try until it is done; for ever."""
    if not (identity.is_joined and settings.region):
        return
    told = ""
    while True:
        try:
            certificate = identity.certificate()
            wait_s = (renewal_of(certificate) - utc_now()).total_seconds()
            if wait_s <= 0:
                await asyncio.to_thread(renew, identity, settings.host_id, settings.region)
                log.info("certificate_renewed", host=settings.host_id)
                told = ""
                continue
        except (JoinError, OSError, ValueError) as error:
            if str(error) != told:
                told = str(error)
                log.warning("certificate_not_renewed", reason=told)
            wait_s = RENEW_RETRY_S * (0.5 + random.random())
        # At most an hour: the clock may be set meanwhile.
        await asyncio.sleep(min(wait_s, 3600))


def file_token(settings: AgentSettings) -> Callable[[], str]:
    """The token of a host that was registered by hand. Raises: ConfigurationError."""
    try:
        token = settings.token_file.read_text().strip()
    except OSError as error:
        raise ConfigurationError(
            f"agent.token_file = '{settings.token_file}': {error.strerror}. Join this host to its region by "
            "`alcor-agent join`, or write the token there that registering it answered."
        ) from error
    return lambda: token


def key_proof(identity: HostFolder, host_id: str) -> Callable[[], str]:
    """What a joined host shows: its key's proof, made anew each time; on a TLS connection its certificate counts."""

    def make() -> str:
        try:
            return make_proof(identity.key(), host_id, now_ms=time.time_ns() // 1_000_000)
        except (OSError, ValueError) as error:
            raise ConnectionError(f"the host's key in {identity.path} cannot be used: {error}") from error

    return make


def channel_tls(settings: AgentSettings, identity: HostFolder, address: str) -> ChannelTls | None:
    """How the agent connects to an ncm. Raises: ConfigurationError if TLS is wanted and the host has not joined."""
    if not is_secured(settings.tls, address):
        return None
    if not identity.is_joined:
        raise ConfigurationError(
            f"agent.ncm = '{address}' is reached over mutual TLS, and {identity.path} has no identity of this host. "
            "Join the region by `alcor-agent join`; or, where its tls.agents is off, set agent.tls to off."
        )
    return ChannelTls(identity.source(), "ncm")


async def serve(config: AgentConfig, *, stop: asyncio.Event, switch: Switch | None = None) -> None:
    """Run the agent until `stop` is set; the switch keeps its flows. `switch`: by default the Open vSwitch here.

    Raises: ConfigurationError if the host id, or what it proves itself by, are missing.
    """
    identity = HostFolder(config.agent.identity_folder)
    settings = with_joined(config.agent, identity)
    if not is_uuid(settings.host_id):
        raise ConfigurationError(
            f"agent.host_id = '{settings.host_id}' is not a host ID. Join this host to its region by `alcor-agent "
            "join`; or register it (POST /hosts) and use the id of the answer."
        )
    token = key_proof(identity, settings.host_id) if identity.is_joined else file_token(settings)
    codec = ProtobufCodec()
    switch = switch or OvsSwitch(
        settings.ovsdb,
        settings.run_folder,
        bridge=settings.bridge,
        datapath_type=settings.datapath_type or None,
        listen=listens(config.rescue, identity),
    )

    def connector() -> FallbackConnector:
        ncms = (settings.ncm, *settings.fallback_ncms)
        made = [GrpcConnector(address, tls=channel_tls(settings, identity, address)) for address in ncms]
        return FallbackConnector(made, clock=time.monotonic)

    agent = Agent(
        connector(),
        switch,
        codec,
        host_id=settings.host_id,
        token=token,
        version=__version__,
        now_ms=lambda: time.time_ns() / 1_000_000,
        random=random.random,
        release_hold=settings.release_hold,
        metadata=service_port(config.metadata.device) if config.metadata.enabled else None,
        makers=makers_of(config),
        part=Part(rescues=config.rescue.enabled),
        lookup=LookupTimes(settings.lookup_idle_s, settings.lookup_ttl_s),
    )
    work_of = RescueWork(settings, config.rescue, identity, connector, token, codec)
    rescuer = Rescuer(settings.host_id, lambda: agent.view, work_of, random=random.random)
    with seldom_collecting():
        await _run(agent, rescuer if config.rescue.enabled else None, identity, settings, stop)


async def _run(
    agent: Agent,
    rescuer: Rescuer | None,
    identity: HostFolder,
    settings: AgentSettings,
    stop: asyncio.Event,
) -> None:
    """Raises: what one of the parts ended with."""
    async with serve_status(settings.status_socket, _Here(agent, settings)):
        work = asyncio.create_task(agent.run(), name="agent")
        ended = asyncio.create_task(stop.wait(), name="stop")
        renewing = asyncio.create_task(keep_renewed(identity, settings), name="renew")
        tasks = [work, ended, renewing]
        if rescuer is not None:
            tasks.append(asyncio.create_task(rescuer.run(), name="rescuer"))
        await asyncio.wait({work, ended}, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception):
                raise result
