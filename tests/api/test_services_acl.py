"""Network ACLs: ordered, stateless rules of subnets."""

from typing import Any

import pytest

from tests.support.api import ADMIN_PROJECT, Api, error_of

Json = dict[str, Any]
NOWHERE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
async def network(api: Api) -> Json:
    """A network."""
    return await api.a_network()


def a_rule(number: int = 100, direction: str = "ingress", action: str = "allow", **more: Any) -> Json:
    """A rule as a client says it."""
    return {"number": number, "direction": direction, "action": action, **more}


async def rule(api: Api, acl: Json, **said: Any) -> Any:
    """The answer to adding a rule."""
    body = {"network_acl_rule": {"network_acl_id": acl["id"], **a_rule(**said)}}
    return await api.post("/network-acl-rules", body)


async def test_an_acl_comes_with_its_rules_in_order(api: Api, network: Json) -> None:
    """Rules may be said with their ACL; they are shown as packets meet them, and what stands behind them is denied."""
    subnet = await api.a_subnet(network["id"])
    rules = [
        a_rule(200, action="deny", protocol="all"),
        a_rule(100, ip_prefix="10.0.0.0/8", protocol="tcp", port_range_min=80, port_range_max=80),
        a_rule(100, "egress", ether_type="ipv6"),
    ]
    acl = await api.made(
        "network_acl", network_id=network["id"], associated_subnets=[subnet["id"]], network_acl_rules=rules
    )

    shown = [(one["direction"], one["number"], one["ip_prefix"]) for one in acl["network_acl_rules"]]
    assert shown == [("egress", 100, "::/0"), ("ingress", 100, "10.0.0.0/8"), ("ingress", 200, "0.0.0.0/0")]
    assert {one["project_id"] for one in acl["network_acl_rules"]} == {ADMIN_PROJECT}
    behind = {(one["direction"], one["ether_type"], one["action"]) for one in acl["default_rules"]}
    assert behind == {(way, version, "deny") for way in ("ingress", "egress") for version in ("ipv4", "ipv6")}
    listed = (await api.get(f"/network-acl-rules?network_acl_id={acl['id']}&sort_key=number")).json()
    assert [one["number"] for one in listed["network_acl_rules"]] == [100, 100, 200]


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"ip_prefix": "2001:db8::/32"}, "ip_prefix"),
        ({"ether_type": "ipv6", "protocol": "icmp"}, "protocol"),
        ({"protocol": "icmpv6"}, "protocol"),
        ({"protocol": "tcp", "port_range_min": 80}, "port_range_min"),
        ({"port_range_min": 1, "port_range_max": 2}, "port_range_min"),
        ({"protocol": "udp", "port_range_min": 9, "port_range_max": 2}, "port_range_max"),
        ({"protocol": "tcp", "icmp_type": 8}, "icmp_type"),
        ({"protocol": "icmp", "icmp_code": 0}, "icmp_code"),
        ({"number": 32_767}, "number"),
        ({"action": "reject"}, "action"),
    ],
)
async def test_a_rule_that_contradicts_itself_is_refused(
    api: Api, network: Json, said: Json, named: str
) -> None:
    """The error names the attribute; also for a rule that comes with its ACL, which is not made then."""
    acl = await api.made("network_acl", network_id=network["id"])

    status, name, message = error_of(await rule(api, acl, **said))
    assert (status, name) == (400, "InvalidInput")
    assert message.startswith(f"Invalid input for {named}.")
    body = {"network_acl": {"network_id": network["id"], "network_acl_rules": [a_rule(**said)]}}
    assert error_of(await api.post("/network-acls", body))[0] == 400
    assert len((await api.get("/network-acls")).json()["network_acls"]) == 1


async def test_numbers_are_unique_per_direction(api: Api, network: Json) -> None:
    """A number is taken once in a direction; it is free again when its rule goes or moves."""
    acl = await api.made("network_acl", network_id=network["id"])
    first = (await rule(api, acl)).json()["network_acl_rule"]
    assert (await rule(api, acl, direction="egress")).status_code == 201
    assert error_of(await rule(api, acl))[:2] == (409, "NetworkAclRuleNumberOccupied")

    path = f"/network-acl-rules/{first['id']}"
    moved = await api.put(path, {"network_acl_rule": {"number": 7, "protocol": "icmp", "icmp_type": 8}})
    assert moved.json()["network_acl_rule"]["icmp_type"] == 8
    second = (await rule(api, acl)).json()["network_acl_rule"]
    back = await api.put(path, {"network_acl_rule": {"number": 100}})
    assert error_of(back)[:2] == (409, "NetworkAclRuleNumberOccupied")
    assert (await api.delete(f"/network-acl-rules/{second['id']}")).status_code == 204
    assert (await api.put(path, {"network_acl_rule": {"number": 100}})).status_code == 200


async def test_a_rule_that_changes_version_has_a_prefix_of_it(api: Api, network: Json) -> None:
    """Without a prefix it is about any of the new version; a change that does not fit is refused."""
    acl = await api.made("network_acl", network_id=network["id"])
    made = (await rule(api, acl, ip_prefix="10.0.0.0/8")).json()["network_acl_rule"]
    path = f"/network-acl-rules/{made['id']}"
    changed = (await api.put(path, {"network_acl_rule": {"ether_type": "ipv6"}})).json()["network_acl_rule"]
    assert changed["ip_prefix"] == "::/0"
    wrong = await api.put(path, {"network_acl_rule": {"ip_prefix": "10.0.0.0/8"}})
    assert error_of(wrong)[:2] == (400, "InvalidInput")


async def test_a_change_of_a_rule_is_one_of_its_acl(api: Api, network: Json) -> None:
    """Adding, changing and removing a rule each add to the ACL's revision_number."""
    acl = await api.made("network_acl", network_id=network["id"])
    path = f"/network-acls/{acl['id']}"
    seen = [acl["revision_number"]]
    made = (await rule(api, acl)).json()["network_acl_rule"]
    seen.append((await api.shown(path))["revision_number"])
    await api.put(f"/network-acl-rules/{made['id']}", {"network_acl_rule": {"action": "deny"}})
    seen.append((await api.shown(path))["revision_number"])
    await api.delete(f"/network-acl-rules/{made['id']}")
    seen.append((await api.shown(path))["revision_number"])
    assert seen == sorted(set(seen))


async def test_a_subnet_has_one_acl(api: Api, network: Json) -> None:
    """A subnet with an ACL is refused to another, one of another network always."""
    subnet = await api.a_subnet(network["id"])
    acl = await api.made("network_acl", network_id=network["id"], associated_subnets=[subnet["id"]])
    other = await api.made("network_acl", network_id=network["id"])
    body = {"network_acl": {"associated_subnets": [subnet["id"]]}}

    refused = error_of(await api.put(f"/network-acls/{other['id']}", body))
    assert refused[:2] == (409, "NetworkAclSubnetAssociated")
    assert acl["id"] in refused[2]
    await api.put(f"/network-acls/{acl['id']}", {"network_acl": {"associated_subnets": []}})
    assert (await api.put(f"/network-acls/{other['id']}", body)).status_code == 200
    elsewhere = await api.a_subnet((await api.a_network())["id"])
    foreign = {"network_acl": {"associated_subnets": [elsewhere["id"]]}}
    assert error_of(await api.put(f"/network-acls/{other['id']}", foreign))[:2] == (400, "InvalidInput")
    missing = {"network_acl": {"associated_subnets": [NOWHERE]}}
    assert error_of(await api.put(f"/network-acls/{other['id']}", missing))[:2] == (404, "SubnetNotFound")


async def test_a_vpc_has_one_default_acl(api: Api, network: Json) -> None:
    """It counts for subnets without an own one; a second one is refused until the first is no more."""
    path = f"/subnets/{(await api.a_subnet(network['id']))['id']}/network_acl"
    assert (await api.get(path)).json() == {"network_acl": None}
    first = await api.made("network_acl", network_id=network["id"], is_default=True)
    assert (await api.get(path)).json()["network_acl"]["id"] == first["id"]
    second = await api.made("network_acl", network_id=network["id"])
    body = {"network_acl": {"is_default": True}}
    refused = error_of(await api.put(f"/network-acls/{second['id']}", body))
    assert refused[:2] == (409, "NetworkAclDefaultExists")
    await api.put(f"/network-acls/{first['id']}", {"network_acl": {"is_default": False}})
    assert (await api.put(f"/network-acls/{second['id']}", body)).status_code == 200
    await api.delete(f"/network-acls/{second['id']}")
    assert (await api.get(path)).json() == {"network_acl": None}


async def test_a_subnet_that_goes_leaves_its_acl(api: Api, network: Json) -> None:
    """A subnet is deleted at either path though an ACL counts for it; a network is kept while it has an ACL."""
    subnets = [await api.a_subnet(network["id"], f"10.0.{i}.0/24") for i in (0, 1)]
    ids = [one["id"] for one in subnets]
    acl = await api.made("network_acl", network_id=network["id"], associated_subnets=ids)
    assert (await api.delete(f"/v2.0/subnets/{ids[0]}")).status_code == 204
    assert (await api.shown(f"/network-acls/{acl['id']}"))["associated_subnets"] == [ids[1]]
    assert (await api.delete(f"/subnets/{ids[1]}")).status_code == 204
    assert error_of(await api.delete(f"/v2.0/networks/{network['id']}"))[:2] == (409, "NetworkInUse")
    await rule(api, acl)
    assert (await api.delete(f"/network-acls/{acl['id']}")).status_code == 204
    assert (await api.get("/network-acl-rules")).json()["network_acl_rules"] == []
    assert (await api.delete(f"/v2.0/networks/{network['id']}")).status_code == 204


async def test_acls_are_their_project_s(api: Api, member: Api, network: Json) -> None:
    """Another project neither sees an ACL nor adds rules to it; a member makes them on its own networks."""
    acl = await api.made("network_acl", network_id=network["id"])
    assert error_of(await member.get(f"/network-acls/{acl['id']}"))[:2] == (404, "NetworkAclNotFound")
    assert error_of(await rule(member, acl))[:2] == (404, "NetworkAclNotFound")
    body = {"network_acl": {"network_id": network["id"]}}
    assert error_of(await member.post("/network-acls", body))[:2] == (404, "NetworkNotFound")
    own = await member.a_network()
    mine = await member.made("network_acl", network_id=own["id"])
    assert (await rule(member, mine)).status_code == 201


async def test_acls_and_rules_come_in_bulk(api: Api, network: Json) -> None:
    """All or none: a number twice refuses the whole list, and names the item."""
    acl = await api.made("network_acl", network_id=network["id"])
    items = [{"network_acl_id": acl["id"], **a_rule(number)} for number in (1, 2, 2)]
    refused = await api.post("/network-acl-rules/bulk", {"network_acl_rules": items})
    assert error_of(refused)[:2] == (409, "NetworkAclRuleNumberOccupied")
    assert (await api.post("/network-acl-rules/bulk", {"network_acl_rules": items[:2]})).status_code == 201
    assert len((await api.shown(f"/network-acls/{acl['id']}"))["network_acl_rules"]) == 2
