"""Packet cases of segments, trunks and claims; run on simulated switches and on real ones, as `packet_cases`.

Seven networks with the same MACs and addresses: three overlays with one number, two VLANs and a flat network on wires,
and one that stays on its host. Ports 1 and 2 are on h1, 3 on h2, 4 on h3 (whose VTEP is an IPv6 address).
"""

from dataclasses import dataclass, field, replace

from alcor.goalstate.fact import ClaimFact
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.port_value import AddressPair
from alcor.model.trunk import SubPort, Trunk
from tests.support.packet_cases import I1, I2, I3, I4, M1, M2, M3, M4, a_port
from tests.support.packet_site import Site
from tests.support.packets import BROADCAST, advertisement, arp, echo, is_at, udp, who_has

TYPES = {"vx": "vxlan", "gn": "geneve", "gr": "gre", "vl": "vlan", "wl": "vlan", "fl": "flat", "lo": "local"}
"""Network id → its type."""
NUMBER = 77
"""The segment of each but the second VLAN (78)."""
M_FOREIGN, I_FOREIGN = "02:00:00:00:66:66", "10.0.0.66"
VMAC, VIP, VIP6 = "00:00:5e:00:01:07", "10.0.0.200", "fd00:1::200"
OTHER_VIP = "10.0.0.201"
_ENDS = {"1": ("h1", M1, I1), "2": ("h1", M2, I2), "3": ("h2", M3, I3), "4": ("h3", M4, I4)}
WIRES = {"physnet": "br-wire", "flatnet": "br-flat"}


def _network(id: str, number: int, type_: str) -> Network:
    wire = {"vlan": "physnet", "flat": "flatnet"}.get(type_)
    return Network(
        id=id,
        name=id,
        mtu=1400,
        provider_network_type=type_,
        provider_segmentation_id=None if type_ in ("flat", "local") else number,
        provider_physical_network=wire,
    )


def _ports(network: str) -> list[Port]:
    return [a_port(f"{network}-{n}", host, mac, ip) for n, (host, mac, ip) in _ENDS.items()]


HOSTS = (
    Host(id="h1", name="h1", vtep_addresses=("192.0.2.1", "2001:db8::1"), bridge_mappings=WIRES),
    Host(id="h2", name="h2", vtep_addresses=("192.0.2.2", "2001:db8::2"), bridge_mappings=WIRES),
    Host(id="h3", name="h3", vtep_addresses=("2001:db8::3", "192.0.2.3"), bridge_mappings=WIRES),
)
SEGMENTS = Site(
    rows=(
        *HOSTS,
        *(_network(id, NUMBER + (id == "wl"), type_) for id, type_ in TYPES.items()),
        *(port for id in TYPES for port in _ports(id)),
    )
)
"""Every type of network."""

M_SUB = "02:00:00:00:00:aa"
TRUNKED = Site(
    rows=(
        *HOSTS,
        *(_network(id, number, "vxlan") for id, number in (("pa", 81), ("sa", 82), ("sb", 83))),
        _network("sv", 84, "vlan"),
        # The parent and two subports with one MAC, and a third in the parent's own network.
        a_port("pa-1", "h1", M1, I1),
        a_port("sa-1", "", M1, I1),
        a_port("sb-1", "", M1, I1),
        a_port("pa-5", "", M_SUB, "10.0.0.5"),
        a_port("sv-1", "", M1, I1),
        Trunk(
            id="trunk",
            port_id="pa-1",
            sub_ports=tuple(
                SubPort(id, "vlan", vlan)
                for id, vlan in (("sa-1", 11), ("sb-1", 12), ("pa-5", 13), ("sv-1", 14))
            ),
        ),
        *(a_port(f"{network}-2", "h1", M2, I2) for network in ("pa", "sa", "sb", "sv")),
        *(a_port(f"{network}-3", "h2", M3, I3) for network in ("pa", "sa", "sb", "sv")),
    )
)
"""pa-1 is a trunk's parent with four subports."""

_PAIRS = (AddressPair(VIP, VMAC), AddressPair(OTHER_VIP, M2), AddressPair(VIP6, VMAC))
CLAIMED = replace(
    SEGMENTS.but("vx-2", allowed_address_pairs=_PAIRS)
    .but("vx-3", allowed_address_pairs=(AddressPair(VIP, VMAC), AddressPair("10.0.0.0/24", M3)))
    .but("vl-3", allowed_address_pairs=(AddressPair(VIP, VMAC),)),
    claims=(
        ClaimFact("vx", VIP, VMAC, "vx-2"),
        ClaimFact("vx", VIP6, VMAC, "vx-2"),
        ClaimFact("vl", VIP, VMAC, "vl-3"),
    ),
)
"""vx-2 has the virtual addresses, vl-3 has one in its network."""
MOVED = replace(CLAIMED, claims=(ClaimFact("vx", VIP, VMAC, "vx-3"),))
"""vx-3 has it now."""


@dataclass(frozen=True)
class SegmentCase:
    """As `Case`. `outside`: the frame as each wire has it besides, (physical network, frame)."""

    name: str
    sender: str
    frame: bytes
    unchanged: tuple[str, ...] = ()
    to: dict[str, bytes] = field(default_factory=dict)
    outside: tuple[tuple[str, bytes], ...] = ()
    punted: bool = False
    site: Site = SEGMENTS

    @property
    def expected(self) -> dict[str, bytes]:
        """Port → the one frame it receives."""
        return {**dict.fromkeys(self.unchanged, self.frame), **self.to}


def with_vlan(vlan: int, frame: bytes) -> bytes:
    """The frame with an 802.1Q tag."""
    return frame[:12] + bytes.fromhex("8100") + vlan.to_bytes(2, "big") + frame[12:]


def _ping(source: tuple[str, str], target: tuple[str, str], text: bytes = b"alcor") -> bytes:
    return echo((source[0], target[0]), (source[1], target[1]), text)


def _to_all(mac: str, ip: str) -> bytes:
    return udp((mac, BROADCAST), (ip, "255.255.255.255"), (4000, 4000), b"all")


def _on_wire(network: str, frame: bytes) -> tuple[tuple[str, bytes], ...]:
    vlan = {"vl": 77, "wl": 78, "sv": 84}.get(network)
    if network == "fl":
        return (("flatnet", frame),)
    return () if vlan is None else (("physnet", with_vlan(vlan, frame)),)


_1_TO_3, _1_TO_4, _1_TO_2 = (_ping((M1, I1), end) for end in ((M3, I3), (M4, I4), (M2, I2)))
_UNKNOWN = _ping((M1, I1), (M_FOREIGN, I_FOREIGN))
# 1,400 bytes of network, 20 of IP, 8 of ICMP.
_LARGEST, _TOO_LARGE = (_ping((M1, I1), (M3, I3), bytes(size)) for size in (1372, 1373))

SEGMENT = tuple(
    case
    for id in TYPES
    if id != "lo"
    for case in (
        SegmentCase(f"{id}: another host", f"{id}-1", _1_TO_3, (f"{id}-3",), outside=_on_wire(id, _1_TO_3)),
        SegmentCase(f"{id}: a third host", f"{id}-1", _1_TO_4, (f"{id}-4",), outside=_on_wire(id, _1_TO_4)),
        SegmentCase(f"{id}: this host", f"{id}-1", _1_TO_2, (f"{id}-2",)),
        SegmentCase(
            f"{id}: a broadcast reaches each other port of this network once",
            f"{id}-1",
            _to_all(M1, I1),
            (f"{id}-2", f"{id}-3", f"{id}-4"),
            outside=_on_wire(id, _to_all(M1, I1)),
        ),
        SegmentCase(
            f"{id}: from another host too",
            f"{id}-4",
            _to_all(M4, I4),
            (f"{id}-1", f"{id}-2", f"{id}-3"),
            outside=_on_wire(id, _to_all(M4, I4)),
        ),
        SegmentCase(
            f"{id}: ARP is answered",
            f"{id}-1",
            who_has(I3, (M1, I1)),
            to={f"{id}-1": is_at(I3, M3, (M1, I1))},
        ),
        SegmentCase(
            f"{id}: an unknown MAC is asked of wires only",
            f"{id}-1",
            _UNKNOWN,
            outside=_on_wire(id, _UNKNOWN),
        ),
        SegmentCase(
            f"{id}: the largest packet passes",
            f"{id}-1",
            _LARGEST,
            (f"{id}-3",),
            outside=_on_wire(id, _LARGEST),
        ),
    )
)

LIMITS = (
    *(
        SegmentCase(f"{id}: what is larger than the MTU fits into no tunnel", f"{id}-1", _TOO_LARGE)
        for id in ("vx", "gn", "gr")
    ),
    SegmentCase("a local network reaches this host", "lo-1", _1_TO_2, ("lo-2",)),
    SegmentCase("a local network reaches no other host", "lo-1", _1_TO_3),
    SegmentCase("a local network's broadcast stays", "lo-1", _to_all(M1, I1), ("lo-2",)),
    SegmentCase("a VM does not choose its VLAN", "vl-1", with_vlan(78, _1_TO_3)),
    SegmentCase(
        "a VM does not hide a VLAN",
        "vl-1",
        with_vlan(78, _1_TO_3),
        site=SEGMENTS.but("vl-1", port_security_enabled=False),
    ),
)

_OPEN = SEGMENTS.but("vx-4", port_security_enabled=False, security_groups=()).but(
    "vl-2", port_security_enabled=False, security_groups=()
)
_FOREIGN_TO_1 = _ping((M_FOREIGN, I_FOREIGN), (M1, I1))
UNKNOWN = (
    SegmentCase("an unknown MAC is for the port without security", "vx-1", _UNKNOWN, ("vx-4",), site=_OPEN),
    SegmentCase(
        "from the second host too", "vx-3", _ping((M3, I3), (M_FOREIGN, I_FOREIGN)), ("vx-4",), site=_OPEN
    ),
    SegmentCase("a bridge behind it sends with any MAC", "vx-4", _FOREIGN_TO_1, ("vx-1",), site=_OPEN),
    SegmentCase(
        "what it does not know is not its own", "vx-4", _ping((M4, I4), (M_FOREIGN, I_FOREIGN)), site=_OPEN
    ),
    SegmentCase(
        "on a wire both ask: the port without security and the wire",
        "vl-1",
        _UNKNOWN,
        ("vl-2",),
        outside=_on_wire("vl", _UNKNOWN),
        site=_OPEN,
    ),
    SegmentCase(
        "what is known is not unknown: a port that is down",
        "vx-1",
        _1_TO_2,
        site=_OPEN.but("vx-2", admin_state_up=False),
    ),
)

_SUB_TO_3 = _ping((M1, I1), (M3, I3))
_3_TO_SUB = _ping((M3, I3), (M1, I1))
_PARENT_TO_SUB = _ping((M1, I1), (M_SUB, "10.0.0.5"))
TRUNKS = (
    SegmentCase("untagged is the parent's", "pa-1", _SUB_TO_3, ("pa-3",), site=TRUNKED),
    *(
        SegmentCase(
            f"a tag is a subport's: {vlan}",
            "pa-1",
            with_vlan(vlan, _SUB_TO_3),
            to={to: _SUB_TO_3},
            site=TRUNKED,
        )
        for vlan, to in ((11, "sa-3"), (12, "sb-3"))
    ),
    SegmentCase(
        "a subport of a VLAN network",
        "pa-1",
        with_vlan(14, _SUB_TO_3),
        to={"sv-3": _SUB_TO_3},
        outside=_on_wire("sv", _SUB_TO_3),
        site=TRUNKED,
    ),
    SegmentCase("on one host too", "pa-1", with_vlan(11, _1_TO_2), to={"sa-2": _1_TO_2}, site=TRUNKED),
    SegmentCase("an unknown tag is nobody's", "pa-1", with_vlan(99, _SUB_TO_3), site=TRUNKED),
    SegmentCase("two tags are nobody's", "pa-1", with_vlan(11, with_vlan(12, _SUB_TO_3)), site=TRUNKED),
    SegmentCase("to the parent it comes untagged", "pa-3", _3_TO_SUB, to={"pa-1": _3_TO_SUB}, site=TRUNKED),
    *(
        SegmentCase(
            f"to a subport it comes tagged: {vlan}",
            sender,
            _3_TO_SUB,
            to={"pa-1": with_vlan(vlan, _3_TO_SUB)},
            site=TRUNKED,
        )
        for vlan, sender in ((11, "sa-3"), (12, "sb-3"))
    ),
    SegmentCase(
        "a broadcast of a subport",
        "pa-1",
        with_vlan(11, _to_all(M1, I1)),
        to=dict.fromkeys(("sa-2", "sa-3"), _to_all(M1, I1)),
        site=TRUNKED,
    ),
    SegmentCase(
        "a subport's question is answered with its tag",
        "pa-1",
        with_vlan(12, who_has(I3, (M1, I1))),
        to={"pa-1": with_vlan(12, is_at(I3, M3, (M1, I1)))},
        site=TRUNKED,
    ),
    SegmentCase(
        "parent and subport of one network reach each other",
        "pa-1",
        _PARENT_TO_SUB,
        to={"pa-1": with_vlan(13, _PARENT_TO_SUB)},
        site=TRUNKED,
    ),
    SegmentCase(
        "a subport is guarded as any port: a foreign address",
        "pa-1",
        with_vlan(11, _ping((M1, I_FOREIGN), (M3, I3))),
        site=TRUNKED,
    ),
    SegmentCase(
        "a parent that is down takes its subports along",
        "sa-3",
        _3_TO_SUB,
        site=TRUNKED.but("pa-1", admin_state_up=False),
    ),
    SegmentCase(
        "a trunk that is down has no subports",
        "sa-3",
        _3_TO_SUB,
        site=TRUNKED.but("trunk", admin_state_up=False),
    ),
    SegmentCase(
        "a subport that is down leaves the others",
        "pa-1",
        with_vlan(12, _SUB_TO_3),
        to={"sb-3": _SUB_TO_3},
        site=TRUNKED.but("sa-1", admin_state_up=False),
    ),
)

_TO_VIP = _ping((M1, I1), (VMAC, VIP))
_GRATUITOUS = arp(1, (VMAC, VIP), ("00:00:00:00:00:00", VIP), eth=(VMAC, BROADCAST))
CLAIMS = (
    SegmentCase(
        "a claimed address is answered for",
        "vx-1",
        who_has(VIP, (M1, I1)),
        to={"vx-1": is_at(VIP, VMAC, (M1, I1))},
        site=CLAIMED,
    ),
    SegmentCase("its MAC leads to the port", "vx-1", _TO_VIP, ("vx-2",), site=CLAIMED),
    SegmentCase("from another host too", "vx-4", _ping((M4, I4), (VMAC, VIP)), ("vx-2",), site=CLAIMED),
    SegmentCase("after it moved it leads there", "vx-1", _TO_VIP, ("vx-3",), site=MOVED),
    SegmentCase(
        "on a wire the wire leads there",
        "vl-1",
        _TO_VIP,
        ("vl-3",),
        outside=_on_wire("vl", _TO_VIP),
        site=CLAIMED,
    ),
    SegmentCase("in another network nobody has it", "gn-1", _TO_VIP, site=CLAIMED),
    SegmentCase(
        "who claims is heard, by the network and the agent",
        "vx-2",
        _GRATUITOUS,
        ("vx-1", "vx-3", "vx-4"),
        punted=True,
        site=CLAIMED,
    ),
    SegmentCase(
        "who claims what another has now is heard too, not answered",
        "vx-3",
        _GRATUITOUS,
        ("vx-1", "vx-2", "vx-4"),
        punted=True,
        site=CLAIMED,
    ),
    SegmentCase(
        "an advertisement claims",
        "vx-2",
        advertisement(VIP6, (VMAC, VIP6), (M1, "fd00:1::1")),
        ("vx-1",),
        punted=True,
        site=CLAIMED,
    ),
    SegmentCase(
        "of its own address nobody claims: the pair is wide",
        "vx-3",
        is_at(I3, M3, (M1, I1)),
        ("vx-1",),
        site=CLAIMED,
    ),
    SegmentCase("who has no pair claims nothing", "vx-1", _GRATUITOUS, site=CLAIMED),
)

SEGMENT_CASES: dict[str, tuple[SegmentCase, ...]] = {
    "segments": SEGMENT,
    "limits": LIMITS,
    "unknown": UNKNOWN,
    "trunks": TRUNKS,
    "claims": CLAIMS,
}
"""All cases, by what they are about."""
