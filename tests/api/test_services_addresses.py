"""The MAC and Private IP Managers' own paths: ranges, taking, swapping, giving back, state and usage."""

from typing import Any

import pytest

from tests.support.api import Api, error_of

Json = dict[str, Any]
NOWHERE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
async def network(api: Api) -> Json:
    """A network."""
    return await api.a_network()


async def taken(api: Api, path: str, **said: Any) -> Any:
    """The answer to taking one."""
    return await api.post(path, {path[1:-1]: said})


async def an_ip(api: Api, **said: Any) -> Json:
    """An address taken."""
    answer = await taken(api, "/ips", **said)
    assert answer.status_code == 201, answer.text
    row: Json = answer.json()["ip"]
    return row


async def test_a_mac_is_taken_changed_and_given_back(api: Api, network: Json) -> None:
    """A change takes the new address and gives the old one back; a state is a note, and filters."""
    one = (await taken(api, "/macs", network_id=network["id"], mac_address="02:00:00:00:00:01")).json()["mac"]
    assert one["state"] == "active"
    path = f"/macs/{one['id']}"
    changed = (await api.put(path, {"mac": {"mac_address": "02:00:00:00:00:02", "state": "inactive"}})).json()
    assert (changed["mac"]["mac_address"], changed["mac"]["state"]) == ("02:00:00:00:00:02", "inactive")
    assert len((await api.get("/macs?state=inactive")).json()["macs"]) == 1

    again = {"network_id": network["id"], "mac_address": "02:00:00:00:00:01"}
    other = (await taken(api, "/macs", **again)).json()["mac"]
    refused = await api.put(path, {"mac": {"mac_address": other["mac_address"]}})
    assert error_of(refused)[:2] == (409, "MacAddressInUse")
    gone = await api.request("DELETE", "/macs/bulk", json={"macs": [{"id": one["id"]}, {"id": other["id"]}]})
    assert gone.status_code == 204


async def test_a_mac_is_taken_of_the_range_that_is_named(api: Api, member: Api, network: Json) -> None:
    """Only administrators name a range; one that is disabled or does not hold the address is refused."""
    bounds = {"first": "0a:00:00:00:00:00", "last": "0a:00:00:00:00:03"}
    ranged = (await api.post("/macs/ranges", {"mac_range": bounds})).json()["mac_range"]
    await api.post("/mac-ranges", {"mac_range": {"first": "0e:00:00:00:00:00", "last": "0e:00:00:ff:ff:ff"}})
    items = [{"network_id": network["id"], "range_id": ranged["id"]}] * 4
    made = (await api.post("/macs/bulk", {"macs": items})).json()["macs"]
    assert {one["mac_address"] for one in made} == {f"0a:00:00:00:00:0{i}" for i in range(4)}
    assert error_of(await taken(api, "/macs", **items[0]))[:2] == (503, "MacAddressGenerationFailure")
    outside = await taken(api, "/macs", **items[0], mac_address="0c:00:00:00:00:00")
    assert error_of(outside)[0] == 400
    await api.put(f"/macs/ranges/{ranged['id']}", {"mac_range": {"enabled": False}})
    assert "not enabled" in error_of(await taken(api, "/macs", **items[0]))[2]
    assert error_of(await taken(api, "/macs", **items[0] | {"range_id": NOWHERE}))[1] == "MacRangeNotFound"
    own = await member.a_network()
    refused = await taken(member, "/macs", network_id=own["id"], range_id=ranged["id"])
    assert error_of(refused)[:2] == (403, "PolicyNotAuthorized")


async def test_a_mac_s_state_names_who_has_it(api: Api, member: Api, network: Json) -> None:
    """Ports and rows of /macs that have an address on any network of the caller's; others see nothing."""
    mac = "02:00:00:00:00:77"
    port = await api.a_port(network["id"], mac_address=mac)
    other = await api.a_network()
    row = (await taken(api, "/macs", network_id=other["id"], mac_address=mac, state="inactive")).json()["mac"]

    states = (await api.get(f"/macs/state/{mac.upper()}")).json()["mac_states"]
    assert [(one["port_id"], one["mac_id"], one["state"]) for one in states] == [
        (port["id"], None, "active"),
        (None, row["id"], "inactive"),
    ]
    assert error_of(await member.get(f"/macs/state/{mac}"))[:2] == (404, "MacNotFound")
    assert error_of(await api.get("/macs/state/nonsense"))[0] == 400


async def test_the_use_of_macs_is_counted_per_network(api: Api, member: Api, network: Json) -> None:
    """A network's own addresses count, another's do not."""
    await api.post("/mac-ranges", {"mac_range": {"first": "0a:00:00:00:00:00", "last": "0a:00:00:00:00:ff"}})
    await api.post("/macs/bulk", {"macs": [{"network_id": network["id"]}] * 3})

    usage = (await api.get(f"/macs/usage/{network['id']}")).json()["usage"]
    assert (usage["total"], usage["used"], usage["available"]) == (256, 3, 253)
    assert error_of(await member.get(f"/macs/usage/{network['id']}"))[:2] == (404, "NetworkNotFound")


async def test_an_ip_range_is_part_of_a_subnet(api: Api, network: Json) -> None:
    """Addresses of a range are given until it is used up, also outside of the pools; then it cannot go."""
    subnet = await api.a_subnet(
        network["id"], "10.0.0.0/24", allocation_pools=[{"start": "10.0.0.2", "end": "10.0.0.99"}]
    )
    said = {"subnet_id": subnet["id"], "first_ip": "10.0.0.200", "last_ip": "10.0.0.202", "name": "r"}
    ranged = (await api.post("/ip-ranges", {"ip_range": said})).json()["ip_range"]
    assert (ranged["ip_version"], ranged["total_ips"], ranged["used_ips"]) == (4, 3, 0)
    made = (await api.post("/ips/bulk", {"ips": [{"range_id": ranged["id"]}] * 3})).json()["ips"]
    assert {one["ip_address"] for one in made} == {"10.0.0.200", "10.0.0.201", "10.0.0.202"}
    assert {one["subnet_id"] for one in made} == {subnet["id"]}
    assert error_of(await taken(api, "/ips", range_id=ranged["id"]))[:2] == (
        409,
        "IpAddressGenerationFailure",
    )
    path = f"/ips/ranges/{ranged['id']}"
    assert (await api.shown(path))["used_ips"] == 3
    assert error_of(await api.delete(path))[:2] == (409, "IpRangeInUse")
    await api.request("DELETE", "/ips/bulk", json={"ips": [{"id": one["id"]} for one in made]})
    assert (await api.delete(path)).status_code == 204


@pytest.mark.parametrize(
    ("first", "last", "error"),
    [
        ("10.0.1.1", "10.0.1.9", (400, "IpRangeOutsideSubnet")),
        ("10.0.0.9", "10.0.0.3", (400, "IpRangeOutsideSubnet")),
        ("10.0.0.9", "10.0.0.255", (400, "IpRangeOutsideSubnet")),
        ("2001:db8::1", "2001:db8::9", (400, "IpRangeOutsideSubnet")),
        ("10.0.0.15", "10.0.0.30", (409, "IpRangesOverlap")),
    ],
)
async def test_a_wrong_ip_range_is_refused(
    api: Api, network: Json, first: str, last: str, error: tuple[int, str]
) -> None:
    """A range lies inside of its subnet, is not reversed, and shares no address with another."""
    subnet = await api.a_subnet(network["id"], "10.0.0.0/24")
    await api.made("ip_range", subnet_id=subnet["id"], first_ip="10.0.0.10", last_ip="10.0.0.20")

    said = {"subnet_id": subnet["id"], "first_ip": first, "last_ip": last}
    assert error_of(await api.post("/ip-ranges", {"ip_range": said}))[:2] == error


async def test_a_large_ip_range_is_counted(api: Api, network: Json) -> None:
    """A range of 2^96 addresses gives different ones, and says how many are taken."""
    subnet = await api.a_subnet(network["id"], "2001:db8::/64")
    said = {"first_ip": "2001:db8::1:0:0:0", "last_ip": "2001:db8::2:0:0:0"}
    ranged = await api.made("ip_range", subnet_id=subnet["id"], **said)
    made = [await an_ip(api, range_id=ranged["id"]) for _ in range(3)]
    assert len({one["ip_address"] for one in made}) == 3
    assert (await api.shown(f"/ip-ranges/{ranged['id']}"))["used_ips"] == 3


async def test_an_ip_is_taken_of_any_subnet_of_a_network(api: Api, network: Json) -> None:
    """The first subnet of the version with room gives it; an address that is named is of the subnet that holds it."""
    small = await api.a_subnet(network["id"], "10.0.0.0/30", gateway_ip=None)
    large = await api.a_subnet(network["id"], "10.0.1.0/24")
    six = await api.a_subnet(network["id"], "2001:db8::/64")
    where = [(await an_ip(api, network_id=network["id"]))["subnet_id"] for _ in range(3)]
    assert where == [small["id"], small["id"], large["id"]]
    assert (await an_ip(api, network_id=network["id"], ip_version=6))["subnet_id"] == six["id"]
    named = await an_ip(api, network_id=network["id"], ip_address="10.0.1.77")
    assert named["subnet_id"] == large["id"]
    refused = await taken(api, "/ips", network_id=network["id"], ip_address="10.9.9.9")
    assert error_of(refused)[:2] == (404, "SubnetNotFound")


async def test_where_an_ip_is_taken_is_said_once(api: Api, network: Json) -> None:
    """Nothing, or two places, is refused; so is an address that its range does not have."""
    subnet = await api.a_subnet(network["id"])
    ranged = await api.made("ip_range", subnet_id=subnet["id"], first_ip="10.0.0.10", last_ip="10.0.0.20")
    for said in (
        {},
        {"subnet_id": subnet["id"], "network_id": network["id"]},
        {"range_id": ranged["id"], "network_id": network["id"]},
        {"range_id": ranged["id"], "ip_address": "10.0.0.9"},
    ):
        assert error_of(await taken(api, "/ips", **said))[0] == 400, said
    assert error_of(await taken(api, "/ips", range_id=NOWHERE))[:2] == (404, "IpRangeNotFound")


async def test_ips_are_swapped_both_or_neither(api: Api, network: Json) -> None:
    """A bulk change of addresses is one transaction: if one is taken, none has changed."""
    subnet = await api.a_subnet(network["id"])
    one, two = [await an_ip(api, subnet_id=subnet["id"], ip_address=f"10.0.0.{i}") for i in (10, 11)]
    swap = [{"id": one["id"], "ip_address": "10.0.0.20"}, {"id": two["id"], "ip_address": "10.0.0.20"}]
    assert error_of(await api.put("/ips/bulk", {"ips": swap}))[:2] == (409, "IpAddressAlreadyAllocated")
    assert (await api.shown(f"/ips/{one['id']}"))["ip_address"] == "10.0.0.10"
    swap[1]["ip_address"] = "10.0.0.10"
    changed = (await api.put("/ips/bulk", {"ips": swap})).json()["ips"]
    assert [row["ip_address"] for row in changed] == ["10.0.0.20", "10.0.0.10"]
    off = await api.put(f"/ips/{one['id']}", {"ip": {"state": "deactivated"}})
    assert off.json()["ip"]["state"] == "deactivated"


async def test_an_ip_s_state_names_who_has_it(api: Api, member: Api) -> None:
    """Free, or taken by a port or without one; who does not see the owner is not told it."""
    network = await api.a_network(shared=True)
    subnet = await api.a_subnet(network["id"])
    port = await api.a_port(network["id"], fixed_ips=[{"ip_address": "10.0.0.5"}])
    row = await an_ip(api, subnet_id=subnet["id"], ip_address="10.0.0.6", state="deactivated")
    base = f"/ips/state/{subnet['id']}"

    assert (await api.get(f"{base}/10.0.0.5")).json()["ip_state"]["port_id"] == port["id"]
    state = (await api.get(f"{base}/10.0.0.6")).json()["ip_state"]
    assert (state["state"], state["ip_id"], state["port_id"]) == ("deactivated", row["id"], None)
    assert (await api.get(f"{base}/10.0.0.7")).json()["ip_state"]["state"] == "free"
    theirs = (await member.get(f"{base}/10.0.0.5")).json()["ip_state"]
    assert (theirs["state"], theirs["port_id"]) == ("activated", None)
    assert error_of(await api.get(f"{base}/10.1.0.5"))[:2] == (400, "InvalidIpForSubnet")
    assert error_of(await api.get(f"{base}/x"))[0] == 400
    own = await an_ip(member, subnet_id=subnet["id"])
    assert own["project_id"] != network["project_id"]


async def test_the_use_of_ips_is_counted(api: Api, member: Api, network: Json) -> None:
    """Of one subnet, or of each of a network's; nothing else may be asked."""
    one = await api.a_subnet(network["id"], "10.0.0.0/29")
    await api.a_subnet(network["id"], "10.0.1.0/24")
    await an_ip(api, subnet_id=one["id"])

    whole = (await api.get(f"/ips/usage?network_id={network['id']}")).json()["usage"]
    assert [(row["cidr"], row["used_ips"], row["available_ips"]) for row in whole] == [
        ("10.0.0.0/29", 1, 4),
        ("10.0.1.0/24", 0, 253),
    ]
    assert (await api.get(f"/ips/usage?subnet_id={one['id']}")).json()["usage"] == [whole[0]]
    assert error_of(await api.get("/ips/usage"))[:2] == (400, "BadRequest")
    assert error_of(await member.get(f"/ips/usage?subnet_id={one['id']}"))[:2] == (404, "SubnetNotFound")
