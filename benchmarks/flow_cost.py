"""Flows and memory per port, per rule and per member of a remote group, on a real Open vSwitch.

One host of a growing region: its goal state is made here, compiled by the pipeline, and put into a switch by the
agent's own driver. `flows` is the slope: flows for one more of the kind. `switch bytes` is the growth of ovs-vswitchd's
resident memory over the flows added. `compile µs` and `install ms`: what one more of the kind costs when the rest is
there (median of 20): its units computed anew; its difference sent and the barrier answered.
"""

import asyncio
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from alcor.agent.driver import Connected, FlowDiff
from alcor.agent.ovs.switch import OvsSwitch
from alcor.goalstate.item import (
    Address,
    HostItem,
    Item,
    LocalPort,
    Neighbour,
    NetworkItem,
    RegionItem,
    SubnetItem,
    key_of,
)
from alcor.goalstate.scope import (
    REGION,
    Scope,
    host_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    rules_scope,
)
from alcor.goalstate.security_item import GroupRule, Member, RulesItem
from alcor.lab.host import LabHost, Underlay
from alcor.lab.ledger import Ledger
from alcor.pipeline.compile import affected, flows, groups, meters, unit_flows, units
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.resolve import resolve
from alcor.pipeline.view import Allocation, View
from benchmarks.measure import load_average, report

OFPORTS_FROM = 1_000
ROUNDS = 20
_State = dict[Scope, dict[Any, Item]]


@dataclass(frozen=True)
class Size:
    """How much of everything. `rules` of one group; `members` of the group they name."""

    ports: int = 10
    rules: int = 1
    members: int = 10


def _port(number: int) -> LocalPort:
    return LocalPort(
        id=f"port-{number}",
        network_id="net",
        name="",
        mac=f"02:00:00:{number >> 16 & 255:02x}:{number >> 8 & 255:02x}:{number & 255:02x}",
        addresses=(Address("subnet", f"10.{64 + (number >> 16)}.{number >> 8 & 255}.{number & 255}"),),
        admin_state_up=True,
        port_security_enabled=True,
        groups=("group",),
    )


def _member(number: int) -> Member:
    return Member(id=f"m-{number}", cidrs=(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}/32",))


def _rule(number: int) -> GroupRule:
    port = 1_000 + number
    return GroupRule(
        id=f"rule-{number}", is_ingress=True, ip_version=4, protocol=6, first=port, last=port, group="peers"
    )


def _states(size: Size) -> _State:
    """The goal state of one host."""
    states: _State = {}

    def add(scope: Scope, item: Item) -> None:
        states.setdefault(scope, {})[key_of(item)] = item

    add(REGION, RegionItem(id="region", responder_mac="fe:00:00:00:00:01", dhcp_lease_s=3600))
    add(host_scope("h"), HostItem(id="h", name="h", vtep_addresses=("198.18.0.1",), token_digest=""))
    add(
        network_scope("net"),
        NetworkItem(id="net", network_type="vxlan", segmentation_id=7, mtu=1450, admin_state_up=True),
    )
    add(
        network_scope("net"),
        SubnetItem(
            id="subnet",
            network_id="net",
            cidr="10.0.0.0/8",
            gateway_ip="10.255.255.254",
            dns_nameservers=(),
            host_routes=(),
            enable_dhcp=True,
            ipv6_ra_mode=None,
            ipv6_address_mode=None,
        ),
    )
    for number in range(1, size.ports + 1):
        port = _port(number)
        add(host_scope("h"), port)
        ips = tuple(address.ip for address in port.addresses)
        near = Neighbour(
            id=port.id, mac=port.mac, ips=ips, host_id="h", vtep="198.18.0.1", groups=port.groups
        )
        add(neighbours_scope("net"), near)
    rules = tuple(_rule(number) for number in range(size.rules))
    add(rules_scope("group"), RulesItem(id="group", stateful=True, rules=rules))
    for number in range(1, size.members + 1):
        add(members_scope("peers"), _member(number))
    return states


def _numbers(view: View) -> Allocation:
    ports = sorted(view.ports)
    return Allocation(
        port_keys={id: n for n, id in enumerate(ports, start=1)},
        network_keys={"net": 1},
        ofports={id: OFPORTS_FROM + n for n, id in enumerate(ports)},
        tunnels={"vxlan": 1},
    )


def _count(size: Size) -> int:
    view = resolve(_states(size), "h")
    assert len(view.ports) == size.ports, "a port is closed: the goal state made here is not whole"
    return len(flows(view, _numbers(view)))


def _resident_bytes(pid: int) -> int:
    text = Path(f"/proc/{pid}/status").read_text()
    return int(next(line for line in text.splitlines() if line.startswith("VmRSS:")).split()[1]) * 1024


@dataclass
class Bench:
    """One switch and its driver."""

    host: LabHost
    switch: OvsSwitch
    connected: asyncio.Event

    async def renew(self) -> None:
        """A switch that never held anything: what it frees it keeps, and the next row would find room in it."""
        self.connected.clear()
        self.host.kill("ovs-vswitchd")
        self.host.start_switch()
        await self.connected.wait()

    async def fill(self, size: Size) -> tuple[View, Allocation]:
        """Bring the switch to a host of this size."""
        view = resolve(_states(size), "h")
        allocation = _numbers(view)
        wanted = flows(view, allocation)
        made = list(meters(view, allocation).values())
        diff = await self.switch.compare(wanted, made, list(groups(view, allocation).values()))
        await self.switch.apply(diff)
        return view, allocation

    def memory(self) -> int:
        """Resident bytes of ovs-vswitchd."""
        return _resident_bytes(self.host.pid("ovs-vswitchd"))

    async def one_more(
        self, size: Size, more: Callable[[int], tuple[Scope, Item, Item | None]]
    ) -> tuple[float, float]:
        """Median microseconds to compile one more item, and milliseconds to install it."""
        view, allocation = await self.fill(size)
        compile_us, install_ms = [], []
        for turn in range(ROUNDS):
            scope, item, before = more(turn)
            _put(view, scope, item)
            change = ItemChange(scope, key_of(item), before, item)
            began = time.perf_counter()
            touched = affected(change, view)
            new = [flow for unit in touched for flow in unit_flows(unit, view, allocation)]
            compiled = time.perf_counter()
            await self.switch.apply(FlowDiff(new))
            compile_us.append((compiled - began) * 1e6)
            install_ms.append((time.perf_counter() - compiled) * 1e3)
        assert units(view), "the view came to nothing"
        return statistics.median(compile_us), statistics.median(install_ms)


def _put(view: View, scope: Scope, item: Item) -> None:
    match item:
        case Member():
            view.members.setdefault(scope.id, {})[item.id] = item
        case RulesItem():
            view.rules[item.id] = item
        case Neighbour():
            view.networks[scope.id].neighbours[item.id] = item
        case _:
            raise TypeError(f"{type(item).__name__} is not measured")


async def _measure(bench: Bench) -> list[dict[str, Any]]:
    rows = []
    for what, small, large in (
        ("local port", Size(ports=10), Size(ports=1_010)),
        ("rule with a remote group", Size(rules=1), Size(rules=101)),
        ("member of a remote group, 1 rule", Size(members=10), Size(members=10_010)),
        ("member of a remote group, 10 rules", Size(rules=10, members=10), Size(rules=10, members=10_010)),
    ):
        added = large.ports + large.rules + large.members - small.ports - small.rules - small.members
        few, many = _count(small), _count(large)
        await bench.renew()
        await bench.fill(small)
        before = bench.memory()
        await bench.fill(large)
        grown = bench.memory() - before
        row: dict[str, Any] = {
            "one more": what,
            "flows": round((many - few) / added, 2),
            "switch bytes": round(grown / added),
            "bytes per flow": round(grown / max(1, many - few)),
            "host flows": many,
            "compile µs": "",
            "install ms": "",
        }
        more = _more(what, large)
        if more is not None:
            compile_us, install_ms = await bench.one_more(large, more)
            row |= {"compile µs": round(compile_us), "install ms": round(install_ms, 2)}
        rows.append(row)
    return rows


def _more(what: str, size: Size) -> Callable[[int], tuple[Scope, Item, Item | None]] | None:
    if what.startswith("member"):
        return lambda turn: (members_scope("peers"), _member(size.members + 1 + turn), None)
    if what.startswith("rule"):

        def rules(turn: int) -> tuple[Scope, Item, Item | None]:
            held = tuple(_rule(number) for number in range(size.rules + turn))
            before = RulesItem(id="group", stateful=True, rules=held)
            after = RulesItem(id="group", stateful=True, rules=(*held, _rule(size.rules + turn)))
            return rules_scope("group"), after, before

        return rules
    return None


async def _run(folder: Path, ledger: Ledger) -> list[dict[str, Any]]:
    prefix = "bench-"
    host = LabHost(prefix, "host", 1, folder, ledger)
    host.create(Underlay(prefix, ledger))
    switch = OvsSwitch(host.db_socket, host.run_folder, datapath_type="netdev")

    async def listen() -> None:
        async for event in switch.events():
            if isinstance(event, Connected):
                connected.set()

    connected = asyncio.Event()
    task = asyncio.create_task(listen())
    try:
        await connected.wait()
        return await _measure(Bench(host, switch, connected))
    finally:
        task.cancel()
        await switch.close()


def main() -> None:
    """Run and print."""
    load_before = load_average()
    with tempfile.TemporaryDirectory(prefix="alcor-bench-") as folder:
        ledger = Ledger(Path(folder))
        try:
            rows = asyncio.run(_run(Path(folder), ledger))
        finally:
            ledger.sweep()
    report("flow_cost", rows, load_before=load_before)


if __name__ == "__main__":
    main()
