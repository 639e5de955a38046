"""What closes a subnet."""

from alcor.goalstate.security_item import AclRule, NetworkAclItem
from alcor.pipeline.compile import unit_flows, unit_rules
from alcor.pipeline.network_acl import RULES_FROM, acl_unit
from alcor.pipeline.tables import Table
from tests.support.packet_cases import STANDARD
from tests.support.packet_site import Fabric

ALLOW = AclRule(id="r", number=7, is_ingress=True, is_allow=True, ip_version=4, prefix="0.0.0.0/0")


def acl(id: str) -> NetworkAclItem:
    """An ACL for one subnet, with one rule."""
    return NetworkAclItem(id=id, cidrs=("10.0.0.0/24",), rules=(ALLOW,))


def test_a_subnet_of_two_acls_is_closed() -> None:
    """While knowledge is in transit nobody can say which of them holds, so neither allows anything."""
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    view.networks["red"].acls.update({id: acl(id) for id in ("a", "b")})

    found = [rule for id in ("a", "b") for rule in unit_rules(acl_unit("red", id), view, allocation)]

    assert found
    assert all(not rule.about for rule in found)


def test_a_rules_place_is_its_number() -> None:
    """The lowest number has the highest priority, and tells its id."""
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    view.networks["red"].acls["a"] = acl("a")

    rules = [rule for rule in unit_rules(acl_unit("red", "a"), view, allocation) if rule.about]

    assert [(rule.table, rule.priority, rule.about) for rule in rules] == [
        (Table.ACL_IN, RULES_FROM - 7, "r")
    ]


def test_an_acl_of_a_network_that_is_not_live_has_no_flows() -> None:
    """Nor has one that is gone."""
    fabric = Fabric(STANDARD.but("red", admin_state_up=False))
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    view.networks["red"].acls["a"] = acl("a")

    assert unit_flows(acl_unit("red", "a"), view, allocation) == ()
    assert unit_flows(acl_unit("blue", "a"), view, allocation) == ()
