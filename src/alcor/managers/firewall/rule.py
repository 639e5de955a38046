"""Firewall rules: `/v2.0/fwaas/firewall_rules`."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Values
from alcor.managers.row import replace_row
from alcor.model.address import Cidr, Ip, ip_version
from alcor.model.errors import InvalidInput, NotFound, Problem
from alcor.model.firewall import FirewallPolicy, FirewallRule
from alcor.model.resource import UNSET
from alcor.store.interface import Condition, Query, Store, Transaction

_WITH_PORTS = ("tcp", "udp")


async def check_rule(tx: Transaction, _caller: Caller, row: FirewallRule | None, values: Values) -> Values:
    """Raises: InvalidInput for ports without a protocol that has them, a range from high to low, or addresses of
    another version than the rule's."""
    said = {name: value for name, value in values.items() if value is not UNSET}
    present = {} if row is None else {name: getattr(row, name) for name in row.__struct_fields__}
    _check(present | said)
    if row is not None:
        for policy in await _policies_with(tx, (row.id,)):
            await replace_row(tx, policy, {"audited": False})
    return values


def _check(rule: Values) -> None:
    ports = [port for end in ("source", "destination") if (port := rule.get(f"{end}_port")) is not None]
    protocol = rule.get("protocol")
    if ports and protocol is None:
        raise InvalidInput(
            "Source/destination port requires a protocol: say tcp or udp.",
            problem=Problem.FW_PORT_WITHOUT_PROTOCOL,
        )
    if ports and protocol not in _WITH_PORTS:
        raise InvalidInput(
            f"Source, destination port are not allowed when protocol is set to {protocol}: only tcp and udp "
            "rules have ports.",
            problem=Problem.FW_PORT_PROTOCOL,
        )
    for port in ports:
        lowest, _, highest = port.partition(":")
        if highest and int(lowest) > int(highest):
            raise InvalidInput(
                f"Invalid value for port {port}: a range is from its lowest to its highest.",
                problem=Problem.FW_PORT,
            )
    for end in ("source", "destination"):
        address = rule.get(f"{end}_ip_address")
        if address is not None and _version_of(address) != rule["ip_version"]:
            raise InvalidInput(
                f"Invalid input - IP addresses do not agree with IP Version: {end}_ip_address {address} is not of "
                f"version {rule['ip_version']}.",
                problem=Problem.FW_ADDRESS,
            )


def _version_of(address: str) -> int:
    return ip_version(Cidr(address)) if "/" in address else ip_version(Ip(address))


async def load_policies(store: Store, _caller: Caller, rows: Sequence[Any]) -> dict[str, list[str] | None]:
    """The policies each rule is in. Cost: one read."""
    found: dict[str, list[str]] = {row.id: [] for row in rows}
    named = Condition("firewall_rules.rule_id", tuple(found))
    for policy in await store.reader.list(FirewallPolicy, Query((named,))):
        for rule_id in policy.firewall_rules:
            if rule_id in found:
                found[rule_id].append(policy.id)
    return {id: policies or None for id, policies in found.items()}


async def usable_rules(tx: Transaction, caller: Caller, ids: Sequence[str]) -> list[FirewallRule]:
    """The rules a caller names. Raises: NotFound for one the caller does not see."""
    rules = []
    for id in ids:
        rule = await tx.find(FirewallRule, id)
        if rule is None or not (caller.is_admin or rule.shared or rule.project_id == caller.project_id):
            raise NotFound("firewall_rule", id)
        rules.append(rule)
    return rules


async def _policies_with(tx: Transaction, rule_ids: tuple[str, ...]) -> list[FirewallPolicy]:
    return await tx.list(FirewallPolicy, Query((Condition("firewall_rules.rule_id", rule_ids),)))
