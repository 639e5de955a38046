"""An address group: a list of prefixes that rules of security groups name as one.

Source: Networking API v2.0, "Address groups"; extension address-group.
"""

from alcor.model.rbac_policy import AS_SHARED
from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import CIDR, Boolean, Cleared, ListOf

# What one request may hold; the group grows by further ones.
ADDRESSES_MAX = 10_000

ADDRESSES = ListOf(CIDR, items_max=ADDRESSES_MAX, unique=False)


class AddressGroup(Entity, frozen=True, kw_only=True, gc=False):
    """`addresses`: prefixes without host bits, each once, in the order they were added."""

    addresses: tuple[str, ...] = ()


ADDRESS_GROUP = Resource(
    name="address_group",
    collection="address-groups",
    entity=AddressGroup,
    text="A list of prefixes that rules of security groups name as one.",
    columns_shown=("id", "name", "addresses"),
    shared_as=(AS_SHARED,),
    attributes=(
        *STANDARD,
        Attribute(
            "addresses",
            Cleared(ADDRESSES, ()),
            default=(),
            update=Who.NOBODY,
            filters=False,
            sorts=False,
            text="Its prefixes; add_addresses and remove_addresses change them.",
        ),
        Attribute(
            "shared",
            Boolean(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            see=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Whether an RBAC policy opens it to the caller's project.",
        ),
        *COUNTED,
    ),
)
