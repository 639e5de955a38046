"""QoS policies: `/v2.0/qos/policies`.

A project has at most one default policy: a claim in `qos_default`, keyed by project, whose owner is the policy.
"""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Made, Rows, Values
from alcor.managers.qos.rule import rule_document, rules_of
from alcor.managers.rbac.share import forget, set_shared
from alcor.managers.rbac.use import REFERENCES
from alcor.managers.row import NAMED_MAX, name_users, new_row, replace_row
from alcor.model.catalogue import BY_ENTITY
from alcor.model.errors import Conflict, InUse, Problem
from alcor.model.qos_policy import QosPolicy
from alcor.model.rbac_policy import AS_SHARED
from alcor.model.resource import UNSET
from alcor.store.interface import Condition, Query, Store, Transaction

_SPACE = "qos_default"


async def create_policies(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add policies without rules. Raises: Conflict if one is to be a second default of its project."""
    made = []
    for values in many:
        row = new_row(tx, caller, QosPolicy, values)
        if row.is_default:
            await _become_default(tx, row)
        if values.get("shared", UNSET) is True:
            await set_shared(tx, caller, row, True)
        made.append(Made(await tx.get(QosPolicy, row.id)))
    return made


async def update_policy(tx: Transaction, caller: Caller, row: QosPolicy, values: Values) -> QosPolicy:
    """Raises: Conflict (a second default; no longer shared with who uses it)."""
    if values.get("is_default", row.is_default) != row.is_default:
        if values["is_default"]:
            await _become_default(tx, row)
        else:
            tx.release(_SPACE, row.project_id)
    if "shared" in values:
        await set_shared(tx, caller, row, values["shared"])
    return await replace_row(tx, row, {name: value for name, value in values.items() if name != "shared"})


async def delete_policy(tx: Transaction, _caller: Caller, row: QosPolicy) -> None:
    """Remove a policy and its rules. Raises: InUse naming what has it."""
    for reference in REFERENCES[("qos_policy", AS_SHARED)]:
        where = (Condition(reference.field, (row.id,)),)
        users = await tx.list(reference.entity, Query(where, limit=NAMED_MAX + 1))
        if users:
            what = BY_ENTITY[reference.entity].name
            raise InUse("qos_policy", row.id, by=name_users(what, [user.id for user in users]))
    for rule in await rules_of(tx, [row.id]):
        tx.delete(rule)
    if row.is_default:
        tx.release(_SPACE, row.project_id)
    await forget(tx, row)
    tx.delete(row)


async def find_default(tx: Transaction, project_id: str) -> str | None:
    """The id of the project's default policy. Cost: one look-up of a key."""
    return (await tx.claimed(_SPACE, [project_id])).get(project_id)


async def _become_default(tx: Transaction, row: QosPolicy) -> None:
    if not await tx.claim(_SPACE, row.project_id, row.id):
        raise Conflict(
            f"A default QoS policy exists for project {row.project_id}; make it an ordinary one first.",
            kind="qos_policy",
            id=row.id,
            problem=Problem.QOS_DEFAULT_EXISTS,
        )


async def load_rules(store: Store, _caller: Caller, rows: Sequence[Any]) -> dict[str, Any]:
    """The rules of each policy, by type. Cost: one read per type, however many policies."""
    return await documents_of(store.reader, [row.id for row in rows])


async def documents_of(rows: Rows, policy_ids: Sequence[str]) -> dict[str, Any]:
    """Policy id → its rules as documents."""
    found: dict[str, Any] = {id: [] for id in policy_ids}
    for rule in await rules_of(rows, policy_ids):
        found[rule.qos_policy_id].append(rule_document(rule))
    return found
