"""A port, for the host it is on and for hosts it is about to move to."""

from collections.abc import Iterable, Iterator, Mapping

from alcor.goalstate.derive.port import local_port, local_ports, routers_of
from alcor.goalstate.intent import By, Input, Intent
from alcor.goalstate.item import ItemKind, LocalPort
from alcor.goalstate.node.contract import Handler, Table, Turn
from alcor.goalstate.scope import ScopeKind


class LocalPortNode:
    """LocalPort in its host's scope; a port that moves leaves its old host's scope.

    Subscribes to: placements, which tell every change of a placed port itself; ports, for hosts that stand by and for
    interfaces of routers; networks, routers, peerings and trunks, for what the item says of them; hosts, for those
    that stand by. A change of a network's routers or policy costs O(ports of the network).
    """

    name = "local_port"
    kind = ItemKind.LOCAL_PORT
    scope_kind = ScopeKind.HOST
    inputs = (
        Input.PLACEMENTS,
        Input.PORTS,
        Input.HOSTS,
        Input.NETWORKS,
        Input.ROUTERS,
        Input.PEERINGS,
        Input.TRUNKS,
    )

    def __init__(self) -> None:
        self.table: Table[LocalPort] = Table()
        self.handlers: Mapping[Input, Handler] = {
            Input.PLACEMENTS: self._placements,
            Input.PORTS: self._ports,
            Input.HOSTS: self._hosts,
            Input.NETWORKS: self._networks,
            Input.ROUTERS: self._routers,
            Input.PEERINGS: self._peerings,
            Input.TRUNKS: self._trunks,
        }

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(ports), 0.4 µs each at a load."""
        self.table.replace(self._all(intent, turn))

    def _all(self, intent: Intent, turn: Turn) -> Iterator[tuple[str, LocalPort]]:
        routers: dict[str, tuple[str, ...]] = {}
        plain = set()  # networks that say nothing to their ports
        trunks, placed = bool(intent.trunks), turn.placed
        for id, port in intent.ports.items():
            if port.standby:
                yield from local_ports(intent, port)
            elif (placement := placed.get(id)) is not None:
                network_id = port.local.network_id
                if network_id in plain:
                    yield placement.host_id, port.local
                    continue
                found = routers.get(network_id)
                if found is None:
                    found = routers[network_id] = routers_of(intent, network_id)
                    network = intent.networks.get(network_id)
                    if not found and not trunks and (network is None or network.qos is None):
                        plain.add(network_id)
                yield placement.host_id, local_port(intent, port, found)

    def _placements(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.placements:
            if step.before is not None and (step.after is None or step.after.host_id != step.before.host_id):
                self.table.set(step.before.host_id, step.id, None)
            self._bring(intent, step.id)
        return True

    def _ports(self, intent: Intent, turn: Turn) -> bool:
        networks: set[str] = set()
        for step in turn.steps.of(Input.PORTS):
            before, after = step.before, step.after
            for port in (before, after):
                if port is not None and port.router_id is not None:
                    networks.add(port.local.network_id)
            if before is not None and before.standby:
                self._leave(intent, step.id, before.standby)
            if (before is not None and before.standby) or (after is not None and after.standby):
                self._bring(intent, step.id)
        self._bring_networks(intent, networks)
        return True

    def _hosts(self, intent: Intent, turn: Turn) -> bool:
        steps = turn.steps.of(Input.HOSTS)
        if any(
            step.before and step.after and step.before.item.name != step.after.item.name for step in steps
        ):
            return False
        for step in steps:
            if step.after is None:
                for id in list(self.table.ids_of(step.id)):
                    self.table.set(step.id, id, None)
            elif step.before is None:
                for id in intent.ports.find((By.STANDBY, step.after.item.name)):
                    self._bring(intent, id)
        return True

    def _networks(self, intent: Intent, turn: Turn) -> bool:
        changed = set()
        for step in turn.steps.of(Input.NETWORKS):
            policies = [network.qos if network is not None else None for network in (step.before, step.after)]
            if policies[0] != policies[1]:
                changed.add(step.id)
        self._bring_networks(intent, changed)
        return True

    def _routers(self, intent: Intent, turn: Turn) -> bool:
        networks: set[str] = set()
        for step in turn.steps.of(Input.ROUTERS):
            if step.before is None or step.after is None:
                interfaces = intent.ports.found((By.INTERFACE_OF, step.id))
                networks |= {port.local.network_id for port in interfaces}
        self._bring_networks(intent, networks)
        return True

    def _peerings(self, intent: Intent, turn: Turn) -> bool:
        steps = turn.steps.of(Input.PEERINGS)
        facts = [fact for step in steps for fact in (step.before, step.after) if fact is not None]
        self._bring_networks(intent, {network_id for fact in facts for network_id in fact.networks})
        return True

    def _trunks(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.steps.of(Input.TRUNKS):
            for trunk in (step.before, step.after):
                for sub in trunk.sub_ports if trunk is not None else ():
                    self._bring(intent, sub.port_id)
        return True

    def _bring_networks(self, intent: Intent, networks: Iterable[str]) -> None:
        for network_id in networks:
            for id in intent.ports.find((By.NETWORK, network_id)):
                self._bring(intent, id)

    def _leave(self, intent: Intent, id: str, host_names: Iterable[str]) -> None:
        for name in host_names:
            host = intent.host_named(name)
            if host is not None:
                self.table.set(host.item.id, id, None)

    def _bring(self, intent: Intent, id: str) -> None:
        """Set what is there; what is no longer there was removed by who saw it go."""
        port = intent.ports.get(id)
        if port is not None:
            for host_id, item in local_ports(intent, port):
                self.table.set(host_id, id, item)
