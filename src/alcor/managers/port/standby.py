"""Bindings of a port as a collection of their own: the active one, and hosts that stand by for a move.

`/v2.0/ports/{port_id}/bindings[/{host}[/activate]]`. Nothing of it is a row: the active binding is the port's own
`binding:*`, the others are in `Port.extra`. Source: Networking API v2.0, "Port bindings extended".
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from alcor.managers.interface import Ask, Caller, Route, Service, Values
from alcor.managers.port.binding import UNBOUND, find_host_names, next_generation, vif_type
from alcor.managers.port.manager import change_addresses, change_mac, update_port
from alcor.managers.row import replace_row
from alcor.model.address import Mac
from alcor.model.change import Origin
from alcor.model.errors import Conflict, InvalidInput, NotFound, Problem
from alcor.model.extension import Extension
from alcor.model.port import VNIC_TYPES, Binding, Port, extra_of, vif_details, with_extra
from alcor.model.value import Choice, FreeForm, Schema, Text, ValueType
from alcor.store.interface import Store, Transaction

ACTIVE, INACTIVE = "ACTIVE", "INACTIVE"
# More hosts than a server can be about to move to; it bounds the port's row.
STANDBY_MAX = 16

_PATH = "/v2.0/ports/{port_id}/bindings"
_ONE = _PATH + "/{host}"
_RIGHT = "rule:admin_or_service"
_MEMBERS: Mapping[str, ValueType] = {
    "host": Text(255, 1),
    "vnic_type": Choice(VNIC_TYPES),
    "profile": FreeForm(),
    "project_id": Text(255),
    "tenant_id": Text(255),
}
_MOVABLE = ("compute:", "manila:")

EXTENSION = Extension(
    "binding-extended",
    "Port Bindings Extended",
    "A port is prepared on a second host before it moves there.",
    "2017-07-17T10:00:00-00:00",
)

_Change = Callable[[Transaction, Port], Awaitable[Port]]


def service(reserved_macs: Iterable[Mac]) -> Service:
    """The paths of bindings."""
    desk = _Desk(frozenset(reserved_macs))
    one, many = (
        _schema(),
        {"type": "object", "properties": {"bindings": {"type": "array", "items": _schema()}}},
    )
    wrapped = {"type": "object", "properties": {"binding": one}}
    said = {"type": "object", "properties": {"binding": {"type": "object"}}, "required": ["binding"]}
    return Service(
        "port",
        (
            Route("GET", _PATH, _list, "get_port_binding", _RIGHT, "List a port's bindings.", schema=many),
            Route(
                "POST",
                _PATH,
                desk.create,
                "create_port_binding",
                _RIGHT,
                "Prepare a port on another host.",
                status=201,
                schema=wrapped,
                body_schema=said,
            ),
            Route("GET", _ONE, _show, "get_port_binding", _RIGHT, "Show one binding.", schema=wrapped),
            Route(
                "PUT",
                _ONE,
                desk.update,
                "update_port_binding",
                _RIGHT,
                "Change one binding.",
                schema=wrapped,
                body_schema=said,
            ),
            Route(
                "DELETE",
                _ONE,
                desk.delete,
                "delete_port_binding",
                _RIGHT,
                "Remove one binding; the active one leaves the port unbound.",
                status=204,
            ),
            Route(
                "PUT",
                _ONE + "/activate",
                desk.activate,
                "activate",
                _RIGHT,
                "Move the port to this host.",
                schema=one,
            ),
        ),
        extensions=(EXTENSION,),
    )


def _schema() -> Schema:
    text = {"type": "string"}
    return {
        "type": "object",
        "properties": {
            "host": text,
            "vif_type": text,
            "vif_details": {"type": "object"},
            "vnic_type": {"type": "string", "enum": list(VNIC_TYPES)},
            "profile": {"type": "object"},
            "status": {"type": "string", "enum": [ACTIVE, INACTIVE]},
            "project_id": text,
        },
    }


def shown(row: Port) -> list[dict[str, Any]]:
    """The bindings as clients see them, the active one first; it is there without a host too."""
    trusted = extra_of(row).trusted
    active = Binding(row.binding_host_id, row.binding_vnic_type, row.binding_profile, row.binding_vif_type)
    documents = []
    for status, one in [(ACTIVE, active), *((INACTIVE, one) for one in extra_of(row).bindings)]:
        marked = trusted is not None and one.vif_type != UNBOUND
        documents.append(
            {
                "host": one.host,
                "vif_type": one.vif_type,
                "vif_details": vif_details(one.vif_type),
                "vnic_type": one.vnic_type,
                "profile": {**one.profile, "trusted": trusted} if marked else one.profile,
                "status": status,
                "project_id": row.project_id,
            }
        )
    return documents


async def _port(rows: Any, caller: Caller, id: str) -> Port:
    """The port of a path. The policy has let the caller in; another project's is for administrators and services.

    Raises: NotFound; InvalidInput for one that does not move with a server.
    """
    row: Port | None = await rows.find(Port, id)
    if row is None or not (caller.sees_every("port") or caller.owns(row)):
        raise NotFound("port", id)
    if not row.device_owner.startswith(_MOVABLE):
        raise InvalidInput(
            f"Port {id} has no bindings to manage: it is '{row.device_owner}', not a server's or a shared file "
            "system's.",
            problem=Problem.BAD_REQUEST,
        )
    return row


def _standing_by(row: Port, host: str) -> Binding | None:
    return next((one for one in extra_of(row).bindings if one.host == host), None)


def _missing(row: Port, host: str) -> NotFound:
    return NotFound(
        "port_binding",
        host,
        reason=f"Port {row.id} has no binding on host {host}.",
        problem=Problem.BINDING_MISSING,
    )


async def _list(store: Store, ask: Ask) -> dict[str, Any]:
    found = shown(await _port(store.reader, ask.caller, ask.names["port_id"]))
    for name in ("host", "status", "vif_type", "vnic_type"):
        wanted = [value for key, value in ask.pairs if key == name]
        if wanted:
            found = [one for one in found if one[name] in wanted]
    return {"bindings": _cut(ask, found)}


async def _show(store: Store, ask: Ask) -> dict[str, Any]:
    row = await _port(store.reader, ask.caller, ask.names["port_id"])
    return {"binding": _cut(ask, [_of_host(row, ask.names["host"])])[0]}


def _of_host(row: Port, host: str) -> dict[str, Any]:
    """Raises: NotFound."""
    found = next((one for one in shown(row) if one["host"] == host), None)
    if found is None:
        raise _missing(row, host)
    return found


def _cut(ask: Ask, found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    fields = {value for key, value in ask.pairs if key == "fields" and value}
    return [{name: value for name, value in one.items() if not fields or name in fields} for one in found]


def _said(body: Any) -> dict[str, Any]:
    """What a body says of a binding, parsed. Raises: InvalidInput."""
    inner = body.get("binding") if isinstance(body, dict) else None
    if not isinstance(inner, dict):
        raise InvalidInput("The body must be {'binding': {…}}.", problem=Problem.BAD_REQUEST)
    unknown = sorted(str(name) for name in inner.keys() - _MEMBERS.keys())
    if unknown:
        raise InvalidInput(
            f"Unrecognized attribute(s) '{', '.join(unknown)}'", problem=Problem.UNKNOWN_ATTRIBUTE
        )
    said = {}
    for name, value in inner.items():
        try:
            said[name] = _MEMBERS[name].parse(value)
        except ValueError as error:
            raise InvalidInput(str(error), attribute=name) from error
    return said


async def _plugged(tx: Transaction, row: Port, one: Binding) -> Binding:
    """A binding, bound. Raises: Conflict if the host is not there, or cannot plug it."""
    vif = vif_type(one.host, await find_host_names(tx, [one.host]), one.vnic_type, one.profile)
    if vif == "binding_failed":
        raise Conflict(
            f"Port {row.id} cannot be bound to host {one.host} as {one.vnic_type}: there is no such host, it takes "
            "nothing new (it drains, or is out of rotation), or none of its switches plugs such an interface.",
            kind="port",
            id=row.id,
            problem=Problem.BINDING_FAILED,
        )
    return Binding(one.host, one.vnic_type, one.profile, vif)


class _Desk:
    """What changes bindings: each a transaction of its own."""

    def __init__(self, reserved: frozenset[Mac]) -> None:
        self._reserved = reserved

    async def create(self, store: Store, ask: Ask) -> dict[str, Any]:
        """Raises: Conflict (PortBindingAlreadyExists, PortBindingError), InvalidInput, NotFound."""
        said = _said(ask.body)
        if "host" not in said:
            raise InvalidInput("Required attribute 'host' not specified", problem=Problem.BAD_REQUEST)
        wanted = Binding(said["host"], said.get("vnic_type", "normal"), said.get("profile", {}))

        async def change(tx: Transaction, row: Port) -> Port:
            present = extra_of(row).bindings
            if wanted.host == row.binding_host_id or _standing_by(row, wanted.host) is not None:
                raise Conflict(
                    f"Port {row.id} has a binding on host {wanted.host} already; change or delete that.",
                    kind="port",
                    id=row.id,
                    problem=Problem.BINDING_EXISTS,
                )
            if len(present) >= STANDBY_MAX:
                raise Conflict(
                    f"Port {row.id} has {STANDBY_MAX} bindings that stand by; delete some first.",
                    kind="port",
                    id=row.id,
                )
            bindings = (*present, await _plugged(tx, row, wanted))
            return await replace_row(tx, row, {"extra": with_extra(row.extra, bindings=bindings)})

        return {"binding": _of_host(await _write(store, ask, change), wanted.host)}

    async def update(self, store: Store, ask: Ask) -> dict[str, Any]:
        """Raises: as `create`; NotFound (PortBindingNotFound)."""
        said, host = _said(ask.body), ask.names["host"]

        async def change(tx: Transaction, row: Port) -> Port:
            if host == row.binding_host_id:
                changes = {f"binding_{name}": said[name] for name in ("vnic_type", "profile") if name in said}
                if "host" in said:
                    changes["binding_host_id"] = said["host"]
                return await update_port(tx, row, changes, self._reserved, ask.caller)
            before = _standing_by(row, host)
            if before is None:
                raise _missing(row, host)
            wanted = Binding(
                said.get("host", host),
                said.get("vnic_type", before.vnic_type),
                said.get("profile", before.profile),
            )
            plugged = await _plugged(tx, row, wanted)
            bindings = tuple(plugged if one is before else one for one in extra_of(row).bindings)
            return await replace_row(tx, row, {"extra": with_extra(row.extra, bindings=bindings)})

        return {"binding": _of_host(await _write(store, ask, change), said.get("host", host))}

    async def delete(self, store: Store, ask: Ask) -> None:
        """Raises: NotFound."""
        host = ask.names["host"]

        async def change(tx: Transaction, row: Port) -> Port:
            if host == row.binding_host_id:
                return await update_port(tx, row, {"binding_host_id": ""}, self._reserved, ask.caller)
            if _standing_by(row, host) is None:
                raise _missing(row, host)
            bindings = tuple(one for one in extra_of(row).bindings if one.host != host)
            return await replace_row(tx, row, {"extra": with_extra(row.extra, bindings=bindings)})

        await _write(store, ask, change)

    async def activate(self, store: Store, ask: Ask) -> dict[str, Any]:
        """Move the port; the host it leaves stands by, unbound.

        Raises: Conflict (PortBindingAlreadyActive, PortBindingError); NotFound.
        """
        host = ask.names["host"]

        async def change(tx: Transaction, row: Port) -> Port:
            if host == row.binding_host_id:
                raise Conflict(
                    f"The binding of port {row.id} on host {host} is active already.",
                    kind="port",
                    id=row.id,
                    problem=Problem.BINDING_ACTIVE,
                )
            found = _standing_by(row, host)
            if found is None:
                raise _missing(row, host)
            return await self._move(tx, row, await _plugged(tx, row, found))

        return _of_host(await _write(store, ask, change), host)

    async def _move(self, tx: Transaction, row: Port, to: Binding) -> Port:
        left = Binding(row.binding_host_id, row.binding_vnic_type, row.binding_profile)
        others = tuple(one for one in extra_of(row).bindings if one.host != to.host)
        values: Values = {
            "binding_host_id": to.host,
            "binding_vnic_type": to.vnic_type,
            "binding_profile": to.profile,
        }
        mac = await change_mac(tx, row, values, row.device_owner, self._reserved)
        changes: Values = values | {
            "binding_vif_type": to.vif_type,
            "binding_generation": next_generation(
                row, host_id=to.host, vif=to.vif_type, admin_state_up=row.admin_state_up
            ),
            "extra": with_extra(row.extra, bindings=(*((left,) if left.host else ()), *others)),
        }
        if mac != row.mac_address:
            changes |= {"mac_address": mac, "fixed_ips": await change_addresses(tx, row, mac, {})}
        return await replace_row(tx, row, changes)


async def _write(store: Store, ask: Ask, change: _Change) -> Port:
    caller = ask.caller

    async def work(tx: Transaction) -> Port:
        return await change(tx, await _port(tx, caller, ask.names["port_id"]))

    return (await store.write(work, Origin(caller.request_id, caller.user_id, caller.project_id))).value
