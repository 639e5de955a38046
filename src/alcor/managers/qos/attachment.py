"""The QoS policy of what has one: one the caller may use; a new network that names none has its project's default."""

from typing import Any

from alcor.managers.interface import Caller, Values
from alcor.managers.qos.policy import find_default
from alcor.managers.row import get_visible, project_of
from alcor.managers.sharing import may_use
from alcor.model.errors import Forbidden
from alcor.model.qos_policy import QOS_POLICY, QosPolicy
from alcor.model.resource import UNSET
from alcor.store.interface import Transaction


async def complete_network(tx: Transaction, caller: Caller, row: Any, values: Values) -> Values:
    """What is said of a network (`row` None: a new one), its policy checked and filled in.

    Raises: NotFound for a policy the caller may not use; Forbidden if the present one is not the caller's to take away.
    """
    said = values.get("qos_policy_id", UNSET)
    wanted = None if said is UNSET else said
    if wanted is not None and (row is None or wanted != row.qos_policy_id):
        await get_visible(tx, caller, QosPolicy, wanted, kind=QOS_POLICY.error_name)
    if row is None and wanted is None:
        return values | {"qos_policy_id": await find_default(tx, project_of(caller, values))}
    if row is not None and said is not UNSET and wanted != row.qos_policy_id:
        await check_removal(tx, caller, row.qos_policy_id)
    return values


async def check_removal(tx: Transaction, caller: Caller, policy_id: str | None) -> None:
    """Raises: Forbidden if a policy was given by somebody whose policies the caller may not use."""
    policy = None if policy_id is None else await tx.find(QosPolicy, policy_id)
    if policy is not None and not await may_use(tx, caller, policy):
        raise Forbidden(
            f"Failed to remove QoS policy {policy.id}: it is another project's, given by an administrator, "
            "who alone may take it away."
        )
