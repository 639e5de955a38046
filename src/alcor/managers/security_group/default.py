"""Each project's default security group: made with the project's first port, or when its groups are first looked at, so
that no port is ever without one.
"""

from collections.abc import Sequence

from alcor.managers.interface import Caller
from alcor.managers.security_group.template import copy_template, ensure_template
from alcor.model.security_group import DEFAULT_NAME, SecurityGroup
from alcor.store.interface import Condition, Query, Store, Transaction

_SPACE = "default_group"
_DEFAULT = Condition("name", (DEFAULT_NAME,))


async def default_group(tx: Transaction, project_id: str) -> str:
    """The id of the project's default group, made with the rules of the template if there is none yet.

    Shape: one claim in `default_group` per project; its owner is the group, so two writers make one.
    Cost:  one remembered read if the group is there.
    """
    # A list of groups is remembered by the store, where a claim would be looked up for every port.
    known = await tx.list(SecurityGroup, _of(project_id))
    if known:
        return known[0].id
    id = tx.new_id()
    if not await tx.claim(_SPACE, project_id, id):
        # Another writer was faster since we looked.
        return (await tx.claimed(_SPACE, [project_id]))[project_id]
    await ensure_template(tx)
    group = SecurityGroup(
        id=id, project_id=project_id, name=DEFAULT_NAME, description="Default security group"
    )
    tx.insert(group)
    await copy_template(tx, group)
    return id


def forget_default(tx: Transaction, group: SecurityGroup) -> None:
    """Let the project have a new default group: this one is being deleted."""
    tx.release(_SPACE, group.project_id)


async def before_list(store: Store, caller: Caller, pairs: Sequence[tuple[str, str]]) -> None:
    """A project that looks at its groups has a default one; so has one an administrator looks at."""
    named = [value for name, value in pairs if name in ("project_id", "tenant_id")]
    project_id = named[0] if named else caller.project_id
    if not project_id or not (caller.is_admin or project_id == caller.project_id):
        return
    if not await store.reader.list(SecurityGroup, _of(project_id)):
        await store.write(lambda tx: default_group(tx, project_id))


def _of(project_id: str) -> Query:
    return Query((Condition("project_id", (project_id,)), _DEFAULT))
