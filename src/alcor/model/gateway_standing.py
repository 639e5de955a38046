"""Where a gateway host stands among others, because it was lost: observed, not asked for; no API shows it.

It is a row so that it goes through the change log, as everything that goal state is made of, and outlives a restart: a
host that was lost does not take back the routers that others have served meanwhile, whoever restarts.
"""

from uuid import NAMESPACE_OID, uuid5

from alcor.model.resource import Attribute, Entity, Resource
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Integer, Uuid


class GatewayStanding(Entity, frozen=True, kw_only=True, gc=False):
    """A gateway host that was lost. Unix milliseconds, by the clocks of the hosts that told.

    `lost_at_ms`: when it was lost the last time; 0 if that is forgiven. `heard_ms`: the last loss that was heard of;
    what is told again of that one or an earlier one says nothing new.
    """

    host_id: str
    lost_at_ms: int
    heard_ms: int


def standing_id(host_id: str) -> str:
    """The id of the row of a host: one row each."""
    return str(uuid5(NAMESPACE_OID, f"gateway standing/{host_id}"))


GATEWAY_STANDING = Resource(
    name="gateway_standing",
    collection="gateway_standings",
    entity=GatewayStanding,
    prefix="",
    text="Where a gateway host stands, because it was lost; not served by the API.",
    attributes=(
        *STANDARD,
        Attribute("host_id", Uuid(), text="The host."),
        Attribute("lost_at_ms", Integer(), text="Unix milliseconds of the loss that counts; 0: none."),
        Attribute("heard_ms", Integer(), text="Unix milliseconds of the last loss that was heard of."),
        *COUNTED,
    ),
)
