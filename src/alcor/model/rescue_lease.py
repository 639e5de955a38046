"""Who programs the switch of a host whose agent is dead: observed and decided by the region; no API shows it.

It is a row so that it goes through the change log to both hosts' scopes, and its generation outlives a restart.
"""

from uuid import NAMESPACE_OID, uuid5

from alcor.model.resource import Attribute, Entity, Resource
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Integer, ListOf, Text, Uuid


class RescueLease(Entity, frozen=True, kw_only=True, gc=False):
    """The lease of one host's switch. `rescuer_id`: the host whose agent may write; "" for nobody (withdrawn).

    `rescuer_key`: the digest of that host's key (`Host.key_digest`). `addresses`: where the switch is reached.
    `generation`: grows with every lease of the host, 32 bits: max(the one before + 1, unix seconds).
    """

    host_id: str
    rescuer_id: str = ""
    rescuer_key: str = ""
    addresses: tuple[str, ...] = ()
    generation: int = 0


def rescue_id(host_id: str) -> str:
    """The id of the row of a host: one row each."""
    return str(uuid5(NAMESPACE_OID, f"rescue/{host_id}"))


RESCUE_LEASE = Resource(
    name="rescue_lease",
    collection="rescue_leases",
    entity=RescueLease,
    prefix="",
    text="Who programs the switch of a host whose agent is dead; not served by the API.",
    attributes=(
        *STANDARD,
        Attribute("host_id", Uuid(), text="The host."),
        Attribute("rescuer_id", Text(36), text="The host whose agent programs it; empty: none."),
        Attribute("rescuer_key", Text(64), text="The digest of that host's key."),
        Attribute("addresses", ListOf(Text(64)), text="Where the switch is reached."),
        Attribute("generation", Integer(), text="Counts the leases of the host."),
        *COUNTED,
    ),
)
