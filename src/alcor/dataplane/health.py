"""What hosts say of one another: whose switch answers the probes of its neighbours, agent or no agent.

An agent tells for each probed tunnel end whether it answers (BFD, in the tunnel itself). What a host said counts as
long as its agent is heard.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from alcor.goalstate.graph import Graph


class Reached(NamedTuple):
    """How many neighbours reach a host's switch, and how many miss it that reached it before."""

    by: int = 0
    missed_by: int = 0


class Neighbours:
    """Who reaches whom. Memory: one entry per probe. Cost of a report: O(its probes)."""

    def __init__(self) -> None:
        # Host → tunnel end → whether it answers, as that host said last.
        self._said: dict[str, dict[str, bool]] = {}
        # Tunnel end → (how many reach it, how many miss it).
        self._counts: dict[str, list[int]] = {}
        self._owners: dict[str, str] = {}
        self._owners_of = -1

    def hear(self, host_id: str, paths: Mapping[str, bool], graph: Graph) -> set[str]:
        """Take in what a host says of its paths (all of them; nothing once it is not heard).

        Returns: the hosts that are reached otherwise than before.
        """
        before = self._said.get(host_id, {})
        if before == paths:
            return set()
        changed = [end for end in {**before, **paths} if before.get(end) is not paths.get(end)]
        for end in changed:
            counts = self._counts.setdefault(end, [0, 0])
            for said, step in ((before.get(end), -1), (paths.get(end), 1)):
                if said is not None:
                    counts[0 if said else 1] += step
            if not any(counts):
                del self._counts[end]
        if paths:
            self._said[host_id] = dict(paths)
        else:
            self._said.pop(host_id, None)
        return self._hosts_of(changed, graph)

    def reached(self, host_id: str, graph: Graph) -> Reached:
        """Who reaches a host: the best of its tunnel ends counts."""
        host = graph.intent.hosts.get(host_id)
        ends = host.item.vtep_addresses if host is not None else ()
        found = [Reached(*self._counts[end]) for end in ends if end in self._counts]
        return max(found, default=Reached())

    def down(self, host_id: str) -> tuple[str, ...]:
        """The tunnel ends that a host misses, sorted."""
        return tuple(sorted(end for end, is_up in self._said.get(host_id, {}).items() if not is_up))

    def _hosts_of(self, ends: Iterable[str], graph: Graph) -> set[str]:
        """Cost: O(ends); O(hosts) once after hosts changed."""
        if self._owners_of != graph.revision and any(
            self._owners.get(end) not in graph.intent.hosts for end in ends
        ):
            self._owners = {
                end: id for id, host in graph.intent.hosts.items() for end in host.item.vtep_addresses
            }
            self._owners_of = graph.revision
        return {self._owners[end] for end in ends if end in self._owners}
