"""Which host each port is on. The one node that looks up a host by name; the rest build on its answer."""

from collections.abc import Iterable, Mapping

from alcor.goalstate.fact import PortFact
from alcor.goalstate.intent import Input, Intent, Step
from alcor.goalstate.node.contract import Handler, Placement, Turn


class PlacementNode:
    """Port id → placement, for the ports that have one.

    Subscribes to: ports; hosts (a host that comes or goes moves the ports that name it); trunks, whose ports are where
    the parent is.
    When a host is renamed it declines: the API does not allow it, and a recompute is right.
    """

    name = "placement"
    inputs = (Input.PORTS, Input.HOSTS, Input.TRUNKS)

    def __init__(self, earlier: Mapping[str, Placement] | None = None) -> None:
        """`earlier`: placements before a reload, of the same epoch; what is unchanged keeps its revisions."""
        self.placed: dict[str, Placement] = dict(earlier or {})
        self.handlers: Mapping[Input, Handler] = {
            Input.PORTS: self._ports,
            Input.HOSTS: self._hosts,
            Input.TRUNKS: self._trunks,
        }
        self._before: dict[str, Placement | None] = {}

    def run(self, intent: Intent, turn: Turn) -> None:
        """Place every port. Cost: O(ports)."""
        remade = {step.id for step in turn.steps.of(Input.PORTS) if step.remade}
        for id in [id for id in self.placed if id not in intent.ports]:
            self._place(intent, turn, id, remade=False)
        for id in intent.ports:
            self._place(intent, turn, id, remade=id in remade)

    def load(self, intent: Intent, turn: Turn) -> None:
        """As `run`, and `take` does not tell of it. Cost: O(ports), 0.5 µs each where none was placed before."""
        if self.placed:
            self.run(intent, turn)
            self._before = {}
            return
        placed, revisions, revision = self.placed, turn.row_revisions, turn.revision
        hosts = {host.item.name: host.item.id for host in intent.hosts.values() if host.item.name}
        on_trunks = {one.port_id for trunk in intent.trunks.values() for one in trunk.sub_ports}
        for id, port in intent.ports.items():
            host_id = hosts.get(port.host_name)
            if id in on_trunks:
                host = intent.host_of(port)
                host_id = host.item.id if host is not None else None
            if host_id is not None:
                placed[id] = Placement(port, host_id, revisions.get(id, revision))

    def _ports(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.steps.of(Input.PORTS):
            for id in intent.with_sub_ports(step.id):
                self._place(intent, turn, id, remade=step.remade)
        return True

    def _trunks(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.steps.of(Input.TRUNKS):
            for trunk in (step.before, step.after):
                for sub in trunk.sub_ports if trunk is not None else ():
                    self._place(intent, turn, sub.port_id, remade=False)
        return True

    def _hosts(self, intent: Intent, turn: Turn) -> bool:
        steps = turn.steps.of(Input.HOSTS)
        if any(
            step.before and step.after and step.before.item.name != step.after.item.name for step in steps
        ):
            return False
        for step in steps:
            # A host that stays keeps its ports, whatever else of it changed.
            host = step.after if step.before is None else step.before if step.after is None else None
            if host is not None:
                self._place_all(intent, turn, intent.ports_named(host.item.name))
        return True

    def _place_all(self, intent: Intent, turn: Turn, ports: Iterable[PortFact]) -> None:
        for port in ports:
            self._place(intent, turn, port.local.id, remade=False)

    def _place(self, intent: Intent, turn: Turn, id: str, *, remade: bool) -> None:
        port = intent.ports.get(id)
        host = intent.host_of(port) if port is not None else None
        old = self.placed.get(id)
        if port is None or host is None:
            if old is not None:
                self._before.setdefault(id, old)
                del self.placed[id]
            return
        bound_at = turn.row_revisions.get(id, turn.revision)
        if (
            old is not None
            and old.host_id == host.item.id
            and not remade
            and old.port.generation == port.generation
            and old.port.local.admin_state_up == port.local.admin_state_up
        ):
            bound_at = old.bound_at
        new = Placement(port, host.item.id, bound_at)
        if new != old:
            self._before.setdefault(id, old)
            self.placed[id] = new

    def take(self) -> list[Step[Placement]]:
        """End the turn: the steps of placements."""
        touched, self._before = self._before, {}
        steps = []
        for id, before in touched.items():
            after = self.placed.get(id)
            if after != before:
                steps.append(Step(id, before, after))
        return steps
