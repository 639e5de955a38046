"""What few ports have: options for the DHCP server, names, hints. Most ports have none, and then nothing is stored."""

from collections.abc import Sequence

from alcor.managers.interface import Values
from alcor.model.port import IMMEDIATE, NO_ADDRESSES, Extra, Port, extra_of, with_extra
from alcor.model.port_value import BLANK_OPTIONS, DhcpOption, WantedOption
from alcor.model.resource import UNSET

_DEFAULTS = {
    name: getattr(Extra(), name)
    for name in (
        "dns_name",
        "dns_domain",
        "data_plane_status",
        "numa_affinity_policy",
        "device_profile",
        "hints",
        "trusted",
        "hardware_offload_type",
        "propagate_uplink_status",
    )
}


def new_extra(values: Values) -> Extra | None:
    """What a new port has of it; None for most."""
    said = {
        name: value
        for name, default in _DEFAULTS.items()
        if (value := values.get(name, UNSET)) is not UNSET and value != default and value != {}
    }
    options = values.get("extra_dhcp_opts", ())
    if options:
        said["extra_dhcp_opts"] = merged((), options)
    # An empty list, and not nothing at all: the port is to have no addresses.
    if values.get("fixed_ips", UNSET) == ():
        said["ip_allocation"] = NO_ADDRESSES
    return with_extra(None, **said) if said else None


def changed_extra(row: Port, values: Values) -> Extra | None:
    """What the port has of it after an update."""
    said = {name: values[name] for name in _DEFAULTS if name in values}
    if said.get("hints") == {}:
        said["hints"] = None
    # Null says nothing of trust, as in the reference; it cannot be unsaid.
    if "trusted" in said and said["trusted"] is None:
        del said["trusted"]
    if values.get("extra_dhcp_opts"):
        said["extra_dhcp_opts"] = merged(extra_of(row).extra_dhcp_opts, values["extra_dhcp_opts"])
    if values.get("fixed_ips") and extra_of(row).ip_allocation == NO_ADDRESSES:
        said["ip_allocation"] = IMMEDIATE
    return with_extra(row.extra, **said) if said else row.extra


def merged(present: Sequence[DhcpOption], wanted: Sequence[WantedOption]) -> tuple[DhcpOption, ...]:
    """The options after what a client says: it adds and replaces by name and IP version, and null removes.

    Source: the reference server; what it does not name stays.
    """
    options = {(one.opt_name, one.ip_version): one for one in present}
    for one in wanted:
        key = (one.opt_name, one.ip_version or 4)
        if one.opt_value is None:
            options.pop(key, None)
        elif one.opt_value or one.opt_name in BLANK_OPTIONS:
            options[key] = DhcpOption(one.opt_name, one.opt_value, key[1])
    return tuple(options.values())


def profile_of(values: Values) -> dict[str, object]:
    """The binding profile of a new port: what was said, and the offload it asks for, where drivers look for it."""
    profile: dict[str, object] = dict(values.get("binding_profile") or {})
    offload = values.get("hardware_offload_type")
    if offload is not None and offload is not UNSET:
        listed = profile.get("capabilities")
        capabilities = list(listed) if isinstance(listed, list) else []
        profile["capabilities"] = capabilities if offload in capabilities else [*capabilities, offload]
    return profile
