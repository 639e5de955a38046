"""Who takes unknown unicast that comes by a provider bridge, which all hosts hear."""

from tests.support.cases_routing import M_ROAD2, ROAD2, ROUTED, WIRE
from tests.support.packet_cases import a_port
from tests.support.packet_site import Fabric
from tests.support.packets import echo

M_FAR, M_TAKER, M_NOBODY = (f"02:00:00:00:06:{n:02x}" for n in (4, 9, 0x99))
SITE = (
    ROUTED.but("h3", bridge_mappings={WIRE: "br-wire"})
    .and_row(a_port("road-4", "h3", M_FAR, "10.0.6.4"))
    .and_row(a_port("road-9", "h1", M_TAKER, "10.0.6.9", port_security_enabled=False))
)


def test_what_is_known_to_be_elsewhere_is_not_for_the_unknown_set() -> None:
    """A frame on the wire for a port of another host reaches that port only, not those that take unknown ones."""
    frame = echo((M_ROAD2, M_FAR), (ROAD2, "10.0.6.4"))

    assert Fabric(SITE).send("road-2", frame).delivered == [("road-4", frame)]


def test_what_nobody_is_known_to_have_is() -> None:
    """A frame on the wire for a MAC that nobody was given reaches the ports without port security."""
    frame = echo((M_ROAD2, M_NOBODY), (ROAD2, "10.0.6.99"))

    assert Fabric(SITE).send("road-2", frame).delivered == [("road-9", frame)]
