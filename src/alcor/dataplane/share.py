"""This dataplane's share: which shards it may publish, and whether it is the one that hears of hosts.

Every dataplane follows the whole log, so that taking over a shard costs nothing but saying so (docs/decisions/0014).
A term counts from before it was asked for, by our own monotonic clock, and is over `MARGIN_S` before its end: whoever
may have the lease next has not had it before that.
"""

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from alcor.bus.interface import Holdings
from alcor.dataplane.keeper import Keeper
from alcor.goalstate.scope import SHARDS
from alcor.model.errors import Unavailable
from alcor.store.lease import LeaseMember, LeaseName, Leases, LeaseStanding
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import LAG_SECONDS, SHARDS_HELD

log = get_log("dataplane")

SHARD, REALIZE = "shard", "realize"
REALIZING = LeaseName(REALIZE, 0)
TTL_S = 3.0
EVERY_S = 1.0
MARGIN_S = 0.5
# A pause while something is due from others: they give it up at their next renewal.
SOON_S = 0.2
# Protocol, 4: who is behind the log for longer than this gives its shards up.
LAG_S_MAX = 5.0


class Follower(Protocol):
    """The dataplane whose share this is."""

    @property
    def revision(self) -> int | None:
        """Through which revision it has followed the log; None: it has not loaded yet."""

    def hold(self, holdings: Holdings) -> None:
        """From here on it says these shards only."""


@dataclass(frozen=True, slots=True)
class _Term:
    generation: int
    until: float


class Share:
    """Keeps one member's leases. `run` it in one task, `leave` when it ends.

    clock: monotonic seconds; of no other process. keeper: extends terms while our event loop is held.
    """

    def __init__(
        self,
        leases: Leases,
        follower: Follower,
        *,
        member_id: str,
        address: str,
        clock: Callable[[], float],
        ttl_s: float = TTL_S,
        every_s: float = EVERY_S,
        margin_s: float = MARGIN_S,
        keeper: Keeper | None = None,
    ) -> None:
        self._leases, self._follower, self._clock = leases, follower, clock
        self._member_id, self._address, self._keeper = member_id, address, keeper
        self._ttl_s, self._every_s, self._margin_s = ttl_s, every_s, margin_s
        self._terms: dict[LeaseName, _Term] = {}
        self._others: list[LeaseMember] = []
        self._realizer = ""
        self._said: Holdings | None = None
        self._timer: asyncio.TimerHandle | None = None
        # The oldest head that was not reached yet, and when it was first seen.
        self._due: tuple[int, float] | None = None
        self._is_lagging = False
        self.answered = asyncio.Event()
        """Set once the database has answered, and this follows the log."""
        self.trouble = "the dataplane is loading the region"
        """Why it has no share; empty while it has."""

    @property
    def text(self) -> str:
        """One sentence for people."""
        shards = sum(name.kind == SHARD for name in self._terms)
        hears = ", and hears of hosts" if REALIZING in self._terms else ""
        return f"holds {shards} of {SHARDS} shards{hears}; {len(self._others) + 1} dataplanes"

    @property
    def realizer(self) -> str:
        """The address of another dataplane that hears of hosts; empty if none is known."""
        return next((other.address for other in self._others if other.id == self._realizer), "")

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            pause_s = await self.turn()
            await asyncio.sleep(pause_s)

    async def turn(self) -> float:
        """Renew once; returns the seconds until the next time. What the database does not answer in time is lost."""
        begun = self._clock()
        if self._keeper is not None:
            self._keeper.saw()
        self.expire()
        lag_s = self._lag(begun)
        member = LeaseMember(self._member_id, self._address, self._is_ready(lag_s))
        try:
            # Within the time after which nothing would be left to renew.
            async with asyncio.timeout(self._ttl_s - self._margin_s):
                standing = await self._leases.renew(member, list(self._terms), self._ttl_s)
        except (Unavailable, TimeoutError) as error:
            self.expire()
            self.trouble = getattr(error, "message", "") or "The database does not answer."
            return self._every_s / 2
        self._settle(standing, begun + self._ttl_s - self._margin_s, is_ready=member.is_ready)
        if standing.head > (self._follower.revision or 0) and self._due is None:
            self._due = standing.head, begun
        return self._pause(standing, is_ready=member.is_ready)

    def expire(self) -> None:
        """Stop what our own clock says is over."""
        self._take_extension()
        now = self._clock()
        over = [name for name, term in self._terms.items() if term.until <= now]
        if over:
            log.warning("leases_lapsed", leases=len(over), reason="they were not renewed in time")
            for name in over:
                del self._terms[name]
        self._say()

    def _take_extension(self) -> None:
        """Terms that were renewed while we could not. One that we have given up since is not among ours."""
        extension = self._keeper.extension if self._keeper is not None else None
        if extension is None:
            return
        until = extension.begun + self._ttl_s - self._margin_s
        for name, term in self._terms.items():
            if extension.held.get(name) == term.generation and until > term.until:
                self._terms[name] = _Term(term.generation, until)

    async def leave(self) -> None:
        """Say nothing more, and let the others have it all at once."""
        self._terms.clear()
        self._say()
        try:
            async with asyncio.timeout(self._ttl_s):
                await self._leases.leave(self._member_id)
        except (Unavailable, TimeoutError) as error:
            log.warning("leases_not_released", reason=str(error), action=f"they end in {self._ttl_s:g} s")

    # --- one turn --------------------------------------------------------------------------------------------

    def _lag(self, now: float) -> float:
        """Seconds for which the log has been ahead of us."""
        revision = self._follower.revision
        if self._due is not None and revision is not None and revision >= self._due[0]:
            self._due = None
        lag_s = now - self._due[1] if self._due is not None and revision is not None else 0.0
        LAG_SECONDS.set(lag_s)
        if (lag_s > LAG_S_MAX) != self._is_lagging:
            self._is_lagging = lag_s > LAG_S_MAX
            if self._is_lagging:
                log.error(
                    "shards_lagging",
                    lag_s=round(lag_s, 1),
                    revision=revision,
                    head=self._due and self._due[0],
                )
            else:
                log.info("shards_caught_up", revision=revision)
        return lag_s

    def _is_ready(self, lag_s: float) -> bool:
        """Whether we are to have a share. Who is behind goes on if nobody else is there to do better."""
        if self._follower.revision is None:
            return False
        return lag_s <= LAG_S_MAX or not any(other.is_ready for other in self._others)

    def _settle(self, standing: LeaseStanding, until: float, *, is_ready: bool) -> None:
        self._others = standing.others
        self._realizer = standing.sole.get(REALIZE, "")
        self._terms = {name: _Term(generation, until) for name, generation in standing.held.items()}
        for surplus in self._surplus(is_ready=is_ready):
            del self._terms[surplus]
        self._say()
        if is_ready:
            self.trouble = ""
            self.answered.set()
        elif self._follower.revision is not None:
            self.trouble = f"the dataplane is more than {LAG_S_MAX:g} s behind the log"

    def _surplus(self, *, is_ready: bool) -> list[LeaseName]:
        """What is more than our share: given up at once, renewed no more."""
        ready = is_ready + sum(other.is_ready for other in self._others)
        by_kind: dict[str, list[LeaseName]] = {}
        for name in sorted(self._terms):
            by_kind.setdefault(name.kind, []).append(name)
        counts = {SHARD: SHARDS, REALIZE: 1}
        return [
            name
            for kind, names in by_kind.items()
            for name in names[math.ceil(counts[kind] / ready) if is_ready else 0 :]
        ]

    def _pause(self, standing: LeaseStanding, *, is_ready: bool) -> float:
        if len(self._terms) < len(standing.held):
            return 0.0  # the others wait for what we gave up
        if is_ready and not any(name.kind == SHARD for name in self._terms):
            return SOON_S
        # When another one's leases end without having been renewed, we are there.
        free_in_s = standing.free_in_s
        if free_in_s is not None and free_in_s < self._every_s:
            return free_in_s + 0.02
        return self._every_s

    def _say(self) -> None:
        """Tell the dataplane, if anything is different; and look again when the first term ends."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._terms:
            first = min(term.until for term in self._terms.values())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(max(0.0, first - self._clock()), self.expire)
        holdings = Holdings(
            member_id=self._member_id,
            shards={name.number: term.generation for name, term in self._terms.items() if name.kind == SHARD},
            realizes=self._generation(self._terms),
            members={other.id: other.address for other in self._others} | {self._member_id: self._address},
        )
        if holdings != self._said:
            if self._said is None or holdings.shards != self._said.shards:
                log.info("shards_held", shards=len(holdings.shards), dataplanes=len(holdings.members))
            self._said = holdings
            SHARDS_HELD.set(len(holdings.shards))
            self._follower.hold(holdings)

    @staticmethod
    def _generation(terms: Mapping[LeaseName, _Term]) -> int:
        term = terms.get(REALIZING)
        return term.generation if term is not None else 0
