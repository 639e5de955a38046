"""Nodes whose items are made of one fact each: hosts, networks, subnets, members and prefixes of groups."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, TypeVar

from alcor.goalstate.derive.port import groups_enforced, member, members
from alcor.goalstate.intent import Input, Intent
from alcor.goalstate.item import HostItem, Item, ItemKind, LocalPort, ReleaseItem, RescueItem, SubnetItem
from alcor.goalstate.node.contract import Handler, Table, Turn, Unmade
from alcor.goalstate.scope import REGION, ScopeKind
from alcor.goalstate.security_item import Member, Prefix

I = TypeVar("I", bound=Item)  # noqa: E741 - the usual letter for "item" here


class RowNode(Generic[I]):
    """The items of each fact. Subscribes to one input and follows it; a fact that leaves takes its items along."""

    def __init__(
        self,
        kind: ItemKind,
        scope_kind: ScopeKind,
        input: Input,
        items: Callable[[Any], Iterable[tuple[str, I]]],
    ) -> None:
        """`items`: fact → (scope id, item); no two facts make one of the same scope and id."""
        self.name, self.kind, self.scope_kind, self.inputs = kind.value, kind, scope_kind, (input,)
        self.table: Table[I] = Table()
        self.handlers: Mapping[Input, Handler] = {input: self._follow}
        self._input, self._items = input, items

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(facts)."""
        facts = intent.table(self._input).values()
        self.table.replace(place for fact in facts for place in self._items(fact))

    def _follow(self, intent: Intent, turn: Turn) -> bool:
        for step in turn.steps.of(self._input):
            after = list(self._items(step.after)) if step.after is not None else []
            if step.before is not None:
                kept = {(scope_id, item.id) for scope_id, item in after}
                for scope_id, item in self._items(step.before):
                    if (scope_id, item.id) not in kept:
                        self.table.set(scope_id, item.id, None)
            for scope_id, item in after:
                self.table.set(scope_id, item.id, item)
        return True


def host_node() -> RowNode[HostItem]:
    """HostItem in the host's own scope."""
    return RowNode(ItemKind.HOST, ScopeKind.HOST, Input.HOSTS, lambda host: ((host.item.id, host.item),))


def release_node() -> RowNode[ReleaseItem]:
    """ReleaseItem in the region's scope."""
    return RowNode(
        ItemKind.RELEASE, ScopeKind.REGION, Input.RELEASES, lambda release: ((REGION.id, release),)
    )


def rescue_node() -> RowNode[RescueItem]:
    """RescueItem in the scopes of the rescuer and of the rescued host."""
    return RowNode(
        ItemKind.RESCUE,
        ScopeKind.HOST,
        Input.RESCUES,
        lambda rescue: ((rescue.rescuer_id, rescue), (rescue.id, rescue)),
    )


def subnet_node() -> RowNode[SubnetItem]:
    """SubnetItem in its network's scope, whether the network is there or not."""
    return RowNode(
        ItemKind.SUBNET, ScopeKind.NETWORK, Input.SUBNETS, lambda subnet: ((subnet.network_id, subnet),)
    )


class MemberNode(RowNode[Member]):
    """Member in the scope of each of its groups. Of a load only what members are made of is noted."""

    def __init__(self) -> None:
        super().__init__(ItemKind.MEMBER, ScopeKind.MEMBERS, Input.PORTS, members)
        self.table = Table(Unmade(LocalPort, member))

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(ports)."""
        if not self.table.is_empty:
            super().run(intent, turn)
            return
        rows: dict[str, dict[str, LocalPort]] = {}
        for id, port in intent.ports.items():
            for group in groups_enforced(port.local):
                held = rows.get(group)
                if held is None:
                    held = rows[group] = {}
                held[id] = port.local
        self.table.begin(rows)


def prefix_node() -> RowNode[Prefix]:
    """Prefix in its address group's scope."""
    return RowNode(
        ItemKind.PREFIX,
        ScopeKind.ADDRESSES,
        Input.ADDRESS_GROUPS,
        lambda group: ((group.id, Prefix(id=prefix)) for prefix in group.prefixes),
    )
