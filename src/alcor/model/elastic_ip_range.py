"""A range of outer addresses that elastic IPs are taken from, and elastic IPs: floating IPs of IPv4 and IPv6."""

from dataclasses import replace
from typing import Any

from alcor.model.address import Ip, ip_version
from alcor.model.floatingip import FLOATINGIP
from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Resource, Who
from alcor.model.standard import CREATED_AT, DESCRIPTION, ID, NAME, REVISION_NUMBER, UPDATED_AT
from alcor.model.subnet import Pool
from alcor.model.value import IP, Choice, Integer, ListOf, Nullable, Record, Text, Uuid
from alcor.model.view import view_of

ACTIVATED, DEACTIVATED = "activated", "deactivated"


class ElasticIpRange(Entity, frozen=True, kw_only=True, gc=False):
    """Inclusive ranges of addresses of one subnet of an external network; they may lie beside its pools."""

    subnet_id: str
    ip_version: int
    allocation_ranges: tuple[Pool, ...] = ()


ELASTIC_IP_RANGE = Resource(
    name="elastic_ip_range",
    collection="elasticip-ranges",
    entity=ElasticIpRange,
    prefix="",
    member="elasticip_range",
    text="Outer addresses that elastic IPs are taken from.",
    columns_shown=("id", "name", "ip_version", "allocation_ranges"),
    bulk_path=True,
    policy={"get": "role:reader or rule:admin_only"},
    attributes=(
        ID,
        NAME,
        DESCRIPTION,
        Attribute(
            "subnet_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="subnet",
            text="The subnet of an external network whose addresses they are.",
        ),
        Attribute(
            "ip_version",
            Choice((4, 6)),
            create=Who.NOBODY,
            update=Who.NOBODY,
            column=True,
            text="The version of its addresses.",
        ),
        Attribute(
            "allocation_ranges",
            ListOf(Record({"start": IP, "end": IP}, Pool)),
            default=REQUIRED,
            filters=False,
            sorts=False,
            text="Its addresses; none that an elastic IP has may leave.",
        ),
        Attribute(
            "used_ip_count",
            Integer(0, 2**128),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="How many of them somebody has.",
        ),
        CREATED_AT,
        UPDATED_AT,
        REVISION_NUMBER,
    ),
)


def _version(row: Any) -> int:
    return ip_version(Ip(row.floating_ip_address))


def _address(row: Any) -> str:
    return str(row.floating_ip_address)


def _private(row: Any) -> str | None:
    found: str | None = row.fixed_ip_address
    return found


def _state(row: Any) -> str:
    return DEACTIVATED if row.port_id is None else ACTIVATED


def _derived(name: str, type_: Any, derive: Any, text: str) -> Attribute:
    return Attribute(
        name,
        type_,
        create=Who.NOBODY,
        update=Who.NOBODY,
        stored=False,
        derive=derive,
        sorts=False,
        text=text,
    )


_VIEW = view_of(
    FLOATINGIP,
    "elasticip",
    collection="elasticips",
    member="elasticip",
    text="A floating IP, of IPv4 or IPv6, of an address range. The same rows as /v2.0/floatingips.",
    more=(
        Attribute(
            "elastic_ip_version",
            Nullable(Choice((4, 6))),
            default=None,
            update=Who.NOBODY,
            stored=False,
            derive=_version,
            sorts=False,
            text="The version of the outer address; on create, null is 4.",
        ),
        Attribute(
            "range_id",
            Nullable(Uuid()),
            default=None,
            update=Who.NOBODY,
            see=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="On create: the range the outer address is to be of; any of the version if no network is said.",
        ),
        _derived("elastic_ip", Text(64), _address, "The outer address."),
        _derived("private_ip", Nullable(Text(64)), _private, "The port's address it stands for."),
        _derived(
            "state", Choice((ACTIVATED, DEACTIVATED)), _state, "`activated` while it stands for a port."
        ),
    ),
)
ELASTIC_IP: Resource = replace(
    _VIEW,
    attributes=tuple(
        replace(a, default=UNSET) if a.name == "floating_network_id" else a for a in _VIEW.attributes
    ),
)
