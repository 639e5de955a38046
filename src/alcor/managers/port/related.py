"""What a port shows of its network, its QoS policy and its trunk: read in batches, only where there is something."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Joint
from alcor.managers.port.request import load_resource_requests, policy_of
from alcor.model.network import Network
from alcor.model.port import DNS_DOMAIN_DEFAULT, Port, extra_of
from alcor.store.interface import Store


async def load_of_networks(
    store: Store, _caller: Caller, rows: Sequence[Port], names: Sequence[str]
) -> dict[str, dict[str, Any]]:
    """What ports show of their networks: the QoS policy, the addresses' names, what placement must find.

    Cost: one read of networks, none if only names are asked for and no port needs its network's domain; rules are
          read only if there is a policy.
    """
    others = [name for name in names if name != "dns_assignment"]
    asking = rows if others else [row for row in rows if _is_in_domain_of_network(row)]
    ids = sorted({row.network_id for row in asking})
    networks = await store.reader.find_many(Network, ids) if ids else {}
    found: dict[str, dict[str, Any]] = {}
    if "dns_assignment" in names:
        found["dns_assignment"] = {row.id: dns_assignment(row, networks.get(row.network_id)) for row in rows}
    if "qos_network_policy_id" in names:
        found["qos_network_policy_id"] = {row.id: policy_of(networks.get(row.network_id)) for row in rows}
    if "resource_request" in names:
        found["resource_request"] = await load_resource_requests(store.reader, rows, networks)
    return found


OF_NETWORKS = Joint(("dns_assignment", "qos_network_policy_id", "resource_request"), load_of_networks)


def _is_in_domain_of_network(row: Port) -> bool:
    extra = extra_of(row)
    return bool(extra.dns_name) and not extra.dns_domain


def dns_assignment(row: Port, network: Network | None) -> list[dict[str, str]]:
    """For each address its name: the port's, or one made from the address.

    The domain is the port's, else its network's, else the region's (`openstacklocal.`); a name made from an address
    is the region's.
    """
    extra = extra_of(row)
    domain = extra.dns_domain or (network.dns_domain if network is not None else "") or DNS_DOMAIN_DEFAULT
    assignment = []
    for fixed in row.fixed_ips:
        if extra.dns_name:
            hostname, full = extra.dns_name, _joined(extra.dns_name, domain)
        else:
            hostname = f"host-{fixed.ip_address.replace('.', '-').replace(':', '-')}"
            full = _joined(hostname, DNS_DOMAIN_DEFAULT)
        assignment.append({"ip_address": fixed.ip_address, "hostname": hostname, "fqdn": full})
    return assignment


def _joined(name: str, domain: str) -> str:
    return name if name.endswith(".") else f"{name}.{domain}"


def shown_of_new(row: Port, network: Network) -> dict[str, Any]:
    """What the answer to a create need not read: nobody has seen a new port yet, and its network is at hand."""
    policy = policy_of(network)
    shown: dict[str, Any] = {
        "status": "DOWN",
        "dns_assignment": dns_assignment(row, network),
        "qos_network_policy_id": policy,
        "trunk_details": None,
    }
    if policy is None and row.qos_policy_id is None:
        shown["resource_request"] = None
    return shown
