"""Random groups, random packets: what the flows do is what the API says, by a specification of its own."""

from dataclasses import dataclass, field, replace
from ipaddress import ip_address, ip_network

import hypothesis.strategies as st
import msgspec
from hypothesis import given

from alcor.goalstate.security_item import GroupRule, Member, Prefix, RulesItem
from alcor.pipeline.compile import flows
from alcor.pipeline.view import View
from tests.support.cases_security import A6, B6, A, B
from tests.support.packet_cases import STANDARD
from tests.support.packet_site import Fabric
from tests.support.stories import ACK, SYN, Machine, ping, pong, tcp, udp

GROUPS = ("g1", "g2")
PAIRS = {False: (A, B), True: (A6, B6)}
PORTS = (22, 80, 81)
PREFIXES = {
    4: ("10.0.0.1/32", "10.0.0.0/30", "10.0.0.2/31", "0.0.0.0/0"),
    6: ("fd00:1::1/128", "fd00:1::/64", "::/0"),
}


@dataclass(frozen=True)
class Policy:
    """What the API holds: groups of two ports on one host, rules, address group, and who else is a member."""

    of_port: dict[str, tuple[str, ...]]
    rules: dict[str, RulesItem]
    prefixes: tuple[str, ...]

    def members(self, group: str) -> set[str]:
        """The addresses of a group's members."""
        machines = (A, B, A6, B6)
        return {one.ip for one in machines if group in self.of_port[one.port]}


@dataclass(frozen=True)
class Packet:
    """One packet between the two ports. `is_answer`: it is of the connection that the other end may have opened."""

    is_from_a: bool
    is_ipv6: bool
    protocol: int
    port: int
    is_answer: bool

    @property
    def ends(self) -> tuple[Machine, Machine]:
        """Source and target."""
        a, b = PAIRS[self.is_ipv6]
        return (a, b) if self.is_from_a else (b, a)

    def frame(self) -> bytes:
        """The packet itself."""
        source, target = self.ends
        ports = (self.port, 40_000) if self.is_answer else (40_000, self.port)
        if self.protocol == 6:
            return tcp(source, target, ports, ACK if self.is_answer else SYN, (1, 1))
        if self.protocol == 17:
            return udp(source, target, ports)
        return pong(source, target, self.port) if self.is_answer else ping(source, target, self.port)


@dataclass
class Specification:
    """What the Networking API says of security groups, and correction 1 of sessions; nothing about flows."""

    policy: Policy
    sessions: dict[tuple[object, ...], tuple[bool, bool]] = field(default_factory=dict)
    """(end, connection) → who opened it (is it A?), whether its opener was let through at last."""

    def allows(self, rule: GroupRule, packet: Packet, remote: Machine) -> bool:
        """Whether a rule is about the packet."""
        address = ip_address(remote.ip)
        kind = {True: 6, False: 4}[packet.is_ipv6]
        number = {1: 58 if packet.is_ipv6 else 1}.get(packet.protocol, packet.protocol)
        wanted = 40_000 if packet.is_answer else packet.port
        if packet.protocol == 1:
            wanted = (129 if packet.is_answer else 128) if packet.is_ipv6 else (0 if packet.is_answer else 8)
        prefixes = self.policy.prefixes if rule.prefix is None else (rule.prefix,)
        return (
            rule.ip_version == kind
            and rule.protocol in (None, number)
            and (rule.first is None or _fits(rule, wanted, packet))
            and (rule.group is None or remote.ip in self.policy.members(rule.group))
            and (
                (rule.prefix is None and rule.addresses is None) or any(_in(address, one) for one in prefixes)
            )
        )

    def passes(self, packet: Packet) -> bool:
        """Whether it arrives: each end is asked in turn, and keeps its own sessions."""
        source, target = packet.ends
        return self._asked(source, target, packet, is_ingress=False) and self._asked(
            target, source, packet, is_ingress=True
        )

    def _asked(self, own: Machine, remote: Machine, packet: Packet, *, is_ingress: bool) -> bool:
        groups = self.policy.of_port[own.port]
        rules = [rule for group in groups for rule in self.policy.rules[group].rules]
        allowed = any(self.allows(rule, packet, remote) for rule in rules if rule.is_ingress is is_ingress)
        if groups and not any(self.policy.rules[group].stateful for group in groups):
            return allowed
        client_is_a = packet.is_from_a is not packet.is_answer
        session = (own.port, client_is_a, packet.is_ipv6, packet.protocol, packet.port)
        opener, is_open = self.sessions.get(session, (None, False))
        if opener is not None and opener is not packet.is_from_a:
            return is_open
        if opener is None and packet.protocol == 1 and packet.is_answer:
            return False  # an echo reply opens nothing
        if allowed or opener is not None:
            self.sessions[session] = (packet.is_from_a, allowed)
        return allowed


def _fits(rule: GroupRule, wanted: int, packet: Packet) -> bool:
    if packet.protocol == 1:
        return rule.protocol is not None and wanted == rule.first and rule.last in (None, 0)
    return (
        rule.protocol is not None and rule.first is not None and rule.first <= wanted <= (rule.last or 65_535)
    )


def _in(address: object, prefix: str) -> bool:
    network = ip_network(prefix)
    return address.version == network.version and address in network  # type: ignore[attr-defined]  # either version


@st.composite
def group_rules(draw: st.DrawFn, group: str) -> RulesItem:
    """A group's rules; more about some things than is likely, so that they meet."""
    found = []
    kinds = st.sampled_from(((None, None), (None, None), (8, None), (8, 0), (128, 0), (0, None), (129, 0)))
    ranges = st.sampled_from(((None, None), (80, 80), (22, 80), (1, 65_535), (40_000, 40_000), (81, None)))
    for n in range(draw(st.integers(0, 4))):
        version = draw(st.sampled_from((4, 4, 6)))
        protocol = draw(st.sampled_from((None, None, 6, 17, 1)))
        first = last = None
        if protocol == 1:
            protocol = 1 if version == 4 else 58
            first, last = draw(kinds)
        elif protocol is not None:
            first, last = draw(ranges)
        prefix = draw(st.sampled_from(PREFIXES[version]))
        remotes: tuple[dict[str, str], ...] = (
            {},
            {},
            {"group": "g1"},
            {"group": "g2"},
            {"addresses": "a"},
            {"prefix": prefix},
        )
        remote = draw(st.sampled_from(remotes))
        found.append(
            GroupRule(
                id=f"{group}-{n}",
                is_ingress=draw(st.booleans()),
                ip_version=version,
                protocol=protocol,
                first=first,
                last=last,
                **remote,
            )
        )
    return RulesItem(id=group, stateful=draw(st.sampled_from((True, True, False))), rules=tuple(found))


@st.composite
def policies(draw: st.DrawFn) -> Policy:
    """Groups of both ports, their rules, an address group."""
    of_port = st.sampled_from((("g1",), ("g2",), ("g1", "g2"), ()))
    prefixes = st.lists(st.sampled_from((*PREFIXES[4], *PREFIXES[6])), max_size=3, unique=True)
    return Policy(
        of_port={A.port: draw(of_port), B.port: draw(of_port)},
        rules={group: draw(group_rules(group)) for group in GROUPS},
        prefixes=tuple(draw(prefixes)),
    )


def packets() -> st.SearchStrategy[Packet]:
    """A packet between the two ports; few connections, so that there are questions and answers."""
    return st.builds(
        Packet,
        is_from_a=st.booleans(),
        is_ipv6=st.sampled_from((False, False, True)),
        protocol=st.sampled_from((1, 6, 17)),
        port=st.sampled_from(PORTS),
        is_answer=st.booleans(),
    )


def put(policy: Policy, view: View) -> None:
    """Have a view say what the policy says."""
    for port, machines in ((A.port, (A, A6)), (B.port, (B, B6))):
        groups = policy.of_port[port]
        view.ports[port] = msgspec.structs.replace(view.ports[port], groups=groups)
        member = Member(id=port, cidrs=tuple(sorted(str(ip_network(one.ip)) for one in machines)))
        for group in GROUPS:
            members = view.members.setdefault(group, {})
            members.pop(port, None)
            if group in groups:
                members[port] = member
    view.rules.update(policy.rules)
    view.prefixes["a"] = {prefix: Prefix(id=prefix) for prefix in policy.prefixes}


@st.composite
def histories(draw: st.DrawFn) -> list[Packet | Policy]:
    """Questions and answers of a few connections, while the region goes back and forth between two policies."""
    asked = draw(st.lists(packets(), min_size=1, max_size=2))
    answers = [replace(one, is_from_a=not one.is_from_a, is_answer=not one.is_answer) for one in asked]
    between = st.sampled_from([draw(policies()), draw(policies())])
    packet = st.sampled_from([*asked, *answers])
    return [draw(between), *draw(st.lists(st.one_of(packet, packet, packet, between), max_size=16))]


@given(histories())
def test_flows_do_what_the_api_says(events: list[Packet | Policy]) -> None:
    """Whatever the groups and however they change on the way, each packet arrives if and only if it should."""
    fabric = Fabric(STANDARD)
    view, allocation = fabric.views["h1"], fabric.allocations["h1"]
    switch = fabric.switches["h1"]
    assert isinstance(events[0], Policy)
    specification = Specification(events[0])
    for event in events:
        if isinstance(event, Policy):
            specification.policy = event
            put(event, view)
            desired = flows(view, allocation)
            for key in [key for key in switch.flows if key not in desired]:
                switch.remove(key)
            for flow in desired.values():
                switch.put(flow)
            continue
        source, target = event.ends

        arrived = switch.process(event.frame(), allocation.ofports[source.port])

        expected = [(allocation.ofports[target.port], event.frame())] * specification.passes(event)
        assert [(one.port, one.frame) for one in arrived] == expected, event
