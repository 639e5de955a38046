"""Connection tracking as Open vSwitch's userspace datapath does it, without time: connections do not expire.

A connection is committed by its first packet and known by zone and full tuple, in both directions. What is not
modelled: TCP windows, application helpers, timeouts. Source: ovs-actions(7), "ct"; ovs-fields(7), "Connection
Tracking Fields"; tried packet by packet on Open vSwitch 3.1 (`tests/ovs/test_switch_language.py`).
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from alcor.model.address import ip_of_int
from alcor.pipeline.flow import CtState, Field, Nat, NatRange
from alcor.pipeline.frame import Frame
from alcor.pipeline.quoted import find_quoted, rewrite_quoted

_ICMPV4, _TCP, _UDP, _ICMPV6 = 1, 6, 17, 58
# All else, SCTP too, is known by its addresses alone.
_WITH_PORTS = frozenset({_TCP, _UDP})
_FIN, _SYN, _RST, _PSH, _ACK, _URG = 1, 2, 4, 8, 16, 32
# Requests and their replies, which a connection is made of; in either direction.
_REPLIES = {(_ICMPV4, 8): 0, (_ICMPV4, 13): 14, (_ICMPV4, 15): 16, (_ICMPV6, 128): 129}
_REQUESTS = {(protocol, reply): request for (protocol, request), reply in _REPLIES.items()}
_PORT_FIELDS = {
    _TCP: (Field.TCP_SRC, Field.TCP_DST),
    _UDP: (Field.UDP_SRC, Field.UDP_DST),
}
_BOTH_NAT = CtState.SOURCE_NAT | CtState.DESTINATION_NAT
# Where a port that may be chosen freely is looked for: a low one stays low. (from, to) by the wish.
_PORT_CLASSES = ((1, 511), (600, 1023), (1024, 65_535))


_NO_NAT = CtState(0)


class End(NamedTuple):
    """One end of a connection; `port`: for ICMP the identifier."""

    address: int
    port: int


class Tuple(NamedTuple):
    """A direction of a connection. `kind`: ICMP type and code as it goes in this direction, else 0."""

    version: int
    protocol: int
    source: End
    target: End
    kind: int = 0

    def reversed(self) -> "Tuple":
        """The other direction."""
        kind = self.kind
        if kind:
            type = kind >> 8 & 0xFF
            other = _REPLIES.get((self.protocol, type), _REQUESTS.get((self.protocol, type), type))
            kind = (other << 8 | kind & 0xFF) | _ICMP_MARK
        return Tuple(self.version, self.protocol, self.target, self.source, kind)


_ICMP_MARK = 1 << 16
"""Keeps the kind of an ICMP tuple from being 0 (echo reply has type and code 0)."""


def echo_kind(type_and_code: int) -> int:
    """The `kind` of an ICMP tuple; type in the high byte."""
    return type_and_code | _ICMP_MARK


@dataclass(slots=True)
class Connection:
    """A committed connection. `original`: its first packet before translation, `reply`: what its replies look like.

    TCP alone: `is_moving`: more than the opening was seen; `closed`: 1 the opener, 2 the other, 3 both sides have
    ended it.
    """

    original: Tuple
    reply: Tuple
    nat: CtState = _NO_NAT
    mark: int = 0
    label: int = 0
    is_answered: bool = False
    is_moving: bool = False
    closed: int = 0


class Verdict(NamedTuple):
    """What a look-up says; `connection` None for what is not (yet) known, `original` for CT_IPV4_SRC and so on."""

    state: CtState
    connection: Connection | None
    original: Tuple | None


class _Seen(NamedTuple):
    """What the table makes of a packet: its tuple, and whether it only speaks about one."""

    tuple: Tuple
    is_related: bool = False


class Connections:
    """All zones of one switch."""

    def __init__(self, assumed: CtState | None = None) -> None:
        """`assumed`: what every look-up says, whatever was committed: for a packet of a connection nobody has seen."""
        self._assumed = assumed
        self._zones: dict[int, dict[Tuple, tuple[Connection, bool]]] = {}

    def flush(self, zone: int | None = None) -> None:
        """Forget a zone, or all."""
        if zone is None:
            self._zones.clear()
        else:
            self._zones.pop(zone, None)

    def forget(self, zone: int, tuple: Tuple) -> None:
        """Forget one connection, named by either direction; nothing if it is not there."""
        found = self._zones.get(zone, {}).get(tuple)
        if found is not None:
            self._drop(zone, found[0])

    def describe(self, zone: int) -> list[str]:
        """One line per connection, in the order of their commits."""
        table = self._zones.get(zone, {})
        return [_describe(connection) for connection, is_reply in table.values() if not is_reply]

    def _drop(self, zone: int, connection: Connection) -> None:
        table = self._zones[zone]
        table.pop(connection.original, None)
        table.pop(connection.reply, None)

    def track(
        self,
        zone: int,
        frame: Frame,
        *,
        earlier: Verdict | None,
        commit: bool = False,
        force: bool = False,
        nat: Nat | None = None,
    ) -> Verdict:
        """Look a frame up, commit and translate it as asked.

        Frame:   a whole IP packet, translated in place.
        earlier: what a look-up in the same zone said before, if the frame was translated then.
        Cost:    constant, but for a search of a free port.
        """
        if self._assumed is not None:
            return Verdict(self._assumed, None, None)
        seen = _see(frame)
        if seen is None:
            return Verdict(CtState.TRACKED | CtState.INVALID, None, None)
        table = self._zones.setdefault(zone, {})
        connection, is_reply = table.get(seen.tuple, (None, False))
        if connection is None and earlier is not None and earlier.state & _BOTH_NAT:
            connection = earlier.connection
            is_reply = bool(earlier.state & CtState.REPLY)
            if connection is not None and connection.original not in table:
                connection = None
        if connection is not None and force and is_reply:
            self._drop(zone, connection)
            connection = None
        if connection is None and seen.is_related:
            return Verdict(CtState.TRACKED | CtState.INVALID, None, None)
        state = CtState.NEW
        if connection is not None and seen.is_related:
            state = CtState.RELATED | (CtState.REPLY if is_reply else CtState(0))
        elif connection is not None:
            found = _update(connection, frame, is_reply=is_reply)
            if found is None:
                self._drop(zone, connection)
                connection = None
            else:
                state = found
        if connection is None:
            return self._open(table, frame, seen.tuple, commit=commit, nat=nat)
        translated = earlier.state & _BOTH_NAT if earlier is not None else CtState(0)
        if nat is not None and connection.nat and not translated:
            state |= _translate(frame, connection, is_reply=is_reply, is_related=seen.is_related)
        else:
            state |= translated
        # Of an error in the first direction, and of what is invalid, the switch does not say the original.
        is_known = state & (CtState.NEW | CtState.EST | CtState.REPLY)
        return Verdict(CtState.TRACKED | state, connection, connection.original if is_known else None)

    def _open(
        self,
        table: dict[Tuple, tuple[Connection, bool]],
        frame: Frame,
        tuple: Tuple,
        *,
        commit: bool,
        nat: Nat | None,
    ) -> Verdict:
        if not _may_open(frame, tuple):
            return Verdict(CtState.TRACKED | CtState.INVALID, None, None)
        state = CtState.TRACKED | CtState.NEW
        if not commit:
            return Verdict(state, None, tuple)
        connection = Connection(tuple, tuple.reversed())
        if nat is not None and (nat.source is not None or nat.destination is not None):
            reply = next((found for found in _choices(tuple, nat) if found not in table), None)
            if reply is None:
                return Verdict(state, None, tuple)
            connection.reply = reply
            connection.nat = CtState.SOURCE_NAT if nat.source is not None else CtState.DESTINATION_NAT
        table[connection.original] = (connection, False)
        table[connection.reply] = (connection, True)
        if connection.nat:
            state |= _translate(frame, connection, is_reply=False, is_related=False)
        return Verdict(state, connection, tuple)


def _see(frame: Frame) -> _Seen | None:
    """None for what cannot be tracked: no IP, a broken checksum, an ICMP type that is no part of a connection."""
    if frame.ip_offset is None or not frame.has_good_checksums:
        return None
    version = 4 if frame.read(Field.ETH_TYPE) == 0x0800 else 6
    addresses = (Field.IPV4_SRC, Field.IPV4_DST) if version == 4 else (Field.IPV6_SRC, Field.IPV6_DST)
    source, target = map(frame.read, addresses)
    protocol = frame.read(Field.IP_PROTO)
    if protocol not in (*_WITH_PORTS, _ICMPV4, _ICMPV6):
        return _Seen(Tuple(version, protocol, End(source, 0), End(target, 0)))
    place = frame.transport
    if place is None:
        return None
    if protocol in _WITH_PORTS:
        ports = [frame.read(field) for field in _PORT_FIELDS[protocol]]
        return _Seen(Tuple(version, protocol, End(source, ports[0]), End(target, ports[1])))
    type, code = frame.data[place.offset], frame.data[place.offset + 1]
    if (protocol, type) in _REPLIES or (protocol, type) in _REQUESTS:
        if place.length < 8:
            return None
        identifier = int.from_bytes(frame.data[place.offset + 4 : place.offset + 6], "big")
        kind = type << 8 | code | _ICMP_MARK
        return _Seen(Tuple(version, protocol, End(source, identifier), End(target, identifier), kind))
    quoted = find_quoted(frame)
    if quoted is None:
        return None
    inner = Tuple(
        version,
        quoted.protocol,
        End(quoted.source, quoted.source_port),
        End(quoted.target, quoted.target_port),
        quoted.kind | _ICMP_MARK if quoted.kind is not None else 0,
    )
    return _Seen(inner.reversed(), is_related=True)


def _may_open(frame: Frame, tuple: Tuple) -> bool:
    """Whether a packet may be the first of a connection."""
    if tuple.protocol == _TCP:
        flags = frame.read(Field.TCP_FLAGS)
        return not _are_invalid(flags) and flags & (_SYN | _ACK) != _SYN | _ACK
    if tuple.kind:
        return (tuple.protocol, tuple.kind >> 8 & 0xFF) in _REPLIES
    return True


def _are_invalid(flags: int) -> bool:
    if flags & _SYN:
        return bool(flags & (_RST | _FIN))
    if not flags & (_ACK | _RST):
        return True
    return not flags & _ACK and bool(flags & (_FIN | _PSH | _URG))


def _update(connection: Connection, frame: Frame, *, is_reply: bool) -> CtState | None:
    """The state of a packet of a known connection; None if it opens a new one in its place."""
    if connection.original.protocol == _TCP:
        return _update_tcp(connection, frame.read(Field.TCP_FLAGS), is_reply=is_reply)
    connection.is_answered |= is_reply
    if is_reply:
        return CtState.EST | CtState.REPLY
    return CtState.EST if connection.is_answered else CtState.NEW


def _update_tcp(connection: Connection, flags: int, *, is_reply: bool) -> CtState | None:
    if _are_invalid(flags):
        return CtState.INVALID
    if flags & (_SYN | _ACK) == _SYN:
        if connection.closed == 3:
            return None
        if not is_reply and not connection.is_moving:
            return CtState.NEW
    connection.is_moving = True
    if flags & _RST:
        connection.closed = 3
    elif flags & _FIN:
        connection.closed |= 2 if is_reply else 1
    return CtState.EST | (CtState.REPLY if is_reply else CtState(0))


def _choices(tuple: Tuple, nat: Nat) -> Iterator[Tuple]:
    """The replies that a translated connection may have, in the order in which they are tried."""
    chosen = nat.source if nat.source is not None else nat.destination
    assert chosen is not None
    number = int.from_bytes(hashlib.blake2b(repr(tuple).encode(), digest_size=4).digest(), "big")
    reply = tuple.reversed()
    for address in _turn(chosen.ip_min, chosen.ip_min if chosen.ip_max is None else chosen.ip_max, number):
        if nat.source is not None:
            changed = reply._replace(target=End(address, reply.target.port))
        else:
            changed = reply._replace(source=End(address, reply.source.port))
        if tuple.protocol not in _WITH_PORTS:
            yield changed
            continue
        if nat.destination is not None and chosen.port_min is not None:
            for port in _ports(chosen, number, chosen.port_min):
                yield changed._replace(source=End(address, port))
            changed = changed._replace(source=End(address, _ports_first(chosen, number)))
        wish = tuple.source.port
        if nat.source is not None and chosen.port_min is not None:
            ports = _ports(chosen, number, wish)
        else:
            low, high = next(found for found in _PORT_CLASSES if wish <= found[1])
            ports = _turn(low, high, wish - low)
        for port in ports:
            yield changed._replace(target=End(changed.target.address, port))


def _ports(chosen: NatRange, number: int, wish: int) -> Iterator[int]:
    low = wish if chosen.port_min is None else chosen.port_min
    return _turn(low, low if chosen.port_max is None else chosen.port_max, number)


def _ports_first(chosen: NatRange, number: int) -> int:
    return next(_ports(chosen, number, 0))


def _turn(low: int, high: int, number: int) -> Iterator[int]:
    """All of a range once, from the `number`th on."""
    count = high - low + 1
    for step in range(count):
        yield low + (number + step) % count


def _translate(frame: Frame, connection: Connection, *, is_reply: bool, is_related: bool) -> CtState:
    """Put a packet's ends as they are behind the translation; returns what was done."""
    is_source = (connection.nat is CtState.SOURCE_NAT) is not is_reply
    towards = connection.original.reversed() if is_reply else connection.reply.reversed()
    end = towards.source if is_source else towards.target
    version = connection.original.version
    side = (Field.IPV4_SRC, Field.IPV4_DST) if version == 4 else (Field.IPV6_SRC, Field.IPV6_DST)
    frame.write(side[0 if is_source else 1], end.address)
    if is_related:
        # What is quoted went the other way.
        rewrite_quoted(frame, is_source=not is_source, address=end.address, port=end.port)
    elif connection.original.protocol in _WITH_PORTS:
        for field, port in zip(
            _PORT_FIELDS[connection.original.protocol],
            (towards.source.port, towards.target.port),
            strict=True,
        ):
            frame.write(field, port)
    return CtState.SOURCE_NAT if is_source else CtState.DESTINATION_NAT


def _describe(connection: Connection) -> str:
    def ends(found: Tuple) -> str:
        source, target = (ip_of_int(end.address, found.version) for end in (found.source, found.target))
        return f"{source}:{found.source.port} > {target}:{found.target.port}"

    original, reply = connection.original, connection.reply
    more = f", mark={connection.mark:#x}, label={connection.label:#x}"
    return f"protocol {original.protocol}, {ends(original)}, reply {ends(reply)}{more}"
