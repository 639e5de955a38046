"""What is to be done before a switch is right again, gathered from what changed."""

from collections import ChainMap
from dataclasses import dataclass, field

from alcor.agent.allocation import Numbered, Owners
from alcor.agent.limited import limited_in, limited_of
from alcor.agent.provision import PROVISIONED
from alcor.goalstate.item import ItemKind
from alcor.pipeline.compile import affected, found, units
from alcor.pipeline.feature import ItemChange, Local, LocalChange
from alcor.pipeline.unit import SHARED, Unit
from alcor.pipeline.view import View

_NUMBERED = {
    ItemKind.LOCAL_PORT: Numbered.PORT,
    ItemKind.NETWORK: Numbered.NETWORK,
    ItemKind.ROUTER: Numbered.ROUTER,
}
_LOCAL = {Numbered.PORT: Local.PORT, Numbered.NETWORK: Local.NETWORK, Numbered.ROUTER: Local.ROUTER}
# Meters and groups are of ports, routers, policies and ways out: what there are many of cannot change them.
_WITHOUT_METERS = frozenset(
    (ItemKind.NEIGHBOUR, ItemKind.CLAIM, ItemKind.MEMBER, ItemKind.PREFIX, ItemKind.SUBNET, ItemKind.RULES)
)


def owners_in(view: View) -> Owners:
    """Who must have a local number."""
    return {
        Numbered.PORT: ChainMap(view.ports, view.closed),
        Numbered.NETWORK: view.networks,
        Numbered.ROUTER: view.routers,
        Numbered.LIMIT: limited_in(view),
    }


def numbering(what: Numbered, id: str, view: View) -> LocalChange:
    """What it means to the pipeline that somebody has a number now."""
    if what is Numbered.LIMIT:
        return LocalChange(Local.ROUTER, limited_in(view).get(id, ""))
    return LocalChange(_LOCAL[what], id)


@dataclass(slots=True)
class Pending:
    """Views are those after the change that is told.

    units:      whose flows may be others; `is_all`: those of all units, then nobody asks which ones a change touches.
    owners:     what may have to be numbered.
    meters:     whether meters and groups may be others.
    provisions: whether the switch may have to have other ports.
    numbers:    whether somebody numbered went, so that its number may be free.
    """

    units: set[Unit] = field(default_factory=lambda: {SHARED})
    is_all: bool = False
    owners: dict[Numbered, set[str]] = field(default_factory=lambda: {what: set() for what in Numbered})
    meters: bool = True
    provisions: bool = True
    numbers: bool = False

    def everything(self, view: View) -> None:
        """The switch may hold anything."""
        self.is_all = True
        for what, ids in owners_in(view).items():
            self.owners[what].update(ids)
        self.meters = self.provisions = True

    def item(self, change: ItemChange, view: View) -> None:
        """An item changed. Cost: as `affected`."""
        if not self.is_all:
            self.units |= affected(change, view)
        kind = change.key.kind
        numbered = _NUMBERED.get(kind)
        if numbered is not None:
            self.owners[numbered].add(change.key.id)
            self.numbers |= change.after is None
        limited = limited_of(change.after)
        self.owners[Numbered.LIMIT].update(limited)
        self.numbers |= not set(limited_of(change.before)) <= set(limited)
        self.meters |= kind not in _WITHOUT_METERS
        self.provisions |= kind in PROVISIONED

    def local(self, change: LocalChange, view: View) -> None:
        """Something changed on the host itself. Cost: as `found`."""
        if not self.is_all:
            self.units |= found(change, view)
        self.meters = True

    def unnumbered(self, view: View) -> dict[Numbered, list[str]]:
        """Those in the view that may lack a number."""
        if not any(self.owners.values()):
            return {}
        known = owners_in(view)
        return {what: [id for id in ids if id in known[what]] for what, ids in self.owners.items() if ids}

    def take_units(self, view: View) -> set[Unit]:
        """The units to compute now; they are not pending any more."""
        dirty, self.units = self.units, set()
        if self.is_all:
            self.is_all, dirty = False, dirty | units(view)
        return dirty
