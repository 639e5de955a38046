"""What a port shows of its network, its QoS policy and its trunk: read in batches, only where there is something."""

from collections.abc import Iterable, Sequence
from typing import Any

from alcor.managers.interface import Caller
from alcor.model.network import Network
from alcor.model.port import DNS_DOMAIN_DEFAULT, Port, extra_of
from alcor.store.interface import Store


async def _networks(store: Store, ids: Iterable[str]) -> dict[str, Network]:
    return await store.reader.find_many(Network, sorted(set(ids)))


async def load_dns_assignment(
    store: Store, _caller: Caller, rows: Sequence[Port]
) -> dict[str, list[dict[str, str]]]:
    """The names of each port's addresses. Cost: a read of networks only for ports with a name and no domain."""
    named = [row.network_id for row in rows if (extra := extra_of(row)).dns_name and not extra.dns_domain]
    networks = await _networks(store, named) if named else {}
    return {row.id: dns_assignment(row, networks.get(row.network_id)) for row in rows}


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


async def load_network_policy(store: Store, _caller: Caller, rows: Sequence[Port]) -> dict[str, str | None]:
    """The QoS policy of each port's network. Cost: one read."""
    networks = await _networks(store, (row.network_id for row in rows))
    return {row.id: policy_of(networks.get(row.network_id)) for row in rows}


def policy_of(network: Network | None) -> str | None:
    """The QoS policy of a network."""
    return None if network is None else network.qos_policy_id


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
