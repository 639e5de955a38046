"""Who uses the region: random requests to the real managers, and machines that are plugged where ports are bound."""

import asyncio
from collections.abc import Awaitable, Callable
from functools import cache
from pathlib import Path
from random import Random
from typing import Any, TypeVar

from alcor.managers.interface import Manager
from alcor.managers.registry import managers
from alcor.managers.security_group.template import ensure_template
from alcor.managers.vpc.ranges import prepare
from alcor.managers.vpc.settings import NetworkSettings
from alcor.model.errors import AlcorError
from alcor.model.floatingip import FloatingIp
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.model.router import Router
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.model.subnet import Subnet
from tests.support.clock import Clock
from tests.support.managers import ADMIN, Desk
from tests.support.sim.world import HOSTS, World

E = TypeVar("E", bound=Entity)
NETWORKS_MAX, PORTS_MAX, GROUPS_MAX = 4, 9, 4
LARGE_NETWORKS_MAX, LARGE_PORTS_MAX = 2, 14
"""Where networks are held on demand: fewer and larger ones."""
MACHINE_OWNER = "compute:nova"


class _NothingError(Exception):
    """There is nothing that a request could be about."""


@cache
def _managers() -> dict[str, Manager]:
    return {one.resource.name: one for one in managers() if isinstance(one, Manager)}


class SimDesk(Desk):
    """A desk whose store is the world's present one."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.clock, self.folder, self.caller = Clock(), Path(), ADMIN
        self._managers = _managers()
        self.wrap = lambda tx: tx

    @property
    def store(self) -> Any:  # type: ignore[override]  # a plain attribute there
        """The store as it is now."""
        return self._world.store


async def found_region(world: World) -> dict[str, tuple[str, str]]:
    """What every region begins with: hosts, the last of which is a gateway host, and an external network.

    Returns: host name → (id, token).
    """
    desk = SimDesk(world)
    await world.store.write(ensure_template)
    await prepare(world.store, NetworkSettings())
    hosts: dict[str, tuple[str, str]] = {}
    for number, name in enumerate(HOSTS):
        is_gateway = name == HOSTS[-1]
        wires = [{"physical_network": "physnet1", "bridge": "br-ex"}] if is_gateway else []
        (made,) = await desk.create_made(
            "host",
            [
                {
                    "name": name,
                    "vtep_addresses": [f"192.0.2.{number + 1}"],
                    "gateway": is_gateway,
                    "bridge_mappings": {one["physical_network"]: one["bridge"] for one in wires},
                }
            ],
        )
        hosts[name] = (made.row.id, made.shown["token"])
    outside = await desk.create(
        "network",
        name="outside",
        router_external=True,
        provider_network_type="flat",
        provider_physical_network="physnet1",
    )
    await desk.create("subnet", network_id=outside.id, ip_version=4, cidr="203.0.113.0/24")
    return hosts


class Tenant:
    """Makes, changes and removes things at random. What the rules forbid is refused, and that is as it should be."""

    def __init__(self, world: World, random: Random) -> None:
        self.world, self.random = world, random
        self.desk = SimDesk(world)
        self.done = self.refused = self._made = 0
        self._networks_max, self._ports_max = NETWORKS_MAX, PORTS_MAX
        self._requests: list[tuple[int, Callable[[], Awaitable[object]]]] = [
            (4, self.create_network),
            (12, self.create_port),
            (14, self.bind_port),
            (5, self.change_port),
            (6, self.change_groups),
            (5, self.delete_port),
            (4, self.create_group),
            (6, self.create_rule),
            (4, self.delete_rule),
            (2, self.delete_group),
            (4, self.create_router),
            (6, self.join_router),
            (2, self.leave_router),
            (3, self.change_gateway),
            (4, self.create_floating_ip),
            (3, self.move_floating_ip),
            (2, self.delete_floating_ip),
            (2, self.delete_network),
            (1, self.delete_router),
        ]
        if world.shape.lazy_above:
            # Networks pass the bound both ways, some by one port at a time, some by many.
            self._requests += [(10, self.fill_network), (8, self.drain_network)]
            self._networks_max, self._ports_max = LARGE_NETWORKS_MAX, LARGE_PORTS_MAX

    async def work(self, requests: int, pause_s: float) -> None:
        """Make so many requests, with pauses of about that length."""
        for _ in range(requests):
            await asyncio.sleep(pause_s * 2 * self.random.random())
            await self.one()

    async def begin(self) -> None:
        """Something of everything."""
        for request in (
            self.create_network,
            self.create_network,
            self.create_group,
            self.create_rule,
            self.create_rule,
            self.create_router,
            self.join_router,
            self.change_gateway,
            self.create_port,
            self.create_port,
            self.create_port,
        ):
            await self.make(request)

    async def one(self) -> None:
        """One request that can be made now."""
        weights = [weight for weight, _ in self._requests]
        while True:
            (chosen,) = self.random.choices([request for _, request in self._requests], weights)
            if await self.make(chosen):
                return

    async def make(self, request: Callable[[], Awaitable[object]]) -> bool:
        """Make a request; what is refused counts. False if there is nothing that it could be about."""
        name = request.__name__
        try:
            await request()
        except _NothingError:
            return False
        except AlcorError as error:
            self.refused += 1
            self.world.loop.note(f"REFUSED {name}: {error.message}")
        else:
            self.done += 1
            self.world.loop.note(f"REQUEST {name}")
        return True

    def rows(self, entity: type[E]) -> list[E]:
        """The rows of a kind as they are now, in the order of their ids."""
        found = [row for row in self.world.truth.head.rows.values() if isinstance(row, entity)]
        return sorted(found, key=lambda row: row.id)

    def any(self, entity: type[E], holds: Callable[[E], bool] = lambda row: True) -> E:
        """Any row of a kind. Raises: _NothingError if there is none."""
        found = [row for row in self.rows(entity) if holds(row)]
        if not found:
            raise _NothingError
        return self.random.choice(found)

    def machines(self) -> list[Port]:
        """The ports of machines."""
        return [row for row in self.rows(Port) if row.device_owner == MACHINE_OWNER]

    def _name(self, kind: str) -> str:
        self._made += 1
        return f"{kind}-{self._made}"

    # --- networks and ports ----------------------------------------------------------------------------

    async def create_network(self) -> None:
        inner = [row for row in self.rows(Network) if not row.router_external]
        if len(inner) >= self._networks_max:
            raise _NothingError
        network = await self.desk.create("network", name=self._name("net"))
        # Requests of two tasks may choose the same one: it is no matter, subnets of two networks may overlap.
        cidr = f"10.0.{self.random.randrange(1, 200)}.0/24"
        await self.desk.create("subnet", network_id=network.id, ip_version=4, cidr=cidr)

    async def create_port(self) -> None:
        if len(self.machines()) >= self._ports_max:
            raise _NothingError
        await self._create_port(self.any(Network, lambda row: not row.router_external))

    async def fill_network(self) -> None:
        if len(self.machines()) >= self._ports_max:
            raise _NothingError
        network = self.any(Network, lambda row: not row.router_external)
        for _ in range(self.random.randint(2, 6)):
            await self._create_port(network)

    async def drain_network(self) -> None:
        network = self.any(Network, lambda row: not row.router_external)
        machines = [row for row in self.machines() if row.network_id == network.id]
        for port in machines[self.random.randint(0, 3) :]:
            await self.desk.delete(port)

    async def _create_port(self, network: Network) -> None:
        host = self.random.choice((*HOSTS, *HOSTS, ""))
        said: dict[str, Any] = {"binding_host_id": host} if host else {}
        groups = self._groups()
        if groups is not None:
            said["security_groups"] = groups
        await self.desk.create(
            "port", network_id=network.id, name=self._name("vm"), device_owner=MACHINE_OWNER, **said
        )

    def _groups(self) -> list[str] | None:
        groups = [row.id for row in self.rows(SecurityGroup)]
        if not groups or self.random.random() < 0.3:
            return None
        return sorted(self.random.sample(groups, self.random.randint(0, min(2, len(groups)))))

    def _machine(self) -> Port:
        found = self.machines()
        if not found:
            raise _NothingError
        return self.random.choice(found)

    async def bind_port(self) -> None:
        await self.desk.update(self._machine(), binding_host_id=self.random.choice((*HOSTS, *HOSTS, "")))

    async def change_port(self) -> None:
        port = self._machine()
        match self.random.randrange(4):
            case 0:
                await self.desk.update(port, admin_state_up=not port.admin_state_up)
            case 1:
                await self.desk.update(port, name=self._name("vm"))
            case 2:
                pairs = [{"ip_address": "10.0.0.77"}] if self.random.random() < 0.5 else []
                await self.desk.update(port, allowed_address_pairs=pairs)
            case _:
                if port.port_security_enabled:
                    await self.desk.update(
                        port, port_security_enabled=False, security_groups=[], allowed_address_pairs=[]
                    )
                else:
                    await self.desk.update(port, port_security_enabled=True)

    async def change_groups(self) -> None:
        port = self._machine()
        if port.port_security_enabled:
            await self.desk.update(port, security_groups=self._groups() or [])

    async def delete_port(self) -> None:
        await self.desk.delete(self._machine())

    async def delete_network(self) -> None:
        await self.desk.delete(self.any(Network, lambda row: not row.router_external))

    # --- groups ----------------------------------------------------------------------------------------

    async def create_group(self) -> None:
        if len(self.rows(SecurityGroup)) >= GROUPS_MAX:
            raise _NothingError
        await self.desk.create("security_group", name=self._name("group"))

    async def create_rule(self) -> None:
        group = self.any(SecurityGroup)
        said: dict[str, Any] = {}
        match self.random.randrange(3):
            case 0:
                said["remote_group_id"] = self.any(SecurityGroup).id
            case 1:
                said["remote_ip_prefix"] = self.random.choice(("10.0.0.0/8", "10.0.1.0/24"))
            case _:
                said |= {"protocol": "tcp", "port_range_min": 80, "port_range_max": 80}
        await self.desk.create(
            "security_group_rule",
            security_group_id=group.id,
            direction=self.random.choice(("ingress", "ingress", "egress")),
            ethertype="IPv4",
            **said,
        )

    async def delete_rule(self) -> None:
        await self.desk.delete(self.any(SecurityGroupRule))

    async def delete_group(self) -> None:
        await self.desk.delete(self.any(SecurityGroup, lambda row: row.name != "default"))

    # --- routers ---------------------------------------------------------------------------------------

    async def create_router(self) -> None:
        if len(self.rows(Router)) >= 2:
            raise _NothingError
        await self.desk.create("router", name=self._name("router"))

    async def join_router(self) -> None:
        outer = {row.id for row in self.rows(Network) if row.router_external}
        subnet = self.any(Subnet, lambda row: row.network_id not in outer)
        await self.desk.act(self.any(Router), "add_router_interface", subnet_id=subnet.id)

    async def leave_router(self) -> None:
        await self.desk.act(self.any(Router), "remove_router_interface", subnet_id=self.any(Subnet).id)

    async def change_gateway(self) -> None:
        router, outside = self.any(Router), self.any(Network, lambda row: row.router_external)
        info = None if router.gateway_ports else {"network_id": outside.id}
        await self.desk.update(router, external_gateway_info=info)

    async def delete_router(self) -> None:
        await self.desk.delete(self.any(Router))

    async def create_floating_ip(self) -> None:
        if len(self.rows(FloatingIp)) >= 3:
            raise _NothingError
        outside = self.any(Network, lambda row: row.router_external)
        await self.desk.create("floatingip", floating_network_id=outside.id)

    async def move_floating_ip(self) -> None:
        port_id = self._machine().id if self.random.random() < 0.7 else None
        await self.desk.update(self.any(FloatingIp), port_id=port_id)

    async def delete_floating_ip(self) -> None:
        await self.desk.delete(self.any(FloatingIp))


class Compute:
    """Plugs machines where their ports are bound, in its own time. Some it forgets for ever. `survivors`: host → ports
    whose machines go on there, whatever the region knows.
    """

    def __init__(self, world: World, random: Random) -> None:
        self.world, self.random = world, random
        self.survivors: dict[str, set[str]] = {}

    def is_forgotten(self, port_id: str) -> bool:
        """One machine in ten is never started."""
        return int(port_id[-2:], 16) < 26

    async def work(self) -> None:
        """Look again and again."""
        while True:
            await asyncio.sleep(self.random.random())
            self.plug(0.6)

    def plug(self, share: float) -> None:
        """Do this share of what is to be done."""
        wanted: dict[str, set[str]] = {node.host_name: set() for node in self.world.agents}
        for row in self.world.truth.head.rows.values():
            if not isinstance(row, Port) or row.device_owner != MACHINE_OWNER:
                continue
            if row.binding_host_id in wanted and not self.is_forgotten(row.id):
                wanted[row.binding_host_id].add(row.id)
        for node in self.world.agents:
            vifs = node.switch.vifs
            survivors = self.survivors.get(node.host_name, set())
            for port_id in sorted((wanted[node.host_name] ^ set(vifs)) - survivors):
                if self.random.random() < share:
                    (node.switch.unplug if port_id in vifs else node.switch.plug)(port_id)


def hosts_of(world: World) -> dict[str, Host]:
    """The hosts by name."""
    return {row.name: row for row in world.truth.head.rows.values() if isinstance(row, Host)}
