"""A range of numbers networks get: for all projects, or for one.

Source: Networking API v2.0, "Network Segment Ranges".
"""

from alcor.model.network import GRE_KEY_MAX, PHYSICAL_NETWORK_CHARS_MAX
from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD, TAGS, TAGS_LOOKUP
from alcor.model.value import Boolean, Choice, FreeForm, Integer, ListOf, Nullable, Text

RANGE_TYPES = ("vlan", "vxlan", "gre", "geneve")


class NetworkSegmentRange(Entity, frozen=True, kw_only=True, gc=False):
    """The numbers `minimum` … `maximum`. `default`: it repeats the configuration; `shared`: it is for all projects."""

    network_type: str
    minimum: int
    maximum: int
    physical_network: str | None = None
    shared: bool = True
    default: bool = False


NETWORK_SEGMENT_RANGE = Resource(
    name="network_segment_range",
    collection="network_segment_ranges",
    entity=NetworkSegmentRange,
    text="The VLANs, tunnel identifiers or keys that networks are given.",
    columns_shown=("id", "name", "default", "shared", "network_type", "minimum", "maximum"),
    lookups=(TAGS_LOOKUP,),
    policy=dict.fromkeys(("create", "get", "update", "delete"), "rule:admin_only"),
    attributes=(
        *STANDARD,
        Attribute(
            "default",
            Boolean(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            column=True,
            text="Whether it comes from the configuration and cannot be changed here.",
        ),
        Attribute(
            "shared",
            Boolean(),
            default=True,
            update=Who.NOBODY,
            text="Whether all projects draw from it; else only `project_id` does.",
        ),
        Attribute(
            "network_type",
            Choice(RANGE_TYPES),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            text="The type of network its numbers are of.",
        ),
        Attribute(
            "physical_network",
            Nullable(Text(PHYSICAL_NETWORK_CHARS_MAX)),
            default=None,
            update=Who.NOBODY,
            text="The physical network of VLANs.",
        ),
        Attribute("minimum", Integer(1, GRE_KEY_MAX), default=REQUIRED, text="The first number."),
        Attribute("maximum", Integer(1, GRE_KEY_MAX), default=REQUIRED, text="The last number."),
        Attribute(
            "used",
            FreeForm(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Numbers that networks have, with the networks' projects.",
        ),
        Attribute(
            "available",
            ListOf(Integer(1, GRE_KEY_MAX), items_max=2**32),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Numbers that are free.",
        ),
        TAGS,
        *COUNTED,
    ),
)
