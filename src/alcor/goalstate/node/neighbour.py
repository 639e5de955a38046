"""A port, for the rest of its network."""

from collections.abc import Iterator, Mapping

from alcor.goalstate.derive.port import neighbour, vtep_of
from alcor.goalstate.fact import HostFact
from alcor.goalstate.intent import Input, Intent
from alcor.goalstate.item import ItemKind, Neighbour
from alcor.goalstate.node.contract import Handler, Placement, Table, Turn, Unmade
from alcor.goalstate.scope import ScopeKind


class NeighbourNode:
    """Neighbour in its network's neighbours scope.

    Subscribes to: placements; hosts, for their tunnel address: a new one changes every neighbour on that host.
    """

    name = "neighbour"
    kind = ItemKind.NEIGHBOUR
    scope_kind = ScopeKind.NEIGHBOURS
    inputs = (Input.PLACEMENTS, Input.HOSTS)

    def __init__(self) -> None:
        self.table: Table[Neighbour] = Table(Unmade(Placement, self._at_load))
        self._hosts_then: Mapping[str, HostFact] = {}  # those that placements were loaded with
        self.handlers: Mapping[Input, Handler] = {
            Input.PLACEMENTS: self._placements,
            Input.HOSTS: self._hosts,
        }

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(placed ports). Of a load only what neighbours are made of is noted."""
        if self.table.is_empty:
            self._hosts_then = {id: host for id, host in intent.hosts.items() if vtep_of(host) is not None}
            self.table.begin(self._placements_there(turn))
        else:
            self.table.replace(self._all(intent, turn))

    def _placements_there(self, turn: Turn) -> dict[str, dict[str, Placement]]:
        """Network id → port id → where the port is, on hosts that can be reached."""
        rows: dict[str, dict[str, Placement]] = {}
        for id, placement in turn.placed.items():
            if placement.host_id in self._hosts_then:
                network_id = placement.port.local.network_id
                held = rows.get(network_id)
                if held is None:
                    held = rows[network_id] = {}
                held[id] = placement
        return rows

    def _at_load(self, placement: Placement) -> Neighbour | None:
        return neighbour(placement.port, self._hosts_then[placement.host_id])

    def _all(self, intent: Intent, turn: Turn) -> Iterator[tuple[str, Neighbour]]:
        for placement in turn.placed.values():
            item = neighbour(placement.port, intent.hosts[placement.host_id])
            if item is not None:
                yield placement.port.local.network_id, item

    def _placements(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.placements:
            before, after = step.before, step.after
            if before is not None and (
                after is None or after.port.local.network_id != before.port.local.network_id
            ):
                self.table.set(before.port.local.network_id, step.id, None)
            if after is not None:
                self._set(intent, after)
        return True

    def _hosts(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.steps.of(Input.HOSTS):
            # A host that came or went moved its ports, which `_placements` has seen.
            if step.before is None or step.after is None or vtep_of(step.before) == vtep_of(step.after):
                continue
            for port in intent.ports_named(step.after.item.name):
                placement = turn.placed.get(port.local.id)
                if placement is not None and placement.host_id == step.id:
                    self._set(intent, placement)
        return True

    def _set(self, intent: Intent, placement: Placement) -> None:
        local = placement.port.local
        self.table.set(local.network_id, local.id, neighbour(placement.port, intent.hosts[placement.host_id]))
