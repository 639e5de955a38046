"""What other managers do with policies: `shared` and `router:external` are said as attributes and kept as policies.

A policy is unique by what it opens, to whom and how: a claim in `rbac`, whose owner is the policy.
"""

from collections.abc import Sequence

from alcor.managers.interface import Caller
from alcor.managers.rbac.use import find_user
from alcor.model.catalogue import BY_ENTITY
from alcor.model.errors import Conflict, Problem
from alcor.model.rbac_policy import AS_EXTERNAL, AS_SHARED, EVERYONE, RbacPolicy
from alcor.model.resource import Entity
from alcor.store.interface import Condition, Query, Transaction

_SPACE = "rbac"


async def set_shared(tx: Transaction, caller: Caller, row: Entity, shared: bool) -> None:
    """Open a row to all projects, or close it for all that no policy of their own names. Repeating it changes nothing.

    The policy belongs to the row's project. Call it on create only for True: a new row has no policies.
    Raises: Conflict if a project that would lose the row uses it (InvalidSharedSetting for a network, else
            RbacPolicyInUse).
    """
    kind = BY_ENTITY[type(row)].name
    present = await policies_of(tx, row.id, action=AS_SHARED)
    to_all = next((policy for policy in present if policy.target_tenant == EVERYONE), None)
    if shared and to_all is None:
        await add_policy(tx, _new(tx, row, AS_SHARED, EVERYONE))
    elif not shared and to_all is not None:
        await _refuse_unshare(tx, kind, row, present)
        remove_policy(tx, to_all)


async def _refuse_unshare(tx: Transaction, kind: str, row: Entity, present: Sequence[RbacPolicy]) -> None:
    named = [policy.target_tenant for policy in present if policy.target_tenant != EVERYONE]
    user = await find_user(tx, kind, row.id, AS_SHARED, but=(row.project_id, *named))
    if user is None:
        return
    noun = kind.replace("_", " ")
    raise Conflict(
        f"Unable to close {noun} {row.id} to other projects: {_name(user)} of project {user.project_id} uses it; "
        "remove that first, or share with that project by a policy of its own.",
        kind=kind,
        id=row.id,
        problem=Problem.SHARED_IN_USE if kind == "network" else Problem.RBAC_POLICY_IN_USE,
    )


async def set_external(tx: Transaction, caller: Caller, row: Entity, external: bool) -> None:
    """Open a network to all projects as an external one, or take every such policy of it away. Repeating it changes
    nothing. Whether a gateway still uses it is the caller's to know."""
    present = await policies_of(tx, row.id, action=AS_EXTERNAL)
    if external and not present:
        await add_policy(tx, _new(tx, row, AS_EXTERNAL, EVERYONE))
    elif not external:
        for policy in present:
            remove_policy(tx, policy)


async def forget(tx: Transaction, row: Entity) -> None:
    """Remove every policy of a row that is being deleted."""
    for policy in await policies_of(tx, row.id):
        remove_policy(tx, policy)


async def policies_of(tx: Transaction, object_id: str, *, action: str = "") -> list[RbacPolicy]:
    """The policies that open a row. Cost: one indexed read, as long as the list of them."""
    where = [Condition("object_id", (object_id,))]
    if action:
        where.append(Condition("action", (action,)))
    return await tx.list(RbacPolicy, Query(tuple(where)))


async def add_policy(tx: Transaction, policy: RbacPolicy) -> None:
    """Store a policy. Raises: Conflict (DuplicateRbacPolicy) if there is one that says the same."""
    await _claim(tx, policy)
    tx.insert(policy)


async def move_policy(tx: Transaction, before: RbacPolicy, after: RbacPolicy) -> None:
    """Replace a policy by one with another target. Raises: Conflict (DuplicateRbacPolicy)."""
    if _key(before) != _key(after):
        await _claim(tx, after)
        tx.release(_SPACE, _key(before))
    tx.update(after)


def remove_policy(tx: Transaction, policy: RbacPolicy) -> None:
    """Delete a policy, asking nobody."""
    tx.release(_SPACE, _key(policy))
    tx.delete(policy)


async def _claim(tx: Transaction, policy: RbacPolicy) -> None:
    if not await tx.claim(_SPACE, _key(policy), policy.id):
        raise Conflict(
            f"An RBAC policy with {policy.action} on {policy.object_type} {policy.object_id} for "
            f"'{policy.target_tenant}' exists already.",
            kind="rbac_policy",
            id=policy.id,
            problem=Problem.RBAC_POLICY_EXISTS,
        )


def _key(policy: RbacPolicy) -> str:
    return f"{policy.object_id}/{policy.action}/{policy.target_tenant}"


def _new(tx: Transaction, row: Entity, action: str, target: str) -> RbacPolicy:
    return RbacPolicy(
        id=tx.new_id(),
        project_id=row.project_id,
        object_type=BY_ENTITY[type(row)].name,
        object_id=row.id,
        target_tenant=target,
        action=action,
    )


def _name(user: Entity) -> str:
    return f"{BY_ENTITY[type(user)].name.replace('_', ' ')} {user.id}"
