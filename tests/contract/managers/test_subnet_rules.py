"""What makes a subnet valid, and what it is given by default."""

import pytest

from alcor.managers.subnet import rules
from alcor.model.address import Cidr, Ip
from alcor.model.errors import AlcorError, Conflict, InUse, InvalidInput, Problem
from alcor.model.subnet import HostRoute, Pool


@pytest.mark.parametrize(
    ("cidr", "gateway", "pools"),
    [
        ("10.0.0.0/24", "10.0.0.1", [("10.0.0.2", "10.0.0.254")]),
        ("10.0.0.0/30", "10.0.0.1", [("10.0.0.2", "10.0.0.2")]),
        ("10.0.0.0/31", "10.0.0.0", [("10.0.0.1", "10.0.0.1")]),
        ("10.0.0.7/32", None, [("10.0.0.7", "10.0.0.7")]),
        ("2001:db8::/64", "2001:db8::1", [("2001:db8::2", "2001:db8::ffff:ffff:ffff:ffff")]),
        ("2001:db8::/126", "2001:db8::1", [("2001:db8::2", "2001:db8::3")]),
        ("2001:db8::/127", "2001:db8::", [("2001:db8::1", "2001:db8::1")]),
        ("2001:db8::5/128", None, [("2001:db8::5", "2001:db8::5")]),
    ],
)
def test_defaults(cidr: str, gateway: str | None, pools: list[tuple[str, str]]) -> None:
    """The gateway is the first address a host may have; the pools are all others that ports may have."""
    assert rules.default_gateway(Cidr(cidr)) == gateway
    found = rules.default_pools(Cidr(cidr), rules.default_gateway(Cidr(cidr)))
    assert found == tuple(Pool(start, end) for start, end in pools)


@pytest.mark.parametrize(
    ("gateway", "pools"),
    [
        (None, [("10.0.0.1", "10.0.0.6")]),
        ("10.0.0.3", [("10.0.0.1", "10.0.0.2"), ("10.0.0.4", "10.0.0.6")]),
        ("10.0.0.6", [("10.0.0.1", "10.0.0.5")]),
        ("192.0.2.1", [("10.0.0.1", "10.0.0.6")]),
    ],
)
def test_pools_leave_the_gateway_out(gateway: str | None, pools: list[tuple[str, str]]) -> None:
    """A gateway in the middle cuts the pool in two; one outside of the prefix costs no address."""
    found = rules.default_pools(Cidr("10.0.0.0/29"), None if gateway is None else Ip(gateway))

    assert found == tuple(Pool(start, end) for start, end in pools)


@pytest.mark.parametrize(
    ("cidr", "version", "reason"),
    [
        ("10.0.0.0/24", 6, "does not match the ip_version '6'"),
        ("2001:db8::/64", 4, "does not match the ip_version '4'"),
        ("0.0.0.0/0", 4, "0 is not allowed as CIDR prefix length"),
        ("::/0", 6, "0 is not allowed as CIDR prefix length"),
        ("::/64", 6, "'::' is not supported"),
    ],
)
def test_prefixes_no_network_can_have(cidr: str, version: int, reason: str) -> None:
    """The prefix fits its version and is not everything."""
    with pytest.raises(InvalidInput, match=reason):
        rules.check_cidr(Cidr(cidr), version)


@pytest.mark.parametrize(
    ("cidr", "reason"),
    [
        ("10.0.0.0/31", "incompatible with DHCP"),
        ("2001:db8::/127", "incompatible with DHCP"),
        ("224.0.0.0/16", "Multicast IP subnet"),
        ("ff02::/64", "Multicast IP subnet"),
        ("127.0.0.0/24", "Loopback IP subnet"),
        ("0.0.0.0/8", "First IP '0.0.0.0'"),
    ],
)
def test_prefixes_dhcp_cannot_serve(cidr: str, reason: str) -> None:
    """Where DHCP is enabled there must be ordinary addresses for clients."""
    with pytest.raises(InvalidInput, match=reason):
        rules.check_dhcp(Cidr(cidr))


@pytest.mark.parametrize(
    ("cidr", "gateway"),
    [
        ("10.0.0.0/24", "10.0.0.254"),
        ("10.0.0.0/31", "10.0.0.0"),
        ("10.0.0.0/31", "10.0.0.1"),
        ("10.0.0.0/24", "192.0.2.1"),
        ("2001:db8::/64", "fe80::1"),
        ("2001:db8::/64", "2001:db8::"),
    ],
)
def test_gateways_that_are_valid(cidr: str, gateway: str) -> None:
    """Any address that could be a router's, a link-local one and one beyond the prefix among them."""
    rules.check_gateway(Cidr(cidr), Ip(gateway))


@pytest.mark.parametrize(
    ("cidr", "gateway"),
    [("10.0.0.0/24", "10.0.0.0"), ("10.0.0.0/24", "10.0.0.255"), ("10.0.0.0/24", "2001:db8::1")],
)
def test_gateways_that_are_not(cidr: str, gateway: str) -> None:
    """Neither the network nor the broadcast address, nor one of the other version."""
    with pytest.raises(InvalidInput):
        rules.check_gateway(Cidr(cidr), Ip(gateway))


def test_pools_come_in_order() -> None:
    """Pools are kept in ascending order, whatever order they were named in."""
    low, high = Pool("10.0.0.2", "10.0.0.9"), Pool("10.0.0.100", "10.0.0.200")

    assert rules.check_pools(Cidr("10.0.0.0/24"), [high, low]) == (low, high)


@pytest.mark.parametrize(
    ("pools", "error", "problem"),
    [
        ([("10.0.0.9", "10.0.0.2")], InvalidInput, Problem.POOL_INVALID),
        ([("2001:db8::1", "2001:db8::2")], InvalidInput, Problem.POOL_INVALID),
        ([("10.0.0.0", "10.0.0.9")], InvalidInput, Problem.POOL_OUT_OF_SUBNET),
        ([("10.0.0.9", "10.0.0.255")], InvalidInput, Problem.POOL_OUT_OF_SUBNET),
        ([("10.0.0.9", "10.0.1.9")], InvalidInput, Problem.POOL_OUT_OF_SUBNET),
        ([("10.0.0.2", "10.0.0.9"), ("10.0.0.9", "10.0.0.20")], Conflict, Problem.POOLS_OVERLAP),
        ([("10.0.0.2", "10.0.0.90"), ("10.0.0.9", "10.0.0.20")], Conflict, Problem.POOLS_OVERLAP),
    ],
)
def test_pools_that_are_refused(
    pools: list[tuple[str, str]], error: type[AlcorError], problem: Problem
) -> None:
    """A pool is ordered, of the prefix's version, inside of it, and apart from the others."""
    with pytest.raises(error) as refused:
        rules.check_pools(Cidr("10.0.0.0/24"), [Pool(start, end) for start, end in pools])

    assert type(refused.value) is error
    assert refused.value.problem is problem


def test_a_gateway_inside_a_pool_is_refused() -> None:
    """Otherwise a port could be given the router's address."""
    pools = (Pool("10.0.0.1", "10.0.0.9"),)
    with pytest.raises(InUse) as refused:
        rules.check_gateway_outside(Ip("10.0.0.9"), pools)

    assert refused.value.problem is Problem.GATEWAY_IN_POOL
    rules.check_gateway_outside(Ip("10.0.0.10"), pools)
    rules.check_gateway_outside(Ip("fe80::1"), pools)
    rules.check_gateway_outside(None, pools)


@pytest.mark.parametrize(
    ("servers", "routes"),
    [
        (["2001:db8::53"], []),
        ([], [HostRoute("2001:db8::/64", "10.0.0.1")]),
        ([], [HostRoute("192.0.2.0/24", "2001:db8::1")]),
    ],
)
def test_name_servers_and_routes_are_of_the_subnets_version(
    servers: list[str], routes: list[HostRoute]
) -> None:
    """DHCPv4 cannot tell an IPv6 address, nor the other way round."""
    with pytest.raises(InvalidInput, match="does not match the ip_version '4'"):
        rules.check_servers_and_routes(4, servers, routes)


@pytest.mark.parametrize(
    ("cidr", "ra_mode", "address_mode", "enable_dhcp", "reason"),
    [
        ("10.0.0.0/24", "slaac", None, True, "ipv6_ra_mode is not valid when ip_version is 4"),
        ("10.0.0.0/24", None, "slaac", True, "ipv6_address_mode is not valid when ip_version is 4"),
        ("2001:db8::/64", "slaac", "slaac", False, "enable_dhcp is set to False"),
        ("2001:db8::/64", "slaac", "dhcpv6-stateful", True, "must be the same value"),
        ("2001:db8::/80", "slaac", None, True, "need a prefix of /64"),
        ("2001:db8::/56", None, "dhcpv6-stateless", True, "need a prefix of /64"),
    ],
)
def test_ipv6_modes_that_do_not_fit(
    cidr: str, ra_mode: str | None, address_mode: str | None, enable_dhcp: bool, reason: str
) -> None:
    """Modes are for IPv6 with DHCP, agree, and form addresses in a /64 only."""
    with pytest.raises(InvalidInput, match=reason):
        rules.check_ipv6_modes(Cidr(cidr), ra_mode, address_mode, enable_dhcp=enable_dhcp)


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateful", "dhcpv6-stateless"])
def test_ipv6_modes_that_fit(mode: str) -> None:
    """Each mode alone or twice; DHCPv6 gives addresses in any prefix."""
    rules.check_ipv6_modes(Cidr("2001:db8::/64"), mode, mode, enable_dhcp=True)
    rules.check_ipv6_modes(Cidr("2001:db8::/64"), None, mode, enable_dhcp=True)
    rules.check_ipv6_modes(Cidr("2001:db8::/80"), "dhcpv6-stateful", "dhcpv6-stateful", enable_dhcp=True)
    rules.check_ipv6_modes(Cidr("2001:db8::/80"), None, None, enable_dhcp=False)


def test_more_servers_or_routes_than_dhcp_tells_are_refused() -> None:
    """Five name servers and twenty routes, as the reference; one more is one too many."""
    servers = [f"192.0.2.{number}" for number in range(1, 7)]
    routes = [HostRoute(f"198.51.{number}.0/24", "10.0.0.1") for number in range(21)]

    rules.check_servers_and_routes(4, servers[:5], routes[:20])
    with pytest.raises(InvalidInput) as refused:
        rules.check_servers_and_routes(4, servers, [])
    assert refused.value.problem is Problem.TOO_MANY_SERVERS
    with pytest.raises(InvalidInput) as refused:
        rules.check_servers_and_routes(4, [], routes)
    assert refused.value.problem is Problem.TOO_MANY_ROUTES


def test_service_types_are_kinds_of_devices() -> None:
    """A service type begins as a device_owner does."""
    rules.check_service_types(["network:dhcp", "compute:nova", "neutron:x"])
    with pytest.raises(InvalidInput, match="fruit") as refused:
        rules.check_service_types(["fruit:apple"])
    assert refused.value.problem is Problem.SERVICE_TYPE
