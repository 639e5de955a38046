"""What is asked of a trace, and the answer, as values. Both have a JSON form (msgspec's)."""

from typing import Any

import msgspec

from alcor.trace.cause import Cause, Verdict

ICMP, TCP, UDP, ICMPV6, SCTP = 1, 6, 17, 58, 132


class TraceQuestion(msgspec.Struct, frozen=True, kw_only=True):
    """One imaginary packet, the first of its connection.

    From `port_id`, or from outside the region on an external network (`network_id`, `source_ip`). To the address
    `destination_ip`. `protocol`: IP protocol number. `source_port`, `destination_port`: of TCP, UDP and SCTP.
    `icmp_type`, `icmp_code`: echo request if not said. `ip_bytes`: the size of the IP packet. `source_ip`: another
    address than the port's own, to try port security.
    """

    destination_ip: str
    port_id: str | None = None
    network_id: str | None = None
    source_ip: str | None = None
    protocol: int = ICMP
    source_port: int = 40_000
    destination_port: int = 80
    icmp_type: int | None = None
    icmp_code: int = 0
    ip_bytes: int = 98


class Packet(msgspec.Struct, frozen=True, kw_only=True):
    """What a packet looks like at a hop."""

    eth_source: str
    eth_destination: str
    ip_source: str
    ip_destination: str
    ttl: int


class Hop(msgspec.Struct, frozen=True, kw_only=True):
    """One decision on the way.

    `host`: the host's name. `table`: of the pipeline, by name. `kind`, `decided_by`: what decided: a security group
    rule, a route … and its id. `text`: in words.
    """

    host_id: str
    host: str
    table: str
    text: str
    kind: str = ""
    decided_by: str = ""
    packet: Packet


class Exit(msgspec.Struct, frozen=True, order=True):
    """How a packet leaves a switch. `kind`: port, tunnel, provider, agent, back. `to`: port id, VTEP, physical net."""

    kind: str
    to: str = ""


class Look(msgspec.Struct, frozen=True, kw_only=True):
    """What a host's own switch does with the packet, beside what it should do.

    `agrees`: None if it could not be told, and `error` says why. `wanted`, `found`: exits, sorted. `flows`: those that
    matched, in order, as the switch prints them.
    """

    host_id: str
    host: str
    agrees: bool | None
    wanted: tuple[Exit, ...] = ()
    found: tuple[Exit, ...] = ()
    flows: tuple[str, ...] = ()
    error: str = ""


class Trace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a packet goes. `port_id`: who receives it. `reply`: the way of the answer to it, if somebody receives it.

    `actual`: what the switches say, if they were asked; `agrees`: whether all of them do as intent says.
    """

    verdict: Verdict
    cause: Cause | None = None
    text: str = ""
    decided_by: str = ""
    port_id: str | None = None
    hops: tuple[Hop, ...] = ()
    reply: "Trace | None" = None
    actual: tuple[Look, ...] = ()
    agrees: bool | None = None

    def as_json(self) -> dict[str, Any]:
        """As JSON values."""
        found: dict[str, Any] = msgspec.to_builtins(self)
        return found
