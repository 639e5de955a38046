"""QoS: policies, their rules, and what may stand beside what."""

from typing import Any

import pytest

from alcor.managers.interface import Ask, Caller, Route, Service
from alcor.managers.qos.policy import find_default
from alcor.managers.registry import managers
from alcor.managers.sharing import may_use
from alcor.model.errors import Conflict, Forbidden, InUse, InvalidInput, NotFound, Problem
from alcor.model.floatingip import FloatingIp
from alcor.model.qos_policy import QosPolicy
from alcor.model.qos_rule import (
    DSCP_MARKING_RULE,
    QOS_RULES,
    BandwidthLimitRule,
    MinimumPacketRateRule,
)
from alcor.model.router import Router
from alcor.store.interface import Store, Transaction
from tests.support.managers import (
    ADMIN,
    MEMBER,
    OTHER_PROJECT,
    PROJECT,
    STRANGER,
    Desk,
    created_values,
)


async def _rule(desk: Desk, policy: QosPolicy, type_: str, **said: Any) -> Any:
    """Add a rule as the engine does: the path names the policy."""
    manager = desk.manager(f"qos_{type_}_rule")
    create = manager.create
    assert create is not None
    values = created_values(manager.resource, **said) | {"qos_policy_id": policy.id}
    made = (await desk.store.write(lambda tx: create(tx, desk.caller, [values]))).value
    return made[0].row


def _route(method: str, path: str) -> Route:
    routes = [route for one in managers() if isinstance(one, Service) for route in one.routes]
    [found] = [route for route in routes if (route.method, route.path) == (method, f"/v2.0/qos/{path}")]
    return found


async def _ask(
    store: Store, method: str, path: str, *, caller: Caller = ADMIN, body: Any = None, **names: str
) -> Any:
    return await _route(method, path).answer(store, Ask(caller, names, body, []))


async def test_a_policy_begins_without_rules(desk: Desk) -> None:
    """It is its project's, not shared, and not the default."""
    policy = await desk.as_caller(MEMBER).create("qos_policy", name="gold")

    rules = await desk.computed("qos_policy", "rules", [policy])
    assert (policy.name, policy.project_id, policy.is_default) == ("gold", PROJECT, False)
    assert rules == {policy.id: []}
    assert not await may_use(desk.store.reader, STRANGER, policy)


async def test_a_policy_shows_its_rules_of_every_type(desk: Desk) -> None:
    """Each with its type, its values and its policy."""
    policy = await desk.create("qos_policy")
    limit = await _rule(desk, policy, "bandwidth_limit", max_kbps=1000)
    mark = await _rule(desk, policy, "dscp_marking", dscp_mark=46)
    await _rule(desk, policy, "minimum_bandwidth", min_kbps=1000)
    await _rule(desk, policy, "packet_rate_limit", max_kpps=5)
    await _rule(desk, policy, "minimum_packet_rate", min_kpps=5, direction="any")

    shown = (await desk.computed("qos_policy", "rules", [policy]))[policy.id]

    assert [rule["type"] for rule in shown] == list(QOS_RULES)
    assert shown[0] == {
        "id": limit.id,
        "qos_policy_id": policy.id,
        "max_kbps": 1000,
        "max_burst_kbps": 0,
        "direction": "egress",
        "type": "bandwidth_limit",
    }
    assert shown[1] == {"id": mark.id, "qos_policy_id": policy.id, "dscp_mark": 46, "type": "dscp_marking"}


async def test_shared_opens_a_policy_to_all(desk: Desk) -> None:
    """`shared` on create and on update; it stays while another project uses the policy."""
    policy = await desk.create("qos_policy", shared=True)
    assert await may_use(desk.store.reader, STRANGER, policy)
    network = await desk.as_caller(STRANGER).create("network", qos_policy_id=policy.id)

    with pytest.raises(Conflict, match=f"network {network.id} of project {OTHER_PROJECT}") as refused:
        await desk.update(policy, shared=False)
    assert refused.value.problem is Problem.RBAC_POLICY_IN_USE
    await desk.delete(network)
    await desk.update(policy, shared=False, name="mine")
    assert not await may_use(desk.store.reader, STRANGER, policy)


async def test_a_project_has_one_default_policy(desk: Desk) -> None:
    """A second is refused, on create and update, until the first is none or gone; other projects have theirs."""
    first = await desk.create("qos_policy", is_default=True)
    second = await desk.create("qos_policy")
    await desk.as_caller(STRANGER).create("qos_policy", is_default=True)

    for attempt in (desk.create("qos_policy", is_default=True), desk.update(second, is_default=True)):
        with pytest.raises(Conflict, match=f"exists for project {PROJECT}") as refused:
            await attempt
        assert refused.value.problem is Problem.QOS_DEFAULT_EXISTS
    await desk.update(first, is_default=True, name="same")
    await desk.update(first, is_default=False)
    second = await desk.update(second, is_default=True)
    found = await desk.store.write(lambda tx: find_default(tx, PROJECT))
    assert found.value == second.id
    await desk.delete(second)
    assert (await desk.store.write(lambda tx: find_default(tx, PROJECT))).value is None


async def test_new_networks_have_the_default_policy(desk: Desk) -> None:
    """Of their project, unless they name another; afterwards a network has what it is given."""
    default = await desk.create("qos_policy", is_default=True)
    other = await desk.create("qos_policy")

    networks = await desk.create_many("network", [{}, {"qos_policy_id": None}, {"qos_policy_id": other.id}])
    foreign = await desk.as_caller(STRANGER).create("network")

    found = [network.qos_policy_id for network in (*networks, foreign)]
    assert found == [default.id, default.id, other.id, None]
    assert (await desk.update(networks[0], qos_policy_id=None)).qos_policy_id is None
    assert (await desk.update(networks[0], name="red")).qos_policy_id is None


async def test_a_network_has_a_policy_its_project_may_use(desk: Desk) -> None:
    """Another project's is not there; one an administrator gave is not the project's to take away."""
    policy = await desk.create("qos_policy")
    stranger = desk.as_caller(STRANGER)
    network = await stranger.create("network")

    for attempt in (
        stranger.create("network", qos_policy_id=policy.id),
        stranger.update(network, qos_policy_id=policy.id),
    ):
        with pytest.raises(NotFound, match=policy.id):
            await attempt
    await desk.update(network, qos_policy_id=policy.id)
    assert (await stranger.update(network, qos_policy_id=policy.id, name="red")).name == "red"
    with pytest.raises(Forbidden, match="who alone may take it away"):
        await stranger.update(network, qos_policy_id=None)
    await desk.update(policy, shared=True)
    assert (await stranger.update(network, qos_policy_id=None)).qos_policy_id is None


async def test_a_policy_goes_with_its_rules(desk: Desk) -> None:
    """Nothing of it is left, and nobody's right to it."""
    policy = await desk.create("qos_policy", shared=True)
    await _rule(desk, policy, "bandwidth_limit", max_kbps=1000)

    await desk.delete(policy)

    assert await desk.store.reader.list(BandwidthLimitRule) == []
    assert not await may_use(desk.store.reader, STRANGER, policy)


async def test_a_policy_in_use_stays(desk: Desk) -> None:
    """A network, a port, a floating IP and a router's gateway each keep it; the error names them."""
    policy = await desk.create("qos_policy")
    network = await desk.create("network")
    outer = await desk.create("port", network_id=network.id)

    async def used_by(make: Any) -> None:
        user = (await desk.store.write(make)).value
        with pytest.raises(InUse, match=user.id):
            await desk.delete(policy)

        async def remove(tx: Transaction) -> None:
            tx.delete(await tx.get(type(user), user.id))

        await desk.store.write(remove)

    async def floating(tx: Transaction) -> FloatingIp:
        row = FloatingIp(
            id=tx.new_id(),
            floating_network_id=network.id,
            floating_ip_address="203.0.113.1",
            floating_port_id=outer.id,
            qos_policy_id=policy.id,
        )
        tx.insert(row)
        return row

    async def router(tx: Transaction) -> Router:
        row = Router(id=tx.new_id(), gateway_qos_policy_id=policy.id)
        tx.insert(row)
        return row

    await used_by(floating)
    await used_by(router)
    port = await desk.create("port", network_id=network.id, qos_policy_id=policy.id)
    with pytest.raises(InUse, match=f"port {port.id}"):
        await desk.delete(policy)
    await desk.update(port, qos_policy_id=None)
    await desk.update(network, qos_policy_id=policy.id)
    with pytest.raises(InUse, match=f"network {network.id}"):
        await desk.delete(policy)
    await desk.update(network, qos_policy_id=None)
    await desk.delete(policy)
    assert await desk.store.reader.list(QosPolicy) == []


@pytest.mark.parametrize(
    ("type_", "first", "second", "other"),
    [
        (
            "bandwidth_limit",
            {"max_kbps": 1},
            {"max_kbps": 2, "direction": "egress"},
            {"max_kbps": 1, "direction": "ingress"},
        ),
        ("minimum_bandwidth", {"min_kbps": 1}, {"min_kbps": 2}, {"min_kbps": 1, "direction": "ingress"}),
        ("packet_rate_limit", {"max_kpps": 1}, {"max_kpps": 2}, {"max_kpps": 1, "direction": "ingress"}),
        ("minimum_packet_rate", {"min_kpps": 1}, {"min_kpps": 2}, {"min_kpps": 1, "direction": "ingress"}),
    ],
)
async def test_a_policy_has_one_rule_of_a_type_and_direction(
    desk: Desk, type_: str, first: dict[str, Any], second: dict[str, Any], other: dict[str, Any]
) -> None:
    """A second is refused, on create and by an update; one of the other direction is not."""
    policy = await desk.create("qos_policy")
    rule = await _rule(desk, policy, type_, **first)

    with pytest.raises(Conflict, match=f"conflicts with rule {rule.id}") as refused:
        await _rule(desk, policy, type_, **second)
    assert refused.value.problem is Problem.QOS_RULES_CONFLICT
    reverse = await _rule(desk, policy, type_, **other)
    with pytest.raises(Conflict, match=f"conflicts with rule {rule.id}"):
        await desk.update(reverse, direction="egress")


async def test_a_policy_marks_once(desk: Desk) -> None:
    """Marking has no direction: one rule per policy."""
    policy = await desk.create("qos_policy")
    rule = await _rule(desk, policy, "dscp_marking", dscp_mark=0)

    with pytest.raises(Conflict, match="conflicts with rule"):
        await _rule(desk, policy, "dscp_marking", dscp_mark=8)
    assert (await desk.update(rule, dscp_mark=8)).dscp_mark == 8


async def test_a_minimum_is_not_above_the_limit(desk: Desk) -> None:
    """Neither rule may be made or changed so that the minimum is above the limit of its direction."""
    policy = await desk.create("qos_policy")
    limit = await _rule(desk, policy, "bandwidth_limit", max_kbps=1000)
    await _rule(desk, policy, "minimum_bandwidth", min_kbps=2000, direction="ingress")

    with pytest.raises(Conflict, match=r"value 1001 .* value 1000") as refused:
        await _rule(desk, policy, "minimum_bandwidth", min_kbps=1001)
    assert refused.value.problem is Problem.QOS_RULE_CONFLICT
    minimum = await _rule(desk, policy, "minimum_bandwidth", min_kbps=1000)
    with pytest.raises(Conflict, match=r"value 999 .* value 1000"):
        await desk.update(limit, max_kbps=999)
    with pytest.raises(Conflict, match=r"value 1001 .* value 1000"):
        await desk.update(minimum, min_kbps=1001)
    with pytest.raises(Conflict, match=r"value 1999 .* value 2000"):
        await _rule(desk, policy, "bandwidth_limit", max_kbps=1999, direction="ingress")


async def test_packet_rates_are_promised_for_both_directions_together_or_for_each(desk: Desk) -> None:
    """A rule for any direction and one for a single direction do not stand side by side."""
    policy = await desk.create("qos_policy")
    await _rule(desk, policy, "minimum_packet_rate", min_kpps=1, direction="any")

    with pytest.raises(Conflict, match=r"value ingress .* value any") as refused:
        await _rule(desk, policy, "minimum_packet_rate", min_kpps=1, direction="ingress")
    assert refused.value.problem is Problem.QOS_RULE_CONFLICT
    assert len(await desk.store.reader.list(MinimumPacketRateRule)) == 1


@pytest.mark.parametrize("mark", [1, 64, "x", True])
def test_marks_are_code_points_with_a_meaning(mark: object) -> None:
    """What no RFC gives a meaning is refused."""
    with pytest.raises(ValueError, match="is not in"):
        created_values(DSCP_MARKING_RULE, dscp_mark=mark)


async def test_a_rule_is_found_by_its_own_id(desk: Desk) -> None:
    """The alias path shows, changes and removes it; a change counts as one of the policy."""
    policy = await desk.create("qos_policy")
    rule = await _rule(desk, policy, "bandwidth_limit", max_kbps=1000)
    path = "alias-bandwidth-limit-rules/{rule_id}"

    shown = await _ask(desk.store, "GET", path, rule_id=rule.id)
    changed = await _ask(
        desk.store, "PUT", path, rule_id=rule.id, body={"alias_bandwidth_limit_rule": {"max_kbps": "2000"}}
    )
    after = await desk.store.reader.find(QosPolicy, policy.id)
    assert await _ask(desk.store, "DELETE", path, rule_id=rule.id) is None

    values = {"max_kbps": 1000, "max_burst_kbps": 0, "direction": "egress"}
    assert shown == {"alias_bandwidth_limit_rule": {"id": rule.id} | values}
    assert changed["alias_bandwidth_limit_rule"]["max_kbps"] == 2000
    assert after is not None
    assert after.revision_number == policy.revision_number + 1
    with pytest.raises(NotFound, match=rule.id):
        await _ask(desk.store, "GET", path, rule_id=rule.id)


async def test_a_rule_by_its_own_id_is_guarded_as_its_policy(desk: Desk) -> None:
    """Strangers do not see it; whom the policy is shared with sees it and changes nothing."""
    policy = await desk.create("qos_policy")
    rule = await _rule(desk, policy, "dscp_marking", dscp_mark=8)
    path = "alias-dscp-marking-rules/{rule_id}"
    with pytest.raises(NotFound, match=rule.id):
        await _ask(desk.store, "GET", path, caller=STRANGER, rule_id=rule.id)

    await desk.update(policy, shared=True)

    shown = await _ask(desk.store, "GET", path, caller=STRANGER, rule_id=rule.id)
    assert shown["alias_dscp_marking_rule"]["dscp_mark"] == 8
    for method, body in (("PUT", {"alias_dscp_marking_rule": {"dscp_mark": 0}}), ("DELETE", None)):
        with pytest.raises(Forbidden, match="another project"):
            await _ask(desk.store, method, path, caller=STRANGER, rule_id=rule.id, body=body)


@pytest.mark.parametrize(
    "body",
    [
        None,
        {"dscp_marking_rule": {"dscp_mark": 8}},
        {"alias_dscp_marking_rule": {"id": "x"}},
        {"alias_dscp_marking_rule": {"qos_policy_id": "x"}},
        {"alias_dscp_marking_rule": {"dscp_mark": 7}},
        {"alias_dscp_marking_rule": []},
    ],
)
async def test_an_update_by_the_rules_own_id_is_checked(desk: Desk, body: Any) -> None:
    """What is not a value of the rule is refused."""
    rule = await _rule(desk, await desk.create("qos_policy"), "dscp_marking", dscp_mark=8)

    with pytest.raises(InvalidInput):
        await _ask(desk.store, "PUT", "alias-dscp-marking-rules/{rule_id}", rule_id=rule.id, body=body)


async def test_rule_types_say_what_their_parameters_may_be(desk: Desk) -> None:
    """The list has every type; a type's details have each parameter with its bounds."""
    listed = await _ask(desk.store, "GET", "rule-types")
    shown = await _ask(desk.store, "GET", "rule-types/{rule_type}", rule_type="bandwidth_limit")

    assert [one["type"] for one in listed["rule_types"]] == list(QOS_RULES)
    [driver] = shown["rule_type"]["drivers"]
    assert {one["parameter_name"]: one["parameter_values"] for one in driver["supported_parameters"]} == {
        "max_kbps": {"start": 0, "end": 2**31 - 1},
        "max_burst_kbps": {"start": 0, "end": 2**31 - 1},
        "direction": ["ingress", "egress"],
    }
    with pytest.raises(NotFound, match="speed"):
        await _ask(desk.store, "GET", "rule-types/{rule_type}", rule_type="speed")


@pytest.mark.parametrize(
    ("pairs", "types"),
    [
        ([("type", "dscp_marking")], ["dscp_marking"]),
        ([("all_rules", "True")], list(QOS_RULES)),
        ([("all_supported", "true"), ("type", "speed")], []),
    ],
)
async def test_rule_types_are_filtered(desk: Desk, pairs: list[tuple[str, str]], types: list[str]) -> None:
    """By type; the flags are read, and one that is no truth value is refused."""
    listed = await _route("GET", "rule-types").answer(desk.store, Ask(ADMIN, {}, None, pairs))

    assert [one["type"] for one in listed["rule_types"]] == types
    with pytest.raises(InvalidInput, match="all_rules"):
        await _route("GET", "rule-types").answer(desk.store, Ask(ADMIN, {}, None, [("all_rules", "x")]))
