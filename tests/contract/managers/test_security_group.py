"""The Security Group Manager: groups, their rules, default groups, the template."""

from typing import Any

import pytest

from alcor.managers.interface import Caller
from alcor.managers.security_group.default import before_list, default_group
from alcor.managers.security_group.template import ensure_template
from alcor.model.address_group import AddressGroup
from alcor.model.default_security_group_rule import DefaultSecurityGroupRule
from alcor.model.errors import Conflict, InUse, InvalidInput, NotFound, Problem
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SECURITY_GROUP_RULE, SecurityGroupRule
from alcor.store.interface import Transaction
from tests.support.managers import (
    ADMIN,
    MEMBER,
    OTHER_PROJECT,
    PROJECT,
    STRANGER,
    Desk,
    created_values,
)

EVERYTHING_OUT = {("egress", "IPv4", None), ("egress", "IPv6", None)}


async def _rules(desk: Desk, group: SecurityGroup) -> list[SecurityGroupRule]:
    found = await desk.store.reader.list(SecurityGroupRule)
    return [rule for rule in found if rule.security_group_id == group.id]


async def _rule(desk: Desk, group: SecurityGroup, **said: Any) -> Any:
    return await desk.create(
        "security_group_rule", security_group_id=group.id, **({"direction": "ingress"} | said)
    )


async def _default(desk: Desk, project_id: str) -> SecurityGroup:
    id = (await desk.store.write(lambda tx: default_group(tx, project_id))).value
    found = await desk.store.reader.find(SecurityGroup, id)
    assert found is not None
    return found


async def test_a_group_begins_with_everything_out(desk: Desk) -> None:
    """A new group is stateful and lets everything out and nothing in."""
    group = await desk.as_caller(MEMBER).create("security_group", name="web")

    rules = await _rules(desk, group)
    assert (group.name, group.project_id, group.stateful) == ("web", PROJECT, True)
    assert {(rule.direction, rule.ethertype, rule.remote_group_id) for rule in rules} == EVERYTHING_OUT
    assert {rule.project_id for rule in rules} == {PROJECT}


async def test_a_default_group_lets_its_ports_reach_one_another(desk: Desk) -> None:
    """A project's default group has the template's rules; its own ports are the only ones let in."""
    group = await _default(desk, OTHER_PROJECT)

    rules = {(rule.direction, rule.ethertype, rule.remote_group_id) for rule in await _rules(desk, group)}
    assert (group.name, group.project_id) == ("default", OTHER_PROJECT)
    assert rules == EVERYTHING_OUT | {("ingress", "IPv4", group.id), ("ingress", "IPv6", group.id)}


async def test_a_project_has_one_default_group(desk: Desk) -> None:
    """Asking again, creating a group and creating a port find the group that is there."""
    first = await _default(desk, PROJECT)

    await desk.create("security_group", name="web")
    await desk.create("port", network_id=(await desk.create("network")).id)

    groups = await desk.store.reader.list(SecurityGroup)
    assert [group.id for group in groups if group.name == "default"] == [first.id]


async def test_who_looks_at_his_groups_has_a_default_one(desk: Desk) -> None:
    """The first look at a project's groups makes its default one; a stranger's look at it makes none."""
    await before_list(desk.store, STRANGER, [("project_id", PROJECT)])
    assert await desk.store.reader.list(SecurityGroup) == []

    await before_list(desk.store, STRANGER, [])
    await before_list(desk.store, ADMIN, [("tenant_id", PROJECT)])
    await before_list(desk.store, ADMIN, [("tenant_id", PROJECT)])

    groups = await desk.store.reader.list(SecurityGroup)
    assert sorted(group.project_id for group in groups) == [PROJECT, OTHER_PROJECT]


async def test_default_groups_of_older_regions_get_rules_once(desk: Desk) -> None:
    """A default group without rules gets the template's when the template is made, and never again."""

    async def older(tx: Transaction) -> None:
        tx.insert(SecurityGroup(id=tx.new_id(), project_id=PROJECT, name="default"))

    await desk.store.write(older)
    await desk.store.write(ensure_template)
    [group] = await desk.store.reader.list(SecurityGroup)
    rules = await _rules(desk, group)
    assert len(rules) == 4

    for rule in rules:
        await desk.delete(rule)
    await desk.store.write(ensure_template)
    assert await _rules(desk, group) == []


@pytest.mark.parametrize("name", ["default", "Default", "DEFAULT"])
async def test_no_second_default_group(desk: Desk, name: str) -> None:
    """No group is called `default` by its user, in any spelling, on create or update."""
    group = await desk.create("security_group", name="web")

    for attempt in (desk.create("security_group", name=name), desk.update(group, name=name)):
        with pytest.raises(Conflict, match="already exists") as refused:
            await attempt
        assert refused.value.problem is Problem.SG_DEFAULT_EXISTS


async def test_a_default_group_keeps_its_name(desk: Desk) -> None:
    """Its description changes, its name does not."""
    group = await _default(desk, PROJECT)

    assert (await desk.update(group, description="ours")).description == "ours"
    with pytest.raises(Conflict, match="name cannot be changed") as refused:
        await desk.update(group, name="web")
    assert refused.value.problem is Problem.SG_DEFAULT_NAME


async def test_only_an_administrator_removes_a_default_group(desk: Desk) -> None:
    """The project may not; after an administrator did it gets a new one."""
    group = await _default(desk, PROJECT)
    with pytest.raises(Conflict, match="only an administrator") as refused:
        await desk.as_caller(MEMBER).delete(group)
    assert refused.value.problem is Problem.SG_DEFAULT_STAYS

    await desk.delete(group)

    assert await desk.store.reader.list(SecurityGroupRule) == []
    assert (await _default(desk, PROJECT)).id != group.id


async def test_a_group_goes_with_its_rules_and_those_that_name_it(desk: Desk) -> None:
    """Deleting a group deletes its rules and, in other groups, the rules whose other end it is."""
    web, database = await desk.create("security_group"), await desk.create("security_group")
    await _rule(desk, database, remote_group_id=web.id)
    await _rule(desk, web, protocol="tcp")
    before = await desk.store.reader.find(SecurityGroup, database.id)
    assert before is not None

    await desk.delete(web)

    after = await desk.store.reader.find(SecurityGroup, database.id)
    assert after is not None
    assert after.revision_number == before.revision_number + 1
    assert {
        (rule.direction, rule.ethertype, rule.remote_group_id) for rule in await _rules(desk, database)
    } == (EVERYTHING_OUT)
    assert await _rules(desk, web) == []


async def test_a_group_with_ports_stays_as_it_is(desk: Desk) -> None:
    """A group with a port is neither deleted nor made stateless; what it is called may change."""
    port = await desk.create("port", network_id=(await desk.create("network")).id)
    group = await _default(desk, PROJECT)

    for attempt in (desk.delete(group), desk.update(group, stateful=False)):
        with pytest.raises(InUse, match=f"port {port.id}"):
            await attempt
    await desk.update(group, stateful=True, description="ours")
    await desk.delete(port)
    assert not (await desk.update(group, stateful=False)).stateful


async def test_a_port_is_in_groups_of_one_kind(desk: Desk) -> None:
    """Stateful and stateless groups are refused together, on create and on update; each kind by itself is fine."""
    network = await desk.create("network")
    stateful, stateless = [(await desk.create("security_group", stateful=kind)).id for kind in (True, False)]
    port = await desk.create("port", network_id=network.id, security_groups=[stateless])

    for attempt in (
        desk.create("port", network_id=network.id, security_groups=[stateful, stateless]),
        desk.update(port, security_groups=[stateless, stateful]),
    ):
        with pytest.raises(Conflict, match="both stateful and stateless") as refused:
            await attempt
        assert refused.value.problem is Problem.SG_CONFLICT
    assert (await desk.update(port, security_groups=[stateful])).security_groups == (stateful,)


async def test_a_group_shows_its_rules(desk: Desk) -> None:
    """The group's document holds each rule as the rule's own document does."""
    group = await desk.create("security_group")
    rule = await _rule(
        desk, group, protocol="tcp", port_range_min=80, port_range_max=81, remote_ip_prefix="10.0.0.9/8"
    )

    shown = (await desk.computed("security_group", "security_group_rules", [group]))[group.id]

    [last] = [one for one in shown if one["direction"] == "ingress"]
    assert len(shown) == 3
    assert (last["id"], last["project_id"], last["tenant_id"]) == (rule.id, PROJECT, PROJECT)
    assert (last["protocol"], last["port_range_min"], last["port_range_max"]) == ("tcp", 80, 81)
    assert (last["remote_ip_prefix"], last["normalized_cidr"]) == ("10.0.0.9/8", "10.0.0.0/8")
    assert (last["belongs_to_default_sg"], last["security_group_id"]) == (False, group.id)


async def test_a_rule_says_whether_its_group_is_the_default_one(desk: Desk) -> None:
    """`belongs_to_default_sg` follows the group."""
    default = await _rules(desk, await _default(desk, PROJECT))
    other = await _rules(desk, await desk.create("security_group"))

    found = await desk.computed("security_group_rule", "belongs_to_default_sg", [*default, *other])

    assert [found[rule.id] for rule in default] == [True] * 4
    assert [found[rule.id] for rule in other] == [False] * 2


async def test_a_rule_counts_as_a_change_of_its_group(desk: Desk) -> None:
    """Adding and removing a rule each add 1 to the group's revision_number."""
    group = await desk.create("security_group")

    rule = await _rule(desk, group)
    added = await desk.store.reader.find(SecurityGroup, group.id)
    await desk.delete(rule)
    removed = await desk.store.reader.find(SecurityGroup, group.id)

    assert added is not None
    assert removed is not None
    assert (added.revision_number, removed.revision_number) == (
        group.revision_number + 1,
        group.revision_number + 2,
    )


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({}, {}),
        ({"protocol": "tcp"}, {"protocol": 6}),
        ({"protocol": "icmp", "ethertype": "ipv6"}, {"protocol": "icmpv6", "ethertype": "IPv6"}),
        ({"protocol": "ipv6-icmp", "ethertype": "IPv6"}, {"protocol": 58, "ethertype": "IPv6"}),
        ({"protocol": "tcp", "port_range_min": 1, "port_range_max": 65535}, {"protocol": "TCP"}),
        ({"remote_ip_prefix": "0.0.0.0/0"}, {}),
        ({"protocol": "any"}, {"protocol": None}),
    ],
)
async def test_a_group_has_a_rule_once(desk: Desk, first: dict[str, Any], second: dict[str, Any]) -> None:
    """Two rules that let the same packets through are one, however they are written; the error names the first."""
    group = await desk.create("security_group")
    rule = await _rule(desk, group, **first)

    with pytest.raises(Conflict, match=f"already exists. Rule id is {rule.id}") as refused:
        await _rule(desk, group, **second)
    assert refused.value.problem is Problem.SG_RULE_EXISTS
    await desk.delete(rule)
    await _rule(desk, group, **second)


async def test_a_bulk_of_rules_is_of_one_group_and_project_without_repetition(desk: Desk) -> None:
    """Rules of two groups, of two projects, or the same rule twice are refused as a whole."""
    one, two = await desk.create("security_group"), await desk.create("security_group")
    rule = {"security_group_id": one.id, "direction": "ingress"}

    for many, problem in (
        ([rule, rule | {"security_group_id": two.id}], Problem.SG_MANY_GROUPS),
        ([rule, rule | {"ethertype": "IPv6", "project_id": OTHER_PROJECT}], Problem.SG_MANY_PROJECTS),
        ([rule, rule], Problem.SG_RULE_TWICE),
    ):
        with pytest.raises((InvalidInput, Conflict)) as refused:
            await desk.create_many("security_group_rule", many)
        assert refused.value.problem is problem
    made = await desk.create_many("security_group_rule", [rule, rule | {"ethertype": "IPv6"}])
    assert [row.ethertype for row in made] == ["IPv4", "IPv6"]


async def test_what_a_rule_names_is_there(desk: Desk) -> None:
    """The group, the remote group and the address group must be the caller's or shared with it."""
    mine = await desk.as_caller(MEMBER).create("security_group")
    foreign = await desk.as_caller(STRANGER).create("security_group")
    addresses = await desk.as_caller(STRANGER).create("address_group")
    missing = "0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"
    member = desk.as_caller(MEMBER)

    for said, named in (
        ({"remote_group_id": missing}, missing),
        ({"remote_group_id": foreign.id}, foreign.id),
        ({"remote_address_group_id": missing}, missing),
        ({"remote_address_group_id": addresses.id}, addresses.id),
    ):
        with pytest.raises(NotFound, match=named):
            await _rule(member, mine, **said)
    with pytest.raises(NotFound, match=foreign.id):
        await _rule(member, foreign)
    rule = await _rule(desk, mine, remote_group_id=foreign.id)
    assert rule.remote_group_id == foreign.id


async def test_ipv6_icmp_has_one_name(desk: Desk) -> None:
    """The older names and ICMP's own number are stored as IPv6's for an IPv6 rule, and as they are for IPv4."""
    group = await desk.create("security_group")

    six = await _rule(desk, group, protocol="icmpv6", ethertype="IPv6")
    await desk.delete(six)
    number = await _rule(desk, group, protocol="1", ethertype="IPv6")
    four = await _rule(desk, group, protocol="ICMP")

    assert (six.protocol, number.protocol, four.protocol) == ("ipv6-icmp", "58", "icmp")


@pytest.mark.parametrize("given", [{}, {"ethertype": "IPv6"}])
async def test_types_and_codes_of_icmp(desk: Desk, given: dict[str, str]) -> None:
    """Type alone, type and code, and zeroes are fine."""
    group = await desk.create("security_group")

    for low, high in ((3, 2), (3, 0), (8, 0), (0, 0), (11, None)):
        rule = await _rule(desk, group, protocol="icmp", port_range_min=low, port_range_max=high, **given)
        assert (rule.port_range_min, rule.port_range_max) == (low, high)


@pytest.mark.parametrize(
    ("said", "problem", "sentence"),
    [
        (
            {"protocol": "tcp", "port_range_min": 80, "port_range_max": 79},
            Problem.SG_PORT_RANGE,
            "must be <= port_range_max",
        ),
        ({"protocol": "tcp", "port_range_max": 6}, Problem.SG_PORT_RANGE, "must be <= port_range_max"),
        ({"protocol": "udp", "port_range_min": 6}, Problem.SG_PORT_RANGE, "must be <= port_range_max"),
        (
            {"protocol": "tcp", "port_range_min": 0, "port_range_max": 9},
            Problem.SG_PORT,
            "Invalid value for port 0",
        ),
        ({"port_range_min": 1, "port_range_max": 2}, Problem.SG_PROTOCOL_NEEDED, "needs a protocol"),
        (
            {"protocol": "gre", "port_range_min": 1, "port_range_max": 2},
            Problem.SG_PORT_PROTOCOL,
            "protocol gre",
        ),
        (
            {"protocol": "icmp", "port_range_min": 300, "port_range_max": 1},
            Problem.SG_ICMP_VALUE,
            "Invalid value for ICMP type",
        ),
        (
            {"protocol": "icmp", "port_range_min": 1, "port_range_max": 256},
            Problem.SG_ICMP_VALUE,
            "Invalid value for ICMP code",
        ),
        ({"protocol": "icmp", "port_range_max": 6}, Problem.SG_ICMP_TYPE_NEEDED, "is missing"),
        (
            {"protocol": "ipv6-route"},
            Problem.SG_PROTOCOL_ETHERTYPE,
            "Invalid ethertype IPv4 for protocol ipv6-route",
        ),
        ({"protocol": 58}, Problem.SG_PROTOCOL_ETHERTYPE, "Invalid ethertype IPv4 for protocol 58"),
        ({"remote_ip_prefix": "fd00::/8"}, Problem.SG_PREFIX_ETHERTYPE, "Conflicting value ethertype IPv4"),
        (
            {"remote_ip_prefix": "10.0.0.0/8", "ethertype": "IPv6"},
            Problem.SG_PREFIX_ETHERTYPE,
            "Conflicting value ethertype",
        ),
    ],
)
async def test_rules_that_make_no_sense(
    desk: Desk, said: dict[str, Any], problem: Problem, sentence: str
) -> None:
    """Each is refused with the problem clients know it by."""
    group = await desk.create("security_group")

    with pytest.raises(InvalidInput, match=sentence) as refused:
        await _rule(desk, group, **said)

    assert refused.value.problem is problem


async def test_a_rule_has_one_other_end(desk: Desk) -> None:
    """A prefix, a group and an address group exclude one another."""
    group = await desk.create("security_group")
    addresses = await desk.create("address_group")

    for said in (
        {"remote_ip_prefix": "10.0.0.0/8", "remote_group_id": group.id},
        {"remote_group_id": group.id, "remote_address_group_id": addresses.id},
    ):
        with pytest.raises(InvalidInput, match="one other end") as refused:
            await _rule(desk, group, **said)
        assert refused.value.problem is Problem.SG_REMOTES


@pytest.mark.parametrize(
    ("attribute", "value", "problem"),
    [
        ("protocol", "bad_protocol", Problem.SG_PROTOCOL),
        ("protocol", 256, Problem.SG_PROTOCOL),
        ("protocol", -1, Problem.SG_PROTOCOL),
        ("protocol", True, Problem.SG_PROTOCOL),
        ("ethertype", "bad_ethertype", Problem.SG_ETHERTYPE),
        ("ethertype", 4, Problem.SG_ETHERTYPE),
        ("port_range_min", -16, Problem.SG_PORT),
        ("port_range_max", 65536, Problem.SG_PORT),
        ("port_range_max", "many", Problem.SG_PORT),
        ("remote_ip_prefix", "bad_cidr", Problem.CIDR),
        ("remote_ip_prefix", "10.0.0.0/33", Problem.CIDR),
        ("remote_ip_prefix", 10, Problem.CIDR),
    ],
)
def test_values_no_rule_can_have(attribute: str, value: object, problem: Problem) -> None:
    """Each is refused with the problem clients know it by."""
    with pytest.raises(InvalidInput) as refused:
        created_values(SECURITY_GROUP_RULE, **{attribute: value})

    assert refused.value.problem is problem


@pytest.mark.parametrize(
    ("attribute", "said", "stored"),
    [
        ("protocol", "TCP", "tcp"),
        ("protocol", 17, "17"),
        ("protocol", "017", "17"),
        ("protocol", "any", None),
        ("ethertype", "ipv6", "IPv6"),
        ("port_range_min", "80", 80),
        ("remote_ip_prefix", "10.0.0.5", "10.0.0.5/32"),
        ("remote_ip_prefix", "10.0.0.5/24", "10.0.0.5/24"),
        ("remote_ip_prefix", "FD00::1", "fd00::1/128"),
        ("remote_ip_prefix", "", None),
        ("remote_group_id", "", None),
    ],
)
def test_spellings_become_one(attribute: str, said: object, stored: object) -> None:
    """What clients write in several ways is stored in one."""
    assert created_values(SECURITY_GROUP_RULE, **{attribute: said})[attribute] == stored


async def test_the_template_is_what_new_groups_begin_with(desk: Desk) -> None:
    """A rule of the template is in the groups of the kind it is for, and only in those made afterwards."""
    before = await desk.create("security_group")
    template = await desk.create(
        "default_security_group_rule",
        direction="ingress",
        protocol="tcp",
        port_range_min=22,
        port_range_max=22,
        used_in_default_sg=False,
        used_in_non_default_sg=True,
    )

    after = await desk.create("security_group")
    default = await _default(desk, OTHER_PROJECT)

    assert [len(await _rules(desk, group)) for group in (before, after, default)] == [2, 3, 4]
    await desk.delete(template)
    assert len(await _rules(desk, after)) == 3
    assert len(await _rules(desk, await desk.create("security_group"))) == 2


async def test_the_template_has_a_rule_once_per_use(desk: Desk) -> None:
    """The same rule may be for default groups and, separately, for others; not twice for one use."""
    said = {"direction": "ingress", "protocol": "tcp"}
    first = await desk.create("default_security_group_rule", **said)
    await desk.create(
        "default_security_group_rule", **said, used_in_default_sg=True, used_in_non_default_sg=False
    )

    with pytest.raises(Conflict, match=f"Rule id is {first.id}") as refused:
        await desk.create("default_security_group_rule", **said)
    assert refused.value.problem is Problem.SG_TEMPLATE_EXISTS
    with pytest.raises(InvalidInput, match="must be <= port_range_max"):
        await desk.create("default_security_group_rule", **said, port_range_max=1)


async def test_what_an_administrator_takes_from_the_template_stays_away(desk: Desk) -> None:
    """An empty template makes empty groups."""
    await _default(desk, PROJECT)
    for template in await desk.store.reader.list(DefaultSecurityGroupRule):
        await desk.delete(template)

    assert await _rules(desk, await desk.create("security_group")) == []
    assert await _rules(desk, await _default(desk, OTHER_PROJECT)) == []


async def test_a_template_that_names_a_group_that_is_gone_is_passed_over(desk: Desk) -> None:
    """A new group is made without the rule whose other end is no more."""
    gone = await desk.create("security_group")
    await desk.create("default_security_group_rule", direction="ingress", remote_group_id=gone.id)
    assert len(await _rules(desk, await desk.create("security_group"))) == 3

    await desk.delete(gone)

    assert len(await _rules(desk, await desk.create("security_group"))) == 2


async def test_an_address_group_keeps_each_prefix_once(desk: Desk) -> None:
    """Prefixes lose their host bits; one that is named twice is in the group once; null is none."""
    group = await desk.create("address_group", addresses=["10.0.0.5/24", "10.0.0.0/24", "FD00::/64"])

    assert group.addresses == ("10.0.0.0/24", "fd00::/64")
    assert (await desk.create("address_group", addresses=None)).addresses == ()


async def test_addresses_are_added_and_removed(desk: Desk) -> None:
    """Both actions answer with the group as it is then."""
    group = await desk.create("address_group", addresses=["10.0.0.0/24"])

    added = await desk.act(group, "add_addresses", addresses=["10.1.0.1/32", "fd00::/64"])
    removed = await desk.act(group, "remove_addresses", addresses=["10.0.0.7/24"])

    assert added["address_group"].addresses == ("10.0.0.0/24", "10.1.0.1/32", "fd00::/64")
    assert removed["address_group"].addresses == ("10.1.0.1/32", "fd00::/64")
    assert removed["address_group"].id == group.id


@pytest.mark.parametrize(
    ("action", "body", "problem", "reason"),
    [
        (
            "add_addresses",
            {"addresses": ["10.0.0.1/24"]},
            Problem.ADDRESSES_EXIST,
            "10.0.0.0/24 already exist",
        ),
        (
            "remove_addresses",
            {"addresses": ["10.9.0.0/24"]},
            Problem.ADDRESSES_MISSING,
            "10.9.0.0/24 not found",
        ),
        ("add_addresses", {"addresses": ["10.0.0.1"]}, Problem.GENERIC, "not a valid IP subnet"),
        ("add_addresses", {"addresses": "10.0.0.0/8"}, Problem.GENERIC, "not a list"),
        ("add_addresses", {}, Problem.UNKNOWN_ATTRIBUTE, "no addresses"),
        ("remove_addresses", {"addresses": [], "name": "x"}, Problem.UNKNOWN_ATTRIBUTE, "name"),
    ],
)
async def test_addresses_that_cannot_be_added_or_removed(
    desk: Desk, action: str, body: dict[str, Any], problem: Problem, reason: str
) -> None:
    """Nothing is changed by a request that is refused."""
    group = await desk.create("address_group", addresses=["10.0.0.0/24"])

    with pytest.raises((InvalidInput, Conflict), match=reason) as refused:
        await desk.act(group, action, **body)

    assert refused.value.problem is problem
    assert await desk.store.reader.find(AddressGroup, group.id) == group


async def test_an_address_group_that_a_rule_names_stays(desk: Desk) -> None:
    """It goes when the rule is gone."""
    addresses = await desk.create("address_group")
    rule = await _rule(desk, await desk.create("security_group"), remote_address_group_id=addresses.id)

    with pytest.raises(InUse, match=f"security group rule {rule.id}"):
        await desk.delete(addresses)
    await desk.delete(rule)
    await desk.delete(addresses)


async def test_what_is_shared_may_be_named_and_stays_shared(desk: Desk) -> None:
    """A policy lets another project name a group; it stays while a rule or port of that project does so."""
    friend = Caller("f" * 32, is_admin=False)
    addresses = await desk.create("address_group")
    policy = await desk.create(
        "rbac_policy",
        object_type="address_group",
        object_id=addresses.id,
        target_tenant=friend.project_id,
        action="access_as_shared",
    )
    group = await desk.as_caller(friend).create("security_group")
    rule = await _rule(desk.as_caller(friend), group, remote_address_group_id=addresses.id)

    with pytest.raises(Conflict, match=rule.id) as refused:
        await desk.delete(policy)
    assert refused.value.problem is Problem.RBAC_POLICY_IN_USE
    await desk.delete(rule)
    await desk.delete(addresses)
    with pytest.raises(NotFound):
        await desk.delete(policy)
