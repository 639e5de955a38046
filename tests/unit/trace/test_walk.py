"""A packet's way as people read it: who gets it, by which hops, and why it is dropped if it is."""

from typing import Any

import pytest

from alcor.goalstate.graph import Graph
from alcor.model.errors import InvalidInput, NotFound
from alcor.model.host import Host
from alcor.model.network import Network
from alcor.model.port import FixedIp, Port
from alcor.model.resource import Entity
from alcor.model.router import Router
from alcor.model.security_group import SecurityGroup
from alcor.model.security_group_rule import SecurityGroupRule
from alcor.model.subnet import Subnet
from alcor.pipeline.tables import Table
from alcor.trace.cause import ANSWERING, BY_TABLE, CAUSE_TEXTS, VERDICT_TEXTS, Cause, Verdict
from alcor.trace.question import TCP, TraceQuestion
from alcor.trace.region import GraphRegion
from alcor.trace.walk import Walk
from tests.support.packet_site import A_REGION


def _port(id: str, network: str, host: str, number: int, **fields: Any) -> Port:
    values: dict[str, Any] = {
        "id": id,
        "name": id,
        "network_id": network,
        "mac_address": f"02:00:00:00:00:{number:02x}",
        "fixed_ips": (FixedIp(f"{network}-4", f"10.{1 if network == 'red' else 2}.0.{number}"),),
        "security_groups": ("all",),
        "binding_host_id": host,
        "binding_vif_type": "ovs" if host else "unbound",
    }
    return Port(**(values | fields))


def _group(id: str, *rules: SecurityGroupRule) -> list[Entity]:
    return [SecurityGroup(id=id, name=id), *rules]


def _rule(id: str, group: str, direction: str, **fields: Any) -> SecurityGroupRule:
    return SecurityGroupRule(id=id, security_group_id=group, direction=direction, **fields)


ROWS: list[Entity] = [
    Host(id="h1", name="host-1", vtep_addresses=("192.0.2.1",)),
    Host(id="h2", name="host-2", vtep_addresses=("192.0.2.2",)),
    Network(id="red", name="red", mtu=1450, provider_segmentation_id=5001),
    Network(id="blue", name="blue", mtu=1450, provider_segmentation_id=5002),
    Subnet(id="red-4", network_id="red", ip_version=4, cidr="10.1.0.0/24", gateway_ip="10.1.0.254"),
    Subnet(id="blue-4", network_id="blue", ip_version=4, cidr="10.2.0.0/24", gateway_ip="10.2.0.254"),
    *_group("all", _rule("all-in", "all", "ingress"), _rule("all-out", "all", "egress")),
    *_group("ssh", _rule("ssh-in", "ssh", "ingress", protocol="tcp", port_range_min=22, port_range_max=22)),
    _port("red-1", "red", "host-1", 1),
    _port("red-2", "red", "host-1", 2, security_groups=("ssh",)),
    _port("red-3", "red", "host-2", 3),
    _port("red-unbound", "red", "", 4),
    _port("red-down", "red", "host-1", 5, admin_state_up=False),
    _port("blue-1", "blue", "host-2", 1, mac_address="02:00:00:00:01:01"),
    Router(id="r", name="r"),
    _port(
        "r-red", "red", "", 254, device_id="r", device_owner="network:router_interface", security_groups=()
    ),
    _port(
        "r-blue",
        "blue",
        "",
        254,
        device_id="r",
        device_owner="network:router_interface",
        security_groups=(),
        mac_address="02:00:00:00:01:fe",
    ),
]


@pytest.fixture(scope="module")
def region() -> GraphRegion:
    revisions = {row.id: 1 for row in ROWS}
    return GraphRegion(Graph.load(A_REGION, ROWS, revision=1, row_revisions=revisions))


def test_delivered_across_hosts(region: GraphRegion) -> None:
    """A ping to another host is delivered, the answer comes back, and the hops name both hosts."""
    trace = Walk(region, TraceQuestion(port_id="red-1", destination_ip="10.1.0.3")).run()

    assert (trace.verdict, trace.port_id, trace.cause) == (Verdict.DELIVERED, "red-3", None)
    assert {hop.host for hop in trace.hops} == {"host-1", "host-2"}
    assert trace.reply is not None
    assert (trace.reply.verdict, trace.reply.port_id) == (Verdict.DELIVERED, "red-1")


def test_the_deciding_rule_is_named(region: GraphRegion) -> None:
    """A packet that a security group rule lets in names the rule."""
    question = TraceQuestion(port_id="red-1", destination_ip="10.1.0.2", protocol=TCP, destination_port=22)

    trace = Walk(region, question).run()

    assert trace.verdict is Verdict.DELIVERED
    assert "ssh-in" in {hop.decided_by for hop in trace.hops}


def test_denied_by_the_receivers_groups(region: GraphRegion) -> None:
    """What no rule of the receiver allows is dropped there, and said so."""
    question = TraceQuestion(port_id="red-1", destination_ip="10.1.0.2", protocol=TCP, destination_port=80)

    trace = Walk(region, question).run()

    assert (trace.verdict, trace.cause) == (Verdict.DROPPED, Cause.INGRESS_GROUP)
    assert trace.hops[-1].text == CAUSE_TEXTS[Cause.INGRESS_GROUP]


def test_routed(region: GraphRegion) -> None:
    """A packet to another subnet goes by the router of the sender's own host."""
    trace = Walk(region, TraceQuestion(port_id="red-1", destination_ip="10.2.0.1")).run()

    assert (trace.verdict, trace.port_id) == (Verdict.DELIVERED, "blue-1")
    assert ("host-1", "ROUTE") in {(hop.host, hop.table) for hop in trace.hops}


def test_the_router_answers(region: GraphRegion) -> None:
    """A ping of the gateway is answered by the host itself."""
    trace = Walk(region, TraceQuestion(port_id="red-1", destination_ip="10.1.0.254")).run()

    assert trace.verdict is Verdict.ANSWERED


@pytest.mark.parametrize(
    ("port_id", "to", "fields", "cause"),
    [
        ("red-unbound", "10.1.0.3", {}, Cause.PORT_UNBOUND),
        ("red-down", "10.1.0.3", {}, Cause.PORT_DOWN),
        ("red-1", "fd00::1", {}, Cause.NO_ADDRESS),
        ("red-1", "10.1.0.77", {}, Cause.NO_NEIGHBOUR),
        ("red-1", "10.1.0.3", {"source_ip": "10.1.0.66"}, Cause.SPOOFED),
        ("red-2", "10.1.0.3", {}, Cause.EGRESS_GROUP),
        ("red-1", "203.0.113.9", {}, Cause.NO_ROUTE),
        ("red-1", "10.2.0.77", {}, Cause.NO_NEXT_HOP),
    ],
)
def test_causes(region: GraphRegion, port_id: str, to: str, fields: dict[str, Any], cause: Cause) -> None:
    """Each reason has its own code."""
    trace = Walk(region, TraceQuestion(port_id=port_id, destination_ip=to, **fields)).run()

    assert (trace.verdict, trace.cause) == (Verdict.DROPPED, cause)


def test_an_unknown_port(region: GraphRegion) -> None:
    """A port that does not exist is not found."""
    with pytest.raises(NotFound):
        Walk(region, TraceQuestion(port_id="nobody", destination_ip="10.1.0.1")).run()


def test_from_nowhere(region: GraphRegion) -> None:
    """A question without a source is refused."""
    with pytest.raises(InvalidInput):
        Walk(region, TraceQuestion(destination_ip="10.1.0.1")).run()


def test_every_table_is_explained() -> None:
    """Wherever a packet ends there is a cause, or an answer."""
    assert set(Table) == set(BY_TABLE) | ANSWERING


def test_every_code_is_explained() -> None:
    """The lists are whole: every code has its sentence, every table's cause is one of them."""
    assert set(CAUSE_TEXTS) == set(Cause)
    assert set(VERDICT_TEXTS) == set(Verdict)
    assert set(BY_TABLE.values()) <= set(Cause)
