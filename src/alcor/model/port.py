"""A port: the place where a virtual machine meets a network."""

from typing import Any

import msgspec

from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import IP, MAC, Boolean, Choice, FreeForm, ListOf, Nullable, Record, Text, Uuid

VNIC_TYPES = ("normal",)


class FixedIp(msgspec.Struct, frozen=True, gc=False):
    """One address of a port."""

    subnet_id: str
    ip_address: str


class WantedIp(msgspec.Struct, frozen=True, gc=False):
    """What a client asks for: a subnet, an address, or both."""

    subnet_id: str | None
    ip_address: str | None


class Port(Entity, frozen=True, kw_only=True, gc=False):
    """One virtual interface.

    `security_groups`: None means *unknown* and is closed once groups are enforced; empty means none. Every
    port stores its project's default group from the first day (protocol, section 5), though the
    attribute is shown only from the day packets obey it.
    `binding_generation` counts changes of host and administrative state: an observation of an older one is no
    longer true, so that status can never be early (protocol, 5).
    `binding_vif_type`: `unbound` without a host, `binding_failed` for a host that is not there, else `ovs`.
    """

    network_id: str
    mac_address: str
    admin_state_up: bool = True
    fixed_ips: tuple[FixedIp, ...] = ()
    device_id: str = ""
    device_owner: str = ""
    port_security_enabled: bool = True
    security_groups: tuple[str, ...] | None = None
    binding_host_id: str = ""
    binding_vnic_type: str = "normal"
    binding_profile: dict[str, Any] = {}
    binding_vif_type: str = "unbound"
    binding_generation: int = 0


def _vif_details(row: Any) -> dict[str, Any]:
    """What a hypervisor must know to plug the interface; `port_filter` tells whether groups are enforced."""
    if row.binding_vif_type != "ovs":
        return {}
    return {"port_filter": False, "connectivity": "l2", "bridge_name": "br-int"}


def _fixed_ip_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(fixed.subnet_id, fixed.ip_address) for fixed in row.fixed_ips]


PORT = Resource(
    name="port",
    collection="ports",
    entity=Port,
    text="A connection point of a device to a network.",
    columns_shown=("id", "name", "mac_address", "fixed_ips", "status"),
    lookups=(
        Lookup("fixed_ips", ("subnet_id", "ip_address"), _fixed_ip_rows, refers={"subnet_id": "subnet"}),
    ),
    attributes=(
        *STANDARD,
        Attribute(
            "network_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The network it is on.",
        ),
        Attribute("admin_state_up", Boolean(), default=True, text="Whether it forwards packets."),
        Attribute(
            "status",
            Text(16),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            sorts=False,
            text="DOWN, BUILD (plugged, not yet programmed) or ACTIVE (programmed on its host).",
        ),
        Attribute(
            "mac_address", MAC, default=UNSET, column=True, text="Its MAC address; allocated if not given."
        ),
        Attribute(
            "fixed_ips",
            ListOf(
                Record({"subnet_id": Nullable(Uuid()), "ip_address": Nullable(IP)}, WantedIp),
                items_max=64,
                # Naming a subnet twice asks for two addresses of it.
                unique=False,
            ),
            default=UNSET,
            sorts=False,
            text="Its addresses; allocated from suitable subnets if not given.",
        ),
        Attribute(
            "device_id", Text(255), default="", column=True, text="The server or service that uses it."
        ),
        Attribute("device_owner", Text(255), default="", column=True, text="What kind of device that is."),
        Attribute(
            "port_security_enabled",
            Boolean(),
            default=UNSET,
            text="Whether anti-spoofing applies; by default as the network says.",
        ),
        Attribute(
            "binding:host_id",
            # Nova unbinds with null; stored and shown as "".
            Nullable(Text(255)),
            default="",
            see=Who.ADMIN,
            column=True,
            text="The host (its name) where the interface is plugged.",
        ),
        Attribute(
            "binding:vnic_type", Choice(VNIC_TYPES), default="normal", text="How the interface is plugged."
        ),
        Attribute(
            "binding:profile",
            FreeForm(),
            default={},
            see=Who.ADMIN,
            filters=False,
            sorts=False,
            text="Hints of the compute service.",
        ),
        Attribute(
            "binding:vif_type",
            Text(64),
            create=Who.NOBODY,
            update=Who.NOBODY,
            see=Who.ADMIN,
            text="unbound, ovs or binding_failed.",
        ),
        Attribute(
            "binding:vif_details",
            FreeForm(),
            create=Who.NOBODY,
            update=Who.NOBODY,
            see=Who.ADMIN,
            stored=False,
            derive=_vif_details,
            filters=False,
            sorts=False,
            text="How to plug the interface.",
        ),
        *COUNTED,
    ),
)
