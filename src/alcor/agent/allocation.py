"""Local numbers: port keys and network keys, kept in the switch's database (I11; protocol, section 7).

They are state: a restarted agent that numbered its ports anew would rewrite every flow. So a number is saved
before a flow uses it, read back at start, and freed only after the flows that use it are gone. The remembered
epoch lies with them.
"""

import heapq
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field

from alcor.model.errors import Exhausted
from alcor.pipeline.view import Allocation

PORT_KEY_MAX = 2**15 - 1
NETWORK_KEY_MAX = 2**24 - 1
EPOCH = "epoch"
_PORT, _NETWORK = "port:", "network:"

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


class LocalNumbers:
    """The host's numbers by owner, and `allocation`, which the pipeline computes with.

    A number stands in `allocation` only after `saved` said that it is in the database.
    """

    def __init__(self, now_s: Callable[[], float]) -> None:
        """`now_s`: monotonic seconds."""
        self.allocation = Allocation()
        self.epoch = 0
        self.ports = NumberPool(PORT_KEY_MAX, now_s)
        self.networks = NumberPool(NETWORK_KEY_MAX, now_s)
        self._owner_of_key: dict[int, str] = {}

    def load(self, kept: Mapping[str, int]) -> tuple[dict[str, int], list[str]]:
        """Adopt what the switch's database holds; returns what to put right in it: numbers to save, names to remove.

        There is something to save if the database was made anew, and to remove if it held one number twice.
        """
        self.epoch = max(self.epoch, kept.get(EPOCH, 0))
        for name, number in sorted(kept.items()):
            if name.startswith(_PORT):
                self._adopt_port(name.removeprefix(_PORT), number)
            elif name.startswith(_NETWORK):
                owner = name.removeprefix(_NETWORK)
                if self.networks.adopt(owner, number):
                    self.allocation.network_keys[owner] = number
        ours = self.kept()
        missing = {name: number for name, number in ours.items() if kept.get(name) != number}
        return missing, [name for name in kept if name.startswith((_PORT, _NETWORK)) and name not in ours]

    def _adopt_port(self, owner: str, number: int) -> None:
        if self.ports.adopt(owner, number):
            self.allocation.port_keys[owner] = number
            self._owner_of_key[number] = owner

    def kept(self) -> dict[str, int]:
        """Everything that must be in the database."""
        kept = {_PORT + owner: number for owner, number in self.allocation.port_keys.items()}
        kept |= {_NETWORK + owner: number for owner, number in self.allocation.network_keys.items()}
        return kept | ({EPOCH: self.epoch} if self.epoch else {})

    def port_of(self, key: int) -> str | None:
        """Whose port key it is."""
        return self._owner_of_key.get(key)

    def take(self, ports: Iterable[str], networks: Iterable[str]) -> dict[str, int]:
        """Numbers for those that have none, to be saved and then confirmed with `saved`. Raises: Exhausted."""
        taken: dict[str, int] = {}
        try:
            for owner in sorted(set(ports) - self.allocation.port_keys.keys()):
                taken[_PORT + owner] = self.ports.take(owner, "port keys")
            for owner in sorted(set(networks) - self.allocation.network_keys.keys()):
                taken[_NETWORK + owner] = self.networks.take(owner, "network keys")
        except Exhausted:
            self.not_saved(taken)
            raise
        return taken

    def saved(self, taken: Mapping[str, int]) -> None:
        """The numbers are in the database: flows may use them."""
        for name, number in taken.items():
            if name.startswith(_PORT):
                self.allocation.port_keys[name.removeprefix(_PORT)] = number
                self._owner_of_key[number] = name.removeprefix(_PORT)
            else:
                self.allocation.network_keys[name.removeprefix(_NETWORK)] = number

    def not_saved(self, taken: Mapping[str, int]) -> None:
        """The numbers could not be saved: nobody has used them."""
        for name in taken:
            if name.startswith(_PORT):
                self.ports.undo(name.removeprefix(_PORT))
            else:
                self.networks.undo(name.removeprefix(_NETWORK))

    def unused(self, ports: Collection[str], networks: Collection[str]) -> list[str]:
        """The names of numbers whose owners are in neither collection. Cost: O(numbers)."""
        names = [_PORT + owner for owner in self.allocation.port_keys if owner not in ports]
        return names + [_NETWORK + owner for owner in self.allocation.network_keys if owner not in networks]

    def free(self, names: Iterable[str]) -> None:
        """Give numbers back; call after the flows that used them are gone and the database forgot them."""
        for name in names:
            if name.startswith(_PORT):
                owner = name.removeprefix(_PORT)
                self._owner_of_key.pop(self.allocation.port_keys.pop(owner), None)
                self.ports.release(owner)
            else:
                owner = name.removeprefix(_NETWORK)
                self.allocation.network_keys.pop(owner)
                self.networks.release(owner)
