"""The RBAC Manager: `/v2.0/rbac-policies`.

Source: Networking API v2.0, "RBAC Policies".
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

import msgspec

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.rbac.share import add_policy, move_policy, policies_of, remove_policy
from alcor.managers.rbac.use import find_user
from alcor.managers.row import project_of
from alcor.model.catalogue import RESOURCES
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.extension import Extension
from alcor.model.network import Network
from alcor.model.rbac_policy import AS_EXTERNAL, AS_SHARED, EVERYONE, RBAC_POLICY, RbacPolicy
from alcor.model.resource import Entity, Resource
from alcor.model.subnetpool import SubnetPool
from alcor.store.interface import Transaction

Reaction = Callable[[Transaction, Any, bool], Awaitable[None]]
"""(tx, the opened row, True: it got its first policy of an action; False: it lost its last one)."""

RBAC_POLICIES = Extension(
    "rbac-policies",
    "RBAC Policies",
    "A project opens single resources of its own to other projects, or an administrator to all.",
    "2015-06-17T12:15:12-00:00",
)


def manager(reactions: Mapping[tuple[str, str], Reaction] | None = None) -> Manager:
    """`reactions`: what else a policy changes, by (kind of what is opened, action): a network that is opened as
    external becomes one."""
    desk = _Desk(reactions or {})
    return Manager(
        RBAC_POLICY,
        "rbac",
        create=desk.create,
        update=desk.update,
        delete=desk.delete,
        extensions=(RBAC_POLICIES,),
    )


class _Desk:
    """The verbs; they share the reactions."""

    def __init__(self, reactions: Mapping[tuple[str, str], Reaction]) -> None:
        self._reactions = reactions

    async def create(self, tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        """Raises: InvalidInput for a kind or an action that cannot be opened, or an object that is not the caller's;
        Conflict (DuplicateRbacPolicy)."""
        made = []
        for values in many:
            resource = _resource(values["object_type"])
            row = await _get_owned(tx, caller, resource, values["object_id"])
            action = values["action"]
            if action not in resource.shared_as:
                raise InvalidInput(
                    f"Action '{action}' does not exist for objects of type {resource.name}; "
                    f"there are: {', '.join(resource.shared_as)}.",
                    problem=Problem.RBAC_ACTION,
                )
            await _check_scope(tx, row, values["target_tenant"])
            first = not await policies_of(tx, row.id, action=action)
            policy = RbacPolicy(
                id=tx.new_id(),
                project_id=project_of(caller, values),
                object_type=resource.name,
                object_id=row.id,
                target_tenant=values["target_tenant"],
                action=action,
            )
            await add_policy(tx, policy)
            _count_change(tx, row)
            if first:
                await self._react(tx, resource.name, action, row, opened=True)
            made.append(Made(await tx.get(RbacPolicy, policy.id)))
        return made

    async def update(self, tx: Transaction, caller: Caller, row: RbacPolicy, values: Values) -> RbacPolicy:
        """Give a policy another target. Raises: Conflict (RbacPolicyInUse, DuplicateRbacPolicy)."""
        target = values.get("target_tenant", row.target_tenant)
        opened = await tx.find(_resource(row.object_type).entity, row.object_id)
        if opened is not None:
            if not caller.is_admin and opened.project_id != caller.project_id:
                raise _in_use(row, "only the owner of the object or an administrator may change it")
            # Opening it to all takes it from nobody.
            if target not in (row.target_tenant, EVERYONE):
                await self._refuse_if_used(tx, row, opened, instead=target)
            if target != row.target_tenant:
                _count_change(tx, opened)
        await move_policy(tx, row, msgspec.structs.replace(row, target_tenant=target))
        return await tx.get(RbacPolicy, row.id)

    async def delete(self, tx: Transaction, caller: Caller, row: RbacPolicy) -> None:
        """Raises: Conflict (RbacPolicyInUse) if a project that would lose the object uses it."""
        opened = await tx.find(_resource(row.object_type).entity, row.object_id)
        if opened is not None:
            await self._refuse_if_used(tx, row, opened)
            _count_change(tx, opened)
        remove_policy(tx, row)
        if opened is not None and not await policies_of(tx, row.object_id, action=row.action):
            await self._react(tx, row.object_type, row.action, opened, opened=False)

    async def _react(self, tx: Transaction, kind: str, action: str, row: Entity, *, opened: bool) -> None:
        reaction = self._reactions.get((kind, action))
        if reaction is not None:
            await reaction(tx, row, opened)

    async def _refuse_if_used(
        self, tx: Transaction, policy: RbacPolicy, opened: Entity, *, instead: str = ""
    ) -> None:
        """Refuse to take an object from who uses it. `instead`: the target that comes in the present one's place."""
        target = policy.target_tenant
        if target == opened.project_id:
            return
        others = [
            one.target_tenant
            for one in await policies_of(tx, policy.object_id, action=policy.action)
            if one.id != policy.id
        ]
        # Who loses one right has the other: the object stays open to all, or was opened to him by name.
        if EVERYONE in others:
            return
        if target == EVERYONE and policy.action == AS_EXTERNAL and getattr(opened, "is_default", False):
            raise _in_use(policy, "the default external network is open to everyone")
        if target == EVERYONE:
            but = tuple(filter(None, (opened.project_id, *others, instead)))
            user = await find_user(tx, policy.object_type, policy.object_id, policy.action, but=but)
        else:
            user = await find_user(tx, policy.object_type, policy.object_id, policy.action, of=target)
        if user is not None:
            raise _in_use(policy, f"{user.id} of project {user.project_id} uses the object")


def _count_change(tx: Transaction, opened: Entity) -> None:
    """Who may use a network is a part of it: clients that compare revision_number must notice. Of other kinds it is
    not, as in the reference server."""
    if isinstance(opened, Network):
        tx.touch(opened)


def _resource(kind: str) -> Resource:
    found = next((one for one in RESOURCES if one.name == kind and one.shared_as), None)
    if found is None:
        raise InvalidInput(
            f"'{kind}' is not a valid RBAC object type: nothing of that kind can be shared here."
        )
    return found


async def _get_owned(tx: Transaction, caller: Caller, resource: Resource, id: str) -> Entity:
    """The row a policy is to open. A row of another project is refused with the same words as one that is not there."""
    row = await tx.find(resource.entity, id)
    if row is None or not (caller.is_admin or row.project_id == caller.project_id):
        raise InvalidInput(
            f"There is no {resource.name.replace('_', ' ')} {id} of this project; only administrators make policies "
            "for objects of other projects."
        )
    return row


async def _check_scope(tx: Transaction, row: Entity, target: str) -> None:
    """A pool of an address scope is of use only to who may use the scope. Raises: InvalidInput."""
    if not isinstance(row, SubnetPool) or row.address_scope_id is None:
        return
    scope_of = await policies_of(tx, row.address_scope_id, action=AS_SHARED)
    if not any(policy.target_tenant in (EVERYONE, target) for policy in scope_of):
        raise InvalidInput(
            f"Subnet pool {row.id} cannot be opened to '{target}', which has no access to its address scope "
            f"{row.address_scope_id}; open the scope first."
        )


def _in_use(policy: RbacPolicy, details: str) -> Conflict:
    return Conflict(
        f"RBAC policy {policy.id} on object {policy.object_id} cannot be removed or changed: {details}.",
        kind="rbac_policy",
        id=policy.id,
        problem=Problem.RBAC_POLICY_IN_USE,
    )
