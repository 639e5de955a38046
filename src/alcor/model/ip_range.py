"""A range of addresses of a subnet that addresses without a port are taken from."""

from typing import Any

from alcor.model.address import Ip, ip_int, ip_version
from alcor.model.resource import REQUIRED, Attribute, Entity, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import IP, Choice, Integer, Uuid
from alcor.model.view import view_of


class IpRange(Entity, frozen=True, kw_only=True, gc=False):
    """Inclusive bounds, inside of one subnet. It may lie in an allocation pool or beside: then no port is given its
    addresses unless it asks for them."""

    subnet_id: str
    first_ip: str
    last_ip: str


def size_of(row: Any) -> int:
    """How many addresses there are."""
    return ip_int(Ip(row.last_ip)) - ip_int(Ip(row.first_ip)) + 1


def _version_of(row: Any) -> int:
    return ip_version(Ip(row.first_ip))


IP_RANGE = Resource(
    name="ip_range",
    collection="ip-ranges",
    entity=IpRange,
    prefix="",
    text="A range of a subnet's addresses to take from at /ips.",
    columns_shown=("id", "name", "subnet_id", "first_ip", "last_ip"),
    bulk_path=True,
    attributes=(
        *STANDARD,
        Attribute(
            "subnet_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="subnet",
            text="The subnet whose addresses they are.",
        ),
        Attribute("first_ip", IP, default=REQUIRED, update=Who.NOBODY, text="The lowest address."),
        Attribute("last_ip", IP, default=REQUIRED, update=Who.NOBODY, text="The highest address."),
        Attribute(
            "ip_version",
            Choice((4, 6)),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_version_of,
            sorts=False,
            text="The version of its addresses.",
        ),
        Attribute(
            "total_ips",
            Integer(1, 2**128),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=size_of,
            filters=False,
            sorts=False,
            text="How many addresses it has.",
        ),
        Attribute(
            "used_ips",
            Integer(0, 2**128),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="How many of them are taken, by ports too.",
        ),
        *COUNTED,
    ),
)

IPS_RANGE = view_of(
    IP_RANGE,
    "ips_range",
    collection="ranges",
    prefix="/ips",
    text="A range of a subnet's addresses, at the original's path. The same rows as /ip-ranges.",
)
