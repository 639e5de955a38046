"""The rules of a QoS policy: five types, each a collection of its own inside the policy.

Rates are in kilobits or thousands of packets per second (1000, not 1024); `direction` is seen from the port.
Source: Networking API v2.0, "QoS … rules"; extensions qos, qos-bw-limit-direction, qos-bw-minimum-ingress, qos-pps,
qos-pps-minimum.
"""

from typing import Any

from alcor.model.qos_policy import PREFIX
from alcor.model.resource import REQUIRED, Attribute, Entity, Parent, Resource, Who
from alcor.model.standard import ID
from alcor.model.value import Choice, Integer, Uuid, ValueType

DIRECTIONS = ("ingress", "egress")
EITHER = "any"
# Six-bit code points that RFC 2474, 2597, 3246 and 5865 give a meaning, without the ones for experiments.
DSCP_MARKS = (0, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30, 32, 34, 36, 38, 40, 44, 46, 48, 56)
RATE_MAX = 2**31 - 1

RATE = Integer(0, RATE_MAX)
DIRECTION = Choice(DIRECTIONS)


class BandwidthLimitRule(Entity, frozen=True, kw_only=True, gc=False):
    """No more than `max_kbps`, and `max_burst_kbps` (kilobits) at once; 0: as the host chooses."""

    qos_policy_id: str
    max_kbps: int
    max_burst_kbps: int = 0
    direction: str = "egress"


class DscpMarkingRule(Entity, frozen=True, kw_only=True, gc=False):
    """Packets that leave carry this code point."""

    qos_policy_id: str
    dscp_mark: int


class MinimumBandwidthRule(Entity, frozen=True, kw_only=True, gc=False):
    """No less than `min_kbps`."""

    qos_policy_id: str
    min_kbps: int
    direction: str = "egress"


class PacketRateLimitRule(Entity, frozen=True, kw_only=True, gc=False):
    """No more than `max_kpps` thousand packets a second, and `max_burst_kpps` thousand at once."""

    qos_policy_id: str
    max_kpps: int
    max_burst_kpps: int = 0
    direction: str = "egress"


class MinimumPacketRateRule(Entity, frozen=True, kw_only=True, gc=False):
    """No less than `min_kpps` thousand packets a second; `any`: both directions together."""

    qos_policy_id: str
    min_kpps: int
    direction: str = "egress"


def _rule(type_: str, entity: type[Entity], text: str, *attributes: Attribute) -> Resource:
    return Resource(
        name=f"qos_{type_}_rule",
        collection=f"{type_}_rules",
        member=f"{type_}_rule",
        entity=entity,
        prefix=PREFIX,
        error_name="QosRule",
        parent=Parent("qos_policy", "qos_policy_id"),
        text=text,
        columns_shown=("id", *(a.name for a in attributes)),
        attributes=(
            ID,
            Attribute(
                "qos_policy_id",
                Uuid(),
                create=Who.NOBODY,
                update=Who.NOBODY,
                see=Who.NOBODY,
                column=True,
                refers="qos_policy",
                text="The policy it is a rule of.",
            ),
            *attributes,
        ),
    )


def _value(name: str, type_: ValueType, text: str, default: Any = REQUIRED) -> Attribute:
    return Attribute(name, type_, default=default, text=text)


_DIRECTION = _value("direction", DIRECTION, "ingress: to the port; egress: from it.", "egress")

BANDWIDTH_LIMIT_RULE = _rule(
    "bandwidth_limit",
    BandwidthLimitRule,
    "The most bits a second.",
    _value("max_kbps", RATE, "Kilobits a second."),
    _value("max_burst_kbps", RATE, "Kilobits at once; 0: as the host chooses.", 0),
    _DIRECTION,
)
DSCP_MARKING_RULE = _rule(
    "dscp_marking",
    DscpMarkingRule,
    "The code point of packets that leave.",
    _value("dscp_mark", Choice(DSCP_MARKS), "A differentiated services code point."),
)
MINIMUM_BANDWIDTH_RULE = _rule(
    "minimum_bandwidth",
    MinimumBandwidthRule,
    "The fewest bits a second.",
    _value("min_kbps", RATE, "Kilobits a second."),
    _DIRECTION,
)
PACKET_RATE_LIMIT_RULE = _rule(
    "packet_rate_limit",
    PacketRateLimitRule,
    "The most packets a second.",
    _value("max_kpps", RATE, "Thousands a second."),
    _value("max_burst_kpps", RATE, "Thousands at once; 0: as the host chooses.", 0),
    _DIRECTION,
)
MINIMUM_PACKET_RATE_RULE = _rule(
    "minimum_packet_rate",
    MinimumPacketRateRule,
    "The fewest packets a second.",
    _value("min_kpps", RATE, "Thousands a second."),
    _value("direction", Choice((EITHER, *DIRECTIONS)), "ingress, egress, or any: both together.", "egress"),
)

QOS_RULES: dict[str, Resource] = {
    "bandwidth_limit": BANDWIDTH_LIMIT_RULE,
    "dscp_marking": DSCP_MARKING_RULE,
    "minimum_bandwidth": MINIMUM_BANDWIDTH_RULE,
    "minimum_packet_rate": MINIMUM_PACKET_RATE_RULE,
    "packet_rate_limit": PACKET_RATE_LIMIT_RULE,
}
"""Rule type → its resource; also the order in which a policy shows its rules."""
TYPE_OF: dict[type[Entity], str] = {resource.entity: type_ for type_, resource in QOS_RULES.items()}
