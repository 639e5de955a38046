"""What an item of a scope that may be held on demand is asked for by: its subjects, texts in canonical form.

Of a neighbour its MAC, its addresses and its short DNS name; of a claim its address and MAC; of a group's member its
prefixes, those of one address without their length. No two kinds of text look alike: a label of a name has no dot and
no colon, a MAC is no IPv6 address.
"""

from collections.abc import Iterable
from contextlib import suppress
from ipaddress import ip_address

from alcor.goalstate.item import Claim, Item, Neighbour
from alcor.goalstate.scope import ScopeKind
from alcor.goalstate.security_item import Member

LAZY_KINDS = frozenset((ScopeKind.NEIGHBOURS, ScopeKind.MEMBERS))
"""Scopes that are held on demand when they are large."""


def subjects(item: Item) -> tuple[str, ...]:
    """What this item is asked for by; empty for kinds that are never asked for. Cost: O(its addresses)."""
    match item:
        case Neighbour():
            return (item.mac, *item.ips, item.dns_name) if item.dns_name else (item.mac, *item.ips)
        case Claim():
            return (item.id, item.mac)
        case Member():
            return tuple([subject_of_cidr(cidr) for cidr in item.cidrs])
        case _:
            return ()


def addresses_of(texts: Iterable[str]) -> dict[str, None]:
    """Those of the subjects of neighbours that are addresses: of members they may be subjects too."""
    found: dict[str, None] = {}
    for text in texts:
        with suppress(ValueError):
            found[str(ip_address(text))] = None
    return found


def subject_of_cidr(cidr: str) -> str:
    """A prefix of one address is the address, any other is itself."""
    address, _, length = cidr.partition("/")
    return address if length == ("128" if ":" in address else "32") else cidr
