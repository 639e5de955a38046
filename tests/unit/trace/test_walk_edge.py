"""A packet's way out of the region and into it: gateways, floating IPs, and the answer's way back."""

import pytest

from alcor.goalstate.graph import Graph
from alcor.trace.cause import Cause, Verdict
from alcor.trace.question import UDP, TraceQuestion
from alcor.trace.region import GraphRegion
from alcor.trace.walk import Walk
from tests.support.cases_edge import EDGE, FLOAT1, FLOAT4, GW1, RED1, RED2, RED4, RED5
from tests.support.packet_site import A_REGION, OPEN_ROWS


@pytest.fixture(scope="module")
def region() -> GraphRegion:
    """The region of the edge's stories."""
    rows = (*EDGE.rows, *OPEN_ROWS)
    return GraphRegion(Graph.load(A_REGION, rows, revision=1, row_revisions={row.id: 1 for row in rows}))


@pytest.mark.parametrize("sender", [RED1, RED2, RED5], ids=lambda one: str(one.port))
def test_out_and_back(region: GraphRegion, sender: object) -> None:
    """With a floating IP, through the gateway of another host, or without a bridge of its own: it leaves, and the
    answer comes back to the sender."""
    port_id = getattr(sender, "port")  # noqa: B009 - a machine of the cases

    trace = Walk(region, TraceQuestion(port_id=port_id, destination_ip="198.51.100.9")).run()

    assert (trace.verdict, trace.cause) == (Verdict.LEFT, None)
    assert trace.reply is not None
    assert (trace.reply.verdict, trace.reply.port_id) == (Verdict.DELIVERED, port_id)


@pytest.mark.parametrize("sender", [RED1, RED2], ids=lambda one: str(one.port))
def test_to_a_floating_ip(region: GraphRegion, sender: object) -> None:
    """Floating IP to floating IP, and behind a gateway's address: it is delivered to the port, and answered."""
    port_id = getattr(sender, "port")  # noqa: B009 - a machine of the cases

    trace = Walk(region, TraceQuestion(port_id=port_id, destination_ip=FLOAT4.ip)).run()

    assert (trace.verdict, trace.port_id) == (Verdict.DELIVERED, RED4.port)
    assert trace.reply is not None
    assert (trace.reply.verdict, trace.reply.port_id) == (Verdict.DELIVERED, port_id)


def test_from_outside(region: GraphRegion) -> None:
    """From outside a floating IP leads to its port, and the answer leaves again."""
    question = TraceQuestion(network_id="ext", source_ip="203.0.113.77", destination_ip=FLOAT1.ip)

    trace = Walk(region, question).run()

    assert (trace.verdict, trace.port_id) == (Verdict.DELIVERED, RED1.port)
    assert trace.reply is not None
    assert trace.reply.verdict is Verdict.LEFT


def test_unasked_from_outside(region: GraphRegion) -> None:
    """To a gateway's address without a session: not translated, hence dropped."""
    question = TraceQuestion(
        network_id="ext", source_ip="203.0.113.77", destination_ip=GW1, protocol=UDP, destination_port=9
    )

    trace = Walk(region, question).run()

    assert (trace.verdict, trace.cause) == (Verdict.DROPPED, Cause.NOT_TRANSLATED)
