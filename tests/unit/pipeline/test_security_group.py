"""What security groups cost, and what closes them."""

import msgspec
import pytest

from alcor.goalstate.item import LocalPort, key_of
from alcor.goalstate.scope import host_scope, members_scope, rules_scope
from alcor.goalstate.security_item import GroupRule, Member, RulesItem
from alcor.pipeline.compile import affected, flows, unit_flows, unit_rules
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.pick_up import arrival_unit
from alcor.pipeline.security_policy import policy_unit, set_hash
from alcor.pipeline.tables import Table, UnitKind
from alcor.pipeline.unit import port_unit
from tests.support.packet_cases import STANDARD
from tests.support.packet_site import Fabric

MEMBERS = 2_000
WEB = ("web",)


@pytest.fixture
def fabric() -> Fabric:
    """Red's first port of h1 is in group web, whose ten rules let in members of a group of 2,000."""
    fabric = Fabric(STANDARD)
    view = fabric.views["h1"]
    view.ports["red-1"] = msgspec.structs.replace(view.ports["red-1"], groups=WEB)
    rules = [
        GroupRule(id=f"r{n}", is_ingress=True, ip_version=4, protocol=6, first=n, last=n, group="big")
        for n in range(80, 90)
    ]
    view.rules["web"] = RulesItem(id="web", stateful=True, rules=tuple(rules))
    view.members["big"] = {f"m{n}": member(n) for n in range(MEMBERS)}
    return fabric


def member(n: int) -> Member:
    """A member with one address."""
    return Member(id=f"m{n}", cidrs=(f"10.8.{n >> 8}.{n & 255}/32",))


def test_a_member_more_is_one_flow(fabric: Fabric) -> None:
    """Whatever the size of the group and the number of rules about it, the host gets one flow more."""
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    before = flows(view, allocation)
    new = member(MEMBERS)
    view.members["big"][new.id] = new

    touched = affected(ItemChange(members_scope("big"), key_of(new), None, new), view)

    assert len(touched) == 1
    assert len(flows(view, allocation)) == len(before) + 1


def test_a_rule_more_about_a_set_in_use_leaves_its_members_alone(fabric: Fabric) -> None:
    """Only the policy is computed anew, and what a port that has just arrived may still do."""
    view = fabric.views["h1"]
    before = view.rules["web"]
    more = GroupRule(id="s", is_ingress=True, ip_version=4, protocol=17, first=53, last=53, group="big")
    view.rules["web"] = after = msgspec.structs.replace(before, rules=(*before.rules, more))

    touched = affected(ItemChange(rules_scope("web"), key_of(after), before, after), view)

    assert touched == {policy_unit(WEB), arrival_unit("red-1")}


def test_a_further_port_with_the_same_groups_adds_no_rules(fabric: Fabric) -> None:
    """Rules are there once for all ports with the same groups, and so are the members."""
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    before = flows(view, allocation)
    old = view.ports["red-2"]
    view.ports["red-2"] = new = msgspec.structs.replace(old, groups=WEB)

    touched = affected(ItemChange(host_scope("h1"), key_of(new), old, new), view)

    about = {UnitKind.POLICY, UnitKind.SET}
    assert {unit for unit in touched if unit.kind in about} == {
        policy_unit(WEB),
        policy_unit(old.groups or ()),
    }
    ours = {Table.INGRESS_RULES, Table.INGRESS_SET}
    assert {key for key in flows(view, allocation) if key.table in ours} == {
        key for key in before if key.table in ours
    }


@pytest.mark.parametrize("groups", [None, ("web", "gone")])
def test_a_port_whose_groups_are_not_known_is_closed(fabric: Fabric, groups: tuple[str, ...] | None) -> None:
    """It is neither tracked nor let past, in both directions."""
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    port: LocalPort = view.ports["red-1"]
    view.ports["red-1"] = msgspec.structs.replace(port, groups=groups)

    found = unit_flows(port_unit("red-1"), view, allocation)

    assert not {flow.table for flow in found} & {Table.EGRESS_CT, Table.INGRESS_CT}
    assert unit_flows(policy_unit(groups or ()), view, allocation) == ()


def test_a_flow_of_a_rule_names_it(fabric: Fabric) -> None:
    """Whoever asks why a packet passed is told the rule."""
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]

    told = {rule.about for rule in unit_rules(policy_unit(WEB), view, allocation)}

    assert told == {f"r{n}" for n in range(80, 90)}


def test_sets_keep_their_name_for_ever() -> None:
    """An agent that is started anew, of whatever release, changes no flow."""
    assert set_hash(members_scope("11111111-2222-3333-4444-555555555555")) == (0x3BB74F89, 0x2E2600EF)
