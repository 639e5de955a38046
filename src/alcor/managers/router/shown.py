"""What a router shows beside what is stored in it; from committed rows, or inside a transaction."""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from typing import Any

from alcor.managers.interface import Caller, Loader, Rows
from alcor.model.conntrack_helper import ConntrackRule
from alcor.model.port import Port
from alcor.model.router import Router
from alcor.store.interface import Condition, Query, Store

Document = dict[str, Any]


async def gateways_of(rows: Rows, routers: Sequence[Router]) -> dict[str, list[Document]]:
    """Every external gateway of each router, the first one first. Cost: one read."""
    ids = tuple(id for router in routers for id in router.gateway_ports)
    found = await rows.list(Port, Query((Condition("id", ids),))) if ids else []
    ports = {port.id: port for port in found}
    return {
        router.id: [
            _gateway(router, ports[id], first=index == 0) for index, id in enumerate(_there(router, ports))
        ]
        for router in routers
    }


def _there(router: Router, ports: Mapping[str, Port]) -> Iterable[str]:
    # Outside of a transaction a port may have gone between two reads.
    return (id for id in router.gateway_ports if id in ports)


def _gateway(router: Router, port: Port, *, first: bool) -> Document:
    document: Document = {
        "network_id": port.network_id,
        "external_fixed_ips": [
            {"subnet_id": one.subnet_id, "ip_address": one.ip_address} for one in port.fixed_ips
        ],
    }
    if first:
        document["enable_snat"] = router.enable_snat
        if router.gateway_qos_policy_id is not None:
            document["qos_policy_id"] = router.gateway_qos_policy_id
    return document


async def _first_gateway(rows: Rows, routers: Sequence[Router]) -> dict[str, Document | None]:
    found = await gateways_of(rows, routers)
    return {id: gateways[0] if gateways else None for id, gateways in found.items()}


async def _helpers(rows: Rows, routers: Sequence[Router]) -> dict[str, list[Document]]:
    """The conntrack helpers of each router. Cost: one read."""
    ids = tuple(router.id for router in routers)
    found: dict[str, list[Document]] = {id: [] for id in ids}
    for row in await rows.list(ConntrackRule, Query((Condition("router_id", ids),))):
        found[row.router_id].append({"protocol": row.protocol, "port": row.port, "helper": row.helper})
    return found


_COMPUTED: Mapping[str, Callable[[Rows, Sequence[Router]], Awaitable[Mapping[str, Any]]]] = {
    "external_gateway_info": _first_gateway,
    "external_gateways": gateways_of,
    "conntrack_helpers": _helpers,
}


def zones_of(router: Router, zones: Sequence[str]) -> list[str]:
    """Every host routes its own packets, so a router is in every zone it is not kept out of."""
    return list(router.availability_zone_hints or zones)


def loaders(zones: Sequence[str]) -> dict[str, Loader]:
    """The loaders of a router's computed attributes. `zones`: the availability zones there are."""

    async def load_zones(_store: Store, _caller: Caller, rows: Sequence[Any]) -> dict[str, Any]:
        return {row.id: zones_of(row, zones) for row in rows}

    def loader(compute: Any) -> Loader:
        async def load(store: Store, _caller: Caller, rows: Sequence[Any]) -> dict[str, Any]:
            return dict(await compute(store.reader, rows))

        return load

    return {
        "availability_zones": load_zones,
        **{name: loader(compute) for name, compute in _COMPUTED.items()},
    }
