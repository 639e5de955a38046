"""What placement must find for a port: the guarantees of its QoS policy, as resources and traits.

Source: Networking API v2.0, extensions port-resource-request and port-resource-request-groups; Nova asks placement for
these groups. The names are placement's (os-resource-classes, os-traits).
"""

import re
import uuid
from collections.abc import Iterable, Sequence
from typing import Any, TypeVar

from alcor.managers.interface import Caller
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.qos_rule import MinimumBandwidthRule, MinimumPacketRateRule
from alcor.store.interface import Condition, Query, Reader, Store

R = TypeVar("R", MinimumBandwidthRule, MinimumPacketRateRule)

_OVERLAY = "CUSTOM_NETWORK_TUNNEL_PROVIDER"
_BANDWIDTH = {"ingress": "NET_BW_IGR_KILOBIT_PER_SEC", "egress": "NET_BW_EGR_KILOBIT_PER_SEC"}
_PACKETS = {
    "ingress": "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
    "egress": "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    "any": "NET_PACKET_RATE_KILOPACKET_PER_SEC",
}


async def load_resource_request(
    store: Store, _caller: Caller, rows: Sequence[Port]
) -> dict[str, dict[str, Any] | None]:
    """The request of each port, None without guarantees.

    Cost: a read of networks; two of rules if any port or network has a policy.
    """
    networks = await store.reader.find_many(Network, sorted({row.network_id for row in rows}))
    policies = {row.id: row.qos_policy_id or _policy_of(networks.get(row.network_id)) for row in rows}
    wanted = tuple(sorted({id for id in policies.values() if id is not None}))
    if not wanted:
        return dict.fromkeys(policies)
    bandwidths = await _rules(store.reader, MinimumBandwidthRule, wanted)
    packets = await _rules(store.reader, MinimumPacketRateRule, wanted)
    return {
        row.id: resource_request(
            row,
            networks[row.network_id],
            [rule for rule in bandwidths if rule.qos_policy_id == policies[row.id]],
            [rule for rule in packets if rule.qos_policy_id == policies[row.id]],
        )
        for row in rows
        if row.network_id in networks
    }


def _policy_of(network: Network | None) -> str | None:
    return None if network is None else network.qos_policy_id


async def _rules(reader: Reader, entity: type[R], policies: tuple[str, ...]) -> list[R]:
    found = await reader.list(entity, Query((Condition("qos_policy_id", policies),)))
    return sorted(found, key=lambda rule: rule.id)


def resource_request(
    row: Port,
    network: Network,
    bandwidths: Sequence[MinimumBandwidthRule],
    packets: Sequence[MinimumPacketRateRule],
) -> dict[str, Any] | None:
    """The groups of one port: bandwidth on its physical network, packets on its switch; both on one host."""
    type_trait = _trait(f"VNIC_TYPE_{row.binding_vnic_type}")
    physical = network.provider_physical_network
    groups = []
    if bandwidths:
        resources = {_BANDWIDTH[rule.direction]: rule.min_kbps for rule in bandwidths}
        traits = [_OVERLAY if physical is None else _trait(f"PHYSNET_{physical}"), type_trait]
        groups.append(_group(row, bandwidths, resources, traits))
    if packets:
        resources = {_PACKETS[rule.direction]: rule.min_kpps for rule in packets}
        groups.append(_group(row, packets, resources, [type_trait]))
    if not groups:
        return None
    return {"request_groups": groups, "same_subtree": [group["id"] for group in groups]}


def _group(
    row: Port,
    rules: Iterable[MinimumBandwidthRule | MinimumPacketRateRule],
    resources: dict[str, int],
    traits: list[str],
) -> dict[str, Any]:
    """The id follows from the port and the rules, so that Nova finds an allocation again."""
    name = ":".join(rule.id for rule in rules)
    return {"id": str(uuid.uuid5(uuid.UUID(row.id), name)), "required": traits, "resources": resources}


def _trait(text: str) -> str:
    return "CUSTOM_" + re.sub(r"[^A-Z0-9_]", "_", text.upper())
