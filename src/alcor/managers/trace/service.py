"""`POST /v2.0/traces`: ask where a packet would go. It answers at once, and keeps nothing."""

from collections.abc import Mapping
from typing import Any, Protocol

from alcor.managers.interface import Ask, Caller, Route, Service
from alcor.model.address import ip_version, parse_ip
from alcor.model.errors import Forbidden, InvalidInput, NotFound, Unavailable
from alcor.model.extension import Extension
from alcor.model.ip_protocol import ICMP, ICMPV6, NUMBER_MAX, PROTOCOLS
from alcor.model.port import Port
from alcor.store.interface import Store

_PORT_MAX = 65_535
_BYTES_MIN, _BYTES_MAX = 28, 9_000
_NUMBERS = {
    "source_port": (0, _PORT_MAX),
    "destination_port": (0, _PORT_MAX),
    "icmp_type": (0, 255),
    "icmp_code": (0, 255),
    "ip_bytes": (_BYTES_MIN, _BYTES_MAX),
}
_WORDS = frozenset(
    {
        "port_id",
        "network_id",
        "source_ip",
        "destination_ip",
        "destination_port_id",
        "protocol",
        "actual",
        *_NUMBERS,
    }
)


# Tables and causes that tell of the receiver's own rules (alcor.pipeline.tables, alcor.trace.cause; a test compares).
RECEIVERS = frozenset(
    {"ACL_IN", "INGRESS_CT", "INGRESS_SET", "INGRESS_RULES", "INGRESS_ALLOWED", "INGRESS_QOS", "OUTPUT"}
)
RECEIVERS_CAUSES = frozenset({"ingress_acl", "ingress_group", "switch_closed"})


class Tracer(Protocol):
    """Who knows what hosts should do, and can ask what they do."""

    async def trace(self, packet: Mapping[str, Any], *, actual: bool) -> dict[str, Any]:
        """The answer as JSON values. Raises: NotFound, InvalidInput, Unavailable."""


def service(tracer: Tracer | None) -> Service:
    """The route. `tracer`: None where the process cannot trace; then it says so (503)."""

    async def answer(store: Store, ask: Ask) -> dict[str, Any]:
        body = ask.body
        said = body.get("trace") if isinstance(body, dict) else None
        if not isinstance(said, dict):
            raise InvalidInput('The body is to be {"trace": {"port_id": …, "destination_ip": …}}.')
        packet, actual = await _read(store, ask.caller, said)
        if tracer is None:
            raise Unavailable("this process of the region does not hold the goal state; ask one that does")
        if actual and not ask.caller.sees_every("port"):
            raise Forbidden("Only administrators ask the switches themselves; leave 'actual' out.")
        trace = await tracer.trace(packet, actual=actual)
        return {
            "trace": trace if ask.caller.sees_every("port") else await _own_part(store, ask.caller, trace)
        }

    route = Route(
        "POST",
        "/v2.0/traces",
        answer,
        "create_trace",
        "",
        "Where one imaginary packet goes, hop by hop, and why it is dropped if it is",
        schema=_ANSWER,
        body_schema=_QUESTION,
    )
    extension = Extension(
        "alcor-trace",
        "Trace",
        "One imaginary packet through intent and through the switches.",
        "2026-11-22T00:00:00-00:00",
    )
    return Service("trace", (route,), (extension,))


async def _read(store: Store, caller: Caller, said: Mapping[str, Any]) -> tuple[dict[str, Any], bool]:
    """The packet that is asked for, and whether the switches are to be asked. Raises: InvalidInput, NotFound."""
    unknown = sorted(set(said) - _WORDS)
    if unknown:
        raise InvalidInput(
            f"unknown: {', '.join(unknown)}. Known: {', '.join(sorted(_WORDS))}.", attribute="trace"
        )
    packet: dict[str, Any] = {}
    for word in ("port_id", "network_id"):
        if said.get(word) is not None:
            packet[word] = str(said[word])
    if ("port_id" in packet) == ("network_id" in packet):
        raise InvalidInput("Name one source: port_id, or network_id with source_ip.", attribute="trace")
    if "port_id" in packet:
        await _own_port(store, caller, packet["port_id"])
    elif not caller.sees_every("port"):
        raise InvalidInput("Only administrators trace from outside: name a port_id.", attribute="network_id")
    packet["destination_ip"] = await _destination(store, caller, said)
    if said.get("source_ip") is not None:
        packet["source_ip"] = _ip(said["source_ip"], "source_ip")
    packet["protocol"] = _protocol(
        said.get("protocol", "icmp"), ip_version(parse_ip(packet["destination_ip"]))
    )
    for word, (least, most) in _NUMBERS.items():
        if said.get(word) is not None:
            packet[word] = _number(said[word], word, least, most)
    actual = said.get("actual", False)
    if not isinstance(actual, bool):
        raise InvalidInput("it is true or false", attribute="actual")
    return packet, actual


async def _own_part(store: Store, caller: Caller, trace: dict[str, Any]) -> dict[str, Any]:
    """What a project may see of a trace: verdict and cause, no hosts, and nothing of another project's port.

    Which rule of a stranger's port drops its packet is the stranger's to know.
    """
    receiver = trace.get("port_id")
    row = await store.reader.find(Port, receiver) if receiver else None
    is_own = row is not None and caller.owns(row)
    hops = [hop | {"host": "", "host_id": ""} for hop in trace["hops"]]
    if not is_own:
        hops = [hop for hop in hops if hop["table"] not in RECEIVERS]
    return trace | {
        "port_id": receiver if is_own else None,
        "decided_by": trace["decided_by"] if is_own or trace["cause"] not in RECEIVERS_CAUSES else "",
        "hops": hops,
        "reply": await _own_part(store, caller, trace["reply"]) if trace["reply"] and is_own else None,
        "actual": [],
    }


async def _own_port(store: Store, caller: Caller, port_id: str) -> Port:
    """A port the caller sees all of. Raises: NotFound, also if it is another's."""
    port = await store.reader.find(Port, port_id)
    if port is None or not (caller.sees_every("port") or caller.owns(port)):
        raise NotFound("port", port_id)
    return port


async def _destination(store: Store, caller: Caller, said: Mapping[str, Any]) -> str:
    if (said.get("destination_ip") is None) == (said.get("destination_port_id") is None):
        raise InvalidInput("Name one: destination_ip or destination_port_id.", attribute="trace")
    if said.get("destination_ip") is not None:
        return _ip(said["destination_ip"], "destination_ip")
    port = await _own_port(store, caller, str(said["destination_port_id"]))
    if not port.fixed_ips:
        raise InvalidInput("the port has no address: name a destination_ip", attribute="destination_port_id")
    return port.fixed_ips[0].ip_address


def _ip(value: object, attribute: str) -> str:
    try:
        return parse_ip(str(value))
    except ValueError as error:
        raise InvalidInput(str(error), attribute=attribute) from error


def _number(value: object, attribute: str, least: int, most: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
        raise InvalidInput(f"'{value}' is not a number from {least} to {most}", attribute=attribute)
    return value


def _protocol(value: object, version: int) -> int:
    text = str(value).lower()
    number = PROTOCOLS.get(text, int(text) if text.isascii() and text.isdigit() else -1)
    if not 0 <= number <= NUMBER_MAX:
        raise InvalidInput(
            f"'{value}' is not an IP protocol: icmp, tcp, udp, sctp or 0 to 255", attribute="protocol"
        )
    if number in (ICMP, ICMPV6):
        return ICMP if version == 4 else ICMPV6
    return number


_TEXT: Mapping[str, Any] = {"type": "string"}
_QUESTION: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "trace": {
            "type": "object",
            "additionalProperties": False,
            "properties": {
                "port_id": _TEXT,
                "network_id": _TEXT,
                "source_ip": _TEXT,
                "destination_ip": _TEXT,
                "destination_port_id": _TEXT,
                "protocol": {"type": ["string", "integer"]},
                "actual": {"type": "boolean"},
                **{
                    word: {"type": "integer", "minimum": least, "maximum": most}
                    for word, (least, most) in _NUMBERS.items()
                },
            },
        }
    },
    "required": ["trace"],
}
_ANSWER: Mapping[str, Any] = {
    "type": "object",
    "properties": {
        "trace": {
            "type": "object",
            "properties": {
                "verdict": _TEXT,
                "cause": {"type": ["string", "null"]},
                "text": _TEXT,
                "decided_by": _TEXT,
                "port_id": {"type": ["string", "null"]},
                "hops": {"type": "array", "items": {"type": "object"}},
                "reply": {"type": ["object", "null"]},
                "actual": {"type": "array", "items": {"type": "object"}},
                "agrees": {"type": ["boolean", "null"]},
            },
        }
    },
}
