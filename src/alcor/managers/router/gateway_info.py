"""`GET /gatewayinfo/<vpc>`: the gateways by which packets leave a VPC. It follows from routers; nobody writes it."""

from typing import Any

from alcor.managers.interface import Ask, Route, Service
from alcor.managers.row import get_visible
from alcor.managers.sharing import may_use
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.router import ROUTER_INTERFACE, Router
from alcor.store.interface import Condition, Query, Store

_TEXT = {"type": "string"}
_ADDRESSES = {"type": "array", "items": _TEXT}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_GATEWAY = _object(
    {
        "router_id": _TEXT,
        "network_id": _TEXT,
        "mac_address": _TEXT,
        "ip_addresses": _ADDRESSES,
        "enable_snat": {"type": "boolean"},
    }
)
_INFO = _object(
    {
        "network_id": _TEXT,
        "segmentation_id": {"anyOf": [{"type": "integer"}, {"type": "null"}]},
        "gateways": {"type": "array", "items": _GATEWAY},
    }
)


def service() -> Service:
    """`GET /gatewayinfo/<vpc>`."""
    return Service(
        "router",
        (
            Route(
                "GET",
                "/gatewayinfo/{network_id}",
                show,
                "get_gateway_info",
                "role:reader or rule:admin_only",
                "The gateways by which packets leave a VPC",
                schema=_object({"gatewayinfo": _INFO}),
            ),
        ),
    )


async def show(store: Store, ask: Ask) -> dict[str, Any]:
    """Gateways of the routers the caller sees; the network's number only for who sees it of the network.

    Cost: four reads, and one per router. Raises: NotFound.
    """
    reader, caller = store.reader, ask.caller
    network = await get_visible(reader, caller, Network, ask.names["network_id"], kind="network")
    here = (Condition("network_id", (network.id,)), Condition("device_owner", (ROUTER_INTERFACE,)))
    ids = sorted({port.device_id for port in await reader.list(Port, Query(here))})
    routers = [
        row for row in (await reader.find_many(Router, ids)).values() if await may_use(reader, caller, row)
    ]
    ports = await reader.find_many(Port, [id for router in routers for id in router.gateway_ports])
    gateways = [
        {
            "router_id": router.id,
            "network_id": port.network_id,
            "mac_address": port.mac_address,
            "ip_addresses": [fixed.ip_address for fixed in port.fixed_ips],
            "enable_snat": router.enable_snat,
        }
        for router in sorted(routers, key=lambda router: router.id)
        for port in (ports[id] for id in router.gateway_ports if id in ports)
    ]
    hidden = await ask.hidden(reader, network)
    seen = hidden is not None and "provider:segmentation_id" not in hidden
    number = network.provider_segmentation_id if seen else None
    return {"gatewayinfo": {"network_id": network.id, "segmentation_id": number, "gateways": gateways}}
