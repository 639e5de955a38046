"""Names of the VPC, answered from what the host knows. Pure.

A port sees the names of its own network and of the inner networks of that network's routers, each in the network's
domain (or else the region's): what it can reach without leaving its VPC. Every address there has a name made of itself
too (`host-10-0-0-5` in the region's domain), as the Networking API's `dns_assignment` says. For these domains and for
the addresses of these networks the answer is authoritative, also that there is no such name; all else is somebody
else's to know. Source: RFC 1034, 1035, 2308 (negative answers), 3596 (IPv6), 6891 (EDNS), 8482 (ANY).
"""

from collections.abc import Iterator
from enum import Enum
from ipaddress import ip_address

import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdataclass
import dns.rdatatype
import dns.reversename
import dns.rrset

from alcor.agent.answer.naming import domain_of
from alcor.goalstate.item import LocalPort, RegionItem
from alcor.model.address import Cidr, network_of
from alcor.pipeline.view import NetworkView, View

# Seconds a name is believed, and seconds that it is believed not to be: a VM that moves or is made is found soon.
TTL_S = 30
# RFC 6891, section 6.2.5, and the flag day of 2020: no fragment on any common path.
EDNS_BYTES = 1232
UDP_BYTES_MIN = 512

_REVERSED = (dns.name.from_text("in-addr.arpa."), dns.name.from_text("ip6.arpa."))
_MADE_OF_ADDRESS = "host-"


class Elsewhere(Enum):
    """The question is not about the VPC."""

    FORWARD = "forward"


def parse_question(octets: bytes) -> dns.message.Message | None:
    """The message, if it is one to answer at all; None for what is not DNS, and for answers."""
    try:
        message = dns.message.from_wire(octets, ignore_trailing=True)
    except (dns.exception.DNSException, ValueError):
        return None
    return None if message.flags & dns.flags.QR else message


def respond(message: dns.message.Message, port: LocalPort, view: View) -> dns.message.Message | Elsewhere:
    """The answer to a question of a port, or that somebody else is to be asked. Never raises.

    Cost: O(visible networks); a name or an address is one look-up in each.
    """
    if message.opcode() != dns.opcode.QUERY:
        return refuse(message, dns.rcode.NOTIMP)
    if len(message.question) != 1 or not isinstance(message, dns.message.QueryMessage):
        return refuse(message, dns.rcode.FORMERR)
    question = message.question[0]
    if question.rdclass != dns.rdataclass.IN or view.region is None:
        return refuse(message, dns.rcode.REFUSED)
    networks = visible_networks(port, view)
    for reversed_root in _REVERSED:
        if question.name.is_subdomain(reversed_root):
            return _by_address(message, question.name, networks, view.region)
    return _by_name(message, question.name, networks, view.region)


def refuse(message: dns.message.Message, code: dns.rcode.Rcode) -> dns.message.Message:
    """An answer that says only why there is none."""
    answer = dns.message.make_response(message, recursion_available=True, our_payload=EDNS_BYTES)
    answer.set_rcode(code)
    return answer


def encode(answer: dns.message.Message, question: dns.message.Message, *, over_tcp: bool) -> bytes:
    """Octets; what is too long for the asker's UDP is cut and says so (TC), so that it asks again over TCP."""
    bytes_max = 65_535 if over_tcp else UDP_BYTES_MIN
    if not over_tcp and question.edns >= 0:
        bytes_max = max(UDP_BYTES_MIN, min(question.payload, EDNS_BYTES))
    return answer.to_wire(max_size=bytes_max, prefer_truncation=True)


def visible_networks(port: LocalPort, view: View) -> list[NetworkView]:
    """The port's own network first, then those its routers join it to, by id."""
    own = view.networks.get(port.network_id)
    others = {
        interface.network_id
        for router_id in view.routers_on(port.network_id)
        for interface in view.routers[router_id].interfaces
        if any(each.network_id == port.network_id for each in view.routers[router_id].interfaces)
    }
    found = [] if own is None else [own]
    return found + [view.networks[id] for id in sorted(others - {port.network_id}) if id in view.networks]


def _by_name(
    message: dns.message.Message, name: dns.name.Name, networks: list[NetworkView], region: RegionItem
) -> dns.message.Message | Elsewhere:
    domains = {domain_of(network, region) for network in networks} | {region.dns_domain.rstrip(".").lower()}
    domains.discard("")
    inside = [domain for domain in domains if name.is_subdomain(dns.name.from_text(domain))]
    if not inside:
        return Elsewhere.FORWARD
    # The longest: a network's domain may be part of the region's.
    domain = max(inside, key=len)
    zone = dns.name.from_text(domain)
    labels = name.relativize(zone).labels
    if not labels:
        return _answer(message, zone, None, is_there=True)
    label = labels[0].decode("ascii", "replace").lower()
    ips = None if len(labels) > 1 else _addresses_of(label, domain, networks, region)
    rrset = None
    if ips:
        rrset = _addresses(name, message.question[0].rdtype, ips)
    return _answer(message, zone, rrset, is_there=ips is not None)


def _addresses_of(
    label: str, domain: str, networks: list[NetworkView], region: RegionItem
) -> list[str] | None:
    """The addresses of a name; the first network that has it decides. None: there is no such name."""
    for network in networks:
        if domain_of(network, region) != domain:
            continue
        ids = network.claimants(("name", label))
        if ids:
            return list(dict.fromkeys(ip for id in ids for ip in network.neighbours[id].ips))
    made_of = _address_in(label)
    if made_of is not None and domain in ("", *_domains_of_made(networks, region)):
        for network in networks:
            if network.claimants(made_of):
                return [made_of]
    return None


def _domains_of_made(networks: list[NetworkView], region: RegionItem) -> Iterator[str]:
    """Where names made of addresses are: in the region's domain, or without one in each network's."""
    own = region.dns_domain.rstrip(".").lower()
    if own:
        yield own
    else:
        yield from (domain_of(network, region) for network in networks)


def _address_in(label: str) -> str | None:
    """The address that a made name is made of."""
    if not label.startswith(_MADE_OF_ADDRESS):
        return None
    text = label.removeprefix(_MADE_OF_ADDRESS)
    for separator in (".", ":"):
        try:
            return str(ip_address(text.replace("-", separator)))
        except ValueError:
            continue
    return None


def _addresses(name: dns.name.Name, kind: dns.rdatatype.RdataType, ips: list[str]) -> dns.rrset.RRset | None:
    wanted = {
        dns.rdatatype.A: (dns.rdatatype.A, 4),
        dns.rdatatype.AAAA: (dns.rdatatype.AAAA, 6),
        dns.rdatatype.ANY: (dns.rdatatype.A, 4) if any("." in ip for ip in ips) else (dns.rdatatype.AAAA, 6),
    }.get(kind)
    if wanted is None:
        return None
    type, version = wanted
    texts = [ip for ip in ips if ip_address(ip).version == version]
    return dns.rrset.from_text_list(name, TTL_S, dns.rdataclass.IN, type, texts) if texts else None


def _by_address(
    message: dns.message.Message, name: dns.name.Name, networks: list[NetworkView], region: RegionItem
) -> dns.message.Message | Elsewhere:
    try:
        address = ip_address(dns.reversename.to_address(name))
    except (dns.exception.DNSException, ValueError):
        return Elsewhere.FORWARD
    for network in networks:
        if not any(address in network_of(Cidr(subnet.cidr)) for subnet in network.subnets.values()):
            continue
        ids = network.claimants(str(address))
        rrset = None
        target = _full_name(network, ids[0], str(address), region) if ids else None
        if target is not None and message.question[0].rdtype in (dns.rdatatype.PTR, dns.rdatatype.ANY):
            rrset = dns.rrset.from_text(name, TTL_S, dns.rdataclass.IN, dns.rdatatype.PTR, target)
        return _answer(message, name.parent(), rrset, is_there=target is not None)
    return Elsewhere.FORWARD


def _full_name(network: NetworkView, port_id: str, address: str, region: RegionItem) -> str | None:
    short, domain = network.neighbours[port_id].dns_name, domain_of(network, region)
    if not short:
        short = _MADE_OF_ADDRESS + address.replace(".", "-").replace(":", "-")
        domain = next(_domains_of_made([network], region), "")
    return f"{short}.{domain}." if domain else None


def _answer(
    message: dns.message.Message, zone: dns.name.Name, rrset: dns.rrset.RRset | None, *, is_there: bool
) -> dns.message.Message:
    """An authoritative answer; without records the zone's SOA says how long that may be believed."""
    answer = dns.message.make_response(message, recursion_available=True, our_payload=EDNS_BYTES)
    answer.flags |= dns.flags.AA
    soa = dns.rrset.from_text(
        zone,
        TTL_S,
        dns.rdataclass.IN,
        dns.rdatatype.SOA,
        f"{zone} hostmaster.{zone} 1 3600 600 86400 {TTL_S}"
        if zone.labels != (b"",)
        else ". . 1 3600 600 86400 30",
    )
    is_about_zone = message.question[0].name == zone and message.question[0].rdtype == dns.rdatatype.SOA
    if rrset is not None:
        answer.answer.append(rrset)
    elif is_about_zone:
        answer.answer.append(soa)
    else:
        answer.authority.append(soa)
    if not is_there:
        answer.set_rcode(dns.rcode.NXDOMAIN)
    return answer
