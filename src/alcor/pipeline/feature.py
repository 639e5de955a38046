"""What a feature of the pipeline is: the flows it adds to units, and which units a change touches.

`compile` knows the features only by this. A feature is one module: its rules, and if its flows depend on more than what
the forwarding core already follows (a port's own item, its network, ...), a function that says so.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from alcor.goalstate.item import Item, Key, Neighbour
from alcor.goalstate.scope import Scope
from alcor.pipeline.flow import GroupSpec, MeterSpec
from alcor.pipeline.live import LiveNetwork, LivePort
from alcor.pipeline.tables import UnitKind
from alcor.pipeline.unit import Rule, Unit
from alcor.pipeline.view import Allocation, View


@dataclass(frozen=True, slots=True)
class ItemChange:
    """One item's step in one scope, as the resolved view shows it. None: not there."""

    scope: Scope
    key: Key
    before: Item | None
    after: Item | None


class Local(StrEnum):
    """What changed on the host itself: a field of the allocation, or what a port refers to became known."""

    PORT = "port"
    NETWORK = "network"
    ROUTER = "router"
    TUNNELS = "tunnels"
    PROVIDERS = "providers"
    METADATA = "metadata"
    LOST_VTEPS = "lost_vteps"
    NEXT_HOP = "next_hop"
    FORWARDING = "forwarding"
    ARRIVED = "arrived"
    LAZY = "lazy"


class LocalChange(NamedTuple):
    """A change on the host itself.

    `id`: of a port that was plugged, unplugged, numbered, opened or closed; of a network or router that got or lost its
    key; of a port that is or no longer is forwarded, or that has arrived by migration; of a next hop
    `<network id>/<address>`; of a scope that began or ceased to be held on demand, as text; empty for the others.
    """

    what: Local
    id: str = ""


def _none(*_: object) -> tuple[()]:
    return ()


@dataclass(frozen=True, slots=True)
class Feature:
    """One feature. Every function is pure and total: what is missing or closed gives no flows.

    `shared`: flows that are the same on every host. `port`, `network`, `flood`, `neighbour`: flows it adds to those
    units, while they are live. `rules`: flows of unit kinds that no other feature has. `units`: every such unit that
    may have flows. `affected`, `found`: units (of any kind) that a change touches, besides those that the core names:
    the units of the changed port, network or neighbour themselves, and whoever claims the same address or MAC; the
    view is the one after the whole batch. `meters`, `groups`: what must be in the switch before the flows.
    """

    name: str
    shared: Callable[[], Iterable[Rule]] = _none
    port: Callable[[LivePort, View, Allocation], Iterable[Rule]] = _none
    network: Callable[[LiveNetwork, View, Allocation], Iterable[Rule]] = _none
    flood: Callable[[LiveNetwork, View, Allocation], Iterable[Rule]] = _none
    neighbour: Callable[[Neighbour, LiveNetwork, View, Allocation], Iterable[Rule]] = _none
    rules: Mapping[UnitKind, Callable[[Unit, View, Allocation], Iterable[Rule]]] = field(default_factory=dict)
    units: Callable[[View], Iterable[Unit]] = _none
    affected: Callable[[ItemChange, View], Iterable[Unit]] = _none
    found: Callable[[LocalChange, View], Iterable[Unit]] = _none
    meters: Callable[[View, Allocation], Iterable[MeterSpec]] = _none
    groups: Callable[[View, Allocation], Iterable[GroupSpec]] = _none
