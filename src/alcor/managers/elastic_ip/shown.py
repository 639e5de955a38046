"""What a floating IP shows beside what is stored in it."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller
from alcor.managers.port.status import load_status
from alcor.model.floatingip import FloatingIp
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.port_forwarding import PORT_FORWARDING, PortForwarding
from alcor.store.interface import Condition, Query, Store

_FORWARDING = (
    "id",
    "internal_port_id",
    "internal_ip_address",
    "protocol",
    "internal_port",
    "internal_port_range",
    "external_port",
    "external_port_range",
)


async def load_port_details(
    store: Store, caller: Caller, rows: Sequence[FloatingIp]
) -> dict[str, dict[str, Any] | None]:
    """Name, network, MAC address, state and device of each one's port. Cost: one read, and those of their status."""
    ids = tuple(sorted({row.port_id for row in rows if row.port_id is not None}))
    found = await store.reader.list(Port, Query((Condition("id", ids),))) if ids else []
    status = await load_status(store, caller, found)
    ports = {port.id: _details(port, status[port.id]) for port in found}
    return {row.id: ports.get(row.port_id or "") for row in rows}


def _details(port: Port, status: str) -> dict[str, Any]:
    return {
        "name": port.name,
        "network_id": port.network_id,
        "mac_address": port.mac_address,
        "admin_state_up": port.admin_state_up,
        "status": status,
        "device_id": port.device_id,
        "device_owner": port.device_owner,
    }


async def load_network_policies(
    store: Store, _caller: Caller, rows: Sequence[FloatingIp]
) -> dict[str, str | None]:
    """The QoS policy of each one's external network. Cost: one read."""
    ids = tuple(sorted({row.floating_network_id for row in rows}))
    found = await store.reader.find_many(Network, ids)
    return {row.id: _policy(found.get(row.floating_network_id)) for row in rows}


def _policy(network: Network | None) -> str | None:
    return None if network is None else network.qos_policy_id


async def load_forwardings(
    store: Store, _caller: Caller, rows: Sequence[FloatingIp]
) -> dict[str, list[dict[str, Any]]]:
    """The port forwardings of each. Cost: one read."""
    ids = tuple(row.id for row in rows)
    shown: dict[str, list[dict[str, Any]]] = {id: [] for id in ids}
    for row in await store.reader.list(PortForwarding, Query((Condition("floatingip_id", ids),))):
        shown[row.floatingip_id].append(_forwarding(row))
    return shown


def _forwarding(row: PortForwarding) -> dict[str, Any]:
    attributes = [a for a in PORT_FORWARDING.attributes if a.name in _FORWARDING]
    values = {a.name: a.derive(row) if a.derive is not None else getattr(row, a.field) for a in attributes}
    # A range of several ports has no single port to show.
    return {name: value for name, value in values.items() if value is not None}
