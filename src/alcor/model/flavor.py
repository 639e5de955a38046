"""Flavors and service profiles: by which an operator offers kinds of a service, such as routers.

Source: Networking API v2.0, "Networking Flavors Framework"; extension flavors.
"""

from alcor.model.resource import REQUIRED, Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import ID
from alcor.model.value import Boolean, Choice, Cleared, ListOf, Text, Uuid

# Kinds of services as the reference calls its plug-ins.
SERVICE_TYPES = (
    "L3_ROUTER_NAT",
    "CORE",
    "QOS",
    "FLAVORS",
    "METERING",
    "TRUNK",
    "SEGMENTS",
    "LOGGING",
    "LOCAL_IP",
    "NDPPROXY",
    "PORTFORWARDING",
    "CONNTRACKHELPER",
    "NETWORK_SEGMENT_RANGE",
    "FIREWALL_V2",
    "VPN",
)
_LONG_CHARS = 1_024
_DESCRIPTION = Attribute(
    "description", Cleared(Text(_LONG_CHARS), ""), default="", text="A human-readable description."
)


class ServiceProfile(Entity, frozen=True, kw_only=True, gc=False):
    """How a flavor is provided: a driver, or words for one."""

    driver: str = ""
    metainfo: str = ""
    enabled: bool = True


class Flavor(Entity, frozen=True, kw_only=True, gc=False):
    """A kind of service a user may choose."""

    service_type: str
    service_profiles: tuple[str, ...] = ()
    enabled: bool = True


_READABLE = {"get": "role:reader or rule:admin_only"}

SERVICE_PROFILE = Resource(
    name="service_profile",
    collection="service_profiles",
    entity=ServiceProfile,
    text="How a flavor is provided.",
    columns_shown=("id", "enabled", "metainfo", "description"),
    attributes=(
        ID,
        _DESCRIPTION,
        Attribute("driver", Text(_LONG_CHARS), default="", text="The driver; of this region: alcor."),
        Attribute("metainfo", Cleared(Text(4_095), ""), default="", text="Words for the driver."),
        Attribute("enabled", Boolean(), default=True, text="Whether it may be used."),
    ),
)

FLAVOR = Resource(
    name="flavor",
    collection="flavors",
    entity=Flavor,
    text="A kind of service a user may choose.",
    columns_shown=("id", "name", "enabled", "service_type", "description"),
    policy=_READABLE,
    lookups=(
        Lookup(
            "service_profiles",
            ("profile_id",),
            lambda row: [(one,) for one in row.service_profiles],
            refers={"profile_id": "service_profile"},
        ),
    ),
    attributes=(
        ID,
        Attribute("name", Text(255), default="", text="A human-readable name, not unique."),
        _DESCRIPTION,
        Attribute(
            "service_type",
            Choice(SERVICE_TYPES),
            default=REQUIRED,
            update=Who.NOBODY,
            text="What it is a kind of.",
        ),
        Attribute(
            "service_profiles", ListOf(Uuid()), default=(), sorts=False, text="The IDs of its profiles."
        ),
        Attribute("enabled", Boolean(), default=True, text="Whether it may be chosen."),
    ),
)
