"""Firewall rules, policies and groups through the API, as clients meet them."""

from typing import Any

import pytest

from tests.support.api import ADMIN_PROJECT, MEMBER_PROJECT, Api, Json, error_of

GROUPS, POLICIES, RULES = (f"/v2.0/fwaas/firewall_{kind}" for kind in ("groups", "policies", "rules"))
MISSING = "0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


async def _interface(api: Api) -> str:
    """A router's interface; returns its port."""
    network = await api.a_network()
    subnet = await api.a_subnet(network["id"])
    router = await api.made("router")
    answer = await api.put(f"/v2.0/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    port_id: str = answer.json()["port_id"]
    return port_id


async def _names(api: Api, path: str) -> list[str]:
    return sorted(one["name"] for one in await api.shown(path))


async def test_a_project_finds_its_default_group_at_the_first_look(member: Api) -> None:
    """It lets nothing in and everything out, for both versions, and is there once."""
    [group] = await member.shown(GROUPS)

    assert (group["name"], group["project_id"], group["ports"]) == ("default", MEMBER_PROJECT, [])
    assert await _names(member, GROUPS) == ["default"]
    assert await _names(member, POLICIES) == ["default egress", "default ingress"]
    ways = {"ingress": "deny", "egress": "allow"}
    for way, action in ways.items():
        policy = await member.shown(f"{POLICIES}/{group[f'{way}_firewall_policy_id']}")
        rules = [await member.shown(f"{RULES}/{id}") for id in policy["firewall_rules"]]
        assert [(rule["action"], rule["ip_version"]) for rule in rules] == [(action, 4), (action, 6)]


async def test_a_rule_shows_every_attribute(member: Api) -> None:
    """What was said, and the defaults of the rest."""
    rule = await member.made(
        "firewall_rule", protocol="tcp", source_port=80, destination_port="8000:8080", destination_ip_address="10.0.0.9"
    )  # fmt: skip

    expected = {
        "name": "",
        "description": "",
        "shared": False,
        "firewall_policy_id": None,
        "protocol": "tcp",
        "ip_version": 4,
        "source_ip_address": None,
        "destination_ip_address": "10.0.0.9",
        "source_port": "80",
        "destination_port": "8000:8080",
        "position": None,
        "action": "deny",
        "enabled": True,
        "revision_number": 0,
        "project_id": MEMBER_PROJECT,
        "tenant_id": MEMBER_PROJECT,
    }
    assert {name: rule[name] for name in expected} == expected
    assert rule == await member.shown(f"{RULES}/{rule['id']}")


@pytest.mark.parametrize(
    ("said", "status", "type_"),
    [
        ({"destination_port": "80"}, 400, "FirewallRuleWithPortWithoutProtocolInvalid"),
        ({"destination_port": "80", "protocol": "icmp"}, 400, "FirewallRuleInvalidICMPParameter"),
        ({"destination_port": "81:80", "protocol": "udp"}, 400, "FirewallRuleInvalidPortValue"),
        ({"destination_port": "80:81:82", "protocol": "udp"}, 400, "InvalidInput"),
        ({"destination_port": "65536", "protocol": "udp"}, 400, "InvalidInput"),
        ({"source_ip_address": "2001:db8::1"}, 400, "FirewallIpAddressConflict"),
        ({"source_ip_address": "10.0.0.1/8"}, 400, "InvalidInput"),
        ({"protocol": "gre"}, 400, "InvalidInput"),
        ({"action": "drop"}, 400, "InvalidInput"),
        ({"ip_version": 5}, 400, "InvalidInput"),
        ({"position": 1}, 400, "HTTPBadRequest"),
        ({"shared": True}, 403, "PolicyNotAuthorized"),
    ],
)
async def test_refused_rules_have_the_types_clients_know(
    member: Api, said: Json, status: int, type_: str
) -> None:
    """Status and `NeutronError.type`."""
    assert error_of(await member.post(RULES, {"firewall_rule": said}))[:2] == (status, type_)


async def test_an_update_is_judged_with_what_is_there(member: Api) -> None:
    """A rule with ports does not lose its protocol; one of version 4 does not become 6 with its addresses."""
    rule = await member.made(
        "firewall_rule", protocol="tcp", source_port="80", source_ip_address="10.0.0.0/8"
    )
    path = f"{RULES}/{rule['id']}"

    refused = await member.put(path, {"firewall_rule": {"protocol": None}})
    assert error_of(refused)[1] == "FirewallRuleWithPortWithoutProtocolInvalid"
    refused = await member.put(path, {"firewall_rule": {"ip_version": 6}})
    assert error_of(refused)[1] == "FirewallIpAddressConflict"
    changed = await member.put(path, {"firewall_rule": {"protocol": "udp", "source_port": None}})
    assert changed.json()["firewall_rule"]["source_port"] is None


async def test_rules_go_where_a_client_puts_them(member: Api) -> None:
    """First, before another, after another; the answer is the bare policy, and it is no longer audited."""
    a, b, c, d = [(await member.made("firewall_rule"))["id"] for _ in range(4)]
    policy = await member.made("firewall_policy", firewall_rules=[a], audited=True)
    path = f"{POLICIES}/{policy['id']}"

    async def insert(rule_id: str, **more: str) -> Json:
        answer = await member.put(f"{path}/insert_rule", {"firewall_rule_id": rule_id} | more)
        assert answer.status_code == 200, answer.text
        found: Json = answer.json()
        return found

    assert policy["audited"]
    answer = await insert(b)
    assert (answer["firewall_rules"], answer["audited"]) == ([b, a], False)
    assert answer == await member.shown(path)
    assert (await insert(c, insert_before=a, insert_after=""))["firewall_rules"] == [b, c, a]
    assert (await insert(d, insert_after=b))["firewall_rules"] == [b, d, c, a]
    assert (await member.shown(f"{RULES}/{d}"))["firewall_policy_id"] == [policy["id"]]
    assert [one["id"] for one in await member.shown(f"{POLICIES}?firewall_rules={d}")] == [policy["id"]]
    inside = await member.shown(f"{RULES}?firewall_policy_id={policy['id']}&fields=id")
    assert sorted(one["id"] for one in inside) == sorted([a, b, c, d])
    answer = (await member.put(f"{path}/remove_rule", {"firewall_rule_id": d})).json()
    assert answer["firewall_rules"] == [b, c, a]


@pytest.mark.parametrize(
    ("action", "body", "status", "type_"),
    [
        ("insert_rule", {}, 400, "FirewallRuleInfoMissing"),
        ("insert_rule", {"firewall_rule_id": "there", "position": 1}, 400, "FirewallRuleInfoMissing"),
        ("insert_rule", {"firewall_rule_id": "no-uuid"}, 404, "FirewallRuleNotFound"),
        ("insert_rule", {"firewall_rule_id": MISSING}, 404, "FirewallRuleNotFound"),
        ("insert_rule", {"firewall_rule_id": "there"}, 409, "FirewallRuleAlreadyAssociated"),
        ("insert_rule", {"firewall_rule_id": "free", "insert_after": "free"}, 400,
         "FirewallRuleNotAssociatedWithPolicy"),
        ("remove_rule", {"firewall_rule_id": "free"}, 400, "FirewallRuleNotAssociatedWithPolicy"),
        ("remove_rule", {"firewall_rule_id": MISSING}, 404, "FirewallRuleNotFound"),
    ],
)  # fmt: skip
async def test_refused_moves_of_rules(member: Api, action: str, body: Json, status: int, type_: str) -> None:
    """Each with the type clients know."""
    there, free = await member.made("firewall_rule"), await member.made("firewall_rule")
    policy = await member.made("firewall_policy", firewall_rules=[there["id"]])
    known = {"there": there["id"], "free": free["id"]}

    answer = await member.put(
        f"{POLICIES}/{policy['id']}/{action}", {k: known.get(str(v), v) for k, v in body.items()}
    )

    assert error_of(answer)[:2] == (status, type_)


async def test_a_changed_rule_makes_its_policies_unaudited(member: Api) -> None:
    """And so does any change of a policy that does not say it was audited."""
    rule = await member.made("firewall_rule")
    policy = await member.made("firewall_policy", firewall_rules=[rule["id"]], audited=True)
    path = f"{POLICIES}/{policy['id']}"

    await member.put(f"{RULES}/{rule['id']}", {"firewall_rule": {"enabled": False}})
    assert not (await member.shown(path))["audited"]
    await member.put(path, {"firewall_policy": {"audited": True}})
    assert (await member.shown(path))["audited"]
    await member.put(path, {"firewall_policy": {"name": "web"}})
    assert not (await member.shown(path))["audited"]


async def test_what_is_used_stays(member: Api) -> None:
    """A rule in a policy, a policy in a group; afterwards they go."""
    rule = await member.made("firewall_rule")
    policy = await member.made("firewall_policy", firewall_rules=[rule["id"]])
    group = await member.made("firewall_group", egress_firewall_policy_id=policy["id"])

    assert error_of(await member.delete(f"{RULES}/{rule['id']}"))[:2] == (409, "FirewallRuleInUse")
    assert error_of(await member.delete(f"{POLICIES}/{policy['id']}"))[:2] == (409, "FirewallPolicyInUse")
    for path in (f"{GROUPS}/{group['id']}", f"{POLICIES}/{policy['id']}", f"{RULES}/{rule['id']}"):
        assert (await member.delete(path)).status_code == 204


async def test_sharing_is_an_administrators(api: Api, member: Api) -> None:
    """A shared policy is seen and used by others, and stays shared while they use it; its rules are shared first."""
    own = await api.made("firewall_rule")
    body: Json = {"firewall_policy": {"shared": True, "firewall_rules": [own["id"]]}}
    assert error_of(await api.post(POLICIES, body))[:2] == (404, "FirewallRuleSharingConflict")
    policy = await api.made("firewall_policy", firewall_rules=[own["id"]])
    path = f"{POLICIES}/{policy['id']}"
    share: Json = {"firewall_policy": {"shared": True}}
    assert error_of(await api.put(path, share))[:2] == (409, "FirewallPolicySharingConflict")
    assert error_of(await member.get(path))[:2] == (404, "FirewallPolicyNotFound")

    await api.put(f"{RULES}/{own['id']}", {"firewall_rule": {"shared": True}})
    assert (await api.put(path, share)).status_code == 200
    assert policy["id"] in [one["id"] for one in await member.shown(POLICIES)]
    assert (await member.shown(f"{RULES}/{own['id']}"))["shared"]
    assert error_of(await member.put(path, {"firewall_policy": {"name": "mine"}}))[0] == 403
    group = await member.made("firewall_group", ingress_firewall_policy_id=policy["id"])

    unshare: Json = {"firewall_policy": {"shared": False}}
    assert error_of(await api.put(path, unshare))[:2] == (409, "FirewallPolicyInUse")
    await member.delete(f"{GROUPS}/{group['id']}")
    assert (await api.put(path, unshare)).status_code == 200


async def test_policies_of_others_are_not_for_a_group(api: Api, member: Api) -> None:
    """They are not found; an administrator is told why."""
    policy = await api.made("firewall_policy")
    body: Json = {"ingress_firewall_policy_id": policy["id"]}
    refused = await member.post(GROUPS, {"firewall_group": body})
    assert error_of(refused)[:2] == (404, "FirewallPolicyNotFound")
    refused = await api.post(GROUPS, {"firewall_group": body | {"project_id": MEMBER_PROJECT}})
    assert error_of(refused)[:2] == (404, "FirewallPolicyConflict")
    rule = await member.made("firewall_rule")
    refused = await api.put(f"{POLICIES}/{policy['id']}/insert_rule", {"firewall_rule_id": rule["id"]})
    assert error_of(refused)[:2] == (409, "FirewallRuleConflict")


async def test_a_group_has_ports_of_routers_and_instances(api: Api) -> None:
    """Each in one group at most; others are refused, and a port that is in use keeps its group."""
    interface = await _interface(api)
    group = await api.made("firewall_group", ports=[interface])
    assert (group["ports"], group["status"]) == ([interface], "INACTIVE")
    assert [one["id"] for one in await api.shown(f"{GROUPS}?ports={interface}")] == [group["id"]]

    taken = await api.post(GROUPS, {"firewall_group": {"ports": [interface]}})
    assert error_of(taken)[:2] == (409, "FirewallGroupPortInUse")
    network = await api.a_network()
    plain = await api.a_port(network["id"])
    guest = await api.a_port(network["id"], device_owner="compute:nova", device_id="vm")
    for port, type_ in ((plain, "FirewallGroupPortInvalid"), (guest, "FirewallGroupPortNotSupported")):
        refused = await api.put(f"{GROUPS}/{group['id']}", {"firewall_group": {"ports": [port["id"]]}})
        assert error_of(refused)[:2] == (409, type_)
    assert error_of(await api.delete(f"{GROUPS}/{group['id']}"))[:2] == (409, "FirewallGroupInUse")
    missing = await api.post(GROUPS, {"firewall_group": {"ports": [MISSING]}})
    assert error_of(missing)[:2] == (404, "PortNotFound")

    changed = await api.put(f"{GROUPS}/{group['id']}", {"firewall_group": {"ports": None}})
    assert changed.json()["firewall_group"]["ports"] == []
    await api.made("firewall_group", ports=[interface])


async def test_a_port_leaves_its_group_when_it_goes(api: Api) -> None:
    """Also one that its router deletes."""
    interface = await _interface(api)
    port = await api.shown(f"/v2.0/ports/{interface}")
    group = await api.made("firewall_group", ports=[interface])

    path = f"/v2.0/routers/{port['device_id']}/remove_router_interface"
    assert (await api.put(path, {"port_id": interface})).status_code == 200

    assert (await api.shown(f"{GROUPS}/{group['id']}"))["ports"] == []


async def test_default_things_are_kept_as_they_are(api: Api, member: Api) -> None:
    """Their names are reserved, their contents the region's; an administrator may delete a group, and it comes anew."""
    [group] = await member.shown(GROUPS)
    reserved = ((GROUPS, "firewall_group", "default"), (POLICIES, "firewall_policy", "default egress"))
    for path, kind, name in reserved:
        refused = await member.post(path, {kind: {"name": name}})
        assert error_of(refused)[:2] == (409, "FirewallDefaultParameterExists")
    path = f"{GROUPS}/{group['id']}"
    for said in ({"name": "mine"}, {"admin_state_up": False}, {"egress_firewall_policy_id": None}):
        refused = await member.put(path, {"firewall_group": said})
        assert error_of(refused)[:2] == (409, "FirewallDefaultObjectUpdateRestricted")
    policy = f"{POLICIES}/{group['egress_firewall_policy_id']}"
    refused = await member.put(policy, {"firewall_policy": {"description": "mine"}})
    assert error_of(refused)[:2] == (409, "FirewallDefaultObjectUpdateRestricted")
    assert error_of(await member.delete(path))[:2] == (409, "FirewallGroupCannotRemoveDefault")
    changed = await api.put(path, {"firewall_group": {"admin_state_up": False}})
    assert changed.json()["firewall_group"]["status"] == "DOWN"

    assert (await api.delete(path)).status_code == 204
    assert len(await member.shown(RULES)) == 4
    [again] = await member.shown(GROUPS)
    assert again["id"] != group["id"]


async def test_an_administrator_sees_the_default_group_of_a_project(api: Api) -> None:
    """A list that asks for a project makes it there."""
    found: Any = await api.shown(f"{GROUPS}?project_id={MEMBER_PROJECT}")
    assert [one["project_id"] for one in found] == [MEMBER_PROJECT]
    found = await api.shown(GROUPS)
    assert sorted(one["project_id"] for one in found) == sorted([ADMIN_PROJECT, MEMBER_PROJECT])
