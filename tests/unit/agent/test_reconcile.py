"""Incremental equals from nothing: whatever happens, the switch ends with exactly the flows of the whole view."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alcor.agent.allocation import LocalNumbers
from alcor.agent.hold import Hold
from alcor.agent.provision import provisions
from alcor.agent.reconcile import Reconciler
from alcor.agent.simulated import SimulatedSwitch
from alcor.agent.view import HostView
from alcor.bus.interface import ScopeUpdate
from alcor.goalstate.item import BridgeMapping, Item, ItemKind, Key, Limit, NetworkHost, QosItem, TrunkParent
from alcor.goalstate.router_item import GatewayHost, GatewayItem
from alcor.goalstate.scope import (
    REGION,
    Scope,
    host_scope,
    neighbours_scope,
    network_scope,
    router_scope,
    rules_scope,
)
from alcor.goalstate.security_item import Member
from alcor.model.address import Ip
from alcor.pipeline.compile import flows, groups, meters
from alcor.pipeline.resolve import resolve
from tests.support.agent import (
    A_HOST,
    A_REGION,
    HOST,
    OTHER_VTEP,
    VTEP,
    Clock,
    FakeNcm,
    KeptItems,
    an_agent,
    envelope,
    local_port,
    neighbour,
    network,
    numbers_of,
    router,
    rules,
    running,
    scope_of,
    settled,
    subnet,
)

NETWORKS = ("net", "tan")
NUMBERS = (1, 2, 3, 4)

_numbers = st.sampled_from(NUMBERS)
_networks = st.sampled_from(NETWORKS)

Act = tuple[str, int, str]
acts = st.lists(
    st.tuples(
        st.sampled_from(
            (
                "bind",
                "bind",
                "unbind",
                "readdress",
                "disable",
                "remote",
                "forget",
                "network",
                "no_network",
                "segment",
                "subnet",
                "no_subnet",
                "host",
                "plug",
                "plug",
                "unplug",
                "disconnect",
                "slow",
                "flush",
                "join",
                "join",
                "leave",
                "serve",
                "group",
                "no_group",
                "member",
                "policy",
                "subport",
                "cable",
                "health",
                "migrate",
                "restart_switch",
                "refuse",
                "restart_agent",
                "settle",
                "settle",
                "step",
                "step",
            )
        ),
        _numbers,
        _networks,
    ),
    max_size=30,
)


@dataclass
class World:
    """The region and the switch, and what may happen to them."""

    ncm: FakeNcm = field(default_factory=FakeNcm)
    switch: SimulatedSwitch = field(default_factory=lambda: SimulatedSwitch("s1"))

    def put(self, *items: Item, network_id: str) -> None:
        self.ncm.commit(put=[(scope_of(item, network_id), item) for item in items])

    def drop(self, *keys: tuple[Scope, Key]) -> None:
        self.ncm.commit(removed=keys)

    def bind(self, number: int, net: str) -> None:
        self.put(local_port(number, net), neighbour(number), network_id=net)

    def unbind(self, number: int, net: str) -> None:
        id = f"port-{number}"
        self.drop(
            (host_scope(HOST), Key(ItemKind.LOCAL_PORT, id)),
            (neighbours_scope(net), Key(ItemKind.NEIGHBOUR, id)),
        )

    def readdress(self, number: int, net: str) -> None:
        ip = f"10.0.9.{number}"
        self.put(neighbour(number, ips=(ip,), mac="fa:16:3e:00:99:99"), network_id=net)

    def disable(self, number: int, net: str) -> None:
        self.put(local_port(number, net, admin_state_up=False), network_id=net)

    def remote(self, number: int, net: str) -> None:
        self.put(neighbour(number + 10, vtep=OTHER_VTEP), network_id=net)

    def forget(self, number: int, net: str) -> None:
        self.drop((neighbours_scope(net), Key(ItemKind.NEIGHBOUR, f"port-{number + 10}")))

    def network(self, number: int, net: str) -> None:
        self.put(network(net, 100 + NETWORKS.index(net)), network_id=net)

    def no_network(self, number: int, net: str) -> None:
        self.drop((network_scope(net), Key(ItemKind.NETWORK, net)))

    def segment(self, number: int, net: str) -> None:
        self.put(network(net, 100 + number, network_type="geneve" if number % 2 else "vxlan"), network_id=net)

    def subnet(self, number: int, net: str) -> None:
        self.put(subnet(f"{net}-subnet", net, cidr=f"10.{number}.0.0/16", gateway_ip=None), network_id=net)

    def no_subnet(self, number: int, net: str) -> None:
        self.drop((network_scope(net), Key(ItemKind.SUBNET, f"{net}-subnet")))

    def host(self, number: int, net: str) -> None:
        vtep = VTEP if number == 1 else f"192.0.2.{number}"
        self.put(NetworkHost(id=f"host-{number}", vtep=vtep), network_id=net)

    def plug(self, number: int, net: str) -> None:
        self.switch.plug(f"port-{number}")

    def unplug(self, number: int, net: str) -> None:
        if f"port-{number}" in self.switch.vifs:
            self.switch.unplug(f"port-{number}")

    def disconnect(self, number: int, net: str) -> None:
        self.ncm.disconnect()

    def slow(self, number: int, net: str) -> None:
        self.ncm.is_slow = True

    def flush(self, number: int, net: str) -> None:
        self.ncm.flush()

    def join(self, number: int, net: str) -> None:
        """A port whose router leads to one or both networks."""
        routers = (f"router-{1 + number % 2}",)
        self.put(
            router(
                routers[0], NETWORKS[: 1 + number % 2], gateway_hosts=(GatewayHost("host-2", OTHER_VTEP),)
            ),
            local_port(number, net, routers=routers),
            network_id=net,
        )

    def leave(self, number: int, net: str) -> None:
        id = f"router-{1 + number % 2}"
        self.drop((router_scope(id), Key(ItemKind.ROUTER, id)))

    def serve(self, number: int, net: str) -> None:
        self.put(GatewayItem(id=f"router-{1 + number % 2}", networks=(net,)), network_id=net)

    def group(self, number: int, net: str) -> None:
        """A port with a group, of which members of another are allowed in."""
        self.put(rules("group", ("friends",)), local_port(number, net, groups=("group",)), network_id=net)

    def no_group(self, number: int, net: str) -> None:
        self.drop((rules_scope("group"), Key(ItemKind.RULES, "group")))

    def member(self, number: int, net: str) -> None:
        self.put(Member(id=f"port-{number}", cidrs=(f"10.0.0.{number}/32",)), network_id="friends")

    def policy(self, number: int, net: str) -> None:
        limit = Limit(is_ingress=True, rate=1_000 * number, burst=0)
        self.put(QosItem(id="gold", bandwidth=(limit,)), local_port(number, net, qos="gold"), network_id=net)

    def subport(self, number: int, net: str) -> None:
        parent = TrunkParent(f"port-{1 + number % 4}", 10 + number)
        self.put(local_port(number, net, trunk=parent), network_id=net)

    def cable(self, number: int, net: str) -> None:
        mappings = (BridgeMapping("physnet", f"br-{number}"),) if number > 1 else ()
        host = msgspec.structs.replace(A_HOST, bridge_mappings=mappings, mac="fe:00:00:00:00:aa")
        flat = network(net, 0, network_type="flat", physical_network="physnet")
        self.put(host, *((flat,) if number > 2 else ()), network_id=net)

    def health(self, number: int, net: str) -> None:
        self.switch.set_health(Ip(OTHER_VTEP), is_up=number % 2 == 0)

    def migrate(self, number: int, net: str) -> None:
        self.put(local_port(number, net, is_active=False), neighbour(number, vtep=OTHER_VTEP), network_id=net)

    def restart_switch(self, number: int, net: str) -> None:
        self.switch.restart()

    def refuse(self, number: int, net: str) -> None:
        self.switch.refusals = ["no"] * number


async def test_an_error_half_way_loses_nothing() -> None:
    """If computing flows fails in the middle, the next turn after the cause is gone has every flow again."""
    codec, switch = KeptItems(), SimulatedSwitch("s1")
    view, numbers = HostView(HOST, codec), LocalNumbers(Clock().monotonic_s)
    reconciler = Reconciler(switch, view, numbers, Hold())
    reconciler.connected()
    reconciler.vifs_changed({"port-1": switch.plug("port-1")})

    def told(scope: Scope, steps: tuple[int, int], *items: Item) -> None:
        put = tuple(envelope(item, codec=codec) for item in items)
        update = ScopeUpdate(
            scope=scope, epoch=1, generation=1, from_revision=steps[0], through=steps[1], put=put
        )
        reconciler.note(view.apply([update]))

    net, peers = network_scope("net"), neighbours_scope("net")
    told(REGION, (0, 1), A_REGION)
    told(net, (0, 1), network(), subnet())
    told(peers, (0, 1), neighbour(1), *(neighbour(n, vtep=OTHER_VTEP) for n in range(20, 40)))
    told(host_scope(HOST), (0, 1), A_HOST, local_port(1))
    assert await reconciler.turn() is not None

    moved = [neighbour(n, vtep="192.0.2.3") for n in range(20, 40)]
    told(peers, (1, 2), neighbour(5, mac="nonsense"), *moved)
    with pytest.raises(ValueError, match="nonsense"):
        await reconciler.turn()
    reconciler.distrust()
    told(peers, (2, 3), neighbour(5))

    assert await reconciler.turn() is not None
    assert switch.tables.flows == flows(view.resolved, numbers.allocation)


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(acts)
def test_incremental_equals_recompute(story: list[Act]) -> None:
    """Any sequence of changes, plugs, reconnects and restarts ends with installed == flows(view, allocation), and
    everything acknowledged; then one more round sends the switch nothing."""
    asyncio.run(_play(story))


async def _play(story: list[Act]) -> None:
    world = World()
    world.network(1, "net")
    world.bind(1, "net")
    world.plug(1, "net")
    chapters: list[list[Act]] = [[]]
    for act in story:
        if act[0] == "restart_agent":
            chapters.append([])
        else:
            chapters[-1].append(act)
    for chapter in chapters[:-1]:
        async with running(an_agent(world.ncm, world.switch)):
            await _act(world, chapter)
    clock = Clock()
    async with running(an_agent(world.ncm, world.switch, clock)) as agent:
        await _act(world, chapters[-1])
        world.ncm.flush()
        world.switch.refusals.clear()
        await settled()
        # What is true only for a time ends, and ports that were refused are asked for again.
        clock.s += 10.0
        world.ncm.commit()
        await settled()

        wanted = resolve(world.ncm.states(), HOST)
        allocation = agent.allocation
        assert world.switch.tables.flows == flows(wanted, allocation)
        assert world.switch.meters == meters(wanted, allocation)
        assert world.switch.tables.groups == groups(wanted, allocation)
        assert numbers_of(world.switch) == replace(
            allocation, lost_vteps=frozenset(), probes={}, providers={}, arrived=set()
        )
        assert provisions(wanted, None).ports == list(world.switch.port_specs.values())
        if agent.status()["in_sync"]:
            assert world.ncm.is_realized(*world.ncm.closure())
        applies = world.switch.counts.applies
        world.ncm.commit()
        world.ncm.disconnect()
        await settled()
        assert world.switch.counts.applies == applies


async def _act(world: World, chapter: list[Act]) -> None:
    for name, number, net in chapter:
        if name == "settle":
            await settled()
        elif name == "step":
            # Into the middle of a turn: what follows happens while the agent waits for its switch.
            for _ in range(2 * number):
                await asyncio.sleep(0)
        else:
            act: Callable[[int, str], None] = getattr(world, name)
            act(number, net)
