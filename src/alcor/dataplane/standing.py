"""Standings of gateway hosts: losses that hosts report become rows, which the change log brings into the goal state.

A loss is believed if a gateway host tells it that serves in the place of the one that was lost. Whether an agent is
heard is no matter: a host whose agent is gone forwards as before. Several hosts tell of one loss, and each tells again
when a connection breaks: what is no later than what was heard of says nothing new.
"""

from collections.abc import Callable

import msgspec

from alcor.bus.interface import HostReport
from alcor.goalstate.graph import Graph
from alcor.model.gateway_standing import GatewayStanding, standing_id
from alcor.model.host import Host
from alcor.store.interface import Store, Transaction

# Hosts that miss the same one notice it within a second or two, by clocks that differ by less than the rest of this.
SAME_LOSS_MS = 10_000


class Standings:
    """What is to be written of losses. Memory: one number per gateway host. Cost of a report: O(its losses)."""

    def __init__(self, store: Store, now_ms: Callable[[], int], term: int = 0) -> None:
        """`now_ms`: unix milliseconds; no loss is later. `term`: as `Realizer`."""
        self._store, self._now_ms, self._term = store, now_ms, term
        self._pending: dict[str, int] = {}

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._pending)

    def hear(self, report: HostReport, graph: Graph) -> None:
        """Note what a host reports. What is no gateway host is not lost as one, and does not serve in its place."""
        hosts = graph.intent.hosts
        for loss in report.losses:
            told_by, lost = hosts.get(report.host_id), hosts.get(loss.host_id)
            if told_by is None or lost is None or told_by is lost:
                continue
            if told_by.is_gateway and lost.is_gateway:
                at_ms = min(int(loss.at_ms), self._now_ms())
                self._pending[loss.host_id] = max(at_ms, self._pending.get(loss.host_id, 0))

    async def write(self) -> None:
        """Write what is pending; kept for the next attempt if it fails. Raises: Superseded; Unavailable."""
        pending = dict(self._pending)

        async def work(tx: Transaction) -> None:
            await tx.fence(self._term)
            for host_id, at_ms in sorted(pending.items()):
                await _put(tx, host_id, at_ms)

        await self._store.write(work)
        for host_id, at_ms in pending.items():
            if self._pending.get(host_id) == at_ms:
                del self._pending[host_id]


async def _put(tx: Transaction, host_id: str, at_ms: int) -> None:
    id = standing_id(host_id)
    row = await tx.find(GatewayStanding, id)
    if row is not None:
        if at_ms - row.heard_ms > SAME_LOSS_MS:
            tx.update(msgspec.structs.replace(row, lost_at_ms=at_ms, heard_ms=at_ms))
    elif await tx.find(Host, host_id) is not None:
        tx.insert(GatewayStanding(id=id, host_id=host_id, lost_at_ms=at_ms, heard_ms=at_ms))
