"""Rules of security groups: `/v2.0/security-group-rules`.

No two rules of a group let the same packets through: a claim in `group_rule`, keyed by group and what the rule says.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from alcor.managers.interface import Caller, Made, Rows, Values
from alcor.managers.row import get_visible, project_of
from alcor.managers.security_group.rule_check import checked_rule, rule_key
from alcor.model.address_group import AddressGroup
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.security_group import SecurityGroup, is_default
from alcor.model.security_group_rule import SECURITY_GROUP_RULE, SecurityGroupRule
from alcor.store.interface import Condition, Query, Store, Transaction

_SPACE = "group_rule"
_MATCH_FIELDS = tuple(
    name for name in SecurityGroupRule.__struct_fields__ if SECURITY_GROUP_RULE.attribute(name) is not None
)


async def create_rules(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add rules to one group.

    Raises: InvalidInput (what a rule says makes no sense, or they are of several groups or projects); NotFound
            (security group, remote group, address group); Conflict (one says what another does).
    """
    rules = [checked_rule(values) for values in many]
    _check_one_group(caller, rules)
    group = await get_visible(tx, caller, SecurityGroup, rules[0]["security_group_id"], kind="security_group")
    await _check_remotes(tx, caller, rules)
    _check_distinct(rules)
    rows = [new_rule(tx, group, rule, project_of(caller, rule)) for rule in rules]
    await add_rules(tx, rows)
    tx.touch(group)
    return [Made(await tx.get(SecurityGroupRule, row.id)) for row in rows]


def _check_one_group(caller: Caller, rules: Sequence[Values]) -> None:
    if len({rule["security_group_id"] for rule in rules}) > 1:
        raise InvalidInput(
            "All rules of one request belong to one security group; send a request per group.",
            problem=Problem.SG_MANY_GROUPS,
        )
    if len({project_of(caller, rule) for rule in rules}) > 1:
        raise InvalidInput(
            "All rules of one request belong to one project; send a request per project.",
            problem=Problem.SG_MANY_PROJECTS,
        )


async def _check_remotes(tx: Transaction, caller: Caller, rules: Sequence[Values]) -> None:
    for id in dict.fromkeys(rule["remote_group_id"] for rule in rules):
        if id is not None:
            await get_visible(tx, caller, SecurityGroup, id, kind="security_group")
    for id in dict.fromkeys(rule["remote_address_group_id"] for rule in rules):
        if id is not None:
            await get_visible(tx, caller, AddressGroup, id, kind="address_group")


def _check_distinct(rules: Sequence[Values]) -> None:
    seen: set[str] = set()
    for rule in rules:
        key = rule_key(rule)
        if key in seen:
            raise Conflict(
                f"Duplicate security group rule in the request: {key} is there twice.",
                problem=Problem.SG_RULE_TWICE,
            )
        seen.add(key)


def new_rule(tx: Transaction, group: SecurityGroup, rule: Values, project_id: str) -> SecurityGroupRule:
    """A rule of `group` with what was checked; not stored yet."""
    said = {name: rule[name] for name in _MATCH_FIELDS if name in rule}
    return SecurityGroupRule(
        **said | {"id": tx.new_id(), "project_id": project_id, "security_group_id": group.id}
    )


async def add_rules(tx: Transaction, rows: Sequence[SecurityGroupRule]) -> None:
    """Store rules. Cost: one claim each. Raises: Conflict naming the rule that is there already."""
    for row in rows:
        key = _key(row)
        if not await tx.claim(_SPACE, key, row.id):
            holder = (await tx.claimed(_SPACE, [key])).get(key, "")
            raise Conflict(
                f"Security group rule already exists. Rule id is {holder}.",
                kind="security_group_rule",
                id=holder,
                problem=Problem.SG_RULE_EXISTS,
            )
        tx.insert(row)


def _key(row: SecurityGroupRule) -> str:
    return f"{row.security_group_id}/{rule_key(msgspec.structs.asdict(row))}"


def drop_rules(tx: Transaction, rows: Sequence[SecurityGroupRule]) -> None:
    """Remove rules and what they claim."""
    for row in rows:
        tx.release(_SPACE, _key(row))
        tx.delete(row)


async def delete_rule(tx: Transaction, _caller: Caller, row: SecurityGroupRule) -> None:
    """Remove a rule; its group has changed."""
    drop_rules(tx, [row])
    tx.touch(await tx.get(SecurityGroup, row.security_group_id))


async def rules_of(rows: Rows, group_ids: Sequence[str]) -> list[SecurityGroupRule]:
    """The rules of groups, oldest first. Cost: one indexed read."""
    where = (Condition("security_group_id", tuple(group_ids)),)
    found = await rows.list(SecurityGroupRule, Query(where))
    return sorted(found, key=lambda row: (row.created_at, row.id))


async def sight(rows: Rows, caller: Caller) -> Sequence[tuple[Condition, ...]]:
    """A project sees the rules of its groups, whoever made them. Cost: one indexed read, bounded by its quota."""
    mine = await rows.list(SecurityGroup, Query((Condition("project_id", (caller.project_id,)),)))
    return [(Condition("security_group_id", tuple(group.id for group in mine)),)] if mine else ()


async def load_belongs(store: Store, _caller: Caller, rows: Sequence[Any]) -> dict[str, Any]:
    """Whether each rule is one of a default group. Cost: one read."""
    groups = await store.reader.find_many(
        SecurityGroup, tuple(dict.fromkeys(row.security_group_id for row in rows))
    )
    default = {id for id, group in groups.items() if is_default(group)}
    return {row.id: row.security_group_id in default for row in rows}


def rule_document(row: SecurityGroupRule, *, belongs_to_default: bool) -> dict[str, Any]:
    """A rule as its group shows it: all that `GET /v2.0/security-group-rules/{id}` shows."""
    shown: dict[str, Any] = {}
    for a in SECURITY_GROUP_RULE.attributes:
        if a.stored:
            shown[a.name] = getattr(row, a.field)
        elif a.derive is not None:
            shown[a.name] = a.derive(row)
    return shown | {"tenant_id": row.project_id, "belongs_to_default_sg": belongs_to_default}
