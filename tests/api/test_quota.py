"""What a project may have: limits, use, races; through the API."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from alcor.managers.quota.limit import Limits
from alcor.store.interface import Store
from tests.support.api import (
    ADMIN_TOKEN,
    MEMBER_PROJECT,
    MEMBER_TOKEN,
    Api,
    Json,
    error_of,
    serving,
)

QUOTA = f"/v2.0/quotas/{MEMBER_PROJECT}"
LIMITS = Limits({"network": 3, "security_group": 2, "security_group_rule": 10, "port": 5, "subnet": -1})


@pytest.fixture
async def api(store: Store) -> AsyncIterator[Api]:
    async with serving(store, token=ADMIN_TOKEN, quotas=LIMITS) as opened:
        yield opened


@pytest.fixture
async def member(store: Store) -> AsyncIterator[Api]:
    async with serving(store, token=MEMBER_TOKEN, quotas=LIMITS) as opened:
        yield opened


async def limit(api: Api, **limits: int | bool) -> Json:
    answer = await api.put(QUOTA, {"quota": limits})
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()["quota"]
    return found


async def used(api: Api, name: str) -> int:
    details = (await api.get(f"{QUOTA}/details.json")).json()["quota"]
    number: int = details[name]["used"]
    return number


async def test_one_more_than_the_limit_is_refused(member: Api) -> None:
    """The limit is reached, not passed; what is deleted makes room."""
    networks = [await member.a_network() for _ in range(3)]

    refused = await member.post("/v2.0/networks", {"network": {}})
    assert error_of(refused)[:2] == (409, "OverQuota")
    assert "network" in error_of(refused)[2]
    assert (await member.delete(f"/v2.0/networks/{networks[0]['id']}")).status_code == 204
    await member.a_network()


async def test_a_bulk_beyond_the_limit_is_refused_whole(member: Api, api: Api) -> None:
    """Of four where three fit, none is made; with `partial`, three."""
    four = {"networks": [{"name": f"n{n}"} for n in range(4)]}

    assert error_of(await member.post("/v2.0/networks", four))[:2] == (409, "OverQuota")
    assert await used(api, "network") == 0
    partial = await member.post("/v2.0/networks?partial=true", four)
    assert [one["status"] for one in partial.json()["networks"]] == [200, 200, 200, 409]
    assert await used(api, "network") == 3


async def test_callers_at_once_do_not_pass_the_limit(member: Api, api: Api) -> None:
    """Of twelve calls at the same time, as many succeed as fit."""
    answers = await asyncio.gather(*(member.post("/v2.0/networks", {"network": {}}) for _ in range(12)))

    assert sorted(answer.status_code for answer in answers) == [201] * 3 + [409] * 9
    assert await used(api, "network") == 3


async def test_lowering_a_limit_while_it_is_used(member: Api, api: Api) -> None:
    """A limit and calls that use it, at the same time: never more rows than the limit that was accepted."""
    calls = [member.post("/v2.0/networks", {"network": {}}) for _ in range(3)]
    lowered, *made = await asyncio.gather(api.put(QUOTA, {"quota": {"network": 1}}), *calls)

    count = sum(answer.status_code == 201 for answer in made)
    assert await used(api, "network") == count
    assert count <= (1 if lowered.status_code == 200 else 3)


async def test_a_limit_below_what_is_used_is_refused(member: Api, api: Api) -> None:
    """Nothing of such a change is kept, unless `force` says so; then nothing more is made, and nothing taken away."""
    for _ in range(3):
        await member.a_network()

    refused = await api.put(QUOTA, {"quota": {"network": 2, "port": 1}})
    assert error_of(refused)[0] == 400
    assert (await api.shown(QUOTA))["port"] == 5
    assert (await limit(api, network=2, force=True))["network"] == 2
    assert await used(api, "network") == 3
    assert (await member.post("/v2.0/networks", {"network": {}})).status_code == 409


async def test_minus_one_is_no_limit(member: Api, api: Api) -> None:
    """-1 means any number, and 0 none."""
    await limit(api, network=-1, port=0)
    for _ in range(5):
        await member.a_network()

    network = await member.a_network()
    assert error_of(await member.post("/v2.0/ports", {"port": {"network_id": network["id"]}}))[0] == 409
    for wrong in (-2, "many", 2**31, None, 1.5):
        assert (await api.put(QUOTA, {"quota": {"network": wrong}})).status_code == 400


async def test_the_default_group_and_its_rules_are_counted(member: Api, api: Api) -> None:
    """A default group comes with the first look, uses up quota with its rules, and is never refused."""
    await limit(api, security_group=1, security_group_rule=5)

    [default] = await member.shown("/v2.0/security-groups")
    assert await used(api, "security_group") == 1
    assert await used(api, "security_group_rule") == len(default["security_group_rules"]) == 4
    refused = await member.post("/v2.0/security-groups", {"security_group": {"name": "web"}})
    assert error_of(refused)[:2] == (409, "OverQuota")
    rule = {"security_group_id": default["id"], "direction": "ingress", "protocol": "tcp"}
    await member.made("security_group_rule", **rule, port_range_min=80, port_range_max=80)
    more = await member.post(
        "/v2.0/security-group-rules",
        {"security_group_rule": rule | {"port_range_min": 81, "port_range_max": 81}},
    )
    assert error_of(more)[:2] == (409, "OverQuota")


async def test_what_an_administrator_makes_for_a_project_counts_there(member: Api, api: Api) -> None:
    """The row's project is bound, not the caller's."""
    for _ in range(3):
        await api.a_network(project_id=MEMBER_PROJECT)

    refused = await api.post("/v2.0/networks", {"network": {"project_id": MEMBER_PROJECT}})
    assert error_of(refused)[:2] == (409, "OverQuota")
    await api.a_network()
    assert (await member.post("/v2.0/networks", {"network": {}})).status_code == 409


async def test_limits_are_an_administrators(member: Api, api: Api) -> None:
    """A reader sees his project's limits and use; another project's he does not see, and he changes none."""
    assert (await member.shown(QUOTA))["network"] == 3
    assert (await member.get(f"{QUOTA}/details.json")).status_code == 200
    for path in (f"/v2.0/quotas/{'f' * 32}", f"/v2.0/quotas/{'f' * 32}/details.json", "/v2.0/quotas"):
        assert (await member.get(path)).status_code == 403
    assert (await member.put(QUOTA, {"quota": {"network": 99}})).status_code == 403
    assert (await member.delete(QUOTA)).status_code == 403
    assert (await api.shown(QUOTA))["network"] == 3


async def test_back_to_the_regions_limits(api: Api) -> None:
    """Deleting a project's own limits gives it the region's; twice is no error."""
    await limit(api, network=7)
    assert [one["project_id"] for one in await api.shown("/v2.0/quotas")] == [MEMBER_PROJECT]

    for _ in range(2):
        assert (await api.delete(QUOTA)).status_code == 204
    assert (await api.shown(QUOTA))["network"] == 3
    assert await api.shown("/v2.0/quotas") == []


async def test_two_first_changes_at_once_keep_both(api: Api) -> None:
    """Neither of two changes of different limits is lost, also when the project had none of its own."""
    await asyncio.gather(limit(api, network=7), limit(api, port=8), limit(api, subnet=9))

    shown = await api.shown(QUOTA)
    assert (shown["network"], shown["port"], shown["subnet"]) == (7, 8, 9)


async def test_what_is_no_limit_is_refused(api: Api) -> None:
    """A name that is none, and a body that is none."""
    assert error_of(await api.put(QUOTA, {"quota": {"castle": 1}}))[0] == 400
    wrong: list[Any] = [{}, {"quota": []}, {"quota": None}, []]
    for body in wrong:
        assert (await api.put(QUOTA, body)).status_code == 400
