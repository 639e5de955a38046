"""Subnet pools and address scopes: prefixes are cut without collisions, counted, grown, given back, kept apart."""

import ipaddress
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from alcor.managers.free_number import NumberSet
from alcor.managers.subnetpool.prefix import best_fit, cidrs_of, set_of, span
from alcor.model.address import Cidr
from alcor.model.errors import Conflict, Forbidden, InUse, InvalidInput, NotFound, Problem
from alcor.model.network import Network
from alcor.model.subnet import Subnet
from tests.support.managers import MEMBER, OTHER_PROJECT, STRANGER, Desk


async def a_pool(desk: Desk, *prefixes: str, **said: Any) -> Any:
    return await desk.create(
        "subnetpool", **{"name": "pool", "prefixes": list(prefixes) or ["10.0.0.0/16"]} | said
    )


async def cut(desk: Desk, pool: Any, network: Any = None, **said: Any) -> Any:
    if network is None:
        network = await desk.create("network")
    return await desk.create(
        "subnet", **{"network_id": network.id, "ip_version": pool.ip_version, "subnetpool_id": pool.id} | said
    )


@pytest.mark.parametrize(
    ("prefixes", "version", "lengths"),
    [(["10.0.0.0/16"], 4, (8, 32, 8)), (["2001:db8::/48"], 6, (64, 128, 64))],
)
async def test_a_pool_that_says_only_its_prefixes(
    desk: Desk, prefixes: list[str], version: int, lengths: tuple[int, int, int]
) -> None:
    """The version is the prefixes'; lengths are those of the reference; nobody else sees it."""
    pool = await a_pool(desk, *prefixes)

    assert (pool.ip_version, pool.prefixes) == (version, tuple(prefixes))
    assert (pool.min_prefixlen, pool.max_prefixlen, pool.default_prefixlen) == lengths
    assert (pool.default_quota, pool.address_scope_id, pool.is_default) == (None, None, False)


async def test_prefixes_that_touch_are_one(desk: Desk) -> None:
    """Prefixes are merged and put in order."""
    pool = await a_pool(desk, "10.0.1.0/24", "10.0.0.0/24", "10.0.0.0/25", "10.9.0.0/24")

    assert pool.prefixes == ("10.0.0.0/23", "10.9.0.0/24")


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"prefixes": []}, Problem.SUBNETPOOL_EMPTY),
        ({"prefixes": ["10.0.0.0/8", "2001:db8::/48"]}, Problem.SUBNETPOOL_VERSIONS),
        ({"min_prefixlen": 24, "max_prefixlen": 20}, Problem.SUBNETPOOL_BOUNDS),
        ({"max_prefixlen": 33}, Problem.SUBNETPOOL_BOUNDS),
        ({"min_prefixlen": 20, "default_prefixlen": 16}, Problem.SUBNETPOOL_BOUNDS),
        ({"max_prefixlen": 20, "default_prefixlen": 24}, Problem.SUBNETPOOL_BOUNDS),
    ],
)
async def test_pools_that_are_refused(desk: Desk, said: dict[str, Any], problem: Problem) -> None:
    """A pool has prefixes of one version and lengths in order."""
    with pytest.raises(InvalidInput) as refused:
        await a_pool(desk, **said)

    assert refused.value.problem is problem


async def test_a_subnet_is_cut_out_of_a_pool(desk: Desk) -> None:
    """Default length, a length, and a prefix by name; none of them overlaps another."""
    pool = await a_pool(desk, default_prefixlen=24)

    first = await cut(desk, pool)
    second = await cut(desk, pool, prefixlen=26)
    third = await cut(desk, pool, cidr="10.0.9.0/24")

    assert (first.cidr, first.gateway_ip, first.subnetpool_id) == ("10.0.0.0/24", "10.0.0.1", pool.id)
    assert (second.cidr, third.cidr) == ("10.0.1.0/26", "10.0.9.0/24")
    assert (await cut(desk, pool, prefixlen=25)).cidr == "10.0.1.128/25"


async def test_a_pool_gives_all_it_has_and_takes_it_back(desk: Desk) -> None:
    """Four quarters, then nothing; what a deleted subnet had is given again."""
    pool = await a_pool(desk, "10.0.0.0/24", default_prefixlen=26)
    subnets = [await cut(desk, pool) for _ in range(4)]

    assert {subnet.cidr for subnet in subnets} == {f"10.0.0.{64 * part}/26" for part in range(4)}
    with pytest.raises(Conflict, match="/26") as refused:
        await cut(desk, pool)
    assert refused.value.problem is Problem.SUBNETPOOL_FULL
    await desk.delete(subnets[2])
    assert (await cut(desk, pool)).cidr == subnets[2].cidr
    with pytest.raises(Conflict, match=r"10\.0\.0\.0/26 is not free"):
        await cut(desk, pool, cidr="10.0.0.0/26")
    network = await desk.store.reader.find(Network, subnets[0].network_id)
    assert network is not None
    await desk.delete(network)
    assert (await cut(desk, pool)).cidr == subnets[0].cidr


@pytest.mark.parametrize(
    ("said", "problem"),
    [
        ({"prefixlen": 30}, Problem.PREFIX_TOO_LONG),
        ({"prefixlen": 12}, Problem.PREFIX_TOO_SHORT),
        ({"cidr": "10.0.0.0/30"}, Problem.PREFIX_TOO_LONG),
        ({"cidr": "10.0.0.0/24", "prefixlen": 24}, Problem.BAD_REQUEST),
        ({"subnetpool_id": None}, Problem.BAD_REQUEST),
        ({"use_default_subnetpool": True}, Problem.BAD_REQUEST),
        ({"subnetpool_id": None, "use_default_subnetpool": True}, Problem.BAD_REQUEST),
        ({"ip_version": 6}, Problem.BAD_REQUEST),
        ({"allocation_pools": [{"start": "10.0.0.5", "end": "10.0.0.9"}]}, Problem.BAD_REQUEST),
    ],
)
async def test_requests_a_pool_cannot_serve(desk: Desk, said: dict[str, Any], problem: Problem) -> None:
    """Lengths within bounds; prefix or length, not both; a pool that exists and is of the version."""
    pool = await a_pool(desk, min_prefixlen=16, max_prefixlen=28)

    with pytest.raises(InvalidInput) as refused:
        await cut(desk, pool, **said)

    assert refused.value.problem is problem


async def test_a_quota_counts_what_a_project_has(desk: Desk) -> None:
    """256 addresses are one /24 or two /25; another project has its own."""
    pool = await a_pool(desk, default_quota=256, default_prefixlen=25, shared=True)
    first, _ = await cut(desk, pool), await cut(desk, pool)

    with pytest.raises(Conflict, match="quota exceeded") as refused:
        await cut(desk, pool)

    assert refused.value.problem is Problem.SUBNETPOOL_QUOTA
    await cut(desk.as_caller(STRANGER), pool)
    await desk.delete(first)
    await cut(desk, pool)


async def test_a_quota_of_ipv6_counts_64s(desk: Desk) -> None:
    """A quota of one is one /64."""
    pool = await a_pool(desk, "2001:db8::/48", default_quota=1)
    await cut(desk, pool)

    with pytest.raises(Conflict, match="quota exceeded"):
        await cut(desk, pool)


async def test_one_default_pool_of_each_version(desk: Desk) -> None:
    """Subnets may ask for the default pool of their version, of which there is one."""
    four = await a_pool(desk, is_default=True, default_prefixlen=24)
    six = await a_pool(desk, "2001:db8::/48", is_default=True)
    network = await desk.create("network")
    said = {"network_id": network.id, "use_default_subnetpool": True}

    assert (await desk.create("subnet", ip_version=4, **said)).subnetpool_id == four.id
    assert (await desk.create("subnet", ip_version=6, **said)).subnetpool_id == six.id
    with pytest.raises(InvalidInput, match="already been set"):
        await a_pool(desk, "192.0.2.0/24", is_default=True)
    await desk.update(four, is_default=False)
    other = await a_pool(desk, "192.0.2.0/24")
    assert (await desk.update(other, is_default=True)).is_default


async def test_subnets_of_a_network_come_from_one_pool(desk: Desk) -> None:
    """Of one IP version, all from the same pool; the other version has its own."""
    pool, other = (
        await a_pool(desk, default_prefixlen=24),
        await a_pool(desk, "192.168.0.0/16", default_prefixlen=24),
    )
    network = await desk.create("network")
    await cut(desk, pool, network)

    with pytest.raises(InvalidInput) as refused:
        await cut(desk, other, network)

    assert refused.value.problem is Problem.SUBNETPOOL_AFFINITY
    await cut(desk, await a_pool(desk, "2001:db8::/48"), network)


async def test_prefixes_are_added_and_removed(desk: Desk) -> None:
    """The actions answer with what the pool has; what a subnet uses cannot go, nor can an update take any away."""
    pool = await a_pool(desk, "10.0.0.0/24", default_prefixlen=25)
    subnet = await cut(desk, pool)

    assert await desk.act(pool, "add_prefixes", prefixes=["10.0.1.0/24"]) == {"prefixes": ["10.0.0.0/23"]}
    for action, said in (
        ("remove_prefixes", {"prefixes": [subnet.cidr]}),
        ("add_prefixes", {"prefixes": []}),
        ("add_prefixes", {"prefixes": ["nonsense"]}),
        ("add_prefixes", {"other": ["10.0.0.0/24"]}),
        ("add_prefixes", {"prefixes": ["2001:db8::/64"]}),
    ):
        with pytest.raises(InvalidInput):
            await desk.act(pool, action, **said)
    left = await desk.act(pool, "remove_prefixes", prefixes=["10.0.0.128/25"])
    assert left == {"prefixes": ["10.0.0.0/25", "10.0.1.0/24"]}
    assert (await cut(desk, pool)).cidr == "10.0.1.0/25"
    with pytest.raises(InvalidInput) as refused:
        await desk.update(pool, prefixes=["10.0.0.0/25"])
    assert refused.value.problem is Problem.SUBNETPOOL_PREFIXES
    grown = await desk.update(pool, prefixes=["10.0.0.0/16"])
    assert grown.prefixes == ("10.0.0.0/16",)
    await cut(desk, pool, cidr="10.0.0.128/25")


async def test_a_pool_in_use_stays(desk: Desk) -> None:
    """A pool with subnets cannot go; without them it leaves nothing."""
    pool = await a_pool(desk, default_prefixlen=24)
    subnet = await cut(desk, pool)

    with pytest.raises(InvalidInput, match=subnet.id) as refused:
        await desk.delete(pool)

    assert refused.value.problem is Problem.SUBNETPOOL_DELETE
    await desk.delete(subnet)
    await desk.delete(pool)
    dump = desk.dump()
    assert dump["subnetpool"] == []
    assert [kept for kept in dump["kept_value"] if kept[0] == "subnetpool"] == []


async def test_only_who_sees_a_pool_cuts_from_it(desk: Desk) -> None:
    """Another project's pool is not there, unless it is shared."""
    closed, opened = (
        await a_pool(desk, default_prefixlen=24),
        await a_pool(desk, default_prefixlen=24, shared=True),
    )
    stranger = desk.as_caller(STRANGER)

    with pytest.raises(NotFound, match=closed.id):
        await cut(stranger, closed)
    assert (await cut(stranger, opened)).project_id == OTHER_PROJECT


async def test_networks_are_onboarded(desk: Desk) -> None:
    """A pool takes over a network's subnets and prefixes; twice changes nothing; a conflict is refused."""
    pool = await a_pool(desk, "10.0.0.0/24", default_prefixlen=25)
    network = await desk.create("network")
    subnet = await desk.create("subnet", network_id=network.id, ip_version=4, cidr="192.0.2.0/24")

    answer: Any = await desk.act(pool, "onboard_network_subnets", network_id=network.id)

    assert answer == [{"id": subnet.id, "cidr": "192.0.2.0/24"}]
    found = await desk.store.reader.find(Subnet, subnet.id)
    assert found is not None
    assert found.subnetpool_id == pool.id
    again: Any = await desk.act(pool, "onboard_network_subnets", network_id=network.id)
    assert again == []
    await cut(desk, pool)
    other = await desk.create("network")
    await desk.create("subnet", network_id=other.id, ip_version=4, cidr="10.0.0.0/26")
    with pytest.raises(InvalidInput) as refused:
        await desk.act(pool, "onboard_network_subnets", network_id=other.id)
    assert refused.value.problem is Problem.SUBNETPOOL_UPDATE
    await desk.delete(found)
    await cut(desk, pool, cidr="192.0.2.0/25")


@pytest.mark.parametrize("body", [{}, {"network_id": "x"}, {"network_id": None}, {"other": 1}])
async def test_onboarding_names_a_network(desk: Desk, body: dict[str, Any]) -> None:
    """The body is a network's id."""
    with pytest.raises(InvalidInput):
        await desk.act(await a_pool(desk), "onboard_network_subnets", **body)


async def test_a_shared_network_of_others_is_not_onboarded(desk: Desk) -> None:
    """Who may use a network may not take its subnets."""
    network = await desk.create("network", project_id=OTHER_PROJECT, shared=True)
    member = desk.as_caller(MEMBER)

    with pytest.raises(Forbidden):
        await member.act(await a_pool(member), "onboard_network_subnets", network_id=network.id)


async def a_scope(desk: Desk, **said: Any) -> Any:
    return await desk.create("address_scope", **{"name": "scope", "ip_version": 4} | said)


async def test_a_scope_has_no_prefix_twice(desk: Desk) -> None:
    """Pools of a scope are apart, when they are made, moved and grown."""
    scope = await a_scope(desk)
    pool = await a_pool(desk, "10.0.0.0/16", address_scope_id=scope.id)

    apart = await a_pool(desk, "192.0.2.0/24", address_scope_id=scope.id)
    outside = await a_pool(desk, "10.0.0.0/8")

    attempts: tuple[Callable[[], Awaitable[Any]], ...] = (
        lambda: a_pool(desk, "10.0.128.0/24", address_scope_id=scope.id),
        lambda: desk.update(apart, prefixes=["192.0.2.0/24", "10.0.1.0/24"]),
        lambda: desk.update(outside, address_scope_id=scope.id),
    )
    for attempt in attempts:
        with pytest.raises(Conflict) as refused:
            await attempt()
        assert refused.value.problem is Problem.SCOPE_PREFIXES
    await desk.delete(apart)
    with pytest.raises(InUse, match=pool.id):
        await desk.delete(scope)
    await desk.update(pool, address_scope_id=None)
    await desk.delete(scope)


async def test_a_pool_and_its_scope_fit(desk: Desk) -> None:
    """Of one version, and the scope one's own or shared; a pool in a foreign scope is not changed."""
    six, foreign = await a_scope(desk, ip_version=6), await a_scope(desk, project_id=OTHER_PROJECT)
    shared = await a_scope(desk, project_id=OTHER_PROJECT, shared=True)
    member = desk.as_caller(MEMBER)

    with pytest.raises(InvalidInput) as refused:
        await a_pool(desk, address_scope_id=six.id)
    assert refused.value.problem is Problem.SCOPE_VERSION
    with pytest.raises(NotFound, match=foreign.id):
        await a_pool(member, address_scope_id=foreign.id)
    pool = await a_pool(member, address_scope_id=shared.id)
    with pytest.raises(InvalidInput) as refused:
        await member.update(pool, name="other")
    assert refused.value.problem is Problem.SUBNETPOOL_UPDATE


async def test_a_shared_scope_stays_shared(desk: Desk) -> None:
    """It may be renamed and shared, not closed."""
    scope = await a_scope(desk)

    await desk.update(scope, shared=False)
    scope = await desk.update(scope, shared=True, name="ours")
    assert scope.name == "ours"
    with pytest.raises(InvalidInput, match="can't be unshared") as refused:
        await desk.update(scope, shared=False)
    assert refused.value.problem is Problem.SCOPE_UPDATE


async def test_networks_show_the_scopes_of_their_subnets(desk: Desk) -> None:
    """A network shows the scope of its pools while it has subnets of them, and follows their moves."""
    scope, later = await a_scope(desk), await a_scope(desk)
    pool = await a_pool(desk, default_prefixlen=24, address_scope_id=scope.id)
    subnet = await cut(desk, pool)

    async def shown() -> tuple[str | None, str | None]:
        network = await desk.store.reader.find(Network, subnet.network_id)
        assert network is not None
        return network.ipv4_address_scope, network.ipv6_address_scope

    assert await shown() == (scope.id, None)
    await desk.update(pool, address_scope_id=later.id)
    assert await shown() == (later.id, None)
    await desk.delete(subnet)
    assert await shown() == (None, None)


async def test_a_network_is_in_one_scope(desk: Desk) -> None:
    """Pools of one scope may serve one network; a pool that would leave its network's scope stays."""
    scope = await a_scope(desk)
    one = await a_pool(desk, "10.0.0.0/16", default_prefixlen=24, address_scope_id=scope.id)
    two = await a_pool(desk, "10.1.0.0/16", default_prefixlen=24, address_scope_id=scope.id)
    network = await desk.create("network")
    await cut(desk, one, network)
    await cut(desk, two, network)

    other = await a_pool(desk, "10.2.0.0/16", default_prefixlen=24)

    attempts: tuple[Callable[[], Awaitable[Any]], ...] = (
        lambda: desk.update(one, address_scope_id=None),
        lambda: cut(desk, other, network),
    )
    for attempt in attempts:
        with pytest.raises(InvalidInput) as refused:
            await attempt()
        assert refused.value.problem is Problem.SCOPE_AFFINITY


_PREFIXES = st.builds(
    lambda number, length: str(ipaddress.ip_network((number, length), strict=False)),
    st.integers(0, 2**32 - 1),
    st.integers(16, 32),
)


@given(st.lists(_PREFIXES, min_size=1, max_size=8), st.lists(_PREFIXES, max_size=8), st.integers(16, 32))
def test_what_fits_is_free(pool: list[str], taken: list[str], length: int) -> None:
    """The prefix that is chosen lies in what is free; if none is, no free block is as large."""
    free = set_of(pool).without(span(Cidr(cidr)) for cidr in taken)

    found = best_fit(free, 4, length)

    blocks = [ipaddress.ip_network(cidr) for cidr in cidrs_of(free, 4)]
    assert NumberSet.of(span(Cidr(str(block))) for block in blocks) == free
    if found is None:
        assert all(block.prefixlen > length for block in blocks)
    else:
        assert free.holds(*span(found))
        assert ipaddress.ip_network(found).prefixlen == length
