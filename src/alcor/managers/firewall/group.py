"""Firewall groups: `/v2.0/fwaas/firewall_groups`.

A port is in at most one group: a claim in `firewall_port`, keyed by port, whose owner is the group.
"""

from collections.abc import Sequence

from alcor.managers.firewall.default import DEFAULT, ensure_default, forget_default
from alcor.managers.interface import Caller, Made, Values
from alcor.managers.row import name_users, new_row, project_of, replace_row
from alcor.managers.sharing import may_use
from alcor.model.errors import Conflict, InUse, NotFound, Problem
from alcor.model.firewall import FirewallGroup, FirewallPolicy
from alcor.model.port import Port
from alcor.store.interface import Condition, Query, Transaction

_SPACE = "firewall_port"
_INTERFACES = (
    "network:router_interface",
    "network:router_interface_distributed",
    "network:ha_router_replicated_interface",
)
_POLICIES = ("ingress_firewall_policy_id", "egress_firewall_policy_id")
_NAME_ONLY = ("name",)
_OF_DEFAULT = ("name", "description", "admin_state_up", *_POLICIES)


async def create_groups(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add groups. The project's default one is made with its first. Raises: as `_check`."""
    made = []
    for values in many:
        project_id = project_of(caller, values)
        _check_name(values["name"])
        await _check(tx, caller, project_id, values, ())
        await ensure_default(tx, project_id)
        row = new_row(tx, caller, FirewallGroup, values)
        await _take(tx, row.id, row.ports)
        made.append(Made(await tx.get(FirewallGroup, row.id)))
    return made


async def update_group(tx: Transaction, caller: Caller, row: FirewallGroup, values: Values) -> FirewallGroup:
    """Raises: as `_check`; InUse for what nobody changes of a default group."""
    _check_name(values.get("name", ""))
    if row.is_default:
        kept = [name for name in (_NAME_ONLY if caller.is_admin else _OF_DEFAULT) if name in values]
        if kept:
            raise InUse(
                "firewall_group",
                row.id,
                by=f"it is its project's default group, whose {', '.join(kept)} cannot be changed",
                problem=Problem.FW_DEFAULT_UPDATE,
            )
    await _check(tx, caller, row.project_id, values, row.ports)
    if "ports" in values:
        for port_id in set(row.ports) - set(values["ports"]):
            tx.release(_SPACE, port_id)
        await _take(tx, row.id, [port_id for port_id in values["ports"] if port_id not in row.ports])
    return await replace_row(tx, row, values)


async def delete_group(tx: Transaction, caller: Caller, row: FirewallGroup) -> None:
    """Raises: InUse if it has ports, or is the default one and the caller no administrator."""
    if row.ports:
        raise InUse(
            "firewall_group", row.id, by=f"it has {name_users('port', row.ports)}; take them out first"
        )
    if row.is_default and not caller.is_admin:
        raise InUse(
            "firewall_group",
            row.id,
            by="it is its project's default group; only an administrator may delete it",
            problem=Problem.FW_DEFAULT_STAYS,
        )
    tx.delete(row)
    if row.is_default:
        await forget_default(tx, row)


async def leave_group(tx: Transaction, _caller: Caller, port: Port) -> None:
    """Take a port that is being deleted out of its group."""
    for group in await tx.list(FirewallGroup, Query((Condition("ports.port_id", (port.id,)),))):
        tx.release(_SPACE, port.id)
        await replace_row(tx, group, {"ports": tuple(one for one in group.ports if one != port.id)})


def _check_name(name: str) -> None:
    if name == DEFAULT:
        raise InUse(
            "name",
            f"'{name}'",
            by="it is reserved for the default firewall groups of projects",
            problem=Problem.FW_DEFAULT_NAME,
        )


async def _check(
    tx: Transaction, caller: Caller, project_id: str, values: Values, present: Sequence[str]
) -> None:
    """Raises: NotFound for a policy or port the caller may not use; Conflict for a port that cannot have a firewall."""
    for name in _POLICIES:
        if values.get(name) is not None:
            await _check_policy(tx, caller, project_id, values[name])
    for port_id in values.get("ports", ()):
        if port_id not in present:
            await _check_port(tx, caller, port_id)


async def _check_policy(tx: Transaction, caller: Caller, project_id: str, id: str) -> None:
    policy = await tx.find(FirewallPolicy, id)
    if policy is None or not (caller.is_admin or policy.shared or policy.project_id == caller.project_id):
        raise NotFound("firewall_policy", id)
    if not policy.shared and policy.project_id != project_id:
        raise NotFound(
            "firewall_policy",
            id,
            reason=f"Firewall policy {id} is of project {policy.project_id} and not shared; share it first.",
            problem=Problem.FW_POLICY_PROJECT,
        )


async def _check_port(tx: Transaction, caller: Caller, id: str) -> None:
    port = await tx.find(Port, id)
    if port is None or not await may_use(tx, caller, port):
        raise NotFound("port", id)
    if port.device_owner in _INTERFACES:
        return
    if not port.device_owner.startswith("compute:"):
        raise Conflict(
            f"Port {id} of firewall group is invalid: it is neither an interface of a router nor an instance's "
            f"(device_owner '{port.device_owner}').",
            kind="port",
            id=id,
            problem=Problem.FW_PORT_OWNER,
        )
    if port.binding_vif_type in ("unbound", "binding_failed"):
        raise Conflict(
            f"Port {id} is on no host yet; bind it before it is put into a firewall group.",
            kind="port",
            id=id,
            problem=Problem.FW_PORT_UNBOUND,
        )


async def _take(tx: Transaction, group_id: str, ports: Sequence[str]) -> None:
    taken = [port_id for port_id in ports if not await tx.claim(_SPACE, port_id, group_id)]
    if taken:
        raise InUse(
            "port",
            ", ".join(taken),
            by="another firewall group has it, and a port is in one at most",
            problem=Problem.FW_PORT_IN_USE,
        )
