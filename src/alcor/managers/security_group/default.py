"""Each project's default security group: made with the project's first port, so that no port is ever without one.

Nothing must open or go dark on the day packets obey groups (protocol, section 5).
"""

from alcor.model.security_group import SecurityGroup
from alcor.store.interface import Condition, Query, Transaction

_SPACE = "default_group"
_NAME = "default"
_DEFAULT = Condition("name", (_NAME,))


async def default_group(tx: Transaction, project_id: str) -> str:
    """The id of the project's default group, made if there is none yet.

    Shape: one claim in `default_group` per project; its owner is the group, so two writers make one.
    """
    # A list of groups is remembered by the store, where a claim would be looked up for every port.
    known = await tx.list(SecurityGroup, Query((Condition("project_id", (project_id,)), _DEFAULT)))
    if known:
        return known[0].id
    id = tx.new_id()
    if not await tx.claim(_SPACE, project_id, id):
        # Another writer was faster since we looked.
        return (await tx.claimed(_SPACE, [project_id]))[project_id]
    tx.insert(SecurityGroup(id=id, project_id=project_id, name=_NAME, description="Default security group"))
    return id
