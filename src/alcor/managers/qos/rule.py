"""Rules of QoS policies: `/v2.0/qos/policies/{id}/…_rules`. Five types, one set of functions.

A policy has one rule of a type and direction, and no minimum above the limit of its direction.
"""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec

from alcor.managers.interface import Caller, Create, Made, Manager, Rows, Values
from alcor.managers.row import new_row, replace_row
from alcor.model.errors import Conflict, Problem
from alcor.model.extension import Extension
from alcor.model.qos_rule import EITHER, QOS_RULES, TYPE_OF
from alcor.model.resource import Entity, Resource
from alcor.store.interface import Condition, Query, Transaction


def manager(type_: str, service: str, extensions: tuple[Extension, ...]) -> Manager:
    """The rules of one type."""
    resource = QOS_RULES[type_]
    return Manager(
        resource,
        service,
        create=_creating(resource),
        update=update_rule,
        delete=delete_rule,
        extensions=extensions,
    )


def _creating(resource: Resource) -> Create:
    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        """Raises: Conflict (QoSRulesConflict, QoSRuleParameterConflict)."""
        made = []
        for values in many:
            row = new_row(tx, caller, resource.entity, values)
            _check_against(row, await rules_of(tx, [values["qos_policy_id"]]))
            made.append(Made(await tx.get(resource.entity, row.id)))
        return made

    return create


async def update_rule(tx: Transaction, _caller: Caller, row: Any, values: Values) -> Entity:
    """Raises: Conflict (QoSRulesConflict, QoSRuleParameterConflict)."""
    after = msgspec.structs.replace(row, **values)
    _check_against(after, await rules_of(tx, [row.qos_policy_id]))
    stored: Entity = await replace_row(tx, row, values)
    return stored


async def delete_rule(tx: Transaction, _caller: Caller, row: Any) -> None:
    """Remove a rule; the engine counts it as a change of its policy."""
    tx.delete(row)


async def rules_of(rows: Rows, policy_ids: Sequence[str]) -> list[Any]:
    """The rules of policies, type by type and oldest first. Cost: one indexed read per type."""
    where = (Condition("qos_policy_id", tuple(policy_ids)),)
    found: list[Any] = []
    for resource in QOS_RULES.values():
        of_type = await rows.list(resource.entity, Query(where))
        found += sorted(of_type, key=lambda row: (row.created_at, row.id))
    return found


def rule_document(row: Any) -> dict[str, Any]:
    """A rule as its policy shows it."""
    type_ = TYPE_OF[type(row)]
    shown = {a.name: getattr(row, a.field) for a in QOS_RULES[type_].attributes}
    return shown | {"type": type_}


def _check_against(rule: Any, others: Iterable[Any]) -> None:
    """Refuse a rule beside those of its policy (`others` may hold it as it was)."""
    type_, direction = TYPE_OF[type(rule)], getattr(rule, "direction", None)
    for other in others:
        if other.id == rule.id:
            continue
        other_type, other_direction = TYPE_OF[type(other)], getattr(other, "direction", None)
        if other_type == type_ and other_direction == direction:
            raise Conflict(
                f"Rule {type_} conflicts with rule {other.id}, which exists already in QoS policy "
                f"{rule.qos_policy_id}: a policy has one of a type and direction.",
                kind="qos_rule",
                id=rule.id,
                problem=Problem.QOS_RULES_CONFLICT,
            )
        if type_ == other_type == "minimum_packet_rate" and EITHER in (direction, other_direction):
            # One for both directions together and one for a single direction would promise the same packets twice.
            raise _disagreement(rule, direction, other, other_direction)
        if other_direction == direction and {type_, other_type} == {"bandwidth_limit", "minimum_bandwidth"}:
            limit, minimum = (rule, other) if type_ == "bandwidth_limit" else (other, rule)
            if minimum.min_kbps > limit.max_kbps:
                values = (limit.max_kbps, minimum.min_kbps)
                said, there = values if type_ == "bandwidth_limit" else values[::-1]
                raise _disagreement(rule, said, other, there)


def _disagreement(rule: Any, said: object, other: Any, there: object) -> Conflict:
    return Conflict(
        f"Unable to add the rule with value {said} to QoS policy {rule.qos_policy_id}: its rule {other.id} of type "
        f"{TYPE_OF[type(other)]} has value {there}.",
        kind="qos_rule",
        id=rule.id,
        problem=Problem.QOS_RULE_CONFLICT,
    )
