"""What a new security group begins with: `/v2.0/default-security-group-rules`.

A region begins with the reference server's template: everything out, and in from the default group itself.
"""

from collections.abc import Sequence

import msgspec

from alcor.managers.interface import Caller, Made, Values
from alcor.managers.row import new_row
from alcor.managers.security_group.rule import add_rules, new_rule, rules_of
from alcor.managers.security_group.rule_check import checked_rule, rule_key
from alcor.model.default_security_group_rule import PARENT, DefaultSecurityGroupRule
from alcor.model.errors import Conflict, Problem
from alcor.model.security_group import DEFAULT_NAME, SecurityGroup, is_default
from alcor.model.security_group_rule import ETHERTYPES
from alcor.store.interface import Condition, Query, Store, Transaction

_SPACE, _KEY = "security_group", "template"
_USES = ("used_in_default_sg", "used_in_non_default_sg")


async def ensure_template(tx: Transaction) -> None:
    """Give a region its template, once; what an administrator removes stays removed.

    Default groups of the time before there were rules get those of the template with it.
    """
    if await tx.load(_SPACE, _KEY) is not None:
        return
    tx.save(_SPACE, _KEY, b"1")
    for ethertype in ETHERTYPES:
        tx.insert(
            DefaultSecurityGroupRule(
                id=tx.new_id(),
                description="New groups let everything out.",
                direction="egress",
                ethertype=ethertype,
                used_in_default_sg=True,
                used_in_non_default_sg=True,
            )
        )
        tx.insert(
            DefaultSecurityGroupRule(
                id=tx.new_id(),
                description="The ports of a default group reach one another.",
                direction="ingress",
                ethertype=ethertype,
                remote_group_id=PARENT,
                used_in_default_sg=True,
                used_in_non_default_sg=False,
            )
        )
    for group in await tx.list(SecurityGroup, Query((Condition("name", (DEFAULT_NAME,)),))):
        if not await rules_of(tx, [group.id]):
            await copy_template(tx, group)


async def copy_template(tx: Transaction, group: SecurityGroup) -> None:
    """Give a new group the rules of the template that are for its kind.

    A rule whose other end is a group that is gone would let nothing through: it is left out.
    """
    use = _USES[0] if is_default(group) else _USES[1]
    rows = []
    for one in await tx.list(DefaultSecurityGroupRule):
        if not getattr(one, use):
            continue
        rule = msgspec.structs.asdict(one) | {"description": ""}
        if one.remote_group_id == PARENT:
            rule["remote_group_id"] = group.id
        elif one.remote_group_id and await tx.find(SecurityGroup, one.remote_group_id) is None:
            continue
        rows.append(new_rule(tx, group, rule, group.project_id))
    await add_rules(tx, rows)


async def create_templates(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add rules to the template. Raises: InvalidInput as a group's rule; Conflict if one is there for the same use."""
    await ensure_template(tx)
    made = []
    for values in many:
        rule = checked_rule(values)
        # Those of this request that are stored already are among those that are listed.
        for one in await tx.list(DefaultSecurityGroupRule):
            same_use = any(rule[use] and getattr(one, use) for use in _USES)
            if same_use and rule_key(msgspec.structs.asdict(one)) == rule_key(rule):
                raise Conflict(
                    f"Default security group rule already exists. Rule id is {one.id}.",
                    kind="default_security_group_rule",
                    id=one.id,
                    problem=Problem.SG_TEMPLATE_EXISTS,
                )
        row = new_row(tx, caller, DefaultSecurityGroupRule, rule)
        made.append(Made(await tx.get(DefaultSecurityGroupRule, row.id)))
    return made


async def delete_template(tx: Transaction, _caller: Caller, row: DefaultSecurityGroupRule) -> None:
    """Remove a rule from the template; groups that have it keep theirs."""
    tx.delete(row)


async def before_list(store: Store, _caller: Caller, _pairs: Sequence[tuple[str, str]]) -> None:
    """The template is there when it is first looked at."""
    if not await store.reader.list(DefaultSecurityGroupRule, Query(limit=1)):
        await store.write(ensure_template)
