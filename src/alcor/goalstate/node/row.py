"""Nodes whose items are the facts themselves: hosts, networks, subnets; each in the scope it belongs to."""

from collections.abc import Callable, Mapping, Sequence
from typing import Generic, TypeVar

from alcor.goalstate.intent import Intent, Step
from alcor.goalstate.item import HostItem, ItemKind, NetworkItem, SubnetItem
from alcor.goalstate.node.contract import Handler, Input, Table, Turn
from alcor.goalstate.scope import ScopeKind

F = TypeVar("F", HostItem, NetworkItem, SubnetItem)


class RowNode(Generic[F]):
    """One item per fact. Subscribes to one input and follows it; a fact that leaves takes its item along."""

    def __init__(
        self,
        kind: ItemKind,
        scope_kind: ScopeKind,
        input: Input,
        *,
        facts: Callable[[Intent], Mapping[str, F]],
        steps: Callable[[Turn], Sequence[Step[F]]],
        scope_id: Callable[[F], str],
    ) -> None:
        self.name, self.kind, self.scope_kind, self.inputs = kind.value, kind, scope_kind, (input,)
        self.table: Table[F] = Table()
        self.handlers: Mapping[Input, Handler] = {input: self._follow}
        self._facts: Callable[[Intent], Mapping[str, F]] = facts
        self._steps: Callable[[Turn], Sequence[Step[F]]] = steps
        self._scope_id: Callable[[F], str] = scope_id

    def run(self, intent: Intent, turn: Turn) -> None:
        """Cost: O(facts)."""
        self.table.replace((self._scope_id(fact), fact) for fact in self._facts(intent).values())

    def _follow(self, intent: Intent, turn: Turn) -> bool:
        for step in self._steps(turn):
            if step.before is not None:
                self.table.set(self._scope_id(step.before), step.id, None)
            if step.after is not None:
                self.table.set(self._scope_id(step.after), step.id, step.after)
        return True


def host_node() -> RowNode[HostItem]:
    """HostItem in the host's own scope."""
    return RowNode(
        ItemKind.HOST,
        ScopeKind.HOST,
        Input.HOSTS,
        facts=lambda intent: intent.hosts,
        steps=lambda turn: turn.steps.hosts,
        scope_id=lambda host: host.id,
    )


def network_node() -> RowNode[NetworkItem]:
    """NetworkItem in the network's scope."""
    return RowNode(
        ItemKind.NETWORK,
        ScopeKind.NETWORK,
        Input.NETWORKS,
        facts=lambda intent: intent.networks,
        steps=lambda turn: turn.steps.networks,
        scope_id=lambda network: network.id,
    )


def subnet_node() -> RowNode[SubnetItem]:
    """SubnetItem in its network's scope, whether the network is there or not."""
    return RowNode(
        ItemKind.SUBNET,
        ScopeKind.NETWORK,
        Input.SUBNETS,
        facts=lambda intent: intent.subnets,
        steps=lambda turn: turn.steps.subnets,
        scope_id=lambda subnet: subnet.network_id,
    )
