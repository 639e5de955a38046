"""A small OVSDB client: a monitored copy of the few columns the driver reads, and transactions.

Uses `monitor_cond`, whose updates carry the difference of a map and not the whole map: the local numbers of
10,000 ports live in one map of the Bridge row. Source: RFC 7047; ovsdb-server(7), sections 4.1.12 to 4.1.14.
Why not the `ovs` package: `docs/decisions/0002-ovsdb-client.md`.
"""

import asyncio
import dataclasses
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final, Self

from alcor.agent.driver import SwitchError
from alcor.agent.ovs.endpoint import Endpoint
from alcor.agent.ovs.jsonrpc import JsonRpc

Operation = Mapping[str, Any]
"""One operation of a transaction, as RFC 7047, section 5.2 writes it."""


@dataclass(slots=True)
class InterfaceRow:
    """What the driver reads of an Interface."""

    name: str = ""
    type: str = ""
    ofport: int | None = None
    error: str | None = None
    external_ids: dict[str, str] = field(default_factory=dict)
    options: dict[str, str] = field(default_factory=dict)
    mac: str | None = None
    bfd: dict[str, str] = field(default_factory=dict)
    bfd_status: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class PortRow:
    """What the driver reads of a Port."""

    name: str = ""
    interfaces: set[str] = field(default_factory=set)
    external_ids: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class BridgeRow:
    """What the driver reads of a Bridge."""

    name: str = ""
    datapath_type: str = ""
    fail_mode: str | None = None
    protocols: set[str] = field(default_factory=set)
    controller: set[str] = field(default_factory=set)
    ports: set[str] = field(default_factory=set)
    external_ids: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class RootRow:
    """What the driver reads of the one Open_vSwitch row."""

    bridges: set[str] = field(default_factory=set)
    next_cfg: int = 0
    cur_cfg: int = 0
    ovs_version: str | None = None
    external_ids: dict[str, str] = field(default_factory=dict)


class _Kind(Enum):
    SCALAR = "one value"
    OPTIONAL = "at most one value"
    SET = "set"
    MAP = "map"


def _kind(column: "dataclasses.Field[Any]") -> _Kind:
    if column.default_factory is dict:
        return _Kind.MAP
    if column.default_factory is set:
        return _Kind.SET
    return _Kind.OPTIONAL if column.default is None else _Kind.SCALAR


def _kinds(row: type) -> dict[str, _Kind]:
    return {column.name: _kind(column) for column in dataclasses.fields(row)}


_KINDS: Final[dict[type, dict[str, _Kind]]] = {
    row: _kinds(row) for row in (InterfaceRow, PortRow, BridgeRow, RootRow)
}


def _atom(wire: Any) -> Any:
    """An atom: uuids become their text."""
    return wire[1] if isinstance(wire, list) else wire


def _atoms(wire: Any) -> list[Any]:
    """A set, which OVSDB writes as the bare element when it has exactly one."""
    if isinstance(wire, list) and wire[0] == "set":
        return [_atom(element) for element in wire[1]]
    return [_atom(wire)]


def _decode(kind: _Kind, wire: Any) -> Any:
    match kind:
        case _Kind.SCALAR:
            return _atom(wire)
        case _Kind.OPTIONAL:
            return next(iter(_atoms(wire)), None)
        case _Kind.SET:
            return set(_atoms(wire))
        case _Kind.MAP:
            return {_atom(key): _atom(value) for key, value in wire[1]}


def _merge(kind: _Kind, had: Any, wire: Any) -> Any:
    """A value after a `modify`: sets and maps come as differences, what holds at most one as its new value."""
    new = _decode(kind, wire)
    if kind is _Kind.SET:
        return had ^ new
    if kind is _Kind.MAP:
        for key, value in new.items():
            if had.get(key) == value:
                del had[key]
            else:
                had[key] = value
        return had
    return new


class Database:
    """The monitored tables by uuid, and transactions.

    `ports_version` grows whenever something changed that plugged interfaces are found by. When the connection ends,
    `rpc.closed` is done with the reason and every `until` raises.
    """

    def __init__(self) -> None:
        self.interfaces: dict[str, InterfaceRow] = {}
        self.ports: dict[str, PortRow] = {}
        self.bridges: dict[str, BridgeRow] = {}
        self.roots: dict[str, RootRow] = {}
        self._tables: dict[str, tuple[type, dict[str, Any]]] = {
            "Interface": (InterfaceRow, self.interfaces),
            "Port": (PortRow, self.ports),
            "Bridge": (BridgeRow, self.bridges),
            "Open_vSwitch": (RootRow, self.roots),
        }
        self._on_change: Callable[[], None] = lambda: None
        self._changed = asyncio.Event()
        # Updates that come in the same read as the first answer, which they build on; None once it is applied.
        self._early: list[Any] | None = []
        self.ports_version = 0
        self.guard: Operation | None = None
        """Said first in every transaction: without it, nothing is done."""
        self._rpc: JsonRpc | None = None

    @classmethod
    async def open(cls, socket: Endpoint, on_change: Callable[[], None]) -> Self:
        """Connect and fill the tables; from then on `on_change` is called after every update.

        Raises: SwitchError.
        """
        database = cls()
        database._rpc = await JsonRpc.open(socket, database._take)
        database._rpc.closed.add_done_callback(lambda _: database._changed.set())
        wanted = {
            name: [{"columns": list(_KINDS[row]), "where": [True]}]
            for name, (row, _) in database._tables.items()
        }
        try:
            tables = await database._rpc.request("monitor_cond", ["Open_vSwitch", None, wanted])
        except BaseException:
            database.close()
            raise
        database._update(tables)
        for early in database._early or ():
            database._update(early)
        database._early = None
        database._on_change = on_change
        return database

    @property
    def rpc(self) -> JsonRpc:
        """The connection."""
        if self._rpc is None:
            raise SwitchError("the database is not connected")
        return self._rpc

    def _take(self, method: str, params: list[Any]) -> None:
        if method != "update2":
            return
        if self._early is not None:
            self._early.append(params[1])
            return
        self._update(params[1])
        self._changed.set()
        self._on_change()

    async def until(self, predicate: Callable[[], bool]) -> None:
        """Return when `predicate()` is true of the tables. Raises: SwitchError when the connection ends first."""
        while not predicate():
            if self.rpc.closed.done():
                raise SwitchError(self.rpc.closed.result())
            self._changed.clear()
            await self._changed.wait()

    def _update(self, tables: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> None:
        for name, changes in tables.items():
            row_type, rows = self._tables[name]
            kinds = _KINDS[row_type]
            # The bridge's other columns change with every number saved.
            if name in ("Interface", "Port") or any("ports" in c.get("modify", c) for c in changes.values()):
                self.ports_version += 1
            for uuid, change in changes.items():
                if "delete" in change:
                    rows.pop(uuid, None)
                elif "modify" in change:
                    row = rows[uuid]
                    for column, wire in change["modify"].items():
                        setattr(row, column, _merge(kinds[column], getattr(row, column), wire))
                else:
                    columns = change.get("initial") or change.get("insert") or {}
                    rows[uuid] = row_type(
                        **{name: _decode(kinds[name], wire) for name, wire in columns.items()}
                    )

    async def transact(self, *operations: Operation) -> list[dict[str, Any]]:
        """Do all operations or none; returns one result each.

        Raises: SwitchError naming the operation refused and the server's reason.
        """
        if self.guard is not None:
            operations = (self.guard, *operations)
        results: list[dict[str, Any] | None] = await self.rpc.request(
            "transact", ["Open_vSwitch", *operations]
        )
        for index, result in enumerate(results):
            if result is not None and "error" in result:
                # One result more than there are operations is the commit itself.
                what = operations[index]["op"] if index < len(operations) else "commit"
                table = operations[index].get("table", "") if index < len(operations) else ""
                reason = f"{result['error']}: {result.get('details', 'no details')}"
                raise SwitchError(f"the switch's database refused {what} {table}: {reason}")
        return [result or {} for result in results[self.guard is not None :]]

    def close(self) -> None:
        """End the connection. Idempotent."""
        if self._rpc is not None:
            self._rpc.close()


def to_map(values: Mapping[str, str]) -> list[Any]:
    """A map as OVSDB writes it."""
    return ["map", [[key, value] for key, value in values.items()]]


def to_set(values: Sequence[Any]) -> list[Any]:
    """A set as OVSDB writes it."""
    return ["set", list(values)]
