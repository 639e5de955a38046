"""Why a packet ends where it does: a closed list. A client may branch on every code; none is ever renamed.

The page docs/reference/trace.md is made from this list.
"""

from enum import StrEnum

from alcor.pipeline.tables import Table


class Verdict(StrEnum):
    """How the way of a packet ends."""

    DELIVERED = "delivered"
    LEFT = "left"
    ANSWERED = "answered"
    DROPPED = "dropped"


VERDICT_TEXTS: dict[Verdict, str] = {
    Verdict.DELIVERED: "a port of the region receives it",
    Verdict.LEFT: "it leaves the region by a provider bridge, with the next hop's MAC",
    Verdict.ANSWERED: "the host itself answers: ARP, a router's address, DHCP, DNS, metadata, an ICMP error",
    Verdict.DROPPED: "nobody receives it; `cause` says why",
}


class Cause(StrEnum):
    """Why a packet is dropped."""

    PORT_UNBOUND = "port_unbound"
    PORT_DOWN = "port_down"
    NETWORK_DOWN = "network_down"
    PORT_NOT_READY = "port_not_ready"
    NO_ADDRESS = "no_address"
    SPOOFED = "spoofed"
    NO_GATEWAY = "no_gateway"
    NO_NEIGHBOUR = "no_neighbour"
    EGRESS_GROUP = "egress_group"
    EGRESS_ACL = "egress_acl"
    ROUTER_DOWN = "router_down"
    NO_ROUTE = "no_route"
    TTL_EXCEEDED = "ttl_exceeded"
    FIREWALL = "firewall"
    NOT_TRANSLATED = "not_translated"
    NO_WAY_OUT = "no_way_out"
    NO_NEXT_HOP = "no_next_hop"
    TOO_LARGE = "too_large"
    UNKNOWN_DESTINATION = "unknown_destination"
    HOST_UNREACHABLE = "host_unreachable"
    INGRESS_ACL = "ingress_acl"
    INGRESS_GROUP = "ingress_group"
    LIMITED = "limited"
    SWITCH_CLOSED = "switch_closed"


CAUSE_TEXTS: dict[Cause, str] = {
    Cause.PORT_UNBOUND: "The port is on no host: it has no binding, its binding failed, or its host is not registered.",
    Cause.PORT_DOWN: "The port is administratively down.",
    Cause.NETWORK_DOWN: "The port's network is administratively down.",
    Cause.PORT_NOT_READY: "The host does not know all the port refers to yet, so the port is closed.",
    Cause.NO_ADDRESS: "The source port has no address of the destination's IP version.",
    Cause.SPOOFED: "Port security: this MAC or address is not the port's, or it plays DHCP server or router.",
    Cause.NO_GATEWAY: "The destination is not on the link, and nobody has the address of the subnet's gateway.",
    Cause.NO_NEIGHBOUR: "Nobody on the link has the address.",
    Cause.EGRESS_GROUP: "No rule of the sender's security groups allows it to be sent.",
    Cause.EGRESS_ACL: "A network ACL of the subnet it leaves denies it, or allows nothing of the kind.",
    Cause.ROUTER_DOWN: "The router is administratively down, or not known to the host.",
    Cause.NO_ROUTE: "The router has no route to the destination.",
    Cause.TTL_EXCEEDED: "Its TTL or hop limit came to its end: too many routers, or a loop of routes.",
    Cause.FIREWALL: "A firewall group of the port, or of a router on its network, denies it.",
    Cause.NOT_TRANSLATED: "It is for an address of the router itself, and no session or forwarding leads further.",
    Cause.NO_WAY_OUT: "The router has no gateway, no gateway host, or the host does not reach one.",
    Cause.NO_NEXT_HOP: "The next hop's address belongs to nobody the host knows.",
    Cause.TOO_LARGE: "It is larger than the MTU of the network it is to go to.",
    Cause.UNKNOWN_DESTINATION: "The network has no port with the destination MAC.",
    Cause.HOST_UNREACHABLE: "The destination's host has no tunnel or provider bridge by which it can be reached.",
    Cause.INGRESS_ACL: "A network ACL of the subnet it enters denies it, or allows nothing of the kind.",
    Cause.INGRESS_GROUP: "No rule of the receiver's security groups allows it to be received.",
    Cause.LIMITED: "A QoS limit leaves no room for it.",
    Cause.SWITCH_CLOSED: "The receiving port is not open in its switch: not plugged, or not yet known.",
}

BY_TABLE: dict[Table, Cause] = {
    Table.CLASSIFY: Cause.PORT_NOT_READY,
    Table.PORT_SECURITY: Cause.SPOOFED,
    Table.PORT_SECURITY_ND: Cause.SPOOFED,
    Table.EGRESS_QOS: Cause.LIMITED,
    Table.EGRESS_PACKETS: Cause.LIMITED,
    Table.ARP_ND: Cause.NO_NEIGHBOUR,
    Table.EGRESS_CT: Cause.EGRESS_GROUP,
    Table.EGRESS_SET: Cause.EGRESS_GROUP,
    Table.EGRESS_RULES: Cause.EGRESS_GROUP,
    Table.EGRESS_ALLOWED: Cause.EGRESS_GROUP,
    Table.ACL_OUT: Cause.EGRESS_ACL,
    Table.L3_ADMIT: Cause.ROUTER_DOWN,
    Table.UN_NAT: Cause.NOT_TRANSLATED,
    Table.ROUTE: Cause.NO_ROUTE,
    **{table: Cause.FIREWALL for table in Table if table.name.startswith("FIREWALL")},
    Table.EXTERNAL: Cause.NO_WAY_OUT,
    Table.SNAT: Cause.NO_WAY_OUT,
    Table.HAIRPIN: Cause.NOT_TRANSLATED,
    Table.HAIRPIN_ROUTE: Cause.NOT_TRANSLATED,
    Table.NEXT_HOP: Cause.NO_NEXT_HOP,
    Table.ROUTED: Cause.TOO_LARGE,
    Table.TOO_LARGE: Cause.TOO_LARGE,
    Table.L2: Cause.UNKNOWN_DESTINATION,
    Table.L2_REMOTE: Cause.UNKNOWN_DESTINATION,
    Table.PROVIDER: Cause.HOST_UNREACHABLE,
    Table.FLOOD: Cause.UNKNOWN_DESTINATION,
    # Not met by a trace, which knows every neighbour: where a switch has to ask.
    Table.RELAY: Cause.UNKNOWN_DESTINATION,
    Table.ASK: Cause.UNKNOWN_DESTINATION,
    Table.ASK_HOST: Cause.UNKNOWN_DESTINATION,
    Table.ASK_SOURCE: Cause.INGRESS_GROUP,
    Table.ACL_IN: Cause.INGRESS_ACL,
    Table.INGRESS_CT: Cause.INGRESS_GROUP,
    Table.INGRESS_SET: Cause.INGRESS_GROUP,
    Table.INGRESS_RULES: Cause.INGRESS_GROUP,
    Table.INGRESS_ALLOWED: Cause.INGRESS_GROUP,
    Table.INGRESS_QOS: Cause.LIMITED,
    Table.INGRESS_PACKETS: Cause.LIMITED,
    Table.OUTPUT: Cause.SWITCH_CLOSED,
}
"""The cause of a packet that ends in a table. Tables that always answer are not here."""

ANSWERING = frozenset(
    {
        Table.PUNT,
        Table.PUNT_PORT,
        Table.METADATA,
        Table.METADATA_PORT,
        Table.ARP_ND_REPLY,
        Table.ND_REPLY,
        Table.ICMP_ERROR,
        Table.REPLY,
    }
)
"""Tables from which packets go to the host's own services, or back as an answer."""
