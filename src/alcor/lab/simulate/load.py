"""Loading a region's intent in large batches: through its API, or straight into its store before it serves.

The direct path runs the managers' own functions in transactions of the store, without HTTP, JSON and policy: the same
rows, changes, claims and counts (docs/design/simulate.md; the test compares all of them).
"""

import asyncio
import gc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import httpx

from alcor.lab.command import LabError
from alcor.lab.simulate.plan import NetworkPlan, Plan
from alcor.managers.interface import Caller, Manager
from alcor.managers.registry import managers
from alcor.managers.security_group.template import ensure_template
from alcor.managers.vpc.ranges import prepare
from alcor.model.resource import REQUIRED, Who
from alcor.runtime.config import Data, RegionConfig
from alcor.runtime.config import Store as StoreConfig
from alcor.runtime.database import open_store
from alcor.runtime.network import network_settings
from alcor.store.interface import Store

# Ports of one request or transaction: larger ones win little, and keep others waiting.
BULK = 500
DIRECT_BULK = 2_000
# Requests or transactions at a time.
CLIENTS = 4
_HOSTS_BULK = 1_000
_REQUEST_S = 120.0

Row = dict[str, Any]
Progress = Callable[[int, int], None]
"""(ports loaded, ports there will be)"""


class Loader(Protocol):
    """Creates resources in bulk."""

    bulk: int

    async def create(self, kind: str, bodies: Sequence[Row]) -> list[Row]:
        """Create resources of one kind ("port") in one transaction; returns each one's `id` (a host's `token` too)."""


@dataclass(slots=True)
class Loaded:
    """What was loaded. `ports`: network number → ids of its ports, in the order of its hosts, dealt out in turn."""

    hosts: dict[str, tuple[str, str]] = field(default_factory=dict)
    """name → (id, token)"""
    networks: dict[int, str] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)
    ports: dict[int, list[str]] = field(default_factory=dict)

    @property
    def port_count(self) -> int:
        """All ports."""
        return sum(map(len, self.ports.values()))


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


class DirectLoader:
    """Straight into a store that no process serves yet."""

    bulk = DIRECT_BULK
    _CALLER = Caller("", is_admin=True)

    def __init__(self, store: Store, config: RegionConfig) -> None:
        self._store = store
        made = managers(network=network_settings(config))
        # Of several managers of one resource (paths of their own) the first is the Networking API's.
        self._managers: dict[str, Manager] = {}
        for each in made:
            if isinstance(each, Manager):
                self._managers.setdefault(each.resource.name, each)

    async def create(self, kind: str, bodies: Sequence[Row]) -> list[Row]:
        """As `Loader`."""
        manager = self._managers[kind]
        create = manager.create
        assert create is not None
        values = [_values(manager, body) for body in bodies]
        done = await self._store.write(lambda tx: create(tx, self._CALLER, values))
        return [{"id": made.row.id, **made.shown} for made in done.value]


def _values(manager: Manager, body: Row) -> Row:
    """What the API hands to the manager's create for a body."""
    values: Row = {}
    for attribute in manager.resource.attributes:
        if attribute.create is Who.NOBODY:
            continue
        if attribute.name in body:
            values[attribute.field] = attribute.type.parse(body[attribute.name])
        elif attribute.default is not REQUIRED:
            default = attribute.default
            values[attribute.field] = dict(default) if isinstance(default, dict) else default
    return values


@asynccontextmanager
async def direct_loader(folder: Path, store_url: str) -> AsyncIterator[DirectLoader]:
    """A loader on the store of a region that does not run. `store_url`: "" for SQLite in `folder`."""
    config = RegionConfig(data=Data(folder=folder), store=StoreConfig(url=store_url))
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    store = await open_store(config)
    # What is loaded lives on: looking through it again and again finds nothing to free.
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 1_000)
    try:
        await store.write(ensure_template)
        await prepare(store, network_settings(config))
        yield DirectLoader(store, config)
    finally:
        gc.set_threshold(*before)
        await store.close()


async def load(loader: Loader, plan: Plan, progress: Progress) -> Loaded:
    """Make hosts, networks, groups and ports as planned. Cost: measured by benchmarks/load_ports.py."""
    loaded = Loaded()
    for first in range(0, plan.hosts, _HOSTS_BULK):
        indexes = range(first, min(plan.hosts, first + _HOSTS_BULK))
        names = [plan.host_name(index) for index in indexes]
        bodies = [
            {"name": name, "vtep_addresses": [plan.host_vtep(i)]}
            for name, i in zip(names, indexes, strict=True)
        ]
        made = await loader.create("host", bodies)
        loaded.hosts |= {name: (row["id"], row["token"]) for name, row in zip(names, made, strict=True)}
    networks = list(plan.networks())
    await _make_networks(loader, networks, loaded)
    batches = _batches(networks, loaded, plan, loader.bulk)
    count, waiting = 0, asyncio.Semaphore(CLIENTS)

    async def make(batch: list[tuple[int, Row]]) -> None:
        nonlocal count
        async with waiting:
            made = await loader.create("port", [body for _, body in batch])
        for (number, _), row in zip(batch, made, strict=True):
            loaded.ports.setdefault(number, []).append(row["id"])
        count += len(batch)
        progress(count, plan.ports)

    async with asyncio.TaskGroup() as group:
        for batch in batches:
            group.create_task(make(batch))
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
        await loader.create(
            "security_group_rule",
            [
                {
                    "security_group_id": loaded.groups[each.number],
                    "project_id": each.project,
                    "direction": "ingress",
                    "ethertype": "IPv4",
                    "remote_ip_prefix": each.cidr,
                }
                for each in grouped
            ],
        )


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
        "binding:host_id": plan.host_name(network.hosts[place % len(network.hosts)]),
    }
    if network.number in loaded.groups:
        body["security_groups"] = [loaded.groups[network.number]]
    return body
