"""A local IP: an address that means another port on every host. And its associations: who it means where."""

from dataclasses import replace

from alcor.model.port_forwarding import OF_PARENT
from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Parent, Resource, Who
from alcor.model.standard import COUNTED, ID, PROJECT_ID, STANDARD
from alcor.model.value import IP, Choice, Nullable, Text, Uuid

LOCAL_IP_OWNER = "network:local_ip"
"""`device_owner` of the port that has the address, if it was made for the local IP."""

TRANSLATE, PASSTHROUGH = "translate", "passthrough"


class LocalIp(Entity, frozen=True, kw_only=True, gc=False):
    """`local_ip_address`, an address of `local_port_id`; on each host it means the associated port there."""

    local_port_id: str
    network_id: str
    local_ip_address: str
    ip_mode: str = TRANSLATE


class LocalIpAssociation(Entity, frozen=True, kw_only=True, gc=False):
    """On the host of `fixed_port_id` the local IP means that port's address `fixed_ip`."""

    local_ip_id: str
    fixed_port_id: str
    fixed_ip: str


LOCAL_IP = Resource(
    name="local_ip",
    collection="local_ips",
    entity=LocalIp,
    error_name="LocalIP",
    text="An address that means another port on every host.",
    columns_shown=("id", "name", "local_ip_address", "network_id"),
    attributes=(
        *STANDARD,
        Attribute(
            "local_port_id",
            Uuid(),
            default=UNSET,
            update=Who.NOBODY,
            column=True,
            refers="port",
            text="The port that has the address; made if only the network is given.",
        ),
        Attribute(
            "network_id",
            Uuid(),
            default=UNSET,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The network of the address.",
        ),
        Attribute(
            "local_ip_address",
            Nullable(IP),
            default=UNSET,
            update=Who.NOBODY,
            column=True,
            text="The address; the port's, or allocated, if not given.",
        ),
        Attribute(
            "ip_mode",
            Choice((TRANSLATE, PASSTHROUGH)),
            default=TRANSLATE,
            update=Who.NOBODY,
            text="Whether packets get the port's own address, or keep the local one.",
        ),
        *COUNTED,
    ),
)

LOCAL_IP_ASSOCIATION = Resource(
    name="local_ip_association",
    collection="port_associations",
    member="port_association",
    entity=LocalIpAssociation,
    key="fixed_port_id",
    error_name="LocalIPAssociation",
    parent=Parent("local_ip", "local_ip_id"),
    text="The port a local IP means on that port's host.",
    columns_shown=("fixed_port_id", "fixed_ip", "host"),
    policy=OF_PARENT,
    attributes=(
        replace(ID, see=Who.NOBODY),
        replace(PROJECT_ID, see=Who.NOBODY),
        Attribute(
            "local_ip_id",
            Uuid(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            column=True,
            refers="local_ip",
            text="The local IP.",
        ),
        Attribute(
            "local_ip_address",
            IP,
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Its address.",
        ),
        Attribute(
            "fixed_port_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="port",
            text="The port it means.",
        ),
        Attribute(
            "fixed_ip",
            Nullable(IP),
            default=None,
            update=Who.NOBODY,
            text="The address of that port; to be named if it has several.",
        ),
        Attribute(
            "host",
            Text(255),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="The host of that port.",
        ),
    ),
)
