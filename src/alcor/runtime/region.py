"""Wiring of a region: roles, their parts, the order they start and stop in. The only place that names a backend."""

import asyncio
import contextlib
import os
import secrets
import socket
import time
from collections.abc import AsyncIterator, Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

import msgspec
import orjson

from alcor import __version__
from alcor.api.app import build
from alcor.api.needs import Authenticator
from alcor.bus.codec import ProtobufCodec
from alcor.bus.grpc_server import AgentServer
from alcor.bus.interface import DataplaneBus, NcmBus
from alcor.bus.local import LocalBus
from alcor.dataplane.keeper import Keeper
from alcor.dataplane.realize import Told
from alcor.dataplane.service import Dataplane
from alcor.dataplane.settings import Settings
from alcor.dataplane.share import EVERY_S, LAG_S_MAX, TTL_S, Share
from alcor.goalstate.item import RegionItem
from alcor.managers.node.authority import Certifier
from alcor.managers.quota.limit import Limits
from alcor.managers.registry import managers
from alcor.managers.security_group.template import ensure_template
from alcor.managers.vpc.ranges import prepare
from alcor.model.address import Mac, parse_ip, parse_mac
from alcor.model.dns_name import parse_domain
from alcor.ncm.service import Ncm
from alcor.runtime.access import authenticator, load_policy
from alcor.runtime.address import check_addresses
from alcor.runtime.background import background
from alcor.runtime.bus import advertised, attached, check_secret, listening
from alcor.runtime.collector import seldom_collecting
from alcor.runtime.compute import notifying
from alcor.runtime.config import RegionConfig
from alcor.runtime.database import is_shared, living, open_leases, open_store
from alcor.runtime.edge import listen, serving, url_of
from alcor.runtime.identity import ensure_admin_token, write_clouds
from alcor.runtime.member import Member
from alcor.runtime.network import network_settings
from alcor.runtime.operations import Health, OperationsApp
from alcor.runtime.patience import Patience
from alcor.runtime.settings import ConfigurationError
from alcor.runtime.tls import claim_authority, listening_tls, welcome_of
from alcor.runtime.trace import ProcessTracer
from alcor.store.interface import Store
from alcor.telemetry.log import get_log

log = get_log("runtime")


class Role(StrEnum):
    """What a process does of a region."""

    API = "api"
    DATAPLANE = "dataplane"
    NCM = "ncm"


@dataclass(frozen=True, slots=True)
class Running:
    """Where a started process is. `token` is None if it has no API, or if the file with its text is not here.

    operations: the URL of /healthz and /metrics. bus: where ncms of other processes attach.
    """

    roles: tuple[Role, ...]
    endpoint: str | None
    agents: tuple[str, ...]
    bus: tuple[str, ...]
    operations: str
    data: Path
    token: str | None
    clouds: Path | None

    @property
    def is_whole(self) -> bool:
        """Whether one process is the whole region."""
        return len(self.roles) == len(Role)


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
    Raises:  StoreLocked (another process has the data folder), Unavailable (the database is away), ConfigurationError,
             OSError (address in use).
    """
    _check(config, roles)
    check_addresses(config)
    config.data.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(seldom_collecting())
        health = Health()
        store: Store | None = None
        if Role.API in roles or Role.DATAPLANE in roles:
            store = await open_store(config)
            stack.push_async_callback(store.close)
            health.watch_store(store)
        running = await _start(config, roles, services, store, health, stack)
        started(running)
        stack.enter_context(_announced(running, shared=is_shared(config)))
        await stop.wait()
        log.info("region_stopping")


def _check(config: RegionConfig, roles: Collection[Role]) -> None:
    """SQLite serves one process, so that what needs the store has to be in it. Raises: ConfigurationError."""
    if is_shared(config) or set(roles) in ({Role.API}, {Role.NCM}, set(Role)):
        return
    raise ConfigurationError(
        f"the roles {', '.join(sorted(roles))} are to run apart from the others, but store.url is empty: an SQLite "
        "store serves one process. Give that process all roles (`alcor up`), or name a PostgreSQL in store.url."
    )


async def _start(
    config: RegionConfig,
    roles: Collection[Role],
    services: Collection[str] | None,
    store: Store | None,
    health: Health,
    stack: contextlib.AsyncExitStack,
) -> Running:
    """Start the parts in order: the API last, so that nothing is accepted before it can be delivered."""
    codec = ProtobufCodec()
    bus: tuple[str, ...] = ()
    agents: tuple[str, ...] = ()
    token = endpoint = clouds = None
    local = None if is_shared(config) else LocalBus(codec)
    tracer = ProcessTracer(config, await stack.enter_async_context(living(config)))
    certifier = (
        await claim_authority(config, store) if store is not None and Role.API in roles else Certifier()
    )
    if store is not None and Role.API in roles:
        # Where Keystone says who is who, a token of ours is of no use.
        token = None if config.keystone.auth_url else await ensure_admin_token(store, config.data.folder)
        await store.write(ensure_template)
    if store is not None and Role.DATAPLANE in roles:
        told = await stack.enter_async_context(notifying(config, store))
        settings = Settings(store, region_item(config))
        make = _maker(config, store, told, tracer, settings)
        if local is not None:
            await stack.enter_async_context(_dataplane(make(_now_ms(), local)))
        else:
            member = _member(config, codec, make, settings, health, tracer)
            bus = await stack.enter_async_context(member)
    if Role.NCM in roles:
        alone = local if Role.DATAPLANE in roles else None
        agents = await stack.enter_async_context(_ncm(config, codec, bus, alone, health))
        certifier.welcome = welcome_of(config, agents)
    if store is not None and Role.API in roles:
        policy, overrides = load_policy(config.policy)
        who = await stack.enter_async_context(authenticator(config, store, policy))
        api = _api(store, config, services, who, overrides, health, tracer, certifier)
        endpoint = await stack.enter_async_context(api)
        clouds = write_clouds(config.data.folder, endpoint, token) if token else None
        operations = endpoint
    else:
        operations = await stack.enter_async_context(_operations(config, health))
    chosen = tuple([role for role in Role if role in roles])
    return Running(chosen, endpoint, agents, bus, operations, config.data.folder, token, clouds)


def _maker(
    config: RegionConfig, store: Store, told: Told | None, tracer: ProcessTracer, settings: Settings
) -> Callable[[int | None, DataplaneBus], Dataplane]:
    region = region_item(config)

    def make(generation: int | None, bus: DataplaneBus) -> Dataplane:
        dataplane = Dataplane(
            store,
            bus,
            generation=generation,
            region=region,
            now_ms=_now_ms,
            told=told,
            rescue_after_s=config.dataplane.rescue_after_s,
            settings=settings,
            epoch_wait_s=config.dataplane.epoch_wait_s,
        )
        tracer.lead(dataplane, bus)
        return dataplane

    return make


@contextlib.asynccontextmanager
async def _dataplane(dataplane: Dataplane) -> AsyncIterator[None]:
    async with background("dataplane", asyncio.create_task(dataplane.run(), name="dataplane")):
        await dataplane.started.wait()
        yield


@contextlib.asynccontextmanager
async def _member(
    config: RegionConfig,
    codec: ProtobufCodec,
    make: Callable[[int | None, DataplaneBus], Dataplane],
    settings: Settings,
    health: Health,
    tracer: ProcessTracer,
) -> AsyncIterator[tuple[str, ...]]:
    """One of the region's dataplanes, with its share of the shards. Yields where ncms attach."""
    async with listening(config, codec) as server:
        leases = open_leases(config)
        address = advertised(config, server.addresses)
        await check_secret(config, address, tracer.living)
        # For people to recognise, and never that of another process.
        member_id = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"

        clock = time.monotonic
        keeper = Keeper(
            lambda: open_leases(config),
            member_id=member_id,
            clock=clock,
            ttl_s=TTL_S,
            late_s=EVERY_S * 1.25,
            still_s_max=LAG_S_MAX,
        )

        def share(dataplane: Dataplane) -> Share:
            return Share(leases, dataplane, member_id=member_id, address=address, clock=clock, keeper=keeper)

        member = Member(lambda: make(None, server), share)
        tracer.realizer = lambda: member.realizer
        health.watch("dataplane", lambda: member.trouble)
        health.tell("dataplane", lambda: "; ".join(filter(None, (member.text, settings.difference))))
        task = asyncio.create_task(member.run(), name="dataplane")
        settled = asyncio.create_task(member.settled.wait())
        await asyncio.wait({task, settled}, return_when=asyncio.FIRST_COMPLETED)
        settled.cancel()
        keeper.start()
        try:
            if task.done():
                task.result()  # what keeps it from starting is a sentence, not a crash
            async with background("dataplane", task):
                yield server.addresses
        finally:
            await keeper.stop()
            await leases.close()


@contextlib.asynccontextmanager
async def _ncm(
    config: RegionConfig,
    codec: ProtobufCodec,
    beside: Sequence[str],
    local: LocalBus | None,
    health: Health,
) -> AsyncIterator[tuple[str, ...]]:
    async with contextlib.AsyncExitStack() as stack:
        bus: NcmBus
        if local is not None:
            bus = local
        else:
            client = await stack.enter_async_context(attached(config, beside))
            health.watch("bus", lambda: client.trouble)
            bus = client
        ncm = Ncm(
            bus,
            codec,
            heartbeat_s=config.ncm.heartbeat_s,
            now_ms=_now_ms,
            lazy_above=config.ncm.lazy_above,
            lazy_below=config.ncm.lazy_below,
            syncing_max=config.ncm.syncing_max,
        )
        unix = config.ncm.socket or f"{config.data.folder.absolute()}/agents.sock"
        tls = listening_tls(config, config.tls.agents, "ncm")
        server = AgentServer(ncm.handle, addresses=[config.ncm.listen, f"unix:{unix}"], tls=tls)
        task = asyncio.create_task(ncm.run(), name="ncm")
        await stack.enter_async_context(background("ncm", task))
        addresses = await server.start()
        stack.push_async_callback(server.stop)
        yield tuple(addresses)


@contextlib.asynccontextmanager
async def _operations(config: RegionConfig, health: Health) -> AsyncIterator[str]:
    listener = listen(config.operations.listen, "operations.listen", "--operations-listen")
    async with serving(OperationsApp(health), listener, "operations"):
        yield url_of(listener)


@contextlib.asynccontextmanager
async def _api(
    store: Store,
    config: RegionConfig,
    services: Collection[str] | None,
    who: Authenticator,
    overrides: Mapping[str, str],
    health: Health,
    tracer: ProcessTracer,
    certifier: Certifier,
) -> AsyncIterator[str]:
    listener = listen(config.api.listen, "api.listen", "--listen")
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
            tracer=tracer,
            certifier=certifier,
            hosts=tracer,
        ),
        who,
        quota_limit=limits.of,
        version=__version__,
        public_endpoint=config.api.public_endpoint or None,
        services=services,
        overrides=overrides,
        ready=health,
        data_plane=tracer,
    )
    api = config.api
    patience = Patience(
        api.request_head_s, api.request_body_s, api.answer_s, api.idle_s, connections_max=api.connections_max
    )
    async with serving(app, listener, "api", patience):
        yield config.api.public_endpoint or url_of(listener)


def region_item(config: RegionConfig) -> RegionItem:
    """What all hosts are told. Raises: ConfigurationError."""
    told = config.dataplane
    try:
        forwarders = tuple(parse_ip(text) for text in told.dns_forwarders)
        domain = parse_domain(told.dns_domain)
    except ValueError as error:
        raise ConfigurationError(f"dataplane.dns_forwarders, dataplane.dns_domain: {error}") from error
    return RegionItem(
        id="region",
        responder_mac=_responder_mac(config),
        dhcp_lease_s=told.dhcp_lease_s,
        dns_domain=domain,
        dns_forwarders=forwarders,
        relay_above=told.relay_above,
        flood_above=told.flood_above,
    )


def _responder_mac(config: RegionConfig) -> Mac:
    try:
        return parse_mac(config.dataplane.responder_mac)
    except ValueError as error:
        raise ConfigurationError(f"dataplane.responder_mac: {error}") from error


@contextlib.contextmanager
def _announced(running: Running, *, shared: bool) -> Iterator[None]:
    """While the process runs, a file in the data folder says where; harnesses and people read it.

    `region.json`, or `<roles>-<pid>.json` of a process that is not the whole region: several may share the folder.
    """
    alone = running.is_whole or not shared
    name = "region" if alone else f"{'-'.join(running.roles)}-{os.getpid()}"
    path = running.data / f"{name}.json"
    facts = {
        "pid": os.getpid(),
        "roles": list(running.roles),
        "endpoint": running.endpoint,
        "agents": list(running.agents),
        "bus": list(running.bus),
        "operations": running.operations,
    }
    draft = path.with_suffix(".new")
    draft.write_bytes(orjson.dumps(facts))
    draft.replace(path)
    try:
        yield
    finally:
        path.unlink(missing_ok=True)


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
