"""Next hops on external networks: asked for by ARP and neighbour solicitation, from addresses that this host serves.

A packet whose next hop is unknown is punted, already translated, and waits here for the answer: at most
`HELD_PER_HOP_MAX` for one next hop and `HELD_MAX` in all, for a second. The routers' own next hops are asked for ahead
of need. Every answer is asked again after `REFRESH_S`; who does not answer `TRIES` questions is forgotten. Only answers
to addresses of this host come here, and only those to our questions count.

Addresses that come to this host are announced, three times, because the outside still knows them elsewhere: floating
IPs that were made or moved, gateways and floating IPs of a gateway host that this one takes over from.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv6Address
from typing import NamedTuple

from alcor.agent.answer.claim import Said, announcement, parse
from alcor.agent.answer.frame import BROADCAST_MAC, build_icmpv6, multicast_mac
from alcor.agent.handler import (
    NOTHING,
    Appointment,
    Confirmed,
    Frame,
    NextHopFound,
    Outcome,
    PacketHandler,
    Punt,
    Tools,
)
from alcor.model.address import Ip, Mac, ip_bytes, ip_of_int, ip_version, mac_bytes
from alcor.pipeline import external
from alcor.pipeline.outer import OuterAddress, outer_network
from alcor.pipeline.provider import VLAN
from alcor.pipeline.tables import Table, UnitKind
from alcor.pipeline.trunk import with_tag
from alcor.pipeline.unit import Unit
from alcor.pipeline.view import Allocation, View

HELD_PER_HOP_MAX = 4
HELD_MAX = 1_000
WAIT_S = 1.0
TRIES = 3
REFRESH_S = 30.0
# A next hop that was met by a packet only is forgotten after so many answers; the next packet asks for it again.
ANSWERS_MAX = 20
RETRY_S = 10.0
"""How often a router's own next hop that does not answer is asked again."""
ANNOUNCED_AGAIN_S = (1.0, 3.0)

_ARP_REQUEST = bytes.fromhex("08060001080006040001")
_SOLICITATION = bytes([135, 0, 0, 0, 0, 0, 0, 0])
_SOURCE_OPTION = bytes([1, 1])
_SOLICITED_NODE = IPv6Address("ff02::1:ff00:0").packed
_FRAME_BYTES_MIN = 60


class Hop(NamedTuple):
    """An address on an external network."""

    network_id: str
    ip: str


@dataclass(slots=True)
class _Question:
    """What is asked about a next hop. `held`: frames that wait for the answer."""

    tries: int = 0
    held: list[bytes] = field(default_factory=list)


class _Own(NamedTuple):
    """An outer address of this host."""

    ip: str
    mac: str


def next_hop_handler(_tools: Tools) -> PacketHandler:
    """The handler of what is asked and answered on external networks."""
    hops = NextHops()
    tables = frozenset((Table.NEXT_HOP, Table.L3_ADMIT))
    return PacketHandler("next_hop", tables, hops.handle, hops.due, hops.noted)


class NextHops:
    """What one host asks, waits for and announces. Bounds: see the module; one entry per served address."""

    def __init__(self) -> None:
        self._questions: dict[Hop, _Question] = {}
        self._answers: dict[Hop, int] = {}
        self._held = 0
        self._served: dict[Unit, dict[Hop, _Own]] = {}
        self._askers: dict[tuple[str, int], dict[str, _Own]] = {}

    # Packets.

    def handle(self, punt: Punt, view: View, allocation: Allocation) -> Outcome | None:
        """A packet without a next hop's MAC, or an answer to one of our addresses. Total."""
        if punt.network_id is None or outer_network(punt.network_id, view, allocation) is None:
            return Outcome("unknown_network")
        if punt.packet.table == Table.L3_ADMIT:
            return self._answered(punt.network_id, parse(punt.packet.data), view, allocation)
        address = _next_hop_of(punt)
        if address is None:
            return Outcome("malformed")
        return self._lacking(Hop(punt.network_id, address), punt.packet.data, view, allocation)

    def _lacking(self, hop: Hop, data: bytes, view: View, allocation: Allocation) -> Outcome:
        known = allocation.next_hops.get(hop)
        if known is not None:
            # It was punted before the switch knew.
            return Outcome("next_hop_known", self._sent(hop, [data], known, view, allocation))
        is_new = hop not in self._questions
        question = self._questions.setdefault(hop, _Question())
        if len(question.held) < HELD_PER_HOP_MAX and self._held < HELD_MAX:
            question.held.append(data)
            self._held += 1
        elif not is_new:
            return Outcome("next_hop_crowded")
        return self._ask(hop, view, allocation) if is_new else Outcome("next_hop_awaited")

    def _answered(self, network_id: str, said: Said | None, view: View, allocation: Allocation) -> Outcome:
        if said is None:
            return Outcome("malformed")
        hop = Hop(network_id, said.ip)
        if hop not in self._questions and hop not in allocation.next_hops:
            return Outcome("next_hop_not_asked")
        frames = self._sent(hop, self._release(hop), said.mac, view, allocation)
        self._answers[hop] = self._answers.get(hop, 0) + 1
        again = Appointment(_subject("refresh", hop), REFRESH_S)
        return Outcome("next_hop_found", frames, (NextHopFound(*hop, said.mac),), later=(again,))

    def _release(self, hop: Hop) -> list[bytes]:
        question = self._questions.pop(hop, None)
        if question is None:
            return []
        self._held -= len(question.held)
        return question.held

    def _sent(
        self, hop: Hop, held: list[bytes], mac: str, view: View, allocation: Allocation
    ) -> tuple[Frame, ...]:
        target = mac_bytes(Mac(mac))
        return tuple(_framed(hop.network_id, [target + data[6:] for data in held], view, allocation))

    # Questions.

    def _ask(self, hop: Hop, view: View, allocation: Allocation) -> Outcome:
        """Ask once, and look after a second whether there was an answer."""
        own = self._asker(hop)
        if own is None:
            self._release(hop)
            return Outcome("next_hop_unasked")
        question = self._questions.setdefault(hop, _Question())
        question.tries += 1
        frames = tuple(_framed(hop.network_id, [_question(own, hop.ip)], view, allocation))
        return Outcome("next_hop_asked", frames, later=(Appointment(_subject("ask", hop), WAIT_S),))

    def _asker(self, hop: Hop) -> _Own | None:
        found = self._askers.get((hop.network_id, ip_version(Ip(hop.ip))))
        return next(iter(found.values())) if found else None

    def due(self, subject: str, view: View, allocation: Allocation) -> Outcome:
        """A question without an answer, a next hop to ask again, an address to announce again."""
        what, _, rest = subject.partition("|")
        network_id, _, ip = rest.partition("|")
        hop = Hop(network_id, ip)
        if what == "ask":
            return self._unanswered(hop, view, allocation)
        if what == "refresh":
            return self._refresh(hop, view, allocation)
        return self._announce_again(hop, what, view, allocation)

    def _unanswered(self, hop: Hop, view: View, allocation: Allocation) -> Outcome:
        question = self._questions.get(hop)
        if question is None:
            return NOTHING
        # What has waited a second has been sent again by whoever sent it.
        self._held -= len(question.held)
        question.held.clear()
        if question.tries < TRIES:
            return self._ask(hop, view, allocation)
        del self._questions[hop]
        lost = self._forget(hop, allocation)
        if self._is_wanted(hop, view, allocation):
            later = (Appointment(_subject("refresh", hop), RETRY_S),)
            return Outcome("next_hop_silent", findings=lost, later=later)
        return Outcome("next_hop_silent", findings=lost)

    def _refresh(self, hop: Hop, view: View, allocation: Allocation) -> Outcome:
        is_wanted = self._is_wanted(hop, view, allocation)
        if self._asker(hop) is None or (not is_wanted and self._answers.get(hop, 0) >= ANSWERS_MAX):
            return Outcome("next_hop_unused", findings=self._forget(hop, allocation))
        if hop not in allocation.next_hops and not is_wanted:
            return NOTHING
        return self._ask(hop, view, allocation)

    def _forget(self, hop: Hop, allocation: Allocation) -> tuple[NextHopFound, ...]:
        self._answers.pop(hop, None)
        return (NextHopFound(*hop, None),) if hop in allocation.next_hops else ()

    def _is_wanted(self, hop: Hop, view: View, allocation: Allocation) -> bool:
        """Whether a router that is served here has it as its own next hop. Cost: O(routers on the network)."""
        return any(
            address.gateway_ip == hop.ip
            for router_id in view.routers_on(hop.network_id)
            for gateway in view.routers[router_id].gateways
            if gateway.network_id == hop.network_id
            for address in gateway.addresses
        )

    # Addresses that come here.

    def noted(self, confirmed: Confirmed, view: View, allocation: Allocation) -> Outcome:
        """Announce what has come, and ask for the next hops it will need. Cost: see `pipeline.external.affected`."""
        units: set[Unit] = set()
        for change in confirmed.items:
            units |= external.affected(change, view)
        for local in confirmed.local:
            units |= external.found(local, view)
        frames: list[Frame] = []
        later: list[Appointment] = []
        wanted: dict[Hop, None] = {}
        for unit in sorted(units):
            if unit.kind not in (UnitKind.GATEWAY, UnitKind.FLOATING_IP):
                continue
            for outer in self._come(unit, view, allocation):
                frames += _framed(
                    outer.network.id, [announcement(Said(outer.ip, outer.mac))], view, allocation
                )
                here = Hop(outer.network.id, outer.ip)
                later.append(Appointment(_subject("announce 1", here), ANNOUNCED_AGAIN_S[0]))
                wanted |= dict.fromkeys(_own_next_hops(outer))
                wanted |= dict.fromkeys(_inherited(outer.network.id, allocation))
        for hop in wanted:
            if hop not in self._answers and hop not in self._questions:
                asked = self._ask(hop, view, allocation)
                frames += asked.frames
                later += asked.later
        return Outcome("announced", tuple(frames), later=tuple(later)) if frames else NOTHING

    def _come(self, unit: Unit, view: View, allocation: Allocation) -> list[OuterAddress]:
        """The unit's addresses that were not here, or not at this MAC."""
        before = self._served.pop(unit, {})
        now = {Hop(one.network.id, one.ip): one for one in external.served(unit, view, allocation)}
        for hop, own in before.items():
            askers = self._askers.get((hop.network_id, ip_version(Ip(hop.ip))), {})
            if askers.get(hop.ip) == own:
                del askers[hop.ip]
        for hop, outer in now.items():
            family = (hop.network_id, ip_version(Ip(hop.ip)))
            self._askers.setdefault(family, {})[hop.ip] = _Own(outer.ip, outer.mac)
        if now:
            self._served[unit] = {hop: _Own(outer.ip, outer.mac) for hop, outer in now.items()}
        return [outer for hop, outer in now.items() if before.get(hop) != _Own(outer.ip, outer.mac)]

    def _announce_again(self, here: Hop, what: str, view: View, allocation: Allocation) -> Outcome:
        own = self._askers.get((here.network_id, ip_version(Ip(here.ip))), {}).get(here.ip)
        if own is None:
            return NOTHING
        frames = tuple(_framed(here.network_id, [announcement(Said(*own))], view, allocation))
        times = int(what.rpartition(" ")[2])
        if times >= len(ANNOUNCED_AGAIN_S):
            return Outcome("announced", frames)
        again = Appointment(_subject(f"announce {times + 1}", here), ANNOUNCED_AGAIN_S[times])
        return Outcome("announced", frames, later=(again,))


def _subject(what: str, hop: Hop) -> str:
    return f"{what}|{hop.network_id}|{hop.ip}"


def _next_hop_of(punt: Punt) -> str | None:
    """The address in the next hop register; which version it is, the packet says."""
    fields, kind = punt.packet.fields, punt.packet.data[12:14]
    if kind == bytes.fromhex("0800"):
        return str(ip_of_int(fields.get("reg3", 0), 4))
    if kind == bytes.fromhex("86dd"):
        parts = (fields.get(f"reg{n}", 0) << 32 * (3 - n) for n in range(4))
        return str(ip_of_int(sum(parts), 6))
    return None


def _own_next_hops(outer: OuterAddress) -> Iterator[Hop]:
    for gateway in outer.router.item.gateways:
        if gateway.network_id == outer.network.id:
            for address in gateway.addresses:
                if address.gateway_ip is not None:
                    yield Hop(outer.network.id, address.gateway_ip)


def _inherited(network_id: str, allocation: Allocation) -> Iterator[Hop]:
    """What is known of a network: of what an earlier agent found, nobody knows whether it still holds."""
    return (Hop(*place) for place in allocation.next_hops if place[0] == network_id)


def _framed(network_id: str, frames: list[bytes], view: View, allocation: Allocation) -> Iterator[Frame]:
    """The frames as they go out to the network's provider bridge; none if it cannot be reached (any more)."""
    network = outer_network(network_id, view, allocation)
    if network is None or network.provider is None:
        return
    item = network.knowledge.network
    vlan = item.segmentation_id if item.network_type == VLAN else None
    for frame in frames:
        yield Frame(with_tag(frame, vlan), network.provider)


def _question(own: _Own, ip: str) -> bytes:
    """Who has `ip`? Sources: RFC 826; RFC 4861, section 4.3."""
    mac, target = mac_bytes(Mac(own.mac)), ip_bytes(Ip(ip))
    if ip_version(Ip(ip)) == 4:
        request = BROADCAST_MAC + mac + _ARP_REQUEST + mac + ip_bytes(Ip(own.ip)) + bytes(6) + target
        return request.ljust(_FRAME_BYTES_MIN, b"\0")
    group = _SOLICITED_NODE[:-3] + target[-3:]
    message = _SOLICITATION + target + _SOURCE_OPTION + mac
    eth = (multicast_mac(group), Mac(own.mac))
    return build_icmpv6(eth=eth, source=ip_bytes(Ip(own.ip)), destination=group, message=message)
