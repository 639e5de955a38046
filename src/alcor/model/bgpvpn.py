"""BGP VPNs: networks, routers and ports of a project inside a VPN of the operator's backbone.

Source: Networking API v2.0, "BGP/MPLS VPN Interconnection"; extensions bgpvpn, bgpvpn-routes-control, bgpvpn-vni.
"""

import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from alcor.model.resource import REQUIRED, Attribute, Entity, Lookup, Parent, Resource, Who
from alcor.model.standard import COUNTED, DESCRIPTION, ID, NAME, PROJECT_ID
from alcor.model.value import (
    CIDR,
    Boolean,
    Choice,
    Cleared,
    Integer,
    ListOf,
    Nullable,
    Parsed,
    Schema,
    Uuid,
    ValueType,
)

PREFIX = "/v2.0/bgpvpn"
_TARGETS_MAX = 100
_ROUTES_MAX = 1_000
# Source: RFC 4271, section 4.3 (LOCAL_PREF); RFC 7348, section 5 (VNI).
_PREFERENCE = Integer(0, 2**32 - 1)
_VNI = Integer(1, 2**24 - 1)
_ADMIN = "rule:admin_only"


class BgpVpn(Entity, frozen=True, kw_only=True, gc=False):
    """A VPN. `import_targets`, `export_targets`: beside `route_targets`, which are both."""

    type: str = "l3"
    route_targets: tuple[str, ...] = ()
    import_targets: tuple[str, ...] = ()
    export_targets: tuple[str, ...] = ()
    route_distinguishers: tuple[str, ...] = ()
    vni: int | None = None
    local_pref: int | None = None


class NetworkAssociation(Entity, frozen=True, kw_only=True, gc=False):
    """A network in a VPN."""

    bgpvpn_id: str
    network_id: str


class RouterAssociation(Entity, frozen=True, kw_only=True, gc=False):
    """A router in a VPN, with all networks behind it."""

    bgpvpn_id: str
    router_id: str
    advertise_extra_routes: bool = True


class PortAssociation(Entity, frozen=True, kw_only=True, gc=False):
    """A port in a VPN. `routes`: as `Routes` has them."""

    bgpvpn_id: str
    port_id: str
    routes: tuple[dict[str, Any], ...] = ()
    advertise_fixed_ips: bool = True


def parse_target(text: str) -> str:
    """A route target or distinguisher: `<AS number or IPv4 address>:<number>`, 6 octets together. Raises: ValueError.

    Source: RFC 4364, section 4.2; RFC 4360, section 4.
    """
    first, colon, second = text.partition(":")
    if colon and _is_number(second):
        number = int(second)
        if _is_number(first):
            high = int(first)
            if (high < 2**16 and number < 2**32) or (high < 2**32 and number < 2**16):
                return text
        elif _is_address(first) and number < 2**16:
            return text
    raise ValueError(f"'{text}' is not a route target or distinguisher such as 64512:1 or 192.0.2.1:1")


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 10 and str(int(text)) == text


def _is_address(text: str) -> bool:
    try:
        ipaddress.IPv4Address(text)
    except ValueError:
        return False
    return True


_TARGETS = ListOf(Parsed(parse_target, "route target"), _TARGETS_MAX, unique=False)


@dataclass(frozen=True, slots=True)
class Targets:
    """A list of route targets; null is an empty one, and one alone may be said without a list."""

    def parse(self, value: object) -> tuple[str, ...]:
        if value is None:
            return ()
        parsed: tuple[str, ...] = _TARGETS.parse([value] if isinstance(value, str) else value)
        return parsed

    def schema(self) -> Schema:
        return {"anyOf": [_TARGETS.schema(), {"type": "string"}, {"type": "null"}]}


@dataclass(frozen=True, slots=True)
class VpnRoute:
    """What a port's association says beside its addresses: a prefix, or the routes of another VPN.

    `{"type": "prefix", "prefix": …}` or `{"type": "bgpvpn", "bgpvpn_id": …}`, each perhaps with `local_pref`.
    """

    def parse(self, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        kinds: dict[str, tuple[str, ValueType]] = {
            "prefix": ("prefix", CIDR),
            "bgpvpn": ("bgpvpn_id", Uuid()),
        }
        kind = value.get("type")
        if kind not in kinds:
            raise ValueError(f"'{kind}' is not a type of routes: there are {list(kinds)}")
        member, type_ = kinds[str(kind)]
        if set(value) - {"type", member, "local_pref"} or member not in value:
            raise ValueError(f"a route of type {kind} has 'type', '{member}' and perhaps 'local_pref'")
        preference = Nullable(_PREFERENCE).parse(value.get("local_pref"))
        return {"type": kind, member: type_.parse(value[member]), "local_pref": preference}

    def schema(self) -> Schema:
        return {
            "type": "object",
            "properties": {
                "type": {"type": "string", "enum": ["prefix", "bgpvpn"]},
                "prefix": CIDR.schema(),
                "bgpvpn_id": Uuid().schema(),
                "local_pref": Nullable(_PREFERENCE).schema(),
            },
            "required": ["type"],
            "additionalProperties": False,
        }


def _list_of(what: str) -> Attribute:
    return Attribute(
        f"{what}s",
        ListOf(Uuid()),
        create=Who.NOBODY,
        update=Who.NOBODY,
        stored=False,
        sorts=False,
        text=f"The IDs of its {what}s: those of its {what} associations.",
    )


def _targets(name: str, text: str) -> Attribute:
    return Attribute(
        name,
        Targets(),
        default=(),
        update=Who.ADMIN,
        see=Who.ADMIN,
        filters=False,
        sorts=False,
        text=text,
    )


BGPVPN = Resource(
    name="bgpvpn",
    collection="bgpvpns",
    prefix=PREFIX,
    entity=BgpVpn,
    error_name="BGPVPN",
    quota="bgpvpn",
    text="A VPN of the operator's backbone that a project's networks, routers and ports may be in.",
    columns_shown=("id", "name", "type"),
    policy={"create": _ADMIN, "delete": _ADMIN},
    attributes=(
        ID,
        NAME,
        PROJECT_ID,
        DESCRIPTION,
        Attribute(
            "type",
            Choice(("l3", "l2")),
            default="l3",
            update=Who.NOBODY,
            text="Whether it routes or bridges.",
        ),
        _targets("route_targets", "Route targets of what comes in and of what goes out."),
        _targets("import_targets", "Further route targets of what comes in."),
        _targets("export_targets", "Further route targets of what goes out."),
        _targets("route_distinguishers", "What makes the VPN's prefixes unlike those of others."),
        Attribute(
            "vni",
            Nullable(_VNI),
            default=None,
            update=Who.NOBODY,
            see=Who.ADMIN,
            text="The VXLAN network identifier; null: another one per host.",
        ),
        Attribute(
            "local_pref",
            Nullable(_PREFERENCE),
            default=None,
            text="The preference of its routes; null: the peers' own default.",
        ),
        _list_of("network"),
        _list_of("router"),
        _list_of("port"),
        *COUNTED,
    ),
)

_BGPVPN_ID = Attribute(
    "bgpvpn_id",
    Uuid(),
    create=Who.NOBODY,
    update=Who.NOBODY,
    see=Who.NOBODY,
    column=True,
    refers="bgpvpn",
    text="The VPN.",
)


def _member(what: str) -> Attribute:
    return Attribute(
        f"{what}_id",
        Uuid(),
        default=REQUIRED,
        update=Who.NOBODY,
        column=True,
        refers=what,
        text=f"The {what} that is in the VPN.",
    )


def _association(
    what: str,
    entity: type[Entity],
    error_name: str,
    *more: Attribute,
    lookups: tuple[Lookup, ...] = (),
) -> Resource:
    return Resource(
        name=f"{what}_association",
        collection=f"{what}_associations",
        entity=entity,
        error_name=error_name,
        parent=Parent("bgpvpn", "bgpvpn_id", bumps=False),
        text=f"A {what} in a VPN.",
        columns_shown=("id", f"{what}_id"),
        lookups=lookups,
        attributes=(ID, PROJECT_ID, DESCRIPTION, _BGPVPN_ID, _member(what), *more, *COUNTED),
    )


def _leaked(row: Any) -> list[tuple[Any, ...]]:
    """The VPNs whose routes an association names, each once."""
    return [(id,) for id in dict.fromkeys(route["bgpvpn_id"] for route in row.routes if "bgpvpn_id" in route)]


NETWORK_ASSOCIATION = _association("network", NetworkAssociation, "BGPVPNNetAssoc")

ROUTER_ASSOCIATION = _association(
    "router",
    RouterAssociation,
    "BGPVPNRouterAssoc",
    Attribute(
        "advertise_extra_routes",
        Boolean(),
        default=True,
        text="Whether the router's own routes are told to the VPN.",
    ),
)

PORT_ASSOCIATION = _association(
    "port",
    PortAssociation,
    "BGPVPNPortAssoc",
    Attribute(
        "routes",
        Cleared(ListOf(VpnRoute(), _ROUTES_MAX), ()),
        default=(),
        filters=False,
        sorts=False,
        text="Prefixes behind the port, and VPNs whose routes lead to it.",
    ),
    Attribute(
        "advertise_fixed_ips",
        Boolean(),
        default=True,
        text="Whether the port's own addresses are told to the VPN.",
    ),
    lookups=(Lookup("leaked", ("bgpvpn_id",), _leaked, refers={"bgpvpn_id": "bgpvpn"}),),
)

BGPVPNS = (BGPVPN, NETWORK_ASSOCIATION, ROUTER_ASSOCIATION, PORT_ASSOCIATION)
