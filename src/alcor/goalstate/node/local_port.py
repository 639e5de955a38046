"""A port, for the host it is on."""

from collections.abc import Mapping

from alcor.goalstate.intent import Intent
from alcor.goalstate.item import ItemKind, LocalPort
from alcor.goalstate.node.contract import Handler, Input, Table, Turn
from alcor.goalstate.scope import ScopeKind


class LocalPortNode:
    """LocalPort in its host's scope. Subscribes to placements; a port that moves leaves its old host's scope."""

    name = "local_port"
    kind = ItemKind.LOCAL_PORT
    scope_kind = ScopeKind.HOST
    inputs = (Input.PLACEMENTS,)

    def __init__(self) -> None:
        self.table: Table[LocalPort] = Table()
        self.handlers: Mapping[Input, Handler] = {Input.PLACEMENTS: self._placements}

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(placed ports)."""
        self.table.replace((placement.host_id, placement.port.local) for placement in turn.placed.values())

    def _placements(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.placements:
            if step.before is not None and (step.after is None or step.after.host_id != step.before.host_id):
                self.table.set(step.before.host_id, step.id, None)
            if step.after is not None:
                self.table.set(step.after.host_id, step.id, step.after.port.local)
        return True
