"""Random routers and random destinations: the flows deliver where plain longest-prefix arithmetic says.

The specification here knows nothing of flows or of the pipeline's forwarding table: a list of prefixes, the longest
that holds the destination, and who has the next hop's address.
"""

from dataclasses import dataclass
from ipaddress import ip_address, ip_network

import hypothesis.strategies as st
from hypothesis import given

from alcor.goalstate.item import Address, HostItem, LocalPort, Neighbour, NetworkItem
from alcor.goalstate.router_item import InterfaceAddress, RouterInterface, RouterItem, RouterRoute
from alcor.pipeline.compile import flows, groups
from alcor.pipeline.icmp_error import Reason
from alcor.pipeline.simulate import SimulatedTables
from alcor.pipeline.view import Allocation, NetworkView, View
from tests.support.cases_routing import datagram, routed

# n2 is another tenant's and has n0's subnets; n3's lies inside n1's.
CIDRS = {
    "n0": ("10.0.0.0/24", "fd00::/64"),
    "n1": ("10.0.1.0/24", "fd00:1::/64"),
    "n2": ("10.0.0.0/24", "fd00::/64"),
    "n3": ("10.0.1.128/25", "fd00:1:0:0:8000::/65"),
}
PREFIXES = (
    *(
        "0.0.0.0/0",
        "10.0.0.0/16",
        "10.0.1.0/24",
        "10.0.1.128/26",
        "10.9.0.0/16",
        "10.9.1.0/24",
        "10.9.1.7/32",
    ),
    *("::/0", "fd00:1::/48", "fd00:1::/64", "fd00:9::/32", "fd00:9:1::/64", "fd00:9:1::7/128"),
)
HOSTS = (1, 2, 129, 130)
DESTINATIONS = (
    *(f"10.{b}.{c}.{d}" for b in (0, 9) for c in (0, 1) for d in (1, 2, 7, 129, 254)),
    *(f"fd00:{b}::{d:x}" for b in (0, 1) for d in (1, 2, 0x81, 0xFE)),
    *("fd00:1::8000:0:0:1", "fd00:9:1::1", "fd00:9:1::7", "2001:db8::1", "198.51.100.1"),
)
SOURCE_V4, SOURCE_V6 = "192.0.2.77", "2001:db8:77::1"


def addresses_in(network_id: str) -> tuple[str, ...]:
    """What the network's two ports and the router may have there, in both versions."""
    v4, v6 = (ip_network(cidr) for cidr in CIDRS[network_id])
    return tuple(str(net[n]) for net in (v4, v6) for n in (1, 2, 5, net.num_addresses - 2 & 0xFF))


def mac_of(network_id: str, n: int) -> str:
    return f"02:00:00:00:{int(network_id[1]):02x}:{n:02x}"


def router_mac(network_id: str) -> str:
    return f"0a:00:00:00:00:{int(network_id[1]):02x}"


def a_port(network_id: str, n: int) -> LocalPort:
    """The n-th port of a network: it may send anything, and has the n-th address of each subnet."""
    v4, v6 = (ip_network(cidr) for cidr in CIDRS[network_id])
    return LocalPort(
        id=f"{network_id}-{n}",
        network_id=network_id,
        name="",
        mac=mac_of(network_id, n),
        addresses=(Address("4", str(v4[n])), Address("6", str(v6[n]))),
        admin_state_up=True,
        port_security_enabled=False,
        groups=None,
        routers=("r",),
    )


@st.composite
def routers(draw: st.DrawFn) -> RouterItem:
    """A router on some networks, with routes to hops that exist, do not exist, peers and nowhere."""
    joined = draw(st.lists(st.sampled_from(sorted(CIDRS)), min_size=1, max_size=3, unique=True))
    if {"n0", "n2"} <= set(joined):
        joined.remove("n2")
    interfaces = []
    for network_id in sorted(joined):
        found = [
            InterfaceAddress(str(ip_network(cidr)[254 if ":" in cidr else 126]), cidr, cidr)
            for cidr in CIDRS[network_id]
        ]
        interfaces.append(RouterInterface(network_id, network_id, router_mac(network_id), tuple(found)))
    routes = set[RouterRoute]()
    for destination in draw(st.lists(st.sampled_from(PREFIXES), max_size=5, unique=True)):
        hops = [
            ip
            for network_id in joined
            for ip in addresses_in(network_id)
            if (":" in ip) == (":" in destination)
        ]
        match draw(st.sampled_from(("hops", "hops", "hops", "peer", "nowhere"))):
            case "hops":
                chosen = draw(st.lists(st.sampled_from(hops), min_size=1, max_size=2, unique=True))
                routes |= {RouterRoute(destination, hop) for hop in chosen}
            case "peer":
                peers = sorted(set(CIDRS) - set(joined))
                routes.add(RouterRoute(destination, network_id=draw(st.sampled_from(peers))))
            case _:
                routes.add(RouterRoute(destination))
    ordered = sorted(routes, key=lambda one: (one.destination, one.nexthop or ""))
    return RouterItem(id="r", admin_state_up=True, interfaces=tuple(interfaces), routes=tuple(ordered))


@dataclass
class World:
    """One host with two ports in each network, all of whom the router may reach."""

    router: RouterItem

    def __post_init__(self) -> None:
        host = HostItem(id="h", name="h", vtep_addresses=("192.0.2.1",), token_digest="")
        self.view = View(host=host)
        for n, network_id in enumerate(CIDRS):
            item = NetworkItem(
                id=network_id, network_type="vxlan", segmentation_id=100 + n, mtu=1450, admin_state_up=True
            )
            self.view.networks[network_id] = NetworkView(item)
            for port in (a_port(network_id, 1), a_port(network_id, 2)):
                ips = tuple(address.ip for address in port.addresses)
                self.view.ports[port.id] = port
                self.view.networks[network_id].neighbours[port.id] = Neighbour(
                    id=port.id, mac=port.mac, ips=ips, host_id="h", vtep="192.0.2.1", groups=None
                )
        self.view.routers["r"] = self.router
        ids = list(self.view.ports)
        self.numbers = Allocation(
            port_keys={id: 1 + n for n, id in enumerate(ids)},
            network_keys={id: 50 + n for n, id in enumerate(CIDRS)},
            router_keys={"r": 9},
            ofports={id: 10 + n for n, id in enumerate(ids)},
        )
        self.switch = SimulatedTables(
            flows(self.view, self.numbers).values(), groups(self.view, self.numbers).values()
        )

    def send(self, port_id: str, frame: bytes) -> tuple[list[tuple[str, bytes]], list[int]]:
        """(port, frame) that are delivered, and the reasons of what the agent gets."""
        owners = {ofport: id for id, ofport in self.numbers.ofports.items()}
        out = self.switch.process(frame, self.numbers.ofports[port_id])
        delivered = [(owners[one.port], one.frame) for one in out if one.port is not None]
        return delivered, [one.fields["reg4"] for one in out if one.port is None]


def best(router: RouterItem, destination: str) -> list[tuple[str, str]] | None:
    """The (network, address) pairs that may come next, by plain arithmetic; None: no route or a route to nowhere."""
    to = ip_address(destination)
    ways: list[tuple[int, int, list[tuple[str, str]]]] = []
    subnets = [(ip_network(one.cidr), i.network_id) for i in router.interfaces for one in i.addresses]
    for net, network_id in subnets:
        if to.version == net.version and to in net:
            ways.append((net.prefixlen, 1, [(network_id, destination)]))
    for prefix in {route.destination for route in router.routes}:
        net = ip_network(prefix)
        if to.version != net.version or to not in net:
            continue
        hops = []
        for route in (one for one in router.routes if one.destination == prefix):
            if route.network_id is not None:
                hops.append((route.network_id, destination))
            elif route.nexthop is not None:
                hop = ip_address(route.nexthop)
                on = [
                    (subnet.prefixlen, id)
                    for subnet, id in subnets
                    if subnet.version == hop.version and hop in subnet
                ]
                hops.append((max(on)[1], route.nexthop))
        ways.append((net.prefixlen, 0, hops))
    if not ways:
        return None
    return max(ways)[2] or None


@given(st.data())
def test_flows_deliver_where_arithmetic_says(data: st.DataObject) -> None:
    """To one of the next hops' owners, routed once; or nobody, and the agent is told why."""
    router = data.draw(routers())
    world = World(router)
    interface = data.draw(st.sampled_from(router.interfaces))
    sender = f"{interface.network_id}-1"
    own = {address.ip for one in router.interfaces for address in one.addresses}
    for destination in data.draw(
        st.lists(st.sampled_from(DESTINATIONS), min_size=1, max_size=8, unique=True)
    ):
        source = SOURCE_V6 if ":" in destination else SOURCE_V4
        hops = data.draw(st.sampled_from((64, 64, 2, 1)))
        frame = datagram((mac_of(interface.network_id, 1), interface.mac), (source, destination), hops=hops)

        delivered, reasons = world.send(sender, frame)

        canonical = str(ip_address(destination))
        if canonical in own:
            assert (delivered, reasons) == ([], [])
            continue
        if hops == 1:
            assert (delivered, reasons) == ([], [Reason.TTL_EXCEEDED])
            continue
        nexts = best(router, canonical)
        if nexts is None:
            assert (delivered, reasons) == ([], [Reason.NO_ROUTE])
            continue
        outcomes: list[tuple[list[tuple[str, bytes]], list[int]]] = []
        for network_id, address in nexts:
            owner = next(
                (
                    port
                    for port in world.view.ports.values()
                    if port.network_id == network_id and address in {one.ip for one in port.addresses}
                ),
                None,
            )
            macs = {one.mac for one in router.interfaces if one.network_id == network_id}
            via = macs.pop() if macs else router.interfaces[0].mac
            if owner is None:
                outcomes.append(([], [Reason.HOST_UNREACHABLE]))
            else:
                outcomes.append(([(owner.id, routed(frame, via, owner.mac))], []))
        assert (delivered, reasons) in outcomes
