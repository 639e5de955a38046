"""The safety hold: what a state that may be wrong would take from living VIFs is kept until somebody is sure.

Two causes (protocol, section 2). A *new epoch*: the database was restored or replaced, and what it does not know any
more may still live here. A *suspicious snapshot*: it would remove more than a fifth and at least ten of the ports with
a plugged VIF, without a logged delete of each. While the hold lasts, flows of orphans (and of their networks) stay,
nothing unknown is swept, and the agent says so in every heartbeat. Logged deletes are never held. It ends when no
orphan is left (imported again, unplugged), or when the region is told to release it. That of a new epoch lasts until no
host has an orphan: the ports here may talk to those of others.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from alcor.agent.orphan import Orphans, orphan_of
from alcor.goalstate.item import LocalPort, ReleaseItem
from alcor.model.epoch_release import HELD
from alcor.pipeline.tables import UnitKind
from alcor.pipeline.unit import Unit

LOST_SHARE_MAX = 0.2
LOST_PORTS_MIN = 10
_NAMED_MAX = 3


@dataclass(slots=True)
class Hold:
    """What is held. Shape: `orphans`: port id → network id ("" if it was never known to this process).

    `known`: what was known of the orphans. `is_released`: an operator said on this host that the
    present state is right; then nothing is ever held. `settled`: the last epoch in which there was no orphan here;
    `is_calm`: in the present one there is none on any host.
    """

    is_released: bool = False
    orphans: dict[str, str] = field(default_factory=dict)
    known: Orphans = field(default_factory=Orphans)
    deleted: set[str] = field(default_factory=set)
    epoch_is_new: bool = False
    right_epoch: int = 0
    settled: int = 0
    is_calm: bool = False
    _releases: int | None = None
    _said: tuple[int, bool] = (0, False)

    @property
    def is_active(self) -> bool:
        """Whether removals are held at all."""
        return not self.is_released and (self.epoch_is_new or bool(self.orphans))

    def release(self) -> None:
        """Let everything go, now and from now on."""
        self.is_released = True
        self.orphans.clear()

    def load(self, kept: Mapping[str, int]) -> None:
        """Go on with what an earlier process held, as the switch's database says."""
        self.known.load(kept)
        if not self.is_released:
            self.orphans = {id: fact.network_id for id, fact in self.known.facts.items()} | self.orphans

    def looked(
        self, plugged: Collection[str], living: Collection[str], known: Collection[str], epoch: int
    ) -> None:
        """In sync: what was unplugged while nobody looked is no orphan; who is none needs not be remembered.

        `living`: numbered and plugged ports; `known`: those that the region knows, in `epoch`.
        """
        self._without([port_id for port_id in self.orphans if port_id not in plugged])
        if self.epoch_is_new and self.settle(living, known):
            # Before the switch's database says so: what comes meanwhile is no reason to begin again.
            self.right_epoch = epoch
        if not self.orphans:
            self.settled = epoch
        if not self.is_active:
            self.known.facts.clear()

    def told(self, release: ReleaseItem | None, calm: ReleaseItem | None, epoch: int) -> None:
        """What the region says of releases, in `epoch`: a new one lets go of what is held now.

        The first one that this process hears of is old, unless it is of this very epoch. `calm`: through which epoch no
        host has an orphan.
        """
        self.is_calm = calm is not None and calm.epoch >= epoch
        if release is None:
            return
        is_new = self._releases is not None and release.number > self._releases
        self._releases = release.number
        self.right_epoch = max(self.right_epoch, release.epoch)
        if (self.epoch_is_new and release.epoch >= epoch) or (is_new and self.is_active):
            self.epoch_is_new = False
            self.orphans.clear()

    def epoch_seen(self, epoch: int, remembered: int) -> None:
        """An epoch above the remembered one is held until `settle`; a host that remembers none has nothing to lose."""
        if 0 < remembered < epoch and epoch > self.right_epoch:
            self.epoch_is_new = True

    def ports_lost(self, lost: Mapping[str, LocalPort], plugged: Collection[str], left: int) -> None:
        """A snapshot did not hold these ports any more; `left`: how many ports with a plugged VIF it still holds."""
        living = {port_id: port for port_id, port in lost.items() if port_id in plugged}
        total = len(living) + left
        is_suspicious = len(living) >= LOST_PORTS_MIN and len(living) > LOST_SHARE_MAX * total
        if not self.is_released and (self.epoch_is_new or is_suspicious):
            self.orphans |= {port_id: port.network_id for port_id, port in living.items()}
            self.known.facts |= {port_id: orphan_of(port) for port_id, port in living.items()}
            self.deleted -= living.keys()

    def items_deleted(self, ids: Iterable[str]) -> None:
        """Logged removals (ids of ports, neighbours, networks …): they go, hold or no hold."""
        if self.is_active:
            self.deleted |= set(ids)
            self._without(ids)

    def vif_unplugged(self, port_id: str) -> None:
        """Nothing lives there any more."""
        self.items_deleted((port_id,))

    def ports_known(self, port_ids: Iterable[str]) -> None:
        """These ports are in the view (again)."""
        self._without(port_ids)

    def _without(self, port_ids: Iterable[str]) -> None:
        for port_id in list(port_ids) if self.orphans else ():
            self.orphans.pop(port_id, None)

    def settle(self, living: Collection[str], known: Collection[str]) -> bool:
        """In sync in a new epoch: `living` are numbered and plugged ports. True if no port is an orphan, here or on any
        other host: the epoch is right. Ports that only an earlier process knew become orphans here.
        """
        if not self.is_released:
            for port_id in living:
                if port_id not in known and port_id not in self.deleted:
                    self.orphans.setdefault(port_id, "")
        if self.orphans or not (self.is_calm or self.is_released):
            return False
        self.epoch_is_new = False
        return True

    def has_news(self) -> bool:
        """Whether, since it was asked last, a hold began or ended, or the host settled: the region is to hear of it."""
        before, self._said = self._said, (self.settled, self.is_active)
        return before != self._said

    def ended(self) -> None:
        """The hold is over: forget what was deleted while it lasted, and who was an orphan."""
        self.deleted.clear()
        self.known.facts.clear()

    def keeps(self, unit: Unit, known_ports: Collection[str]) -> bool:
        """Whether the flows of a unit that has none any more must stay."""
        if not self.is_active or unit.id in self.deleted or unit.sub in self.deleted:
            return False
        if unit.kind is UnitKind.PORT:
            return unit.id in self.orphans or (self.epoch_is_new and unit.id not in known_ports)
        return self.epoch_is_new or unit.id in self.orphans.values()

    async def tell(self, _: Mapping[str, Any]) -> Mapping[str, Any]:
        """The question "what do you hold?". Shape: {cause: "" if nothing is, settled: epoch, orphans: [Orphan, …]}."""
        return {
            "cause": self.cause if self.is_active else "",
            "settled": self.settled,
            "orphans": msgspec.to_builtins(self.known.of(self.orphans)),
        }

    @property
    def cause(self) -> str:
        """Why something is held; of no meaning if nothing is."""
        return (
            "the region began a new epoch" if self.epoch_is_new else "a snapshot would have removed too much"
        )

    @property
    def sentence(self) -> str:
        """What an operator must know; empty if nothing is held."""
        if not self.is_active:
            return ""
        cause = self.cause
        if not self.orphans:
            return f"{HELD}: {cause}; no port is unknown here, others may have some (alcor epoch show)"
        named = ", ".join(sorted(self.orphans)[:_NAMED_MAX])
        more = "" if len(self.orphans) <= _NAMED_MAX else f" and {len(self.orphans) - _NAMED_MAX} more"
        return (
            f"{HELD}: {cause}; the region does not know {len(self.orphans)} plugged ports "
            f"({named}{more}). Import them (alcor recover), unplug them, or let go of them (alcor epoch release)."
        )
