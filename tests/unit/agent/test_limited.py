"""Floating IPs and gateways with a QoS policy have numbers of their own, and meters that enforce it."""

import msgspec

from alcor.agent.limited import limited_in, limited_of
from alcor.agent.simulated import SimulatedSwitch
from alcor.goalstate.item import BridgeMapping, Limit, QosItem
from alcor.goalstate.router_item import (
    FloatingIpItem,
    GatewayHost,
    GatewayItem,
    InterfaceAddress,
    RouterGateway,
)
from alcor.pipeline.qos import EGRESS_RATE, limit_meter_id
from alcor.pipeline.view import View
from tests.support.agent import (
    A_HOST,
    HOST,
    VTEP,
    FakeNcm,
    a_site,
    an_agent,
    expected,
    local_port,
    network,
    router,
    running,
    settled,
)

OUTER = InterfaceAddress("203.0.113.5", "203.0.113.0/24", "outer-subnet", "203.0.113.1")


def _floating_ip(qos: str | None) -> FloatingIpItem:
    return FloatingIpItem(
        id="f", ip="203.0.113.9", mac="0a:00:00:00:00:09", network_id="outer", router_id="router", qos=qos
    )


def _gateway(qos: str | None) -> RouterGateway:
    return RouterGateway(
        id="g", network_id="outer", mac="0a:00:00:00:00:05", addresses=(OUTER,), snat=True, qos=qos
    )


def test_who_is_limited() -> None:
    """Those with a policy, by the router whose flows say so; nobody else."""
    view = View()
    view.floating_ips["f"] = _floating_ip("gold")
    view.routers["router"] = router(gateways=(_gateway("gold"),))

    assert limited_in(view) == {"f": "router", "g": "router"}
    assert limited_of(_floating_ip(None)) == ()
    assert limited_of(router(gateways=(_gateway(None),))) == ()


async def test_a_gateway_with_a_policy_is_limited() -> None:
    """The number is kept, the meter is there, and both go with the policy."""
    ncm, switch = FakeNcm(), SimulatedSwitch("s1")
    a_site(ncm)
    switch.plug("port-1")
    limited = router(gateways=(_gateway("gold"),), gateway_hosts=(GatewayHost(HOST, VTEP),))
    wire = network("outer", 0, network_type="flat", physical_network="physnet", is_external=True)
    mapped = msgspec.structs.replace(A_HOST, bridge_mappings=(BridgeMapping("physnet", "br-ex"),))
    policy = QosItem(id="gold", bandwidth=(Limit(is_ingress=False, rate=5_000, burst=0),))
    ncm.put(mapped, wire, policy, limited, GatewayItem(id="router", networks=("outer",)))
    ncm.put(local_port(1, routers=("router",)))
    async with running(an_agent(ncm, switch)):
        await settled()
        meter = limit_meter_id(switch.numbers["limit:g"], EGRESS_RATE)
        assert switch.meters[meter].rate == 5_000

        free = msgspec.structs.replace(limited, gateways=(_gateway(None),))
        ncm.put(free)
        await settled()

        assert meter not in switch.meters
        assert "limit:g" not in switch.numbers
        assert expected(ncm, switch).keys() <= switch.tables.flows.keys()
