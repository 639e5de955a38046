"""Scopes: the units of delivery. Every item belongs to exactly one (I6).

    scope          holds                                                refers to
    host(h)        the host itself, its ports                           network, neighbours of each port's network
    network(n)     the network, its subnets, the hosts that hold ports  nothing yet (routers come later)
    neighbours(n)  one item per port: MAC, addresses, VTEP, groups      nothing
    region         parameters of all hosts                              nothing

Every host needs `region`. A host's closure is its host scope, what that refers to, and `region`: depth 2 so
far, at most `CLOSURE_DEPTH_MAX` for ever.
"""

from enum import StrEnum
from typing import NamedTuple
from zlib import crc32

# Fixed for ever: a scope never changes shard within an epoch (protocol, section 3).
SHARDS = 64
CLOSURE_DEPTH_MAX = 4


class ScopeKind(StrEnum):
    """What a scope is about."""

    HOST = "host"
    NETWORK = "network"
    NEIGHBOURS = "neighbours"
    REGION = "region"


class Scope(NamedTuple):
    """One unit of delivery. Text form: `network:<id>`; the region's is `region:`."""

    kind: ScopeKind
    id: str

    def __str__(self) -> str:
        return f"{self.kind.value}:{self.id}"


REGION = Scope(ScopeKind.REGION, "")


def host_scope(host_id: str) -> Scope:
    """The scope of one host."""
    return Scope(ScopeKind.HOST, host_id)


def network_scope(network_id: str) -> Scope:
    """The scope of one network's own facts."""
    return Scope(ScopeKind.NETWORK, network_id)


def neighbours_scope(network_id: str) -> Scope:
    """The scope of the ports of one network, as others see them."""
    return Scope(ScopeKind.NEIGHBOURS, network_id)


def shard_of(scope: Scope) -> int:
    """The virtual shard of a scope, in [0, SHARDS): a hash that no release may change."""
    return crc32(str(scope).encode()) % SHARDS
