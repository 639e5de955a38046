"""What comes from outside goes in or nowhere."""

from dataclasses import dataclass

from alcor.goalstate.item import ItemKind, State
from alcor.goalstate.scope import Scope
from alcor.model.port_value import AddressPair
from tests.support.cases_edge import EDGE, GW1, M_GW1, M_OUT, M_RED, OUTSIDE, WIRE
from tests.support.packet_cases import a_port
from tests.support.packet_site import Fabric, Site
from tests.support.stories import Machine, udp

BEHIND = Machine("red-2", "02:00:00:00:01:02", "172.16.0.9")
ROUTER, WORLD = Machine("", M_RED, "198.51.100.9"), Machine(OUTSIDE, M_OUT, "198.51.100.9")


@dataclass(frozen=True, eq=False)
class Handed(Site):
    """A site whose gateway hosts do not know that they are."""

    def held_by(self, host_id: str, states: dict[Scope, State]) -> dict[Scope, State]:
        """All but the gateways."""
        return {
            scope: {key: item for key, item in state.items() if key.kind is not ItemKind.GATEWAY}
            for scope, state in states.items()
        }


def test_an_answer_that_no_route_leads_in_does_not_leave_again() -> None:
    """A machine sends from an allowed address that its router has no route to: the answer ends at the router."""
    pair = AddressPair("172.16.0.0/16", BEHIND.mac)
    fabric = Fabric(EDGE.but("red-2", allowed_address_pairs=(pair,)))

    out = fabric.send("red-2", udp(BEHIND, ROUTER, (40_000, 53)))
    back = fabric.send_from_outside(WIRE, udp(WORLD, Machine("", M_GW1, GW1), (53, 40_000)))

    assert [wire for wire, _ in out.outside] == [WIRE]
    assert (back.delivered, back.outside) == ([], [])


def test_what_was_handed_over_in_vain_is_nobodys() -> None:
    """A packet for the outside that comes to a host that does not serve the gateway is not for machines there."""
    taker = a_port("red-9", "h2", "02:00:00:00:01:09", "10.0.1.9", port_security_enabled=False)
    site = Handed(EDGE.and_row(taker).rows, next_hops=EDGE.next_hops)
    sender = Machine("red-3", "02:00:00:00:01:03", "10.0.1.3")

    assert Fabric(site).send("red-3", udp(sender, ROUTER, (40_000, 53))).delivered == []
