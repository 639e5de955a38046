"""Firewall policies: `/v2.0/fwaas/firewall_policies`."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.firewall.rule import usable_rules
from alcor.managers.interface import Caller, Values
from alcor.managers.row import replace_row
from alcor.model.errors import Conflict, InUse, InvalidInput, NotFound, Problem
from alcor.model.firewall import FIREWALL_POLICY, FirewallGroup, FirewallPolicy, FirewallRule
from alcor.model.ids import is_uuid
from alcor.store.interface import Condition, Op, Query, Transaction

DEFAULT_NAMES = ("default ingress", "default egress")
_MEMBERS = {"firewall_rule_id", "insert_before", "insert_after"}


async def check_policy(tx: Transaction, caller: Caller, row: FirewallPolicy | None, values: Values) -> Values:
    """Raises: InUse for a reserved name, a project's default policy, or a policy that others use and are to lose;
    NotFound and Conflict for rules that may not be in it."""
    if row is None:
        _check_name(values["name"])
        await _check_rules(tx, caller, "", values["project_id"], values["shared"], values["firewall_rules"])
        return values
    if row.name in DEFAULT_NAMES:
        raise InUse(
            "firewall_policy",
            row.id,
            by=f"it is its project's '{row.name}' policy, which cannot be changed; make another one",
            problem=Problem.FW_DEFAULT_UPDATE,
        )
    _check_name(values.get("name", ""))
    if row.shared and not values.get("shared", True):
        await _check_unused_by_others(tx, row)
    if "firewall_rules" in values:
        shared = values.get("shared", row.shared)
        await _check_rules(tx, caller, row.id, row.project_id, shared, values["firewall_rules"])
    elif values.get("shared"):
        await _check_rules_shared(tx, row)
    return {"audited": False} | values


def _check_name(name: str) -> None:
    if name in DEFAULT_NAMES:
        raise InUse(
            "name",
            f"'{name}'",
            by="it is reserved for the default policies of projects",
            problem=Problem.FW_DEFAULT_NAME,
        )


async def _check_rules(
    tx: Transaction, caller: Caller, id: str, project_id: str, shared: bool, rule_ids: Sequence[str]
) -> None:
    for rule in await usable_rules(tx, caller, rule_ids):
        if rule.shared:
            continue
        if shared:
            raise NotFound(
                "firewall_rule",
                rule.id,
                reason=f"A shared policy {id} has shared rules only; firewall rule {rule.id} is not shared.",
                problem=Problem.FW_RULE_SHARING,
            )
        _check_same_project(rule, project_id)


def _check_same_project(rule: FirewallRule, project_id: str) -> None:
    if not rule.shared and rule.project_id != project_id:
        raise Conflict(
            f"Firewall rule {rule.id} is not shared and belongs to another project {rule.project_id}.",
            kind="firewall_rule",
            id=rule.id,
            problem=Problem.FW_RULE_PROJECT,
        )


async def _check_rules_shared(tx: Transaction, row: FirewallPolicy) -> None:
    for id in row.firewall_rules:
        if not (await tx.get(FirewallRule, id)).shared:
            raise Conflict(
                f"Before sharing firewall policy {row.id}, share associated firewall rule {id}.",
                kind="firewall_policy",
                id=row.id,
                problem=Problem.FW_POLICY_SHARING,
            )


async def _check_unused_by_others(tx: Transaction, row: FirewallPolicy) -> None:
    others = Condition("project_id", (row.project_id,), Op.NONE)
    for field in ("ingress_firewall_policy_id", "egress_firewall_policy_id"):
        groups = await tx.list(FirewallGroup, Query((Condition(field, (row.id,)), others), limit=1))
        if groups:
            raise InUse(
                "firewall_policy",
                row.id,
                by=f"firewall group {groups[0].id} of project {groups[0].project_id}; it must stay shared",
            )


async def insert_rule(tx: Transaction, caller: Caller, row: FirewallPolicy, body: Values) -> dict[str, Any]:
    """Put a rule before or after another, or first. `insert_before` counts more than `insert_after`.

    Raises: InvalidInput without a rule, or if the other is not in the policy; NotFound; Conflict if it is there.
    """
    rule_id = _rule_of(body)
    if rule_id in row.firewall_rules:
        raise Conflict(
            f"Firewall rule {rule_id} is already associated with firewall policy {row.id}.",
            kind="firewall_rule",
            id=rule_id,
            problem=Problem.FW_RULE_THERE,
        )
    [rule] = await usable_rules(tx, caller, [rule_id])
    _check_same_project(rule, row.project_id)
    place = 0
    if body.get("insert_before"):
        place = _place_of(row, str(body["insert_before"]))
    elif body.get("insert_after"):
        place = _place_of(row, str(body["insert_after"])) + 1
    rules = [*row.firewall_rules]
    rules.insert(place, rule_id)
    return await _with_rules(tx, row, rules)


async def remove_rule(tx: Transaction, _caller: Caller, row: FirewallPolicy, body: Values) -> dict[str, Any]:
    """Take a rule from the policy. Raises: InvalidInput if it is not in it; NotFound if there is no such rule."""
    rule_id = _rule_of(body)
    await tx.get(FirewallRule, rule_id)
    _place_of(row, rule_id)
    return await _with_rules(tx, row, [one for one in row.firewall_rules if one != rule_id])


def _rule_of(body: Values) -> str:
    rule_id = body.get("firewall_rule_id")
    unknown = sorted(body.keys() - _MEMBERS)
    if rule_id is None or unknown:
        raise InvalidInput(
            f"Missing rule info: the body says firewall_rule_id, and where to insert it insert_before or "
            f"insert_after{f'; not {unknown}' if unknown else ''}.",
            problem=Problem.FW_RULE_MISSING,
        )
    if not isinstance(rule_id, str) or not is_uuid(rule_id.lower()):
        raise NotFound("firewall_rule", str(rule_id))
    return rule_id.lower()


def _place_of(row: FirewallPolicy, rule_id: str) -> int:
    if rule_id.lower() not in row.firewall_rules:
        raise InvalidInput(
            f"Firewall rule {rule_id} is not associated with firewall policy {row.id}.",
            problem=Problem.FW_RULE_NOT_THERE,
        )
    return row.firewall_rules.index(rule_id.lower())


async def _with_rules(tx: Transaction, row: FirewallPolicy, rules: Sequence[str]) -> dict[str, Any]:
    """The answer is the policy itself, not inside a member of its name."""
    stored = await replace_row(tx, row, {"firewall_rules": tuple(rules), "audited": False})
    shown = {a.name: getattr(stored, a.field) for a in FIREWALL_POLICY.attributes if a.stored}
    return shown | {"tenant_id": stored.project_id}
