"""Lost gateway hosts: which the region is told of, so that they do not take back what others have served since.

Told is who was seen to live, has been lost for a moment, and has a router that this host serves in its place. What is
watched anew, and what a switch that was away says first, is no loss: a watch needs seconds until both ends speak.
"""

from collections.abc import Callable, Iterable

from alcor.bus.interface import LossReport
from alcor.goalstate.router_item import GatewayHost

# Shorter than this is no loss that anybody acts upon for long: packets find their way back by themselves.
STABLE_S = 1.0


class Losses:
    """What one host knows of the losses of others. Memory: a few numbers per watched host."""

    def __init__(self, now_s: Callable[[], float], now_ms: Callable[[], float]) -> None:
        """`now_s`: monotonic seconds; `now_ms`: unix milliseconds."""
        self._now_s, self._now_ms = now_s, now_ms
        self._watched: frozenset[str] = frozenset()
        self._seen: set[str] = set()
        # VTEP → when it was lost, by both clocks.
        self._lost: dict[str, tuple[float, float]] = {}
        self._told: dict[str, float] = {}
        self._is_open = False

    def health(self, vtep: str, *, is_up: bool) -> bool:
        """The switch says whether a watched host lives. Returns: whether `paths` changed."""
        before = self.paths().get(vtep)
        if is_up:
            self._seen.add(vtep)
            self._lost.pop(vtep, None)
        elif vtep in self._seen:
            self._lost.setdefault(vtep, (self._now_s(), self._now_ms()))
            self._is_open = True
        return self.paths().get(vtep) is not before

    def paths(self) -> dict[str, bool]:
        """Watched host → whether it lives; those that were not seen yet are left out. Cost: O(watched hosts)."""
        return {vtep: vtep not in self._lost for vtep in self._seen}

    def forget(self) -> None:
        """The switch is gone: what it says next is a beginning."""
        self._seen.clear()
        self._lost.clear()

    def watch(self, vteps: Iterable[str]) -> None:
        """These are watched now; who is no longer, and then is again, is seen anew."""
        watched = frozenset(vteps)
        for vtep in self._watched - watched:
            self._seen.discard(vtep)
            self._lost.pop(vtep, None)
        self._watched = watched

    def routers_changed(self) -> None:
        """This host may serve others' routers than before."""
        self._is_open = True

    @property
    def next_s(self) -> float | None:
        """When a loss will have lasted long enough, in the clock's seconds; None if there is none to wait for."""
        now = self._now_s()
        dues = (lost_s + STABLE_S for lost_s, _ in self._lost.values())
        return min((due for due in dues if due > now), default=None)

    def due(self, succeeded: Callable[[], Iterable[GatewayHost]]) -> tuple[LossReport, ...]:
        """What is to be told now, each loss once. `succeeded`: in whose place this host serves; asked only if anything
        has changed since the last time.
        """
        if not (self._is_open and self._lost):
            return ()
        self._is_open = self.next_s is not None
        now, found = self._now_s(), []
        for host in succeeded():
            lost = self._lost.get(host.vtep)
            if lost is not None and now - lost[0] >= STABLE_S and self._told.get(host.host_id) != lost[1]:
                self._told[host.host_id] = lost[1]
                found.append(LossReport(host.host_id, lost[1]))
        return tuple(sorted(found, key=lambda one: one.host_id))

    def told(self) -> tuple[LossReport, ...]:
        """All that was told, for a region that is reached anew."""
        return tuple(LossReport(host_id, at_ms) for host_id, at_ms in sorted(self._told.items()))
