"""What holds for every manager: a failure leaves nothing behind, writers never collide, cost does not grow."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from alcor.managers.mac.allocation import load_numbers
from alcor.managers.private_ip import allocation
from alcor.managers.private_ip.allocation import space_of
from alcor.managers.vpc.segment import space_of as number_space
from alcor.model.address import Ip
from alcor.model.errors import Exhausted
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction
from tests.support.managers import Counting, Desk
from tests.support.steps import Request, fail_each_step


async def test_a_failure_at_any_step_leaves_nothing_behind(desk: Desk) -> None:
    """Every request, failed at each of its steps in turn, leaves rows, claims and values as they were."""
    rows: dict[str, Any] = {}

    def create(name: str, resource: str, /, **said: Any) -> Request:
        async def request(desk: Desk) -> None:
            found = {key: rows[value].id if key.endswith("_id") else value for key, value in said.items()}
            rows[name] = await desk.create(resource, **found)

        return request

    def update(name: str, /, **said: Any) -> Request:
        async def request(desk: Desk) -> None:
            rows[name] = await desk.update(rows[name], **said)

        return request

    def delete(name: str) -> Request:
        return lambda desk: desk.delete(rows[name])

    async def bulk(desk: Desk) -> None:
        one = {"network_id": rows["network"].id, "binding_host_id": "host-1"}
        mac = {"mac_address": "52:54:00:00:00:01", "fixed_ips": [{"ip_address": "10.0.0.9"}]}
        rows["port"], rows["second"] = await desk.create_many("port", [one, one | mac])

    async def slaac(desk: Desk) -> None:
        rows["slaac"] = await desk.create(
            "subnet",
            network_id=rows["network"].id,
            ip_version=6,
            cidr="2001:db8::/64",
            ipv6_address_mode="slaac",
        )

    requests: list[Request] = [
        create("host", "host", name="host-1", vtep_addresses=["192.0.2.1", "192.0.2.2"]),
        update("host", vtep_addresses=["192.0.2.2", "192.0.2.3"]),
        lambda desk: desk.act(rows["host"], "rotate_token"),
        create("range", "mac_range", first="0a:00:00:00:00:00", last="0a:00:00:00:00:ff"),
        create("network", "network"),
        create("subnet", "subnet", network_id="network", ip_version=4, cidr="10.0.0.0/24"),
        create("wide", "subnet", network_id="network", ip_version=4, cidr="10.1.0.0/16"),
        create("mac", "mac", network_id="network"),
        create("ip", "ip", subnet_id="subnet"),
        bulk,
        slaac,
        update("subnet", allocation_pools=[{"start": "10.0.0.20", "end": "10.0.0.30"}]),
        update("network", mtu=1400),
        update("port", binding_host_id="", admin_state_up=False),
        update("port", mac_address="52:54:00:00:00:02", fixed_ips=[{"ip_address": "10.1.0.9"}]),
        delete("second"),
        delete("slaac"),
        delete("port"),
        delete("ip"),
        delete("mac"),
        delete("range"),
        delete("network"),
        delete("host"),
    ]

    steps = [await fail_each_step(desk, request) for request in requests]

    # Every request had steps to fail at, or nothing was proved.
    assert all(count >= 1 for count in steps)
    assert sum(steps) > 100
    left = desk.dump()
    assert [left[table] for table in ("network", "subnet", "port", "host", "ip", "mac")] == [[]] * 6
    # The template of default groups stays; what was kept of subnets went with them.
    assert {space for space, _, _ in left["kept_value"]} <= {"security_group"}
    assert {space for space, *_ in left["claim"]} <= {"default_group", "group_rule"}


async def test_concurrent_creates_never_share_an_address_or_a_mac(desk: Desk) -> None:
    """Many writers at once on a small, a large and an IPv6 subnet: every address and MAC once."""
    network = await desk.create("network")
    for version, cidr in ((4, "10.0.0.0/24"), (6, "2001:db8::/64")):
        await desk.create("subnet", network_id=network.id, ip_version=version, cidr=cidr)
    wide = await desk.create("network")
    await desk.create("subnet", network_id=wide.id, ip_version=4, cidr="10.0.0.0/20")

    await asyncio.gather(
        *(desk.create("port", network_id=network.id if number % 2 else wide.id) for number in range(200)),
        *(desk.create_many("port", [{"network_id": network.id}] * 5) for _ in range(10)),
    )

    ports = await desk.store.reader.list(Port)
    assert len(ports) == 250
    assert len({(port.network_id, port.mac_address) for port in ports}) == 250
    addresses = [(fixed.subnet_id, fixed.ip_address) for port in ports for fixed in port.fixed_ips]
    assert len(addresses) == len(set(addresses)) == 150 * 2 + 100


async def test_concurrent_writers_exhaust_a_28_exactly(desk: Desk) -> None:
    """A /28 has 13 addresses for ports: of 30 writers 13 succeed, the others are told that it is full."""
    network = await desk.create("network")
    subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/28")

    results = await asyncio.gather(
        *(desk.create("port", network_id=network.id) for _ in range(30)), return_exceptions=True
    )

    given = [port.fixed_ips[0].ip_address for port in results if isinstance(port, Port)]
    assert sorted(given, key=lambda ip: int(ip.rsplit(".", 1)[1])) == [f"10.0.0.{n}" for n in range(2, 15)]
    assert sum(isinstance(result, Exhausted) for result in results) == 17
    assert len(await desk.owners(space_of(subnet.id), given)) == 13


async def test_concurrent_takers_of_one_address_number_or_name(desk: Desk) -> None:
    """What is asked for by name is given to exactly one."""
    network = await desk.create("network")
    await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    wanted: list[Callable[[], Awaitable[Any]]] = [
        lambda: desk.create("port", network_id=network.id, fixed_ips=[{"ip_address": "10.0.0.9"}]),
        lambda: desk.create("port", network_id=network.id, mac_address="52:54:00:00:00:01", fixed_ips=[]),
        lambda: desk.create("network", provider_network_type="vxlan", provider_segmentation_id=42),
        lambda: desk.create("host", name="host-1", vtep_addresses=["192.0.2.1"]),
    ]

    for make in wanted:
        results = await asyncio.gather(*(make() for _ in range(10)), return_exceptions=True)
        assert sum(not isinstance(result, BaseException) for result in results) == 1


async def test_concurrent_networks_have_different_numbers(desk: Desk) -> None:
    """One identifier each, all claimed."""
    networks = await asyncio.gather(*(desk.create("network") for _ in range(100)))

    keys = [str(network.provider_segmentation_id) for network in networks]
    assert len(await desk.owners(number_space("vxlan", None), keys)) == 100


async def test_a_network_and_what_is_built_on_it_race(desk: Desk) -> None:
    """Deleting a network while ports are made on it: either the network stays, or no port is left."""
    network = await desk.create("network")

    results = await asyncio.gather(
        desk.create("port", network_id=network.id),
        desk.delete(network),
        desk.create("port", network_id=network.id),
        return_exceptions=True,
    )

    networks, ports = await desk.store.reader.list(Network), await desk.store.reader.list(Port)
    assert any(isinstance(result, BaseException) for result in results)
    assert {port.network_id for port in ports} <= {stored.id for stored in networks}


CALLS_OF_ALL_ROUNDS = 2 * 2 + 2 * 11


async def calls_of(desk: Desk, work: Callable[[Transaction], Awaitable[Any]]) -> int:
    """How often `work` called its transaction."""

    async def counted(tx: Transaction) -> int:
        counting = Counting(tx)
        await work(counting)
        return counting.calls

    return (await desk.store.write(counted)).value


@pytest.mark.parametrize(
    ("cidr", "half"), [("10.0.0.0/24", 127), ("10.0.0.0/16", 32_768)], ids=["bitmap", "probes"]
)
async def test_an_address_costs_the_same_empty_and_half_full(desk: Desk, cidr: str, half: int) -> None:
    """Allocation is O(1) in the size of the subnet: the calls to the store do not grow with what is taken."""
    network = await desk.create("network")
    subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr=cidr)

    async def one(tx: Transaction) -> None:
        assert len(await allocation.allocate(tx, subnet, ["owner"])) == 1

    empty = await calls_of(desk, one)
    owners = [f"owner-{number}" for number in range(half)]
    await desk.store.write(lambda tx: allocation.allocate(tx, subnet, owners))
    half_full = await calls_of(desk, one)

    # A constant: two rounds of a draw and a claim, two of eight draws, two looks and a claim.
    assert empty <= half_full <= max(empty, CALLS_OF_ALL_ROUNDS)
    assert empty <= 20


async def test_the_last_address_of_a_large_subnet_is_found(desk: Desk) -> None:
    """Exhausted is said only when nothing is left: the one free address of a /20 is given, then no more."""
    network = await desk.create("network")
    subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/20")
    owners = [f"owner-{number}" for number in range(4_093)]
    given = (await desk.store.write(lambda tx: allocation.allocate(tx, subnet, owners))).value
    assert len(set(given)) == 4_093

    async def free(tx: Transaction) -> None:
        tx.release(space_of(subnet.id), given[2_000])

    await desk.store.write(free)

    port = await desk.create("port", network_id=network.id)
    assert [Ip(fixed.ip_address) for fixed in port.fixed_ips] == [given[2_000]]
    with pytest.raises(Exhausted, match=subnet.id):
        await desk.create("port", network_id=network.id)


async def test_ports_of_a_bulk_share_their_look_ups(desk: Desk) -> None:
    """Ten times the ports cost less than ten times the calls: what they have in common is read once."""
    network = await desk.create("network")
    await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    await desk.create("port", network_id=network.id)

    async def calls(count: int) -> int:
        seen: list[Counting] = []

        def wrap(tx: Transaction) -> Transaction:
            seen.append(Counting(tx))
            return seen[-1]

        desk.wrap = wrap
        await desk.create_many("port", [{"network_id": network.id} for _ in range(count)])
        return seen[-1].calls

    one, twenty = await calls(1), await calls(20)

    # Per port: an id, a drawn MAC, two claims, the insert and the row it gives back.
    assert twenty - one <= 19 * 6
    assert one <= 40


async def test_the_default_range_is_made_once(desk: Desk) -> None:
    """Writers that need it at the same time find one range."""
    await asyncio.gather(*(desk.store.write(load_numbers) for _ in range(5)))

    assert len(desk.dump()["mac_range"]) == 1


async def test_a_subnet_of_a_deleted_network_is_gone(desk: Desk) -> None:
    """Nothing of a subnet outlives its network: neither row nor bitmap."""
    network = await desk.create("network")
    await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/24")
    await desk.delete(await desk.create("port", network_id=network.id))
    assert desk.dump()["kept_value"] != []

    await desk.delete(network)

    assert [kept for kept in desk.dump()["kept_value"] if kept[0] == "address_bitmap"] == []
    assert await desk.store.reader.list(Subnet) == []
