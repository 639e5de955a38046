"""A network configuration manager: a process that carries goal state to hosts, and how many it can serve."""

from urllib.parse import urlsplit

from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import CREATED_AT, DESCRIPTION, ID, NAME, REVISION_NUMBER, UPDATED_AT
from alcor.model.value import Integer, Parsed

# A region of 300,000 hosts on one manager is more than anybody plans.
CAPACITY_MAX = 1_000_000


class Ncm(Entity, frozen=True, kw_only=True, gc=False):
    """One manager. `capacity`: how many hosts may name it."""

    uri: str
    capacity: int = 10_000


def _parse_uri(text: str) -> str:
    """Raises: ValueError unless it has a scheme and a host."""
    parts = urlsplit(text)
    if not parts.scheme or not parts.hostname or len(text) > 255:
        raise ValueError(f"'{text[:64]}' is not a URI of at most 255 characters with a scheme and a host")
    return text


NCM = Resource(
    name="ncm",
    collection="ncms",
    entity=Ncm,
    prefix="",
    text="A network configuration manager that serves hosts.",
    columns_shown=("id", "name", "uri", "capacity"),
    bulk_path=True,
    attributes=(
        ID,
        NAME,
        DESCRIPTION,
        Attribute(
            "uri", Parsed(_parse_uri, "uri"), default=REQUIRED, column=True, text="Where it is; unique."
        ),
        Attribute(
            "capacity", Integer(1, CAPACITY_MAX), default=10_000, text="How many hosts may be assigned to it."
        ),
        Attribute(
            "host_count",
            Integer(0, CAPACITY_MAX),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="How many hosts are assigned to it.",
        ),
        CREATED_AT,
        UPDATED_AT,
        REVISION_NUMBER,
    ),
)
