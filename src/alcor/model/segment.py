"""A segment of a network: one way it travels between some hosts. Source: Networking API v2.0, "Segments"."""

from alcor.model.network import GRE_KEY_MAX, NETWORK_TYPES, PHYSICAL_NETWORK_CHARS_MAX
from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, DESCRIPTION, ID, NAME, TAGS, TAGS_LOOKUP
from alcor.model.value import Choice, Integer, Nullable, Text, Uuid


class Segment(Entity, frozen=True, kw_only=True, gc=False):
    """One of a network's segments. `place` orders them: the first is the network's `provider:*`."""

    network_id: str
    network_type: str
    physical_network: str | None = None
    segmentation_id: int | None = None
    place: int = 0


SEGMENT = Resource(
    name="segment",
    collection="segments",
    entity=Segment,
    text="One way a network travels between hosts.",
    columns_shown=("id", "name", "network_id", "network_type", "segmentation_id"),
    lookups=(TAGS_LOOKUP,),
    attributes=(
        ID,
        NAME,
        DESCRIPTION,
        Attribute(
            "network_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The network it belongs to.",
        ),
        Attribute(
            "network_type",
            Choice(NETWORK_TYPES),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            text="How packets travel between hosts.",
        ),
        Attribute(
            "physical_network",
            Nullable(Text(PHYSICAL_NETWORK_CHARS_MAX)),
            default=None,
            update=Who.NOBODY,
            column=True,
            text="The physical network of a vlan or flat one; null for an overlay.",
        ),
        Attribute(
            "segmentation_id",
            Nullable(Integer(0, GRE_KEY_MAX)),
            default=None,
            update=Who.NOBODY,
            column=True,
            text="The VLAN, VXLAN or Geneve identifier or GRE key; allocated if not given.",
        ),
        TAGS,
        *COUNTED,
    ),
)
