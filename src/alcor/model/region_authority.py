"""Which authority the region's hosts are certified by: one row, so that two processes never certify by two."""

from alcor.model.resource import Attribute, Entity, Resource
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Text

REGION_AUTHORITY_ID = "00000000-0000-0000-0000-0000616c636f"


class RegionAuthority(Entity, frozen=True, kw_only=True, gc=False):
    """`fingerprint`: SHA-256 (hex) of the certificate of the authority that the region began with."""

    fingerprint: str


REGION_AUTHORITY = Resource(
    name="region_authority",
    collection="region_authorities",
    entity=RegionAuthority,
    prefix="",
    text="Which authority certifies the region's hosts; not served by the API.",
    attributes=(
        *STANDARD,
        Attribute("fingerprint", Text(64), text="SHA-256 of its certificate, in hexadecimal."),
        *COUNTED,
    ),
)
