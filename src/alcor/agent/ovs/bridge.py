"""The bridge in the switch's database: made or adopted, its plugged interfaces, tunnel ports and local numbers."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address
from typing import Any, Final

from alcor.agent.driver import SwitchError
from alcor.agent.ovs.ovsdb import BridgeRow, Database, InterfaceRow, Operation, to_map, to_set
from alcor.telemetry.log import get_log

_log = get_log("agent.ovs")

_OPENFLOW_15: Final = "OpenFlow15"
_EVERY_OPENFLOW: Final = ("OpenFlow10", "OpenFlow11", "OpenFlow12", "OpenFlow13", "OpenFlow14", _OPENFLOW_15)
"""What an empty `protocols` column means to Open vSwitch from 2.17 on; older ones leave 1.5 out."""

_NUMBER_PREFIX: Final = "alcor:"
OFPORT_MAX: Final = 0xFEFF
"""Above are reserved ports (the bridge's own is 0xfffe)."""

TUNNEL_TYPES: Final = ("geneve", "gre", "vxlan")

TUNNEL_SOURCE: Final = "alcor-tunnel-source"
"""A key of Open_vSwitch's external_ids. `route`: tunnels have no `local_ip`. An ovs-vswitchd that was started with
`--disable-system-route` sends from no other address than its routes say (docs/decisions/0033-routes-read-anew.md).
"""


def _insert(table: str, name: str, row: Mapping[str, Any]) -> Operation:
    return {"op": "insert", "table": table, "row": dict(row), "uuid-name": name}


class Bridge:
    """One bridge by name in a connected database. All methods raise SwitchError when the database is gone."""

    def __init__(
        self, database: Database, name: str, datapath_type: str | None, *, keeps_controller: bool = False
    ) -> None:
        """`keeps_controller`: one that `writer.listen` has made, by which a rescuer connects."""
        self._keeps_controller = keeps_controller
        self._database = database
        self._name = name
        self._datapath_type = datapath_type
        self._duplicates: dict[str, tuple[str, ...]] = {}

    def find(self) -> tuple[str, BridgeRow] | None:
        """Uuid and row, if the bridge is there."""
        for uuid, row in self._database.bridges.items():
            if row.name == self._name:
                return uuid, row
        return None

    def get(self) -> tuple[str, BridgeRow]:
        """Uuid and row. Raises: SwitchError if the bridge has gone."""
        found = self.find()
        if found is None:
            raise SwitchError(f"bridge {self._name} is not in the switch's database")
        return found

    @property
    def name(self) -> str:
        """The bridge's name."""
        return self._name

    @property
    def _where(self) -> list[Any]:
        return [["_uuid", "==", ["uuid", self.get()[0]]]]

    async def ensure(self) -> None:
        """Have the bridge, secure and without a controller; ports and other settings of one that is there stay.

        Open vSwitch itself drops all flows of a bridge whose fail_mode or controller changes: foreign flows
        survive the adoption of a bridge that is secure already, and the flow with which a standalone bridge
        switches everything to everywhere never does.
        """
        await self._database.until(lambda: bool(self._database.roots))
        found = self.find()
        if found is None:
            await self._create()
            await self._database.until(lambda: self.find() is not None)
            return
        _, row = found
        change: dict[str, Any] = {}
        if row.fail_mode != "secure":
            change["fail_mode"] = "secure"
        if row.controller and not self._keeps_controller:
            # A controller's own idea of the flows would fight ours.
            change["controller"] = to_set([])
        if _OPENFLOW_15 not in row.protocols:
            change["protocols"] = to_set(
                sorted(row.protocols | {_OPENFLOW_15}) if row.protocols else _EVERY_OPENFLOW
            )
        if self._datapath_type is not None and row.datapath_type != self._datapath_type:
            change["datapath_type"] = self._datapath_type
        if change:
            _log.info("bridge_adopted", bridge=self._name, changed=sorted(change))
            await self._database.transact(
                {"op": "update", "table": "Bridge", "where": self._where, "row": change}
            )

    async def _create(self) -> None:
        row: dict[str, Any] = {
            "name": self._name,
            "fail_mode": "secure",
            "protocols": to_set(_EVERY_OPENFLOW),
            "ports": ["named-uuid", "port"],
        }
        if self._datapath_type is not None:
            row["datapath_type"] = self._datapath_type
        uuids = ["set", [["named-uuid", "bridge"]]]
        await self._database.transact(
            _insert("Interface", "interface", {"name": self._name, "type": "internal"}),
            _insert("Port", "port", {"name": self._name, "interfaces": ["named-uuid", "interface"]}),
            _insert("Bridge", "bridge", row),
            {
                "op": "mutate",
                "table": "Open_vSwitch",
                "where": [],
                "mutations": [["bridges", "insert", uuids]],
            },
        )
        _log.info("bridge_created", bridge=self._name)

    async def settle(self, *operations: Operation) -> list[dict[str, Any]]:
        """Do operations, and return when ovs-vswitchd has carried them out (or tried: see Interface.error)."""
        bump: Operation = {
            "op": "mutate",
            "table": "Open_vSwitch",
            "where": [],
            "mutations": [["next_cfg", "+=", 1]],
        }
        ask: Operation = {"op": "select", "table": "Open_vSwitch", "where": [], "columns": ["next_cfg"]}
        results = await self._database.transact(*operations, bump, ask)
        wanted = results[-1]["rows"][0]["next_cfg"]
        await self._database.until(lambda: any(r.cur_cfg >= wanted for r in self._database.roots.values()))
        return results

    def complaint(self) -> str | None:
        """Why ovs-vswitchd could not make the bridge, if it says so."""
        for row in self._database.interfaces.values():
            if row.name == self._name and row.error:
                return row.error
        return None

    def _interfaces(self) -> list[InterfaceRow]:
        database = self._database
        rows = []
        for port_id in self.get()[1].ports:
            port = database.ports.get(port_id)
            for interface_id in port.interfaces if port else ():
                row = database.interfaces.get(interface_id)
                if row is not None:
                    rows.append(row)
        return rows

    def vifs(self) -> dict[str, int]:
        """Plugged interfaces: `external_ids:iface-id` → OpenFlow port number.

        Of several interfaces with one iface-id the one with the lowest port number wins, which is the one plugged
        first: who claims an identity later does not take its traffic away. Each such case is logged once.
        Cost: linear in the bridge's ports.
        """
        claims: dict[str, list[tuple[int, str]]] = {}
        for row in self._interfaces():
            vif = row.external_ids.get("iface-id")
            if vif and row.ofport is not None and 0 < row.ofport <= OFPORT_MAX:
                claims.setdefault(vif, []).append((row.ofport, row.name))
        duplicates: dict[str, tuple[str, ...]] = {}
        for vif, claimants in claims.items():
            if len(claimants) > 1:
                claimants.sort()
                duplicates[vif] = tuple(name for _, name in claimants)
                if self._duplicates.get(vif) != duplicates[vif]:
                    _log.warning(
                        "vif_plugged_twice", vif=vif, wins=claimants[0][1], ignored=duplicates[vif][1:]
                    )
        self._duplicates = duplicates
        return {vif: claimants[0][0] for vif, claimants in claims.items()}

    # Local numbers.

    def load_numbers(self) -> dict[str, int]:
        """The numbers kept in the bridge's external_ids."""
        numbers = {}
        for key, value in self.get()[1].external_ids.items():
            if not key.startswith(_NUMBER_PREFIX):
                continue
            if value.isdecimal():
                numbers[key.removeprefix(_NUMBER_PREFIX)] = int(value)
            else:
                _log.warning("local_number_unreadable", key=key, value=value)
        return numbers

    async def save_numbers(self, put: Mapping[str, int], remove: Sequence[str]) -> None:
        """Keep and forget numbers in one transaction whose size is that of the change, not of the map."""
        gone = to_set([_NUMBER_PREFIX + name for name in {*put, *remove}])
        kept = to_map({_NUMBER_PREFIX + name: str(number) for name, number in put.items()})
        # `insert` leaves a key that is there as it is, so what changes is deleted first.
        mutations = [["external_ids", "delete", gone], ["external_ids", "insert", kept]]
        await self._database.transact(
            {"op": "mutate", "table": "Bridge", "where": self._where, "mutations": mutations}
        )
        row = self.get()[1].external_ids
        await self._database.until(
            lambda: (
                all(row.get(_NUMBER_PREFIX + name) == str(number) for name, number in put.items())
                and all(_NUMBER_PREFIX + name not in row for name in remove if name not in put)
            )
        )

    # Tunnels.

    async def ensure_tunnels(self, vteps: Sequence[str], types: Sequence[str]) -> dict[str, int]:
        """Have one flow-based tunnel port per type; see `Switch.ensure_tunnels`."""
        unknown = sorted(set(types) - set(TUNNEL_TYPES))
        if unknown:
            raise SwitchError(f"no tunnel type {', '.join(unknown)}; there are {', '.join(TUNNEL_TYPES)}")
        options = {"remote_ip": "flow", "key": "flow"}
        if len({ip_address(vtep).version for vtep in vteps}) == 1 and not self.routes_say_source:
            options["local_ip"] = vteps[0]
        # Else no local_ip: Open vSwitch would send from it to ends of the other family too, in a header of its own
        # family without a destination (tried). Without it the route to each end decides.
        operations: list[Operation] = []
        for kind in types:
            operations += self._tunnel_operations(kind, options)
        if operations or any(not self._tunnel_is_up(kind) for kind in types):
            await self.settle(*operations)
        return {kind: self._tunnel_ofport(kind) for kind in types}

    @property
    def routes_say_source(self) -> bool:
        """Whether the switch's operator says (`TUNNEL_SOURCE`) that tunnels' source addresses are those of routes.

        It stands in the switch's database, not in a setting of the agent: a rescuer must do as the host's own agent.
        """
        return any(row.external_ids.get(TUNNEL_SOURCE) == "route" for row in self._database.roots.values())

    def _find_tunnel(self, kind: str) -> tuple[str, InterfaceRow] | None:
        for uuid, row in self._database.interfaces.items():
            if row.name == tunnel_name(kind):
                return uuid, row
        return None

    def _tunnel_operations(self, kind: str, options: Mapping[str, str]) -> list[Operation]:
        found = self._find_tunnel(kind)
        wanted: dict[str, Any] = {"type": kind, "options": to_map(options)}
        name = tunnel_name(kind)
        if found is None:
            ports = ["set", [["named-uuid", f"port_{kind}"]]]
            return [
                _insert("Interface", f"interface_{kind}", {"name": name, **wanted}),
                _insert(
                    "Port", f"port_{kind}", {"name": name, "interfaces": ["named-uuid", f"interface_{kind}"]}
                ),
                {
                    "op": "mutate",
                    "table": "Bridge",
                    "where": self._where,
                    "mutations": [["ports", "insert", ports]],
                },
            ]
        uuid, row = found
        if all(row is not other for other in self._interfaces()):
            raise SwitchError(f"port {name} is on another bridge than {self._name}; delete it there")
        if row.type == kind and row.options == options:
            return []
        _log.info("tunnel_corrected", port=name, had=dict(row.options), has=dict(options))
        where = [["_uuid", "==", ["uuid", uuid]]]
        return [{"op": "update", "table": "Interface", "where": where, "row": wanted}]

    def _tunnel_is_up(self, kind: str) -> bool:
        found = self._find_tunnel(kind)
        return found is not None and found[1].ofport is not None and 0 < found[1].ofport <= OFPORT_MAX

    def _tunnel_ofport(self, kind: str) -> int:
        found = self._find_tunnel(kind)
        name = tunnel_name(kind)
        if found is None:
            raise SwitchError(f"port {name} has been removed from the switch's database")
        row = found[1]
        if row.ofport is None or not 0 < row.ofport <= OFPORT_MAX:
            raise SwitchError(
                f"the switch could not make tunnel port {name}: {row.error or 'it gives no reason'}"
            )
        return row.ofport


def tunnel_name(kind: str) -> str:
    """The name of the tunnel port of one type (interface names have at most 15 characters)."""
    return f"alcor-{kind}"
