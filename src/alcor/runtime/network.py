"""What the managers are told of networks, from the configuration."""

from alcor.managers.vpc.settings import NetworkSettings, check_types, parse_vlan_ranges
from alcor.runtime.config import RegionConfig
from alcor.runtime.settings import ConfigurationError

_IPV6_HEADER_EXTRA_BYTES = 20


def network_settings(config: RegionConfig) -> NetworkSettings:
    """The sections `network` and `underlay` as the managers take them. Raises: ConfigurationError."""
    network, underlay = config.network, config.underlay
    try:
        check_types(network.tenant_network_types)
    except ValueError as error:
        raise ConfigurationError(f"network.tenant_network_types: {error}") from error
    if not network.tenant_network_types:
        raise ConfigurationError("network.tenant_network_types: name at least one type, such as vxlan")
    try:
        ranges = parse_vlan_ranges(network.vlan_ranges)
    except ValueError as error:
        raise ConfigurationError(f"network.vlan_ranges: {error}") from error
    # The managers take off what a tunnel over IPv4 needs.
    longer = _IPV6_HEADER_EXTRA_BYTES if underlay.ip_version == 6 else 0
    return NetworkSettings(
        tunnel_mtu_bytes=underlay.mtu_bytes - longer,
        physical_mtu_bytes=underlay.mtu_bytes,
        physical_networks=frozenset(network.physical_networks) | ranges.keys(),
        vlan_ranges=ranges,
        tenant_types=network.tenant_network_types,
        zones=network.availability_zones,
    )
