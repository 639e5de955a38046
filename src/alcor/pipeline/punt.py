"""What the agent answers instead of the switch: DHCPv4, DHCPv6, router solicitations (tables PUNT and PUNT_PORT).

Punted only where a subnet of the network wants it (`wants_…`: the agent's answers follow the same predicates), so
that a tenant's own DHCP server or router works where ours is off. Unicast renewals are punted too.
"""

from collections.abc import Iterable, Iterator

from alcor.goalstate.item import SubnetItem
from alcor.model.address import Cidr, ip_version
from alcor.pipeline.flow import Action, Controller, Match, Meter, MeterSpec, Resubmit, match
from alcor.pipeline.live import LiveNetwork, LivePort
from alcor.pipeline.port_security import (
    DHCPV4_CLIENT,
    DHCPV4_SERVER,
    DHCPV6_CLIENT,
    DHCPV6_SERVER,
    ETH_IPV4,
    ETH_IPV6,
    ICMPV6,
    ROUTER_SOLICITATION,
    UDP,
)
from alcor.pipeline.tables import (
    INGRESS,
    NETWORK,
    PUNT_BURST_PACKETS,
    PUNT_RATE_PPS,
    MeterUse,
    Priority,
    Table,
    meter_id,
)
from alcor.pipeline.unit import Rule

_DHCPV6_MODES = ("dhcpv6-stateful", "dhcpv6-stateless")


def wants_dhcpv4(subnets: Iterable[SubnetItem]) -> bool:
    """Whether any of the subnets has a DHCPv4 server of ours."""
    return any(subnet.enable_dhcp and ip_version(Cidr(subnet.cidr)) == 4 for subnet in subnets)


def wants_dhcpv6(subnets: Iterable[SubnetItem]) -> bool:
    """Whether any of the subnets has a DHCPv6 server of ours."""
    return any(subnet.enable_dhcp and subnet.ipv6_address_mode in _DHCPV6_MODES for subnet in subnets)


def wants_advertisement(subnets: Iterable[SubnetItem]) -> bool:
    """Whether we advertise any of the subnets. No `ipv6_ra_mode` means that a router of the tenant's does."""
    return any(subnet.ipv6_ra_mode is not None for subnet in subnets)


def shared_rules() -> Iterator[Rule]:
    """All that is not for us goes on."""
    yield Rule(Table.PUNT, Priority.MISS, match(), (Resubmit(Table.ARP_ND),))


def network_rules(network: LiveNetwork) -> Iterator[Rule]:
    """What is punted in the network. Cost: at most 3 flows."""
    subnets = network.knowledge.subnets.values()
    wanted: list[Match] = []
    key = {NETWORK.name.lower(): network.key}
    if wants_dhcpv4(subnets):
        ports = {"udp_src": DHCPV4_CLIENT, "udp_dst": DHCPV4_SERVER}
        wanted.append(match(**key, eth_type=ETH_IPV4, ip_proto=UDP, **ports))
    if wants_dhcpv6(subnets):
        ports = {"udp_src": DHCPV6_CLIENT, "udp_dst": DHCPV6_SERVER}
        wanted.append(match(**key, eth_type=ETH_IPV6, ip_proto=UDP, **ports))
    if wants_advertisement(subnets):
        wanted.append(match(**key, eth_type=ETH_IPV6, ip_proto=ICMPV6, icmpv6_type=ROUTER_SOLICITATION))
    for found in wanted:
        yield Rule(Table.PUNT, Priority.NORMAL, found, (Resubmit(Table.PUNT_PORT),))


def port_rules(port: LivePort) -> Iterator[Rule]:
    """To the agent, through the port's meter. One flow; its meter must be there before it."""
    actions: tuple[Action, ...] = (Meter(meter_of(port).id), Controller())
    yield Rule(Table.PUNT_PORT, Priority.NORMAL, match(**{INGRESS.name.lower(): port.key}), actions)


def meter_of(port: LivePort) -> MeterSpec:
    """The meter on a port's punts; its id is made of the port's key."""
    return MeterSpec(meter_id(MeterUse.PUNT, port.key), PUNT_RATE_PPS, PUNT_BURST_PACKETS)
