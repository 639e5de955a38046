"""A network: Alcor's VPC, one layer-2 domain.

Source: Networking API v2.0, "Networks"; extensions address-scope, auto-allocated-topology, dns-integration,
external-net, l2_adjacency, multi-provider, net-mtu, network_availability_zone, port-security, provider, qinq,
qos, vlan-transparent.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from alcor.model.dns_name import parse_domain
from alcor.model.rbac_policy import AS_EXTERNAL, AS_SHARED
from alcor.model.resource import UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD, TAGS, TAGS_LOOKUP
from alcor.model.value import Boolean, Choice, Cleared, Integer, ListOf, Nullable, Parsed, Schema, Text, Uuid

# VXLAN header field of 24 bits; 0 is reserved. RFC 7348. Geneve's has the same size: RFC 8926.
VNI_MIN, VNI_MAX = 1, 2**24 - 1
# The key of 32 bits. RFC 2890.
GRE_KEY_MIN, GRE_KEY_MAX = 1, 2**32 - 1
# IEEE 802.1Q; 0 and 4095 are reserved.
VLAN_MIN, VLAN_MAX = 1, 4_094

TUNNEL_TYPES = ("vxlan", "geneve", "gre")
NETWORK_TYPES = (*TUNNEL_TYPES, "vlan", "flat", "local")
PHYSICAL_NETWORK_CHARS_MAX = 64
# Source: the Networking API's validation of availability_zone_hints: they are kept in 255 characters.
ZONE_HINTS_MAX = 50


class ProviderSegment(
    msgspec.Struct,
    frozen=True,
    gc=False,
    rename={
        "network_type": "provider:network_type",
        "physical_network": "provider:physical_network",
        "segmentation_id": "provider:segmentation_id",
    },
):
    """One way a network travels between hosts. None: not said, or the type has none."""

    network_type: str | None = None
    physical_network: str | None = None
    segmentation_id: int | None = None


class Network(Entity, frozen=True, kw_only=True, gc=False):
    """One layer-2 domain and the segments that carry it between hosts.

    `provider_*` is its first segment; `segments` are all of them if there are several, else empty. They repeat what
    the rows of `Segment` say, for who reads networks only. So do `ipv4_address_scope`, `ipv6_address_scope` and
    `l2_adjacency`, which follow from its subnets: lists of networks cost no read of subnets for them.
    `cidr`, `ipv6_cidr`: the blocks its subnets lie in, set and seen at `/vpcs`; None: anything goes.
    """

    admin_state_up: bool = True
    mtu: int = 0
    port_security_enabled: bool = True
    router_external: bool = False
    is_default: bool = False
    dns_domain: str = ""
    vlan_transparent: bool = False
    qinq: bool = False
    availability_zone_hints: tuple[str, ...] = ()
    qos_policy_id: str | None = None
    provider_network_type: str = "vxlan"
    provider_physical_network: str | None = None
    provider_segmentation_id: int | None = None
    segments: tuple[ProviderSegment, ...] = ()
    ipv4_address_scope: str | None = None
    ipv6_address_scope: str | None = None
    l2_adjacency: bool = True
    cidr: str | None = None
    ipv6_cidr: str | None = None


def _active(_row: Any) -> str:
    """A network is a rule, not a machine: it works as soon as it is stored."""
    return "ACTIVE"


class _Segment:
    """One entry of `segments`: the three provider attributes, each of which may be left out."""

    _members: Mapping[str, Any] = {
        "provider:network_type": Nullable(Choice(NETWORK_TYPES)),
        "provider:physical_network": Nullable(Text(PHYSICAL_NETWORK_CHARS_MAX)),
        "provider:segmentation_id": Nullable(Integer(0, GRE_KEY_MAX)),
    }

    def parse(self, value: object) -> ProviderSegment:
        if isinstance(value, ProviderSegment):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        unknown = sorted(set(value) - set(self._members))
        if unknown:
            raise ValueError(f"Unrecognized attribute(s) '{', '.join(map(str, unknown))}' in a segment")
        type_, physical, number = (member.parse(value.get(name)) for name, member in self._members.items())
        return ProviderSegment(type_, physical or None, number or None)

    def schema(self) -> Schema:
        properties = {name: member.schema() for name, member in self._members.items()}
        return {"type": "object", "properties": properties, "additionalProperties": False}


NETWORK = Resource(
    name="network",
    collection="networks",
    entity=Network,
    text="A virtual layer-2 domain (a VPC).",
    columns_shown=("id", "name", "subnets"),
    quota="network",
    shared_as=(AS_SHARED, AS_EXTERNAL),
    lookups=(TAGS_LOOKUP,),
    policy={
        "get": "rule:admin_or_project_reader or rule:shared or rule:service_api or rule:context_is_advsvc"
    },
    attributes=(
        *STANDARD,
        Attribute("admin_state_up", Boolean(), default=True, text="Whether ports of it forward packets."),
        Attribute(
            "status",
            Text(16),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_active,
            sorts=False,
            text="ACTIVE as soon as it exists.",
        ),
        Attribute(
            "shared",
            Boolean(),
            default=False,
            create=Who.ADMIN,
            update=Who.ADMIN,
            stored=False,
            sorts=False,
            text="Whether all projects, or the caller's, may use it.",
        ),
        Attribute(
            "router:external",
            Boolean(),
            default=False,
            create=Who.ADMIN,
            update=Who.ADMIN,
            column=True,
            text="Whether routers may have their gateway on it.",
        ),
        Attribute(
            "is_default",
            Boolean(),
            default=False,
            create=Who.ADMIN,
            update=Who.ADMIN,
            text="Whether it is the external network of automatically made topologies.",
        ),
        Attribute(
            "subnets",
            ListOf(Uuid()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="The IDs of its subnets.",
        ),
        Attribute(
            "mtu",
            Integer(0, 65_535),
            default=UNSET,
            text="Bytes of the largest IP packet; by default, and for 0, what the underlay leaves.",
        ),
        Attribute(
            "port_security_enabled",
            Boolean(),
            default=True,
            text="The default of its ports' port_security_enabled.",
        ),
        Attribute(
            "dns_domain",
            Parsed(parse_domain, "dns-domain"),
            default="",
            filters=False,
            sorts=False,
            text="The domain of its ports' names; ends with a dot.",
        ),
        Attribute(
            "vlan_transparent",
            Boolean(),
            default=False,
            update=Who.NOBODY,
            text="Whether ports may send frames with VLAN tags of their own.",
        ),
        Attribute(
            "qinq",
            Boolean(),
            default=False,
            update=Who.NOBODY,
            text="Whether frames' VLAN tags are kept below a service tag (0x88a8).",
        ),
        Attribute(
            "availability_zone_hints",
            Cleared(ListOf(Text(255, 1), items_max=ZONE_HINTS_MAX), ()),
            default=(),
            update=Who.NOBODY,
            filters=False,
            text="The zones its services shall be in.",
        ),
        Attribute(
            "availability_zones",
            ListOf(Text(255)),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="The zones its services are in.",
        ),
        Attribute(
            "qos_policy_id",
            Nullable(Uuid()),
            default=None,
            column=True,
            refers="qos_policy",
            text="The QoS policy of its ports that have none of their own.",
        ),
        Attribute(
            "provider:network_type",
            Choice(NETWORK_TYPES),
            default=UNSET,
            create=Who.ADMIN,
            update=Who.ADMIN,
            see=Who.ADMIN,
            column=True,
            text="How packets travel between hosts.",
        ),
        Attribute(
            "provider:physical_network",
            Nullable(Text(PHYSICAL_NETWORK_CHARS_MAX)),
            default=UNSET,
            create=Who.ADMIN,
            update=Who.ADMIN,
            see=Who.ADMIN,
            text="The physical network of a vlan or flat one; null for an overlay.",
        ),
        Attribute(
            "provider:segmentation_id",
            Nullable(Integer(0, GRE_KEY_MAX)),
            default=UNSET,
            create=Who.ADMIN,
            update=Who.ADMIN,
            see=Who.ADMIN,
            column=True,
            text="The VLAN, VXLAN or Geneve identifier or GRE key; allocated if not given.",
        ),
        Attribute(
            "segments",
            ListOf(_Segment(), unique=False),
            default=UNSET,
            create=Who.ADMIN,
            update=Who.ADMIN,
            see=Who.ADMIN,
            filters=False,
            sorts=False,
            text="The ways it travels if there are several; excludes provider:*.",
        ),
        *(
            Attribute(
                name,
                Nullable(Uuid()),
                create=Who.NOBODY,
                update=Who.NOBODY,
                filters=False,
                sorts=False,
                text=f"The address scope of its {version} subnets.",
            )
            for name, version in (("ipv4_address_scope", "IPv4"), ("ipv6_address_scope", "IPv6"))
        ),
        Attribute(
            "l2_adjacency",
            Boolean(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            filters=False,
            sorts=False,
            text="Whether all its ports reach one another without a router: its subnets are on no segments.",
        ),
        TAGS,
        *COUNTED,
    ),
)
