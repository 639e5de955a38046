"""An API token of the embedded mode: an opaque 256-bit secret, of which only the digest is stored."""

from alcor.model.resource import Attribute, Entity, Resource
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Text


class Token(Entity, frozen=True, kw_only=True, gc=False):
    """`digest` is the SHA-256 (hex) of the secret; `project_id` the project it acts for.

    `roles` are what policy rules ask for, in lower case; an admin's token has the role `admin` beside them.
    """

    digest: str
    is_admin: bool = True
    roles: tuple[str, ...] = ("member", "reader")


TOKEN = Resource(
    name="token",
    collection="tokens",
    entity=Token,
    prefix="",
    text="A stored API token; not served by the API.",
    attributes=(
        *STANDARD,
        Attribute(
            "digest", Text(64), column=True, secret=True, text="SHA-256 of the secret, in hexadecimal."
        ),
        *COUNTED,
    ),
)
