"""Flow classifiers: `/v2.0/sfc/flow_classifiers`. A project's do not overlap, so that a packet is in one flow."""

from typing import Any

from alcor.managers.interface import Caller, Values
from alcor.managers.row import project_of
from alcor.managers.sharing import may_use
from alcor.model.address import Cidr, network_of
from alcor.model.errors import InvalidInput, NotFound, Problem
from alcor.model.flow_classifier import PORT_MAX, FlowClassifier
from alcor.model.port import Port
from alcor.store.interface import Condition, Query, Transaction

_ENDS = ("source", "destination")


async def check_flow(tx: Transaction, caller: Caller, row: Any, values: Values) -> Values:
    """Raises: InvalidInput for ranges from high to low, ports of no protocol, prefixes of another version, or packets
    that another classifier of the project takes; NotFound for a port."""
    if row is not None:
        return values
    for end in _ENDS:
        _check_range(values, end)
    for end in _ENDS:
        _check_prefix(values, end)
    for end in _ENDS:
        await _check_port(tx, caller, values[f"logical_{end}_port"])
    flow = FlowClassifier(
        id="", **{name: values[name] for name in FlowClassifier.__struct_fields__ if name in values}
    )
    for other in await _near(tx, flow, project_of(caller, values)):
        if _same_ends(flow, other) and overlap(flow, other):
            raise InvalidInput(
                f"Flow classifier conflicts with another flow classifier {other.id}: a packet could be in both.",
                problem=Problem.FC_CONFLICT,
            )
    return values


def _check_range(values: Values, end: str) -> None:
    low, high = values[f"{end}_port_range_min"], values[f"{end}_port_range_max"]
    if low is not None and high is not None and low > high:
        raise InvalidInput(
            f"Invalid IP protocol port range. min_port_range={low} must be lesser or equal to max_port_range={high}.",
            problem=Problem.FC_PORT_RANGE,
        )
    if (low is not None or high is not None) and values["protocol"] not in ("tcp", "udp"):
        raise InvalidInput(
            "IP protocol must be TCP or UDP, if port range is given.", problem=Problem.FC_PORT_PROTOCOL
        )


def _check_prefix(values: Values, end: str) -> None:
    prefix = values[f"{end}_ip_prefix"]
    if prefix is not None and values["ethertype"] != f"IPv{network_of(Cidr(prefix)).version}":
        raise InvalidInput(
            f"IP prefix {prefix} format conflicts with ethertype {values['ethertype']}.",
            problem=Problem.FC_PREFIX,
        )


async def _check_port(tx: Transaction, caller: Caller, id: str | None) -> None:
    if id is None:
        return
    port = await tx.find(Port, id)
    if port is None or not await may_use(tx, caller, port):
        raise NotFound("port", id, problem=Problem.FC_LOGICAL_PORT)


async def _near(tx: Transaction, flow: FlowClassifier, project_id: str) -> list[FlowClassifier]:
    """The project's classifiers whose packets may enter where this one's do. Cost: one indexed read."""
    where = [Condition("project_id", (project_id,))]
    if flow.logical_source_port is not None:
        where.append(Condition("logical_source_port", (flow.logical_source_port, None)))
    return await tx.list(FlowClassifier, Query(tuple(where)))


def _same_ends(one: FlowClassifier, other: FlowClassifier) -> bool:
    return _meet(one.logical_source_port, other.logical_source_port) and _meet(
        one.logical_destination_port, other.logical_destination_port
    )


def overlap(one: FlowClassifier, other: FlowClassifier) -> bool:
    """Whether a packet may match both, wherever it enters and leaves."""
    return (
        one.ethertype == other.ethertype
        and _meet(one.protocol, other.protocol)
        and _prefixes_meet(one.source_ip_prefix, other.source_ip_prefix)
        and _prefixes_meet(one.destination_ip_prefix, other.destination_ip_prefix)
        and all(_ranges_meet(one, other, end) for end in _ENDS)
    )


def _meet(one: str | None, other: str | None) -> bool:
    return one is None or other is None or one == other


def _prefixes_meet(one: str | None, other: str | None) -> bool:
    return one is None or other is None or network_of(Cidr(one)).overlaps(network_of(Cidr(other)))


def _ranges_meet(one: FlowClassifier, other: FlowClassifier, end: str) -> bool:
    (low, high), (other_low, other_high) = _range(one, end), _range(other, end)
    return low <= other_high and other_low <= high


def _range(flow: FlowClassifier, end: str) -> tuple[int, int]:
    low, high = getattr(flow, f"{end}_port_range_min"), getattr(flow, f"{end}_port_range_max")
    return (0 if low is None else low, PORT_MAX if high is None else high)
