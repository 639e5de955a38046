"""Goal-state items: small frozen facts in network terms, keyed by (kind, id) inside their scope.

An item says everything about its subject (absolute, never a difference), in canonical form: equal facts are
equal values. Tuples that are sets in meaning are sorted.
"""

from enum import StrEnum
from typing import NamedTuple

import msgspec

from alcor.goalstate.bgp_item import BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.router_item import FloatingIpItem, GatewayHost, GatewayItem, RouterItem
from alcor.goalstate.scope import (
    Scope,
    addresses_scope,
    hosts_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    qos_scope,
    router_scope,
    scopes_of_port,
)
from alcor.goalstate.security_item import FirewallItem, Member, NetworkAclItem, Prefix, RulesItem


class ItemKind(StrEnum):
    """What an item is about."""

    HOST = "host"
    LOCAL_PORT = "local_port"
    NETWORK = "network"
    SUBNET = "subnet"
    NETWORK_HOST = "network_host"
    NEIGHBOUR = "neighbour"
    REGION = "region"
    CLAIM = "claim"
    ROUTER = "router"
    GATEWAY = "gateway"
    FLOATING_IP = "floating_ip"
    RULES = "rules"
    MEMBER = "member"
    PREFIX = "prefix"
    QOS = "qos"
    NETWORK_ACL = "network_acl"
    FIREWALL = "firewall"
    BGP_SPEAKER = "bgp_speaker"
    BGP_ROUTES = "bgp_routes"
    RELAY = "relay"
    NETWORK_RELAYS = "network_relays"
    RELEASE = "release"
    RESCUE = "rescue"
    OPEN_HOST = "open_host"


class Key(NamedTuple):
    """An item's name inside its scope."""

    kind: ItemKind
    id: str


class BridgeMapping(msgspec.Struct, frozen=True, gc=False):
    """Which bridge of the host leads to a physical network."""

    physical_network: str
    bridge: str


class HostItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The host itself. Scope: host. `token_digest`: SHA-256 (hex) of its agent's secret; `key_digest`: of its public
    key, if the host has joined. Each is empty if the agent may not prove itself that way.

    `mac`: the host's own MAC on provider networks, where several hosts must not send with one router's.
    """

    id: str
    name: str
    vtep_addresses: tuple[str, ...]
    token_digest: str
    bridge_mappings: tuple[BridgeMapping, ...] = ()
    mac: str = ""
    key_digest: str = ""


class Address(msgspec.Struct, frozen=True, gc=False):
    """One fixed address of a local port."""

    subnet_id: str
    ip: str


class AddressPair(msgspec.Struct, frozen=True, order=True, gc=False):
    """An address (CIDR form) and MAC that a port may use besides its own."""

    cidr: str
    mac: str


class DhcpOption(msgspec.Struct, frozen=True, order=True, gc=False):
    """An extra DHCP option of a port. `name`: as the Networking API has it, or the option's number as text."""

    ip_version: int
    name: str
    value: str


class TrunkParent(msgspec.Struct, frozen=True, gc=False):
    """Where a subport's frames come from: the VIF of its trunk's parent port, with this VLAN id."""

    port_id: str
    vlan: int


class LocalPort(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A port bound to this host. Scope: host.

    `groups`: None is *unknown* and closed; empty is none (default deny where port security is on).
    `routers`: the routers with an interface on the port's network, sorted: what a packet of the port may meet.
    `qos`: its own QoS policy or else its network's. `is_active`: False is the second binding of a live migration: the
    VIF may be plugged, and nothing is sent to it yet. `trunk`: set for a subport; such a port has no VIF of its own.
    `device_id`, `project_id`: the instance's identity, for the metadata service. `dns_name`: its short name.
    """

    id: str
    network_id: str
    name: str
    mac: str
    addresses: tuple[Address, ...]
    admin_state_up: bool
    port_security_enabled: bool
    groups: tuple[str, ...] | None
    routers: tuple[str, ...] = ()
    qos: str | None = None
    pairs: tuple[AddressPair, ...] = ()
    dhcp_options: tuple[DhcpOption, ...] = ()
    trunk: TrunkParent | None = None
    is_active: bool = True
    device_id: str = ""
    project_id: str = ""
    dns_name: str = ""


class NetworkItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A network. Scope: network. `segmentation_id`: VNI or key of an overlay network, VLAN id of a VLAN one, 0 if none.

    `physical_network`: of a VLAN or flat network. `is_external`: routers may have their gateway on it. `acls`: the ACLs
    that guard it, sorted: its scope is whole only with them (`parts`).
    """

    id: str
    network_type: str
    segmentation_id: int
    mtu: int
    admin_state_up: bool
    physical_network: str | None = None
    is_external: bool = False
    dns_domain: str = ""
    acls: tuple[str, ...] = ()


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
    """A host with ports of the network: broadcast and multicast go there. Scope: network, hosts. id: the host's."""

    id: str
    vtep: str


class OpenHost(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A host with a port without port security: unknown unicast goes there. Scope: network. id: the host's."""

    id: str
    vtep: str


class Neighbour(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A bound port as the rest of its network sees it. Scope: neighbours. id: the port's.

    `dns_name`: its short name in the network's domain; empty if it has none.
    """

    id: str
    mac: str
    ips: tuple[str, ...]
    host_id: str
    vtep: str
    groups: tuple[str, ...] | None
    dns_name: str = ""


class Claim(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An address that a port holds now although none was given it: a virtual IP (VRRP), one of its allowed pairs.

    Scope: neighbours. id: the address. The last claim wins; it yields to a neighbour with that address.
    """

    id: str
    mac: str
    port_id: str
    host_id: str
    vtep: str


class Limit(msgspec.Struct, frozen=True, order=True, gc=False):
    """An upper bound of one direction, as the VM sees it: kbit/s and kbit, or packets/s and packets; burst 0: ours."""

    is_ingress: bool
    rate: int
    burst: int


class QosItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A QoS policy, whole. Scope: qos. `bandwidth` in kbit/s, `packets` in packets/s. `dscp`: 0 … 63."""

    id: str
    bandwidth: tuple[Limit, ...] = ()
    packets: tuple[Limit, ...] = ()
    dscp: int | None = None


class RegionItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Parameters of all hosts. `responder_mac`: whom DHCP, ARP for the server id and RA answers come from.

    `dns_domain`: of networks that have none of their own. `dns_forwarders`: whom the agents ask for other names.
    `relay_above`: a network of more placed ports has relays; `flood_above`: on more hosts only these know all; 0: none.
    """

    id: str
    responder_mac: str
    dhcp_lease_s: int
    dns_domain: str = ""
    dns_forwarders: tuple[str, ...] = ()
    relay_above: int = 0
    flood_above: int = 0


class RelayItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """This host is a relay of a network: it holds all its neighbours and hosts. Scope: host. id: the network's."""

    id: str


class NetworkRelays(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """The relays of a large network: who lacks knowledge sends to one that lives. Scope: network. id: the network's."""

    id: str
    hosts: tuple[GatewayHost, ...]


CALM = "calm"


class ReleaseItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What hosts may let go of (protocol, section 2). Scope: region.

    id: `release`, an operator said so; `CALM`, no host has a living port that is not known: hosts without any let go.
    `epoch`: through this one, histories are right, and nothing is held because one began. `number`: counts releases; a
    new one lets go of whatever is held at that moment.
    """

    id: str
    epoch: int
    number: int


class RescueItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """An agent is dead and its switch lives: who programs that. Scope: host, the rescuer's and the rescued one's own.

    id: the rescued host's. `rescuer_id`, `rescuer_key`: the host whose agent may, and its key's digest; `addresses`:
    where the switch listens; `generation`: of the lease, which grows with each (32 bits).
    """

    id: str
    rescuer_id: str
    rescuer_key: str
    addresses: tuple[str, ...]
    generation: int


Item = (
    HostItem
    | LocalPort
    | NetworkItem
    | SubnetItem
    | NetworkHost
    | OpenHost
    | Neighbour
    | RegionItem
    | Claim
    | RouterItem
    | GatewayItem
    | FloatingIpItem
    | RulesItem
    | Member
    | Prefix
    | QosItem
    | NetworkAclItem
    | FirewallItem
    | BgpSpeakerItem
    | BgpRoutesItem
    | RelayItem
    | NetworkRelays
    | ReleaseItem
    | RescueItem
)

KINDS: dict[type, ItemKind] = {
    HostItem: ItemKind.HOST,
    LocalPort: ItemKind.LOCAL_PORT,
    NetworkItem: ItemKind.NETWORK,
    SubnetItem: ItemKind.SUBNET,
    NetworkHost: ItemKind.NETWORK_HOST,
    Neighbour: ItemKind.NEIGHBOUR,
    RegionItem: ItemKind.REGION,
    Claim: ItemKind.CLAIM,
    RouterItem: ItemKind.ROUTER,
    GatewayItem: ItemKind.GATEWAY,
    FloatingIpItem: ItemKind.FLOATING_IP,
    RulesItem: ItemKind.RULES,
    Member: ItemKind.MEMBER,
    Prefix: ItemKind.PREFIX,
    QosItem: ItemKind.QOS,
    NetworkAclItem: ItemKind.NETWORK_ACL,
    FirewallItem: ItemKind.FIREWALL,
    BgpSpeakerItem: ItemKind.BGP_SPEAKER,
    BgpRoutesItem: ItemKind.BGP_ROUTES,
    RelayItem: ItemKind.RELAY,
    NetworkRelays: ItemKind.NETWORK_RELAYS,
    ReleaseItem: ItemKind.RELEASE,
    RescueItem: ItemKind.RESCUE,
    OpenHost: ItemKind.OPEN_HOST,
}
TYPES: dict[ItemKind, type] = {kind: type_ for type_, kind in KINDS.items()}

State = dict[Key, Item]
"""What a scope holds."""


def key_of(item: Item) -> Key:
    """The item's key inside its scope."""
    return Key(KINDS[type(item)], item.id)


def parts(item: Item) -> tuple[Key, ...]:
    """The items that must stand beside this one in its scope: a rule that restricts is not to be missed (I10)."""
    match item:
        case NetworkItem():
            return tuple([Key(ItemKind.NETWORK_ACL, id) for id in item.acls])
        case RouterItem():
            return tuple([Key(ItemKind.FIREWALL, id) for id in item.firewalls])
        case _:
            return ()


def refers(item: Item) -> tuple[Scope, ...]:
    """The scopes a holder of `item` needs too (protocol, section 3). Each once, in a fixed order."""
    match item:
        case LocalPort():
            enforced = item.groups or () if item.port_security_enabled else ()
            return scopes_of_port(item.network_id, item.routers, enforced, item.qos)
        case RouterItem():
            inner = {interface.network_id for interface in item.interfaces}
            inner |= {route.network_id for route in item.routes if route.network_id is not None}
            scopes = [scope(id) for id in sorted(inner) for scope in (network_scope, neighbours_scope)]
            return (*scopes, *(qos_scope(id) for id in sorted({g.qos for g in item.gateways if g.qos})))
        case GatewayItem():
            return (router_scope(item.id), *(network_scope(id) for id in item.networks))
        case FloatingIpItem():
            outer = (router_scope(item.router_id), network_scope(item.network_id))
            return outer if item.qos is None else (*outer, qos_scope(item.qos))
        case RelayItem():
            return (network_scope(item.id), neighbours_scope(item.id), hosts_scope(item.id))
        case RulesItem():
            groups = sorted({rule.group for rule in item.rules if rule.group is not None})
            addresses = sorted({rule.addresses for rule in item.rules if rule.addresses is not None})
            return (*map(members_scope, groups), *map(addresses_scope, addresses))
        case _:
            return ()
