"""Each project's default firewall group: nothing comes in, everything goes out.

Made with the project's first group, or when its groups, policies or rules are first listed. One per project: a claim
in `default_firewall_group`, keyed by project, whose owner is the group.
"""

from collections.abc import Sequence
from typing import TypeVar

from alcor.managers.interface import Caller
from alcor.model.firewall import FirewallGroup, FirewallPolicy, FirewallRule
from alcor.model.resource import Entity
from alcor.store.interface import Condition, Query, Store, Transaction

E = TypeVar("E", bound=Entity)

DEFAULT = "default"
_SPACE = "default_firewall_group"
_WAYS = (("ingress", "deny"), ("egress", "allow"))


async def ensure_default(tx: Transaction, project_id: str) -> None:
    """Make the project's default group, its two policies and four rules, if they are not there.

    Cost: one remembered read if the group is there.
    """
    if not project_id or await tx.list(FirewallGroup, _of(project_id)):
        return
    group_id = tx.new_id()
    if not await tx.claim(_SPACE, project_id, group_id):
        return
    policies = {way: _add_policy(tx, project_id, way, action) for way, action in _WAYS}
    tx.insert(
        FirewallGroup(
            id=group_id,
            project_id=project_id,
            name=DEFAULT,
            description="Default firewall group",
            ingress_firewall_policy_id=policies["ingress"].id,
            egress_firewall_policy_id=policies["egress"].id,
            is_default=True,
        )
    )


def _add_policy(tx: Transaction, project_id: str, way: str, action: str) -> FirewallPolicy:
    rules = [
        _add(
            tx,
            FirewallRule(
                id=tx.new_id(),
                project_id=project_id,
                name=f"default {way} ipv{version}",
                description=f"default {way} rule for IPv{version}",
                ip_version=version,
                action=action,
            ),
        )
        for version in (4, 6)
    ]
    return _add(
        tx,
        FirewallPolicy(
            id=tx.new_id(),
            project_id=project_id,
            name=f"default {way}",
            description=f"{way.capitalize()} firewall policy",
            firewall_rules=tuple(rule.id for rule in rules),
        ),
    )


def _add(tx: Transaction, row: E) -> E:
    tx.insert(row)
    return row


async def forget_default(tx: Transaction, group: FirewallGroup) -> None:
    """Remove what was made with a default group that is being deleted; the next look makes another.

    Rules that an other policy has as well stay, and policies that another group has keep the group: InUse.
    """
    tx.release(_SPACE, group.project_id)
    for id in (group.ingress_firewall_policy_id, group.egress_firewall_policy_id):
        policy = None if id is None else await tx.find(FirewallPolicy, id)
        if policy is None or policy.name not in [f"default {way}" for way, _ in _WAYS]:
            continue
        tx.delete(policy)
        for rule_id in policy.firewall_rules:
            rule = await tx.get(FirewallRule, rule_id)
            having = Query((Condition("firewall_rules.rule_id", (rule_id,)),), limit=1)
            if rule.name.startswith(policy.name) and not await tx.list(FirewallPolicy, having):
                tx.delete(rule)


async def before_list(store: Store, caller: Caller, pairs: Sequence[tuple[str, str]]) -> None:
    """A project that looks at its firewalls has a default group; so has one an administrator looks at."""
    named = [value for name, value in pairs if name in ("project_id", "tenant_id")]
    project_id = named[0] if named else caller.project_id
    if not project_id or not (caller.is_admin or project_id == caller.project_id):
        return
    if not await store.reader.list(FirewallGroup, _of(project_id)):
        await store.write(lambda tx: ensure_default(tx, project_id))


def _of(project_id: str) -> Query:
    return Query((Condition("project_id", (project_id,)), Condition("name", (DEFAULT,))), limit=1)
