"""When a new epoch is calm: no host has a living port that the region does not know, so nobody holds because of it.

    some host holds, and of every host one of these is so           ─► a row, which the change log brings to every host
        it said that it is settled in this epoch (`Heartbeat.settled`)
        it was never heard, and the epoch is older than `NEW_S`: it is only planned
        it says nothing of this epoch, and that is older than `wait_s`: it may be dead for ever

Once calm an epoch stays so: a host that comes back later holds what is its own, and nobody else does. An operator's
release waits for nobody.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Protocol

import msgspec

from alcor.goalstate.graph import Graph
from alcor.model.epoch_release import CALM_ID, HELD, EpochRelease
from alcor.store.interface import Store, Transaction
from alcor.telemetry.log import get_log

log = get_log("dataplane")

WAIT_S = 3_600.0
# A host whose first word was lost with the observations attaches well within this.
NEW_S = 30.0
_NAMED_MAX = 10


class Heard(Protocol):
    """What is known of a host. `settled`: an epoch, `detail`: a sentence, both as of its last heartbeat."""

    @property
    def alive(self) -> bool: ...
    @property
    def was_heard(self) -> bool: ...
    @property
    def settled(self) -> int: ...
    @property
    def detail(self) -> str: ...


class Calm:
    """Looks, and writes once an epoch. Keeps nothing: whoever looks next comes to the same."""

    def __init__(self, store: Store, *, wait_s: float, now_ms: Callable[[], int], term: int = 0) -> None:
        """`wait_s`: how long after the beginning of an epoch hosts are waited for that say nothing of it. `term`: as
        `Realizer`.
        """
        self._store, self._wait_s, self._now_ms, self._term = store, wait_s, now_ms, term

    async def look(self, graph: Graph, epoch: int, heard: Mapping[str, Heard]) -> None:
        """Cost: O(hosts) in an epoch that nobody was told to be right, else O(1). Raises: Superseded; Unavailable."""
        intent = graph.intent
        if any(release.epoch >= epoch for release in intent.releases.values()):
            return
        known = [heard[id] for id in intent.hosts if id in heard]
        if not any(host.alive and HELD in host.detail for host in known):
            return
        # An epoch is the time at which it began, unless clocks went backwards (protocol, section 2).
        age_s = (self._now_ms() - epoch) / 1000
        silent = [id for id in intent.hosts if id not in heard or heard[id].settled < epoch]
        if not any(self._is_waited_for(heard.get(id), age_s) for id in silent):
            missing = [intent.hosts[id].item.name for id in silent if id in heard and heard[id].was_heard]
            await self._store.write(partial(self._put, epoch=epoch, missing=missing))

    def _is_waited_for(self, host: Heard | None, age_s: float) -> bool:
        """Whether a host that is not settled may have ports that are not known."""
        if host is None or not host.was_heard:
            return age_s < min(NEW_S, self._wait_s)
        return (host.alive and HELD in host.detail) or age_s < self._wait_s

    async def _put(self, tx: Transaction, epoch: int, missing: list[str]) -> None:
        await tx.fence(self._term)
        row = await tx.find(EpochRelease, CALM_ID)
        if row is None:
            tx.insert(EpochRelease(id=CALM_ID, epoch=epoch, number=1))
        elif row.epoch < epoch:
            tx.update(msgspec.structs.replace(row, epoch=epoch, number=row.number + 1))
        else:
            return
        log.info("epoch_calm", epoch=epoch, hosts=missing[:_NAMED_MAX], missing=len(missing))
