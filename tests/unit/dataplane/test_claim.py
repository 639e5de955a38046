"""Claims of addresses: from what hosts report to rows of the change log."""

from pathlib import Path

import pytest

from alcor.bus.interface import ClaimReport
from alcor.dataplane.claim import Claims
from alcor.goalstate.item import Claim, ItemKind, Key
from alcor.goalstate.scope import neighbours_scope
from alcor.model.address_claim import AddressClaim, claim_id
from tests.support.goalstate import a_graph, a_host, a_port, deleted
from tests.support.store import sqlite_store

NETWORK, P, Q = (f"00000000-0000-4000-8000-00000000000{n}" for n in (1, 2, 3))
IP, MAC = "10.0.0.99", "00:00:5e:00:01:01"
H1, H2 = a_host("h1", "192.0.2.1"), a_host("h2", "192.0.2.2")
ROWS = (H1, H2, a_port(P, NETWORK, "h1"), a_port(Q, NETWORK, "h2"))


def a_claim(port_id: str, at_ms: float, network_id: str = NETWORK) -> ClaimReport:
    return ClaimReport(network_id, IP, MAC, port_id, at_ms)


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
async def test_the_last_claim_counts(order: tuple[int, int], tmp_path: Path) -> None:
    """Of two hosts' claims the later one is written, in whatever order and how often they are told."""
    told = (a_claim(P, 1000.0), a_claim(Q, 2000.0))
    graph = a_graph(*ROWS)
    async with sqlite_store(tmp_path) as store:
        claims = Claims(store)
        for at in (*order, *order):
            claims.hear([told[at]], graph)
            await claims.write()

        rows = await store.reader.list(AddressClaim)

    assert [(row.id, row.port_id, row.at_ms) for row in rows] == [(claim_id(NETWORK, IP), Q, 2000)]


async def test_a_restarted_dataplane_does_not_believe_what_is_old(tmp_path: Path) -> None:
    """What a host tells again after a restart does not take the address from who claimed it later."""
    graph = a_graph(*ROWS)
    async with sqlite_store(tmp_path) as store:
        for told in (a_claim(Q, 2000.0), a_claim(P, 1000.0)):
            claims = Claims(store)
            claims.hear([told], graph)
            await claims.write()

        row = await store.reader.find(AddressClaim, claim_id(NETWORK, IP))

    assert row is not None
    assert row.port_id == Q


async def test_a_claim_of_a_foreign_network_is_nobodys(tmp_path: Path) -> None:
    """A port claims addresses of its own network only, and one that nobody knows claims nothing."""
    async with sqlite_store(tmp_path) as store:
        claims = Claims(store)

        claims.hear([a_claim(P, 1.0, network_id=P), a_claim("x", 1.0)], a_graph(*ROWS))

    assert not claims


async def test_claims_go_with_their_port(tmp_path: Path) -> None:
    """The row reaches the neighbours of the network by the change log, and is deleted after its port."""
    graph = a_graph(*ROWS)
    async with sqlite_store(tmp_path) as store:
        claims = Claims(store)
        claims.hear([a_claim(Q, 1.0)], graph)
        await claims.write()
        cuts = await store.follow(0)
        graph.advance([change for cut in cuts for change in cut.changes], 2)
        held = graph.state(neighbours_scope(NETWORK))[Key(ItemKind.CLAIM, IP)]

        claims.forget(graph.advance([deleted(ROWS[3])], 3).ports_gone, graph)
        await claims.write()
        rows = await store.reader.list(AddressClaim)

    assert held == Claim(id=IP, mac=MAC, port_id=Q, host_id="h2", vtep="192.0.2.2")
    assert rows == []
