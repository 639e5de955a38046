"""What bgpd is told: from the view to lines of configuration, and from one state to the next. Pure.

Each prefix has a next hop of its own, set where it enters (`network … route-map`) and left as it is on the way out.
What a peer is told stands in a prefix list of its own: speakers of one autonomous system share a bgpd, as a peer may be
of both (IPv4 and IPv6, say), and each of their peers learns only what its speakers advertise.
Source: FRR 8, "BGP" and "Filtering".
"""

import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address
from typing import NamedTuple

from alcor.pipeline.view import View

CONNECT_S = 2
"""How often a peer that does not answer is tried."""
KEEPALIVE_S, HOLD_S = 10, 30
# RFC 2385 as Linux has it: at most 80 bytes; what is not printable could not stand in a line.
_PASSWORD = re.compile(r"[!-~]{1,80}")
_FAMILY = {4: "ipv4", 6: "ipv6"}
_LIST = {4: "ip", 6: "ipv6"}
_SET = {4: "set ip next-hop", 6: "set ipv6 next-hop global"}


class Peer(NamedTuple):
    """A neighbour. `versions`: of the routes it is told, sorted."""

    ip: str
    remote_as: int
    password: str
    versions: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Speech:
    """All that one autonomous system's bgpd is to say.

    `source`: the address sessions are opened from, empty: the host's choice. `peers`: by address. `routes`: prefix →
    next hop. `told`: peer's address → the prefixes it is told.
    """

    local_as: int
    router_id: str
    source: str = ""
    peers: dict[str, Peer] = field(default_factory=dict)
    routes: dict[str, str] = field(default_factory=dict)
    told: dict[str, frozenset[str]] = field(default_factory=dict)


def router_id_of(host_id: str, addresses: Iterable[str]) -> str:
    """A host's BGP identifier: its first IPv4 tunnel address, or else a number of its own, the same for ever."""
    for address in addresses:
        if ":" not in address:
            return address
    number = int.from_bytes(hashlib.sha256(host_id.encode()).digest()[:4], "big")
    return str(IPv4Address(number | 1))


def version_of(text: str) -> int:
    """Of an address or prefix in canonical text."""
    return 6 if ":" in text else 4


def speeches(view: View, source: str) -> dict[int, Speech]:
    """What the host's speakers are to say, by autonomous system; those without a peer say nothing.

    Of several next hops of one prefix the first in order of text counts: BGP tells one. A peer whose password cannot be
    used is left out (`unusable`). Cost: O(routes).
    """
    found: dict[int, Speech] = {}
    host = view.host
    if host is None:
        return found
    routes: dict[str, set[tuple[str, str]]] = {}
    for item in view.bgp_routes.values():
        routes.setdefault(item.speaker_id, set()).update(
            (one.destination, one.next_hop) for one in item.routes
        )
    router_id = router_id_of(host.id, host.vtep_addresses)
    for id, speaker in sorted(view.bgp_speakers.items()):
        peers = [peer for peer in speaker.peers if _usable(peer.password)]
        if not peers:
            continue
        speech = found.setdefault(speaker.local_as, Speech(speaker.local_as, router_id, source))
        told = routes.get(id, set())
        for destination, hop in told:
            speech.routes[destination] = min(hop, speech.routes.get(destination, hop))
        for peer in peers:
            before = speech.peers.get(peer.ip)
            versions = {speaker.ip_version} | set(before.versions if before is not None else ())
            speech.peers[peer.ip] = Peer(peer.ip, peer.remote_as, peer.password, tuple(sorted(versions)))
            known = speech.told.get(peer.ip, frozenset())
            speech.told[peer.ip] = known | {destination for destination, _ in told}
    return found


def unusable(view: View) -> list[str]:
    """Addresses of peers whose password bgpd cannot take."""
    peers = {peer for speaker in view.bgp_speakers.values() for peer in speaker.peers}
    return sorted(peer.ip for peer in peers if not _usable(peer.password))


def _usable(password: str) -> bool:
    return not password or _PASSWORD.fullmatch(password) is not None


def rendered(speech: Speech) -> str:
    """The configuration file that bgpd starts with."""
    return "\n".join(("frr defaults traditional", *lines(None, speech), ""))


def lines(before: Speech | None, after: Speech) -> list[str]:
    """What leads from one state to the next, in an order in which no prefix is told with a wrong next hop or to a wrong
    peer. Both of one autonomous system, router id and source. Empty if they are equal.
    """
    old = before or Speech(after.local_as, after.router_id, after.source)
    gone = [peer for ip, peer in sorted(old.peers.items()) if after.peers.get(ip) != peer]
    come = [peer for ip, peer in sorted(after.peers.items()) if old.peers.get(ip) != peer]
    hops, new_hops = set(old.routes.values()), set(after.routes.values())
    kept = _permitted(old) - {(ip, to) for ip, to in _permitted(old) if ip in {peer.ip for peer in gone}}
    wanted = _permitted(after)
    found: list[str] = []
    if gone:
        found += [f"router bgp {after.local_as}", *(f" no neighbor {peer.ip}" for peer in gone), "exit"]
        found += [f"no {_LIST[v]} prefix-list to-{peer.ip}" for peer in gone for v in _listed(old, peer)]
    if before is None:
        found += ["route-map none deny 10", "exit"]
    for hop in sorted(new_hops - hops):
        found += [f"route-map via-{hop} permit 10", f" {_SET[version_of(hop)]} {hop}", "exit"]
    found += [_listing(ip, prefix) for ip, prefix in sorted(wanted - kept)]
    inside = list(_inside(old, after, come))
    if before is None or inside:
        start = _beginning(after) if before is None else ()
        found += [f"router bgp {after.local_as}", *start, *inside, "exit"]
    found += [f"no {_listing(ip, prefix)}" for ip, prefix in sorted(kept - wanted)]
    found += [f"no route-map via-{hop}" for hop in sorted(hops - new_hops)]
    return found


def _permitted(speech: Speech) -> set[tuple[str, str]]:
    return {(ip, prefix) for ip, prefixes in speech.told.items() for prefix in prefixes}


def _listed(speech: Speech, peer: Peer) -> list[int]:
    return sorted({version_of(prefix) for prefix in speech.told.get(peer.ip, ())})


def _listing(ip: str, prefix: str) -> str:
    return f"{_LIST[version_of(prefix)]} prefix-list to-{ip} permit {prefix}"


def _beginning(speech: Speech) -> tuple[str, ...]:
    return (
        f" bgp router-id {speech.router_id}",
        " no bgp default ipv4-unicast",
        " no bgp ebgp-requires-policy",
        # There is no zebra to ask whether the host itself has such a route.
        " no bgp network import-check",
        " bgp graceful-restart",
        " bgp graceful-restart preserve-fw-state",
        # Who is told that a session ends on purpose forgets its routes at once.
        " no bgp graceful-restart notification",
    )


def _inside(old: Speech, new: Speech, come: list[Peer]) -> Iterator[str]:
    """The lines of `router bgp`: new peers, then the prefixes of each address family."""
    for peer in come:
        yield f" neighbor {peer.ip} remote-as {peer.remote_as}"
        if peer.password:
            yield f" neighbor {peer.ip} password {peer.password}"
        if peer.remote_as != new.local_as:
            yield f" neighbor {peer.ip} ebgp-multihop 255"
        if new.source and version_of(new.source) == version_of(peer.ip):
            yield f" neighbor {peer.ip} update-source {new.source}"
        yield f" neighbor {peer.ip} timers {KEEPALIVE_S} {HOLD_S}"
        yield f" neighbor {peer.ip} timers connect {CONNECT_S}"
        yield f" neighbor {peer.ip} advertisement-interval 0"
    for version, family in _FAMILY.items():
        routes = [
            *(
                f"  no network {to}"
                for to in sorted(old.routes)
                if to not in new.routes and version_of(to) == version
            ),
            *(
                f"  network {to} route-map via-{hop}"
                for to, hop in sorted(new.routes.items())
                if old.routes.get(to) != hop and version_of(to) == version
            ),
        ]
        peers = [line for peer in come if version in peer.versions for line in _activated(peer, new.local_as)]
        if routes or peers:
            yield from (f" address-family {family} unicast", *routes, *peers, " exit-address-family")


def _activated(peer: Peer, local_as: int) -> Iterator[str]:
    yield f"  neighbor {peer.ip} activate"
    if peer.remote_as != local_as:
        yield f"  neighbor {peer.ip} attribute-unchanged next-hop"
    yield f"  neighbor {peer.ip} prefix-list to-{peer.ip} out"
    yield f"  neighbor {peer.ip} route-map none in"
