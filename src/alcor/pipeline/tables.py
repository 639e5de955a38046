"""The shape of the pipeline, declared once: tables, registers, flags, priorities, cookies.

Numbers leave gaps, so that later features (access lists, connection tracking, routing, NAT, QoS) get their place
without renumbering: a table that moves would rewrite all its flows on every host. A packet only ever moves forward:
`Resubmit` to a lower or equal table is refused by `prerequisite.check`, so no packet can loop.
"""

from enum import IntEnum
from typing import NamedTuple

from alcor.pipeline.flow import Field


class Table(IntEnum):
    """The tables in packet order. A packet that nothing matches is dropped, in every table."""

    CLASSIFY = 0
    PORT_SECURITY = 4
    PORT_SECURITY_ND = 6
    EGRESS_QOS = 8
    EGRESS_PACKETS = 9
    PUNT = 10
    PUNT_PORT = 12
    METADATA = 14
    METADATA_PORT = 15
    ARP_ND = 16
    ARP_ND_REPLY = 18
    ND_REPLY = 20
    EGRESS_CT = 24
    EGRESS_SET = 25
    EGRESS_RULES = 26
    EGRESS_ALLOWED = 27
    ACL_OUT = 30
    FIREWALL_OUT = 31
    FIREWALL_OUT_RULES = 32
    FIREWALL_OUT_VERDICT = 33
    L3_ADMIT = 34
    UN_NAT = 36
    ROUTE = 38
    FIREWALL = 40
    EXTERNAL = 44
    SNAT = 46
    HAIRPIN = 48
    HAIRPIN_ROUTE = 49
    NEXT_HOP = 50
    ROUTED = 52
    TOO_LARGE = 54
    ICMP_ERROR = 56
    L2 = 60
    L2_REMOTE = 64
    RELAY = 65
    PROVIDER = 66
    FLOOD = 68
    ACL_IN = 72
    INGRESS_CT = 74
    INGRESS_SET = 75
    INGRESS_RULES = 76
    INGRESS_ALLOWED = 77
    FIREWALL_IN = 78
    FIREWALL_IN_VERDICT = 79
    INGRESS_QOS = 80
    INGRESS_PACKETS = 82
    FIREWALL_IN_RULES = 84
    ASK = 86
    ASK_SOURCE = 87
    ASK_HOST = 88
    OUTPUT = 90
    REPLY = 94


TABLE_TEXTS: dict[Table, str] = {
    Table.CLASSIFY: (
        "Where a packet comes from: a frame from a VM's port gets its port and network key (a tagged one those of the "
        "trunk's subport); one from a tunnel gets the network key of its (tunnel type, tun_id), one from a provider "
        "bridge that of its VLAN; both skip to L3_ADMIT. A closed port has no flow here."
    ),
    Table.PORT_SECURITY: (
        "Only the port's own MAC and addresses may be sent from it (Ethernet, IPv4, IPv6, ARP), and no DHCP server's "
        "or router's messages. A port with port security off passes whole."
    ),
    Table.PORT_SECURITY_ND: "IPv6 that passed: link-layer options and targets of neighbour discovery are its own.",
    Table.EGRESS_QOS: "What a VM may send: the meter of its bandwidth.",
    Table.EGRESS_PACKETS: "The meter of its packet rate (a flow has one meter), and its DSCP mark.",
    Table.PUNT: "Is this a message to our DHCP server, router, name server or metadata service, and is one wanted?",
    Table.PUNT_PORT: "To the agent, through the port's meter.",
    Table.METADATA: (
        "For the host's metadata service or name server: to the port it really listens on; from there: to the port "
        "that was asked. Nothing else that is sent to their addresses gets anywhere."
    ),
    Table.METADATA_PORT: "To the host's services, through the port's meter, from an address that names the port.",
    Table.ARP_ND: (
        "Looks up the MAC of an ARP or ND target among the network's neighbours (local and remote), routers and "
        "servers; a probe for the sender's own address meets silence; an unknown target goes on."
    ),
    Table.ARP_ND_REPLY: "Turns an ARP request into its reply, and a solicitation into an advertisement.",
    Table.ND_REPLY: (
        "The target link-layer option: it may be set only where the match says 'advertisement', hence a table."
    ),
    Table.EGRESS_CT: (
        "Connection tracking in the sending port's zone, and the port's policy; discovery on the link and DHCP pass, "
        "as does all from a port without port security."
    ),
    Table.EGRESS_SET: (
        "Replies and related packets pass, unless their connection is blocked. Else the rules are asked, once for each "
        "set of addresses (of a remote group or address group) that the destination is in; then the verdict."
    ),
    Table.EGRESS_RULES: "Rules of the sender's groups: they only set a flag.",
    Table.EGRESS_ALLOWED: (
        "The verdict: a new connection that is allowed is committed, one that is allowed again is no longer blocked; a "
        "known one that is not allowed any more is blocked, and all else is dropped."
    ),
    Table.ACL_OUT: "Network ACLs of the subnet a packet leaves.",
    Table.FIREWALL_OUT: (
        "Firewall groups of the port and, for what leaves its subnet, of the router's interface there: replies pass, "
        "else the rules of each are asked, then the verdict. Ports without firewalls go on."
    ),
    Table.FIREWALL_OUT_RULES: "Rules of firewall groups, in order: they only set a flag.",
    Table.FIREWALL_OUT_VERDICT: "What all allow goes on; a known connection that one refuses is blocked.",
    Table.L3_ADMIT: "For a router's MAC: to the router; else L2.",
    Table.UN_NAT: "From outside: back through the router's translation, and floating IPs to their fixed addresses.",
    Table.ROUTE: (
        "Longest prefix of the router's table: out network, next hop, source MAC, TTL; answers echo to the router."
    ),
    Table.FIREWALL: "Of what is routed nothing is asked here: firewall groups are judged at the ports.",
    Table.EXTERNAL: (
        "What ROUTE sends out, by gateway number and next hop, with TTL, MACs and network as they came: translated to "
        "a floating IP or the gateway's address if this host does that, in the router's zone; else by tunnel to the "
        "host that serves the gateway."
    ),
    Table.SNAT: (
        "After the translation: only with an address of the router's own, and with that address's MAC; what the "
        "translation refused still has a tenant's address and ends here."
    ),
    Table.HAIRPIN: "Towards an address that this host translates: back at once, in its router's zone.",
    Table.HAIRPIN_ROUTE: "From HAIRPIN to the inner network of that router. What was not translated ends here.",
    Table.NEXT_HOP: "The MAC of the next hop; unknown ones on external networks are asked for by the agent.",
    Table.ROUTED: "Routed packets are measured where a router's networks have different MTUs; then L2.",
    Table.TOO_LARGE: (
        "What is larger than the network's MTU: IPv6 goes to the agent; of IPv4 a copy does, which answers if it may "
        "not be fragmented (a switch can neither see that nor do it), and the packet goes on."
    ),
    Table.ICMP_ERROR: (
        "What a router could not send on, with the reason in a register: to the agent, through the meter of the port "
        "it came from. From elsewhere it ends here."
    ),
    Table.L2: (
        "Local delivery by MAC; broadcast and multicast, at a relay also what came to be copied to all; all else "
        "from here goes on; from a tunnel or provider bridge it goes to the local ports without port security, if "
        "there are any."
    ),
    Table.L2_REMOTE: (
        "By MAC to the VTEP of the port's host, or to the provider bridge. An unknown MAC: to the ports without port "
        "security, here and elsewhere, and to the provider bridge; too large for a tunnel: dropped."
    ),
    Table.RELAY: "Of a network that this host relays: into the tunnel, but not back to where it came from.",
    Table.PROVIDER: "To the provider bridge with the network's VLAN; routed packets with the host's own MAC.",
    Table.FLOOD: (
        "One part of a network's flood: copies to local ports, to the other hosts of the network, or one to a relay."
    ),
    Table.ACL_IN: "Network ACLs of the subnet a packet enters.",
    Table.INGRESS_CT: "As EGRESS_CT, for the receiving port.",
    Table.INGRESS_SET: "As EGRESS_SET, for the source address.",
    Table.INGRESS_RULES: "Rules of the receiver's groups, as in EGRESS_RULES.",
    Table.INGRESS_ALLOWED: "As EGRESS_ALLOWED, in the receiver's zone.",
    Table.FIREWALL_IN: "As FIREWALL_OUT, for what the port gets and what enters its subnet.",
    Table.FIREWALL_IN_VERDICT: "As FIREWALL_OUT_VERDICT.",
    Table.INGRESS_QOS: "What a VM may be sent: the meter of its bandwidth. Copies of a flood are not metered.",
    Table.INGRESS_PACKETS: "The meter of the packet rate of what a VM may be sent.",
    Table.FIREWALL_IN_RULES: "Asked by FIREWALL_IN, as FIREWALL_OUT_RULES.",
    Table.ASK: (
        "What lacks knowledge that is held on demand, with the reason in a register: to the agent, through the meter "
        "of look-ups of the port it came from, or of all that did not come from a port."
    ),
    Table.ASK_SOURCE: "The same, about who sends to a port, through a meter of the receiving port.",
    Table.ASK_HOST: "To the agent, through the meter of all look-ups of the host.",
    Table.OUTPUT: "To the port with the egress key, with the tag of a trunk's subport.",
    Table.REPLY: "Responders' packets: back to where the question came from.",
}


class Register(NamedTuple):
    """What a field carries between tables."""

    field: Field
    text: str


NETWORK = Field.METADATA
INGRESS = Field.REG14
EGRESS = Field.REG15
FLAGS = Field.REG10
PART = Field.REG11
RESPONDER_MAC = Field.XXREG1
NEXT_HOP = Field.XXREG0
ROUTER = Field.REG9
GATEWAY = Field.REG8
REASON = Field.REG4
LACK = Field.REG5
POLICY = (Field.REG0, Field.REG1)
SET = (Field.REG2, Field.REG3)

REGISTERS: tuple[Register, ...] = (
    Register(
        NETWORK, "network key: host-local, one per network, never a VNI (VNIs are unique per type only)"
    ),
    Register(INGRESS, "ingress port key: host-local, 0 if the packet came from a tunnel or provider bridge"),
    Register(EGRESS, "egress port key"),
    Register(FLAGS, "flags, see below"),
    Register(PART, "part of a flood"),
    Register(
        RESPONDER_MAC,
        "scratch: the MAC a responder answers with, in the low 48 bits (reg6, reg7); above: a router's",
    ),
    Register(REASON, "from ROUTE on, to ICMP_ERROR: why a router did not send it on (`icmp_error.Reason`)"),
    Register(LACK, "to ASK and ASK_SOURCE: what is asked about (`on_demand.Lack`)"),
    Register(NEXT_HOP, "from ROUTE to NEXT_HOP: the next hop's address (IPv4 in reg3)"),
    Register(ROUTER, "from L3_ADMIT on: router key: host-local; its NAT zone is `ROUTER_ZONES_FROM` + key"),
    Register(GATEWAY, "from ROUTE to SNAT, on the way out: number of the router's gateway, the first is 1"),
    Register(Field.REG13, "scratch of groups: conntrack zone of the port under test"),
    Register(POLICY[0], "in *_CT to *_RULES: high half of the policy (the port's set of groups, hashed)"),
    Register(POLICY[1], "low half of the policy"),
    Register(
        SET[0],
        "in *_SET to *_RULES: high half of a set of addresses that the other end is in (hashed), or 0",
    ),
    Register(SET[1], "low half of the set"),
)


class Flag(IntEnum):
    """Bits of the flags register."""

    FROM_TUNNEL = 1 << 0
    FROM_PROVIDER = 1 << 1
    ROUTED = 1 << 2
    HAIRPINNED = 1 << 3
    TOO_LARGE = 1 << 4
    ALLOWED = 1 << 5
    RELAYED = 1 << 6
    RESOLVED = 1 << 7


FLAG_TEXTS: dict[Flag, str] = {
    Flag.FROM_TUNNEL: "came from another host: delivered to local ports only, never to a tunnel again",
    Flag.FROM_PROVIDER: "came from a provider bridge: never sent there again on the same network",
    Flag.ROUTED: "a router of this host has sent it on",
    Flag.HAIRPINNED: "translated towards a floating IP of this host",
    Flag.TOO_LARGE: "larger than the MTU of the network it goes to",
    Flag.RELAYED: (
        "at a relay: sent to it to be answered, addressed or copied; in what is punted: a relay has the packet"
    ),
    Flag.RESOLVED: "sent again by the agent, which has asked: what is unknown still is nobody's",
    Flag.ALLOWED: "a rule of the policy under test allows it; from *_CT to *_ALLOWED, and in FIREWALL_*",
}


class ConnectionMark(IntEnum):
    """Bits of ct_mark in the zones of ports."""

    BLOCKED = 1 << 0
    FIREWALL_BLOCKED = 1 << 1
    KNOWN = 1 << 2


CONNECTION_MARK_TEXTS: dict[ConnectionMark, str] = {
    ConnectionMark.BLOCKED: "its opener was refused by the port's security groups: no reply passes",
    ConnectionMark.FIREWALL_BLOCKED: "its opener was refused by a firewall group: no reply passes",
    ConnectionMark.KNOWN: "committed: tells a new connection from one that was not answered yet",
}


class Priority(IntEnum):
    """Bands. Inside a table, flows of one band never overlap (tested), so their order cannot matter."""

    MISS = 0
    UNKNOWN = 40
    FALLBACK = 50
    KNOWN = 55
    CLAIM = 60
    ROUTER = 75
    NORMAL = 100
    FROM_PROVIDER = 125
    OUTER = 150
    SPECIFIC = 200
    GUARD = 300
    PASS = 400
    TRACKED = 500


PRIORITY_TEXTS: dict[Priority, str] = {
    Priority.MISS: "what to do when nothing else matches",
    Priority.UNKNOWN: "what nobody is known to have, in one network",
    Priority.FALLBACK: "holds where nobody better is known: a server's address may be a neighbour's",
    Priority.KNOWN: "a MAC of a port of this host: never unknown, also while the port is closed",
    Priority.CLAIM: "a claimed address: above a server's, below all that were given to somebody",
    Priority.ROUTER: "a router's own addresses: above a server's, below those that a port was given",
    Priority.NORMAL: "the table's look-up",
    Priority.FROM_PROVIDER: "what came from a provider bridge is not answered for neighbours: they answer themselves",
    Priority.OUTER: "addresses that this host translates",
    Priority.SPECIFIC: "an exception to the look-up",
    Priority.GUARD: "drops that no address of a port excuses",
    Priority.PASS: "port security off",
    Priority.TRACKED: "port security off, and a firewall",
}


class UnitKind(IntEnum):
    """What a flow is about; in its cookie."""

    SHARED = 1
    PORT = 2
    NETWORK = 3
    FLOOD = 4
    NEIGHBOUR = 5
    POLICY = 6
    SET = 7
    ROUTER = 8
    GATEWAY = 9
    FLOATING_IP = 10
    ACL = 11
    FIREWALL = 12
    CLAIM = 13
    ARRIVAL = 16
    DEMAND = 17


UNIT_TEXTS: dict[UnitKind, str] = {
    UnitKind.SHARED: "the same on every host",
    UnitKind.PORT: "a local port",
    UnitKind.NETWORK: "a network: tunnel classification, punts, server addresses",
    UnitKind.FLOOD: "a network's broadcast and multicast",
    UnitKind.NEIGHBOUR: "a port as its network sees it: ARP and ND answers, the way to its host",
    UnitKind.POLICY: "the rules of a set of security groups that local ports have",
    UnitKind.SET: "an address or prefix that members of remote groups or address groups have",
    UnitKind.ROUTER: "a router: its addresses, interfaces and routes",
    UnitKind.GATEWAY: "a router's gateway on this host",
    UnitKind.FLOATING_IP: "a floating IP that this host translates",
    UnitKind.ACL: "a network ACL",
    UnitKind.FIREWALL: "a firewall group",
    UnitKind.CLAIM: "an address that a port claims",
    UnitKind.ARRIVAL: "the connections of a port that has come by live migration",
    UnitKind.DEMAND: "the way of look-ups to the agent, while anything is held on demand",
}

# cookie = 0xa1 ‖ kind (8 bits) ‖ hash of the unit (48 bits). The marker says "ours", also beside flows that others
# put on an adopted bridge, and keeps a cookie from ever being 0.
COOKIE_OURS = 0xA1 << 56
COOKIE_OURS_MASK = 0xFF << 56
COOKIE_KIND_SHIFT = 48
COOKIE_HASH_BYTES = 6

# Conntrack zones are 16 bits: a port's zone is its key (so port keys end here), a router's is this plus its key.
ROUTER_ZONES_FROM = 1 << 15  # so that a port key and the use of a meter fit the 18 bits of a meter
PORT_KEY_MAX = ROUTER_ZONES_FROM - 1
ROUTER_KEY_MAX = 65_535 - ROUTER_ZONES_FROM

# Copies in one flow's actions: at most 256 × 56 bytes, far from the 64 KB at which Open vSwitch refuses a flow.
COPIES_PER_FLOW_MAX = 256
# At a relay a part has a flow for each of its hosts too, with all others: hosts × this many copies. A packet looks
# up as many parts as there are, and Open vSwitch lets it look up 4,096 times: enough for 40,000 hosts.
COPIES_PER_RELAYED_FLOW_MAX = 32
# Parts of a flood are numbered from these: to local ports, to other hosts.
LOCAL_PARTS_FROM = 1
REMOTE_PARTS_FROM = 1 << 16
# The same of unknown unicast: to the ports without port security, to the hosts that hold such ports.
UNKNOWN_LOCAL_PARTS_FROM = 2 << 16
UNKNOWN_REMOTE_PARTS_FROM = 3 << 16

# A guest that boots sends about ten DHCP, DHCPv6 and router solicitations in a second; the agent answers 4,000/s for
# the whole host (measured), so a port may not take more than its share.
PUNT_RATE_PPS = 20
PUNT_BURST_PACKETS = 40
# Metadata and name service are the host's own sockets: a boot reads some 100 packets of metadata at once, and other
# clouds let a port ask about a thousand names a second.
SERVICE_RATE_PPS = 1000
SERVICE_BURST_PACKETS = 1000


# A look-up is a first packet to or from a peer: more of a port is a scan, or a server that wakes up and is served by
# the relay meanwhile. Of the whole host: half of what an agent can read (measured: 4,000/s), so that DHCP is answered.
ASK_RATE_PPS = 100
ASK_BURST_PACKETS = 100
ASK_HOST_RATE_PPS = 2_000
ASK_HOST_BURST_PACKETS = 1_000


class MeterUse(IntEnum):
    """What a port's meter is for; `meter_id` makes its number. Others' meters on an adopted bridge are below.

    LIMIT is of floating IPs and gateways, which have no port key: `qos.limit_meter_id` makes its number.
    """

    SERVICE = 1
    PUNT = 2
    EGRESS_RATE = 3
    INGRESS_RATE = 4
    EGRESS_PACKETS = 5
    INGRESS_PACKETS = 6
    LIMIT = 7


_METER_USE_SHIFT = 15
# Of look-ups a port has two meters, below all others; ports whose keys are 8,192 apart share them.
_ASK_METERS_FROM, _ASK_KEY_BITS = 1 << 14, 13
METERS_OURS = range(_ASK_METERS_FROM, (max(MeterUse) + 1) << _METER_USE_SHIFT)
"""Numbers of meters that are ours to change and delete: a meter has no cookie. The switch has 18 bits of them."""

GROUPS_OURS = range(0xA1 << 24, 0xA2 << 24)
"""Numbers of groups that are ours to change and delete."""


class GroupUse(IntEnum):
    """What a router's group is for; `group_id` makes its number."""

    EQUAL_COST = 0
    GATEWAY = 1


GROUP_SLOTS = 1 << 8
"""How many groups of one use a router may have."""


def group_id(use: GroupUse, router_key: int, slot: int = 0) -> int:
    """The number of a router's group. Raises: ValueError if key or slot is out of range."""
    if not 0 < router_key <= ROUTER_KEY_MAX or not 0 <= slot < GROUP_SLOTS:
        raise ValueError(f"router key {router_key} or slot {slot} is out of range")
    return GROUPS_OURS.start | use << 23 | router_key << 8 | slot


def meter_id(use: MeterUse, port_key: int) -> int:
    """The number of a port's meter. Raises: ValueError if the key has more than 15 bits."""
    if not 0 <= port_key < 1 << _METER_USE_SHIFT:
        raise ValueError(f"port key {port_key} has more than {_METER_USE_SHIFT} bits")
    return use << _METER_USE_SHIFT | port_key


def ask_meter_id(port_key: int, *, is_about_sender: bool) -> int:
    """The number of a port's meter of look-ups: of what it sends, or about who sends to it."""
    return _ASK_METERS_FROM | is_about_sender << _ASK_KEY_BITS | port_key & ((1 << _ASK_KEY_BITS) - 1)


# No port has key 0.
ASK_HOST_METER = meter_id(MeterUse.SERVICE, 0)
ASK_ELSEWHERE_METER = meter_id(MeterUse.EGRESS_PACKETS, 0)
