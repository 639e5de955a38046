"""What an operator's configuration says of networks: the ways they may travel, and how large their packets may be."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from alcor.managers.free_number import NumberSet
from alcor.model.network import GRE_KEY_MAX, GRE_KEY_MIN, NETWORK_TYPES, VLAN_MAX, VLAN_MIN, VNI_MAX, VNI_MIN

# Ethernet's. An operator with larger frames between hosts says so.
ETHERNET_MTU_BYTES = 1_500
ANY = "*"

BOUNDS: Mapping[str, tuple[int, int]] = {
    "vxlan": (VNI_MIN, VNI_MAX),
    "geneve": (VNI_MIN, VNI_MAX),
    "gre": (GRE_KEY_MIN, GRE_KEY_MAX),
    "vlan": (VLAN_MIN, VLAN_MAX),
}
"""Network type → the smallest and the largest number; types without numbers are not there."""

# What a tunnel over IPv4 adds to an IP packet: outer IPv4 20, inner Ethernet 14, and
#   vxlan   UDP 8 + header 8 (RFC 7348, section 5)
#   geneve  UDP 8 + header 8 + 8 for options (RFC 8926, section 3.4)
#   gre     header 4 + key 4 (RFC 2890)
OVERHEAD_BYTES: Mapping[str, int] = {"vxlan": 50, "geneve": 58, "gre": 42}


@dataclass(frozen=True, slots=True)
class NetworkSettings:
    """`tunnel_mtu_bytes`: the largest IP packet between hosts, an IPv6 underlay's longer header taken off;
    `physical_mtu_bytes`: the largest on physical networks.

    `physical_networks`: those a flat or vlan network may name; `*`: any. `vlan_ranges`: physical network → the VLANs
    that are given to networks that name none. `tenant_types`: what a network without provider attributes becomes, the
    first that has a number left. `zones`: the availability zones there are.
    """

    tunnel_mtu_bytes: int = ETHERNET_MTU_BYTES
    physical_mtu_bytes: int = ETHERNET_MTU_BYTES
    physical_networks: frozenset[str] = frozenset({"physnet1"})
    vlan_ranges: Mapping[str, NumberSet] = field(
        default_factory=lambda: {"physnet1": NumberSet.of([BOUNDS["vlan"]])}
    )
    tenant_types: tuple[str, ...] = ("vxlan",)
    zones: tuple[str, ...] = ("nova",)

    def mtu_max(self, types: Iterable[str]) -> int:
        """The largest IP packet a network of all these types can carry, in bytes."""
        return min(self._mtu(type_) for type_ in types)

    def _mtu(self, type_: str) -> int:
        overhead = OVERHEAD_BYTES.get(type_)
        return self.physical_mtu_bytes if overhead is None else self.tunnel_mtu_bytes - overhead

    def knows(self, physical_network: str) -> bool:
        """Whether networks may be on this physical network."""
        return bool(self.physical_networks & {ANY, physical_network})


def parse_vlan_ranges(texts: Iterable[str]) -> dict[str, NumberSet]:
    """`physnet1:100:199` or `physnet1` (no VLAN of it is given by itself) → physical network → numbers.

    Raises: ValueError naming the text.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    for text in texts:
        name, *numbers = text.split(":")
        if not name or len(numbers) not in (0, 2):
            raise ValueError(f"'{text}' is no VLAN range: write physical_network:first:last")
        ranges = found.setdefault(name, [])
        if not numbers:
            continue
        try:
            first, last = (int(number) for number in numbers)
        except ValueError:
            raise ValueError(f"'{text}' is no VLAN range: {numbers} are not numbers") from None
        if not VLAN_MIN <= first <= last <= VLAN_MAX:
            raise ValueError(f"'{text}' is no VLAN range: VLANs are {VLAN_MIN} to {VLAN_MAX}")
        ranges.append((first, last))
    return {name: NumberSet.of(ranges) for name, ranges in found.items()}


def check_types(types: Iterable[str]) -> None:
    """Raises: ValueError for a type networks cannot have, or one that needs a physical network to be named."""
    for type_ in types:
        if type_ not in NETWORK_TYPES or type_ == "flat":
            raise ValueError(f"'{type_}' is not one of: {', '.join(t for t in NETWORK_TYPES if t != 'flat')}")
