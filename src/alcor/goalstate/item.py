"""Goal-state items: small frozen facts in network terms, keyed by (kind, id) inside their scope.

An item says everything about its subject (absolute, never a difference), in canonical form: equal facts are
equal values. Tuples that are sets in meaning are sorted.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from alcor.goalstate.scope import Scope, neighbours_scope, network_scope


class ItemKind(StrEnum):
    """What an item is about."""

    HOST = "host"
    LOCAL_PORT = "local_port"
    NETWORK = "network"
    SUBNET = "subnet"
    NETWORK_HOST = "network_host"
    NEIGHBOUR = "neighbour"
    REGION = "region"


class Key(NamedTuple):
    """An item's name inside its scope."""

    kind: ItemKind
    id: str


class HostItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The host itself. Scope: host. `token_digest`: SHA-256 (hex) of its agent's secret."""

    id: str
    name: str
    vtep_addresses: tuple[str, ...]
    token_digest: str


class Address(msgspec.Struct, frozen=True, gc=False):
    """One fixed address of a local port."""

    subnet_id: str
    ip: str


class LocalPort(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A port bound to this host. Scope: host.

    `groups`: None is *unknown* and closed once groups are enforced; empty is none.
    """

    id: str
    network_id: str
    name: str
    mac: str
    addresses: tuple[Address, ...]
    admin_state_up: bool
    port_security_enabled: bool
    groups: tuple[str, ...] | None


class NetworkItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A network. Scope: network. `segmentation_id` is the VNI of an overlay network."""

    id: str
    network_type: str
    segmentation_id: int
    mtu: int
    admin_state_up: bool


class Route(msgspec.Struct, frozen=True, gc=False):
    """A route told by DHCP."""

    destination: str
    nexthop: str


class SubnetItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A subnet and what DHCP and router advertisements say of it. Scope: network."""

    id: str
    network_id: str
    cidr: str
    gateway_ip: str | None
    dns_nameservers: tuple[str, ...]
    host_routes: tuple[Route, ...]
    enable_dhcp: bool
    ipv6_ra_mode: str | None
    ipv6_address_mode: str | None


class NetworkHost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A host that holds ports of the network: broadcast and multicast go there. Scope: network. id: the host's."""

    id: str
    vtep: str


class Neighbour(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A bound port as the rest of its network sees it. Scope: neighbours. id: the port's."""

    id: str
    mac: str
    ips: tuple[str, ...]
    host_id: str
    vtep: str
    groups: tuple[str, ...] | None


class RegionItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Parameters of all hosts. `responder_mac`: whom DHCP, ARP for the server id and RA answers come from."""

    id: str
    responder_mac: str
    dhcp_lease_s: int


Item = HostItem | LocalPort | NetworkItem | SubnetItem | NetworkHost | Neighbour | RegionItem

KINDS: dict[type, ItemKind] = {
    HostItem: ItemKind.HOST,
    LocalPort: ItemKind.LOCAL_PORT,
    NetworkItem: ItemKind.NETWORK,
    SubnetItem: ItemKind.SUBNET,
    NetworkHost: ItemKind.NETWORK_HOST,
    Neighbour: ItemKind.NEIGHBOUR,
    RegionItem: ItemKind.REGION,
}
TYPES: dict[ItemKind, type] = {kind: type_ for type_, kind in KINDS.items()}

State = dict[Key, Item]
"""What a scope holds."""


def key_of(item: Item) -> Key:
    """The item's key inside its scope."""
    return Key(KINDS[type(item)], item.id)


def refers(item: Item) -> tuple[Scope, ...]:
    """The scopes a holder of `item` needs too (protocol, section 3)."""
    if isinstance(item, LocalPort):
        return (network_scope(item.network_id), neighbours_scope(item.network_id))
    return ()
