"""Claims of virtual addresses: what hosts report becomes rows, which the change log brings into the goal state.

Of several claims of one address the last counts, by the clocks of the claiming hosts: reports are told again when a
connection breaks, and by hosts that have lost the address meanwhile. A port that is gone claims nothing any more.
"""

from collections.abc import Iterable

import msgspec

from alcor.bus.interface import ClaimReport
from alcor.goalstate.graph import Graph
from alcor.goalstate.intent import By
from alcor.model.address_claim import AddressClaim, claim_id
from alcor.store.interface import Store, Transaction

Subject = tuple[str, str]
"""(network id, address)."""


class Claims:
    """What is to be written of claims. Memory: one number per address that was ever claimed in this run.

    Cost of a report: O(its claims).
    """

    def __init__(self, store: Store, term: int = 0) -> None:
        """`term`: as `Realizer`."""
        self._store, self._term = store, term
        self._last_ms: dict[Subject, float] = {}
        self._pending: dict[Subject, ClaimReport] = {}
        self._gone: set[str] = set()

    def __bool__(self) -> bool:
        """Whether there is anything to write."""
        return bool(self._pending or self._gone)

    def hear(self, claims: Iterable[ClaimReport], graph: Graph) -> None:
        """Note what a host reports. A claim by a port that is not on the network is nobody's."""
        for claim in claims:
            port = graph.intent.ports.get(claim.port_id)
            if port is None or port.local.network_id != claim.network_id:
                continue
            if claim.at_ms >= self._last_ms.get(claim.subject, 0.0):
                self._last_ms[claim.subject] = claim.at_ms
                self._pending[claim.subject] = claim

    def forget(self, port_ids: Iterable[str], graph: Graph) -> None:
        """Ports are gone: so are their claims."""
        for port_id in port_ids:
            self._gone.update(graph.intent.claims.find((By.PORT, port_id)))

    async def write(self) -> None:
        """Write what is pending; kept for the next attempt if it fails. Raises: Superseded; Unavailable."""
        pending, gone = dict(self._pending), set(self._gone)

        async def work(tx: Transaction) -> None:
            await tx.fence(self._term)
            for claim in pending.values():
                await _put(tx, claim)
            for id in sorted(gone):
                row = await tx.find(AddressClaim, id)
                if row is not None:
                    tx.delete(row)

        await self._store.write(work)
        self._gone -= gone
        for subject, claim in pending.items():
            if self._pending.get(subject) == claim:
                del self._pending[subject]


async def _put(tx: Transaction, claim: ClaimReport) -> None:
    id = claim_id(claim.network_id, claim.ip)
    row = await tx.find(AddressClaim, id)
    at_ms = int(claim.at_ms)
    if row is None:
        tx.insert(
            AddressClaim(
                id=id,
                network_id=claim.network_id,
                ip=claim.ip,
                mac=claim.mac,
                port_id=claim.port_id,
                at_ms=at_ms,
            )
        )
    elif (row.mac, row.port_id) != (claim.mac, claim.port_id) and row.at_ms <= at_ms:
        tx.update(msgspec.structs.replace(row, mac=claim.mac, port_id=claim.port_id, at_ms=at_ms))
