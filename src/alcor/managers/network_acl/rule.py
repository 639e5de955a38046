"""`/network-acl-rules`: what a rule may say, and its number among the others."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.row import get_visible, new_row, replace_row
from alcor.model.address import Cidr, ip_version
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.network_acl import (
    ANY_PREFIX,
    ICMP,
    ICMPV6,
    IPV4,
    IPV6,
    NETWORK_ACL_RULE,
    TCP,
    UDP,
    NetworkAcl,
    NetworkAclRule,
)
from alcor.store.interface import Condition, Query, Transaction

_CHECKED = (
    "ether_type",
    "ip_prefix",
    "protocol",
    "port_range_min",
    "port_range_max",
    "icmp_type",
    "icmp_code",
)


def rule_manager() -> Manager:
    """`/network-acl-rules`."""
    return Manager(NETWORK_ACL_RULE, "network-acl", create=create, update=update, delete=delete)


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Add rules. Raises: NotFound (ACL); as `add`."""
    made = []
    for values in many:
        acl = await get_visible(tx, caller, NetworkAcl, values["network_acl_id"], kind="network_acl")
        row = await add(tx, caller, acl, values)
        tx.touch(await tx.get(NetworkAcl, acl.id))
        made.append(Made(await tx.get(NetworkAclRule, row.id)))
    return made


async def add(tx: Transaction, caller: Caller, acl: NetworkAcl, values: Values) -> NetworkAclRule:
    """Add a rule to an ACL. Raises: InvalidInput if it contradicts itself; Conflict if its number is taken."""
    said = checked(values)
    row = new_row(tx, caller, NetworkAclRule, said, project_id=acl.project_id, network_acl_id=acl.id)
    await _take(tx, row)
    return row


def checked(values: Values) -> Values:
    """What a rule says, its prefix filled in. Raises: InvalidInput, naming the attribute that does not fit."""
    version, protocol, prefix = values["ether_type"], values["protocol"], values["ip_prefix"]
    if prefix is not None and ip_version(Cidr(prefix)) != {IPV4: 4, IPV6: 6}[version]:
        raise InvalidInput(f"{prefix} is not an {version} prefix.", attribute="ip_prefix")
    if (protocol, version) in ((ICMP, IPV6), (ICMPV6, IPV4)):
        raise InvalidInput(f"{protocol} is not a protocol of {version}.", attribute="protocol")
    low, high = values["port_range_min"], values["port_range_max"]
    if (low is None) != (high is None):
        raise InvalidInput("port_range_min and port_range_max go together.", attribute="port_range_min")
    if low is not None and protocol not in (TCP, UDP):
        raise InvalidInput(f"{protocol} has no ports; only tcp and udp have.", attribute="port_range_min")
    if low is not None and low > high:
        raise InvalidInput(f"the ports end ({high}) before they begin ({low}).", attribute="port_range_max")
    if values["icmp_type"] is not None and protocol not in (ICMP, ICMPV6):
        raise InvalidInput(f"{protocol} has no ICMP types; only icmp and icmpv6 have.", attribute="icmp_type")
    if values["icmp_code"] is not None and values["icmp_type"] is None:
        raise InvalidInput("a code needs its icmp_type.", attribute="icmp_code")
    return values | {"ip_prefix": ANY_PREFIX[version] if prefix is None else prefix}


def _space(row: Any) -> str:
    return f"network_acl:{row.network_acl_id}:{row.direction}"


async def _take(tx: Transaction, row: NetworkAclRule) -> None:
    if not await tx.claim(_space(row), str(row.number), row.id):
        raise Conflict(
            f"Network ACL {row.network_acl_id} has an {row.direction} rule {row.number} already; choose another "
            "number.",
            kind="network_acl_rule",
            id=row.id,
            problem=Problem.ACL_NUMBER_TAKEN,
        )


async def update(tx: Transaction, _caller: Caller, row: NetworkAclRule, values: Values) -> NetworkAclRule:
    """Change a rule. Another version without a prefix means any prefix of it. Raises: as `add`."""
    whole = {name: getattr(row, name) for name in _CHECKED}
    if values.get("ether_type", row.ether_type) != row.ether_type:
        whole["ip_prefix"] = None
    after = await replace_row(tx, row, values | checked(whole | values))
    if (after.direction, after.number) != (row.direction, row.number):
        tx.release(_space(row), str(row.number))
        await _take(tx, after)
    tx.touch(await tx.get(NetworkAcl, row.network_acl_id))
    return after


async def delete(tx: Transaction, _caller: Caller, row: NetworkAclRule) -> None:
    """Remove a rule; its number is free."""
    forget(tx, row)
    tx.touch(await tx.get(NetworkAcl, row.network_acl_id))


def forget(tx: Transaction, row: NetworkAclRule) -> None:
    """Remove a rule whose ACL goes too, or is told by somebody else."""
    tx.release(_space(row), str(row.number))
    tx.delete(row)


def rules_of(acl_ids: Sequence[str]) -> Query:
    """The rules of ACLs."""
    return Query((Condition("network_acl_id", tuple(acl_ids)),))
