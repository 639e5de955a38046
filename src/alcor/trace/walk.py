"""A packet's way through the switches of all hosts, as intent has them; and the way of the answer to it."""

from dataclasses import dataclass, field

from alcor.goalstate.item import LocalPort
from alcor.model.errors import InvalidInput, NotFound
from alcor.pipeline.tables import Table, UnitKind
from alcor.pipeline.unit import SHARED
from alcor.trace.cause import ANSWERING, BY_TABLE, CAUSE_TEXTS, VERDICT_TEXTS, Cause, Verdict
from alcor.trace.host import Decision, End, Out, Place, TracedHost
from alcor.trace.knowledge import Knowledge
from alcor.trace.link import next_mac, source_address
from alcor.trace.packet import build, describe, reply_to, tagged, untagged
from alcor.trace.question import Hop, Trace, TraceQuestion
from alcor.trace.region import Owner, Placed, Region

# A packet crosses at most: its own host, a gateway, the host of a floating IP, the receiver's.
HOSTS_MAX = 8
OUTSIDE_MAC = "02:00:00:00:00:fe"
"""Stands for a router outside the region."""

_TOLD: dict[Table, str] = {
    Table.CLASSIFY: "enters",
    Table.EGRESS_CT: "is judged by the sender's security groups",
    Table.EGRESS_RULES: "is allowed to be sent by a security group",
    Table.ACL_OUT: "is judged by the network ACL of the subnet it leaves",
    Table.L3_ADMIT: "goes to a router",
    Table.UN_NAT: "is translated back, or to a fixed address",
    Table.ROUTE: "is routed",
    Table.FIREWALL: "is judged by a firewall group",
    Table.EXTERNAL: "goes out of the router",
    Table.SNAT: "gets an outer source address",
    Table.HAIRPIN: "is for a floating IP on the same host",
    Table.NEXT_HOP: "gets the MAC of its next hop",
    Table.L2: "is for a port on this host",
    Table.L2_REMOTE: "is sent on, to another host or a provider bridge",
    Table.PROVIDER: "is sent to the provider bridge",
    Table.ACL_IN: "is judged by the network ACL of the subnet it enters",
    Table.INGRESS_RULES: "is allowed to be received by a security group",
    Table.OUTPUT: "is given to the port",
}
"""Tables that decide something people ask about, and what they do with a packet that goes on."""


@dataclass(frozen=True, slots=True)
class Visit:
    """A packet at one switch: where it entered, and how it left."""

    host: TracedHost
    end: End
    frame: bytes
    outs: tuple[Out, ...]


@dataclass(slots=True)
class Way:
    """How far a packet came. `last`: the end it reached, with the host and the frame that arrived."""

    verdict: Verdict = Verdict.DROPPED
    cause: Cause | None = None
    decided_by: str = ""
    hops: list[Hop] = field(default_factory=list)
    visits: list[Visit] = field(default_factory=list)
    last: tuple[TracedHost, End, bytes] | None = None


class Walk:
    """One question, walked. The connections its packets open are remembered between the packet and its answer.

    Cost: the flows of each host on the way are computed, O(what it holds); some 100 ms for a host with 5,000 flows.
    """

    def __init__(self, region: Region, question: TraceQuestion) -> None:
        self._region, self._question = region, question
        addresses = {question.destination_ip, *([question.source_ip] if question.source_ip else [])}
        self._knowledge = Knowledge(region.state, addresses)
        self._hosts: dict[str, TracedHost] = {}
        self._outer: dict[str, str] = {}
        self._ask_for(question.destination_ip)
        self.way = Way()
        self.back: Way | None = None

    def run(self) -> Trace:
        """The packet's way and, where somebody receives it, the answer's. Raises: NotFound, InvalidInput."""
        if self._question.port_id is not None:
            self.way = self._from_port(self._question.port_id)
        else:
            self.way = self._from_outside()
        if self.way.last is not None and self.way.verdict in (Verdict.DELIVERED, Verdict.LEFT):
            host, end, frame = self.way.last
            answer = reply_to(untagged(frame))
            if answer is not None:
                self._ask_for(describe(answer).ip_destination)
                self.back = self._follow(host, end, tagged(answer, _vlan_of(frame)))
        return _trace(self.way, _trace(self.back, None) if self.back is not None else None)

    # --- where it begins -------------------------------------------------------------------------------

    def _from_port(self, port_id: str) -> Way:
        placed = self._region.port(port_id)
        if placed is None:
            raise NotFound("Port", port_id)
        self._learn(placed)
        port, question = placed.port, self._question
        if placed.host_id is None:
            return Way(cause=Cause.PORT_UNBOUND, decided_by=port_id)
        host = self._host(placed.host_id)
        cause = _not_open(host, port)
        if cause is not None:
            return Way(cause=cause, decided_by=port_id)
        source_ip = question.source_ip or source_address(port, question.destination_ip)
        if source_ip is None:
            return Way(cause=Cause.NO_ADDRESS, decided_by=port_id)
        mac = next_mac(host.view, port, question.destination_ip)
        if isinstance(mac, Cause):
            return Way(cause=mac, decided_by=port.network_id)
        frame = build(question, source_ip, port.mac, mac)
        vlan = port.trunk.vlan if port.trunk is not None else 0
        return self._follow(host, End(Place.PORT, port_id), tagged(frame, vlan))

    def _from_outside(self) -> Way:
        question = self._question
        if question.network_id is None or question.source_ip is None:
            raise InvalidInput("Name the source port, or an external network and a source address there.")
        owner = self._region.owner(question.destination_ip)
        physical = self._region.physical_network(question.network_id)
        if owner is None or physical is None:
            return Way(cause=Cause.NO_NEIGHBOUR, decided_by=question.network_id)
        self._outer[question.source_ip] = OUTSIDE_MAC
        host = self._host(owner.host_id)
        if physical not in host.allocation.providers:
            return Way(cause=Cause.HOST_UNREACHABLE, decided_by=host.id)
        frame = build(question, question.source_ip, OUTSIDE_MAC, owner.mac)
        network = host.view.networks.get(question.network_id)
        vlan = network.network.segmentation_id if network is not None else 0
        return self._follow(host, End(Place.PROVIDER, physical), tagged(frame, vlan))

    def _learn(self, placed: Placed) -> None:
        self._knowledge.addresses.update(address.ip for address in placed.port.addresses)

    def _host(self, host_id: str) -> TracedHost:
        host = self._hosts.get(host_id)
        if host is None:
            known = self._knowledge.of_host(host_id)
            host = self._hosts[host_id] = TracedHost(host_id, known, self._outer)
        return host

    def _ask_for(self, ip: str) -> None:
        """Have all hosts know an outer address of this region, as their agents would ask for it."""
        owner = self._region.owner(ip) if ip and ip not in self._outer else None
        if owner is not None:
            self._outer[ip] = owner.mac
            for host in self._hosts.values():
                host.learn({ip: owner.mac})

    # --- on the way ------------------------------------------------------------------------------------

    def _follow(self, host: TracedHost, end: End, frame: bytes) -> Way:
        way = Way()
        for _ in range(HOSTS_MAX):
            outs, decisions = host.send(frame, end)
            way.visits.append(Visit(host, end, frame, tuple(outs)))
            way.hops += _hops(host, decisions, frame)
            out = _main(outs)
            if out is None:
                self._dropped(way, host, decisions, frame)
                return way
            if _is_refused(out):
                self._dropped(way, host, decisions[: _until(decisions, Table.ICMP_ERROR)], out.frame)
                return way
            following = self._across(way, host, out)
            if following is None:
                return way
            host, end, frame = following
        way.cause = Cause.UNKNOWN_DESTINATION
        return way

    def _across(self, way: Way, host: TracedHost, out: Out) -> tuple[TracedHost, End, bytes] | None:
        """Where a packet that left a switch enters the next one; None if it is at its end, which `way` then says."""
        place = out.end.place
        if out.is_back or place in (Place.AGENT, Place.METADATA):
            way.verdict = Verdict.ANSWERED
            return None
        if place is Place.PORT:
            way.verdict, way.last = Verdict.DELIVERED, (host, out.end, out.frame)
            return None
        if place is Place.TUNNEL:
            return self._through_tunnel(way, host, out)
        owner = self._behind_provider(host, out)
        if owner is None:
            way.verdict, way.last = Verdict.LEFT, (host, out.end, out.frame)
            return None
        return self._host(owner.host_id), End(Place.PROVIDER, out.end.to), out.frame

    def _through_tunnel(self, way: Way, host: TracedHost, out: Out) -> tuple[TracedHost, End, bytes] | None:
        target = self._region.host_of_vtep(out.end.to)
        own = host.vtep_towards(out.end.to)
        if target is None or own is None:
            way.cause, way.decided_by = Cause.HOST_UNREACHABLE, out.end.to
            return None
        return self._host(target), out.end._replace(to=own), out.frame

    def _behind_provider(self, host: TracedHost, out: Out) -> Owner | None:
        """Who of the region takes a frame from the provider bridge; None: it leaves the region."""
        mac = describe(out.frame).eth_destination
        for network in host.view.networks.values():
            if network.network.physical_network == out.end.to:
                for port_id in network.claimants(mac):
                    return Owner(network.neighbours[port_id].host_id, mac)
        owner = self._region.owner(describe(out.frame).ip_destination)
        return owner if owner is not None and owner.mac == mac and owner.host_id != host.id else None

    def _dropped(self, way: Way, host: TracedHost, decisions: list[Decision], frame: bytes) -> None:
        last = decisions[-1]
        table = Table(last.table)
        way.cause = BY_TABLE.get(table, Cause.UNKNOWN_DESTINATION)
        if table is Table.ROUTE and describe(untagged(frame)).ttl <= 1:
            way.cause = Cause.TTL_EXCEEDED
        elif table is Table.ROUTE and last.about and "/" not in last.about:
            # An address of the router's own, and nothing that it answers.
            way.cause = Cause.NOT_TRANSLATED
        way.decided_by = last.about
        way.hops.append(
            Hop(
                host_id=host.id,
                host=host.name,
                table=table.name,
                text=CAUSE_TEXTS[way.cause],
                kind=_kind(last),
                decided_by=last.about,
                packet=describe(untagged(frame)),
            )
        )


def _not_open(host: TracedHost, port: LocalPort) -> Cause | None:
    if not port.admin_state_up:
        return Cause.PORT_DOWN
    network = host.view.networks.get(port.network_id)
    if network is not None and not network.network.admin_state_up:
        return Cause.NETWORK_DOWN
    return Cause.PORT_NOT_READY if port.id in host.view.closed else None


def _is_refused(out: Out) -> bool:
    """Whether a router gave the packet to the agent to be answered with an ICMP error: dropped, and said so."""
    return out.end.place is Place.AGENT and Table(out.table) not in ANSWERING - {Table.ICMP_ERROR}


def _until(decisions: list[Decision], table: Table) -> int:
    """How many decisions came before a table."""
    return next((n for n, each in enumerate(decisions) if each.table == table), len(decisions))


def _main(outs: list[Out]) -> Out | None:
    """Of several copies the one people ask about: to a port, else onwards, else to the agent."""
    order = (Place.PORT, Place.TUNNEL, Place.PROVIDER, Place.METADATA, Place.AGENT)
    return min(outs, key=lambda out: order.index(out.end.place), default=None)


def _hops(host: TracedHost, decisions: list[Decision], frame: bytes) -> list[Hop]:
    packet = describe(untagged(frame))
    found = []
    for decision in decisions:
        table, unit = Table(decision.table), decision.unit
        if unit is None or table not in _TOLD or not _decides(decision):
            continue
        found.append(
            Hop(
                host_id=host.id,
                host=host.name,
                table=table.name,
                text=_TOLD[table],
                kind=_kind(decision),
                decided_by=decision.about or unit.sub or unit.id,
                packet=packet,
            )
        )
    return found


_KINDS = {
    UnitKind.POLICY: "security_group_rule",
    UnitKind.ACL: "network_acl_rule",
    UnitKind.FIREWALL: "firewall_rule",
}


def _kind(decision: Decision) -> str:
    """What `decided_by` is the id of."""
    if decision.unit is None or decision.unit == SHARED:
        return ""
    if decision.about and decision.table == Table.ROUTE:
        return "route"
    kind = decision.unit.kind
    return _KINDS.get(kind, kind.name.lower()) if decision.about else kind.name.lower()


def _decides(decision: Decision) -> bool:
    """Whether a look-up is worth telling: a flow about something, that does something."""
    return decision.unit != SHARED and decision.flow is not None and bool(decision.flow.actions)


def _vlan_of(frame: bytes) -> int:
    return int.from_bytes(frame[14:16], "big") & 0xFFF if frame[12:14] == b"\x81\x00" else 0


def _trace(way: Way, reply: Trace | None) -> Trace:
    end = way.last[1] if way.last is not None else None
    return Trace(
        verdict=way.verdict,
        cause=way.cause,
        text=CAUSE_TEXTS[way.cause] if way.cause is not None else VERDICT_TEXTS[way.verdict],
        decided_by=way.decided_by,
        port_id=end.to if end is not None and end.place is Place.PORT else None,
        hops=tuple(way.hops),
        reply=reply,
    )
