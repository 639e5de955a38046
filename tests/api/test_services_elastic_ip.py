"""Elastic IPs and their ranges, gateways of VPCs, and ports in security groups: the original's own paths."""

from typing import Any

import pytest

from tests.support.api import ADMIN_PROJECT, MEMBER_PROJECT, Api, error_of

Json = dict[str, Any]
NOWHERE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
async def outside(api: Api) -> Json:
    """An external network."""
    return await api.a_network(**{"router:external": True})


@pytest.fixture
async def four(api: Api, outside: Json) -> Json:
    """Its IPv4 subnet, without pools: only who names an address of it has one."""
    return await api.a_subnet(
        outside["id"], "203.0.113.0/24", allocation_pools=[{"start": "203.0.113.2", "end": "203.0.113.9"}]
    )


@pytest.fixture
async def six(api: Api, outside: Json) -> Json:
    """Its IPv6 subnet."""
    return await api.a_subnet(outside["id"], "2001:db8:f::/64")


async def a_range(api: Api, subnet: Json, *bounds: tuple[str, str]) -> Json:
    """A range of a subnet."""
    ranges = [{"start": start, "end": end} for start, end in bounds]
    return await api.made("elastic_ip_range", subnet_id=subnet["id"], allocation_ranges=ranges)


async def test_elastic_ips_are_taken_of_a_range_in_bulk(api: Api, four: Json) -> None:
    """Each is a floating IP with an address of the range's own, until none is left; then nothing of a bulk is made."""
    ranged = await a_range(api, four, ("203.0.113.100", "203.0.113.101"), ("203.0.113.200", "203.0.113.200"))
    assert (ranged["ip_version"], ranged["used_ip_count"]) == (4, 0)
    items = [{"range_id": ranged["id"]}] * 3
    made = (await api.post("/elasticips/bulk", {"elasticips": items})).json()["elasticips"]
    assert {one["elastic_ip"] for one in made} == {"203.0.113.100", "203.0.113.101", "203.0.113.200"}
    assert {(one["elastic_ip_version"], one["state"], one["private_ip"]) for one in made} == {
        (4, "deactivated", None)
    }
    floating = (await api.get("/v2.0/floatingips")).json()["floatingips"]
    assert {one["id"] for one in floating} == {one["id"] for one in made}
    assert (await api.shown(f"/elasticip-ranges/{ranged['id']}"))["used_ip_count"] == 3
    gone = await api.delete(f"/elasticips/{made[0]['id']}")
    assert gone.status_code == 204
    full = await api.post("/elasticips/bulk", {"elasticips": items})
    assert error_of(full)[:2] == (409, "IpAddressGenerationFailure")
    assert len((await api.get("/elasticips")).json()["elasticips"]) == 2


async def test_an_elastic_ip_stands_for_a_port_in_its_version(
    api: Api, outside: Json, four: Json, six: Json
) -> None:
    """IPv4 and IPv6 addresses stand for a port's address of their version, through its router."""
    for subnet, bounds in (
        (four, ("203.0.113.50", "203.0.113.60")),
        (six, ("2001:db8:f::50", "2001:db8:f::60")),
    ):
        await a_range(api, subnet, bounds)
    network = await api.a_network()
    router = await api.made("router", external_gateway_info={"network_id": outside["id"]})
    for cidr in ("10.0.0.0/24", "2001:db8:1::/64"):
        inner = await api.a_subnet(network["id"], cidr)
        await api.put(f"/routers/{router['id']}/add_router_interface", {"subnet_id": inner["id"]})
    port = await api.a_port(network["id"])
    inner_ips = {one["ip_address"] for one in port["fixed_ips"]}
    found = [await api.made("elasticip", elastic_ip_version=v, port_id=port["id"]) for v in (4, 6)]

    assert [one["elastic_ip_version"] for one in found] == [4, 6]
    assert {one["private_ip"] for one in found} == inner_ips
    assert [one["state"] for one in found] == ["activated", "activated"]
    assert found[1]["elastic_ip"].startswith("2001:db8:f::5")
    wrong = await api.put(
        f"/elasticips/{found[1]['id']}",
        {"elasticip": {"port_id": port["id"], "fixed_ip_address": found[0]["private_ip"]}},
    )
    assert error_of(wrong)[:2] == (400, "BadRequest")
    assert (await api.delete(f"/v2.0/ports/{port['id']}")).status_code == 204
    assert (await api.shown(f"/elasticips/{found[0]['id']}"))["state"] == "deactivated"


async def test_an_elastic_ip_of_a_network_is_a_floating_ip(api: Api, outside: Json, four: Json) -> None:
    """Who names the external network takes of its pools; who names a range must not name another place."""
    ranged = await a_range(api, four, ("203.0.113.100", "203.0.113.101"))
    plain = await api.made("elasticip", floating_network_id=outside["id"])
    assert plain["elastic_ip"] in {f"203.0.113.{i}" for i in range(2, 10)}
    both = {"elasticip": {"floating_network_id": outside["id"], "range_id": ranged["id"]}}
    assert error_of(await api.post("/elasticips", both))[:2] == (400, "BadRequest")
    named = await api.made("elasticip", range_id=ranged["id"], floating_ip_address="203.0.113.101")
    assert named["elastic_ip"] == "203.0.113.101"
    beside = {"elasticip": {"range_id": ranged["id"], "floating_ip_address": "203.0.113.5"}}
    assert error_of(await api.post("/elasticips", beside))[:2] == (400, "BadRequest")
    missing = {"elasticip": {"range_id": NOWHERE}}
    assert error_of(await api.post("/elasticips", missing))[:2] == (404, "ElasticIpRangeNotFound")
    none = await api.post("/elasticips", {"elasticip": {"elastic_ip_version": 6}})
    assert error_of(none)[:2] == (409, "IpAddressGenerationFailure")


async def test_a_range_is_of_an_external_subnet(api: Api, four: Json) -> None:
    """Another subnet, addresses beside it, none, reversed ones, and ones that are taken are refused."""
    await a_range(api, four, ("203.0.113.100", "203.0.113.110"))
    inner = await api.a_subnet((await api.a_network())["id"], "10.0.0.0/24")
    for subnet, bounds, error in (
        (inner, [("10.0.0.5", "10.0.0.9")], (400, "InvalidInput")),
        (four, [], (400, "InvalidInput")),
        (four, [("198.51.100.1", "198.51.100.2")], (400, "IpRangeOutsideSubnet")),
        (four, [("203.0.113.60", "203.0.113.50")], (400, "IpRangeOutsideSubnet")),
        (four, [("203.0.113.105", "203.0.113.120")], (409, "IpRangesOverlap")),
        (
            four,
            [("203.0.113.10", "203.0.113.20"), ("203.0.113.20", "203.0.113.30")],
            (409, "IpRangesOverlap"),
        ),
    ):
        ranges = [{"start": start, "end": end} for start, end in bounds]
        body = {"elasticip_range": {"subnet_id": subnet["id"], "allocation_ranges": ranges}}
        assert error_of(await api.post("/elasticip-ranges", body))[:2] == error, bounds


async def test_a_range_keeps_what_is_in_use(api: Api, four: Json) -> None:
    """A range shrinks around the addresses elastic IPs have, and does not go while there are any."""
    ranged = await a_range(api, four, ("203.0.113.100", "203.0.113.110"))
    one = await api.made("elasticip", range_id=ranged["id"], floating_ip_address="203.0.113.105")
    path = f"/elasticip-ranges/{ranged['id']}"

    def bounds(start: str, end: str) -> Json:
        return {"elasticip_range": {"allocation_ranges": [{"start": start, "end": end}]}}

    assert error_of(await api.put(path, bounds("203.0.113.106", "203.0.113.120")))[1] == "ElasticIpRangeInUse"
    assert (await api.put(path, bounds("203.0.113.105", "203.0.113.105"))).status_code == 200
    refused = error_of(await api.delete(path))
    assert refused[:2] == (409, "ElasticIpRangeInUse")
    assert one["id"] in refused[2]
    await api.delete(f"/elasticips/{one['id']}")
    assert (await api.delete(path)).status_code == 204


async def test_a_large_range_of_ipv6_gives_different_addresses(api: Api, six: Json) -> None:
    """2^48 addresses: a bulk takes different ones, whatever the size (the original's search never moved on)."""
    ranged = await a_range(api, six, ("2001:db8:f:0:1::", "2001:db8:f:0:1:ffff:ffff:ffff"))
    answer = await api.post("/elasticips/bulk", {"elasticips": [{"range_id": ranged["id"]}] * 20})
    assert len({one["elastic_ip"] for one in answer.json()["elasticips"]}) == 20
    assert (await api.shown(f"/elasticip-ranges/{ranged['id']}"))["used_ip_count"] == 20


async def test_the_gateway_s_address_is_nobody_s(api: Api, four: Json) -> None:
    """A range, of elastic IPs or at /ips, may hold the subnet's gateway; its address is never chosen."""
    await a_range(api, four, ("203.0.113.1", "203.0.113.2"))
    made = await api.made("elasticip", elastic_ip_version=4)
    assert made["elastic_ip"] == "203.0.113.2"
    full = await api.post("/elasticips", {"elasticip": {"elastic_ip_version": 4}})
    assert error_of(full)[:2] == (409, "IpAddressGenerationFailure")
    said = {"subnet_id": four["id"], "first_ip": "203.0.113.1", "last_ip": "203.0.113.1"}
    ranged = await api.made("ip_range", **said)
    assert error_of(await api.post("/ips", {"ip": {"range_id": ranged["id"]}}))[0] == 409


async def test_ranges_are_the_operator_s(api: Api, member: Api, four: Json) -> None:
    """Members see ranges and take of them; only administrators make them."""
    ranged = await a_range(api, four, ("203.0.113.100", "203.0.113.110"))
    assert (await member.shown(f"/elasticip-ranges/{ranged['id']}"))["id"] == ranged["id"]
    body = {"elasticip_range": {"subnet_id": four["id"], "allocation_ranges": []}}
    assert error_of(await member.post("/elasticip-ranges", body))[:2] == (403, "PolicyNotAuthorized")
    own = await member.made("elasticip", elastic_ip_version=4)
    assert own["project_id"] == MEMBER_PROJECT
    assert error_of(await member.delete(f"/elasticip-ranges/{ranged['id']}"))[:2] == (
        403,
        "PolicyNotAuthorized",
    )


async def test_gateway_information_follows_from_routers(
    api: Api, member: Api, outside: Json, four: Json
) -> None:
    """A VPC's gateways are those of the routers on it; its number is for administrators."""
    network = await api.a_network(shared=True)
    subnet = await api.a_subnet(network["id"])
    path = f"/gatewayinfo/{network['id']}"
    before = (await api.get(path)).json()["gatewayinfo"]
    assert (before["gateways"], before["network_id"]) == ([], network["id"])
    assert before["segmentation_id"] == network["provider:segmentation_id"]
    router = await api.made("router", external_gateway_info={"network_id": outside["id"]})
    await api.put(f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    (gateway,) = (await api.get(path)).json()["gatewayinfo"]["gateways"]
    fixed = router["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    assert (gateway["router_id"], gateway["network_id"]) == (router["id"], outside["id"])
    assert gateway["ip_addresses"] == [fixed]
    theirs = (await member.get(path)).json()["gatewayinfo"]
    assert (theirs["segmentation_id"], theirs["gateways"]) == (None, [])
    assert error_of(await api.get(f"/gatewayinfo/{NOWHERE}"))[:2] == (404, "NetworkNotFound")


async def test_ports_are_put_into_groups_and_taken_out(api: Api) -> None:
    """All of the pairs or none; a port that is in a group already stays, one that is not is as good as taken out."""
    network = await api.a_network()
    ports = [await api.a_port(network["id"]) for _ in range(2)]
    group = await api.made("security_group", name="g")
    pairs = [{"port_id": one["id"], "security_group_id": group["id"]} for one in ports]
    body = {"port_binding_security_groups": pairs}

    for _ in range(2):
        answer = await api.post("/bind-security-groups", body)
        assert (answer.status_code, answer.json()) == (201, body)
    groups = (await api.shown(f"/v2.0/ports/{ports[0]['id']}"))["security_groups"]
    assert groups == [*ports[0]["security_groups"], group["id"]]
    bad = [pairs[0], {"port_id": NOWHERE, "security_group_id": group["id"]}]
    refused = await api.post("/unbind-security-groups", {"port_binding_security_groups": bad})
    assert error_of(refused)[:2] == (404, "PortNotFound")
    assert group["id"] in (await api.shown(f"/v2.0/ports/{ports[0]['id']}"))["security_groups"]
    assert (await api.post("/unbind-security-groups", body)).status_code == 201
    left = (await api.shown(f"/v2.0/ports/{ports[0]['id']}"))["security_groups"]
    assert left == ports[0]["security_groups"]


async def test_only_one_s_own_ports_are_bound(api: Api, member: Api) -> None:
    """Another project's port or group is not found; a body that is none is refused."""
    port = await api.a_port((await api.a_network())["id"])
    own = await member.made("security_group", name="g")
    pair = {"port_id": port["id"], "security_group_id": own["id"]}
    refused = await member.post("/bind-security-groups", {"port_binding_security_groups": [pair]})
    assert error_of(refused)[:2] == (404, "PortNotFound")
    bodies: list[Json] = [
        {},
        {"port_binding_security_groups": []},
        {"port_binding_security_groups": [{"port_id": "x"}]},
    ]
    for body in bodies:
        assert error_of(await api.post("/bind-security-groups", body))[0] == 400


async def test_a_project_has_a_default_group(api: Api, member: Api) -> None:
    """It is made when it is first asked for; only the project and administrators ask."""
    first = (await member.get(f"/security-groups/default/{MEMBER_PROJECT}")).json()["security_group"]
    assert (first["name"], first["project_id"]) == ("default", MEMBER_PROJECT)
    again = (await api.get(f"/security-groups/default/{MEMBER_PROJECT}")).json()["security_group"]
    assert again["id"] == first["id"]
    other = await member.get(f"/security-groups/default/{ADMIN_PROJECT}")
    assert error_of(other)[:2] == (403, "PolicyNotAuthorized")
