"""Who programs the switch of a host whose agent is dead: leases, as rows that the change log brings to both hosts.

    DOWN for `after_s`, its switch reached by a neighbour ─► a lease for a host of its cluster that is heard and rescues
    heard again, or removed                                ─► the lease is withdrawn; its number is kept
    the rescuer is not heard any more, or has another key  ─► the next lease, for another

The switch itself keeps two from writing (OpenFlow roles by generation); this only decides whose turn it is.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from hashlib import blake2b
from typing import Protocol

import msgspec

from alcor.dataplane.health import Neighbours
from alcor.goalstate.graph import Graph
from alcor.model.host import Host
from alcor.model.rescue_lease import RescueLease, rescue_id
from alcor.store.interface import Store, Transaction
from alcor.telemetry.log import get_log

log = get_log("dataplane")

LOOK_S = 0.5
"""Between two looks at who is down."""
GENERATION_MAX = 2**32 - 1


class Heard(Protocol):
    """What is known of a host: `alive`, its own agent is heard; `rescues`, what that said last; None: nothing yet."""

    @property
    def alive(self) -> bool: ...
    @property
    def rescues(self) -> bool | None: ...


def preference(host_id: str, candidates: Iterable[str]) -> list[str]:
    """Candidates in the order in which they are asked to rescue a host: rendezvous hashing, the same for everybody."""

    def weight(candidate: str) -> bytes:
        return blake2b(f"{host_id}/{candidate}".encode(), digest_size=8).digest()

    return sorted(candidates, key=weight)


class Rescues:
    """Decides, and writes what changed. Memory: one entry per host that is down. Cost of a look: O(hosts)."""

    def __init__(
        self,
        store: Store,
        *,
        after_s: float,
        now_ms: Callable[[], int],
        monotonic_s: Callable[[], float],
        term: int = 0,
    ) -> None:
        """`after_s`: how long a host is down before it is rescued; 0: never, and leases that stand are withdrawn.

        `term`: as `Realizer`.
        """
        self._store, self._after_s, self._now_ms, self._monotonic_s = store, after_s, now_ms, monotonic_s
        self._term = term
        self._down_s: dict[str, float] = {}

    async def look(self, graph: Graph, heard: Mapping[str, Heard], neighbours: Neighbours) -> None:
        """Decide of every host, and write. Raises: Superseded; Unavailable."""
        now_s = self._monotonic_s()
        standing = {rescue.id: rescue for rescue in graph.intent.rescues.values()}
        wanted: list[tuple[str, bool]] = []
        for id, fact in graph.intent.hosts.items():
            known = heard.get(id)
            if not self._after_s or (known is not None and known.alive):
                self._down_s.pop(id, None)
                if id in standing:
                    wanted.append((id, False))
                continue
            since_s = self._down_s.setdefault(id, now_s)
            lease = standing.get(id)
            if lease is not None:
                if not self._still_right(lease.rescuer_id, lease.rescuer_key, graph, heard):
                    wanted.append((id, True))
            elif (
                now_s - since_s >= self._after_s
                and fact.item.key_digest
                and (known is None or known.rescues is not False)
                and neighbours.reached(id, graph).by > 0
            ):
                wanted.append((id, True))
        for id in self._down_s.keys() - graph.intent.hosts.keys():
            del self._down_s[id]
        able = [id for id, known in heard.items() if known.alive and known.rescues]
        for host_id, rescue in wanted:
            await self._store.write(partial(self._put, host_id=host_id, able=able if rescue else []))

    @staticmethod
    def _still_right(rescuer_id: str, key: str, graph: Graph, heard: Mapping[str, Heard]) -> bool:
        rescuer, known = graph.intent.hosts.get(rescuer_id), heard.get(rescuer_id)
        if rescuer is None or rescuer.item.key_digest != key:
            return False
        # One that is not known yet, right after a start, is not known to be lost.
        return known is None or known.rescues is None or (known.alive and known.rescues)

    async def _put(self, tx: Transaction, host_id: str, able: list[str]) -> None:
        """Lease a host's switch to the best of `able`, or to nobody; nothing is written if that is so already."""
        await tx.fence(self._term)
        host = await tx.find(Host, host_id)
        row = await tx.find(RescueLease, rescue_id(host_id))
        if host is None:
            return
        rescuer = await _first_of_cluster(tx, host, able)
        before = row or RescueLease(id=rescue_id(host_id), host_id=host_id)
        if rescuer is None:
            after = msgspec.structs.replace(before, rescuer_id="", rescuer_key="", addresses=())
        else:
            after = msgspec.structs.replace(
                before,
                rescuer_id=rescuer.id,
                rescuer_key=rescuer.key_digest,
                addresses=host.vtep_addresses,
                generation=min(max(before.generation + 1, self._now_ms() // 1000), GENERATION_MAX),
            )
        if after == before:
            return
        log.info("rescue_leased", host=host_id, rescuer=after.rescuer_id, generation=after.generation)
        if row is None:
            tx.insert(after)
        else:
            tx.update(after)


async def _first_of_cluster(tx: Transaction, host: Host, able: list[str]) -> Host | None:
    for id in preference(host.id, [id for id in able if id != host.id]):
        found = await tx.find(Host, id)
        if found is not None and found.cluster == host.cluster and found.key_digest:
            return found
    return None
