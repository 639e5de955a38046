"""What the configuration's sections `network` and `underlay` mean to the managers."""

import pytest

from alcor.runtime.config import Network, RegionConfig, Underlay
from alcor.runtime.network import network_settings
from alcor.runtime.settings import ConfigurationError


def test_the_defaults() -> None:
    """Without a configuration networks are VXLAN on Ethernet, with one physical network and one zone."""
    settings = network_settings(RegionConfig())

    assert settings.tenant_types == ("vxlan",)
    assert settings.mtu_max(["vxlan"]) == 1_450
    assert settings.knows("physnet1")
    assert not settings.knows("other")
    assert settings.zones == ("nova",)


def test_an_underlay_of_ipv6_leaves_less_to_tunnels_only() -> None:
    """Its header is 20 bytes longer; a VLAN has none."""
    settings = network_settings(RegionConfig(underlay=Underlay(mtu_bytes=9_000, ip_version=6)))

    assert (settings.mtu_max(["vxlan"]), settings.mtu_max(["vlan"])) == (8_930, 9_000)
    assert settings.mtu_max(["vlan", "gre"]) == 8_938


def test_a_wire_with_a_range_is_known() -> None:
    """Who names a range need not name the wire twice; `*` knows all."""
    settings = network_settings(
        RegionConfig(network=Network(physical_networks=(), vlan_ranges=("wire1:5:9",)))
    )
    anything = network_settings(RegionConfig(network=Network(physical_networks=("*",))))

    assert settings.knows("wire1")
    assert settings.vlan_ranges["wire1"].ranges == ((5, 9),)
    assert anything.knows("whatever")


@pytest.mark.parametrize(
    ("section", "reason"),
    [
        (Network(tenant_network_types=("flat",)), "network.tenant_network_types: 'flat'"),
        (Network(tenant_network_types=()), "name at least one type"),
        (Network(vlan_ranges=("wire1:9:5",)), "network.vlan_ranges: 'wire1:9:5'"),
    ],
)
def test_settings_that_cannot_be_used(section: Network, reason: str) -> None:
    """The error names the setting and the value."""
    with pytest.raises(ConfigurationError, match=reason):
        network_settings(RegionConfig(network=section))
