"""Metadata service and name server of the host, as a VM sees them (tables PUNT, METADATA, METADATA_PORT).

A VM asks well-known link-local addresses; the agent listens on an internal port of the switch. In between the flows
translate without state: the destination becomes the host's own (so that the host need not own the well-known addresses,
which its own cloud may serve), the source becomes a *near* address that names the port and which of its addresses
asked, so that tenants may overlap; what goes back to a near address is turned round. Neither next hop nor rules of
groups matter: a question never gets as far. Nobody else is ever reached at these addresses, on any port.
"""

from collections.abc import Iterator

from alcor.goalstate.item import RegionItem
from alcor.model.address import Ip, Mac, ip_int, ip_version, link_local, mac_int
from alcor.pipeline.feature import Feature, ItemChange, Local, LocalChange
from alcor.pipeline.flow import Action, Field, Meter, MeterSpec, Output, Resubmit, SetField, match
from alcor.pipeline.live import LiveNetwork, LivePort, live_port
from alcor.pipeline.port_security import ETH_IPV4, ETH_IPV6, ICMPV6, NEIGHBOUR_SOLICITATION, UDP
from alcor.pipeline.tables import (
    EGRESS,
    INGRESS,
    NETWORK,
    SERVICE_BURST_PACKETS,
    SERVICE_RATE_PPS,
    MeterUse,
    Priority,
    Table,
    meter_id,
)
from alcor.pipeline.unit import Rule, Unit, port_unit
from alcor.pipeline.view import Allocation, View

# Whom VMs ask. Source: RFC 3927 for the first's prefix; what other clouds and the reference serve for the others.
SERVICE_IPV4 = Ip("169.254.169.254")
SERVICE_IPV6 = (Ip("fe80::a9fe:a9fe"), Ip("fd00:ec2::254"))

# Who is really asked: the agent, on an internal port of this name by default, with this MAC and these addresses.
# RFC 6598 (shared address space) and RFC 4193 (a fixed local prefix): never a tenant's packet's, always this port's.
SERVER_DEVICE = "alcor-md"
SERVER_MAC = "02:a1:c0:a9:fe:a9"
SERVER_IPV4 = Ip("100.127.128.1")
SERVER_IPV6 = Ip("fda1:c0a9:fea9::1")
NEAR_IPV4_FROM = ip_int(Ip("100.64.0.0"))
NEAR_IPV6_FROM = ip_int(Ip("fda1:c0a9:fea9:1::"))
NEAR_PREFIXES = ("100.64.0.0/10", "fda1:c0a9:fea9:1::/64")

HTTP, DNS = 80, 53
# Not 80 and 53 themselves: who listens there on all addresses of a host is not for tenants, with or without an agent.
SERVER_HTTP, SERVER_DNS = 9780, 9753

_TCP = 6
_KEY_BITS = 15
_INDEX_MAX = 126  # the addresses of index 127 are the server's
_INDEX_SHIFT_V6, _SERVICE_SHIFT_V6 = 32, 48


def near_ipv4(key: int, index: int) -> int:
    """The near address of a port's IPv4 address number `index` (0 … 126)."""
    return NEAR_IPV4_FROM | index << _KEY_BITS | key


def near_ipv6(key: int, index: int, service: int) -> int:
    """The near address of a port's IPv6 address number `index` that asks `SERVICE_IPV6[service]`."""
    return NEAR_IPV6_FROM | service << _SERVICE_SHIFT_V6 | index << _INDEX_SHIFT_V6 | key


def key_of(near: str) -> int | None:
    """The key of the port that asks from a near address; None if it is none."""
    number = ip_int(Ip(near))
    if ip_version(Ip(near)) == 4:
        is_near = number >> 22 == NEAR_IPV4_FROM >> 22 and number >> _KEY_BITS & 127 <= _INDEX_MAX
        return number & (1 << _KEY_BITS) - 1 if is_near else None
    return number & 0xFFFF_FFFF if number >> 64 == NEAR_IPV6_FROM >> 64 else None


def _shared() -> Iterator[Rule]:
    """The services' ports, there and back. What is asked has no egress key yet, what comes back no ingress key."""
    for eth_type in (ETH_IPV4, ETH_IPV6):
        for proto, outer, inner in (
            (_TCP, HTTP, SERVER_HTTP),
            (_TCP, DNS, SERVER_DNS),
            (UDP, DNS, SERVER_DNS),
        ):
            name = "tcp" if proto == _TCP else "udp"
            source, target = Field[f"{name}_src".upper()], Field[f"{name}_dst".upper()]
            about = {"eth_type": eth_type, "ip_proto": proto}
            asked = match(**about, **{f"{name}_dst": outer, EGRESS.name.lower(): 0})
            on: tuple[Action, ...] = (SetField(target, inner), Resubmit(Table.METADATA_PORT))
            yield Rule(Table.METADATA, Priority.NORMAL, asked, on)
            answered = match(**about, **{f"{name}_src": inner, INGRESS.name.lower(): 0})
            on = (SetField(source, outer), Resubmit(Table.OUTPUT))
            yield Rule(Table.METADATA, Priority.NORMAL, answered, on)
    # Who has the services' addresses is answered as for any other.
    solicitation = match(eth_type=ETH_IPV6, ip_proto=ICMPV6, icmpv6_type=NEIGHBOUR_SOLICITATION)
    yield Rule(Table.PUNT, Priority.NORMAL, solicitation, (Resubmit(Table.ARP_ND),))


def _network(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    """Whatever is sent to the services' addresses ends here. Three flows; a DHCP renewal comes before."""
    to_service = (Resubmit(Table.METADATA),)
    key = {NETWORK.name.lower(): network.key}
    found = [match(**key, eth_type=ETH_IPV4, ipv4_dst=ip_int(SERVICE_IPV4))]
    found += [match(**key, eth_type=ETH_IPV6, ipv6_dst=ip_int(ip)) for ip in SERVICE_IPV6]
    for wanted in found:
        yield Rule(Table.PUNT, Priority.FALLBACK, wanted, to_service)


def _port(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    """There and back for each of the port's own addresses: 2 flows per IPv4 address, 4 per IPv6 address."""
    if not allocation.metadata_ofport or view.region is None:
        return
    ips = list(dict.fromkeys(Ip(address.ip) for address in port.item.addresses))
    ipv4 = [ip for ip in ips if ip_version(ip) == 4]
    ipv6 = dict.fromkeys([ip for ip in ips if ip_version(ip) == 6] + [link_local(Mac(port.item.mac))])
    responder = mac_int(Mac(view.region.responder_mac))
    for index, ip in enumerate(ipv4[: _INDEX_MAX + 1]):
        ends = (ip_int(ip), ip_int(SERVICE_IPV4), near_ipv4(port.key, index), ip_int(SERVER_IPV4))
        yield from _both_ways(port, allocation.metadata_ofport, responder, ETH_IPV4, ends)
    for index, ip in enumerate(ipv6):
        for service, asked in enumerate(SERVICE_IPV6):
            ends = (ip_int(ip), ip_int(asked), near_ipv6(port.key, index, service), ip_int(SERVER_IPV6))
            yield from _both_ways(port, allocation.metadata_ofport, responder, ETH_IPV6, ends)


def _both_ways(
    port: LivePort, server_port: int, responder: int, eth_type: int, ends: tuple[int, int, int, int]
) -> Iterator[Rule]:
    """`ends`: the VM's address, the one it asks, the near address, the server's."""
    own, asked, near, server = ends
    if eth_type == ETH_IPV4:
        names, source, target = ("ipv4_src", "ipv4_dst"), Field.IPV4_SRC, Field.IPV4_DST
    else:
        names, source, target = ("ipv6_src", "ipv6_dst"), Field.IPV6_SRC, Field.IPV6_DST
    yield Rule(
        Table.METADATA_PORT,
        Priority.NORMAL,
        match(**{INGRESS.name.lower(): port.key, names[0]: own, names[1]: asked}, eth_type=eth_type),
        (
            Meter(_meter_of(port).id),
            SetField(Field.ETH_DST, mac_int(Mac(SERVER_MAC))),
            SetField(source, near),
            SetField(target, server),
            Output(server_port),
        ),
    )
    yield Rule(
        Table.CLASSIFY,
        Priority.NORMAL,
        match(**{names[1]: near}, eth_type=eth_type, in_port=server_port),
        (
            SetField(Field.ETH_SRC, responder),
            SetField(Field.ETH_DST, mac_int(Mac(port.item.mac))),
            SetField(source, asked),
            SetField(target, own),
            SetField(EGRESS, port.key),
            SetField(NETWORK, port.network.key),
            Resubmit(Table.METADATA),
        ),
    )


def _meter_of(port: LivePort) -> MeterSpec:
    return MeterSpec(meter_id(MeterUse.SERVICE, port.key), SERVICE_RATE_PPS, SERVICE_BURST_PACKETS)


def _meters(view: View, allocation: Allocation) -> Iterator[MeterSpec]:
    if not allocation.metadata_ofport or view.region is None:
        return
    for port_id in view.ports:
        port = live_port(port_id, view, allocation)
        if port is not None:
            yield _meter_of(port)


def _affected(change: ItemChange, view: View) -> set[Unit]:
    """The responder's MAC is in every port's flows; all else the core names. Cost: O(local ports), once in a life."""
    known = [item.responder_mac for item in (change.before, change.after) if isinstance(item, RegionItem)]
    is_same = len(known) == 2 and known[0] == known[1]
    return {port_unit(id) for id in view.ports} if known and not is_same else set()


def _found(change: LocalChange, view: View) -> set[Unit]:
    return {port_unit(id) for id in view.ports} if change.what is Local.METADATA else set()


HOST_SERVICE = Feature(
    "host service",
    shared=_shared,
    network=_network,
    port=_port,
    meters=_meters,
    affected=_affected,
    found=_found,
)
