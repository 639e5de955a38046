"""What placement must find for a port: the guarantees of its QoS policy, as resources and traits.

Source: Networking API v2.0, extensions port-resource-request and port-resource-request-groups; Nova asks placement for
these groups. The names are placement's (os-resource-classes, os-traits).
"""

import re
import uuid
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar

from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.qos_rule import MinimumBandwidthRule, MinimumPacketRateRule
from alcor.store.interface import Condition, Query, Reader

R = TypeVar("R", MinimumBandwidthRule, MinimumPacketRateRule)

_OVERLAY = "CUSTOM_NETWORK_TUNNEL_PROVIDER"
_BANDWIDTH = {"ingress": "NET_BW_IGR_KILOBIT_PER_SEC", "egress": "NET_BW_EGR_KILOBIT_PER_SEC"}
_PACKETS = {
    "ingress": "NET_PACKET_RATE_IGR_KILOPACKET_PER_SEC",
    "egress": "NET_PACKET_RATE_EGR_KILOPACKET_PER_SEC",
    "any": "NET_PACKET_RATE_KILOPACKET_PER_SEC",
}


async def load_resource_requests(
    reader: Reader, rows: Sequence[Port], networks: Mapping[str, Network]
) -> dict[str, dict[str, Any] | None]:
    """The request of each port, None without guarantees. `networks`: those of the ports that there are, by id.

    Cost: two reads of rules if any port or network has a policy, else none.
    """
    policies = {row.id: row.qos_policy_id or policy_of(networks.get(row.network_id)) for row in rows}
    wanted = tuple(sorted({id for id in policies.values() if id is not None}))
    requests: dict[str, dict[str, Any] | None] = dict.fromkeys(policies)
    if not wanted:
        return requests
    bandwidths = await _rules(reader, MinimumBandwidthRule, wanted)
    packets = await _rules(reader, MinimumPacketRateRule, wanted)
    for row in rows:
        # A network that went while the ports were read took them with it.
        network, policy = networks.get(row.network_id), policies[row.id]
        if network is not None and policy is not None:
            requests[row.id] = resource_request(
                row, network, bandwidths.get(policy, ()), packets.get(policy, ())
            )
    return requests


def policy_of(network: Network | None) -> str | None:
    """The QoS policy of a network."""
    return None if network is None else network.qos_policy_id


async def _rules(reader: Reader, entity: type[R], policies: tuple[str, ...]) -> dict[str, list[R]]:
    """Rules by policy, in the order of their ids."""
    found: dict[str, list[R]] = {}
    for rule in await reader.list(entity, Query((Condition("qos_policy_id", policies),))):
        found.setdefault(rule.qos_policy_id, []).append(rule)
    return found


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
