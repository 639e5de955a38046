"""Invitations: what lets machines join the region as hosts by themselves."""

from alcor.model.resource import Attribute, Entity, Resource, Who
from alcor.model.standard import CREATED_AT, DESCRIPTION, ID, REVISION_NUMBER, UPDATED_AT
from alcor.model.value import Boolean, Integer, Nullable, Text

USES_MAX = 100_000
EXPIRES_S_MIN, EXPIRES_S_DEFAULT, EXPIRES_S_MAX = 60, 3600, 30 * 86_400


class HostInvite(Entity, frozen=True, kw_only=True, gc=False):
    """Who has its secret may add hosts, as it says they are. `public_key` (Ed25519, hexadecimal) is all that is kept.

    `uses_max` hosts may join by it until `expires_ms` (unix milliseconds); `uses` have. `host_name`: only that host
    may, also in place of the machine that was it before.
    """

    public_key: str
    expires_ms: int
    expires_s: int = EXPIRES_S_DEFAULT
    uses_max: int = 1
    uses: int = 0
    host_name: str | None = None
    cluster: str = ""
    availability_zone: str = "nova"
    gateway: bool = False


HOST_INVITE = Resource(
    name="host_invite",
    collection="host-invites",
    entity=HostInvite,
    prefix="",
    text="Lets machines join the region as hosts: `alcor host invite`, `alcor-agent join`.",
    columns_shown=("id", "uses", "uses_max", "expires_at", "cluster", "host_name"),
    attributes=(
        ID,
        DESCRIPTION,
        Attribute(
            "uses_max",
            Integer(1, USES_MAX),
            default=1,
            update=Who.NOBODY,
            text="How many hosts may join by it.",
        ),
        Attribute(
            "uses",
            Integer(0, USES_MAX),
            create=Who.NOBODY,
            update=Who.NOBODY,
            text="How many hosts have joined.",
        ),
        Attribute(
            "expires_s",
            Integer(EXPIRES_S_MIN, EXPIRES_S_MAX),
            default=EXPIRES_S_DEFAULT,
            update=Who.NOBODY,
            text="Seconds from its making until nobody can join by it.",
        ),
        Attribute(
            "expires_at",
            Text(32),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="When that is (UTC).",
        ),
        Attribute(
            "host_name",
            Nullable(Text(255, 1)),
            default=None,
            update=Who.NOBODY,
            text="Only the host of this name may join, also one that was in the region before; null: any new one.",
        ),
        Attribute("cluster", Text(255), default="", update=Who.NOBODY, text="The cluster its hosts are in."),
        Attribute(
            "availability_zone",
            Text(255, 1),
            default="nova",
            update=Who.NOBODY,
            text="Their availability zone.",
        ),
        Attribute(
            "gateway",
            Boolean(),
            default=False,
            update=Who.NOBODY,
            text="Whether they may serve routers' gateways.",
        ),
        Attribute(
            "token",
            Nullable(Text(256)),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="What is handed to a host: in the answer of the create call only.",
        ),
        CREATED_AT,
        UPDATED_AT,
        REVISION_NUMBER,
    ),
)
