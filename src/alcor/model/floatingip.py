"""A floating IP: an address of an external network that stands for an inner one.

Its address is taken by a port of no project on the external network, `floating_port_id`.
"""

from typing import Any

from alcor.model.port_value import DNS_DOMAIN, DNS_NAME
from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD, TAGS, TAGS_LOOKUP
from alcor.model.value import IP, FreeForm, ListOf, Nullable, Text, Uuid

FLOATING_IP_OWNER = "network:floatingip"
"""`device_owner` of the port that has the outer address."""


class FloatingIp(Entity, frozen=True, kw_only=True, gc=False):
    """One outer address, and what it stands for.

    `router_id`: the router that translates it; without `port_id`, the one its port forwardings go through.
    """

    floating_network_id: str
    floating_ip_address: str
    floating_port_id: str
    port_id: str | None = None
    fixed_ip_address: str | None = None
    router_id: str | None = None
    dns_name: str = ""
    dns_domain: str = ""
    qos_policy_id: str | None = None


def _status(row: Any) -> str:
    """ACTIVE once a router translates it."""
    return "ACTIVE" if row.router_id else "DOWN"


FLOATINGIP = Resource(
    name="floatingip",
    collection="floatingips",
    entity=FloatingIp,
    error_name="FloatingIP",
    text="An address of an external network that stands for a port's address.",
    columns_shown=("id", "floating_ip_address", "fixed_ip_address", "port_id"),
    quota="floatingip",
    lookups=(TAGS_LOOKUP,),
    policy={"create:floating_ip_address": "rule:admin_or_project_manager"},
    attributes=(
        *(attribute for attribute in STANDARD if attribute.name != "name"),
        TAGS,
        Attribute(
            "floating_network_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The external network its address is of.",
        ),
        Attribute(
            "floating_ip_address",
            Nullable(IP),
            default=None,
            update=Who.NOBODY,
            column=True,
            text="The outer address; allocated if not given.",
        ),
        Attribute(
            "subnet_id",
            Nullable(Uuid()),
            default=None,
            update=Who.NOBODY,
            see=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="On create: the subnet the outer address is to be of.",
        ),
        Attribute(
            "floating_port_id",
            Uuid(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            see=Who.NOBODY,
            column=True,
            refers="port",
            filters=False,
            sorts=False,
            text="The port that has the outer address.",
        ),
        Attribute(
            "port_id",
            Nullable(Uuid()),
            default=None,
            column=True,
            refers="port",
            text="The port it stands for; null for none.",
        ),
        Attribute(
            "fixed_ip_address",
            Nullable(IP),
            default=None,
            column=True,
            text="The port's IPv4 address it stands for; to be named if the port has several.",
        ),
        Attribute(
            "router_id",
            Nullable(Uuid()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            column=True,
            refers="router",
            text="The router that translates it.",
        ),
        Attribute(
            "status",
            Text(16),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_status,
            sorts=False,
            text="ACTIVE once a router translates it, else DOWN.",
        ),
        Attribute(
            "port_details",
            Nullable(FreeForm()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Name, network, MAC address, state and device of the port it stands for.",
        ),
        Attribute(
            "port_forwardings",
            ListOf(FreeForm()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Its port forwardings.",
        ),
        Attribute("dns_name", DNS_NAME, default="", update=Who.NOBODY, text="Its name in the DNS."),
        Attribute("dns_domain", DNS_DOMAIN, default="", update=Who.NOBODY, text="The domain of that name."),
        Attribute(
            "qos_policy_id",
            Nullable(Uuid()),
            default=None,
            column=True,
            refers="qos_policy",
            text="Its QoS policy, or null.",
        ),
        Attribute(
            "qos_network_policy_id",
            Nullable(Uuid()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="The QoS policy of its external network, or null.",
        ),
        *COUNTED,
    ),
)
