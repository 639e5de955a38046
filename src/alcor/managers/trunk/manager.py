"""The Trunk Manager: trunks and the ports on them.

A port that is on a trunk names it (`Port.extra.trunk_id`), so that two trunks that want one port write one row, and the
port is refused to anybody else for the price of nothing.
"""

from collections.abc import Sequence
from typing import Any

import msgspec

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.port.status import load_status
from alcor.managers.row import new_row, replace_row
from alcor.managers.trunk.rules import SUB_PORT_OWNER, check_sub_ports, get_parent
from alcor.model.errors import Conflict, InvalidInput, NotFound, Problem
from alcor.model.extension import Extension
from alcor.model.port import Port, with_extra
from alcor.model.trunk import SUB_PORTS, TRUNK, SubPort, Trunk, WantedSubPort, shown_sub_ports
from alcor.store.interface import Store, Transaction

ACTIVE, DOWN = "ACTIVE", "DOWN"

EXTENSIONS = (
    Extension(
        "trunk",
        "Trunk Extension",
        "One interface of a guest reaches several networks, told apart by VLAN tags.",
        "2016-01-01T10:00:00-00:00",
    ),
    Extension(
        "trunk-details",
        "Trunk port details",
        "A trunk's parent port shows the ports on it.",
        "2016-01-01T10:00:00-00:00",
    ),
)


def manager() -> Manager:
    """`/v2.0/trunks`, with `add_subports`, `remove_subports` and `get_subports`."""
    return Manager(
        TRUNK,
        "trunk",
        create=create,
        update=update,
        delete=delete,
        computed={"status": load_trunk_status},
        children={"get_subports": show_sub_ports},
        actions={"add_subports": add_sub_ports, "remove_subports": remove_sub_ports},
        extensions=EXTENSIONS,
    )


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Make trunks. A parent port may be bound already.

    Raises: as `trunk.rules`.
    """
    made = []
    for values in many:
        parent = await get_parent(tx, caller, values["port_id"])
        found = await check_sub_ports(tx, caller, parent, values.get("sub_ports", ()), ())
        row = new_row(tx, caller, Trunk, values, port_id=parent.id, sub_ports=tuple(tag for _, tag in found))
        _mark(tx, parent, row.id)
        for port, _ in found:
            _mark(tx, port, row.id, device_owner=SUB_PORT_OWNER)
        made.append(Made(await tx.get(Trunk, row.id), {"status": DOWN}))
    return made


async def update(tx: Transaction, _caller: Caller, row: Trunk, values: Values) -> Trunk:
    """Change name, description or administrative state."""
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: Trunk) -> None:
    """Remove a trunk; its ports are ports like others again. Raises: Conflict if it is administratively down."""
    _check_up(row)
    await _unmark(tx, [row.port_id, *(one.port_id for one in row.sub_ports)])
    tx.delete(row)


async def add_sub_ports(tx: Transaction, caller: Caller, row: Trunk, body: Values) -> Trunk:
    """Put ports on a trunk: `{"sub_ports": […]}`. Returns: the trunk. Raises: Conflict (disabled), as `trunk.rules`."""
    wanted = _wanted(body)
    parent = await tx.get(Port, row.port_id)
    found = await check_sub_ports(tx, caller, parent, wanted, row.sub_ports)
    _check_up(row)
    for port, _ in found:
        _mark(tx, port, row.id, device_owner=SUB_PORT_OWNER)
    return await _changed(tx, row, (*row.sub_ports, *(tag for _, tag in found)))


async def remove_sub_ports(tx: Transaction, _caller: Caller, row: Trunk, body: Values) -> Trunk:
    """Take ports from a trunk: `{"sub_ports": [{"port_id": …}]}`. Returns: the trunk.

    Raises: Conflict (disabled); NotFound for a port that is not on it.
    """
    wanted = _wanted(body)
    _check_up(row)
    gone = {one.port_id for one in wanted}
    missing = gone - {one.port_id for one in row.sub_ports}
    if missing:
        raise NotFound(
            "sub_port",
            min(missing),
            reason=f"Port {min(missing)} is not a subport of trunk {row.id}.",
            problem=Problem.SUBPORT_MISSING,
        )
    await _unmark(tx, sorted(gone))
    return await _changed(tx, row, tuple(one for one in row.sub_ports if one.port_id not in gone))


async def show_sub_ports(_store: Store, _caller: Caller, row: Trunk) -> dict[str, Any]:
    """`GET <trunk>/get_subports`."""
    return {"sub_ports": shown_sub_ports(row)}


async def load_trunk_status(store: Store, caller: Caller, rows: Sequence[Trunk]) -> dict[str, str]:
    """ACTIVE if the parent port and every subport are. Cost: as the status of the ports, and one read of them."""
    ids = sorted({id for row in rows for id in _port_ids(row)})
    ports = await store.reader.find_many(Port, ids)
    status = await load_status(store, caller, list(ports.values()))
    return {
        row.id: ACTIVE if all(status.get(id) == ACTIVE for id in _port_ids(row)) else DOWN for row in rows
    }


def _port_ids(row: Trunk) -> list[str]:
    return [row.port_id, *(one.port_id for one in row.sub_ports)]


def _wanted(body: Values) -> tuple[WantedSubPort, ...]:
    if set(body) != {"sub_ports"}:
        raise InvalidInput("The body must be {'sub_ports': […]} and nothing else.")
    try:
        wanted: tuple[WantedSubPort, ...] = SUB_PORTS.parse(body["sub_ports"])
    except ValueError as error:
        raise InvalidInput(str(error), attribute="sub_ports") from error
    return wanted


def _check_up(row: Trunk) -> None:
    if not row.admin_state_up:
        raise Conflict(
            f"Trunk {row.id} is disabled: set its admin_state_up first.",
            kind="trunk",
            id=row.id,
            problem=Problem.TRUNK_DISABLED,
        )


def _mark(tx: Transaction, port: Port, trunk_id: str | None, **changes: Any) -> None:
    tx.update(msgspec.structs.replace(port, extra=with_extra(port.extra, trunk_id=trunk_id), **changes))


async def _unmark(tx: Transaction, ids: Sequence[str]) -> None:
    for id in ids:
        port = await tx.get(Port, id)
        owner = "" if port.device_owner == SUB_PORT_OWNER else port.device_owner
        _mark(tx, port, None, device_owner=owner)


async def _changed(tx: Transaction, row: Trunk, sub_ports: tuple[SubPort, ...]) -> Trunk:
    """The trunk after a change, as the action answers it: without a wrapping member."""
    return await replace_row(tx, row, {"sub_ports": sub_ports})
