"""Addresses in the configuration."""

import pytest

from alcor.runtime.address import check_addresses
from alcor.runtime.config import Bus, Ncm, RegionConfig
from alcor.runtime.settings import ConfigurationError


@pytest.mark.parametrize("address", ["127.0.0.1:0", "[::1]:9698", "db.example:65535", "unix:/run/bus.sock"])
def test_addresses_that_can_be_listened_on(address: str) -> None:
    """Port or socket; IPv6 in brackets."""
    check_addresses(RegionConfig(bus=Bus(listen=(address,), dataplane=(address,), advertise=address)))


@pytest.mark.parametrize(
    "address",
    ["127.0.0.1", "9698", ":9698", "host:", "host:70000", "host:https", "::1:9698", "unix:bus.sock"],
)
def test_an_address_without_a_port_is_refused_by_its_setting(address: str) -> None:
    """A server would listen on some port nobody named, and tell others of it."""
    for config, setting in (
        (RegionConfig(bus=Bus(listen=("127.0.0.1:1", address))), r"bus\.listen"),
        (RegionConfig(bus=Bus(dataplane=(address,))), r"bus\.dataplane"),
        (RegionConfig(bus=Bus(advertise=address)), r"bus\.advertise"),
        (RegionConfig(ncm=Ncm(listen=address)), r"ncm\.listen"),
        (RegionConfig(ncm=Ncm(public_addresses=(address,))), r"ncm\.public_addresses"),
    ):
        with pytest.raises(ConfigurationError, match=f"^{setting} = '.*': write address:port"):
            check_addresses(config)


def test_agents_on_other_machines_have_no_use_for_a_socket() -> None:
    """Their addresses are ports; the socket has a setting of its own."""
    with pytest.raises(ConfigurationError, match=r"^ncm\.listen"):
        check_addresses(RegionConfig(ncm=Ncm(listen="unix:/run/agents.sock")))
