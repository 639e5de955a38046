"""Which security groups a port is in, and what port security has to do with them.

Ports of the network's own services (`network:…`) have no port security and are in no group, as the API has it.
"""

from collections.abc import Iterable
from typing import Any

from alcor.managers.interface import Caller, Values
from alcor.managers.security_group.mixture import check_not_mixed
from alcor.managers.sharing import shared_of
from alcor.model.errors import Conflict, InUse, InvalidInput, NotFound, Problem
from alcor.model.port import Port
from alcor.model.resource import UNSET
from alcor.model.security_group import SECURITY_GROUP, SecurityGroup
from alcor.store.interface import Condition, Query, Transaction

_SERVICE = "network:"


def is_service(device_owner: str) -> bool:
    """Whether a port is one of the network's own: a router's, the DHCP server's."""
    return device_owner.startswith(_SERVICE)


def is_secured(values: Values, default: bool) -> bool:
    """Whether a new port has port security. `default`: what its network says."""
    if is_service(values.get("device_owner", "")):
        return False
    said = values.get("port_security_enabled", UNSET)
    return default if said is UNSET else bool(said)


def wanted_groups(values: Values) -> tuple[str, ...] | None:
    """The groups a client names, each once; None if it leaves the choice to us."""
    said = values.get("security_groups", UNSET)
    return None if said is UNSET else tuple(dict.fromkeys(said))


async def check_groups(tx: Transaction, caller: Caller, wanted: Iterable[tuple[str, str]]) -> None:
    """Refuse groups that a port may not be in. `wanted`: (group id, project of the port).

    A group is its project's; another's must be shared with the project, and an administrator may name any.
    Cost:   one read, and one more if a group is of another project.
    Raises: NotFound, also for a group that is there and not shared.
    """
    pairs = list(dict.fromkeys(wanted))
    if not pairs:
        return
    ids = tuple(dict.fromkeys(id for id, _ in pairs))
    found = {row.id: row for row in await tx.list(SecurityGroup, Query((Condition("id", ids),)))}
    for id, project_id in pairs:
        group = found.get(id)
        if group is not None and (caller.is_admin or group.project_id == project_id):
            continue
        if group is None or not await _is_shared(tx, id, project_id):
            raise NotFound(SECURITY_GROUP.error_name or SECURITY_GROUP.name, id)


async def _is_shared(tx: Transaction, id: str, project_id: str) -> bool:
    actions = SECURITY_GROUP.shared_as
    return bool(actions) and bool(await shared_of(tx, SECURITY_GROUP.name, actions, [id], project_id))


def check_new(values: Values, *, secured: bool) -> None:
    """Refuse groups and address pairs for a port without port security. Raises: InvalidInput, Conflict."""
    if secured:
        return
    if values.get("allowed_address_pairs"):
        raise pairs_need_security()
    if wanted_groups(values):
        raise _groups_need_security()


async def change_groups(tx: Transaction, caller: Caller, row: Port, values: Values) -> dict[str, Any]:
    """The change of groups and port security that an update makes.

    Raises: InvalidInput, Conflict, InUse where port security is off and there are groups or pairs; NotFound (group).
    """
    said = "security_groups" in values
    wanted = wanted_groups(values) or ()
    if not values.get("port_security_enabled", row.port_security_enabled):
        if values.get("allowed_address_pairs", row.allowed_address_pairs):
            raise pairs_need_security()
        if wanted:
            raise _groups_need_security()
        if not said and row.security_groups:
            raise InUse(
                "port",
                row.id,
                by=f"it is in security groups {', '.join(row.security_groups)}; set security_groups to [] before or "
                "with switching port security off",
                problem=Problem.PORT_HAS_GROUPS,
            )
    if not said:
        return {}
    present = set(row.security_groups or ())
    await check_groups(tx, caller, [(id, row.project_id) for id in wanted if id not in present])
    await check_not_mixed(tx, wanted)
    return {"security_groups": wanted}


def pairs_need_security() -> Conflict:
    """Address pairs are exceptions from port security: without it there is nothing to except from."""
    return Conflict(
        "Port security must be enabled for a port to have allowed address pairs: switch it on, or clear "
        "allowed_address_pairs.",
        kind="port",
        problem=Problem.PAIRS_NEED_SECURITY,
    )


def _groups_need_security() -> InvalidInput:
    return InvalidInput(
        "Port security must be enabled for a port to be in security groups: switch it on, or set "
        "security_groups to [].",
        problem=Problem.GROUPS_NEED_SECURITY,
    )
