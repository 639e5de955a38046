"""Security groups: `/v2.0/security-groups`."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Made, Values
from alcor.managers.rbac.share import forget
from alcor.managers.row import NAMED_MAX, name_users, new_row, project_of, replace_row
from alcor.managers.security_group.default import default_group, forget_default
from alcor.managers.security_group.log import forget_group
from alcor.managers.security_group.rule import drop_rules, rule_document, rules_of
from alcor.managers.security_group.template import copy_template
from alcor.model.errors import Conflict, InUse, Problem
from alcor.model.port import Port
from alcor.model.security_group import DEFAULT_NAME, SecurityGroup, is_default
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.store.interface import Condition, Query, Store, Transaction


async def create_groups(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add groups with the rules of the template; the project's default group is made before.

    Raises: Conflict if one is to be called `default`.
    """
    made = []
    for values in many:
        _refuse_default_name(values)
        await default_group(tx, project_of(caller, values))
        row = new_row(tx, caller, SecurityGroup, values)
        await copy_template(tx, row)
        made.append(Made(await tx.get(SecurityGroup, row.id)))
    return made


async def update_group(tx: Transaction, _caller: Caller, row: SecurityGroup, values: Values) -> SecurityGroup:
    """Change name, description or statefulness.

    Raises: Conflict (the default group keeps its name, and no other gets it); InUse if a group with ports were to
            change its statefulness: connections that are tracked would be cut.
    """
    _refuse_default_name(values)
    if is_default(row) and "name" in values:
        raise Conflict(
            f"Security group {row.id} is its project's default one, whose name cannot be changed.",
            kind="security_group",
            id=row.id,
            problem=Problem.SG_DEFAULT_NAME,
        )
    if values.get("stateful", row.stateful) != row.stateful:
        await _refuse_if_used(tx, row)
    return await replace_row(tx, row, values)


def _refuse_default_name(values: Values) -> None:
    if str(values.get("name", "")).lower() == DEFAULT_NAME:
        raise Conflict(
            "Default security group already exists: every project has one from the start. Choose another name.",
            kind="security_group",
            problem=Problem.SG_DEFAULT_EXISTS,
        )


async def delete_group(tx: Transaction, caller: Caller, row: SecurityGroup) -> None:
    """Remove a group, its rules, and those of other groups that name it as their other end.

    Raises: InUse naming the ports in it; Conflict for a default group, which only administrators remove.
    """
    await _refuse_if_used(tx, row)
    if is_default(row) and not caller.is_admin:
        raise Conflict(
            f"Security group {row.id} is its project's default one; only an administrator may remove it.",
            kind="security_group",
            id=row.id,
            problem=Problem.SG_DEFAULT_STAYS,
        )
    own = await rules_of(tx, [row.id])
    naming = await tx.list(SecurityGroupRule, Query((Condition("remote_group_id", (row.id,)),)))
    others = [rule for rule in naming if rule.security_group_id != row.id]
    drop_rules(tx, [*own, *others])
    for id in dict.fromkeys(rule.security_group_id for rule in others):
        tx.touch(await tx.get(SecurityGroup, id))
    await forget_group(tx, row)
    await forget(tx, row)
    if is_default(row):
        forget_default(tx, row)
    tx.delete(row)


async def _refuse_if_used(tx: Transaction, row: SecurityGroup) -> None:
    in_it = Query((Condition("security_groups.security_group_id", (row.id,)),), limit=NAMED_MAX + 1)
    ports = await tx.list(Port, in_it)
    if ports:
        raise InUse("security_group", row.id, by=name_users("port", [port.id for port in ports]))


async def load_rules(store: Store, _caller: Caller, rows: Sequence[Any]) -> dict[str, Any]:
    """The rules of each group, oldest first. Cost: one read, however many groups."""
    default = {row.id: is_default(row) for row in rows}
    found: dict[str, Any] = {row.id: [] for row in rows}
    for rule in await rules_of(store.reader, list(default)):
        group_id = rule.security_group_id
        found[group_id].append(rule_document(rule, belongs_to_default=default[group_id]))
    return found
