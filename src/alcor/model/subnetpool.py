"""A subnet pool: prefixes from which subnets are cut. Source: Networking API v2.0, "Subnet pools"."""

from alcor.model.rbac_policy import AS_SHARED
from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, DESCRIPTION, ID, PROJECT_ID, TAGS, TAGS_LOOKUP
from alcor.model.value import CIDR, Boolean, Integer, ListOf, Nullable, Text, Uuid

PREFIXES_MAX = 1_000


class SubnetPool(Entity, frozen=True, kw_only=True, gc=False):
    """`prefixes` are merged and in ascending order. `default_quota`: per project, in addresses of IPv4 or in /64 of
    IPv6; None: no limit."""

    ip_version: int
    prefixes: tuple[str, ...]
    min_prefixlen: int
    max_prefixlen: int
    default_prefixlen: int
    default_quota: int | None = None
    address_scope_id: str | None = None
    is_default: bool = False


def _length(name: str, text: str) -> Attribute:
    return Attribute(name, Integer(0, 128), default=UNSET, text=text)


SUBNETPOOL = Resource(
    name="subnetpool",
    collection="subnetpools",
    entity=SubnetPool,
    text="Prefixes from which subnets are cut.",
    columns_shown=("id", "name", "prefixes"),
    error_name="subnet_pool",
    quota="subnetpool",
    shared_as=(AS_SHARED,),
    lookups=(TAGS_LOOKUP,),
    attributes=(
        ID,
        Attribute("name", Text(255, 1), default=REQUIRED, column=True, text="A human-readable name."),
        PROJECT_ID,
        DESCRIPTION,
        Attribute(
            "prefixes",
            ListOf(CIDR, items_max=PREFIXES_MAX, unique=False),
            default=REQUIRED,
            filters=False,
            sorts=False,
            text="What subnets are cut from; all of one IP version.",
        ),
        Attribute(
            "ip_version",
            Integer(4, 6),
            create=Who.NOBODY,
            update=Who.NOBODY,
            column=True,
            text="4 or 6, as its prefixes.",
        ),
        _length("min_prefixlen", "The shortest prefix of a subnet; by default 8 for IPv4 and 64 for IPv6."),
        _length("max_prefixlen", "The longest prefix of a subnet; by default 32 or 128."),
        _length("default_prefixlen", "The prefix of a subnet that names none; by default min_prefixlen."),
        Attribute(
            "default_quota",
            Nullable(Integer(0, 2**31 - 1)),
            default=None,
            text="How much a project may take: addresses of IPv4, /64 prefixes of IPv6.",
        ),
        Attribute(
            "address_scope_id",
            Nullable(Uuid()),
            default=None,
            column=True,
            refers="address_scope",
            text="The address scope in which its prefixes are unique.",
        ),
        Attribute(
            "is_default",
            Boolean(),
            default=False,
            create=Who.ADMIN,
            update=Who.ADMIN,
            column=True,
            text="Whether subnets come from it that name no pool but want the default one.",
        ),
        Attribute(
            "shared",
            Boolean(),
            default=False,
            create=Who.ADMIN,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="Whether all projects, or the caller's, may cut subnets from it.",
        ),
        TAGS,
        *COUNTED,
    ),
)
