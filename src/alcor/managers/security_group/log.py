"""Logs of what groups decide: `/v2.0/log/logs`, `/v2.0/log/loggable-resources`. A log goes with its group or port."""

from typing import Any

from alcor.managers.interface import Ask, Caller, Manager, Route, Service, Values
from alcor.managers.plain import plain_manager
from alcor.managers.sharing import may_use
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.extension import Extension
from alcor.model.log import LOG, LOGGABLE, PREFIX, Log
from alcor.model.port import Port
from alcor.model.security_group import SecurityGroup
from alcor.store.interface import Condition, Query, Store, Transaction

_SERVICE = "security-group"

# Hosts enforce groups on interfaces of the switch; what a card passes to the guest by itself is not seen.
_VNIC_TYPES = frozenset({"normal"})

_LOGGING = Extension(
    "logging",
    "Logging API Extension",
    "Decisions of security groups can be written down.",
    "2017-01-01T10:00:00-00:00",
)


def managers() -> tuple[Manager | Service, ...]:
    """Logs, and the list of what can be logged."""
    kind = {"type": "object", "properties": {"type": {"type": "string", "enum": list(LOGGABLE)}}}
    route = Route(
        "GET",
        f"{PREFIX}/loggable-resources",
        list_loggable,
        "get_loggable_resource",
        "rule:admin_or_project_manager",
        "The kinds of resources whose decisions can be logged.",
        schema={
            "type": "object",
            "properties": {"loggable_resources": {"type": "array", "items": kind}},
        },
    )
    return plain_manager(LOG, _SERVICE, check=_check, extensions=(_LOGGING,)), Service(_SERVICE, (route,))


async def list_loggable(_store: Store, _ask: Ask) -> Any:
    """What can be logged."""
    return {"loggable_resources": [{"type": type_} for type_ in LOGGABLE]}


async def forget_group(tx: Transaction, group: SecurityGroup) -> None:
    """Remove the logs of a group that is being deleted."""
    await _forget(tx, Condition("resource_id", (group.id,)))


async def forget_logs_of_port(tx: Transaction, _caller: Caller, port: Port) -> None:
    """Remove the logs of a port that is being deleted."""
    await _forget(tx, Condition("target_id", (port.id,)))


async def _forget(tx: Transaction, which: Condition) -> None:
    for log in await tx.list(Log, Query((which,))):
        tx.delete(log)


async def _check(tx: Transaction, caller: Caller, row: Any, values: Values) -> Values:
    if row is not None:
        return values
    if values["resource_type"] not in LOGGABLE:
        raise InvalidInput(
            f"Invalid log resource_type: {values['resource_type']}; there is {', '.join(LOGGABLE)}.",
            problem=Problem.LOG_TYPE,
        )
    group_id, port_id = values.get("resource_id"), values.get("target_id")
    if group_id is not None:
        group = await tx.find(SecurityGroup, group_id)
        if group is None or not await may_use(tx, caller, group):
            raise _missing(f"Resource {group_id}", Problem.LOG_RESOURCE)
    if port_id is not None:
        port = await tx.find(Port, port_id)
        if port is None or not await may_use(tx, caller, port):
            raise _missing(f"Target resource {port_id}", Problem.LOG_TARGET)
        _check_port(port, group_id)
    return values


def _check_port(port: Port, group_id: str | None) -> None:
    if port.binding_vnic_type not in _VNIC_TYPES:
        raise Conflict(
            f"Logging type security_group is not supported on port {port.id}: its interface "
            f"('{port.binding_vnic_type}') is not the switch's.",
            kind="port",
            id=port.id,
            problem=Problem.LOG_NOT_SUPPORTED,
        )
    if group_id is not None and group_id not in (port.security_groups or ()):
        raise InvalidInput(
            f"Invalid resource constraint between resource (security_group {group_id}) and target resource "
            f"(port {port.id}): the port is not in the group.",
            problem=Problem.LOG_CONSTRAINT,
        )


def _missing(what: str, problem: Problem) -> Conflict:
    return Conflict(f"{what} could not be found.", problem=problem)
