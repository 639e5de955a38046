"""View and local numbers to flows: the union of what each *unit* owns, and which units a change touches.

How an agent keeps its switch right with little work:

1. apply all changes of one batch to the view (and the allocation);
2. take the union over the batch of `affected` for every item put or removed, and of `found` for everything that changed
   on the host itself;
3. replace the flows of each of these units by `unit_flows`; bring `meters` and `groups` first, take stale ones last.

Units have disjoint flow keys, so no flow has two owners. The result equals `flows` from nothing (tested). A network
that leaves the view takes its neighbours along: remove its items one by one (with `affected` for each), or ask
`found` for the network *before* it is removed.
"""

from collections.abc import Callable, Iterable, Iterator

from alcor.pipeline.claim import CLAIM
from alcor.pipeline.external import EXTERNAL
from alcor.pipeline.feature import Feature, ItemChange, LocalChange
from alcor.pipeline.firewall import FIREWALLS
from alcor.pipeline.flow import Flow, FlowKey, GroupSpec, MeterSpec
from alcor.pipeline.forwarding import FORWARDING
from alcor.pipeline.host_service import HOST_SERVICE
from alcor.pipeline.live import LiveNetwork, live_network, live_port
from alcor.pipeline.network_acl import NETWORK_ACLS
from alcor.pipeline.on_demand import ON_DEMAND
from alcor.pipeline.pick_up import PICK_UP
from alcor.pipeline.provider import PROVIDER
from alcor.pipeline.qos import QOS
from alcor.pipeline.relay import RELAY
from alcor.pipeline.route import ROUTE
from alcor.pipeline.security_group import SECURITY_GROUPS
from alcor.pipeline.tables import UnitKind
from alcor.pipeline.trunk import TRUNK
from alcor.pipeline.unit import SHARED, Rule, Unit, stamp
from alcor.pipeline.view import Allocation, View

FEATURES: tuple[Feature, ...] = (
    FORWARDING,
    SECURITY_GROUPS,
    PICK_UP,
    NETWORK_ACLS,
    FIREWALLS,
    TRUNK,
    QOS,
    CLAIM,
    HOST_SERVICE,
    ROUTE,
    PROVIDER,
    EXTERNAL,
    ON_DEMAND,
    RELAY,
)
"""Everything the pipeline does."""

Compiler = Callable[[Unit, View, Allocation], tuple[Flow, ...]]
"""What a unit's flows are: `unit_flows`, unless somebody keeps them in another form."""

_OWN_RULES = {kind: rules for feature in FEATURES for kind, rules in feature.rules.items()}


def flows(view: View, allocation: Allocation) -> dict[FlowKey, Flow]:
    """All flows the host should have. Pure and total: what is missing or closed has no flows.

    Cost: O(the view).
    """
    return {flow.key: flow for unit in units(view) for flow in unit_flows(unit, view, allocation)}


def units(view: View) -> set[Unit]:
    """The units that may have flows."""
    return {SHARED}.union(*(feature.units(view) for feature in FEATURES))


def unit_flows(unit: Unit, view: View, allocation: Allocation) -> tuple[Flow, ...]:
    """The flows of one unit; none if it is gone, closed or unknown.

    Cost: O(its flows): a neighbour 1 + its addresses; a port about 30; a network's flood O(its hosts and local ports).
    """
    return stamp(unit, unit_rules(unit, view, allocation))


def unit_rules(unit: Unit, view: View, allocation: Allocation) -> list[Rule]:
    """The rules behind a unit's flows, in which each still says what it is about (`Rule.about`)."""
    return list(_rules(unit, view, allocation))


def meters(view: View, allocation: Allocation) -> dict[int, MeterSpec]:
    """The meters that must be in the switch before the flows. Cost: O(local ports)."""
    return {meter.id: meter for feature in FEATURES for meter in feature.meters(view, allocation)}


def groups(view: View, allocation: Allocation) -> dict[int, GroupSpec]:
    """The groups that must be in the switch before the flows. Cost: O(routers)."""
    return {group.id: group for feature in FEATURES for group in feature.groups(view, allocation)}


def affected(change: ItemChange, view: View) -> set[Unit]:
    """The units a changed item touches. `view`: after the whole batch. Cost: see the features."""
    if change.before == change.after:
        return set()
    return set().union(*(feature.affected(change, view) for feature in FEATURES))


def found(change: LocalChange, view: View) -> set[Unit]:
    """The units that a change on the host itself touches. Cost: see the features."""
    return set().union(*(feature.found(change, view) for feature in FEATURES))


def _rules(unit: Unit, view: View, allocation: Allocation) -> Iterator[Rule]:
    match unit.kind:
        case UnitKind.SHARED:
            for feature in FEATURES:
                yield from feature.shared()
        case UnitKind.PORT:
            port = live_port(unit.id, view, allocation)
            if port is not None:
                for feature in FEATURES:
                    yield from feature.port(port, view, allocation)
        case UnitKind.NETWORK | UnitKind.FLOOD | UnitKind.NEIGHBOUR:
            network = live_network(unit.id, view, allocation)
            if network is not None:
                yield from _network_rules(unit, network, view, allocation)
        case _:
            yield from _OWN_RULES[unit.kind](unit, view, allocation)


def _network_rules(unit: Unit, network: LiveNetwork, view: View, allocation: Allocation) -> Iterable[Rule]:
    match unit.kind:
        case UnitKind.NETWORK:
            return [rule for feature in FEATURES for rule in feature.network(network, view, allocation)]
        case UnitKind.FLOOD:
            return [rule for feature in FEATURES for rule in feature.flood(network, view, allocation)]
        case _:
            neighbour = network.knowledge.neighbours.get(unit.sub)
            if neighbour is None:
                return []
            return [
                rule
                for feature in FEATURES
                for rule in feature.neighbour(neighbour, network, view, allocation)
            ]
