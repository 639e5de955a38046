"""A host: a machine with a virtual switch and an agent of ours."""

from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import CREATED_AT, DESCRIPTION, ID, REVISION_NUMBER, UPDATED_AT
from alcor.model.value import IP, Boolean, ListOf, Nullable, Text


class Host(Entity, frozen=True, kw_only=True, gc=False):
    """One machine. `name` is what `binding:host_id` names; unique in the region.

    `vtep_addresses` are the underlay addresses its tunnels end at, the preferred one first: others send to that. It
    sends to hosts that prefer a family of which it has an address itself.
    `token_digest` is the SHA-256 (hex) of the secret its agent proves itself with.
    """

    vtep_addresses: tuple[str, ...] = ()
    token_digest: str = ""
    admin_state_up: bool = True
    availability_zone: str = "nova"


HOST = Resource(
    name="host",
    collection="hosts",
    entity=Host,
    prefix="",
    text="A machine that runs virtual machines and an alcor-agent.",
    columns_shown=("id", "name", "vtep_addresses", "status"),
    attributes=(
        ID,
        Attribute(
            "name",
            Text(255, length_min=1),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            text="Its name, unique in the region; ports name it in binding:host_id.",
        ),
        DESCRIPTION,
        Attribute(
            "vtep_addresses",
            ListOf(IP, items_max=8),
            default=REQUIRED,
            filters=False,
            sorts=False,
            text="The underlay addresses of its tunnels; others send to the first.",
        ),
        Attribute(
            "admin_state_up",
            Boolean(),
            default=True,
            text="Whether new work may be placed on it; what is there stays.",
        ),
        Attribute(
            "availability_zone", Text(255, 1), default="nova", text="The availability zone it is in."
        ),
        Attribute(
            "status",
            Text(16),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="UP while its agent is heard, else DOWN.",
        ),
        Attribute(
            "token",
            Nullable(Text(128)),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="The agent's secret: in the answer of the create call only.",
        ),
        CREATED_AT,
        UPDATED_AT,
        REVISION_NUMBER,
    ),
)
