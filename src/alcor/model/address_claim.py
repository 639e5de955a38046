"""An address that a port was seen to have taken (a virtual IP): observed, not asked for; no API shows it.

It is a row so that it goes through the change log, as everything that goal state is made of, and outlives a restart: a
machine that has an address says so when it takes it, and not again.
"""

from uuid import NAMESPACE_OID, uuid5

from alcor.model.resource import Attribute, Entity, Resource
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import IP, MAC, Integer, Uuid


class AddressClaim(Entity, frozen=True, kw_only=True, gc=False):
    """The last claim of one address of one network. `at_ms`: unix milliseconds by the claiming host's clock."""

    network_id: str
    ip: str
    mac: str
    port_id: str
    at_ms: int


def claim_id(network_id: str, ip: str) -> str:
    """The id of the row of an address of a network: one row each."""
    return str(uuid5(NAMESPACE_OID, f"{network_id}/{ip}"))


ADDRESS_CLAIM = Resource(
    name="address_claim",
    collection="address_claims",
    entity=AddressClaim,
    prefix="",
    text="An address that a port was seen to have taken; not served by the API.",
    attributes=(
        *STANDARD,
        Attribute("network_id", Uuid(), text="The network."),
        Attribute("ip", IP, text="The address."),
        Attribute("mac", MAC, text="Where it is."),
        Attribute("port_id", Uuid(), column=True, text="The port that has it."),
        Attribute("at_ms", Integer(), text="Unix milliseconds of the claim."),
        *COUNTED,
    ),
)
