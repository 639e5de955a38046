"""A range of MAC addresses that the Virtual MAC Manager allocates from."""

from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import CREATED_AT, DESCRIPTION, ID, NAME, REVISION_NUMBER, UPDATED_AT
from alcor.model.value import MAC, Boolean
from alcor.model.view import view_of


class MacRange(Entity, frozen=True, kw_only=True, gc=False):
    """Inclusive bounds. A range that is not enabled keeps what it gave and gives no more."""

    first: str
    last: str
    enabled: bool = True


MAC_RANGE = Resource(
    name="mac_range",
    collection="mac-ranges",
    entity=MacRange,
    prefix="",
    text="A range of MAC addresses for ports.",
    columns_shown=("id", "name", "first", "last"),
    bulk_path=True,
    attributes=(
        ID,
        NAME,
        DESCRIPTION,
        Attribute("first", MAC, default=REQUIRED, update=Who.NOBODY, text="The lowest address."),
        Attribute("last", MAC, default=REQUIRED, update=Who.NOBODY, text="The highest address."),
        Attribute("enabled", Boolean(), default=True, text="Whether addresses are taken from it."),
        CREATED_AT,
        UPDATED_AT,
        REVISION_NUMBER,
    ),
)

MACS_RANGE = view_of(
    MAC_RANGE,
    "macs_range",
    collection="ranges",
    prefix="/macs",
    text="A range of MAC addresses, at the original's path. The same rows as /mac-ranges.",
)
