"""The Private IP Manager: addresses of subnets."""

from typing import Any

import pytest

from alcor.managers.free_number import REST_S
from alcor.managers.private_ip import allocation
from alcor.model.address import Cidr, Ip, contains
from alcor.model.errors import Exhausted, InUse, InvalidInput, NotFound, Problem
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction
from tests.support.managers import OTHER_PROJECT, PROJECT, STRANGER, Desk


async def a_subnet(desk: Desk, cidr: str = "10.0.0.0/24", **said: Any) -> Subnet:
    network = await desk.create("network")
    version = 6 if ":" in cidr else 4
    found: Subnet = await desk.create("subnet", network_id=network.id, ip_version=version, cidr=cidr, **said)
    return found


async def allocate(desk: Desk, subnet: Subnet, count: int) -> list[Ip]:
    owners = [f"owner-{number}" for number in range(count)]
    return (await desk.store.write(lambda tx: allocation.allocate(tx, subnet, owners))).value


async def release(desk: Desk, subnet: Subnet, ips: list[Ip]) -> None:
    await desk.store.write(lambda tx: allocation.release(tx, subnet, ips))


@pytest.mark.parametrize(
    ("cidr", "ip", "usable"),
    [
        ("10.0.0.0/24", "10.0.0.1", True),
        ("10.0.0.0/24", "10.0.0.0", False),
        ("10.0.0.0/24", "10.0.0.255", False),
        ("10.0.0.0/24", "10.0.1.1", False),
        ("10.0.0.0/24", "2001:db8::1", False),
        ("10.0.0.0/31", "10.0.0.0", True),
        ("10.0.0.0/31", "10.0.0.1", True),
        ("10.0.0.7/32", "10.0.0.7", True),
        ("2001:db8::/64", "2001:db8::", False),
        ("2001:db8::/64", "2001:db8::ffff:ffff:ffff:ffff", True),
        ("2001:db8::/127", "2001:db8::", True),
    ],
)
def test_usable_addresses(cidr: str, ip: str, usable: bool) -> None:
    """Inside the prefix, and neither its network nor (IPv4) its broadcast address."""
    assert allocation.is_usable(Cidr(cidr), Ip(ip)) is usable


async def test_small_subnets_give_the_lowest_free_address(desk: Desk) -> None:
    """People read a /24: 10.0.0.2 comes first, and the gateway never."""
    subnet = await a_subnet(desk)

    assert await allocate(desk, subnet, 3) == ["10.0.0.2", "10.0.0.3", "10.0.0.4"]
    assert await allocate(desk, subnet, 1) == ["10.0.0.5"]


@pytest.mark.parametrize("cidr", ["10.0.0.0/16", "2001:db8::/64", "10.0.0.0/23"])
async def test_large_subnets_give_any_address_of_the_pools(desk: Desk, cidr: str) -> None:
    """Different addresses of the prefix, at random."""
    subnet = await a_subnet(desk, cidr)

    given = await allocate(desk, subnet, 100)

    assert len(set(given)) == 100
    assert all(contains(Cidr(cidr), ip) for ip in given)
    assert subnet.gateway_ip not in given
    assert given != sorted(given)


@pytest.mark.parametrize(
    ("cidr", "count"),
    [("10.0.0.0/28", 13), ("10.0.0.0/24", 253), ("10.0.0.0/23", 509), ("2001:db8::/120", 254)],
)
async def test_a_subnet_gives_all_it_has_and_no_more(desk: Desk, cidr: str, count: int) -> None:
    """Exactly the usable addresses less the gateway."""
    subnet = await a_subnet(desk, cidr)

    given = await allocate(desk, subnet, count + 5)

    assert len(set(given)) == len(given) == count
    assert all(allocation.is_usable(Cidr(cidr), ip) for ip in given)
    assert await allocate(desk, subnet, 1) == []


@pytest.mark.parametrize("cidr", ["10.0.0.0/24", "10.0.0.0/20"])
async def test_addresses_come_from_the_pools_only(desk: Desk, cidr: str) -> None:
    """What lies between the pools is never given by itself."""
    pools = [{"start": "10.0.0.10", "end": "10.0.0.12"}, {"start": "10.0.0.20", "end": "10.0.0.20"}]
    subnet = await a_subnet(desk, cidr, allocation_pools=pools)

    given = await allocate(desk, subnet, 9)

    assert sorted(given) == ["10.0.0.10", "10.0.0.11", "10.0.0.12", "10.0.0.20"]


async def test_changed_pools_count_at_once(desk: Desk) -> None:
    """New pools give their addresses; what was given from the old ones stays given."""
    subnet = await a_subnet(desk, allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.3"}])
    await allocate(desk, subnet, 2)

    subnet = await desk.update(subnet, allocation_pools=[{"start": "10.0.0.3", "end": "10.0.0.4"}])

    assert await allocate(desk, subnet, 2) == ["10.0.0.4"]


@pytest.mark.parametrize("cidr", ["10.0.0.0/29", "10.0.0.0/22"])
async def test_a_released_address_rests_and_yields_last(desk: Desk, cidr: str) -> None:
    """It is not given while another is free; when nothing else is left it is given all the same."""
    subnet = await a_subnet(desk, cidr, allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.4"}])
    await allocate(desk, subnet, 2 if cidr.endswith("29") else 3)
    if cidr.endswith("22"):
        await desk.store.write(lambda tx: _release_at_once(tx, subnet, Ip("10.0.0.4")))
    await release(desk, subnet, [Ip("10.0.0.2")])

    assert await allocate(desk, subnet, 1) == ["10.0.0.4"]
    assert await allocate(desk, subnet, 1) == ["10.0.0.2"]
    assert await allocate(desk, subnet, 1) == []


async def _release_at_once(tx: Transaction, subnet: Subnet, ip: Ip) -> None:
    tx.release(allocation.space_of(subnet.id), ip)


async def test_many_resting_addresses_do_not_hide_a_rested_one(desk: Desk) -> None:
    """After a burst of deletes the one address that never rested is found first."""
    subnet = await a_subnet(desk)
    given = await allocate(desk, subnet, 252)
    await release(desk, subnet, given)

    assert await allocate(desk, subnet, 1) == ["10.0.0.254"]
    assert len(await allocate(desk, subnet, 300)) == 252


async def test_rest_ends_after_a_minute(desk: Desk) -> None:
    """Then the lowest address is given again."""
    subnet = await a_subnet(desk)
    await release(desk, subnet, await allocate(desk, subnet, 1))
    assert await allocate(desk, subnet, 1) == ["10.0.0.3"]
    desk.clock.advance(REST_S + 1)

    assert await allocate(desk, subnet, 1) == ["10.0.0.2"]


@pytest.mark.parametrize("cidr", ["10.0.0.0/24", "10.0.0.0/16"])
async def test_an_address_asked_for_is_granted_outside_of_the_pools_and_while_it_rests(
    desk: Desk, cidr: str
) -> None:
    """Pools and rest bind automatic choice only."""
    subnet = await a_subnet(desk, cidr, allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.3"}])

    first = await desk.create("ip", subnet_id=subnet.id, ip_address="10.0.0.200")
    await desk.delete(first)
    again = await desk.create("ip", subnet_id=subnet.id, ip_address="10.0.0.200")

    assert again.ip_address == "10.0.0.200"


@pytest.mark.parametrize("cidr", ["10.0.0.0/24", "10.0.0.0/16"])
async def test_a_taken_address_is_refused(desk: Desk, cidr: str) -> None:
    """Whoever has it, and however it was given."""
    subnet = await a_subnet(desk, cidr)
    taken = await desk.create("ip", subnet_id=subnet.id)

    with pytest.raises(InUse, match=taken.ip_address) as refused:
        await desk.create("ip", subnet_id=subnet.id, ip_address=taken.ip_address)

    assert refused.value.problem is Problem.ADDRESS_TAKEN
    assert subnet.id in refused.value.message


@pytest.mark.parametrize("ip", ["10.0.0.0", "10.0.0.255", "10.0.1.1", "2001:db8::1"])
async def test_an_address_no_port_can_have_is_refused(desk: Desk, ip: str) -> None:
    """Network address, broadcast address, another prefix, another version."""
    subnet = await a_subnet(desk)

    with pytest.raises(InvalidInput, match=ip) as refused:
        await desk.create("ip", subnet_id=subnet.id, ip_address=ip)

    assert refused.value.problem is Problem.ADDRESS_NOT_IN_SUBNET


async def test_an_explicit_address_is_not_given_again_by_itself(desk: Desk) -> None:
    """Automatic choice passes over what was asked for."""
    subnet = await a_subnet(desk)
    await desk.create("ip", subnet_id=subnet.id, ip_address="10.0.0.2")

    assert await allocate(desk, subnet, 1) == ["10.0.0.3"]


async def test_an_allocation_is_a_row_of_its_own(desk: Desk) -> None:
    """/ips: allocate, show, rename, release."""
    subnet = await a_subnet(desk)

    row = await desk.create("ip", subnet_id=subnet.id, name="vip")
    renamed = await desk.update(row, name="shared address")

    assert (row.name, row.project_id, row.subnet_id, row.ip_address) == (
        "vip",
        PROJECT,
        subnet.id,
        "10.0.0.2",
    )
    assert renamed.name == "shared address"
    await desk.delete(row)
    assert await desk.owners(allocation.space_of(subnet.id), ["10.0.0.2"]) == {}


async def test_an_exhausted_subnet_says_so(desk: Desk) -> None:
    """The error names the subnet."""
    subnet = await a_subnet(desk, allocation_pools=[])

    with pytest.raises(Exhausted, match=subnet.id):
        await desk.create("ip", subnet_id=subnet.id)


async def test_formed_addresses_are_not_chosen(desk: Desk) -> None:
    """A subnet whose addresses come from MAC addresses has none to choose for nobody."""
    subnet = await a_subnet(desk, "2001:db8::/64", ipv6_address_mode="slaac")

    with pytest.raises(InvalidInput, match="formed from MAC addresses"):
        await desk.create("ip", subnet_id=subnet.id)


async def test_another_projects_subnet_is_not_there(desk: Desk) -> None:
    """A stranger learns nothing of it."""
    subnet = await a_subnet(desk)
    assert subnet.project_id != OTHER_PROJECT

    with pytest.raises(NotFound):
        await desk.as_caller(STRANGER).create("ip", subnet_id=subnet.id)
