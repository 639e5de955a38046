"""The safety hold: what a state that may be wrong would take from living VIFs is kept until somebody is sure.

Two causes (protocol, section 2). A *new epoch*: the database was restored or replaced, and what it does not know any
more may still live here. A *suspicious snapshot*: it would remove more than a fifth and at least ten of the ports with
a plugged VIF, without a logged delete of each. While the hold lasts, flows of orphans (and of their networks) stay,
nothing unknown is swept, and the agent says so in every heartbeat. Logged deletes are never held.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from alcor.goalstate.item import LocalPort
from alcor.pipeline.tables import UnitKind
from alcor.pipeline.unit import Unit

LOST_SHARE_MAX = 0.2
LOST_PORTS_MIN = 10
_NAMED_MAX = 3


@dataclass(slots=True)
class Hold:
    """What is held. Shape: `orphans`: port id → network id ("" if it was never known to this process).

    `is_released`: an operator said that the present state is right; then nothing is ever held.
    """

    is_released: bool = False
    orphans: dict[str, str] = field(default_factory=dict)
    deleted: set[str] = field(default_factory=set)
    epoch_is_new: bool = False

    @property
    def is_active(self) -> bool:
        """Whether removals are held at all."""
        return not self.is_released and (self.epoch_is_new or bool(self.orphans))

    def release(self) -> None:
        """Let everything go, now and from now on."""
        self.is_released = True
        self.orphans.clear()

    def epoch_seen(self, epoch: int, remembered: int) -> None:
        """An epoch above the remembered one is held until `settle`; a host that remembers none has nothing to lose."""
        if 0 < remembered < epoch:
            self.epoch_is_new = True

    def ports_lost(self, lost: Mapping[str, LocalPort], plugged: Collection[str], left: int) -> None:
        """A snapshot did not hold these ports any more; `left`: how many ports with a plugged VIF it still holds."""
        living = {port_id: port for port_id, port in lost.items() if port_id in plugged}
        total = len(living) + left
        is_suspicious = len(living) >= LOST_PORTS_MIN and len(living) > LOST_SHARE_MAX * total
        if not self.is_released and (self.epoch_is_new or is_suspicious):
            self.orphans |= {port_id: port.network_id for port_id, port in living.items()}
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
        """In sync in a new epoch: `living` are numbered and plugged ports. True if none is an orphan: the epoch holds.

        Ports that only an earlier process knew become orphans here.
        """
        if not self.is_released:
            for port_id in living:
                if port_id not in known and port_id not in self.deleted:
                    self.orphans.setdefault(port_id, "")
        if self.orphans:
            return False
        self.epoch_is_new = False
        return True

    def ended(self) -> None:
        """The hold is over: forget what was deleted while it lasted."""
        self.deleted.clear()

    def keeps(self, unit: Unit, known_ports: Collection[str]) -> bool:
        """Whether the flows of a unit that has none any more must stay."""
        if not self.is_active or unit.id in self.deleted or unit.sub in self.deleted:
            return False
        if unit.kind is UnitKind.PORT:
            return unit.id in self.orphans or (self.epoch_is_new and unit.id not in known_ports)
        return self.epoch_is_new or unit.id in self.orphans.values()

    @property
    def sentence(self) -> str:
        """What an operator must know; empty if nothing is held."""
        if not self.is_active:
            return ""
        cause = (
            "the region began a new epoch" if self.epoch_is_new else "a snapshot would have removed too much"
        )
        if not self.orphans:
            return f"deletions are held: {cause}"
        named = ", ".join(sorted(self.orphans)[:_NAMED_MAX])
        more = "" if len(self.orphans) <= _NAMED_MAX else f" and {len(self.orphans) - _NAMED_MAX} more"
        return (
            f"deletions are held: {cause}; the region does not know {len(self.orphans)} plugged ports "
            f"({named}{more}). Import them, unplug them, or start the agent with --release-hold."
        )
