"""The forms of `fixed_ips`, on create and on update."""

from typing import Any

import pytest

from alcor.managers.private_ip.allocation import space_of
from alcor.model.address import Cidr, Ip, contains
from alcor.model.errors import Exhausted, InUse, InvalidInput, NotFound, Problem
from alcor.model.network import Network
from alcor.model.port import FixedIp, Port
from alcor.model.subnet import Subnet
from tests.support.managers import Desk

MAC = "06:a1:c0:00:00:09"
FORMED = "2001:db8:1:0:4a1:c0ff:fe00:9"


@pytest.fixture
async def network(desk: Desk) -> Network:
    found: Network = await desk.create("network")
    return found


async def a_subnet(desk: Desk, network: Network, cidr: str, **said: Any) -> Subnet:
    version = 6 if ":" in cidr else 4
    found: Subnet = await desk.create("subnet", network_id=network.id, ip_version=version, cidr=cidr, **said)
    return found


async def slaac(desk: Desk, network: Network, mode: str = "slaac") -> Subnet:
    return await a_subnet(desk, network, "2001:db8:1::/64", ipv6_address_mode=mode, ipv6_ra_mode=mode)


async def a_port(desk: Desk, network: Network, **said: Any) -> Port:
    found: Port = await desk.create("port", network_id=network.id, **said)
    return found


def pairs(port: Port) -> list[tuple[str, str]]:
    return [(fixed.subnet_id, fixed.ip_address) for fixed in port.fixed_ips]


async def test_nothing_said_on_a_network_without_subnets(desk: Desk, network: Network) -> None:
    """A port may have no address."""
    assert (await a_port(desk, network)).fixed_ips == ()


async def test_nothing_said_gives_one_address_of_each_version(desk: Desk, network: Network) -> None:
    """Dual stack: one of the IPv4 subnets, one of the IPv6 ones that hand addresses out."""
    for cidr in ("10.0.0.0/24", "10.0.1.0/24", "2001:db8::/64", "2001:db8:2::/64"):
        await a_subnet(desk, network, cidr)

    port = await a_port(desk, network)

    assert sorted(4 if "." in ip else 6 for _, ip in pairs(port)) == [4, 6]


async def test_a_full_subnet_is_passed_over(desk: Desk, network: Network) -> None:
    """The next subnet of the version is asked, oldest first; then there is no more."""
    pool = [{"start": "10.0.0.2", "end": "10.0.0.3"}]
    first = await a_subnet(desk, network, "10.0.0.0/24", allocation_pools=pool)
    desk.clock.advance(1)
    pool = [{"start": "10.0.1.2", "end": "10.0.1.2"}]
    second = await a_subnet(desk, network, "10.0.1.0/24", allocation_pools=pool)

    ports = await desk.create_many("port", [{"network_id": network.id} for _ in range(3)])

    assert [pairs(port)[0] for port in ports] == [
        (first.id, "10.0.0.2"),
        (first.id, "10.0.0.3"),
        (second.id, "10.0.1.2"),
    ]
    with pytest.raises(Exhausted, match=f"No more IP addresses available on network {network.id}"):
        await a_port(desk, network)


async def test_subnet_and_address(desk: Desk, network: Network) -> None:
    """Both named: exactly that, inside or outside of the pools."""
    subnet = await a_subnet(
        desk, network, "10.0.0.0/24", allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.9"}]
    )

    port = await a_port(desk, network, fixed_ips=[{"subnet_id": subnet.id, "ip_address": "10.0.0.77"}])

    assert pairs(port) == [(subnet.id, "10.0.0.77")]


async def test_subnet_only(desk: Desk, network: Network) -> None:
    """A free address of that subnet; twice named, two addresses."""
    await a_subnet(desk, network, "10.0.0.0/24")
    wanted = await a_subnet(desk, network, "10.0.1.0/24")

    port = await a_port(
        desk,
        network,
        fixed_ips=[{"subnet_id": wanted.id}, {"subnet_id": wanted.id, "ip_address": "10.0.1.2"}],
    )

    assert pairs(port) == [(wanted.id, "10.0.1.3"), (wanted.id, "10.0.1.2")]


async def test_address_only(desk: Desk, network: Network) -> None:
    """The subnet of the network that contains it."""
    await a_subnet(desk, network, "10.0.0.0/24")
    wanted = await a_subnet(desk, network, "10.0.1.0/24")

    port = await a_port(desk, network, fixed_ips=[{"ip_address": "10.0.1.9"}])

    assert pairs(port) == [(wanted.id, "10.0.1.9")]


async def test_an_empty_list(desk: Desk, network: Network) -> None:
    """None, though there are subnets."""
    await a_subnet(desk, network, "10.0.0.0/24")

    assert (await a_port(desk, network, fixed_ips=[])).fixed_ips == ()


async def test_the_gateways_address_can_be_asked_for(desk: Desk, network: Network) -> None:
    """A port may be the router: the gateway's address is only kept out of automatic choice."""
    subnet = await a_subnet(desk, network, "10.0.0.0/24")

    port = await a_port(desk, network, fixed_ips=[{"ip_address": "10.0.0.1"}])

    assert pairs(port) == [(subnet.id, "10.0.0.1")]


@pytest.mark.parametrize("mode", ["slaac", "dhcpv6-stateless"])
@pytest.mark.parametrize(
    "said",
    [{}, {"fixed_ips": []}, {"fixed_ips": [{"ip_address": "10.0.0.9"}]}],
    ids=["nothing", "none", "v4"],
)
async def test_formed_addresses_always_come_along(
    desk: Desk, network: Network, mode: str, said: dict[str, Any]
) -> None:
    """Whatever was asked for: the guest forms the address by itself, so the port has it."""
    await a_subnet(desk, network, "10.0.0.0/24")
    formed = await slaac(desk, network, mode)

    port = await a_port(desk, network, mac_address=MAC, **said)

    assert [ip for subnet_id, ip in pairs(port) if subnet_id == formed.id] == [FORMED]
    assert await desk.owners(space_of(formed.id), [FORMED]) == {FORMED: port.id}


async def test_naming_a_slaac_subnet_gives_its_formed_address_once(desk: Desk, network: Network) -> None:
    """The subnet named is one of those whose addresses come anyway."""
    formed = await slaac(desk, network)

    port = await a_port(desk, network, mac_address=MAC, fixed_ips=[{"subnet_id": formed.id}])

    assert pairs(port) == [(formed.id, FORMED)]


async def test_stateful_dhcpv6_addresses_are_allocated(desk: Desk, network: Network) -> None:
    """They are not formed from the MAC address, and may be chosen."""
    subnet = await a_subnet(
        desk,
        network,
        "2001:db8::/64",
        ipv6_address_mode="dhcpv6-stateful",
        ipv6_ra_mode="dhcpv6-stateful",
    )

    automatic = await a_port(desk, network)
    chosen = await a_port(desk, network, fixed_ips=[{"ip_address": "2001:db8::77"}])

    assert contains(Cidr(subnet.cidr), Ip(pairs(automatic)[0][1]))
    assert pairs(chosen) == [(subnet.id, "2001:db8::77")]


@pytest.mark.parametrize(
    ("wanted", "reason", "problem"),
    [
        ({"ip_address": "192.0.2.9"}, "any of the subnets on network", Problem.ADDRESS_NOT_ON_NETWORK),
        ({"ip_address": "10.0.0.255"}, "not a valid IP", Problem.ADDRESS_NOT_IN_SUBNET),
        ({}, "requires subnet_id or ip_address", Problem.GENERIC),
    ],
)
async def test_addresses_that_cannot_be(
    desk: Desk, network: Network, wanted: dict[str, str], reason: str, problem: Problem
) -> None:
    """On no subnet of the network, not usable in it, or nothing at all."""
    await a_subnet(desk, network, "10.0.0.0/24")

    with pytest.raises(InvalidInput, match=reason) as refused:
        await a_port(desk, network, fixed_ips=[wanted])

    assert refused.value.problem is problem


async def test_an_address_outside_of_the_named_subnet(desk: Desk, network: Network) -> None:
    """Even if another subnet of the network contains it."""
    subnet = await a_subnet(desk, network, "10.0.0.0/24")
    await a_subnet(desk, network, "10.0.1.0/24")

    with pytest.raises(InvalidInput, match=subnet.id) as refused:
        await a_port(desk, network, fixed_ips=[{"subnet_id": subnet.id, "ip_address": "10.0.1.9"}])

    assert refused.value.problem is Problem.ADDRESS_NOT_IN_SUBNET


async def test_subnets_of_another_network_and_of_none(desk: Desk, network: Network) -> None:
    """A foreign subnet is an input error, an unknown one is not found."""
    foreign = await a_subnet(desk, await desk.create("network"), "10.0.0.0/24")
    missing = "11111111-1111-4111-8111-111111111111"

    with pytest.raises(InvalidInput, match=f"invalid subnet {foreign.id}"):
        await a_port(desk, network, fixed_ips=[{"subnet_id": foreign.id}])
    with pytest.raises(NotFound, match=missing):
        await a_port(desk, network, fixed_ips=[{"subnet_id": missing}])


async def test_an_address_twice(desk: Desk, network: Network) -> None:
    """Also where one entry names the subnet and the other does not."""
    subnet = await a_subnet(desk, network, "10.0.0.0/24")
    twice = [{"subnet_id": subnet.id, "ip_address": "10.0.0.9"}, {"ip_address": "10.0.0.9"}]

    with pytest.raises(InvalidInput, match="Duplicate"):
        await a_port(desk, network, fixed_ips=twice)
    port = await a_port(desk, network, fixed_ips=twice[:1])
    with pytest.raises(InvalidInput, match="Duplicate"):
        await desk.update(port, fixed_ips=twice)


async def test_a_taken_address(desk: Desk, network: Network) -> None:
    """Two live ports never share one."""
    await a_subnet(desk, network, "10.0.0.0/24")
    await a_port(desk, network)

    with pytest.raises(InUse, match=r"10\.0\.0\.2") as refused:
        await a_port(desk, network, fixed_ips=[{"ip_address": "10.0.0.2"}])

    assert refused.value.problem is Problem.ADDRESS_TAKEN


async def test_choosing_a_formed_address(desk: Desk, network: Network) -> None:
    """It would not be the one the guest forms."""
    await slaac(desk, network)

    with pytest.raises(InvalidInput, match="automatic addresses"):
        await a_port(desk, network, fixed_ips=[{"ip_address": "2001:db8:1::77"}])


async def test_an_update_swaps_addresses_at_once(desk: Desk, network: Network) -> None:
    """What is named stays, what is new is taken, the rest is given back."""
    subnet = await a_subnet(desk, network, "10.0.0.0/24")
    port = await a_port(desk, network, fixed_ips=[{"ip_address": "10.0.0.5"}, {"ip_address": "10.0.0.6"}])

    changed = await desk.update(port, fixed_ips=[{"ip_address": "10.0.0.6"}, {"ip_address": "10.0.0.7"}])

    assert {ip for _, ip in pairs(changed)} == {"10.0.0.6", "10.0.0.7"}
    keys = ["10.0.0.5", "10.0.0.6", "10.0.0.7"]
    assert set(await desk.owners(space_of(subnet.id), keys)) == {"10.0.0.6", "10.0.0.7"}


async def test_a_swap_that_fails_changes_nothing(desk: Desk, network: Network) -> None:
    """The address given up is still there if the new one is taken."""
    await a_subnet(desk, network, "10.0.0.0/24")
    port, _other = await desk.create_many("port", [{"network_id": network.id}] * 2)
    before = desk.dump()

    with pytest.raises(InUse):
        await desk.update(port, fixed_ips=[{"ip_address": "10.0.0.3"}])

    assert desk.dump() == before


async def test_two_ports_can_swap_through_a_full_subnet(desk: Desk, network: Network) -> None:
    """An update in a subnet that is otherwise full finds the room it makes itself."""
    pool = [{"start": "10.0.0.2", "end": "10.0.0.2"}]
    subnet = await a_subnet(desk, network, "10.0.0.0/24", allocation_pools=pool)
    port = await a_port(desk, network)
    second = await a_subnet(desk, network, "10.0.1.0/24")

    moved = await desk.update(port, fixed_ips=[{"subnet_id": second.id}])
    back = await desk.update(moved, fixed_ips=[{"subnet_id": subnet.id}])

    assert pairs(moved) == [(second.id, "10.0.1.2")]
    assert pairs(back) == [(subnet.id, "10.0.0.2")]


async def test_naming_only_the_subnet_keeps_its_address(desk: Desk, network: Network) -> None:
    """An update is not a new draw; a second entry adds one."""
    subnet = await a_subnet(desk, network, "10.0.0.0/24")
    port = await a_port(desk, network, fixed_ips=[{"ip_address": "10.0.0.50"}])

    same = await desk.update(port, fixed_ips=[{"subnet_id": subnet.id}])
    more = await desk.update(port, fixed_ips=[{"subnet_id": subnet.id}, {"subnet_id": subnet.id}])

    assert pairs(same) == [(subnet.id, "10.0.0.50")]
    assert same.revision_number == 0
    assert pairs(more) == [(subnet.id, "10.0.0.50"), (subnet.id, "10.0.0.2")]


async def test_an_update_keeps_formed_addresses(desk: Desk, network: Network) -> None:
    """Also when none are asked for; and what a client reads it may send back."""
    await a_subnet(desk, network, "10.0.0.0/24")
    formed = await slaac(desk, network)
    port = await a_port(desk, network, mac_address=MAC)
    read = [{"subnet_id": subnet_id, "ip_address": ip} for subnet_id, ip in pairs(port)]

    same = await desk.update(port, fixed_ips=read)
    none = await desk.update(port, fixed_ips=[])

    assert set(pairs(same)) == set(pairs(port))
    assert pairs(none) == [(formed.id, FORMED)]


async def test_a_new_mac_address_forms_new_addresses(desk: Desk, network: Network) -> None:
    """The others stay."""
    subnet = await a_subnet(desk, network, "10.0.0.0/24")
    formed = await slaac(desk, network)
    port = await a_port(desk, network, mac_address=MAC)

    changed = await desk.update(port, mac_address="06:a1:c0:00:00:0a")

    assert changed.fixed_ips == (
        FixedIp(subnet.id, "10.0.0.2"),
        FixedIp(formed.id, "2001:db8:1:0:4a1:c0ff:fe00:a"),
    )
    assert await desk.owners(space_of(formed.id), [FORMED]) == {}


async def test_many_addresses(desk: Desk, network: Network) -> None:
    """The reference sets no limit of five any more; the declaration allows 64."""
    subnet = await a_subnet(desk, network, "10.0.0.0/24")

    wanted = [{"subnet_id": subnet.id, "ip_address": f"10.0.0.{100 + n}"} for n in range(64)]
    port = await a_port(desk, network, fixed_ips=wanted)

    assert len(port.fixed_ips) == 64
