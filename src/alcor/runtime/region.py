"""Wiring of a region: roles, their parts, the order they start and stop in. The only place that names a backend."""

import asyncio
import contextlib
import os
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec
import orjson
import uvicorn

from alcor import __version__
from alcor.api.app import build
from alcor.api.needs import Authenticator
from alcor.bus.codec import ProtobufCodec
from alcor.bus.grpc_server import AgentServer
from alcor.bus.local import LocalBus
from alcor.dataplane.service import Dataplane
from alcor.goalstate.item import RegionItem
from alcor.managers.quota.limit import Limits
from alcor.managers.registry import managers
from alcor.managers.vpc.ranges import prepare
from alcor.managers.security_group.template import ensure_template
from alcor.model.address import Mac, parse_mac
from alcor.ncm.service import Ncm
from alcor.runtime.access import authenticator, load_policy
from alcor.runtime.background import background
from alcor.runtime.compute import notifying
from alcor.runtime.config import RegionConfig
from alcor.runtime.identity import ensure_admin_token, write_clouds
from alcor.runtime.network import network_settings
from alcor.runtime.settings import ConfigurationError
from alcor.store.sqlite import SqliteStore
from alcor.telemetry.log import get_log

log = get_log("runtime")

# A request that is still running when the region stops gets this long to finish.
DRAIN_S = 5


class Role(StrEnum):
    """What a process does of a region."""

    API = "api"
    DATAPLANE = "dataplane"
    NCM = "ncm"


@dataclass(frozen=True, slots=True)
class Running:
    """Where a started region is. `token` is None if the file with its text is gone."""

    endpoint: str | None
    agents: tuple[str, ...]
    data: Path
    token: str | None
    clouds: Path | None


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the region ends its parts in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


async def serve(
    config: RegionConfig,
    roles: Collection[Role],
    *,
    services: Collection[str] | None = None,
    started: Callable[[Running], None],
    stop: asyncio.Event,
) -> None:
    """Run the given roles until `stop` is set.

    started: called once everything listens.
    Raises:  StoreLocked (another process has the data folder), ConfigurationError, OSError (address in use).
    """
    folder = config.data.folder
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    store = SqliteStore.open(folder)
    try:
        async with contextlib.AsyncExitStack() as stack:
            codec = ProtobufCodec()
            bus = LocalBus(codec)
            # Where Keystone says who is who, a token of ours is of no use.
            token = None if config.keystone.auth_url else await ensure_admin_token(store, folder)
            await store.write(ensure_template)
            if Role.DATAPLANE in roles:
                await stack.enter_async_context(_dataplane(store, bus, config))
            agents: tuple[str, ...] = ()
            if Role.NCM in roles:
                agents = await stack.enter_async_context(_ncm(bus, codec, config))
            endpoint = clouds = None
            if Role.API in roles:
                policy, overrides = load_policy(config.policy)
                who = await stack.enter_async_context(authenticator(config, store, policy))
                endpoint = await stack.enter_async_context(_api(store, config, services, who, overrides))
                clouds = write_clouds(folder, endpoint, token) if token else None
            running = Running(endpoint, agents, folder, token, clouds)
            started(running)
            stack.enter_context(_announced(running))
            await stop.wait()
            log.info("region_stopping")
    finally:
        await store.close()


@contextlib.asynccontextmanager
async def _dataplane(store: SqliteStore, bus: LocalBus, config: RegionConfig) -> AsyncIterator[None]:
    responder = _responder_mac(config)
    region = RegionItem(id="region", responder_mac=responder, dhcp_lease_s=config.dataplane.dhcp_lease_s)
    async with notifying(config, store) as told:
        dataplane = Dataplane(store, bus, generation=_now_ms(), region=region, now_ms=_now_ms, told=told)
        async with background("dataplane", asyncio.create_task(dataplane.run(), name="dataplane")):
            await dataplane.started.wait()
            yield


@contextlib.asynccontextmanager
async def _ncm(bus: LocalBus, codec: ProtobufCodec, config: RegionConfig) -> AsyncIterator[tuple[str, ...]]:
    ncm = Ncm(bus, codec, heartbeat_s=config.ncm.heartbeat_s, now_ms=_now_ms)
    unix = config.ncm.socket or f"{config.data.folder.absolute()}/agents.sock"
    server = AgentServer(ncm.handle, addresses=[config.ncm.listen, f"unix:{unix}"])
    async with background("ncm", asyncio.create_task(ncm.run(), name="ncm")):
        addresses = await server.start()
        try:
            yield tuple(addresses)
        finally:
            await server.stop()


@contextlib.asynccontextmanager
async def _api(
    store: SqliteStore,
    config: RegionConfig,
    services: Collection[str] | None,
    who: Authenticator,
    overrides: Mapping[str, str],
) -> AsyncIterator[str]:
    listener = _listen(config.api.listen)
    address = listener.getsockname()
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    endpoint = config.api.public_endpoint or f"http://{host}:{address[1]}"
    limits = Limits(msgspec.structs.asdict(config.quota))
    network = network_settings(config)
    await prepare(store, network)
    app = build(
        store,
        # A port that had the responder's address would take the answers of DHCP and ARP for itself.
        managers(
            network=network,
            reserved_macs={_responder_mac(config)},
            quota_limits=limits,
        ),
        who,
        quota_limit=limits.of,
        version=__version__,
        public_endpoint=config.api.public_endpoint or None,
        services=services,
        overrides=overrides,
    )
    server = _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_S,
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name="api")
    try:
        yield endpoint
    finally:
        server.should_exit = True
        await task


def _responder_mac(config: RegionConfig) -> Mac:
    try:
        return parse_mac(config.dataplane.responder_mac)
    except ValueError as error:
        raise ConfigurationError(f"dataplane.responder_mac: {error}") from error


def _listen(address: str) -> socket.socket:
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise ConfigurationError(f"api.listen = '{address}': write address:port, such as 127.0.0.1:9696")
    host = host.strip("[]")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"api.listen = '{address}': {error.strerror}. Choose another with --listen, or stop what uses it."
        ) from error
    listener.listen(1024)
    return listener


@contextlib.contextmanager
def _announced(running: Running) -> Iterator[None]:
    """While the region runs, `<data>/region.json` says where; harnesses and people read it."""
    path = running.data / "region.json"
    facts = {"pid": os.getpid(), "endpoint": running.endpoint, "agents": list(running.agents)}
    draft = path.with_suffix(".new")
    draft.write_bytes(orjson.dumps(facts))
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
