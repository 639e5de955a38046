"""A router's own addresses: ARP, neighbour discovery and echo answered by flows (tables ARP_ND, L3_ADMIT, ROUTE).

Every host answers for the router, for its own ports only: what comes from a tunnel or a provider bridge for an inner
interface was routed where it came from, and is not admitted. An address or a MAC that two routers claim on one network
(knowledge in transit) is nobody's.
"""

from collections.abc import Hashable, Iterator
from typing import NamedTuple

from alcor.goalstate.router_item import RouterInterface, RouterItem
from alcor.model.address import Ip, Mac, ip_int, ip_version, link_local, mac_int
from alcor.pipeline.arp_nd import answer
from alcor.pipeline.flow import Action, Field, Fragment, Match, Pop, Push, Resubmit, SetField, match
from alcor.pipeline.live import LiveNetwork
from alcor.pipeline.port_security import ETH_IPV4, ETH_IPV6, ICMPV6
from alcor.pipeline.tables import FLAGS, ROUTER, Flag, Priority, Table
from alcor.pipeline.unit import Rule
from alcor.pipeline.view import View

ICMP = 1
_ECHO, _ECHO_REPLY = {4: 8, 6: 128}, {4: 0, 6: 129}
_TTL = 64
_FROM_HERE = {FLAGS.name.lower(): (0, int(Flag.FROM_TUNNEL | Flag.FROM_PROVIDER))}
"""The flags of what came from a local port, for `match`."""

_FROM_OUTSIDE = {FLAGS.name.lower(): (int(Flag.FROM_PROVIDER), int(Flag.FROM_PROVIDER))}

# Above every prefix: 3·128 and what is added to it. Among these no two overlap with different actions.
ECHO_PRIORITY, OWN_PRIORITY, GUARD_PRIORITY, TTL_PRIORITY = 2000, 1900, 1800, 1700

_NOT_ROUTED = {4: ("ipv4_dst", 0xE000_0000, 0xE000_0000), 6: ("ipv6_dst", 0xFF << 120, 0xFF << 120)}
"""Multicast, and in IPv4 what is reserved above it with broadcast. Source: RFC 5771, RFC 1112, RFC 4291."""
_LINK_LOCAL = (0xFE80 << 112, 0xFFC0 << 112)


class LiveInterface(NamedTuple):
    """A router's interface on a live network."""

    item: RouterInterface
    network: LiveNetwork


def rivals(router: RouterItem, view: View) -> set[str]:
    """The other routers that claim a MAC or an address of the router's on one network. Cost: O(its addresses)."""
    names: list[Hashable] = [(one.network_id, one.mac) for one in router.interfaces]
    names += [(one.network_id, one.mac) for one in router.gateways]
    names += [("inner", one.network_id, a.ip) for one in router.interfaces for a in one.addresses]
    return {id for name in names for id in _others(router, name, view)}


def _others(router: RouterItem, name: Hashable, view: View) -> list[str]:
    return [id for id in view.routers_with(name) if id != router.id]


def addresses(interface: RouterInterface) -> list[Ip]:
    """Its addresses, each once; the link-local one too if it has any of IPv6."""
    found = dict.fromkeys(Ip(address.ip) for address in interface.addresses)
    if any(ip_version(ip) == 6 for ip in found):
        found[link_local(Mac(interface.mac))] = None
    return list(found)


def admission_rules(router: RouterItem, key: int, live: list[LiveInterface], view: View) -> Iterator[Rule]:
    """To the router by its MACs; `key` 0: it takes nothing now, nor are its MACs unknown.

    From elsewhere they are admitted only where a gateway is served: what was handed over to a host that does not serve
    (any more) ends there, and is not for those who take the unknown. Three flows per MAC.
    """
    admitted: set[Match] = set()
    for interface, network in live:
        on = match(**_FROM_HERE, metadata=network.key, eth_dst=mac_int(Mac(interface.mac)))
        others = _others(router, (network.id, interface.mac), view)
        # Of several that claim one MAC none gets anything, which the first of them says.
        if on in admitted or (others and min(others) < router.id):
            continue
        admitted.add(on)
        actions = (SetField(ROUTER, key), Resubmit(Table.ROUTE)) if key and not others else ()
        yield Rule(Table.L3_ADMIT, Priority.NORMAL, on, actions, router.id)
        for flag in (Flag.FROM_TUNNEL, Flag.FROM_PROVIDER):
            came = {FLAGS.name.lower(): (flag, flag)}
            arrived = match(metadata=network.key, eth_dst=mac_int(Mac(interface.mac)), **came)
            yield Rule(Table.L3_ADMIT, Priority.FALLBACK, arrived, (), router.id)


def answer_rules(router: RouterItem, live: list[LiveInterface], view: View) -> Iterator[Rule]:
    """Who asks for the router's addresses is told. One flow per address."""
    answered: set[tuple[str, Ip]] = set()
    for interface, network in live:
        for ip in addresses(interface):
            # A link-local address is the MAC's.
            names = ((network.id, interface.mac), ("inner", network.id, ip))
            if (network.id, ip) not in answered and not any(_others(router, name, view) for name in names):
                answered.add((network.id, ip))
                yield answer(network, ip, interface.mac, Priority.ROUTER, is_router=True)


def own_rules(router: RouterItem, key: int, live: list[LiveInterface]) -> Iterator[Rule]:
    """Echo to any of the router's addresses from any of its networks is answered, all else to them ends there.

    Addresses of its gateways too: they answer the inside on every host. What else is sent to those from inside goes on:
    a floating IP's port answers others of the router, which came with the gateway's address. Cost: 3 flows per address.
    """
    inner = [ip for interface, _ in live for ip in addresses(interface)]
    outer = [Ip(address.ip) for gateway in router.gateways for address in gateway.addresses]
    for ip in dict.fromkeys((*inner, *outer)):
        version = ip_version(ip)
        request = {f"icmpv{version}_type": _ECHO[version]}
        yield Rule(Table.ROUTE, ECHO_PRIORITY, _echo_to(key, ip, **request), _echo_reply(version), str(ip))
        # Later fragments have no type: those of an echo go back with the first.
        later = {"ip_frag": (Fragment.LATER, Fragment.LATER)}
        yield Rule(Table.ROUTE, ECHO_PRIORITY, _echo_to(key, ip, **later), _back(version), str(ip))
        ends = _to(key, ip) if ip in inner else _to(key, ip, **_FROM_OUTSIDE)
        yield Rule(Table.ROUTE, OWN_PRIORITY, ends, (), str(ip))


def guard_rules(key: int) -> Iterator[Rule]:
    """What no router sends on: multicast and broadcast, and from or to a link-local address (RFC 4291, 2.5.6)."""
    router = {ROUTER.name.lower(): key}
    for version, (field, value, mask) in _NOT_ROUTED.items():
        on = match(**router, eth_type=_ETH[version], **{field: (value, mask)})
        yield Rule(Table.ROUTE, GUARD_PRIORITY, on, ())
    for field in ("ipv6_src", "ipv6_dst"):
        on = match(**router, eth_type=ETH_IPV6, **{field: _LINK_LOCAL})
        yield Rule(Table.ROUTE, GUARD_PRIORITY, on, ())


_ETH = {4: ETH_IPV4, 6: ETH_IPV6}


def _echo_to(key: int, ip: Ip, **terms: int | tuple[int, int]) -> Match:
    """ICMP from a local port to an address of the router's."""
    return _to(key, ip, ip_proto=ICMP if ip_version(ip) == 4 else ICMPV6, **_FROM_HERE, **terms)


def _to(key: int, ip: Ip, **terms: int | tuple[int, int]) -> Match:
    """To an address of the router's."""
    version = ip_version(ip)
    named = {ROUTER.name.lower(): key, "eth_type": _ETH[version], f"ipv{version}_dst": ip_int(ip)}
    return match(**named, **terms)


def _echo_reply(version: int) -> tuple[Action, ...]:
    kind = Field.ICMPV4_TYPE if version == 4 else Field.ICMPV6_TYPE
    return (SetField(kind, _ECHO_REPLY[version]), *_back(version))


def _back(version: int) -> tuple[Action, ...]:
    source, target = (Field.IPV4_SRC, Field.IPV4_DST) if version == 4 else (Field.IPV6_SRC, Field.IPV6_DST)
    return (
        *_swap(Field.ETH_SRC, Field.ETH_DST),
        *_swap(source, target),
        SetField(Field.IP_TTL, _TTL),
        Resubmit(Table.REPLY),
    )


def _swap(one: Field, other: Field) -> tuple[Action, ...]:
    return (Push(one), Push(other), Pop(one), Pop(other))
