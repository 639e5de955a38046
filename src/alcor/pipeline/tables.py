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
    PUNT = 10
    PUNT_PORT = 12
    ARP_ND = 16
    ARP_ND_REPLY = 18
    ND_REPLY = 20
    L2 = 60
    L2_REMOTE = 64
    FLOOD = 68
    OUTPUT = 90
    REPLY = 94


TABLE_TEXTS: dict[Table, str] = {
    Table.CLASSIFY: (
        "Where a packet comes from: an untagged frame from a VM's port gets its port and network key; one from a "
        "tunnel gets the network key of its (tunnel type, tun_id) and skips to L2. A closed port has no flow here."
    ),
    Table.PORT_SECURITY: (
        "Only the port's own MAC and addresses may be sent from it (Ethernet, IPv4, IPv6, ARP), and no DHCP server's "
        "or router's messages. A port with port security off passes whole."
    ),
    Table.PORT_SECURITY_ND: "IPv6 that passed: link-layer options and targets of neighbour discovery are its own.",
    Table.PUNT: "Is this a message to our DHCP server or router, and does a subnet of the network want one?",
    Table.PUNT_PORT: "To the agent, through the port's meter.",
    Table.ARP_ND: (
        "Looks up the MAC of an ARP or ND target among the network's neighbours (local and remote) and servers; "
        "a probe for the sender's own address meets silence; an unknown target goes on."
    ),
    Table.ARP_ND_REPLY: "Turns an ARP request into its reply, and a solicitation into an advertisement.",
    Table.ND_REPLY: (
        "The target link-layer option: it may be set only where the match says 'advertisement', hence a table."
    ),
    Table.L2: "Local delivery by MAC; broadcast and multicast; all else from a VM goes on, from a tunnel ends here.",
    Table.L2_REMOTE: "By MAC to the VTEP of the host that has the port. An unknown MAC ends here.",
    Table.FLOOD: "One part of a network's flood: copies to local ports, or to the other hosts of the network.",
    Table.OUTPUT: "To the port with the egress key. Later: what is checked on the way to a port comes before.",
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

REGISTERS: tuple[Register, ...] = (
    Register(
        NETWORK, "network key: host-local, one per network, never a VNI (VNIs are unique per type only)"
    ),
    Register(INGRESS, "ingress port key: host-local, 0 if the packet came from a tunnel"),
    Register(EGRESS, "egress port key"),
    Register(FLAGS, "flags, see below"),
    Register(PART, "part of a flood"),
    Register(RESPONDER_MAC, "scratch: the MAC a responder answers with, in the low 48 bits (reg6, reg7)"),
    Register(Field.XXREG0, "reserved: next hop"),
    Register(Field.REG8, "reserved: remote VTEP"),
    Register(Field.REG9, "reserved: router key"),
    Register(Field.REG12, "reserved: conntrack zone of a router"),
    Register(Field.REG13, "reserved: conntrack zone of the port under test"),
)


class Flag(IntEnum):
    """Bits of the flags register."""

    FROM_TUNNEL = 1 << 0


FLAG_TEXTS: dict[Flag, str] = {
    Flag.FROM_TUNNEL: "came from another host: delivered to local ports only, never to a tunnel again",
}


class Priority(IntEnum):
    """Bands. Inside a table, flows of one band never overlap (tested), so their order cannot matter."""

    MISS = 0
    FALLBACK = 50
    NORMAL = 100
    SPECIFIC = 200
    GUARD = 300
    PASS = 400


PRIORITY_TEXTS: dict[Priority, str] = {
    Priority.MISS: "what to do when nothing else matches",
    Priority.FALLBACK: "holds where nobody better is known: a server's address may be a neighbour's",
    Priority.NORMAL: "the table's look-up",
    Priority.SPECIFIC: "an exception to the look-up",
    Priority.GUARD: "drops that no address of a port excuses",
    Priority.PASS: "port security off",
}


class UnitKind(IntEnum):
    """What a flow is about; in its cookie."""

    SHARED = 1
    PORT = 2
    NETWORK = 3
    FLOOD = 4
    NEIGHBOUR = 5


UNIT_TEXTS: dict[UnitKind, str] = {
    UnitKind.SHARED: "the same on every host",
    UnitKind.PORT: "a local port",
    UnitKind.NETWORK: "a network: tunnel classification, punts, server addresses",
    UnitKind.FLOOD: "a network's broadcast and multicast",
    UnitKind.NEIGHBOUR: "a port as its network sees it: ARP and ND answers, the way to its host",
}

# cookie = 0xa1 ‖ kind (8 bits) ‖ hash of the unit (48 bits). The marker says "ours", also beside flows that others
# put on an adopted bridge, and keeps a cookie from ever being 0.
COOKIE_OURS = 0xA1 << 56
COOKIE_OURS_MASK = 0xFF << 56
COOKIE_KIND_SHIFT = 48
COOKIE_HASH_BYTES = 6

# Where a VM finds a DHCP server whose subnet has no gateway. Source: RFC 3927 (link-local, hence never a tenant's).
SERVER_ID_WITHOUT_GATEWAY = "169.254.169.254"

# Copies in one flow's actions: at most 256 × 56 bytes, far from the 64 KB at which Open vSwitch refuses a flow.
COPIES_PER_FLOW_MAX = 256
# Parts of a flood are numbered from these: to local ports, to other hosts.
LOCAL_PARTS_FROM = 1
REMOTE_PARTS_FROM = 1 << 16

# A guest that boots sends about ten DHCP, DHCPv6 and router solicitations in a second; the agent answers 4,000/s for
# the whole host (measured), so a port may not take more than its share.
PUNT_RATE_PPS = 20
PUNT_BURST_PACKETS = 40
