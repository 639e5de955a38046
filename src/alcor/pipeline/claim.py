"""Claims: addresses that ports hold although nobody was given them (virtual IPs, VRRP).

A port that says by ARP or neighbour advertisement that it has one of its allowed pairs is heard by the agent (PUNT):
the packet itself goes on first, because the meter that spares the agent may end what comes after it. What the region
makes of it, a `Claim`, is answered for in ARP_ND, below all addresses that were given, and reached by its MAC if that
is nobody's own (VRRP has MACs of its own). NEXT_HOP of claims is the router's (`next_hop`).
"""

from collections.abc import Iterable, Iterator

from alcor.goalstate.item import AddressPair, Claim, HostItem, LocalPort, Neighbour, NetworkItem
from alcor.model.address import Cidr, Ip, Mac, contains, ip_int, ip_version, mac_int, network_of
from alcor.pipeline import arp_nd, l2
from alcor.pipeline.feature import Feature, ItemChange, Local, LocalChange
from alcor.pipeline.flow import Clone, Match, Resubmit, match
from alcor.pipeline.live import LiveNetwork, LivePort, live_network, live_port
from alcor.pipeline.on_demand import is_on_demand
from alcor.pipeline.port_security import ETH_ARP, ETH_IPV6, ICMPV6, NEIGHBOUR_ADVERTISEMENT
from alcor.pipeline.tables import INGRESS, NETWORK, Priority, Table, UnitKind
from alcor.pipeline.unit import Rule, Unit
from alcor.pipeline.view import Allocation, NetworkView, View

_REQUEST = 1


def claim_unit(network_id: str, ip: str) -> Unit:
    """The unit of a claimed address."""
    return Unit(UnitKind.CLAIM, network_id, ip)


def _port(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    """What of a port the agent hears. One flow per pair, one more per own address inside a pair."""
    heard = (Clone((Resubmit(Table.ARP_ND),)), Resubmit(Table.PUNT_PORT))
    for pair in dict.fromkeys(port.item.pairs):
        yield Rule(Table.PUNT, Priority.NORMAL, _said(port, *_range(pair), pair.mac), heard)
    for ip in dict.fromkeys(Ip(address.ip) for address in port.item.addresses):
        if any(contains(Cidr(pair.cidr), ip) for pair in port.item.pairs):
            own = _said(port, ip_version(ip), ip_int(ip), None, None)
            yield Rule(Table.PUNT, Priority.SPECIFIC, own, (Resubmit(Table.ARP_ND),))


def _said(port: LivePort, version: int, first: int, mask: int | None, mac: str | None) -> Match:
    """ "I have it", said by a port of an address (or of all with the mask), with a MAC if it is said with one."""
    terms: dict[str, int | tuple[int, int]] = {INGRESS.name.lower(): port.key}
    value = first if mask is None else (first, mask)
    if version == 4:
        sender = {} if mac is None else {"arp_sha": mac_int(Mac(mac))}
        terms |= {"eth_type": ETH_ARP, **sender} | ({} if mask == 0 else {"arp_spa": value})
        return match(**terms)
    terms |= {
        "eth_type": ETH_IPV6,
        "ip_proto": ICMPV6,
        "icmpv6_type": NEIGHBOUR_ADVERTISEMENT,
        "icmpv6_code": 0,
    }
    return match(**terms, **({} if mask == 0 else {"nd_target": value}))


def _range(pair: AddressPair) -> tuple[int, int, int | None]:
    """Version, first address and mask of a pair; mask None: one address."""
    network = network_of(Cidr(pair.cidr))
    mask = int(network.netmask)
    whole = network.prefixlen == network.max_prefixlen
    return network.version, int(network.network_address), None if whole else mask


def _rules(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    """The answer to who asks, and the way to a MAC of its own. At most three flows."""
    network = live_network(unit.id, view, allocation)
    claim = network.knowledge.claims.get(unit.sub) if network is not None else None
    if network is None or claim is None:
        return
    if not network.knowledge.claimants(claim.id) and not view.ports_with(network.id, claim.id):
        ip = Ip(claim.id)
        yield arp_nd.answer(network, ip, claim.mac, Priority.CLAIM)
        if ip_version(ip) == 4:
            # Who says aloud that it is his now is not answered that it is another's: all shall hear it.
            aloud = {"eth_type": ETH_ARP, "arp_op": _REQUEST, "arp_spa": ip_int(ip), "arp_tpa": ip_int(ip)}
            said = match(**{NETWORK.name.lower(): network.key}, **aloud)
            yield Rule(Table.ARP_ND, Priority.GUARD, said, (Resubmit(Table.EGRESS_CT),))
    yield from _way(claim, network, view, allocation)


def _way(claim: Claim, network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    if network.knowledge.claimants(claim.mac) or view.ports_with(network.id, claim.mac):
        return
    others = [other for other in network.knowledge.claims.values() if other.mac == claim.mac]
    if claim.id != min(other.id for other in others):
        return
    found = l2.addressed(network.key, claim.mac)
    # Two ports with one MAC: while the last of several addresses has not moved, nobody can say where it is.
    is_clear = len({(other.port_id, other.vtep) for other in others}) == 1
    port = live_port(claim.port_id, view, allocation)
    if is_clear and port is not None and port.network.id == network.id:
        yield Rule(Table.L2, Priority.NORMAL, found, l2.deliver(port))
    else:
        way = l2.way_to(claim.vtep, network, view) if is_clear else ()
        yield Rule(Table.L2_REMOTE, Priority.NORMAL, found, way)
        is_said = is_on_demand(network.id, view) and l2.has_local_mac(network.id, claim.mac, view)
        if view.host is not None and claim.vtep in view.host.vtep_addresses and not is_said:
            # Its port is here and closed: what comes for it from abroad is nobody else's.
            yield Rule(Table.L2, Priority.KNOWN, found, ())


def _units(view: View) -> Iterator[Unit]:
    for network_id, knowledge in view.networks.items():
        yield from _of_network(network_id, knowledge)


def _of_network(network_id: str, knowledge: NetworkView) -> Iterator[Unit]:
    return (claim_unit(network_id, ip) for ip in knowledge.claims)


def _affected(change: ItemChange, view: View) -> Iterable[Unit]:
    """Cost: O(claims of the network); of a change of the host: O(claims)."""
    found: set[Unit] = set()
    for item in (change.before, change.after):
        match item:
            case Claim():
                found.add(claim_unit(change.scope.id, item.id))
                found |= _touching(change.scope.id, {item.mac}, view)
            case Neighbour():
                found |= _touching(change.scope.id, {item.mac, *item.ips}, view)
            case LocalPort():
                found |= _touching(item.network_id, _names(item), view)
            case NetworkItem():
                found |= _all(item.id, view)
            case HostItem():
                found |= set(_units(view))
            case _:
                pass
    return found


def _found(change: LocalChange, view: View) -> Iterable[Unit]:
    match change.what:
        case Local.PORT:
            ids = (change.id, *view.subports_of(change.id))
            ports = [item for id in ids if (item := view.ports.get(id) or view.closed.get(id)) is not None]
            return {unit for item in ports for unit in _touching(item.network_id, _names(item), view)}
        case Local.NETWORK:
            return _all(change.id, view)
        case Local.TUNNELS | Local.PROVIDERS:
            return _units(view)
        case _:
            return ()


def _names(port: LocalPort) -> set[str]:
    return {port.id, port.mac, *(address.ip for address in port.addresses)}


def _touching(network_id: str, names: set[str], view: View) -> set[Unit]:
    """The claims of an address, of a MAC or by a port."""
    knowledge = view.networks.get(network_id)
    claims = knowledge.claims.values() if knowledge is not None else ()
    return {
        claim_unit(network_id, claim.id)
        for claim in claims
        if not names.isdisjoint((claim.id, claim.mac, claim.port_id))
    }


def _all(network_id: str, view: View) -> set[Unit]:
    knowledge = view.networks.get(network_id)
    return set() if knowledge is None else set(_of_network(network_id, knowledge))


CLAIM = Feature(
    "claim", port=_port, rules={UnitKind.CLAIM: _rules}, units=_units, affected=_affected, found=_found
)
