"""VPNs of a router to sites elsewhere: services, endpoint groups and connections.

Source: Networking API v2.0, "VPNaaS 2.0"; extensions vpnaas, vpn-endpoint-groups, vpn-flavors.
"""

from typing import Any

import msgspec

from alcor.model.resource import REQUIRED, Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import DESCRIPTION, ID, NAME, PROJECT_ID
from alcor.model.value import CIDR, Boolean, Choice, Cleared, Integer, ListOf, Nullable, Parsed, Text, Uuid
from alcor.model.vpn_policy import IKE_POLICY, IPSEC_POLICY, PREFIX, SEEN_BY_MEMBERS, Some

CIDRS, SUBNETS = "cidr", "subnet"
_ENDPOINTS_MAX = 1_000


class Dpd(msgspec.Struct, frozen=True, gc=False):
    """How a dead peer is detected: asked every `interval` seconds, given up after `timeout`."""

    action: str = "hold"
    interval: int = 30
    timeout: int = 120


class VpnService(Entity, frozen=True, kw_only=True, gc=False):
    """A router that may have connections. `subnet_id`: the one subnet they are for; None: they say it themselves."""

    router_id: str
    subnet_id: str | None = None
    flavor_id: str | None = None
    admin_state_up: bool = True


class EndpointGroup(Entity, frozen=True, kw_only=True, gc=False):
    """Ends of connections, all of one type."""

    type: str
    endpoints: tuple[str, ...] = ()


class Connection(Entity, frozen=True, kw_only=True, gc=False):
    """A tunnel between a router and a peer."""

    vpnservice_id: str
    ikepolicy_id: str
    ipsecpolicy_id: str
    peer_address: str
    peer_id: str
    psk: str
    local_id: str = ""
    peer_cidrs: tuple[str, ...] = ()
    local_ep_group_id: str | None = None
    peer_ep_group_id: str | None = None
    mtu: int = 1_500
    initiator: str = "bi-directional"
    dpd: Dpd = Dpd()
    admin_state_up: bool = True


def _computed(name: str, type_: Any, text: str, **more: Any) -> Attribute:
    return Attribute(name, type_, create=Who.NOBODY, update=Who.NOBODY, stored=False, text=text, **more)


def _fixed(name: str, refers: str, text: str) -> Attribute:
    """A reference that is said once, on create."""
    return Attribute(name, Uuid(), default=REQUIRED, update=Who.NOBODY, column=True, refers=refers, text=text)


_DESCRIBED = (ID, NAME, PROJECT_ID, DESCRIPTION)
_UP = Attribute("admin_state_up", Boolean(), default=True, text="Whether it is to work.")
_STATUS = _computed(
    "status", Text(), "DOWN: hosts of this region build no such tunnels.", derive=lambda _row: "DOWN"
)

VPN_SERVICE = Resource(
    name="vpnservice",
    collection="vpnservices",
    prefix=PREFIX,
    entity=VpnService,
    error_name="VPNService",
    quota="vpnservice",
    policy=SEEN_BY_MEMBERS,
    text="A router that may have VPN connections.",
    columns_shown=("id", "name", "router_id", "subnet_id", "flavor_id", "admin_state_up", "status"),
    attributes=(
        *_DESCRIBED,
        _fixed("router_id", "router", "The router."),
        Attribute(
            "subnet_id",
            Nullable(Uuid()),
            default=None,
            update=Who.NOBODY,
            column=True,
            refers="subnet",
            text="The subnet of the router's that connections are for; null: each says it by endpoint groups.",
        ),
        Attribute(
            "flavor_id",
            Nullable(Uuid()),
            default=None,
            update=Who.NOBODY,
            column=True,
            refers="flavor",
            text="The flavor of the service; null for the one there is.",
        ),
        _UP,
        _computed("external_v4_ip", Nullable(Text()), "The router's outer IPv4 address, where tunnels end."),
        _computed("external_v6_ip", Nullable(Text()), "The router's outer IPv6 address, where tunnels end."),
        _STATUS,
    ),
)


def _subnets_of(row: Any) -> list[tuple[Any, ...]]:
    return [(id,) for id in row.endpoints] if row.type == SUBNETS else []


ENDPOINT_GROUP = Resource(
    name="endpoint_group",
    collection="endpoint-groups",
    prefix=PREFIX,
    entity=EndpointGroup,
    error_name="VPNEndpointGroup",
    quota="endpoint_group",
    policy=SEEN_BY_MEMBERS,
    text="Ends of VPN connections, all of one type.",
    columns_shown=("id", "name", "type", "endpoints"),
    lookups=(Lookup("subnets", ("subnet_id",), _subnets_of, refers={"subnet_id": "subnet"}),),
    attributes=(
        *_DESCRIBED,
        Attribute(
            "type",
            Choice((SUBNETS, CIDRS, "vlan", "network", "router")),
            default=REQUIRED,
            update=Who.NOBODY,
            text="What the ends are; local ones of connections are subnets, those of peers are CIDRs.",
        ),
        Attribute(
            "endpoints",
            Cleared(ListOf(Text(255, 1), _ENDPOINTS_MAX, unique=False), ()),
            default=(),
            update=Who.NOBODY,
            filters=False,
            sorts=False,
            text="The ends: IDs, or prefixes.",
        ),
    ),
)


def _peer(text: str) -> str:
    if not text.strip() or len(text) > 255:
        raise ValueError(f"'{text[:64]}' is not an address")
    return text.strip()


_GROUP_ID = Nullable(Uuid())

CONNECTION = Resource(
    name="ipsec_site_connection",
    collection="ipsec-site-connections",
    prefix=PREFIX,
    entity=Connection,
    error_name="IPsecSiteConnection",
    quota="ipsec_site_connection",
    policy=SEEN_BY_MEMBERS,
    text="A tunnel between a router and a site elsewhere.",
    columns_shown=("id", "name", "peer_address", "auth_mode", "status"),
    attributes=(
        *_DESCRIBED,
        _fixed("vpnservice_id", "vpnservice", "The service, and with it the router."),
        _fixed("ikepolicy_id", "ikepolicy", "How the ends agree on keys."),
        _fixed("ipsecpolicy_id", "ipsecpolicy", "How packets are protected."),
        Attribute(
            "peer_address", Parsed(_peer, "address"), default=REQUIRED, text="The peer's address or name."
        ),
        Attribute("peer_id", Text(255), default=REQUIRED, text="What the peer calls itself."),
        Attribute(
            "psk",
            Text(255),
            default=REQUIRED,
            secret=True,
            filters=False,
            sorts=False,
            text="The key both ends know.",
        ),
        Attribute(
            "local_id", Text(255), default="", text='What this end calls itself; "" is its outer address.'
        ),
        Attribute(
            "peer_cidrs",
            Cleared(ListOf(CIDR, _ENDPOINTS_MAX), ()),
            default=(),
            filters=False,
            sorts=False,
            text="The prefixes behind the peer, if the service has a subnet.",
        ),
        Attribute(
            "local_ep_group_id",
            _GROUP_ID,
            default=None,
            column=True,
            refers="endpoint_group",
            text="The subnets at this end, if the service has none.",
        ),
        Attribute(
            "peer_ep_group_id",
            _GROUP_ID,
            default=None,
            column=True,
            refers="endpoint_group",
            text="The prefixes behind the peer, if the service has no subnet.",
        ),
        Attribute("mtu", Integer(0, 65_535), default=1_500, text="The tunnel's MTU, bytes."),
        Attribute(
            "initiator",
            Choice(("bi-directional", "response-only")),
            default="bi-directional",
            text="Whether this end may begin.",
        ),
        Attribute(
            "dpd",
            Some(
                {
                    "action": Choice(("clear", "disabled", "hold", "restart", "restart-by-peer")),
                    "interval": Integer(),
                    "timeout": Integer(),
                },
                Dpd,
            ),
            default={},
            filters=False,
            sorts=False,
            text="How a dead peer is detected: action hold, interval 30 s and timeout 120 s unless said.",
        ),
        _UP,
        _computed("auth_mode", Text(), "psk: by a key both know.", derive=lambda _row: "psk"),
        _computed("route_mode", Text(), "static: packets follow the prefixes.", derive=lambda _row: "static"),
        _STATUS,
    ),
)

VPN = (IKE_POLICY, IPSEC_POLICY, VPN_SERVICE, ENDPOINT_GROUP, CONNECTION)
