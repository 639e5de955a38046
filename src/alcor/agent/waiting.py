"""Packets that lack knowledge which is held on demand: asked for, held for a moment, and sent on when it is here.

    punted ── what it lacks ──► asker ──► answers, the absent ──► the turn's barrier ──► on in the switch, RESOLVED

The packet is the switch's own: it goes on in the table in which it stopped, with the registers that it had. So nothing
is answered, addressed or allowed here: the flows do that, with the knowledge that has come meanwhile. Of a packet that
a relay has, only a copy is here: it is sent on only if nobody has what was asked for, so that its sender is told.

Bounds: `HELD_PER_SUBJECT_MAX` packets wait for one subject, `HELD_MAX` in all, `WAIT_S` at most; who waits longer has
been sent again by whoever sent it. How much is asked is the asker's bound, how much is punted the switch's meters'.
"""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from alcor.agent.allocation import LocalNumbers, Numbered
from alcor.agent.driver import PacketIn, Resumed
from alcor.agent.on_demand import Asked, Subject
from alcor.agent.view import Changes
from alcor.goalstate.scope import Scope, ScopeKind, neighbours_scope
from alcor.goalstate.subject import subjects
from alcor.model.address import ip_of_int, mac_of_int
from alcor.pipeline.flow import Field, SetField
from alcor.pipeline.on_demand import Lack, lazy_sets
from alcor.pipeline.prefix import entry_of
from alcor.pipeline.security_policy import EGRESS_WAY, INGRESS_WAY
from alcor.pipeline.tables import EGRESS, FLAGS, INGRESS, LACK, NETWORK, Flag, Table
from alcor.pipeline.view import View

# Source: protocol, section 6.
HELD_PER_SUBJECT_MAX = 4
HELD_MAX = 1_000
WAIT_S = 1.0

Ask = Callable[[Scope, str, str], Asked]
"""(scope, subject, port on whose behalf) → what became of the question."""

_GO_ON = {
    Lack.ANSWER: Table.ARP_ND,
    Lack.HOST: Table.L2_REMOTE,
    Lack.NEXT_HOP: Table.NEXT_HOP,
    Lack.TARGET: Table.EGRESS_CT,
    Lack.SOURCE: Table.INGRESS_CT,
}
# What a packet carries from table to table; what conntrack said is found out again.
_CARRIED = (Field.IN_PORT, Field.METADATA, *(Field[f"REG{n}"] for n in range(16)))
_ARP, _IPV4, _IPV6 = bytes.fromhex("0806"), bytes.fromhex("0800"), bytes.fromhex("86dd")
_ICMPV6 = 58


@dataclass(slots=True, eq=False)
class _Held:
    """A packet that waits. `lacks`: what is not answered yet; `ready`: the version of the view that has all answers."""

    packet: PacketIn
    lack: Lack
    port_id: str
    until_s: float
    is_copy: bool
    lacks: set[Subject]
    is_absent: bool = False
    ready: int = 0


@dataclass(slots=True)
class Waiting:
    """What waits on one host. `version`: of the view, counts what it took in. `counts`: what became of punts."""

    ask: Ask
    numbers: LocalNumbers
    now_s: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]
    version: int = 0
    confirmed_version: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    most: int = 0
    """How many packets waited at once at most."""
    _by_subject: dict[Subject, list[_Held]] = field(default_factory=dict)
    _held: dict[_Held, None] = field(default_factory=dict)
    _come: asyncio.Event = field(default_factory=asyncio.Event)

    # --- what comes --------------------------------------------------------------------------------------

    def punted(self, packet: PacketIn, view: View) -> list[Resumed]:
        """A packet lacks something: ask. Returns what is to go on now. Total: a malformed packet is dropped."""
        try:
            lack = Lack(packet.fields.get(LACK.value[0], 0))
        except ValueError:
            return self._count("malformed")
        port_id = self._port_of(packet, lack)
        if port_id is None or (port_id and port_id not in view.ports):
            return self._count("unknown_port")
        found = self._subjects(packet, lack, port_id, view)
        if found is None:
            return self._count("malformed")
        is_copy = bool(packet.fields.get(FLAGS.value[0], 0) & Flag.RELAYED)
        held = _Held(packet, lack, port_id, self.now_s() + WAIT_S, is_copy, set())
        if lack is Lack.ANSWER and _is_announcement(packet.data):
            # Who says what is his own does not want to be answered, and all shall hear it.
            held.is_absent = True
            return [self._resumed(held)]
        for subject in found:
            if _is_held(subject, view):
                continue
            match self.ask(*subject, port_id):
                case Asked.ASKED:
                    held.lacks.add(subject)
                case Asked.ABSENT:
                    held.is_absent = True
                case Asked.FULL:
                    return self._count("full")
                case Asked.WHOLE:
                    pass
        return self._wait(held, view)

    def _wait(self, held: _Held, view: View) -> list[Resumed]:
        if not held.lacks:
            held.ready = self.version
            if held.ready <= self.confirmed_version:
                return self._released(held, view)
        crowded = any(len(self._by_subject.get(one, ())) >= HELD_PER_SUBJECT_MAX for one in held.lacks)
        if crowded or len(self._held) >= HELD_MAX:
            return self._count("crowded")
        self._held[held] = None
        self.most = max(self.most, len(self._held))
        self._come.set()
        for subject in held.lacks:
            self._by_subject.setdefault(subject, []).append(held)
        return self._count("asked" if held.is_copy else "held")

    def noted(self, changes: Changes) -> None:
        """The view took something in. Call it before the turn that brings it to the switch."""
        self.version += 1
        if not self._held:
            return
        for scope, item in changes.answers:
            for text in subjects(item):
                self._answered(Subject(scope, text), is_absent=False)
                if "/" in text:
                    self._answered_inside(scope, text)
        for scope, text in changes.absent:
            self._answered(Subject(scope, text), is_absent=True)
        for scope in changes.turned:
            for subject in [subject for subject in self._by_subject if subject.scope == scope]:
                self._answered(subject, is_absent=False)

    def _answered(self, subject: Subject, *, is_absent: bool) -> None:
        for held in self._by_subject.pop(subject, ()):
            held.lacks.discard(subject)
            held.is_absent |= is_absent
            held.ready = self.version

    def _answered_inside(self, scope: Scope, cidr: str) -> None:
        prefix = ip_network(cidr, strict=False)
        for subject in list(self._by_subject):
            if subject.scope == scope and ip_address(subject.text) in prefix:
                self._answered(subject, is_absent=False)

    def confirmed(self, version: int, view: View) -> list[Resumed]:
        """The switch is as the view was at a version. Returns what is to go on now. Cost: O(what waits)."""
        self.confirmed_version = max(self.confirmed_version, version)
        done = [one for one in self._held if not one.lacks and one.ready <= self.confirmed_version]
        found: list[Resumed] = []
        for held in done:
            del self._held[held]
            found += self._released(held, view)
        return found

    # --- time --------------------------------------------------------------------------------------------

    async def run(self) -> None:
        """Drop who has waited long enough, until cancelled."""
        while True:
            await self._come.wait()
            self._come.clear()
            while self._held:
                await self.sleep(WAIT_S / 4)
                self.expire()

    def expire(self) -> None:
        """Drop who has waited long enough."""
        now = self.now_s()
        for held in list(self._held):
            if held.until_s > now:
                return
            del self._held[held]
            for subject in held.lacks:
                waiting = self._by_subject[subject]
                waiting.remove(held)
                if not waiting:
                    del self._by_subject[subject]
            self._count("expired")

    # --- what goes on ------------------------------------------------------------------------------------

    def _released(self, held: _Held, view: View) -> list[Resumed]:
        if held.port_id and self._port_of(held.packet, held.lack) != held.port_id:
            return self._count("unknown_port")
        if held.is_copy and not held.is_absent:
            return self._count("relayed")
        if held.is_absent and held.lack in (Lack.ANSWER, Lack.HOST) and not self._is_wanted(held, view):
            return self._count("absent")
        return [self._resumed(held)]

    def _is_wanted(self, held: _Held, view: View) -> bool:
        """Whether somebody may have what nobody was given: a port without port security."""
        network_id = self.numbers.owner_of(Numbered.NETWORK, held.packet.fields.get(NETWORK.value[0], 0))
        network = view.networks.get(network_id or "")
        return network is not None and bool(network.open_hosts)

    def _resumed(self, held: _Held) -> Resumed:
        self._count("resumed")
        return resumed(held.packet, held.lack)

    def _port_of(self, packet: PacketIn, lack: Lack) -> str | None:
        """The port on whose behalf it is: who sent it, or who is to get it. Empty: none, None: one that is gone."""
        register = EGRESS if lack is Lack.SOURCE else INGRESS
        key = packet.fields.get(register.value[0], 0)
        return self.numbers.owner_of(Numbered.PORT, key) if key else ""

    def _subjects(self, packet: PacketIn, lack: Lack, port_id: str, view: View) -> list[Subject] | None:
        """What it lacks; None if that cannot be read."""
        if lack in (Lack.TARGET, Lack.SOURCE):
            ends = _ends_of(packet.data)
            port = view.ports.get(port_id)
            if ends is None or port is None:
                return None
            way = INGRESS_WAY if lack is Lack.SOURCE else EGRESS_WAY
            sets = lazy_sets(port.groups or (), way, view)
            return [Subject(remote, ends[lack is Lack.TARGET]) for remote in sorted(sets)]
        network_id = self.numbers.owner_of(Numbered.NETWORK, packet.fields.get(NETWORK.value[0], 0))
        text = _name_of(packet, lack)
        if network_id is None or text is None:
            return None
        return [Subject(neighbours_scope(network_id), text)]

    def _count(self, kind: str) -> list[Resumed]:
        self.counts[f"on_demand_{kind}"] += 1
        return []

    @property
    def held(self) -> int:
        """How many packets wait."""
        return len(self._held)


def resumed(packet: PacketIn, lack: Lack) -> Resumed:
    """The packet as it goes on when what it lacked was asked for."""
    said = {one: packet.fields.get(one.value[0], 0) for one in _CARRIED}
    # What is to be received is not from a port any more: of a tunnel's a switch would want to know the tunnel too.
    said[Field.IN_PORT] = 0 if lack is Lack.SOURCE else packet.in_port
    said[LACK] = 0
    said[FLAGS] = said[FLAGS] & ~(Flag.RELAYED | Flag.ALLOWED) | Flag.RESOLVED
    set_fields = tuple(SetField(one, value) for one, value in said.items() if value)
    return Resumed(packet.data, _GO_ON[lack], set_fields)


def _is_held(subject: Subject, view: View) -> bool:
    """Whether what is asked for is in the view already."""
    scope, text = subject
    if scope.kind is ScopeKind.NEIGHBOURS:
        network = view.networks.get(scope.id)
        if network is None:
            return False
        named = text in network.claims or any(claim.mac == text for claim in network.claims.values())
        return named or bool(network.claimants(text))
    entry = entry_of(text)
    if view.has_entry(scope, entry):
        return True
    return view.has_wide(scope) and any(view.has_entry(scope, entry.cut(n)) for n in range(entry.length))


def _name_of(packet: PacketIn, lack: Lack) -> str | None:
    """The address or MAC that is lacking."""
    data, fields = packet.data, packet.fields
    if lack is Lack.HOST:
        return str(mac_of_int(int.from_bytes(data[:6], "big")))
    if lack is Lack.NEXT_HOP:
        if data[12:14] == _IPV4:
            return str(ip_of_int(fields.get("reg3", 0), 4))
        parts = (fields.get(f"reg{n}", 0) << 32 * (3 - n) for n in range(4))
        return str(ip_of_int(sum(parts), 6)) if data[12:14] == _IPV6 else None
    if data[12:14] == _ARP and len(data) >= 42:
        return str(ip_of_int(int.from_bytes(data[38:42], "big"), 4))
    if data[12:14] == _IPV6 and len(data) >= 78 and data[20] == _ICMPV6:
        return str(ip_of_int(int.from_bytes(data[62:78], "big"), 6))
    return None


def _ends_of(data: bytes) -> tuple[str, str] | None:
    """Source and target address of an IP packet."""
    if data[12:14] == _IPV4 and len(data) >= 34:
        ends, version = (data[26:30], data[30:34]), 4
    elif data[12:14] == _IPV6 and len(data) >= 54:
        ends, version = (data[22:38], data[38:54]), 6
    else:
        return None
    source, target = (str(ip_of_int(int.from_bytes(end, "big"), version)) for end in ends)
    return source, target


def _is_announcement(data: bytes) -> bool:
    """An ARP request for the sender's own address. Source: RFC 5227, section 3."""
    return data[12:14] == _ARP and len(data) >= 42 and data[28:32] == data[38:42]
