"""Loading a region's intent in large batches: through its API, or straight into its store (`direct`)."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

import httpx

from alcor.lab.command import LabError
from alcor.lab.simulate.plan import NetworkPlan, Plan

# Ports of one request: larger ones win little, and keep others waiting.
BULK = 500
# Requests at a time.
CLIENTS = 4
_HOSTS_BULK = 1_000
_REQUEST_S = 120.0

Row = dict[str, Any]
Progress = Callable[[int, int], None]
"""(ports loaded, ports there will be)"""


@dataclass(slots=True)
class Loaded:
    """What was loaded. `ports`: network number → ids of its ports, in the order of its hosts, dealt out in turn."""

    hosts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """name → (id, token)"""
    networks: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    ports: dict[int, list[str]] = field(default_factory=dict)
    elapsed_s: float = 0.0
    """How long it took."""

    @property
    def port_count(self) -> int:
        """All ports."""
        return sum(map(len, self.ports.values()))


class Loader(Protocol):
    """Creates resources in bulk."""

    bulk: int

    async def create(self, kind: str, bodies: Sequence[Row]) -> list[Row]:
        """Create resources of one kind ("port") in one transaction; returns each one's `id` (a host's `token` too)."""

    async def fill(
        self, networks: Sequence[NetworkPlan], loaded: Loaded, plan: Plan, progress: Progress
    ) -> None:
        """Create all ports of networks that are there, and add them to `loaded`."""


_PATHS = {
    "network": "/v2.0/networks",
    "subnet": "/v2.0/subnets",
    "security_group": "/v2.0/security-groups",
    "security_group_rule": "/v2.0/security-group-rules",
    "port": "/v2.0/ports",
    "host": "/hosts/upload",
}


class ApiLoader:
    """Through the public API."""

    bulk = BULK

    def __init__(self, http: httpx.AsyncClient) -> None:
        """`http`: with the region's URL and an administrator's token."""
        self._http = http

    async def create(self, kind: str, bodies: Sequence[Row]) -> list[Row]:
        """As `Loader`. Raises: LabError with the region's answer."""
        path = _PATHS[kind]
        answer = await self._http.post(path, json={f"{kind}s": list(bodies)}, timeout=_REQUEST_S)
        if answer.is_error:
            raise LabError(f"POST {path} ({len(bodies)} of them): {answer.status_code} {answer.text[:500]}")
        return list(answer.json()[f"{kind}s"])

    async def fill(
        self, networks: Sequence[NetworkPlan], loaded: Loaded, plan: Plan, progress: Progress
    ) -> None:
        """As `Loader`: bulks of several clients."""
        batches = _batches(networks, loaded, plan, self.bulk)
        count, waiting = 0, asyncio.Semaphore(CLIENTS)

        async def make(batch: list[tuple[int, Row]]) -> None:
            nonlocal count
            async with waiting:
                made = await self.create("port", [body for _, body in batch])
            for (number, _), row in zip(batch, made, strict=True):
                loaded.ports.setdefault(number, []).append(row["id"])
            count += len(batch)
            progress(count, plan.ports)

        async with asyncio.TaskGroup() as group:
            for batch in batches:
                group.create_task(make(batch))


async def load(loader: Loader, plan: Plan, progress: Progress) -> Loaded:
    """Make hosts, networks, groups and ports as planned. Cost: measured by benchmarks/load_ports.py."""
    loaded, began = Loaded(), time.monotonic()
    for first in range(0, plan.hosts_there, _HOSTS_BULK):
        indexes = range(first, min(plan.hosts_there, first + _HOSTS_BULK))
        names = [plan.host_name(index) for index in indexes]
        bodies = [
            {"name": name, "vtep_addresses": [plan.host_vtep(i)], "gateway": plan.is_gateway(i)}
            for name, i in zip(names, indexes, strict=True)
        ]
        made = await loader.create("host", bodies)
        loaded.hosts |= {name: (row["id"], row["token"]) for name, row in zip(names, made, strict=True)}
    networks = list(plan.networks())
    await _make_networks(loader, networks, loaded)
    await loader.fill(networks, loaded, plan, progress)
    loaded.elapsed_s = time.monotonic() - began
    return loaded


async def _make_networks(loader: Loader, networks: Sequence[NetworkPlan], loaded: Loaded) -> None:
    for first in range(0, len(networks), loader.bulk):
        part = networks[first : first + loader.bulk]
        made = await loader.create(
            "network", [{"name": each.name, "project_id": each.project} for each in part]
        )
        loaded.networks |= {each.number: row["id"] for each, row in zip(part, made, strict=True)}
        await loader.create(
            "subnet",
            [
                {
                    "network_id": loaded.networks[each.number],
                    "project_id": each.project,
                    "ip_version": 4,
                    "cidr": each.cidr,
                }
                for each in part
            ],
        )
        grouped = [each for each in part if each.has_own_group]
        if not grouped:
            continue
        groups = await loader.create(
            "security_group", [{"name": each.name, "project_id": each.project} for each in grouped]
        )
        loaded.groups |= {each.number: row["id"] for each, row in zip(grouped, groups, strict=True)}
        for each in grouped:
            # A request's rules are of one group.
            rule = {
                "security_group_id": loaded.groups[each.number],
                "project_id": each.project,
                "direction": "ingress",
                "ethertype": "IPv4",
                "remote_ip_prefix": each.cidr,
            }
            await loader.create("security_group_rule", [rule])


def _batches(
    networks: Sequence[NetworkPlan], loaded: Loaded, plan: Plan, size: int
) -> list[list[tuple[int, Row]]]:
    """All ports in batches of `size`: (network's number, body)."""
    every = [
        (network.number, port_body(network, loaded, plan, place))
        for network in networks
        for place in range(network.ports)
    ]
    return [every[first : first + size] for first in range(0, len(every), size)]


def port_body(network: NetworkPlan, loaded: Loaded, plan: Plan, place: int) -> Row:
    """The `place`-th port of a network, as a client would ask for it."""
    body: Row = {
        "network_id": loaded.networks[network.number],
        "project_id": network.project,
        "device_owner": "compute:nova",
        "device_id": f"sim-{network.number}-{place}",
        "binding:host_id": plan.host_name(network.host_of(place)),
    }
    if network.number in loaded.groups:
        body["security_groups"] = [loaded.groups[network.number]]
    return body
