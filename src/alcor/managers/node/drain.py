"""Draining a host: nothing new comes, its gateways are served by others, and what is left is named."""

from typing import Any

from alcor.managers.interface import Caller, Values
from alcor.managers.row import replace_row
from alcor.model.errors import InvalidInput
from alcor.model.host import DRAINING, IN, OUT, Host
from alcor.model.port import Port
from alcor.store.interface import Condition, Query, Store, Transaction

NAMED_MAX = 100


async def drain(tx: Transaction, _caller: Caller, row: Host, values: Values) -> dict[str, Any]:
    """Let nothing new come; what is on the host stays until it is moved or deleted. A host that is out stays out.

    Returns: {host}. Raises: InvalidInput if the body is not empty.
    """
    _refuse_members("drain", values)
    return {"host": row if row.rotation == OUT else await replace_row(tx, row, {"rotation": DRAINING})}


async def undrain(tx: Transaction, _caller: Caller, row: Host, values: Values) -> dict[str, Any]:
    """Let work come again. Returns: {host}. Raises: InvalidInput if the body is not empty."""
    _refuse_members("undrain", values)
    return {"host": await replace_row(tx, row, {"rotation": IN})}


async def load_drain(store: Store, _caller: Caller, row: Host) -> dict[str, Any]:
    """What is left on a host. Cost: one indexed read of at most `NAMED_MAX` ports, and a count.

    Shape: {drain: {rotation, ports_left, ports: [{id, name, device_id}]}}, the first `NAMED_MAX` of them.
    """
    where = (Condition("binding_host_id", (row.name,)),)
    ports = await store.reader.list(Port, Query(where=where, limit=NAMED_MAX))
    count = len(ports)
    if count == NAMED_MAX:
        count = (await store.reader.count_by(Port, "binding_host_id", [row.name])).get(row.name, count)
    named = [{"id": port.id, "name": port.name, "device_id": port.device_id} for port in ports]
    return {"drain": {"rotation": row.rotation, "ports_left": count, "ports": named}}


def _refuse_members(action: str, values: Values) -> None:
    if values:
        raise InvalidInput(f"{action} takes no members, got {sorted(values)}.")
