"""A port: the place where a virtual machine meets a network."""

from typing import Any, Final

import msgspec

from alcor.model.port_value import (
    ADDRESS_PAIRS,
    DHCP_OPTIONS,
    DNS_DOMAIN,
    DNS_NAME,
    FIXED_IPS,
    AddressPair,
    ClearedList,
    DhcpOption,
    FixedIp,
    Hints,
    WantedIp,
)
from alcor.model.resource import REQUIRED, UNSET, Attribute, Entity, Lookup, PartOf, Resource, Who
from alcor.model.standard import COUNTED, STANDARD, TAGS, TAGS_LOOKUP
from alcor.model.value import MAC, Boolean, Choice, FreeForm, ListOf, Nullable, Text, Uuid

__all__ = ["PORT", "AddressPair", "Binding", "Extra", "FixedIp", "Port", "WantedIp", "extra_of"]

VNIC_TYPES = (
    "normal",
    "direct",
    "macvtap",
    "baremetal",
    "direct-physical",
    "virtio-forwarder",
    "smart-nic",
    "vdpa",
    "accelerator-direct",
    "accelerator-direct-physical",
    "remote-managed",
)
NUMA_POLICIES = ("required", "preferred", "legacy", "socket")
OFFLOAD_TYPES = ("switchdev",)
IMMEDIATE, NO_ADDRESSES = "immediate", "none"
DNS_DOMAIN_DEFAULT: Final = "openstacklocal."


class Binding(msgspec.Struct, frozen=True, gc=False):
    """A host that stands by for a port, prepared before it moves there. The active binding is the port's own."""

    host: str
    vnic_type: str = "normal"
    profile: dict[str, Any] = {}
    vif_type: str = "unbound"


class Extra(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What few ports have: kept apart, so that the others do not carry twelve empty members.

    `trunk_id`: the trunk it is the parent or a subport of.
    """

    extra_dhcp_opts: tuple[DhcpOption, ...] = ()
    dns_name: str = ""
    dns_domain: str = ""
    data_plane_status: str | None = None
    numa_affinity_policy: str | None = None
    device_profile: str | None = None
    hints: dict[str, Any] | None = None
    trusted: bool | None = None
    hardware_offload_type: str | None = None
    propagate_uplink_status: bool = True
    ip_allocation: str = IMMEDIATE
    bindings: tuple[Binding, ...] = ()
    trunk_id: str | None = None


_NOTHING = Extra()


class Port(Entity, frozen=True, kw_only=True, gc=False):
    """One virtual interface.

    `security_groups`: None means *unknown* and is closed once groups are enforced; empty means none. Every
    port stores its project's default group from the first day (protocol, section 5), unless it has no port security.
    `network_project_id`: the project of its network where that is another one, which so sees the port.
    `binding_generation` counts changes of host and administrative state: an observation of an older one is no
    longer true, so that status can never be early (protocol, 5).
    `binding_vif_type`: `unbound` without a host, `binding_failed` for a host that is not there or cannot plug such
    an interface, else `ovs`.
    `extra`: None for most; `extra_of` reads it.
    """

    network_id: str
    mac_address: str
    admin_state_up: bool = True
    fixed_ips: tuple[FixedIp, ...] = ()
    device_id: str = ""
    device_owner: str = ""
    port_security_enabled: bool = True
    security_groups: tuple[str, ...] | None = None
    allowed_address_pairs: tuple[AddressPair, ...] = ()
    qos_policy_id: str | None = None
    network_project_id: str | None = None
    binding_host_id: str = ""
    binding_vnic_type: str = "normal"
    binding_profile: dict[str, Any] = {}
    binding_vif_type: str = "unbound"
    binding_generation: int = 0
    extra: Extra | None = None


def extra_of(row: Port) -> Extra:
    """What few ports have; all defaults for the others."""
    return row.extra or _NOTHING


def with_extra(row_extra: Extra | None, **changes: Any) -> Extra | None:
    """`Port.extra` after changes; None again once all of it is as it is for most."""
    changed = msgspec.structs.replace(row_extra or _NOTHING, **changes)
    return None if changed == _NOTHING else changed


def _extra(name: str) -> PartOf:
    """What derives an attribute from `extra`."""
    return PartOf("extra", name, _NOTHING)


def vif_details(vif_type: str) -> dict[str, Any]:
    """What a hypervisor must know to plug the interface; `port_filter` tells whether groups are enforced."""
    if vif_type != "ovs":
        return {}
    return {"port_filter": True, "connectivity": "l2", "bridge_name": "br-int"}


def _vif_details(row: Port) -> dict[str, Any]:
    return vif_details(row.binding_vif_type)


def _profile(row: Port) -> dict[str, Any]:
    """With `trusted` in it, where Nova looks for it."""
    trusted = extra_of(row).trusted
    return row.binding_profile if trusted is None else {**row.binding_profile, "trusted": trusted}


def _groups(row: Port) -> tuple[str, ...]:
    return row.security_groups or ()


def _fixed_ip_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(fixed.subnet_id, fixed.ip_address) for fixed in row.fixed_ips]


def _group_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(group,) for group in dict.fromkeys(row.security_groups or ())]


def _pair_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(pair.ip_address, pair.mac_address) for pair in row.allowed_address_pairs]


_PLACE = (
    Attribute(
        "network_id",
        Uuid(),
        default=REQUIRED,
        update=Who.NOBODY,
        column=True,
        refers="network",
        text="The network it is on.",
    ),
    Attribute(
        "network_project_id",
        Nullable(Text(255)),
        create=Who.NOBODY,
        update=Who.NOBODY,
        see=Who.NOBODY,
        column=True,
        text="The project of its network, if it is another than its own.",
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
        "mac_address",
        Nullable(MAC),
        default=UNSET,
        column=True,
        text="Its MAC address; allocated if not given, and allocated anew for null.",
    ),
    Attribute(
        "fixed_ips",
        FIXED_IPS,
        default=UNSET,
        sorts=False,
        text="Its addresses; allocated from suitable subnets if not given.",
    ),
    Attribute(
        "ip_allocation",
        Text(16),
        create=Who.NOBODY,
        update=Who.NOBODY,
        stored=False,
        sorts=False,
        derive=_extra("ip_allocation"),
        text="immediate, or none if it was created without addresses on purpose.",
    ),
    Attribute("device_id", Text(255), default="", column=True, text="The server or service that uses it."),
    Attribute("device_owner", Text(255), default="", column=True, text="What kind of device that is."),
)

_SECURITY = (
    Attribute(
        "port_security_enabled",
        Boolean(),
        default=UNSET,
        text="Whether anti-spoofing applies; by default as the network says.",
    ),
    Attribute(
        "security_groups",
        ClearedList(Uuid(), unique=False, empty=UNSET),
        default=UNSET,
        stored=False,
        sorts=False,
        derive=_groups,
        text="The IDs of its security groups; by default its project's group called default.",
    ),
    Attribute(
        "allowed_address_pairs",
        ADDRESS_PAIRS,
        default=(),
        sorts=False,
        text="Addresses it may send from beside its own; at most ten.",
    ),
    Attribute(
        "trusted",
        Nullable(Boolean()),
        default=None,
        create=Who.ADMIN,
        update=Who.ADMIN,
        see=Who.ADMIN,
        stored=False,
        filters=False,
        sorts=False,
        derive=_extra("trusted"),
        text="Whether its virtual function may do what others must not; shown in binding:profile too.",
    ),
)

_BINDING = (
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
        stored=False,
        filters=False,
        sorts=False,
        derive=_profile,
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
)


def _rare(name: str, type_: Any, text: str, **more: Any) -> Attribute:
    """An attribute kept in `extra`."""
    more = {"default": None} | more
    return Attribute(
        name, type_, stored=False, filters=False, sorts=False, derive=_extra(name), text=text, **more
    )


_EXTRA = (
    _rare(
        "extra_dhcp_opts",
        DHCP_OPTIONS,
        "More options the DHCP server tells its guest. An update adds and replaces; a null value removes one.",
        default=(),
    ),
    _rare("dns_name", DNS_NAME, "Its name in the DNS.", default=""),
    _rare("dns_domain", DNS_DOMAIN, "The domain of that name; by default its network's.", default=""),
    _rare(
        "data_plane_status",
        Nullable(Choice(("ACTIVE", "DOWN"))),
        "What a monitor of the underlay says of it; null if nothing.",
        default=UNSET,
        create=Who.NOBODY,
    ),
    _rare(
        "propagate_uplink_status",
        Boolean(),
        "Whether the link state of the uplink shows on a virtual function.",
        default=True,
    ),
    _rare(
        "numa_affinity_policy",
        Nullable(Choice(NUMA_POLICIES)),
        "How near to its device its server's memory must be.",
    ),
    _rare(
        "device_profile",
        Nullable(Text(255)),
        "The accelerator profile (Cyborg) of its device.",
        update=Who.NOBODY,
    ),
    _rare(
        "hardware_offload_type",
        Nullable(Choice(OFFLOAD_TYPES)),
        "How its packets are offloaded to the card.",
        update=Who.NOBODY,
    ),
    _rare(
        "hints",
        Nullable(Hints()),
        "Tuning of a host's switch for this port.",
        create=Who.ADMIN,
        update=Who.ADMIN,
        see=Who.ADMIN,
    ),
)


def _loaded(name: str, type_: Any, text: str, **more: Any) -> Attribute:
    """An attribute that a loader fills."""
    return Attribute(
        name,
        type_,
        create=Who.NOBODY,
        update=Who.NOBODY,
        stored=False,
        filters=False,
        sorts=False,
        text=text,
        **more,
    )


_LOADED = (
    _loaded(
        "dns_assignment",
        ListOf(FreeForm()),
        "For each address its name: {ip_address, hostname, fqdn}.",
    ),
    _loaded(
        "qos_network_policy_id",
        Nullable(Uuid()),
        "The QoS policy of its network, which applies if it has none of its own.",
    ),
    _loaded(
        "resource_request",
        Nullable(FreeForm()),
        "What placement must reserve for it; null without guarantees of its QoS policy.",
        see=Who.ADMIN,
    ),
    _loaded(
        "trunk_details",
        Nullable(FreeForm()),
        "Its trunk and the subports, if it is the parent of one.",
    ),
)

_NETWORK_OWNER = "rule:admin_or_service or rule:network_owner_member"
_OWNER_DELETES = "(rule:network_owner_member or rule:project_member)"
# Beside the rules of `api.policy.networking`.
_POLICY = {
    # An administrator may stand in for the compute service.
    "create:binding:profile": "rule:admin_or_service",
    "update:binding:profile": "rule:admin_or_service",
    "add_allowed_address_pairs": _NETWORK_OWNER,
    "remove_allowed_address_pairs": _NETWORK_OWNER,
    # A server's own port goes with the server: its owner deletes it only through the compute service.
    "delete": (
        f"rule:admin_or_service or (service_roles:service and {_OWNER_DELETES}) or (not rule:compute_device "
        f"and not rule:baremetal_device and not rule:manila_device and {_OWNER_DELETES})"
    ),
}

PORT = Resource(
    name="port",
    collection="ports",
    entity=Port,
    text="A connection point of a device to a network.",
    columns_shown=("id", "name", "mac_address", "fixed_ips", "status"),
    quota="port",
    policy=_POLICY,
    lookups=(
        Lookup("fixed_ips", ("subnet_id", "ip_address"), _fixed_ip_rows, refers={"subnet_id": "subnet"}),
        Lookup(
            "security_groups",
            ("security_group_id",),
            _group_rows,
            refers={"security_group_id": "security_group"},
        ),
        Lookup("allowed_address_pairs", ("ip_address", "mac_address"), _pair_rows),
        TAGS_LOOKUP,
    ),
    attributes=(
        *STANDARD,
        TAGS,
        *_PLACE,
        *_SECURITY,
        *_BINDING,
        Attribute(
            "qos_policy_id",
            Nullable(Uuid()),
            default=None,
            column=True,
            refers="qos_policy",
            text="Its QoS policy; null for its network's.",
        ),
        *_EXTRA,
        *_LOADED,
        *COUNTED,
    ),
)
