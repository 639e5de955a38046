"""Scopes: the units of delivery. Every item belongs to exactly one (I6).

    scope          holds                                                refers to
    host(h)        the host, its ports, gateways and floating IPs       network, neighbours, routers, rules, qos of each
                   it serves, firewalls of its ports; BGP speakers and  port; router and network of each gateway and
                   their routes; networks it is a relay of              floating IP; network, neighbours, hosts of each
                                                                        network it relays
    network(n)     the network, its subnets, ACLs, relays; hosts with   nothing
                   ports, unless they are many and relays know them
    hosts(n)       the hosts with ports of a network that has relays    nothing
    neighbours(n)  one item per port: MAC, addresses, VTEP, groups;     nothing
                   claimed addresses
    router(r)      interfaces and routes as one item; firewalls         network, neighbours of inner networks; qos
    rules(g)       a security group's rules as one item                 members, addresses
    members(g)     one item per port of a security group                nothing
    addresses(a)   one item per prefix of an address group              nothing
    qos(p)         a QoS policy                                         nothing
    region         parameters of all hosts                              nothing

Every host needs `region`. A host's closure is its host scope, what that refers to, and so on, and `region`: depth 3
so far, at most `CLOSURE_DEPTH_MAX` for ever. A network does not refer to its routers (a port does), so that the
closure stops at the networks of a port's own routers.
"""

from enum import StrEnum
from functools import lru_cache
from typing import NamedTuple
from zlib import crc32

# Fixed for ever: a scope never changes shard within an epoch (protocol, section 3).
SHARDS = 64
CLOSURE_DEPTH_MAX = 4
# Scopes whose shard is at hand; as many as an ncm serves hosts with their networks. Some 200 octets each.
_SHARDS_KEPT = 1 << 15
# Of ports alike (network, routers, groups, policy) what they refer to is at hand once: some 500 octets each.
_PORTS_KEPT = 1 << 14


class ScopeKind(StrEnum):
    """What a scope is about."""

    HOST = "host"
    NETWORK = "network"
    NEIGHBOURS = "neighbours"
    HOSTS = "hosts"
    ROUTER = "router"
    RULES = "rules"
    MEMBERS = "members"
    ADDRESSES = "addresses"
    QOS = "qos"
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


def hosts_scope(network_id: str) -> Scope:
    """The scope of the hosts with ports of one network, as its relays hold it."""
    return Scope(ScopeKind.HOSTS, network_id)


def router_scope(router_id: str) -> Scope:
    """The scope of one router."""
    return Scope(ScopeKind.ROUTER, router_id)


def rules_scope(group_id: str) -> Scope:
    """The scope of one security group's rules."""
    return Scope(ScopeKind.RULES, group_id)


def members_scope(group_id: str) -> Scope:
    """The scope of the ports of one security group."""
    return Scope(ScopeKind.MEMBERS, group_id)


def addresses_scope(address_group_id: str) -> Scope:
    """The scope of one address group."""
    return Scope(ScopeKind.ADDRESSES, address_group_id)


def qos_scope(policy_id: str) -> Scope:
    """The scope of one QoS policy."""
    return Scope(ScopeKind.QOS, policy_id)


@lru_cache(_SHARDS_KEPT)
def shard_of(scope: Scope) -> int:
    """The virtual shard of a scope, in [0, SHARDS): a hash that no release may change."""
    return crc32(str(scope).encode()) % SHARDS


@lru_cache(_PORTS_KEPT)
def scopes_of_port(
    network_id: str, routers: tuple[str, ...], groups: tuple[str, ...], qos: str | None
) -> tuple[Scope, ...]:
    """The scopes that a port on its host refers to. `groups`: those that are enforced."""
    found = [network_scope(network_id), neighbours_scope(network_id)]
    found += [router_scope(id) for id in routers]
    found += [rules_scope(id) for id in groups]
    found += [qos_scope(qos)] if qos is not None else []
    return tuple(found)
