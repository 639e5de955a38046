"""What other projects may see of a row: RBAC policies, read. Who may make them is the RBAC manager's matter."""

from collections.abc import Sequence

from alcor.managers.interface import Caller, Rows
from alcor.model.catalogue import BY_ENTITY
from alcor.model.rbac_policy import EVERYONE, RbacPolicy
from alcor.model.resource import Entity
from alcor.store.interface import Condition, Query


async def ids_shared_with(rows: Rows, kind: str, actions: Sequence[str], project_id: str) -> tuple[str, ...]:
    """The ids of the rows of a kind that are opened to a project (or to all) by any of `actions`.

    Cost: one indexed read of the policies that name the project or all.
    """
    found = await _policies(rows, kind, actions, Condition("target_tenant", (EVERYONE, project_id)))
    return tuple(dict.fromkeys(policy.object_id for policy in found))


async def shared_of(
    rows: Rows, kind: str, actions: Sequence[str], ids: Sequence[str], project_id: str
) -> set[str]:
    """Which of `ids` are opened to a project (or to all) by any of `actions`. Cost: one indexed read."""
    found = await _policies(
        rows,
        kind,
        actions,
        Condition("object_id", tuple(ids)),
        Condition("target_tenant", (EVERYONE, project_id)),
    )
    return {policy.object_id for policy in found}


async def may_use(rows: Rows, caller: Caller, row: Entity) -> bool:
    """Whether the caller may name the row in a request: the policy shows it all rows of the kind, the row is the
    caller's, or it is opened to its project."""
    resource = BY_ENTITY[type(row)]
    if caller.sees_every(resource.kind) or caller.owns(row):
        return True
    if not resource.shared_as:
        return False
    return bool(await shared_of(rows, resource.name, resource.shared_as, [row.id], caller.project_id))


async def _policies(
    rows: Rows, kind: str, actions: Sequence[str], *conditions: Condition
) -> Sequence[RbacPolicy]:
    where = (*conditions, Condition("object_type", (kind,)), Condition("action", tuple(actions)))
    return await rows.list(RbacPolicy, Query(where))
