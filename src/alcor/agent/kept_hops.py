"""Outer next hops, kept beside the local numbers: a new agent starts with those its predecessor found.

Without them the flows of next hops would go at a restart and come back when each was asked for again: about a second
in which nothing leaves the region. What is kept may be wrong by then; the handler asks again at once.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from alcor.model.address import Mac, mac_int, mac_of_int

_NAME = "hop:"

Place = tuple[str, str]
"""(external network, address)"""


@dataclass(slots=True)
class KeptHops:
    """`hops`: `Allocation.next_hops`; `_kept`: what the switch's database has of them. Cost: O(next hops)."""

    hops: dict[Place, str]
    _kept: dict[str, int] = field(default_factory=dict)

    def load(self, kept: Mapping[str, int]) -> list[Place]:
        """Adopt what the database has, where nothing newer is known; returns the places."""
        self._kept = {name: number for name, number in kept.items() if name.startswith(_NAME)}
        found = []
        for name, number in self._kept.items():
            network_id, _, address = name.removeprefix(_NAME).partition("/")
            place = (network_id, address)
            if place not in self.hops:
                self.hops[place] = mac_of_int(number)
                found.append(place)
        return found

    def to_keep(self) -> tuple[dict[str, int], list[str]]:
        """What is to be put into the database, and the names to remove. Say `kept` when that is done."""
        wanted = {f"{_NAME}{network}/{ip}": mac_int(Mac(mac)) for (network, ip), mac in self.hops.items()}
        put = {name: number for name, number in wanted.items() if self._kept.get(name) != number}
        return put, [name for name in self._kept if name not in wanted]

    def kept(self, put: Mapping[str, int], removed: list[str]) -> None:
        """The database has it."""
        for name in removed:
            self._kept.pop(name, None)
        self._kept |= put
