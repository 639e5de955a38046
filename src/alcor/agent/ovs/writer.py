"""Which of two agents writes to a switch: its host's own, or a rescuer by its lease.

Flows:    the OpenFlow role. Who is MASTER writes; everybody with a role below is refused by the switch.
Database: a mark (`external_ids:alcor-lease` of the bridge) that a rescuer sets and the host's own agent takes away.
          Every transaction of a rescuer waits for its own mark, for no time at all, and so fails without it.

A rescuer sets its mark and then asks for its role again before it writes. If the agent was MASTER by then, the rescuer
is refused; if not, the agent takes the mark away after the rescuer set it. So never both write.
"""

from dataclasses import dataclass
from typing import Any, Final

from alcor.agent.driver import InternalPort, SwitchError
from alcor.agent.ovs.bridge import Bridge
from alcor.agent.ovs.connection import Connection, Refused
from alcor.agent.ovs.endpoint import TlsEndpoint
from alcor.agent.ovs.ovsdb import Database, Operation, to_map, to_set
from alcor.agent.ovs.role import (
    ROLE_REQUEST,
    Role,
    decode_role,
    encode_role,
    generation_of_lease,
    next_generation,
)
from alcor.telemetry.log import get_log

log = get_log("agent.ovs")

LEASE: Final = "alcor-lease"
_OURS: Final = {"alcor": "rescue"}


class Superseded(SwitchError):
    """Somebody with a higher generation programs the switch: a rescuer's work is over."""


@dataclass(frozen=True, slots=True)
class Remote:
    """Another host's switch, to be programmed by lease. `lease`: its generation."""

    database: TlsEndpoint
    openflow: TlsEndpoint
    lease: int


@dataclass(frozen=True, slots=True)
class Listen:
    """Where this host's switch listens for rescuers: files of its identity, and ports."""

    key: str
    certificate: str
    trusted: str
    ovsdb_port: int
    openflow_port: int


async def take_as_own(connection: Connection, bridge: Bridge, database: Database) -> None:
    """Be the writer of this host's switch, whoever is. Raises: SwitchError."""
    await retake(connection)
    mutations = [["external_ids", "delete", to_set([LEASE])]]
    where = [["name", "==", bridge.name]]
    await database.transact({"op": "mutate", "table": "Bridge", "where": where, "mutations": mutations})


async def retake(connection: Connection) -> None:
    """Have the highest generation. Raises: SwitchError."""
    reply = await connection.request(ROLE_REQUEST, encode_role(Role.NOCHANGE, 0), "to tell its generation")
    found = decode_role(reply)
    await _take(connection, next_generation(found.generation))


async def take_by_lease(connection: Connection, bridge: Bridge, database: Database, lease: int) -> None:
    """Be the writer of another host's switch. Raises: Superseded if a higher generation is there; SwitchError."""
    generation = generation_of_lease(lease)
    await _take_or_end(connection, generation)
    mark = str(lease)
    where = [["name", "==", bridge.name]]
    mutations = [
        ["external_ids", "delete", to_set([LEASE])],
        ["external_ids", "insert", to_map({LEASE: mark})],
    ]
    await database.transact({"op": "mutate", "table": "Bridge", "where": where, "mutations": mutations})
    await _take_or_end(connection, generation)
    database.guard = guard_of(bridge.name, lease)


async def _take_or_end(connection: Connection, generation: int) -> None:
    try:
        await _take(connection, generation)
    except Refused as error:
        raise Superseded(f"the lease is over: {error}") from error


async def _take(connection: Connection, generation: int) -> None:
    await connection.request(
        ROLE_REQUEST, encode_role(Role.MASTER, generation), f"role MASTER by generation {generation:#x}"
    )


def guard_of(bridge: str, lease: int) -> Operation:
    """What every transaction of a rescuer begins with: it fails at once unless the mark of this lease stands."""
    return {
        "op": "wait",
        "table": "Bridge",
        "timeout": 0,
        "where": [["name", "==", bridge], ["external_ids", "includes", to_map({LEASE: str(lease)})]],
        "columns": ["name"],
        "until": "==",
        "rows": [{"name": bridge}],
    }


async def listen(database: Database, bridge: Bridge, how: Listen) -> None:
    """Have the switch listen for rescuers, also when this agent is dead. Idempotent; flows stay.

    Raises: SwitchError; also if the switch has a TLS configuration that is not ours.
    """
    root, ssl, managers, controllers = await database.transact(
        {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["ssl"]},
        {"op": "select", "table": "SSL", "where": []},
        {"op": "select", "table": "Manager", "where": []},
        {"op": "select", "table": "Controller", "where": []},
    )
    wanted = {"private_key": how.key, "certificate": how.certificate, "ca_cert": how.trusted}
    operations: list[Operation] = []
    if not any(_has(row, wanted) for row in ssl["rows"]):
        if any(["alcor", "rescue"] not in row["external_ids"][1] for row in ssl["rows"]):
            raise SwitchError(
                "the switch has a TLS configuration of somebody else's (ovs-vsctl get-ssl), so that neighbours cannot "
                "rescue it; remove it (ovs-vsctl del-ssl) or set rescue.enabled to false"
            )
        operations += _put("SSL", {**wanted, "external_ids": to_map(_OURS)}, "Open_vSwitch", [], "ssl")
    manager = {"target": f"pssl:{how.ovsdb_port}"}
    if not any(_has(row, manager) for row in managers["rows"]):
        row = {**manager, "external_ids": to_map(_OURS)}
        operations += _put("Manager", row, "Open_vSwitch", [], "manager_options")
    controller = {"target": f"pssl:{how.openflow_port}"}
    used = [row for row in controllers["rows"] if row["_uuid"][1] in bridge.get()[1].controller]
    if len(used) != 1 or not _has(used[0], controller):
        row = {**controller, "connection_mode": "out-of-band", "external_ids": to_map(_OURS)}
        where = [["name", "==", bridge.name]]
        operations += _put("Controller", row, "Bridge", where, "controller")
    if operations:
        log.info("switch_listens", ovsdb=how.ovsdb_port, openflow=how.openflow_port, roots=len(root["rows"]))
        await database.transact(*operations)


def _has(row: dict[str, Any], wanted: dict[str, str]) -> bool:
    return all(row[name] == value for name, value in wanted.items())


def _put(table: str, row: dict[str, Any], holder: str, where: list[Any], column: str) -> list[Operation]:
    name = f"new_{table.lower()}"
    new = ["set", [["named-uuid", name]]]
    change: Operation = {"op": "update", "table": holder, "where": where, "row": {column: new}}
    if column == "manager_options":
        mutations = [[column, "insert", new]]
        change = {"op": "mutate", "table": holder, "where": where, "mutations": mutations}
    return [{"op": "insert", "table": table, "row": row, "uuid-name": name}, change]


async def find_service_port(endpoint: TlsEndpoint, bridge: str) -> InternalPort | None:
    """The port of the metadata service that a host's own agent has made in its switch. Raises: SwitchError."""
    database = await Database.open(endpoint, lambda: None)
    try:
        for port in database.ports.values():
            for id in port.interfaces if port.external_ids.get("alcor-port") == bridge else ():
                row = database.interfaces.get(id)
                if row is not None and row.type == "internal":
                    return InternalPort(row.name, row.mac)
        return None
    finally:
        database.close()
