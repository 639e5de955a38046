"""Watched tunnels of which the switch has only ever said "down".

A watch needs a moment until both ends speak, and begins with "down"; so does every watch of a switch that began again.
Whoever believed that would take routers over from a gateway host that is well, and give them back a second later.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from alcor.agent.driver import TunnelHealth

# Both ends agree within three intervals of a second each, which is the slowest that BFD may begin with.
# Source: RFC 5880, 6.8.3: at least one second while a session is not up.
DOUBT_S = 3.0


@dataclass(slots=True)
class Doubts:
    """Who may be lost, and when that will be taken for true. Memory: a number per doubted VTEP."""

    now_s: Callable[[], float]
    _until: dict[str, float] = field(default_factory=dict)

    def lost(self, health: TunnelHealth, lost: frozenset[str]) -> frozenset[str]:
        """Who is lost after the switch said something, having been `lost` before."""
        vtep = health.vtep
        if health.is_up:
            self._until.pop(vtep, None)
            return lost - {vtep}
        if health.was_up or vtep in lost:
            self._until.pop(vtep, None)
            return lost | {vtep}
        self._until.setdefault(vtep, self.now_s() + DOUBT_S)
        return lost

    def watch(self, vteps: set[str]) -> set[str]:
        """These are watched now; what was thought of others is forgotten. Returns them."""
        self._until = {vtep: until for vtep, until in self._until.items() if vtep in vteps}
        return vteps

    def expire(self) -> set[str]:
        """Those that have been down for too long to be new; each once."""
        now = self.now_s()
        found = {vtep for vtep, until in self._until.items() if until <= now}
        for vtep in found:
            del self._until[vtep]
        return found

    def next_s(self) -> float | None:
        """When `expire` will find somebody, in the clock's seconds; None if nobody is in doubt."""
        return min(self._until.values(), default=None)
