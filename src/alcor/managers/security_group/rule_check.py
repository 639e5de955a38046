"""What makes a rule of a security group right, and when two say the same. Pure.

Source: Networking API v2.0, "Security group rules"; the refusals' names are the reference server's.
"""

import ipaddress
from collections.abc import Mapping
from typing import Any

from alcor.managers.interface import Values
from alcor.model.errors import InvalidInput, Problem
from alcor.model.ip_protocol import ICMP, ICMPV6, ONLY_IPV6, WITH_PORTS, protocol_number
from alcor.model.security_group_rule import PORT_MAX

_REMOTES = ("remote_ip_prefix", "remote_group_id", "remote_address_group_id")
_ANY_ADDRESS = frozenset({"0.0.0.0/0", "::/0", None})
_ICMP_VALUE_MAX = 255


def checked_rule(values: Values) -> Values:
    """The rule as it is stored: spellings that mean the same made one.

    ICMP of an IPv6 rule is IPv6's; all ports are no ports.
    Raises: InvalidInput.
    """
    rule = dict(values)
    if rule["ethertype"] == "IPv6":
        rule["protocol"] = {"icmp": "ipv6-icmp", "icmpv6": "ipv6-icmp", "1": "58"}.get(
            rule["protocol"], rule["protocol"]
        )
    if (rule["port_range_min"], rule["port_range_max"]) == (1, PORT_MAX):
        rule["port_range_min"] = rule["port_range_max"] = None
    _check_ports(rule["protocol"], rule["port_range_min"], rule["port_range_max"])
    _check_prefix(rule["ethertype"], rule["remote_ip_prefix"])
    _check_protocol(rule["ethertype"], rule["protocol"])
    if sum(rule[name] is not None for name in _REMOTES) > 1:
        raise InvalidInput(
            f"Only one of {', '.join(_REMOTES)} may be given: a rule has one other end.",
            problem=Problem.SG_REMOTES,
        )
    return rule


def _check_ports(protocol: str | None, low: int | None, high: int | None) -> None:
    if low is None and high is None:
        return
    if protocol is None:
        raise InvalidInput(
            "A port range needs a protocol; name one that has ports.", problem=Problem.SG_PROTOCOL_NEEDED
        )
    number = protocol_number(protocol)
    if number in WITH_PORTS:
        if 0 in (low, high):
            raise InvalidInput("Invalid value for port 0; ports begin at 1.", problem=Problem.SG_PORT)
        if low is None or high is None or low > high:
            raise InvalidInput(
                f"Of protocol {protocol} both ends of the range are needed, and port_range_min must be <= "
                "port_range_max.",
                problem=Problem.SG_PORT_RANGE,
            )
    elif number in (ICMP, ICMPV6):
        _check_icmp(low, high)
    else:
        raise InvalidInput(
            f"Ports cannot be given for protocol {protocol}: only TCP, UDP, UDP-Lite, SCTP and DCCP have them.",
            problem=Problem.SG_PORT_PROTOCOL,
        )


def _check_icmp(type_: int | None, code: int | None) -> None:
    for word, attribute, value in (("type", "port_range_min", type_), ("code", "port_range_max", code)):
        if value is not None and value > _ICMP_VALUE_MAX:
            raise InvalidInput(
                f"Invalid value for ICMP {word} ({attribute}) {value}; it is 0 to {_ICMP_VALUE_MAX}.",
                problem=Problem.SG_ICMP_VALUE,
            )
    if type_ is None:
        raise InvalidInput(
            f"ICMP code (port-range-max) {code} is given but ICMP type (port-range-min) is missing.",
            problem=Problem.SG_ICMP_TYPE_NEEDED,
        )


def _check_prefix(ethertype: str, prefix: str | None) -> None:
    if prefix is not None and ethertype != f"IPv{ipaddress.ip_interface(prefix).version}":
        raise InvalidInput(
            f"Conflicting value ethertype {ethertype} for CIDR {prefix}: they are of different IP versions.",
            problem=Problem.SG_PREFIX_ETHERTYPE,
        )


def _check_protocol(ethertype: str, protocol: str | None) -> None:
    if ethertype == "IPv4" and protocol is not None and protocol_number(protocol) in ONLY_IPV6:
        raise InvalidInput(
            f"Invalid ethertype {ethertype} for protocol {protocol}, which only IPv6 has.",
            problem=Problem.SG_PROTOCOL_ETHERTYPE,
        )


def rule_key(rule: Mapping[str, Any]) -> str:
    """Equal for two rules that let the same packets through. Shape: a few words, at most some 200 characters."""
    protocol, prefix = rule["protocol"], rule["remote_ip_prefix"]
    parts = (
        rule["direction"],
        rule["ethertype"],
        None if protocol is None else protocol_number(protocol),
        rule["port_range_min"],
        rule["port_range_max"],
        None if prefix in _ANY_ADDRESS else prefix,
        rule["remote_group_id"],
        rule["remote_address_group_id"],
    )
    return "/".join("+" if part is None else str(part) for part in parts)
