"""What a router could not send on (table ICMP_ERROR): to the agent, which answers with an ICMP error.

One flow per local port, through the meter of its punts; what did not come from a local port is dropped silently. Which
router it was and why stand in registers, so that one table does for all reasons.
"""

from collections.abc import Iterator
from enum import IntEnum

from alcor.pipeline.flow import Action, Controller, Meter, Resubmit, SetField, match
from alcor.pipeline.live import LivePort
from alcor.pipeline.punt import meter_of
from alcor.pipeline.tables import INGRESS, REASON, Priority, Table
from alcor.pipeline.unit import Rule


class Reason(IntEnum):
    """Why a router did not send a packet on."""

    TTL_EXCEEDED = 1
    NO_ROUTE = 2
    HOST_UNREACHABLE = 3
    TOO_LARGE = 4


def failed(reason: Reason) -> tuple[Action, ...]:
    """The packet goes no further: tell the agent why."""
    return (SetField(REASON, reason), Resubmit(Table.ICMP_ERROR))


def shared_rules() -> Iterator[Rule]:
    """What did not come from a local port ends."""
    yield Rule(Table.ICMP_ERROR, Priority.MISS, match(), ())


def port_rules(port: LivePort) -> Iterator[Rule]:
    """To the agent, through the port's meter. One flow for a port whose network has routers."""
    if port.item.routers:
        actions: tuple[Action, ...] = (Meter(meter_of(port).id), Controller())
        yield Rule(Table.ICMP_ERROR, Priority.NORMAL, match(**{INGRESS.name.lower(): port.key}), actions)
