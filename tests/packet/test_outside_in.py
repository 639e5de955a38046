"""What comes from outside goes in or nowhere."""

from alcor.model.port_value import AddressPair
from tests.support.cases_edge import EDGE, GW1, M_GW1, M_OUT, M_RED, OUTSIDE, WIRE
from tests.support.packet_site import Fabric
from tests.support.stories import Machine, udp

BEHIND = Machine("red-2", "02:00:00:00:01:02", "172.16.0.9")
ROUTER, WORLD = Machine("", M_RED, "198.51.100.9"), Machine(OUTSIDE, M_OUT, "198.51.100.9")


def test_an_answer_that_no_route_leads_in_does_not_leave_again() -> None:
    """A machine sends from an allowed address that its router has no route to: the answer ends at the router."""
    pair = AddressPair("172.16.0.0/16", BEHIND.mac)
    fabric = Fabric(EDGE.but("red-2", allowed_address_pairs=(pair,)))

    out = fabric.send("red-2", udp(BEHIND, ROUTER, (40_000, 53)))
    back = fabric.send_from_outside(WIRE, udp(WORLD, Machine("", M_GW1, GW1), (53, 40_000)))

    assert [wire for wire, _ in out.outside] == [WIRE]
    assert (back.delivered, back.outside) == ([], [])
