"""Ports of the bridge that are neither VIFs nor flow-based tunnels: internal, patch and watched tunnel ports.

Those made here carry `external_ids:alcor-port` with the bridge's name on their Port row, so that a fresh driver knows
them and removes what nobody wants any more. A port that is there without it is put right, and never removed.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, assert_never

from alcor.agent.driver import InternalPort, PatchPort, PortSpec, SwitchError, TunnelHealth, TunnelPort
from alcor.agent.ovs.bridge import OFPORT_MAX, TUNNEL_TYPES, Bridge
from alcor.agent.ovs.ovsdb import Database, InterfaceRow, Operation, to_map, to_set
from alcor.model.address import Ip
from alcor.telemetry.log import get_log

_log = get_log("agent.ovs")

_MARK: Final = "alcor-port"
_NAME_MAX: Final = 15


class _Wanted(NamedTuple):
    """One port as its rows are to be."""

    name: str
    bridge: str
    type: str
    options: Mapping[str, str]
    mac: str | None = None
    bfd: Mapping[str, str] = {}

    @property
    def columns(self) -> dict[str, Any]:
        """What is written of the Interface."""
        return {
            "type": self.type,
            "options": to_map(self.options),
            "mac": self.mac if self.mac is not None else to_set([]),
            "bfd": to_map(self.bfd),
        }

    def is_like(self, row: InterfaceRow) -> bool:
        """Whether an Interface is so already."""
        return (row.type, row.options, row.mac, row.bfd) == (self.type, self.options, self.mac, self.bfd)


def _expand(spec: PortSpec, bridge: str, *, routes_say_source: bool) -> Iterator[_Wanted]:
    match spec:
        case InternalPort(name, mac):
            yield _Wanted(name, bridge, "internal", {}, mac)
        case PatchPort(name, other, peer):
            yield _Wanted(name, bridge, "patch", {"peer": peer})
            yield _Wanted(peer, other, "patch", {"peer": name})
        case TunnelPort(name, type, remote, local):
            if type not in TUNNEL_TYPES:
                raise SwitchError(f"port {name}: no tunnel type {type}; there are {', '.join(TUNNEL_TYPES)}")
            options = {"remote_ip": str(remote), "key": "0"}
            if local is not None and not routes_say_source:
                options["local_ip"] = str(local)
            yield _Wanted(name, bridge, type, options, None, {"enable": "true"})
        case _:
            assert_never(spec)


class ExtraPorts:
    """The ports beside VIFs and flow-based tunnels of one bridge. All methods raise SwitchError without a database."""

    def __init__(self, database: Database, bridge: Bridge) -> None:
        self._database = database
        self._bridge = bridge

    async def ensure(self, ports: Sequence[PortSpec]) -> dict[str, int]:
        """See `Switch.ensure_ports`. One transaction; nothing is sent if all is as it should be.

        Raises: SwitchError naming a port that the switch cannot make, with its reason; the others are there.
        """
        name = self._bridge.name
        routed = self._bridge.routes_say_source
        wanted = {port.name: port for spec in ports for port in _expand(spec, name, routes_say_source=routed)}
        operations: list[Operation] = []
        for number, port in enumerate(wanted.values()):
            operations += self._put(port, number)
        for uuid, row in self._database.ports.items():
            if row.external_ids.get(_MARK) == name and row.name not in wanted:
                operations += self._drop(uuid)
                _log.info("port_removed", port=row.name)
        if operations or any(self._ofport(spec.name) is None for spec in ports):
            await self._bridge.settle(*operations)
        found = {}
        for spec in ports:
            ofport = self._ofport(spec.name)
            if ofport is None:
                made = self._interface(spec.name)
                reason = made[1].error if made is not None else "it has been removed"
                raise SwitchError(
                    f"the switch could not make port {spec.name}: {reason or 'no reason given'}"
                )
            found[spec.name] = ofport
        return found

    def _interface(self, name: str) -> tuple[str, InterfaceRow] | None:
        return next(
            ((uuid, row) for uuid, row in self._database.interfaces.items() if row.name == name), None
        )

    def _ofport(self, name: str) -> int | None:
        found = self._interface(name)
        if found is None or found[1].ofport is None or not 0 < found[1].ofport <= OFPORT_MAX:
            return None
        return found[1].ofport

    def _bridge_of(self, interface: str) -> str | None:
        port = next((uuid for uuid, row in self._database.ports.items() if interface in row.interfaces), None)
        return next((row.name for row in self._database.bridges.values() if port in row.ports), None)

    def _put(self, port: _Wanted, number: int) -> list[Operation]:
        if len(port.name) > _NAME_MAX:
            raise SwitchError(f"port {port.name}: a name has at most {_NAME_MAX} characters")
        found = self._interface(port.name)
        if found is not None:
            uuid, row = found
            where = self._bridge_of(uuid)
            if where != port.bridge:
                raise SwitchError(
                    f"port {port.name} is on bridge {where}, not {port.bridge}; delete it there"
                )
            if port.is_like(row):
                return []
            _log.info("port_corrected", port=port.name, had=dict(row.options), has=dict(port.options))
            named = [["_uuid", "==", ["uuid", uuid]]]
            return [{"op": "update", "table": "Interface", "where": named, "row": port.columns}]
        if all(row.name != port.bridge for row in self._database.bridges.values()):
            raise SwitchError(f"port {port.name}: there is no bridge {port.bridge}")
        interface, row_name = f"extra_interface_{number}", f"extra_port_{number}"
        insert = [["ports", "insert", ["set", [["named-uuid", row_name]]]]]
        return [
            {
                "op": "insert",
                "table": "Interface",
                "uuid-name": interface,
                "row": {"name": port.name, **port.columns},
            },
            {
                "op": "insert",
                "table": "Port",
                "uuid-name": row_name,
                "row": {
                    "name": port.name,
                    "interfaces": ["named-uuid", interface],
                    "external_ids": to_map({_MARK: self._bridge.name}),
                },
            },
            {
                "op": "mutate",
                "table": "Bridge",
                "where": [["name", "==", port.bridge]],
                "mutations": insert,
            },
        ]

    def _drop(self, port: str) -> Iterator[Operation]:
        for uuid, row in self._database.bridges.items():
            if port in row.ports:
                mutations = [["ports", "delete", ["set", [["uuid", port]]]]]
                where = [["_uuid", "==", ["uuid", uuid]]]
                yield {"op": "mutate", "table": "Bridge", "where": where, "mutations": mutations}

    def health(self) -> dict[Ip, TunnelHealth]:
        """What BFD says of each watched VTEP; those it has said nothing of yet are left out.

        Source: ovs-vswitchd.conf.db(5), Interface, "BFD Status": `flap_count` counts how often `forwarding` changed.
        """
        found = [
            TunnelHealth(
                Ip(row.options["remote_ip"]),
                row.bfd_status["forwarding"] == "true",
                was_up=row.bfd_status.get("flap_count") != "0",
            )
            for row in self._database.interfaces.values()
            if row.bfd.get("enable") == "true"
            and "forwarding" in row.bfd_status
            and "remote_ip" in row.options
        ]
        return {health.vtep: health for health in found}


def changes_of_health(
    before: Mapping[Ip, TunnelHealth], after: Mapping[Ip, TunnelHealth]
) -> list[TunnelHealth]:
    """What to tell of two states; one that is no longer watched is told of no more."""
    return [health for vtep, health in after.items() if before.get(vtep) != health]
