"""What the configuration of the dataplanes has all hosts told; no API shows it.

It is a row so that it goes through the change log: goal state is a function of the revision, whoever computes it, and
hosts that have everything are told what another configuration says otherwise.
"""

from uuid import NAMESPACE_OID, uuid5

from alcor.model.resource import Attribute, Entity, Resource
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Integer, ListOf, Text

SETTING_ID = str(uuid5(NAMESPACE_OID, "region setting"))
"""There is one row."""


class RegionSetting(Entity, frozen=True, kw_only=True, gc=False):
    """The settings that count: those of the dataplane that was started last.

    `number`: counts them, so that who was started earlier and writes later is noticed.
    """

    responder_mac: str
    dhcp_lease_s: int
    dns_domain: str = ""
    dns_forwarders: tuple[str, ...] = ()
    relay_above: int = 0
    flood_above: int = 0
    number: int


REGION_SETTING = Resource(
    name="region_setting",
    collection="region_settings",
    entity=RegionSetting,
    prefix="",
    text="What the configuration of the dataplanes has all hosts told; not served by the API.",
    attributes=(
        *STANDARD,
        Attribute("responder_mac", Text(17), text="`dataplane.responder_mac`."),
        Attribute("dhcp_lease_s", Integer(), text="`dataplane.dhcp_lease_s`."),
        Attribute("dns_domain", Text(255), text="`dataplane.dns_domain`."),
        Attribute("dns_forwarders", ListOf(Text(64)), text="`dataplane.dns_forwarders`."),
        Attribute("relay_above", Integer(), text="`dataplane.relay_above`."),
        Attribute("flood_above", Integer(), default=0, text="`dataplane.flood_above`."),
        Attribute("number", Integer(), text="How often they were set."),
        *COUNTED,
    ),
)
