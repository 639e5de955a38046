"""Local numbers: port, network and router keys, kept in the switch's database (I11; protocol, section 7).

They are state: a restarted agent that numbered its ports anew would rewrite every flow. So a number is saved
before a flow uses it, read back at start, and freed only after the flows that use it are gone. The remembered
epoch lies with them.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from alcor.model.errors import Exhausted
from alcor.pipeline.qos import LIMIT_KEY_MAX
from alcor.pipeline.tables import PORT_KEY_MAX, ROUTER_KEY_MAX, ROUTER_ZONES_FROM
from alcor.pipeline.view import Allocation

NETWORK_KEY_MAX = 2**24 - 1
EPOCH = "epoch"

# A freed number rests, so that a packet that is still on its way through the switch or to the agent with the old
# number is not taken for its next owner's. As long as a released address rests (architecture, section 4).
REST_S = 60.0


@dataclass(slots=True)
class NumberPool:
    """The lowest free number of 1 … `maximum`; a freed one rests `REST_S` unless only resting ones are left.

    Shape: `resting` in order of release. Cost: O(log n) per take and release.
    """

    maximum: int
    now_s: Callable[[], float]
    taken: dict[str, int] = field(default_factory=dict)
    used: set[int] = field(default_factory=set)
    free: list[int] = field(default_factory=list)
    resting: list[tuple[float, int]] = field(default_factory=list)
    above: int = 1

    def adopt(self, owner: str, number: int) -> bool:
        """Take a number read back; False if it is out of range or another's."""
        if not 1 <= number <= self.maximum or number in self.used or owner in self.taken:
            return self.taken.get(owner) == number
        self.taken[owner] = number
        self.used.add(number)
        return True

    def take(self, owner: str, what: str) -> int:
        """A number for `owner`, the same if it has one. Raises: Exhausted."""
        if owner in self.taken:
            return self.taken[owner]
        number = self._next(what)
        self.taken[owner] = number
        self.used.add(number)
        return number

    def _next(self, what: str) -> int:
        now = self.now_s()
        while self.resting and self.resting[0][0] <= now:
            heapq.heappush(self.free, heapq.heappop(self.resting)[1])
        while self.free:
            number = heapq.heappop(self.free)
            if number not in self.used:
                return number
        while self.above in self.used:
            self.above += 1
        if self.above <= self.maximum:
            self.above += 1
            return self.above - 1
        if self.resting:
            return heapq.heappop(self.resting)[1]
        raise Exhausted(what, "on this host")

    def release(self, owner: str) -> None:
        """Give the owner's number back to rest."""
        number = self.taken.pop(owner, None)
        if number is not None:
            self.used.discard(number)
            heapq.heappush(self.resting, (self.now_s() + REST_S, number))

    def undo(self, owner: str) -> None:
        """Take back a `take` that could not be saved: no flow has used the number, so it need not rest."""
        number = self.taken.pop(owner, None)
        if number is not None:
            self.used.discard(number)
            heapq.heappush(self.free, number)


class Numbered(StrEnum):
    """What has local numbers; the value is the prefix of its names in the database (`port:<id>`)."""

    PORT = "port"
    NETWORK = "network"
    ROUTER = "router"
    LIMIT = "limit"


Owners = Mapping[Numbered, Collection[str]]
"""Ids by what they are of."""

_MAXIMA = {
    Numbered.PORT: PORT_KEY_MAX,
    Numbered.NETWORK: NETWORK_KEY_MAX,
    Numbered.ROUTER: ROUTER_KEY_MAX,
    Numbered.LIMIT: LIMIT_KEY_MAX,
}


def name_of(what: Numbered, owner: str) -> str:
    """The name under which the database keeps the owner's number."""
    return f"{what.value}:{owner}"


def _parse(name: str) -> tuple[Numbered, str] | None:
    """The owner behind a name; None if the name is not a number's."""
    prefix, colon, owner = name.partition(":")
    return (Numbered(prefix), owner) if colon and prefix in Numbered._value2member_map_ else None


def zone_of(name: str, number: int) -> int | None:
    """The conntrack zone that goes with a number; None if none does."""
    parsed = _parse(name)
    if parsed is None or parsed[0] in (Numbered.NETWORK, Numbered.LIMIT):
        return None
    return number if parsed[0] is Numbered.PORT else ROUTER_ZONES_FROM + number


class LocalNumbers:
    """The host's numbers by owner, and `allocation`, which the pipeline computes with.

    A number stands in `allocation` only after `saved` said that it is in the database.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        """`now_s`: monotonic seconds."""
        self.now_s = now_s
        self.allocation = Allocation()
        self.epoch = 0
        self.pools = {what: NumberPool(maximum, now_s) for what, maximum in _MAXIMA.items()}
        self._keys = {
            Numbered.PORT: self.allocation.port_keys,
            Numbered.NETWORK: self.allocation.network_keys,
            Numbered.ROUTER: self.allocation.router_keys,
            Numbered.LIMIT: self.allocation.limit_keys,
        }
        self._owners: dict[Numbered, dict[int, str]] = {what: {} for what in Numbered}

    def load(self, kept: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
        """Adopt what the switch's database holds; returns what to put right in it: numbers to save, names to remove.

        There is something to save if the database was made anew, and to remove if it held one number twice.
        """
        self.epoch = max(self.epoch, kept.get(EPOCH, 0))
        for name, number in sorted(kept.items()):
            parsed = _parse(name)
            if parsed is not None and self.pools[parsed[0]].adopt(parsed[1], number):
                self._use(*parsed, number)
        ours = self.kept()
        missing = {name: number for name, number in ours.items() if kept.get(name) != number}
        return missing, [name for name in kept if _parse(name) is not None and name not in ours]

    def _use(self, what: Numbered, owner: str, number: int) -> None:
        self._keys[what][owner] = number
        self._owners[what][number] = owner

    def kept(self) -> dict[str, int]:
        """Everything that must be in the database."""
        kept = {name_of(what, owner): key for what, keys in self._keys.items() for owner, key in keys.items()}
        return kept | ({EPOCH: self.epoch} if self.epoch else {})

    def owner_of(self, what: Numbered, key: int) -> str | None:
        """Whose number it is. Cost: O(1)."""
        return self._owners[what].get(key)

    def take(self, owners: Owners) -> dict[str, int]:
        """Numbers for those that have none, to be saved and then confirmed with `saved`. Raises: Exhausted."""
        taken: dict[str, int] = {}
        try:
            for what, ids in owners.items():
                for owner in sorted(set(ids) - self._keys[what].keys()):
                    taken[name_of(what, owner)] = self.pools[what].take(owner, f"{what.value} keys")
        except Exhausted:
            self.not_saved(taken)
            raise
        return taken

    def saved(self, taken: Mapping[str, int]) -> None:
        """The numbers are in the database: flows may use them."""
        for name, number in taken.items():
            parsed = _parse(name)
            assert parsed is not None
            self._use(*parsed, number)

    def not_saved(self, taken: Mapping[str, int]) -> None:
        """The numbers could not be saved: nobody has used them."""
        for name in taken:
            parsed = _parse(name)
            assert parsed is not None
            self.pools[parsed[0]].undo(parsed[1])

    def unused(self, known: Owners) -> list[str]:
        """The names of numbers whose owners are not in `known`. Cost: O(numbers)."""
        return [
            name_of(what, owner)
            for what, keys in self._keys.items()
            for owner in keys
            if owner not in known[what]
        ]

    def free(self, names: Iterable[str]) -> None:
        """Give numbers back; call after the flows that used them are gone and the database forgot them."""
        for name in names:
            parsed = _parse(name)
            assert parsed is not None
            what, owner = parsed
            self._owners[what].pop(self._keys[what].pop(owner), None)
            self.pools[what].release(owner)
