"""Goal-state items of what packets are allowed: security groups, network ACLs, firewalls."""

from enum import StrEnum

import msgspec


class GroupRule(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One rule of a security group. At most one of `prefix`, `group`, `addresses`; none: anybody.

    `protocol`: IP protocol number, None is any. `first`, `last`: ports, or ICMP type and code; None is any.
    """

    id: str
    is_ingress: bool
    ip_version: int
    protocol: int | None = None
    first: int | None = None
    last: int | None = None
    prefix: str | None = None
    group: str | None = None
    addresses: str | None = None


class RulesItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A security group's rules, sorted by id, as one item. Scope: rules. id: the group's."""

    id: str
    stateful: bool
    rules: tuple[GroupRule, ...]


class Member(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A port of a security group, bound or not. Scope: members. id: the port's. `cidrs`: its addresses and pairs."""

    id: str
    cidrs: tuple[str, ...]


class Prefix(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One entry of an address group. Scope: addresses. id: the prefix in canonical text."""

    id: str


class AclRule(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One rule of a network ACL. The lowest `number` that matches decides. ICMP: `first`, `last` are type and code."""

    id: str
    number: int
    is_ingress: bool
    is_allow: bool
    ip_version: int
    prefix: str
    protocol: int | None = None
    first: int | None = None
    last: int | None = None


class NetworkAclItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A network ACL, whole, with the CIDRs of the subnets it guards. Scope: network. No rule matches: drop."""

    id: str
    cidrs: tuple[str, ...]
    rules: tuple[AclRule, ...]


class FirewallAction(StrEnum):
    """What a firewall rule does."""

    ALLOW = "allow"
    DENY = "deny"
    REJECT = "reject"


class FirewallRuleItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """One enabled rule of a firewall policy. Port ranges inclusive; None is any."""

    id: str
    action: FirewallAction
    ip_version: int
    protocol: int | None = None
    source: str | None = None
    destination: str | None = None
    source_ports: tuple[int, int] | None = None
    destination_ports: tuple[int, int] | None = None


class FirewallItem(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A firewall group that is up, whole. Rules in order: the first that matches decides; none matches: drop.

    Scope: router, with the router's interfaces in `ports`; or host, with the local ports in `ports`. `ingress`: towards
    the port's network (as the reference has it); None is no policy, hence drop.
    """

    id: str
    ports: tuple[str, ...]
    ingress: tuple[FirewallRuleItem, ...] | None
    egress: tuple[FirewallRuleItem, ...] | None
