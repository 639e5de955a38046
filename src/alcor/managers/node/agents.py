"""Hosts as the Networking API shows them: `/v2.0/agents` and `/v2.0/availability_zones`."""

from collections.abc import Sequence
from datetime import UTC, datetime

from msgspec.structs import replace

from alcor.managers.interface import Caller, Manager, Values
from alcor.managers.row import replace_row
from alcor.model.agent import AGENT, Agent
from alcor.model.availability_zone import AVAILABILITY_ZONE, AvailabilityZone
from alcor.model.extension import Extension
from alcor.model.host import Host
from alcor.model.network import TUNNEL_TYPES
from alcor.store.interface import HostObservation, Store, Transaction

_PLACED = ("network", "router")


def agent_manager() -> Manager:
    """`/v2.0/agents`: one per host; hosts come and go at `/hosts`."""
    return Manager(
        AGENT,
        "node",
        update=update_agent,
        source=load_agents,
        extensions=(
            Extension(
                "agent",
                "agent",
                "The agents of the region's hosts: /v2.0/agents.",
                "2013-02-03T10:00:00-00:00",
            ),
            Extension(
                "agent-resources-synced",
                "agent-resources-synced",
                "Agents show whether they have what their host needs.",
                "2018-12-19T00:00:00-00:00",
            ),
        ),
    )


async def load_agents(store: Store, _caller: Caller) -> list[Agent]:
    """One agent per host. Cost: two reads, however many hosts."""
    hosts = await store.reader.list(Host)
    seen = await store.observations.hosts([host.id for host in hosts])
    return [_agent(host, seen.get(host.id)) for host in hosts]


def _agent(host: Host, seen: HostObservation | None) -> Agent:
    alive = seen is not None and seen.alive
    return Agent(
        id=host.id,
        host=host.name,
        description=host.description,
        created_at=_spaced(host.created_at),
        started_at=_spaced(host.created_at),
        admin_state_up=host.admin_state_up,
        alive=alive,
        heartbeat_timestamp=_moment(seen.seen_at_ms) if seen is not None and seen.seen_at_ms else None,
        availability_zone=host.availability_zone,
        configurations={
            "bridge_mappings": host.bridge_mappings,
            "tunnel_types": list(TUNNEL_TYPES),
            "tunneling_ip": host.vtep_addresses[0] if host.vtep_addresses else "",
            "version": seen.agent_version if seen is not None else "",
        },
        resources_synced=seen is not None and alive and not seen.detail,
    )


async def update_agent(tx: Transaction, _caller: Caller, row: Agent, values: Values) -> Agent:
    """Change a host's description, or whether new work may be placed on it."""
    host = await replace_row(tx, await tx.get(Host, row.id), values)
    return replace(row, admin_state_up=host.admin_state_up, description=host.description)


def zone_manager(names: Sequence[str]) -> Manager:
    """`/v2.0/availability_zones`: those that are configured, and those hosts are in."""

    async def load(store: Store, _caller: Caller) -> list[AvailabilityZone]:
        hosts = await store.reader.list(Host)
        zones = sorted({*names, *(host.availability_zone for host in hosts)})
        return [
            AvailabilityZone(id=f"{name}/{resource}", name=name, resource=resource, state=_state(name, hosts))
            for name in zones
            for resource in _PLACED
        ]

    return Manager(
        AVAILABILITY_ZONE,
        "node",
        source=load,
        extensions=(
            Extension(
                "availability_zone",
                "Availability Zone",
                "The zones networks and routers may be placed in: /v2.0/availability_zones.",
                "2015-01-01T10:00:00-00:00",
            ),
            Extension(
                "availability_zone_filter",
                "Availability Zone Filter Extension",
                "Availability zones are filtered by their attributes.",
                "2018-06-22T10:00:00-00:00",
            ),
        ),
    )


def _state(name: str, hosts: Sequence[Host]) -> str:
    inside = [host for host in hosts if host.availability_zone == name]
    return "unavailable" if inside and not any(host.admin_state_up for host in inside) else "available"


def _spaced(iso: str) -> str:
    """Agents' times have no zone letter, in the reference's answers; they are UTC."""
    return iso.replace("T", " ").removesuffix("Z")


def _moment(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms // 1000, UTC).strftime("%Y-%m-%d %H:%M:%S")
