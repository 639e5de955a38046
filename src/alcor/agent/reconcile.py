"""From the view to the switch: recompute what changed, send the difference, confirm by barrier.

Laws: the switch ends with exactly `pipeline.flows(view, allocation)` (plus what a hold keeps); an unchanged view sends
nothing (I13); nothing is removed before in-sync (I12); after a refusal or a reconnect the switch is read back and
compared, so no state of ours is trusted longer than the switch confirms it.
"""

from collections import ChainMap
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from alcor.agent.allocation import EPOCH, LocalNumbers, zone_of
from alcor.agent.desired import DesiredFlows, DesiredMeters
from alcor.agent.doubt import Doubts
from alcor.agent.driver import FlowDiff, FlowsRefused, InternalPort, Switch, SwitchError, TunnelHealth
from alcor.agent.handler import Confirmed, Finding
from alcor.agent.hold import Hold
from alcor.agent.kept_hops import KeptHops
from alcor.agent.migration import Arrivals, Departures
from alcor.agent.orphan import Orphans
from alcor.agent.peer import Peers
from alcor.agent.pending import Pending, numbering, owners_in
from alcor.agent.provision import Provisions, provisions
from alcor.agent.quarantine import Quarantine
from alcor.agent.untold import Untold
from alcor.agent.view import Changes, HostView
from alcor.goalstate.item import ItemKind
from alcor.pipeline.compile import Compiler, unit_flows
from alcor.pipeline.feature import Local, LocalChange
from alcor.pipeline.flow import Flow, FlowKey
from alcor.pipeline.live import ofport_of
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import FLOW_CHANGES

log = get_log("agent")

_PUT, _REMOVED = FLOW_CHANGES.labels("put"), FLOW_CHANGES.labels("removed")
# Numbering waits for the database, and more ports may arrive meanwhile; after this many rounds the rest waits for
# the next turn, so that ports that have their numbers are not kept waiting by a stream of new ones.
_NUMBERING_ROUNDS_MAX = 3


@dataclass(frozen=True, slots=True)
class Turn:
    """What a barrier confirmed. `realized`: shard → through; `plugged`: open port with a VIF → ofport, that of a
    subport is its parent's; `confirmed`: what the switch was brought to.
    """

    epoch: int
    realized: dict[int, int]
    plugged: dict[str, int]
    confirmed: Confirmed


class _InterruptedError(Exception):
    """The switch was replaced by a new one in the middle of a turn: its event has already asked for another turn."""


class Reconciler:
    """Keeps one switch as the view says. Its methods but `turn` are immediate; `turn` is never run twice at once."""

    def __init__(
        self,
        switch: Switch,
        view: HostView,
        numbers: LocalNumbers,
        hold: Hold,
        *,
        metadata: InternalPort | None = None,
        compiler: Compiler = unit_flows,
    ) -> None:
        """`metadata`: the port of this host's metadata service, None if it has none. `compiler`: see `Compiler`."""
        self._switch, self._view, self._numbers, self._hold = switch, view, numbers, hold
        self._metadata = metadata
        self._desired, self._meters = DesiredFlows(compiler), DesiredMeters()
        self._pending = Pending()
        self._untold = Untold()
        self._departures = Departures(numbers.now_s, numbers.allocation.forwarding)
        self._arrivals = Arrivals(numbers.now_s, numbers.allocation.arrived)
        self._doubts = Doubts(numbers.now_s)
        self._hops = KeptHops(numbers.allocation.next_hops)
        self.quarantine = Quarantine(numbers.now_s)
        self._provided: Provisions | None = None
        # An earlier process may have made ports that nobody wants any more.
        self._may_have_ports = True
        self._is_held = False
        # Counts the switch's lives, so that a turn notices that the switch it speaks to is not the one it began with.
        self._life = 0
        self.is_connected = False
        self._must_load = True
        self._must_compare = True
        self._is_swept = False
        self.peers = Peers(switch, numbers.allocation)
        self.flow_changes = 0
        self.complaint = ""
        """Which ports the switch could not make, and why; empty if it made all. `provide_again` tries once more."""

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
        self._desired.forget()
        self._pending.everything(self._view.resolved)

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
        view = self._view.resolved
        for change in changes.items:
            self._pending.item(change, view)
            self._untold.item(change)
        for port_id in changes.reopened:
            self._changed(LocalChange(Local.PORT, port_id))
        for scope in changes.turned:
            self._changed(LocalChange(Local.LAZY, str(scope)))
        for port_id in self._departures.note(changes.items, view):
            self._changed(LocalChange(Local.FORWARDING, port_id))
        for port_id in self._arrivals.note(changes.items):
            self._changed(LocalChange(Local.ARRIVED, port_id))
        self._note_hold(changes)

    def _changed(self, change: LocalChange) -> None:
        """Something changed on the host itself."""
        self._pending.local(change, self._view.resolved)
        self._untold.local.add(change)

    def _note_hold(self, changes: Changes) -> None:
        hold, numbers, view = self._hold, self._numbers, self._view.resolved
        hold.epoch_seen(self._view.epoch, numbers.epoch)
        hold.told(view.release, view.calm, self._view.epoch)
        plugged = numbers.allocation.ofports
        if changes.lost:
            left = sum(port_id in view.ports or port_id in view.closed for port_id in plugged)
            hold.ports_lost(changes.lost, plugged, left)
        hold.items_deleted(changes.deleted)
        self._pending.units |= self._desired.kept_of(changes.deleted)
        hold.ports_known(
            change.key.id
            for change in changes.items
            if change.key.kind is ItemKind.LOCAL_PORT and change.after is not None
        )

    def vifs_changed(self, ofports: Mapping[str, int]) -> list[str]:
        """The plugged interfaces are these now; returns the ids that went, with the subports of trunks."""
        present = self._numbers.allocation.ofports
        gone = [port_id for port_id in present if port_id not in ofports]
        moved = [port_id for port_id, ofport in ofports.items() if present.get(port_id) != ofport]
        for port_id in gone:
            del present[port_id]
            self._hold.vif_unplugged(port_id)
        present |= {port_id: ofports[port_id] for port_id in moved}
        for parent in (*gone, *moved):
            for port_id in (parent, *self._view.resolved.subports_of(parent)):
                self._changed(LocalChange(Local.PORT, port_id))
        return [port_id for vif in gone for port_id in (vif, *self._view.resolved.subports_of(vif))]

    def found(self, findings: Iterable[Finding]) -> bool:
        """What handlers found out; returns whether it was anything new."""
        hops, is_new = self._numbers.allocation.next_hops, False
        for finding in findings:
            place = (finding.network_id, finding.address)
            if hops.get(place) == finding.mac:
                continue
            if finding.mac is None:
                del hops[place]
            else:
                hops[place] = finding.mac
            self._changed(LocalChange(Local.NEXT_HOP, "/".join(place)))
            is_new = True
        return is_new

    def tunnel_health(self, health: TunnelHealth) -> None:
        """A watched tunnel came up or went down."""
        self._set_lost(self._doubts.lost(health, self._numbers.allocation.lost_vteps))

    def _set_lost(self, lost: frozenset[str]) -> None:
        if lost != self._numbers.allocation.lost_vteps:
            self._numbers.allocation.lost_vteps = lost
            self._changed(LocalChange(Local.LOST_VTEPS))

    def expire(self) -> bool:
        """Forget what is true only for a time; returns whether anything was."""
        left, arrived, lost = self._departures.expire(), self._arrivals.expire(), self._doubts.expire()
        self._set_lost(self._numbers.allocation.lost_vteps | lost)
        for port_id in left:
            self._changed(LocalChange(Local.FORWARDING, port_id))
        for port_id in arrived:
            self._changed(LocalChange(Local.ARRIVED, port_id))
        again = self.quarantine.expire()
        self._pending.units |= again
        return bool(left or arrived or again or lost)

    @property
    def expires_s(self) -> float | None:
        """When `expire` will have something to do, in the clock's seconds; None if nothing is due."""
        temporary = (self._departures, self._arrivals, self._doubts, self.quarantine)
        return min((due for each in temporary if (due := each.next_s()) is not None), default=None)

    def provide_again(self) -> None:
        """Try once more to make the ports that the switch could not make."""
        self._pending.provisions = True
        self._provided = None

    # --- one turn --------------------------------------------------------------------------------------

    async def turn(self) -> Turn | None:
        """Bring the switch to what the view says; None if it cannot be yet (no switch, or nothing known of the host).

        Raises: SwitchError; then call `distrust`. FlowsRefused: what was refused is left out in the next turn.
        Work that arrives while it waits is done in the next turn.
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
        await self._provide(life)
        for findings in (self._arrivals, self._hops, self._hold.known):
            await self._keep(findings)
        # What a new life of the switch marked as work must not be counted as done by a turn of the last one.
        self._check(life)
        # From here to the first await nothing else runs: what is observed, computed and freed is of one moment.
        turn = self._observe()
        unused = self._unused()
        self._settle()
        changed = self._recompute()
        try:
            await self._install(changed, life)
        except FlowsRefused as error:
            if not self._isolate(error):
                raise SwitchError(str(error)) from error
            raise
        self.quarantine.confirmed()
        self._untold.told(turn.confirmed)
        await self._free(unused)
        await self._keep(self._hold.known)
        return turn

    def _isolate(self, error: FlowsRefused) -> bool:
        """Leave out the units whose flows were refused; whether that may help. Cost: O(flows)."""
        units = self._desired.units_of(set(error.keys))
        is_new = self.quarantine.isolate(units, str(error))
        if is_new:
            log.error("units_left_out", units=[str(unit) for unit in units], reason=str(error))
        return is_new

    def _check(self, life: int) -> None:
        if life != self._life:
            raise _InterruptedError

    @property
    def flows(self) -> Mapping[FlowKey, Flow]:
        """The flows that should be in the switch, as last computed."""
        return self._desired.flows

    async def _load(self, life: int) -> None:
        kept = await self._switch.load_numbers()
        missing, stale = self._numbers.load(kept)
        for port_id in self._arrivals.load(kept):
            self._changed(LocalChange(Local.ARRIVED, port_id))
        self._hold.load(kept)
        await self.peers.find()
        for place in self._hops.load(kept):
            self._changed(LocalChange(Local.NEXT_HOP, "/".join(place)))
        if missing or stale:
            await self._switch.save_numbers(missing, stale)
        self._hold.epoch_seen(self._view.epoch, self._numbers.epoch)
        self._check(life)
        self._must_load = False
        self._pending.numbers = True

    async def _number(self) -> bool:
        """Number what is new; True if there was any. Saved before a flow can use it."""
        numbers, pending = self._numbers, self._pending.owners
        owners = self._pending.unnumbered(self._view.resolved)
        taken = numbers.take(owners)
        for ids in pending.values():
            ids.clear()
        if not taken:
            return False
        try:
            await self._forget_connections(taken)
            await self._switch.save_numbers(taken)
        except BaseException:
            numbers.not_saved(taken)
            for what, again in owners.items():
                pending[what].update(again)
            raise
        numbers.saved(taken)
        for what, ids_taken in owners.items():
            for id in ids_taken:
                self._changed(numbering(what, id, self._view.resolved))
        return True

    async def _keep(self, findings: Arrivals | KeptHops | Orphans) -> None:
        put, remove = findings.to_keep()
        if put or remove:
            await self._switch.save_numbers(put, remove)
            findings.kept(put, remove)

    async def _forget_connections(self, taken: Mapping[str, int]) -> None:
        """A zone's last owner may have left connections; its next one must not meet them."""
        zones = (zone_of(name, number) for name, number in taken.items())
        await self._switch.flush_zones([zone for zone in zones if zone is not None])

    async def _provide(self, life: int) -> None:
        """Have the ports that the view needs, and note their numbers."""
        if not self._pending.provisions:
            return
        self._pending.provisions = False
        wanted = provisions(self._view.resolved, self._metadata)
        if wanted == self._provided and not self._must_compare:
            return
        try:
            tunnels: dict[str, int] = {}
            if wanted.vteps and wanted.tunnels:
                tunnels = await self._switch.ensure_tunnels(wanted.vteps, wanted.tunnels)
            ofports = await self._ensure_ports(wanted)
            self._check(life)
        except BaseException:
            self._pending.provisions = True
            raise
        self._provided = wanted
        allocation = self._numbers.allocation
        before = (allocation.tunnels, allocation.probes, allocation.providers, allocation.metadata_ofport)
        allocation.tunnels = tunnels
        wanted.note(ofports, allocation)
        if before[:2] != (allocation.tunnels, allocation.probes):
            self._changed(LocalChange(Local.TUNNELS))
        if before[2] != allocation.providers:
            self._changed(LocalChange(Local.PROVIDERS))
        if before[3] != allocation.metadata_ofport:
            self._changed(LocalChange(Local.METADATA))
        self._set_lost(allocation.lost_vteps & self._doubts.watch({vtep for _, vtep in wanted.probes}))

    async def _ensure_ports(self, wanted: Provisions) -> Mapping[str, int]:
        """A bridge that is not there must not keep the host from everything else: it is complained of, and left out."""
        if not (wanted.ports or self._may_have_ports):
            return {}
        try:
            ofports = await self._switch.ensure_ports(wanted.ports)
        except SwitchError as error:
            if not self.is_connected:
                raise
            if str(error) != self.complaint:
                log.error("ports_not_made", reason=str(error))
            self.complaint = str(error)
            return {}
        self.complaint = ""
        self._may_have_ports = bool(wanted.ports)
        return ofports

    def _observe(self) -> Turn:
        """What will be true when this turn's barrier replies."""
        is_unnumbered = any(self._pending.unnumbered(self._view.resolved).values())
        plugged = self._plugged()
        return Turn(
            epoch=self._view.epoch,
            # What still waits for its number is not in the switch, so nothing may be confirmed yet.
            realized={} if is_unnumbered or self._pending.provisions else self._view.realizable(),
            plugged=plugged,
            confirmed=self._untold.take(plugged),
        )

    def _plugged(self) -> dict[str, int]:
        """Open, numbered port → where its VIF is, that of a subport being its parent's. Cost: O(VIFs and subports)."""
        view, allocation = self._view.resolved, self._numbers.allocation
        found: dict[str, int] = {}
        for vif in allocation.ofports:
            for port_id in (vif, *view.subports_of(vif)):
                port = view.ports.get(port_id)
                if port is not None and port_id in allocation.port_keys:
                    ofport = ofport_of(port, view, allocation)
                    if ofport > 0:
                        found[port_id] = ofport
        for port_id in self.quarantine.ports(view) if self.quarantine else ():
            found.pop(port_id, None)
        return found

    def _settle(self) -> None:
        """Let a new epoch's hold end when there is no orphan; note when any hold began or ended."""
        hold, numbers, view = self._hold, self._numbers, self._view.resolved
        if self._view.in_sync:
            plugged = numbers.allocation.ofports
            living = [id for id in numbers.allocation.port_keys if id in plugged]
            hold.looked(plugged, living, ChainMap(view.ports, view.closed), self._view.epoch)
        if self._is_held and not hold.is_active:
            hold.ended()
            self._pending.units |= self._desired.kept
            self._pending.numbers = True
            self._must_compare = True
        self._is_held = hold.is_active

    def _recompute(self) -> dict[FlowKey, Flow | None]:
        """Compute the flows of dirty units anew; returns as `DesiredFlows.recompute`."""
        view, hold = self._view.resolved, self._hold
        known_ports = ChainMap(view.ports, view.closed)
        kept = self._desired.kept if self._pending.is_all else ()
        dirty = self._pending.take_units(view).union(kept)
        return self._desired.recompute(
            dirty,
            view,
            self._numbers.allocation,
            is_left_out=self.quarantine.holds,
            is_held=lambda unit: hold.keeps(unit, known_ports),
        )

    async def _install(self, before: Mapping[FlowKey, Flow | None], life: int) -> None:
        may_remove = self._is_swept or self._view.in_sync
        if self._pending.meters:
            self._pending.meters = False
            self._meters.recompute(self._view.resolved, self._numbers.allocation)
        # A flow that a hold keeps goes with its meter or group.
        may_unbind = may_remove and not self._hold.is_active
        if self._must_compare or (may_remove and not self._is_swept):
            await self._compare(life, may_remove=may_unbind)
            self._is_swept |= may_remove
        else:
            meters, groups = self._meters.meters, self._meters.groups
            diff = FlowDiff(
                self._desired.put(before),
                # Before in-sync the switch may hold what only *seems* to be gone; the sweep at in-sync finds the rest.
                self._desired.removed(before) if may_remove else (),
                meters.put(),
                groups.put(),
                meters.removed() if may_unbind else (),
                groups.removed() if may_unbind else (),
            )
            await self._apply(diff)
            self._check(life)
        self._meters.confirmed(is_removed=may_unbind)

    async def _compare(self, life: int, *, may_remove: bool) -> None:
        """Read back and repair. `_must_compare` falls only when the repair is confirmed."""
        self._must_compare = True
        meters, groups = self._meters.meters.wanted, self._meters.groups.wanted
        diff = await self._switch.compare(self._desired.flows, list(meters.values()), list(groups.values()))
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
        if not self._pending.numbers:
            return []
        self._pending.numbers = False
        return self._numbers.unused(owners_in(self._view.resolved))

    async def _free(self, unused: list[str]) -> None:
        """Remember the epoch and free numbers, now that their flows are surely gone."""
        numbers = self._numbers
        if not self._is_swept or self._hold.is_active or not self._view.in_sync:
            self._pending.numbers |= bool(unused)
            return
        # Of now: a later one may begin while this waits, and is held.
        epoch = self._view.epoch
        kept = numbers.kept() if unused else {}
        await self._forget_connections({name: kept[name] for name in unused if name in kept})
        # Who came back meanwhile keeps its number.
        still = set(numbers.unused(owners_in(self._view.resolved))) if unused else set()
        unused = [name for name in unused if name in still]
        put = {EPOCH: epoch} if numbers.epoch != epoch else {}
        if put or unused:
            await self._switch.save_numbers(put, unused)
        numbers.epoch = epoch
        numbers.free(unused)
