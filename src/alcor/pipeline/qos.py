"""QoS: what a port may send and be sent, and its DSCP mark (tables EGRESS_QOS to EGRESS_PACKETS, INGRESS_QOS to
INGRESS_PACKETS); meters for whoever limits floating IPs and gateways.

A flow has one meter, so bandwidth and packet rate have a table each. Meters count whole frames of any protocol. The
mark is six bits of the type of service; congestion notification, the other two, is the VM's and stays. What is
guaranteed (a minimum) is a matter of placement: no switch enforces it.

*Not metered*: copies of a flood. Open vSwitch executes the copies of one packet one after the other, and what a meter
takes away is away for those that follow: a VM that is sent too much would cost its neighbours their broadcasts. What a
sender may flood is limited where it enters.
"""

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from alcor.goalstate.item import Limit, QosItem
from alcor.goalstate.scope import ScopeKind
from alcor.pipeline.feature import Feature, ItemChange
from alcor.pipeline.flow import Action, Field, Meter, MeterSpec, MeterUnit, Resubmit, SetField, match
from alcor.pipeline.live import LivePort, live_port
from alcor.pipeline.port_security import ETH_IPV4, ETH_IPV6
from alcor.pipeline.tables import EGRESS, INGRESS, PART, MeterUse, Priority, Table, meter_id
from alcor.pipeline.unit import Rule, Unit, port_unit
from alcor.pipeline.view import Allocation, View

# A limit without a burst: 80 % of a second's worth, as the Networking API's reference has it. TCP under a meter wants
# 100 ms or more (measured: dataplane design, B5).
_BURST_TENTHS = 8

LIMIT_KEY_MAX = (1 << 13) - 1
"""The highest local number of a floating IP or gateway that is limited: it has four meters."""


class Kind(NamedTuple):
    """What a limit is of. `is_ingress`: as the VM sees it: towards it."""

    is_ingress: bool
    unit: MeterUnit


EGRESS_RATE = Kind(is_ingress=False, unit=MeterUnit.KBPS)
EGRESS_PACKETS = Kind(is_ingress=False, unit=MeterUnit.PPS)
INGRESS_RATE = Kind(is_ingress=True, unit=MeterUnit.KBPS)
INGRESS_PACKETS = Kind(is_ingress=True, unit=MeterUnit.PPS)
KINDS = (EGRESS_RATE, EGRESS_PACKETS, INGRESS_RATE, INGRESS_PACKETS)

_USES = {
    EGRESS_RATE: MeterUse.EGRESS_RATE,
    EGRESS_PACKETS: MeterUse.EGRESS_PACKETS,
    INGRESS_RATE: MeterUse.INGRESS_RATE,
    INGRESS_PACKETS: MeterUse.INGRESS_PACKETS,
}


def limit_of(policy: QosItem | None, kind: Kind) -> Limit | None:
    """The policy's limit of a kind, the lowest if it has several. A rate of 0 is no limit, as in the reference."""
    if policy is None:
        return None
    limits: Sequence[Limit] = policy.bandwidth if kind.unit is MeterUnit.KBPS else policy.packets
    found = [limit for limit in limits if limit.is_ingress == kind.is_ingress and limit.rate]
    return min(found, key=lambda limit: limit.rate, default=None)


def meter_of(limit: Limit, kind: Kind, id: int) -> MeterSpec:
    """The meter that enforces a limit."""
    return MeterSpec(id, limit.rate, limit.burst or max(1, limit.rate * _BURST_TENTHS // 10), kind.unit)


def limit_meter_id(limit_key: int, kind: Kind) -> int:
    """The number of a floating IP's or gateway's meter. Raises: ValueError if the key is out of range."""
    if not 0 < limit_key <= LIMIT_KEY_MAX:
        raise ValueError(f"limit key {limit_key} is out of range")
    return meter_id(MeterUse.LIMIT, limit_key << 2 | KINDS.index(kind))


def limit_actions(
    policy_id: str | None, kind: Kind, owner_id: str, view: View, allocation: Allocation
) -> tuple[Action, ...]:
    """What goes before all other actions of the flow that translates for a floating IP or router gateway.

    One meter, or nothing. A flow has one meter: bandwidth and packet rate go into two flows, one table apart.
    `owner_id`: the floating IP's or gateway's; without a number (`Allocation.limit_keys`) it is not limited yet.
    """
    key = allocation.limit_keys.get(owner_id, 0)
    if not key or limit_of(view.qos.get(policy_id or ""), kind) is None:
        return ()
    return (Meter(limit_meter_id(key, kind)),)


def limit_meters(
    policy_id: str | None, owner_id: str, view: View, allocation: Allocation
) -> Iterator[MeterSpec]:
    """The meters behind `limit_actions`, at most four."""
    key, policy = allocation.limit_keys.get(owner_id, 0), view.qos.get(policy_id or "")
    for kind in KINDS:
        limit = limit_of(policy, kind)
        if key and limit is not None:
            yield meter_of(limit, kind, limit_meter_id(key, kind))


def _shared() -> Iterator[Rule]:
    """Who is not limited in packets goes on."""
    yield Rule(Table.EGRESS_PACKETS, Priority.MISS, match(), (Resubmit(Table.PUNT),))
    yield Rule(Table.INGRESS_PACKETS, Priority.MISS, match(), (Resubmit(Table.OUTPUT),))


def _port(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    """At most four flows out and two in; none without a policy."""
    policy = view.qos.get(port.item.qos or "")
    if policy is None:
        return
    sent, on = {INGRESS.name.lower(): port.key}, Resubmit(Table.EGRESS_PACKETS)
    metered = {kind: _metered(policy, kind, port) for kind in KINDS}
    if metered[EGRESS_RATE] or metered[EGRESS_PACKETS] or policy.dscp is not None:
        yield Rule(Table.EGRESS_QOS, Priority.NORMAL, match(**sent), (*metered[EGRESS_RATE], on), policy.id)
    meter, on = metered[EGRESS_PACKETS], Resubmit(Table.PUNT)
    if meter:
        yield Rule(Table.EGRESS_PACKETS, Priority.NORMAL, match(**sent), (*meter, on), policy.id)
    if policy.dscp is not None:
        mark = SetField(Field.IP_DSCP, policy.dscp)
        for eth_type in (ETH_IPV4, ETH_IPV6):
            found = match(**sent, eth_type=eth_type)
            yield Rule(Table.EGRESS_PACKETS, Priority.SPECIFIC, found, (*meter, mark, on), policy.id)
    # No copy of a flood, which has a part's number.
    got, on = match(**{EGRESS.name.lower(): port.key, PART.name.lower(): 0}), Resubmit(Table.INGRESS_PACKETS)
    if metered[INGRESS_RATE] or metered[INGRESS_PACKETS]:
        yield Rule(Table.INGRESS_QOS, Priority.NORMAL, got, (*metered[INGRESS_RATE], on), policy.id)
    if metered[INGRESS_PACKETS]:
        actions = (*metered[INGRESS_PACKETS], Resubmit(Table.OUTPUT))
        yield Rule(Table.INGRESS_PACKETS, Priority.NORMAL, got, actions, policy.id)


def _metered(policy: QosItem, kind: Kind, port: LivePort) -> tuple[Action, ...]:
    return () if limit_of(policy, kind) is None else (Meter(meter_id(_USES[kind], port.key)),)


def _meters(view: View, allocation: Allocation) -> Iterator[MeterSpec]:
    """At most four for each live local port with a policy. Cost: O(local ports)."""
    for port_id, item in view.ports.items():
        policy = view.qos.get(item.qos or "")
        port = live_port(port_id, view, allocation) if policy is not None else None
        if port is None:
            continue
        for kind in KINDS:
            limit = limit_of(policy, kind)
            if limit is not None:
                yield meter_of(limit, kind, meter_id(_USES[kind], port.key))


def _affected(change: ItemChange, view: View) -> Iterable[Unit]:
    """A policy: the ports it limits. Cost: O(these)."""
    if change.scope.kind is not ScopeKind.QOS:
        return ()
    return {port_unit(id) for id in view.ports_with_qos(change.scope.id)}


QOS = Feature("qos", shared=_shared, port=_port, affected=_affected, meters=_meters)
