"""A network ACL: ordered rules, without memory of connections, for what enters and leaves subnets of a VPC.

A packet meets the rules of its direction and version in the order of their numbers; the first that matches decides.
What none matches is denied.
"""

from collections.abc import Mapping
from typing import Any

from alcor.model.resource import REQUIRED, Attribute, Entity, Lookup, Resource, Who
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import CIDR, Boolean, Choice, FreeForm, Integer, ListOf, Nullable, Schema, Uuid

NUMBER_MAX = 32_766
INGRESS, EGRESS = "ingress", "egress"
ALL, TCP, UDP, ICMP, ICMPV6 = "all", "tcp", "udp", "icmp", "icmpv6"
IPV4, IPV6 = "ipv4", "ipv6"
ANY_PREFIX: Mapping[str, str] = {IPV4: "0.0.0.0/0", IPV6: "::/0"}


class NetworkAcl(Entity, frozen=True, kw_only=True, gc=False):
    """One list of rules. `is_default`: it counts for the subnets of its network that have none of their own."""

    network_id: str
    is_default: bool = False
    associated_subnets: tuple[str, ...] = ()


class NetworkAclRule(Entity, frozen=True, kw_only=True, gc=False):
    """One rule. No two of an ACL have the same number in one direction. Ports and ICMP types None: any."""

    network_acl_id: str
    number: int
    direction: str
    action: str
    ether_type: str = IPV4
    ip_prefix: str = ANY_PREFIX[IPV4]
    protocol: str = ALL
    port_range_min: int | None = None
    port_range_max: int | None = None
    icmp_type: int | None = None
    icmp_code: int | None = None


def _subnet_rows(row: Any) -> list[tuple[Any, ...]]:
    return [(subnet_id,) for subnet_id in row.associated_subnets]


def _default_rules(_row: Any) -> list[dict[str, Any]]:
    """What stands behind every ACL's rules: each direction and version is denied."""
    return [
        {
            "number": NUMBER_MAX + 1,
            "direction": direction,
            "ether_type": version,
            "ip_prefix": prefix,
            "protocol": ALL,
            "action": "deny",
        }
        for direction in (INGRESS, EGRESS)
        for version, prefix in ANY_PREFIX.items()
    ]


# What a rule says, in the ACL's own create request too.
_SAID = (
    Attribute(
        "number",
        Integer(0, NUMBER_MAX),
        default=REQUIRED,
        column=True,
        text="Its place among the ACL's rules of its direction; the lowest is asked first.",
    ),
    Attribute(
        "direction",
        Choice((INGRESS, EGRESS)),
        default=REQUIRED,
        text="`ingress`: to the subnet; `egress`: from it.",
    ),
    Attribute("action", Choice(("allow", "deny")), default=REQUIRED, text="What happens to what matches."),
    Attribute(
        "ether_type", Choice((IPV4, IPV6)), default=IPV4, text="The version of the packets it is about."
    ),
    Attribute(
        "ip_prefix",
        Nullable(CIDR),
        default=None,
        text="The prefix of the other side; null for any.",
    ),
    Attribute(
        "protocol", Choice((ALL, TCP, UDP, ICMP, ICMPV6)), default=ALL, text="The protocol it is about."
    ),
    Attribute(
        "port_range_min",
        Nullable(Integer(1, 65_535)),
        default=None,
        text="The lowest destination port (tcp, udp); null for any.",
    ),
    Attribute(
        "port_range_max",
        Nullable(Integer(1, 65_535)),
        default=None,
        text="The highest destination port; null for any.",
    ),
    Attribute(
        "icmp_type",
        Nullable(Integer(0, 255)),
        default=None,
        text="The ICMP type (icmp, icmpv6); null for any.",
    ),
    Attribute("icmp_code", Nullable(Integer(0, 255)), default=None, text="The ICMP code; null for any."),
)


class RuleSaid:
    """A rule inside of a request that creates its ACL: entity field → value, every one of them."""

    def parse(self, value: object) -> dict[str, Any]:
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        unknown = sorted(str(name) for name in value if name not in {a.name for a in _SAID})
        if unknown:
            raise ValueError(f"unexpected keys {unknown} in '{dict(value)}'")
        parsed = {}
        for attribute in _SAID:
            if attribute.name in value:
                parsed[attribute.name] = attribute.type.parse(value[attribute.name])
            elif attribute.default is REQUIRED:
                raise ValueError(f"'{attribute.name}' is missing in '{dict(value)}'")
            else:
                parsed[attribute.name] = attribute.default
        return parsed

    def schema(self) -> Schema:
        # Shown with the rule's ID, name and times too.
        return FreeForm().schema()


NETWORK_ACL = Resource(
    name="network_acl",
    collection="network-acls",
    entity=NetworkAcl,
    prefix="",
    text="Ordered, stateless rules for what enters and leaves subnets of a VPC.",
    columns_shown=("id", "name", "network_id", "is_default"),
    lookups=(Lookup("associated_subnets", ("subnet_id",), _subnet_rows, refers={"subnet_id": "subnet"}),),
    bulk_path=True,
    attributes=(
        *STANDARD,
        Attribute(
            "network_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="network",
            text="The VPC whose subnets it is for.",
        ),
        Attribute(
            "is_default",
            Boolean(),
            default=False,
            column=True,
            text="Whether it counts for the VPC's subnets that have no ACL of their own; one per VPC.",
        ),
        Attribute(
            "associated_subnets",
            ListOf(Uuid()),
            default=(),
            sorts=False,
            text="The subnets it counts for; a subnet has one at most.",
        ),
        Attribute(
            "network_acl_rules",
            ListOf(RuleSaid(), unique=False),
            default=(),
            update=Who.NOBODY,
            stored=False,
            filters=False,
            sorts=False,
            text="Its rules, in their order; changed at /network-acl-rules.",
        ),
        Attribute(
            "default_rules",
            ListOf(FreeForm()),
            create=Who.NOBODY,
            update=Who.NOBODY,
            stored=False,
            derive=_default_rules,
            filters=False,
            sorts=False,
            text="What stands behind them: whatever no rule matches is denied.",
        ),
        *COUNTED,
    ),
)

NETWORK_ACL_RULE = Resource(
    name="network_acl_rule",
    collection="network-acl-rules",
    entity=NetworkAclRule,
    prefix="",
    text="A rule of a network ACL.",
    columns_shown=("id", "network_acl_id", "direction", "number", "action", "protocol", "ip_prefix"),
    bulk_path=True,
    attributes=(
        *STANDARD,
        Attribute(
            "network_acl_id",
            Uuid(),
            default=REQUIRED,
            update=Who.NOBODY,
            column=True,
            refers="network_acl",
            text="The ACL it is a rule of.",
        ),
        *_SAID,
        *COUNTED,
    ),
)
