"""What holds for the original's own nouns: a failure leaves nothing behind, and of many writers one wins."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from alcor.managers.free_number import NumberSet
from alcor.managers.private_ip.allocation import numbers_of
from alcor.managers.vpc.block import lies_in, overlap
from alcor.model.address import Cidr, Ip, ip_int
from alcor.model.errors import AlcorError, Conflict, Exhausted
from alcor.model.floatingip import FloatingIp
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.network_acl import NetworkAclRule
from alcor.model.subnet import Subnet
from alcor.model.vpc_peering import VpcPeering
from alcor.store.interface import Transaction
from tests.support.clock import Clock
from tests.support.managers import Desk, desk_of, updated_values
from tests.support.postgres import postgres_store
from tests.support.steps import Request, fail_each_step


@pytest.fixture(params=["sqlite", "postgres"])
async def contested(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Desk]:
    """A desk on either store: what many writers want is a matter of both."""
    if request.param == "sqlite":
        async with desk_of(tmp_path) as desk:
            yield desk
        return
    clock = Clock()
    async with postgres_store(tmp_path, clock=clock, seed=7) as store:
        yield Desk(store, clock, tmp_path)


async def change_vpc(desk: Desk, row: Network, **said: Any) -> Any:
    """Change a network at /vpcs."""
    manager = desk.manager("vpc")
    change = manager.update
    assert change is not None
    values = updated_values(manager.resource, **said)

    async def work(tx: Transaction) -> Any:
        return await change(desk.wrap(tx), desk.caller, await tx.get(Network, row.id), values)

    return (await desk.store.write(work)).value


async def outside(desk: Desk, first: str, last: str) -> tuple[Subnet, Any]:
    """An external subnet, and a range of elastic IPs of it."""
    network = await desk.create("network", router_external=True)
    subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr="203.0.113.0/24")
    ranged = await desk.create(
        "elastic_ip_range", subnet_id=subnet.id, allocation_ranges=[{"start": first, "end": last}]
    )
    return subnet, ranged


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

    async def acl(desk: Desk) -> None:
        rule = {"number": 1, "direction": "ingress", "action": "allow"}
        rows["acl"] = await desk.create(
            "network_acl",
            network_id=rows["one"].id,
            associated_subnets=[rows["subnet"].id],
            is_default=True,
            network_acl_rules=[rule],
        )

    def bounds(high: int) -> list[dict[str, str]]:
        return [{"start": "203.0.113.50", "end": f"203.0.113.{high}"}]

    async def ranges(desk: Desk) -> None:
        rows["range"] = await desk.create(
            "elastic_ip_range", subnet_id=rows["outer"].id, allocation_ranges=bounds(60)
        )

    setup: list[Request] = [
        create("one", "vpc", cidr="10.0.0.0/16"),
        create("two", "vpc", cidr="10.1.0.0/16"),
        create("out", "network", router_external=True),
        create("subnet", "subnet", network_id="one", ip_version=4, cidr="10.0.1.0/24"),
        create("outer", "subnet", network_id="out", ip_version=4, cidr="203.0.113.0/24"),
    ]
    requests: list[Request] = [
        create("ncm", "ncm", uri="http://ncm:1"),
        create("host", "host", name="h", vtep_addresses=["192.0.2.1"], ncm_id="ncm"),
        update("host", rotation="out", ncm_id=None),
        update("ncm", uri="http://ncm:2", capacity=7),
        lambda desk: change_vpc(desk, rows["one"], cidr="10.0.0.0/15"),
        lambda desk: change_vpc(desk, rows["one"], cidr="10.0.0.0/16"),
        create("peering", "vpc_peering", network_id="one", peer_network_id="two"),
        lambda desk: desk.act(rows["peering"], "accept_peering"),
        create("table", "route_table", subnet_id="subnet"),
        update("table", routes=[{"destination": "10.9.0.0/16", "nexthop": "10.0.1.9"}]),
        acl,
        create("rule", "network_acl_rule", network_acl_id="acl", number=9, direction="egress", action="deny"),
        update("rule", number=10, protocol="tcp"),
        update("acl", is_default=False, associated_subnets=[]),
        create("ips", "ip_range", subnet_id="subnet", first_ip="10.0.1.100", last_ip="10.0.1.110"),
        create("ip", "ip", range_id="ips"),
        update("ip", ip_address="10.0.1.105", state="deactivated"),
        ranges,
        create("elastic", "elasticip", range_id="range"),
        lambda desk: desk.update(rows["range"], allocation_ranges=bounds(70)),
        delete("elastic"),
        delete("range"),
        delete("ip"),
        delete("ips"),
        update("acl", associated_subnets=[]),
        delete("peering"),
        delete("subnet"),
        delete("acl"),
        delete("host"),
        delete("ncm"),
        delete("one"),
        delete("two"),
        delete("out"),
    ]
    for request in setup:
        await request(desk)

    steps = [await fail_each_step(desk, request) for request in requests]

    assert all(count >= 1 for count in steps)
    assert sum(steps) > 100
    left = desk.dump()
    gone = ("network", "subnet", "host", "ncm", "ip", "ip_range", "route_table", "vpc_peering")
    assert [left[table] for table in gone] == [[]] * len(gone)
    assert [left[table] for table in ("network_acl", "network_acl_rule", "elastic_ip_range")] == [[]] * 3
    assert left["kept_value"] == []
    assert left["claim"] == []


async def test_of_many_writers_one_wins(contested: Desk) -> None:
    """A rule's number, a subnet's ACL, a VPC's table, a pair of VPCs and the last place at an NCM go to one writer."""
    desk = contested
    one = await desk.create("vpc", cidr="10.0.0.0/16")
    two = await desk.create("vpc", cidr="10.1.0.0/16")
    subnet = await desk.create("subnet", network_id=one.id, ip_version=4, cidr="10.0.1.0/24")
    acl = await desk.create("network_acl", network_id=one.id)
    ncm = await desk.create("ncm", uri="http://ncm:1", capacity=1)
    names = iter(range(10))
    rule = {"network_acl_id": acl.id, "number": 5, "direction": "ingress", "action": "deny"}
    ways = [(one.id, two.id), (two.id, one.id)] * 5
    pairs = iter(ways)

    def peering() -> Awaitable[Any]:
        mine, theirs = next(pairs)
        return desk.create("vpc_peering", network_id=mine, peer_network_id=theirs)

    def host() -> Awaitable[Any]:
        number = next(names)
        return desk.create("host", name=f"h{number}", vtep_addresses=[f"192.0.2.{number}"], ncm_id=ncm.id)

    wanted: list[Callable[[], Awaitable[Any]]] = [
        lambda: desk.create("network_acl_rule", **rule),
        lambda: desk.create("network_acl", network_id=one.id, associated_subnets=[subnet.id]),
        lambda: desk.create("route_table", network_id=one.id),
        peering,
        host,
    ]
    for make in wanted:
        results = await asyncio.gather(*(make() for _ in range(10)), return_exceptions=True)
        assert sum(isinstance(result, Conflict) for result in results) == 9

    assert len(await desk.store.reader.list(NetworkAclRule)) == 1
    assert len(await desk.store.reader.list(VpcPeering)) == 1
    assert len(await desk.store.reader.list(Host)) == 1


async def test_concurrent_writers_use_a_range_up_exactly(contested: Desk) -> None:
    """Of 30 who want one of 12 elastic IPs, 12 get one, each another; the others are told that none is left."""
    desk = contested
    await outside(desk, "203.0.113.101", "203.0.113.112")

    results = await asyncio.gather(*(desk.create("elasticip") for _ in range(30)), return_exceptions=True)

    given = {one.floating_ip_address for one in await desk.store.reader.list(FloatingIp)}
    assert given == {f"203.0.113.{number}" for number in range(101, 113)}
    assert sum(isinstance(result, Exhausted) for result in results) == 18


async def test_a_block_and_a_subnet_race(contested: Desk) -> None:
    """A block that shrinks while a subnet is added: whichever comes second is refused, never is a subnet outside."""
    desk = contested
    for _ in range(5):
        network = await desk.create("vpc", cidr="10.0.0.0/8")

        results = await asyncio.gather(
            change_vpc(desk, network, cidr="10.1.0.0/16"),
            desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.2.0.0/24"),
            return_exceptions=True,
        )

        assert sum(isinstance(result, AlcorError) for result in results) == 1
        stored = await desk.store.reader.find(Network, network.id)
        assert stored is not None
        for subnet in await desk.store.reader.list(Subnet):
            if subnet.network_id == network.id:
                assert lies_in(Cidr(subnet.cidr), Cidr(str(stored.cidr)))


@pytest.mark.parametrize(
    ("inner", "outer", "inside", "common"),
    [
        ("10.0.0.0/24", "10.0.0.0/8", True, True),
        ("10.0.0.0/8", "10.0.0.0/24", False, True),
        ("10.0.0.0/24", "10.0.0.0/24", True, True),
        ("10.0.0.0/24", "10.0.1.0/24", False, False),
        ("2001:db8::/64", "2001:db8::/48", True, True),
        ("::/0", "0.0.0.0/0", False, False),
    ],
)
def test_prefixes_inside_and_apart(inner: str, outer: str, inside: bool, common: bool) -> None:
    """A prefix lies in another, or has addresses in common with it, only within one IP version."""
    assert lies_in(Cidr(inner), Cidr(outer)) is inside
    assert overlap(Cidr(inner), Cidr(outer)) is common
    assert overlap(Cidr(outer), Cidr(inner)) is common


async def test_a_taken_range_costs_no_more_than_a_free_one(desk: Desk) -> None:
    """Taking one of 2^20 addresses asks the store as often with 2,000 taken as with none."""
    network = await desk.create("network")
    subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr="10.0.0.0/8")
    ranged = await desk.create("ip_range", subnet_id=subnet.id, first_ip="10.16.0.1", last_ip="10.31.255.254")
    before = len(await _calls(desk, ranged.id))
    await desk.create_many("ip", [{"range_id": ranged.id}] * 2_000)

    assert abs(len(await _calls(desk, ranged.id)) - before) <= 2
    size = numbers_of(subnet, NumberSet.of([(ip_int(Ip("10.16.0.1")), ip_int(Ip("10.31.255.254")))]))
    assert size.numbers.size == 2**20 - 2


async def _calls(desk: Desk, range_id: str) -> list[str]:
    """The calls of the transaction that takes one address."""
    made: list[str] = []

    class Noting:
        """A transaction that notes its calls."""

        def __init__(self, inner: Transaction) -> None:
            self._inner = inner

        def __getattr__(self, name: str) -> Any:
            made.append(name)
            return getattr(self._inner, name)

    desk.wrap = lambda tx: Noting(tx)
    try:
        await desk.create("ip", range_id=range_id)
    finally:
        desk.wrap = lambda tx: tx
    return made
