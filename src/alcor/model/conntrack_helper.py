"""A conntrack helper of a router: a protocol whose connections open others, which the router is to follow."""

from dataclasses import replace

from alcor.model.port_forwarding import OF_PARENT, PORT_MAX, PORT_MIN, PROTOCOL
from alcor.model.resource import REQUIRED, Attribute, Entity, Parent, Resource, Who
from alcor.model.standard import ID, PROJECT_ID
from alcor.model.value import Integer, Text, Uuid


class ConntrackRule(Entity, frozen=True, kw_only=True, gc=False):
    """Connections of `protocol` to `port` are read by `helper`."""

    router_id: str
    protocol: str
    port: int
    helper: str


CONNTRACK_HELPER = Resource(
    name="conntrack_helper",
    collection="conntrack_helpers",
    entity=ConntrackRule,
    parent=Parent("router", "router_id"),
    text="A helper that follows connections opened by others, such as FTP's.",
    columns_shown=("id", "helper", "protocol", "port"),
    policy=OF_PARENT,
    attributes=(
        ID,
        replace(PROJECT_ID, see=Who.NOBODY),
        Attribute(
            "router_id",
            Uuid(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            see=Who.NOBODY,
            column=True,
            refers="router",
            text="The router it is of.",
        ),
        Attribute("protocol", PROTOCOL, default=REQUIRED, text="The protocol of the connections."),
        Attribute("port", Integer(PORT_MIN, PORT_MAX), default=REQUIRED, text="Their destination port."),
        Attribute("helper", Text(64), default=REQUIRED, text="The helper that reads them."),
    ),
)
