"""A network: Alcor's VPC, one layer-2 domain."""

from typing import Any

from alcor.model.resource import UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Boolean, Choice, Integer, ListOf, Nullable, Text, Uuid

# VXLAN header field of 24 bits; 0 is reserved. RFC 7348.
VNI_MIN, VNI_MAX = 1, 2**24 - 1


class Network(Entity, frozen=True, kw_only=True, gc=False):
    """One layer-2 domain and the segment that carries it between hosts."""

    admin_state_up: bool = True
    mtu: int = 0
    port_security_enabled: bool = True
    provider_network_type: str = "vxlan"
    provider_physical_network: str | None = None
    provider_segmentation_id: int | None = None


def _active(_row: Any) -> str:
    """A network is a rule, not a machine: it works as soon as it is stored."""
    return "ACTIVE"


def _not_shared(_row: Any) -> bool:
    return False


NETWORK = Resource(
    name="network",
    collection="networks",
    entity=Network,
    text="A virtual layer-2 domain (a VPC).",
    columns_shown=("id", "name", "subnets"),
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
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_not_shared,
            sorts=False,
            text="Whether other projects may use it.",
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
            Integer(68, 65_535),
            default=UNSET,
            text="Bytes of the largest IP packet; by default what the underlay leaves.",
        ),
        Attribute(
            "port_security_enabled",
            Boolean(),
            default=True,
            text="The default of its ports' port_security_enabled.",
        ),
        Attribute(
            "provider:network_type",
            Choice(("vxlan",)),
            default=UNSET,
            create=Who.ADMIN,
            update=Who.NOBODY,
            see=Who.ADMIN,
            text="How packets travel between hosts.",
        ),
        Attribute(
            "provider:physical_network",
            Nullable(Text(64)),
            default=UNSET,
            create=Who.ADMIN,
            update=Who.NOBODY,
            see=Who.ADMIN,
            text="The physical network; null for an overlay.",
        ),
        Attribute(
            "provider:segmentation_id",
            Nullable(Integer(VNI_MIN, VNI_MAX)),
            default=UNSET,
            create=Who.ADMIN,
            update=Who.NOBODY,
            see=Who.ADMIN,
            column=True,
            text="The VXLAN network identifier; allocated if not given.",
        ),
        *COUNTED,
    ),
)
