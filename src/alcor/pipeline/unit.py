"""Units: the parts of the view that own flows. A flow belongs to exactly one unit, and its cookie says which."""

from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

from alcor.pipeline.flow import Action, Flow, Match, Term
from alcor.pipeline.tables import (
    COOKIE_HASH_BYTES,
    COOKIE_KIND_SHIFT,
    COOKIE_OURS,
    NETWORK,
    Table,
    UnitKind,
)


class Unit(NamedTuple):
    """What owns flows. `id`: of what it is about; `sub`: of a neighbour, its port id (`id` is the network's).

    Of a policy `id` is its group ids, joined by commas; of a set the address or prefix in CIDR form.
    """

    kind: UnitKind
    id: str = ""
    sub: str = ""


class Rule(NamedTuple):
    """A flow before it is known whose it is.

    `priority`: a band, or a number where the feature orders its flows itself (routes, ACLs). `about`: the id of what
    decided (a security group rule, a route's destination …), for whoever asks why; it is not in the switch.
    """

    table: Table
    priority: int
    match: Match
    actions: tuple[Action, ...]
    about: str = ""


SHARED = Unit(UnitKind.SHARED)

# Flows of one network or host share parts, which saves memory and the collector's time: one value per network, or
# per (network, host), of a host's working set.
SHARED_VALUES_MAX = 16_384


@lru_cache(SHARED_VALUES_MAX)
def in_network(key: int) -> Term:
    """The condition that a packet is of a network."""
    return Term(NETWORK, key)


def port_unit(port_id: str) -> Unit:
    """The unit of a local port."""
    return Unit(UnitKind.PORT, port_id)


def network_unit(network_id: str) -> Unit:
    """The unit of a network's own flows."""
    return Unit(UnitKind.NETWORK, network_id)


def flood_unit(network_id: str) -> Unit:
    """The unit of a network's broadcast and multicast."""
    return Unit(UnitKind.FLOOD, network_id)


def neighbour_unit(network_id: str, port_id: str) -> Unit:
    """The unit of one port as its network sees it."""
    return Unit(UnitKind.NEIGHBOUR, network_id, port_id)


# Bounded by the units of one host's working set; a miss costs 1 µs.
@lru_cache(65_536)
def cookie_of(unit: Unit) -> int:
    """The cookie of a unit's flows: never 0, the same for ever. Two units may share one (48-bit hash)."""
    digest = blake2b(f"{unit.id}/{unit.sub}".encode(), digest_size=COOKIE_HASH_BYTES).digest()
    return COOKIE_OURS | unit.kind << COOKIE_KIND_SHIFT | int.from_bytes(digest, "big")


def stamp(unit: Unit, rules: list[Rule]) -> tuple[Flow, ...]:
    """The rules as the unit's flows."""
    cookie = cookie_of(unit)
    return tuple(
        Flow(int(rule.table), int(rule.priority), rule.match, rule.actions, cookie) for rule in rules
    )
