"""From the view to the switch: recompute what changed, send the difference, confirm by barrier.

Laws: the switch ends with exactly `pipeline.flows(view, allocation)` (plus what a hold keeps); an unchanged view sends
nothing (I13); nothing is removed before in-sync (I12); after a refusal or a reconnect the switch is read back and
compared, so no state of ours is trusted longer than the switch confirms it.
"""

from collections import ChainMap
from collections.abc import Mapping
from dataclasses import dataclass, field

from alcor.agent.allocation import EPOCH, LocalNumbers
from alcor.agent.driver import FlowDiff, Switch
from alcor.agent.hold import Hold
from alcor.agent.view import Changes, HostView
from alcor.goalstate.item import ItemKind
from alcor.goalstate.scope import ScopeKind
from alcor.pipeline.compile import (
    affected,
    found,
    meters,
    unit_flows,
    units,
)
from alcor.pipeline.feature import Local, LocalChange
from alcor.pipeline.flow import Flow, FlowKey, MeterSpec
from alcor.pipeline.unit import SHARED, Unit
from alcor.telemetry.metrics import FLOW_CHANGES

OVERLAYS = frozenset(("vxlan", "geneve", "gre"))
# Made as soon as the host is known: the first port of a host should not wait until the switch has made a tunnel port.
DEFAULT_OVERLAYS = frozenset(("vxlan",))

_PUT, _REMOVED = FLOW_CHANGES.labels("put"), FLOW_CHANGES.labels("removed")
# Numbering waits for the database, and more ports may arrive meanwhile; after this many rounds the rest waits for
# the next turn, so that ports that have their numbers are not kept waiting by a stream of new ones.
_NUMBERING_ROUNDS_MAX = 3


@dataclass(frozen=True, slots=True)
class Turn:
    """What a barrier confirmed. `realized`: shard → through; `plugged`: open port with a VIF → ofport."""

    epoch: int
    realized: dict[int, int]
    plugged: dict[str, int]


@dataclass(slots=True)
class _Work:
    """What is to be done before the switch is right again."""

    units: set[Unit] = field(default_factory=lambda: {SHARED})
    ports: set[str] = field(default_factory=set)
    networks: set[str] = field(default_factory=set)
    meters: bool = True
    tunnels: bool = True
    numbers: bool = False
    """Whether a port or network went, so that its number may be free."""


class _InterruptedError(Exception):
    """The switch was replaced by a new one in the middle of a turn: its event has already asked for another turn."""


class Reconciler:
    """Keeps one switch as the view says. Its methods but `turn` are immediate; `turn` is never run twice at once."""

    def __init__(self, switch: Switch, view: HostView, numbers: LocalNumbers, hold: Hold) -> None:
        self._switch, self._view, self._numbers, self._hold = switch, view, numbers, hold
        self._by_unit: dict[Unit, tuple[Flow, ...]] = {}
        self._kept: set[Unit] = set()
        self._desired: dict[FlowKey, Flow] = {}
        self._meters: dict[int, MeterSpec] = {}
        self._work = _Work()
        self._tunnel_of: tuple[tuple[str, ...], tuple[str, ...]] = ((), ())
        self._is_held = False
        # Counts the switch's lives, so that a turn notices that the switch it speaks to is not the one it began with.
        self._life = 0
        self.is_connected = False
        self._must_load = True
        self._must_compare = True
        self._is_swept = False
        self.flow_changes = 0

    @property
    def is_swept(self) -> bool:
        """Whether the switch was compared with everything, once in sync, and nothing unknown was left in it."""
        return self._is_swept

    # --- what happened ---------------------------------------------------------------------------------

    def connected(self) -> None:
        """The switch is there; its flows and its database may be any."""
        self._life += 1
        self.is_connected = self._must_load = self._must_compare = True
        self._is_swept = False
        view = self._view.resolved
        # Built anew, because an error may have left it half-way; what a hold keeps cannot be computed any more.
        self._by_unit = {unit: self._by_unit[unit] for unit in self._kept}
        self._desired = {flow.key: flow for flows in self._by_unit.values() for flow in flows}
        self._work.units |= units(view) | self._kept
        self._work.ports |= view.ports.keys() | view.closed.keys()
        self._work.networks |= view.networks.keys()
        self._work.meters = self._work.tunnels = True

    def lost(self) -> None:
        """The switch is gone."""
        self.is_connected = False

    def distrust(self) -> None:
        """A change was refused, or an error struck half-way: compute and compare everything in the next turn."""
        was_connected = self.is_connected
        self.connected()
        self.is_connected = was_connected

    def note(self, changes: Changes) -> None:
        """The view changed; call with the view as it is after the batch."""
        view, work = self._view.resolved, self._work
        for change in changes.items:
            work.units |= affected(change, view)
            kind = change.key.kind
            if kind is ItemKind.LOCAL_PORT:
                work.ports.add(change.key.id)
                work.meters = True
                work.numbers |= change.after is None
            elif kind is ItemKind.NETWORK and change.scope.kind is ScopeKind.NETWORK:
                work.networks.add(change.scope.id)
                work.tunnels = work.meters = True
                work.numbers |= change.after is None
            elif kind is ItemKind.HOST:
                work.tunnels = True
        for port_id in changes.reopened:
            work.units |= found(LocalChange(Local.PORT, port_id), view)
            work.meters = True
        self._note_hold(changes)

    def _note_hold(self, changes: Changes) -> None:
        hold, numbers, view = self._hold, self._numbers, self._view.resolved
        hold.epoch_seen(self._view.epoch, numbers.epoch)
        plugged = numbers.allocation.ofports
        if changes.lost:
            left = sum(port_id in view.ports or port_id in view.closed for port_id in plugged)
            hold.ports_lost(changes.lost, plugged, left)
        hold.items_deleted(changes.deleted)
        gone = changes.deleted
        self._work.units |= {unit for unit in self._kept if unit.id in gone or unit.sub in gone}
        hold.ports_known(
            change.key.id
            for change in changes.items
            if change.key.kind is ItemKind.LOCAL_PORT and change.after is not None
        )

    def vifs_changed(self, ofports: Mapping[str, int]) -> list[str]:
        """The plugged interfaces are these now; returns the ids that went."""
        present = self._numbers.allocation.ofports
        gone = [port_id for port_id in present if port_id not in ofports]
        moved = [port_id for port_id, ofport in ofports.items() if present.get(port_id) != ofport]
        for port_id in gone:
            del present[port_id]
            self._hold.vif_unplugged(port_id)
        present |= {port_id: ofports[port_id] for port_id in moved}
        for port_id in (*gone, *moved):
            self._work.units |= found(LocalChange(Local.PORT, port_id), self._view.resolved)
            self._work.meters = True
        return gone

    # --- one turn --------------------------------------------------------------------------------------

    async def turn(self) -> Turn | None:
        """Bring the switch to what the view says; None if it cannot be yet (no switch, or nothing known of the host).

        Raises: SwitchError; then call `distrust`. Work that arrives while it waits is done in the next turn.
        """
        if not self.is_connected:
            return None
        try:
            return await self._turn(self._life)
        except _InterruptedError:
            return None

    async def _turn(self, life: int) -> Turn | None:
        if self._must_load:
            await self._load(life)
        if not self._view.has_host:
            return None
        for _ in range(_NUMBERING_ROUNDS_MAX):
            if not await self._number():
                break
        await self._tunnels(life)
        # From here to the first await nothing else runs: what is observed, computed and freed is of one moment.
        turn = self._observe()
        unused = self._unused()
        self._settle()
        changed = self._recompute()
        await self._install(changed, life)
        await self._free(unused)
        return turn

    def _check(self, life: int) -> None:
        if life != self._life:
            raise _InterruptedError

    @property
    def flows(self) -> Mapping[FlowKey, Flow]:
        """The flows that should be in the switch, as last computed."""
        return self._desired

    async def _load(self, life: int) -> None:
        missing, stale = self._numbers.load(await self._switch.load_numbers())
        if missing or stale:
            await self._switch.save_numbers(missing, stale)
        self._hold.epoch_seen(self._view.epoch, self._numbers.epoch)
        self._check(life)
        self._must_load = False
        self._work.numbers = True

    async def _number(self) -> bool:
        """Number what is new; True if there was any. Saved before a flow can use it."""
        view, work, numbers = self._view.resolved, self._work, self._numbers
        ports = [id for id in work.ports if id in view.ports or id in view.closed]
        networks = [id for id in work.networks if id in view.networks]
        taken = numbers.take(ports, networks)
        work.ports.clear()
        work.networks.clear()
        if not taken:
            return False
        try:
            await self._switch.save_numbers(taken)
        except BaseException:
            numbers.not_saved(taken)
            work.ports.update(ports)
            work.networks.update(networks)
            raise
        numbers.saved(taken)
        for id in ports:
            work.units |= found(LocalChange(Local.PORT, id), self._view.resolved)
        for id in networks:
            work.units |= found(LocalChange(Local.NETWORK, id), self._view.resolved)
        work.meters = True
        return True

    async def _tunnels(self, life: int) -> None:
        if not self._work.tunnels:
            return
        self._work.tunnels = False
        view, allocation = self._view.resolved, self._numbers.allocation
        vteps = view.host.vtep_addresses if view.host is not None else ()
        types = {
            network.network.network_type for network in view.networks.values()
        } & OVERLAYS | DEFAULT_OVERLAYS
        wanted = (vteps, tuple(sorted(types)))
        if wanted == self._tunnel_of and not self._must_compare:
            return
        try:
            tunnels = await self._switch.ensure_tunnels(*wanted) if all(wanted) else {}
        except BaseException:
            self._work.tunnels = True
            raise
        self._check(life)
        self._tunnel_of = wanted
        if tunnels != allocation.tunnels:
            allocation.tunnels = tunnels
            self._work.units |= found(LocalChange(Local.TUNNELS), self._view.resolved)

    def _observe(self) -> Turn:
        """What will be true when this turn's barrier replies."""
        view, allocation = self._view.resolved, self._numbers.allocation
        unnumbered = any(id in view.ports or id in view.closed for id in self._work.ports)
        unnumbered |= any(id in view.networks for id in self._work.networks)
        plugged = {
            port_id: ofport
            for port_id, ofport in allocation.ofports.items()
            if port_id in view.ports and port_id in allocation.port_keys
        }
        return Turn(
            epoch=self._view.epoch,
            # What still waits for its number is not in the switch, so nothing may be confirmed yet.
            realized={} if unnumbered or self._work.tunnels else self._view.realizable(),
            plugged=plugged,
        )

    def _settle(self) -> None:
        """Let a new epoch's hold end when there is no orphan; note when any hold began or ended."""
        hold, numbers, view = self._hold, self._numbers, self._view.resolved
        if hold.epoch_is_new and self._view.in_sync:
            plugged = numbers.allocation.ofports
            living = [id for id in numbers.allocation.port_keys if id in plugged]
            hold.settle(living, ChainMap(view.ports, view.closed))
        if self._is_held and not hold.is_active:
            hold.ended()
            self._work.units |= self._kept
            self._work.numbers = True
            self._must_compare = True
        self._is_held = hold.is_active

    def _recompute(self) -> dict[FlowKey, Flow | None]:
        """Compute the flows of dirty units anew. Returns the keys touched, with what stood there before."""
        view, allocation, desired = self._view.resolved, self._numbers.allocation, self._desired
        known_ports = ChainMap(view.ports, view.closed)
        before: dict[FlowKey, Flow | None] = {}
        added: list[Flow] = []
        dirty, self._work.units = self._work.units, set()
        for unit in dirty:
            old = self._by_unit.get(unit, ())
            new = unit_flows(unit, view, allocation)
            if old and not new and self._hold.keeps(unit, known_ports):
                self._kept.add(unit)
                continue
            self._kept.discard(unit)
            if new == old:
                continue
            added += new
            for flow in old:
                key = flow.key
                # A key may have moved to another unit (a VIF took the ofport of one that a hold keeps).
                if desired.get(key) == flow:
                    before.setdefault(key, desired.pop(key))
            if new:
                self._by_unit[unit] = new
            else:
                del self._by_unit[unit]
        for flow in added:
            key = flow.key
            before.setdefault(key, desired.get(key))
            desired[key] = flow
        return before

    async def _install(self, before: Mapping[FlowKey, Flow | None], life: int) -> None:
        may_remove = self._is_swept or self._view.in_sync
        wanted = self._meters
        if self._work.meters:
            self._work.meters = False
            wanted = meters(self._view.resolved, self._numbers.allocation)
        if self._must_compare or (may_remove and not self._is_swept):
            await self._compare(wanted, life, may_remove=may_remove and not self._hold.is_active)
            self._is_swept |= may_remove
        else:
            put = [flow for key in before if (flow := self._desired.get(key)) not in (None, before[key])]
            remove = [key for key, flow in before.items() if flow is not None and key not in self._desired]
            changed = [meter for id, meter in wanted.items() if self._meters.get(id) != meter]
            # Before in-sync the switch may hold what only *seems* to be gone; the sweep at in-sync finds the rest.
            unused = tuple(id for id in self._meters if id not in wanted)
            diff = FlowDiff(put, remove, changed, meters_removed=unused)
            await self._apply(diff if may_remove else diff.without_removals())
            self._check(life)
        self._meters = wanted

    async def _compare(self, wanted: Mapping[int, MeterSpec], life: int, *, may_remove: bool) -> None:
        """Read back and repair. `_must_compare` falls only when the repair is confirmed."""
        self._must_compare = True
        diff = await self._switch.compare(self._desired, list(wanted.values()))
        self._check(life)
        await self._apply(diff if may_remove else diff.without_removals())
        self._check(life)
        self._must_compare = False

    async def _apply(self, diff: FlowDiff) -> None:
        if not diff:
            return
        await self._switch.apply(diff)
        self.flow_changes += len(diff.put) + len(diff.remove)
        _PUT.inc(len(diff.put))
        _REMOVED.inc(len(diff.remove))

    def _unused(self) -> list[str]:
        """The numbers whose owners are gone from the view."""
        if not self._work.numbers:
            return []
        self._work.numbers = False
        view = self._view.resolved
        return self._numbers.unused(ChainMap(view.ports, view.closed), view.networks)

    async def _free(self, unused: list[str]) -> None:
        """Remember the epoch and free numbers, now that their flows are surely gone."""
        numbers, view = self._numbers, self._view.resolved
        if not self._is_swept or self._hold.is_active or not self._view.in_sync:
            self._work.numbers |= bool(unused)
            return
        # Who came back meanwhile keeps its number.
        still = set(numbers.unused(ChainMap(view.ports, view.closed), view.networks)) if unused else set()
        unused = [name for name in unused if name in still]
        epoch = self._view.epoch
        put = {EPOCH: epoch} if numbers.epoch != epoch else {}
        if put or unused:
            await self._switch.save_numbers(put, unused)
        numbers.epoch = epoch
        numbers.free(unused)
