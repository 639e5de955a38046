"""An NDP proxy: a router answers on the external network for one IPv6 address behind it."""

from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import IP, Nullable, Uuid


class NdpProxy(Entity, frozen=True, kw_only=True, gc=False):
    """`router_id` answers neighbour solicitations for `ip_address`, an address of `port_id`."""

    router_id: str
    port_id: str
    ip_address: str


NDP_PROXY = Resource(
    name="ndp_proxy",
    collection="ndp_proxies",
    entity=NdpProxy,
    error_name="NDPProxy",
    text="A router's answer for an inner IPv6 address on the external network.",
    columns_shown=("id", "name", "router_id", "ip_address"),
    attributes=(
        *STANDARD,
        Attribute(
            "router_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="router",
            text="The router that answers.",
        ),
        Attribute(
            "port_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="port",
            text="The port that has the address.",
        ),
        Attribute(
            "ip_address",
            Nullable(IP),
            default=None,
            update=Who.NOBODY,
            column=True,
            text="The IPv6 address; if not given, the first of the port's that the router reaches.",
        ),
        *COUNTED,
    ),
)
