"""The hosts of a network: where its broadcast and multicast packets go."""

from collections import Counter
from collections.abc import Mapping

from alcor.goalstate.derive.port import network_host, vtep_of
from alcor.goalstate.fact import HostFact
from alcor.goalstate.intent import Input, Intent
from alcor.goalstate.item import ItemKind, NetworkHost
from alcor.goalstate.node.contract import Handler, Placement, Table, Turn
from alcor.goalstate.scope import ScopeKind


class NetworkHostNode:
    """NetworkHost in the network's scope, for each host that holds at least one of its ports.

    Subscribes to: placements, counted per host and network, so that neither a first nor a last port needs a
    search; hosts, for their tunnel address.
    """

    name = "network_host"
    kind = ItemKind.NETWORK_HOST
    scope_kind = ScopeKind.NETWORK
    inputs = (Input.PLACEMENTS, Input.HOSTS)

    def __init__(self) -> None:
        self.table: Table[NetworkHost] = Table()
        self.handlers: Mapping[Input, Handler] = {
            Input.PLACEMENTS: self._placements,
            Input.HOSTS: self._hosts,
        }
        self._ports: dict[str, Counter[str]] = {}  # host id → network id → placed ports, all counts positive
        self._open: Counter[tuple[str, str]] = (
            Counter()
        )  # (host id, network id) → those without port security

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(placed ports)."""
        self._ports, self._open = {}, Counter()
        placed = turn.placed.values()
        counted = Counter((one.host_id, one.port.local.network_id) for one in placed)
        for (host_id, network_id), count in counted.items():
            self._ports.setdefault(host_id, Counter())[network_id] = count
        self._open.update(
            (one.host_id, one.port.local.network_id)
            for one in placed
            if not one.port.local.port_security_enabled
        )
        self.table.replace(
            (network_id, item)
            for host_id, networks in self._ports.items()
            for network_id in networks
            if (item := self._item(intent.hosts[host_id], network_id)) is not None
        )

    def _placements(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.placements:
            if step.after is not None:
                self._count(step.after, 1)
            if step.before is not None:
                self._count(step.before, -1)
        for step in turn.placements:
            for placement in (step.before, step.after):
                if placement is not None:
                    self._set(intent, placement.host_id, placement.port.local.network_id)
        return True

    def _hosts(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.steps.of(Input.HOSTS):
            if step.before is None or step.after is None or vtep_of(step.before) == vtep_of(step.after):
                continue
            for network_id in self._ports.get(step.id, ()):
                self._set(intent, step.id, network_id)
        return True

    def _count(self, placement: Placement, by: int) -> None:
        host_id, local = placement.host_id, placement.port.local
        networks = self._ports.setdefault(host_id, Counter())
        networks[local.network_id] += by
        if not networks[local.network_id]:
            del networks[local.network_id]
            if not networks:
                del self._ports[host_id]
        if not local.port_security_enabled:
            place = (host_id, local.network_id)
            self._open[place] += by
            if not self._open[place]:
                del self._open[place]

    def _item(self, host: HostFact, network_id: str) -> NetworkHost | None:
        return network_host(host, takes_unknown=(host.item.id, network_id) in self._open)

    def _set(self, intent: Intent, host_id: str, network_id: str) -> None:
        host = intent.hosts.get(host_id)
        held = host is not None and network_id in self._ports.get(host_id, ())
        self.table.set(
            network_id, host_id, self._item(host, network_id) if held and host is not None else None
        )
