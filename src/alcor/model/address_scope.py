"""An address scope: prefixes that are routed to one another without translation, so none is there twice.

Source: Networking API v2.0, "Address scopes".
"""

from alcor.model.rbac_policy import AS_SHARED
from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import ID, NAME, PROJECT_ID
from alcor.model.value import Boolean, Choice


class AddressScope(Entity, frozen=True, kw_only=True, gc=False):
    """What subnet pools refer to; it holds no prefixes of its own."""

    ip_version: int


ADDRESS_SCOPE = Resource(
    name="address_scope",
    collection="address-scopes",
    entity=AddressScope,
    text="Subnet pools whose prefixes never overlap.",
    columns_shown=("id", "name", "ip_version", "shared"),
    shared_as=(AS_SHARED,),
    attributes=(
        ID,
        NAME,
        PROJECT_ID,
        Attribute("ip_version", Choice((4, 6)), default=REQUIRED, update=Who.NOBODY, text="4 or 6."),
        Attribute(
            "shared",
            Boolean(),
            default=False,
            create=Who.ADMIN,
            update=Who.ADMIN,
            stored=False,
            sorts=False,
            text="Whether all projects, or the caller's, may put pools into it.",
        ),
    ),
)
