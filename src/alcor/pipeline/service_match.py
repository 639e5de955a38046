"""What a rule of a security group, ACL or firewall says of a packet, as terms of a match: protocol, ports, prefixes.

A range of ports is the fewest masks that are exactly it. A fragment after the first has no ports: `WHOLE` keeps it from
matching as port 0, and `later_terms` says what a rule with ports makes of it.
"""

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import NamedTuple

from alcor.pipeline.flow import Fragment
from alcor.pipeline.prefix import Entry, mask_of

Terms = Mapping[str, int | tuple[int, int]]
"""Conditions as `flow.match` takes them."""

ICMPV4, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132
WHOLE: Terms = {"ip_frag": (0, Fragment.LATER)}
"""Not a later fragment."""
LATER: Terms = {"ip_frag": (Fragment.LATER, Fragment.LATER)}

_ANY_PROTOCOLS = (None, 0)  # the Networking API calls 0 "ip"
_PORT_NAMES = {TCP: "tcp", UDP: "udp", SCTP: "sctp"}
_ICMP_NAMES = {ICMPV4: ("icmpv4", 4), ICMPV6: ("icmpv6", 6)}
_PORT_BITS = 16
_IPV6_FRAGMENT = 44
_ALL_PORTS = (0, 0xFFFF)


def eth_type_of(version: int) -> int:
    """The EtherType of an IP version."""
    return 0x0800 if version == 4 else 0x86DD


def address_terms(side: str, entry: Entry) -> Terms:
    """The condition that the address of a side (`src` or `dst`) is in a prefix; none for all addresses."""
    if not entry.length:
        return {}
    name = f"ipv{entry.version}_{side}"
    return {name: entry.value if entry.is_host else (entry.value, mask_of(entry.version, entry.length))}


@lru_cache(4_096)
def range_masks(first: int, last: int) -> tuple[int | tuple[int, int], ...]:
    """Ports `first` to `last`, inclusive, as the fewest (value, mask); a single port is a number. At most 30."""
    found: list[int | tuple[int, int]] = []
    while first <= last:
        bits = _PORT_BITS if not first else (first & -first).bit_length() - 1
        while first + (1 << bits) - 1 > last:
            bits -= 1
        mask = 0xFFFF & ~((1 << bits) - 1)
        found.append((first, mask) if bits else first)
        first += 1 << bits
    return tuple(found)


class Service(NamedTuple):
    """A protocol and what it is asked for. `first`, `last`: destination ports, or ICMP type and code; None is any."""

    version: int
    protocol: int | None
    first: int | None = None
    last: int | None = None
    source: tuple[int, int] | None = None

    @property
    def has_ports(self) -> bool:
        """Whether it looks further than at the IP header."""
        return any(part is not None for part in (self.first, self.last, self.source))


def service_terms(service: Service) -> Iterator[Terms]:
    """The alternatives of a service in a whole packet or first fragment; none if nothing can be it.

    Ports of a protocol in which the switch sees none (DCCP, UDP-Lite) are nobody's: such a rule allows nothing.
    """
    if service.protocol in _ANY_PROTOCOLS:
        if not service.has_ports:
            yield {}
    elif not service.has_ports:
        yield protocol_terms(service)
    else:
        for terms in _alternatives(service, _names(service)):
            yield {**protocol_terms(service), **WHOLE, **terms}


def later_terms(service: Service) -> Iterator[Terms]:
    """What a service says of later fragments, beyond `service_terms`.

    They have no ports, so all of the protocol are meant; of IPv6 the switch does not see their protocol either, so all.
    """
    if service.protocol in _ANY_PROTOCOLS:
        return
    if service.has_ports and next(_alternatives(service, _names(service)), None) is None:
        return
    if service.version == 6:
        yield {**LATER, "ip_proto": _IPV6_FRAGMENT}
    elif service.has_ports:
        yield {**LATER, **protocol_terms(service)}


def protocol_terms(service: Service) -> Terms:
    """The condition on the protocol alone; none if it is any."""
    return {} if service.protocol in _ANY_PROTOCOLS else {"ip_proto": service.protocol or 0}


def _names(service: Service) -> tuple[str, str]:
    """The fields of source and destination port, or of ICMP type and code."""
    icmp = _ICMP_NAMES.get(service.protocol or 0)
    if icmp is not None:
        return f"{icmp[0]}_type", f"{icmp[0]}_code"
    name = _PORT_NAMES.get(service.protocol or 0, "")
    return f"{name}_src", f"{name}_dst"


def _alternatives(service: Service, names: tuple[str, str]) -> Iterator[Terms]:
    protocol = service.protocol or 0
    if protocol in _ICMP_NAMES:
        if (
            _ICMP_NAMES[protocol][1] == service.version
            and service.first is not None
            and service.source is None
        ):
            code = {} if service.last is None else {names[1]: service.last}
            yield {names[0]: service.first, **code}
    elif protocol in _PORT_NAMES:
        first, last = service.first, service.last
        wanted = ((0 if first is None else first), (_ALL_PORTS[1] if last is None else last))
        for source in _masks(service.source or _ALL_PORTS):
            for target in _masks(wanted):
                yield {
                    name: value
                    for name, value in zip(names, (source, target), strict=True)
                    if value is not None
                }


def _masks(ports: tuple[int, int]) -> tuple[int | tuple[int, int] | None, ...]:
    return (None,) if ports == _ALL_PORTS else range_masks(*ports)
