"""Security groups, address groups, QoS and RBAC through the API, as clients meet them."""

from typing import Any

import pytest

from tests.support.api import MEMBER_PROJECT, Api, Json, error_of

GROUPS, RULES = "/v2.0/security-groups", "/v2.0/security-group-rules"
MISSING = "0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


async def _create_rule(api: Api, group: Json, **said: Any) -> Any:
    body = {"security_group_id": group["id"], "direction": "ingress"} | said
    return await api.post(RULES, {"security_group_rule": body})


async def _named(api: Api, path: str, member: str = "id") -> list[str]:
    found = await api.shown(path)
    return [one[member] for one in found]


async def test_a_project_finds_its_default_group_at_the_first_look(member: Api) -> None:
    """The first list has the group `default` with its four rules, the second the same one."""
    [group] = await member.shown(GROUPS)

    assert (group["name"], group["project_id"], group["tenant_id"]) == (
        "default",
        MEMBER_PROJECT,
        MEMBER_PROJECT,
    )
    assert (group["stateful"], group["shared"], group["tags"]) == (True, False, [])
    assert len(group["security_group_rules"]) == 4
    assert await _named(member, GROUPS) == [group["id"]]


async def test_the_first_look_at_rules_makes_it_as_well(member: Api) -> None:
    """The rules of a project that was never seen are those of its default group."""
    rules = await member.shown(RULES)

    assert [rule["belongs_to_default_sg"] for rule in rules] == [True] * 4


async def test_a_rule_shows_every_attribute(member: Api) -> None:
    """What a client said, what it means, and nulls for what it did not say; the same inside the group."""
    group = await member.made("security_group", name="web")

    answer = await _create_rule(
        member, group, protocol="TCP", port_range_min=80, port_range_max="81", remote_ip_prefix="10.0.0.9/24"
    )

    rule = answer.json()["security_group_rule"]
    expected = {
        "security_group_id": group["id"],
        "direction": "ingress",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "port_range_min": 80,
        "port_range_max": 81,
        "remote_ip_prefix": "10.0.0.9/24",
        "normalized_cidr": "10.0.0.0/24",
        "remote_group_id": None,
        "remote_address_group_id": None,
        "belongs_to_default_sg": False,
        "description": "",
        "revision_number": 0,
        "project_id": MEMBER_PROJECT,
        "tenant_id": MEMBER_PROJECT,
    }
    assert answer.status_code == 201
    assert {name: rule[name] for name in expected} == expected
    inside = (await member.shown(f"{GROUPS}/{group['id']}"))["security_group_rules"]
    assert rule in inside
    assert rule == await member.shown(f"{RULES}/{rule['id']}")


@pytest.mark.parametrize(
    ("said", "status", "type_", "sentence"),
    [
        ({"protocol": "bad"}, 400, "SecurityGroupRuleInvalidProtocol", "protocol bad not supported"),
        ({"ethertype": "bad"}, 400, "SecurityGroupRuleInvalidEtherType", "'bad' not supported"),
        ({"direction": "up"}, 400, "InvalidInput", "'up' is not in"),
        ({"remote_ip_prefix": "bad"}, 400, "InvalidCIDR", "Invalid CIDR bad"),
        ({"protocol": "tcp", "port_range_min": -16, "port_range_max": 80}, 400, "SecurityGroupInvalidPortValue",
         "Invalid value for port -16"),
        ({"protocol": "tcp", "port_range_min": 80, "port_range_max": 79}, 400, "SecurityGroupInvalidPortRange",
         "port_range_min must be <= port_range_max"),
        ({"protocol": "icmp", "port_range_min": 1, "port_range_max": 256}, 400, "SecurityGroupInvalidIcmpValue",
         "Invalid value for ICMP code"),
        ({"protocol": "icmp", "port_range_max": 6}, 400, "SecurityGroupMissingIcmpType",
         "ICMP type (port-range-min) is missing"),
        ({"protocol": "ah", "port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupInvalidProtocolForPort",
         "Ports cannot be given"),
        ({"port_range_min": 1, "port_range_max": 2}, 400, "SecurityGroupProtocolRequiredWithPorts", "needs a protocol"),
        ({"ethertype": "IPv6", "remote_ip_prefix": "10.0.0.0/8"}, 400, "SecurityGroupRuleParameterConflict",
         "Conflicting value ethertype"),
        ({"protocol": "ipv6-frag"}, 400, "SecurityGroupEthertypeConflictWithProtocol", "only IPv6 has"),
        ({"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": MISSING}, 400, "SecurityGroupMultipleRemoteEntites",
         "one other end"),
        ({"remote_group_id": MISSING}, 404, "SecurityGroupNotFound", MISSING),
        ({"remote_address_group_id": MISSING}, 404, "AddressGroupNotFound", MISSING),
        ({"security_group_id": MISSING}, 404, "SecurityGroupNotFound", MISSING),
    ],
)  # fmt: skip
async def test_refused_rules_have_the_types_clients_know(
    member: Api, said: Json, status: int, type_: str, sentence: str
) -> None:
    """Status, `NeutronError.type` and the words clients look for."""
    group = await member.made("security_group")

    found = error_of(await _create_rule(member, group, **said))

    assert found[:2] == (status, type_)
    assert sentence in found[2]


async def test_a_rule_twice_is_a_conflict(member: Api) -> None:
    """In two requests and in one."""
    group = await member.made("security_group")
    rule = (await _create_rule(member, group)).json()["security_group_rule"]
    body = {"security_group_id": group["id"], "direction": "ingress", "protocol": "udp"}

    again = error_of(await _create_rule(member, group))
    both = error_of(await member.post(RULES, {"security_group_rules": [body, body]}))

    assert again[:2] == (409, "SecurityGroupRuleExists")
    assert rule["id"] in again[2]
    assert both[:2] == (409, "DuplicateSecurityGroupRuleInPost")
    made = await member.post(RULES, {"security_group_rules": [body, body | {"ethertype": "IPv6"}]})
    assert made.status_code == 201
    assert len(made.json()["security_group_rules"]) == 2


async def test_default_groups_are_not_named_removed_or_doubled(member: Api, api: Api) -> None:
    """Each refusal is a conflict with a type of its own; an administrator may remove one."""
    [group] = await member.shown(GROUPS)
    other = await member.made("security_group", name="web")
    path = f"{GROUPS}/{group['id']}"

    assert error_of(await member.post(GROUPS, {"security_group": {"name": "default"}}))[:2] == (
        409, "SecurityGroupDefaultAlreadyExists",
    )  # fmt: skip
    assert error_of(await member.put(f"{GROUPS}/{other['id']}", {"security_group": {"name": "default"}}))[:2] == (
        409, "SecurityGroupDefaultAlreadyExists",
    )  # fmt: skip
    assert error_of(await member.put(path, {"security_group": {"name": "web"}}))[:2] == (
        409, "SecurityGroupCannotUpdateDefault",
    )  # fmt: skip
    assert error_of(await member.delete(path))[:2] == (409, "SecurityGroupCannotRemoveDefault")
    assert (await api.delete(path)).status_code == 204


async def test_a_group_in_use_is_a_conflict(member: Api) -> None:
    """A group with a port is not deleted; the port's groups are shown."""
    network = await member.a_network()
    group = await member.made("security_group")
    port = await member.a_port(network["id"], security_groups=[group["id"]])

    assert port["security_groups"] == [group["id"]]
    assert error_of(await member.delete(f"{GROUPS}/{group['id']}"))[:2] == (409, "SecurityGroupInUse")
    await member.delete(f"/v2.0/ports/{port['id']}")
    assert (await member.delete(f"{GROUPS}/{group['id']}")).status_code == 204


async def test_groups_and_rules_of_others_are_not_there(member: Api, api: Api) -> None:
    """Neither listed nor shown nor changed; an administrator sees them."""
    group = await api.made("security_group")
    rule = (await _create_rule(api, group)).json()["security_group_rule"]

    assert (await member.get(f"{GROUPS}/{group['id']}")).status_code == 404
    assert (await member.get(f"{RULES}/{rule['id']}")).status_code == 404
    assert (await member.delete(f"{RULES}/{rule['id']}")).status_code == 404
    assert group["id"] not in await _named(member, GROUPS)
    assert rule["id"] not in await _named(member, RULES)
    assert rule["id"] in await _named(api, RULES)


async def test_rules_of_ones_groups_are_seen_whoever_made_them(member: Api, api: Api) -> None:
    """An administrator's rule in a project's group is the project's to see and to remove."""
    group = await member.made("security_group")
    rule = (await _create_rule(api, group, protocol="tcp")).json()["security_group_rule"]

    assert rule["project_id"] != MEMBER_PROJECT
    assert await _named(member, f"{RULES}?protocol=TCP") == [rule["id"]]
    assert (await member.delete(f"{RULES}/{rule['id']}")).status_code == 204


async def test_rules_are_not_changed(member: Api) -> None:
    """There is no update of a rule."""
    group = await member.made("security_group")
    rule = (await _create_rule(member, group)).json()["security_group_rule"]

    answer = await member.put(f"{RULES}/{rule['id']}", {"security_group_rule": {"description": "x"}})

    assert answer.status_code == 405


async def test_a_shared_group_is_seen_and_used(member: Api, api: Api) -> None:
    """A policy opens a group: the other project lists it as shared and may put its ports in it; then it stays."""
    group = await api.made("security_group", name="shared")
    policy = await api.made(
        "rbac_policy",
        object_type="security_group",
        object_id=group["id"],
        target_tenant=MEMBER_PROJECT,
        action="access_as_shared",
    )

    assert await _named(member, f"{GROUPS}?shared=True", "name") == ["shared"]
    network = await member.a_network()
    port = await member.a_port(network["id"], security_groups=[group["id"]])
    found = error_of(await api.delete(f"/v2.0/rbac-policies/{policy['id']}"))
    assert found[:2] == (409, "RbacPolicyInUse")
    assert port["id"] in found[2]


async def test_only_administrators_open_things_to_all(member: Api, api: Api) -> None:
    """A project names another project; `*` is refused by policy; a second policy of the same kind is a conflict."""
    network = await member.a_network()
    said = {"object_type": "network", "object_id": network["id"], "action": "access_as_shared"}
    path = "/v2.0/rbac-policies"

    policy = await member.made("rbac_policy", **said, target_tenant="c" * 32)
    wildcard = await member.post(path, {"rbac_policy": said | {"target_tenant": "*"}})
    moved = await member.put(f"{path}/{policy['id']}", {"rbac_policy": {"target_tenant": "*"}})
    twice = await member.post(path, {"rbac_policy": said | {"target_tenant": "c" * 32}})

    assert wildcard.status_code == 403
    assert moved.status_code == 403
    assert error_of(twice)[:2] == (409, "DuplicateRbacPolicy")
    assert (
        await api.put(f"{path}/{policy['id']}", {"rbac_policy": {"target_tenant": "*"}})
    ).status_code == 200


@pytest.mark.parametrize(
    ("said", "type_"),
    [
        ({"target_tenant": "short"}, "InvalidInput"),
        ({"target_tenant": None}, "InvalidInput"),
        ({"object_type": "port"}, "InvalidInput"),
        ({"object_id": MISSING}, "InvalidInput"),
        ({"action": "access_as_friend"}, "InvalidActionForType"),
    ],
)
async def test_refused_policies(member: Api, said: Json, type_: str) -> None:
    """Each is a bad request of the type clients know."""
    network = await member.a_network()
    policy = {
        "object_type": "network",
        "object_id": network["id"],
        "action": "access_as_shared",
        "target_tenant": "c" * 32,
    }

    found = error_of(await member.post("/v2.0/rbac-policies", {"rbac_policy": policy | said}))

    assert found[:2] == (400, type_)


async def test_address_groups(member: Api) -> None:
    """Made, grown, shrunk and kept while a rule names them."""
    path = "/v2.0/address-groups"
    group = await member.made("address_group", name="offices", addresses=["10.0.0.0/24"])
    one = f"{path}/{group['id']}"

    grown = await member.put(f"{one}/add_addresses", {"addresses": ["fd00::/64"]})
    assert grown.json()["address_group"]["addresses"] == ["10.0.0.0/24", "fd00::/64"]
    assert error_of(await member.put(f"{one}/add_addresses", {"addresses": ["fd00::/64"]}))[:2] == (
        400, "AddressesAlreadyExist",
    )  # fmt: skip
    assert error_of(await member.put(f"{one}/remove_addresses", {"addresses": ["fd01::/64"]}))[:2] == (
        404, "AddressesNotFound",
    )  # fmt: skip
    assert (await member.put(one, {"address_group": {"addresses": []}})).status_code == 400
    web = await member.made("security_group")
    rule = (await _create_rule(member, web, remote_address_group_id=group["id"])).json()[
        "security_group_rule"
    ]
    assert error_of(await member.delete(one))[:2] == (409, "AddressGroupInUse")
    await member.delete(f"{RULES}/{rule['id']}")
    assert (await member.delete(one)).status_code == 204


async def test_everybody_reads_the_template_and_administrators_write_it(member: Api, api: Api) -> None:
    """Four rules from the start; a rule of a project's groups follows what an administrator adds."""
    path = "/v2.0/default-security-group-rules"
    assert sorted(await _named(member, path, "direction")) == ["egress", "egress", "ingress", "ingress"]
    said = {
        "direction": "ingress",
        "protocol": "icmp",
        "used_in_default_sg": False,
        "used_in_non_default_sg": True,
    }

    assert (await member.post(path, {"default_security_group_rule": said})).status_code == 403
    await api.made("default_security_group_rule", **said)

    group = await member.made("security_group")
    assert "icmp" in [rule["protocol"] for rule in group["security_group_rules"]]
    twice = error_of(await api.post(path, {"default_security_group_rule": said}))
    assert twice[:2] == (409, "DefaultSecurityGroupRuleExists")


async def test_qos_policies_and_their_rules(api: Api) -> None:
    """Rules are made inside their policy and shown in it; conflicts have the types clients know."""
    policy = await api.made("qos_policy", name="gold", shared=True)
    path = f"/v2.0/qos/policies/{policy['id']}"
    limits = f"{path}/bandwidth_limit_rules"

    made = await api.post(limits, {"bandwidth_limit_rule": {"max_kbps": 1000}})
    rule = made.json()["bandwidth_limit_rule"]
    assert made.status_code == 201
    assert rule == {"id": rule["id"], "max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"}
    assert await api.shown(limits) == [rule]
    assert (await api.shown(path))["rules"] == [
        rule | {"type": "bandwidth_limit", "qos_policy_id": policy["id"]}
    ]
    again = await api.post(limits, {"bandwidth_limit_rule": {"max_kbps": 1}})
    assert error_of(again)[:2] == (409, "QoSRulesConflict")
    above = await api.post(f"{path}/minimum_bandwidth_rules", {"minimum_bandwidth_rule": {"min_kbps": 1001}})
    assert error_of(above)[:2] == (409, "QoSRuleParameterConflict")
    changed = await api.put(f"{limits}/{rule['id']}", {"bandwidth_limit_rule": {"max_kbps": 2000}})
    assert changed.json()["bandwidth_limit_rule"]["max_kbps"] == 2000
    by_id = f"/v2.0/qos/alias-bandwidth-limit-rules/{rule['id']}"
    assert (await api.shown(by_id))["max_kbps"] == 2000
    assert (await api.delete(by_id)).status_code == 204
    assert error_of(await api.get(f"{limits}/{rule['id']}"))[:2] == (404, "QosRuleNotFound")
    assert error_of(await api.get(f"/v2.0/qos/policies/{MISSING}"))[:2] == (404, "QosPolicyNotFound")


async def test_members_use_shared_policies_and_make_none(member: Api, api: Api) -> None:
    """A member sees a shared policy and its rules and gives it to its ports; making one is a manager's right."""
    policy = await api.made("qos_policy", shared=True)
    path = f"/v2.0/qos/policies/{policy['id']}"
    await api.post(f"{path}/dscp_marking_rules", {"dscp_marking_rule": {"dscp_mark": 46}})

    assert (await member.post("/v2.0/qos/policies", {"policy": {"name": "mine"}})).status_code == 403
    assert (await member.shown(path))["shared"] is True
    [rule] = await member.shown(f"{path}/dscp_marking_rules")
    assert (await member.delete(f"{path}/dscp_marking_rules/{rule['id']}")).status_code == 403
    network = await member.a_network(qos_policy_id=policy["id"])
    assert error_of(await api.delete(path))[:2] == (409, "QosPolicyInUse")
    unshared = await api.put(path, {"policy": {"shared": False}})
    assert error_of(unshared)[:2] == (409, "RbacPolicyInUse")
    await member.delete(f"/v2.0/networks/{network['id']}")
    assert (await api.put(path, {"policy": {"shared": False}})).json()["policy"]["shared"] is False
    assert (await member.get(path)).status_code == 404


async def test_rule_types(member: Api, api: Api) -> None:
    """Everybody lists them; details are an administrator's."""
    path = "/v2.0/qos/rule-types"

    assert "bandwidth_limit" in await _named(member, f"{path}?all_supported=True", "type")
    assert (await member.get(f"{path}/bandwidth_limit")).status_code == 403
    assert (await api.shown(f"{path}/bandwidth_limit"))["type"] == "bandwidth_limit"


async def test_clients_find_the_extensions(member: Api) -> None:
    """Each alias is listed once."""
    aliases = await _named(member, "/v2.0/extensions", "alias")

    for alias in (
        "security-group", "stateful-security-group", "security-groups-shared-filtering", "rbac-policies",
        "security-groups-normalized-cidr", "security-groups-remote-address-group", "security-groups-default-rules",
        "security-groups-rules-belongs-to-default-sg", "rbac-security-groups", "rbac-address-group", "address-group",
        "qos", "qos-default", "qos-bw-limit-direction", "qos-bw-minimum-ingress", "qos-pps", "qos-pps-minimum",
        "logging", "qos-pps-minimum-rule-alias", "qos-rules-alias", "qos-rule-type-details", "qos-rule-type-filter",
    ):  # fmt: skip
        assert aliases.count(alias) == 1, alias


async def test_logs(member: Api, api: Api) -> None:
    """Logs are a manager's: an administrator makes, changes and removes them, a member does not see them."""
    path = "/v2.0/log/logs"
    group = await api.made("security_group")
    log = await api.made("log", resource_type="security_group", resource_id=group["id"], event="DROP")

    assert (log["event"], log["enabled"], log["target_id"]) == ("DROP", True, None)
    assert (await api.put(f"{path}/{log['id']}", {"log": {"enabled": False}})).json()["log"][
        "enabled"
    ] is False
    bad = error_of(await api.post(path, {"log": {"resource_type": "router"}}))
    gone = error_of(
        await api.post(path, {"log": {"resource_type": "security_group", "resource_id": MISSING}})
    )
    assert bad[:2] == (400, "InvalidLogResourceType")
    assert gone[:2] == (404, "ResourceNotFound")
    assert await _named(api, "/v2.0/log/loggable-resources", "type") == ["security_group"]
    assert (await member.get("/v2.0/log/loggable-resources")).status_code == 403
    assert (await member.get(f"{path}/{log['id']}")).status_code == 404
    assert (await api.delete(f"{GROUPS}/{group['id']}")).status_code == 204
    assert error_of(await api.get(f"{path}/{log['id']}"))[:2] == (404, "LogResourceNotFound")
