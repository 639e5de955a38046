"""Which answer a punted packet gets, and how many of them.

The port is named by the switch (`reg14`, the port key that classification loaded), never by what the packet says.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from prometheus_client import Counter

from alcor.agent.answer import dhcpv4, dhcpv6, router_advertisement
from alcor.agent.answer.frame import PROTOCOL_ICMPV6, Datagram, Udp, parse_datagram, parse_udp
from alcor.agent.answer.naming import Telling
from alcor.agent.driver import PacketIn
from alcor.goalstate.item import LocalPort, RegionItem
from alcor.pipeline.live import ofport_of
from alcor.pipeline.view import Allocation, View
from alcor.telemetry.metrics import PUNTS

# A guest needs a handful when it boots. The switch's meter is the first guard; this one protects the agent's time
# where a switch has no meters, and bounds what one port can take from the others.
ANSWERS_PER_PORT_PER_S = 50.0
ANSWERS_BURST = 50.0


@dataclass(frozen=True, slots=True)
class Answer:
    """A frame to send out of a port of the switch."""

    port_id: str
    ofport: int
    frame: bytes


@dataclass(slots=True)
class Budget:
    """A token bucket per port. Shape: at most one entry per port of the host (`forget` drops them)."""

    now_s: Callable[[], float]
    tokens: dict[str, tuple[float, float]] = field(default_factory=dict)

    def take(self, port_id: str) -> bool:
        """Whether one more answer is within the port's rate."""
        now = self.now_s()
        left, at = self.tokens.get(port_id, (ANSWERS_BURST, now))
        left = min(ANSWERS_BURST, left + (now - at) * ANSWERS_PER_PORT_PER_S)
        if left < 1:
            self.tokens[port_id] = (left, now)
            return False
        self.tokens[port_id] = (left - 1, now)
        return True

    def forget(self, port_id: str) -> None:
        """Drop the bucket of a port that is gone."""
        self.tokens.pop(port_id, None)


class Answerer:
    """Packets in, answers out. Holds no knowledge of its own but the ports' rates."""

    def __init__(self, now_s: Callable[[], float]) -> None:
        """`now_s`: monotonic seconds."""
        self.budget = Budget(now_s)
        self.counts: dict[str, int] = {}
        self._counters: dict[str, Counter] = {}

    def answer(
        self, packet: PacketIn, port_id: str | None, view: View, allocation: Allocation
    ) -> Answer | None:
        """The answer to a punted packet; None if there is none. Never raises on what a packet holds.

        `port_id`: whose port key the packet carries, None if nobody's.
        """
        port = None if port_id is None else view.ports.get(port_id)
        if (
            port is None
            or view.region is None
            or ofport_of(port, view, allocation) <= 0
            or not port.admin_state_up
        ):
            self._count("unknown_port")
            return None
        if not self.budget.take(port.id):
            self._count("over_rate")
            return None
        kind, frame, skipped = _answer_for(packet.data, _telling(port, view, view.region, allocation))
        self._count(kind)
        for _ in range(skipped):
            self._count("dhcp_option_skipped")
        return None if frame is None else Answer(port.id, ofport_of(port, view, allocation), frame)

    def advertise(self, port_id: str, view: View, allocation: Allocation) -> Answer | None:
        """The unsolicited router advertisement of one plugged port, if its network has one."""
        port = view.ports.get(port_id)
        if port is None or view.region is None or not port.admin_state_up:
            return None
        ofport = ofport_of(port, view, allocation)
        if ofport <= 0:
            return None
        frame = router_advertisement.advertisement(_telling(port, view, view.region, allocation))
        return None if frame is None else Answer(port_id, ofport, frame)

    def _count(self, kind: str) -> None:
        self.counts[kind] = self.counts.get(kind, 0) + 1
        counter = self._counters.get(kind)
        if counter is None:
            counter = self._counters[kind] = PUNTS.labels(kind)
        counter.inc()


def _telling(port: LocalPort, view: View, region: RegionItem, allocation: Allocation) -> Telling:
    routers = tuple(view.routers[id] for id in view.routers_on(port.network_id))
    return Telling(port, view.networks[port.network_id], region, allocation.metadata_ofport > 0, routers)


def _answer_for(data: bytes, telling: Telling) -> tuple[str, bytes | None, int]:
    """What kind of packet it is, its answer, and how many extra options could not be told.

    `malformed` is what claims to be one and is not.
    """
    datagram = parse_datagram(data)
    if datagram is None:
        return _MALFORMED
    if datagram.protocol == PROTOCOL_ICMPV6:
        if not router_advertisement.is_solicitation(datagram):
            return _MALFORMED
        return "router_solicitation", router_advertisement.advertisement(telling, datagram), 0
    udp = parse_udp(datagram)
    return _MALFORMED if udp is None else _dhcp(udp, datagram, telling)


_MALFORMED = ("malformed", None, 0)


def _dhcp(udp: Udp, datagram: Datagram, telling: Telling) -> tuple[str, bytes | None, int]:
    if udp.destination_port == dhcpv4.SERVER_PORT and len(datagram.source) == 4:
        request = dhcpv4.parse_request(udp.payload)
        if request is None:
            return _MALFORMED
        skipped = len(dhcpv4.extra(request, telling.port).skipped)
        return f"dhcpv4_{request.type.name.lower()}", dhcpv4.respond(request, datagram, telling), skipped
    if udp.destination_port == dhcpv6.SERVER_PORT and len(datagram.source) == 16:
        asked = dhcpv6.parse_request(udp.payload)
        if asked is None:
            return _MALFORMED
        skipped = len(dhcpv6.extra(asked, telling.port).skipped)
        return f"dhcpv6_{asked.type.name.lower()}", dhcpv6.respond(asked, datagram, telling), skipped
    return _MALFORMED
