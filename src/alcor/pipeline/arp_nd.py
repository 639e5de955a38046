"""ARP and neighbour discovery answered from knowledge (tables ARP_ND, ARP_ND_REPLY, ND_REPLY).

One small flow per address loads the owner's MAC; two shared tails build the reply. Nothing is learned. What is not
known goes on to L2: a broadcast then reaches the ports of the network, because a port with port security off may own
an address that no port was given. Link-local addresses are not given to ports either, so their owners answer.
"""

from collections.abc import Iterator

from alcor.goalstate.item import Neighbour
from alcor.model.address import Ip, Mac, ip_int, ip_version, link_local, mac_int
from alcor.pipeline.flow import (
    Field,
    Move,
    OutputInPort,
    Pop,
    Push,
    Resubmit,
    SetField,
    Term,
    match,
)
from alcor.pipeline.host_service import SERVICE_IPV4, SERVICE_IPV6
from alcor.pipeline.live import LiveNetwork, LivePort, owns_ip
from alcor.pipeline.port_security import (
    ETH_ARP,
    ETH_IPV6,
    ICMPV6,
    NEIGHBOUR_ADVERTISEMENT,
    NEIGHBOUR_SOLICITATION,
)
from alcor.pipeline.punt import wants_advertisement, wants_dhcpv4, wants_dhcpv6
from alcor.pipeline.tables import (
    INGRESS,
    NETWORK,
    RESPONDER_MAC,
    Priority,
    Table,
)
from alcor.pipeline.unit import Rule, in_network

_REQUEST, _REPLY = 1, 2
_TARGET_LINK_LAYER = 2
# Solicited and override: the answer is authoritative. Source: RFC 4861, section 4.4.
_SOLICITED_OVERRIDE = 0x6000_0000
_MAC_BITS, _ROUTER_BIT = 48, 31


_ARP_REQUEST = (Term(Field.ARP_OP, _REQUEST), Term(Field.ETH_TYPE, ETH_ARP))
_ND_REQUEST = (
    Term(Field.ETH_TYPE, ETH_IPV6),
    Term(Field.ICMPV6_CODE, 0),
    Term(Field.ICMPV6_TYPE, NEIGHBOUR_SOLICITATION),
    Term(Field.IP_PROTO, ICMPV6),
)
_TO_REPLY = Resubmit(Table.ARP_ND_REPLY)


def _question(asked_by: Term, ip: Ip) -> tuple[Term, ...]:
    """Who has `ip`? asked in a network or by a port. Terms are in the order of their names, as `match` has them."""
    if ip_version(ip) == 4:
        op, eth_type = _ARP_REQUEST
        return (op, Term(Field.ARP_TPA, ip_int(ip)), eth_type, asked_by)
    target = Term(Field.ND_TARGET, ip_int(ip))
    ends = (asked_by, target) if asked_by.field is NETWORK else (target, asked_by)
    return (*_ND_REQUEST, *ends)


def answer(network: LiveNetwork, ip: Ip, mac: str, priority: Priority, *, is_router: bool = False) -> Rule:
    """Whoever asks in the network for `ip` is told `mac`. One flow.

    `is_router`: the advertisement says so; who hears of a default router without it takes it off its routes (RFC 4861,
    section 7.2.5).
    """
    said = mac_int(Mac(mac)) | (1 << _MAC_BITS if is_router and ip_version(ip) == 6 else 0)
    actions = (SetField(RESPONDER_MAC, said), _TO_REPLY)
    return Rule(Table.ARP_ND, priority, _question(in_network(network.key), ip), actions)


def neighbour_rules(neighbour: Neighbour, network: LiveNetwork) -> Iterator[Rule]:
    """One flow per address."""
    for ip in dict.fromkeys(neighbour.ips):
        if owns_ip(neighbour, ip, network.knowledge):
            yield answer(network, Ip(ip), neighbour.mac, Priority.NORMAL)


def network_rules(network: LiveNetwork, responder_mac: str) -> Iterator[Rule]:
    """The addresses of our servers: each DHCPv4 server id, the source of advertisements and DHCPv6 answers, and those
    of metadata and name service (a VM without a router, or told that they are on its link, asks for them here).

    Below neighbours: an address that a port was given is the port's.
    """
    subnets = network.knowledge.subnets.values()
    addresses = {SERVICE_IPV4, *SERVICE_IPV6}
    for subnet in subnets:
        if wants_dhcpv4((subnet,)):
            addresses.add(Ip(subnet.gateway_ip or SERVICE_IPV4))
    if wants_dhcpv6(subnets) or wants_advertisement(subnets):
        addresses.add(link_local(Mac(responder_mac)))
    for ip in sorted(addresses):
        yield answer(network, ip, responder_mac, Priority.FALLBACK)


def port_rules(port: LivePort) -> Iterator[Rule]:
    """Silence about the port's own addresses: an answer would tell its duplicate detection that they are taken."""
    for ip in dict.fromkeys(address.ip for address in port.item.addresses):
        yield Rule(Table.ARP_ND, Priority.GUARD, _question(Term(INGRESS, port.key), Ip(ip)), ())


def shared_rules() -> Iterator[Rule]:
    """The tails, and what goes on."""
    on = (Resubmit(Table.EGRESS_CT),)
    yield Rule(Table.ARP_ND, Priority.MISS, match(), on)
    solicitation = match(
        eth_type=ETH_IPV6, ip_proto=ICMPV6, icmpv6_type=NEIGHBOUR_SOLICITATION, icmpv6_code=0
    )
    # Without a link-layer option there is no room for the reply's, and duplicate detection (RFC 4862) must be answered
    # to all nodes: both go on, and the owner itself answers.
    bare = match(
        eth_type=ETH_IPV6, ip_proto=ICMPV6, icmpv6_type=NEIGHBOUR_SOLICITATION, icmpv6_code=0, nd_sll=0
    )
    yield Rule(Table.ARP_ND, Priority.SPECIFIC, bare, on)
    to_asker = (
        Move(Field.ETH_SRC, Field.ETH_DST, _MAC_BITS),
        Move(RESPONDER_MAC, Field.ETH_SRC, _MAC_BITS),
    )
    yield Rule(
        Table.ARP_ND_REPLY,
        Priority.NORMAL,
        match(eth_type=ETH_ARP),
        (
            *to_asker,
            SetField(Field.ARP_OP, _REPLY),
            Move(Field.ARP_SHA, Field.ARP_THA, _MAC_BITS),
            Move(RESPONDER_MAC, Field.ARP_SHA, _MAC_BITS),
            Push(Field.ARP_TPA),
            Move(Field.ARP_SPA, Field.ARP_TPA, 32),
            Pop(Field.ARP_SPA),
            Resubmit(Table.REPLY),
        ),
    )
    yield Rule(
        Table.ARP_ND_REPLY,
        Priority.NORMAL,
        solicitation,
        (
            *to_asker,
            Move(Field.IPV6_SRC, Field.IPV6_DST, 128),
            Move(Field.ND_TARGET, Field.IPV6_SRC, 128),
            SetField(Field.ICMPV6_TYPE, NEIGHBOUR_ADVERTISEMENT),
            SetField(Field.ND_OPTIONS_TYPE, _TARGET_LINK_LAYER),
            SetField(Field.ND_RESERVED, _SOLICITED_OVERRIDE),
            Move(RESPONDER_MAC, Field.ND_RESERVED, 1, _MAC_BITS, _ROUTER_BIT),
            Resubmit(Table.ND_REPLY),
        ),
    )
    advertisement = match(
        eth_type=ETH_IPV6, ip_proto=ICMPV6, icmpv6_type=NEIGHBOUR_ADVERTISEMENT, icmpv6_code=0
    )
    yield Rule(
        Table.ND_REPLY,
        Priority.NORMAL,
        advertisement,
        (Move(RESPONDER_MAC, Field.ND_TLL, _MAC_BITS), Resubmit(Table.REPLY)),
    )
    yield Rule(Table.REPLY, Priority.MISS, match(), (OutputInPort(),))
