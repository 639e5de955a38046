"""The parameters of all hosts: the settings that were started last."""

from collections.abc import Mapping

from alcor.goalstate.intent import Input, Intent
from alcor.goalstate.item import ItemKind, RegionItem
from alcor.goalstate.node.contract import Handler, Table, Turn
from alcor.goalstate.scope import REGION, ScopeKind


class RegionNode:
    """RegionItem in the region's scope. Subscribes to settings, and runs whole: it is one item."""

    name = "region"
    kind = ItemKind.REGION
    scope_kind = ScopeKind.REGION
    inputs = (Input.SETTINGS,)

    def __init__(self) -> None:
        self.table: Table[RegionItem] = Table()
        self.handlers: Mapping[Input, Handler] = {}

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(1)."""
        self.table.replace([(REGION.id, intent.region)])
