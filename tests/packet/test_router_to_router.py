"""Two routers that share a network: a route through the other one is followed on the sender's own host."""

import pytest

from alcor.model.host import Host
from alcor.model.router import Route, Router
from alcor.trace.packet import describe
from tests.support.cases_routing import _network, an_interface
from tests.support.packet_cases import a_port
from tests.support.packet_site import Fabric, Site
from tests.support.packets import echo

M_A, M_B = "02:00:00:00:0a:01", "02:00:00:00:0b:01"
M_A_GW, M_B_GW, M_1, M_2 = (f"0a:00:00:00:0a:{n:02x}" for n in range(1, 5))
A, B = "10.1.1.1", "10.1.2.1"

CHAIN = Site(
    rows=(
        Host(id="h1", name="h1", vtep_addresses=("192.0.2.1",)),
        Host(id="h2", name="h2", vtep_addresses=("192.0.2.2",)),
        *_network("a", 7001, "10.1.1"),
        *_network("b", 7002, "10.1.2"),
        *_network("t", 7003, "10.9.9"),
        Router(id="r1", name="r1", routes=(Route("10.1.0.0/16", "10.9.9.2"),)),
        Router(id="r2", name="r2", routes=(Route("10.1.1.0/24", "10.9.9.1"),)),
        an_interface("a-gw", "r1", M_A_GW, "10.1.1.254"),
        an_interface("t-1", "r1", M_1, "10.9.9.1"),
        an_interface("b-gw", "r2", M_B_GW, "10.1.2.254"),
        an_interface("t-2", "r2", M_2, "10.9.9.2"),
        a_port("a-1", "h1", M_A, A),
        a_port("b-1", "h2", M_B, B),
    )
)


@pytest.mark.parametrize(
    ("sender", "macs", "ips", "receiver"),
    [("a-1", (M_A, M_A_GW), (A, B), "b-1"), ("b-1", (M_B, M_B_GW), (B, A), "a-1")],
)
def test_a_route_through_another_router(
    sender: str, macs: tuple[str, str], ips: tuple[str, str], receiver: str
) -> None:
    """A packet for a subnet behind the other router arrives there, routed once, in both directions."""
    delivered = Fabric(CHAIN).send(sender, echo(macs, ips)).delivered

    assert [port for port, _ in delivered] == [receiver]
    packet = describe(delivered[0][1])
    assert (packet.ip_source, packet.ip_destination, packet.ttl) == (*ips, 63)


def test_nothing_is_behind_a_router_that_is_down() -> None:
    """A router that is administratively down is no way for another one either."""
    down = CHAIN.but("r2", admin_state_up=False)

    assert Fabric(down).send("a-1", echo((M_A, M_A_GW), (A, B))).delivered == []


def test_what_is_not_behind_it_is_unreachable() -> None:
    """Of a wider route only what the other router joins is reached; the rest goes nowhere."""
    assert Fabric(CHAIN).send("a-1", echo((M_A, M_A_GW), (A, "10.1.7.1"))).delivered == []
