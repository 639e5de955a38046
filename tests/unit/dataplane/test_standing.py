"""Standings of gateway hosts: from what hosts report to rows of the change log."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from alcor.bus.interface import HostReport, LossReport
from alcor.dataplane.standing import SAME_LOSS_MS, Standings
from alcor.model.gateway_standing import GatewayStanding, standing_id
from alcor.store.interface import Store, Transaction
from tests.support.goalstate import a_graph, a_host
from tests.support.store import sqlite_store

A, B, C = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
HOSTS = (
    a_host(A, "192.0.2.1", gateway=True),
    a_host(B, "192.0.2.2", gateway=True),
    a_host(C, "192.0.2.3"),
)
NOW_MS = 1_000_000


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    async with sqlite_store(tmp_path) as store:

        async def work(tx: Transaction) -> None:
            for host in HOSTS:
                tx.insert(host)

        await store.write(work)
        yield store


async def told(store: Store, *losses: tuple[str, str, float]) -> list[tuple[str, int]]:
    """The standings after losses were told: (by whom, of whom, when)."""
    for teller, lost, at_ms in losses:
        standings = Standings(store, lambda: NOW_MS)
        standings.hear(
            HostReport(host_id=teller, epoch=1, alive=True, at_ms=1, losses=(LossReport(lost, at_ms),)),
            a_graph(*HOSTS),
        )
        if standings:
            await standings.write()
        assert not standings
    rows = await store.reader.list(GatewayStanding)
    return sorted((row.host_id, row.lost_at_ms) for row in rows)


async def test_a_loss_is_remembered(store: Store) -> None:
    """Each host's last one, however often it is told; several hosts that tell of one loss tell it once."""
    first = await told(store, (B, A, 5_000.5), (B, A, 5_000.5), (B, A, 5_000 + SAME_LOSS_MS))
    second = await told(store, (A, B, 7_000), (B, A, 5_001 + SAME_LOSS_MS), (B, A, 6_000))

    assert first == [(A, 5_000)]
    assert second == [(A, 5_001 + SAME_LOSS_MS), (B, 7_000)]


async def test_what_is_forgiven_is_not_told_again(store: Store) -> None:
    """A host that tells an old loss again, as after a broken connection, says nothing new; the next loss does."""
    await told(store, (B, A, 5_000))

    async def forgive(tx: Transaction) -> None:
        row = await tx.get(GatewayStanding, standing_id(A))
        tx.update(GatewayStanding(id=row.id, host_id=A, lost_at_ms=0, heard_ms=row.heard_ms))

    await store.write(forgive)

    assert await told(store, (B, A, 5_000)) == [(A, 0)]
    assert await told(store, (B, A, 50_000)) == [(A, 50_000)]


async def test_only_gateway_hosts_are_lost_and_tell(store: Store) -> None:
    """Not of themselves, nor of who is no gateway host or unknown; and nothing is lost in the future."""
    assert await told(store, (A, A, 1), (A, C, 1), (C, A, 1), (A, "x", 1), ("x", A, 1)) == []
    assert await told(store, (A, B, NOW_MS + 1e9)) == [(B, NOW_MS)]
