"""What a router keeps while VPN services rely on it: its way out, and its interfaces on their subnets."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

from alcor.managers.interface import Action, Caller, Manager, Values
from alcor.managers.row import name_users
from alcor.model.errors import InUse, Problem
from alcor.model.resource import Entity
from alcor.model.router import Router
from alcor.model.vpn import Connection, EndpointGroup, VpnService
from alcor.store.interface import Condition, Query, Transaction

_GATEWAY_ACTIONS = ("remove_external_gateways", "update_external_gateways")


def with_vpns(routers: Manager) -> Manager:
    """The Router Manager, which refuses to take from a router what its VPN services need.

    Each change is made first and then looked at: a refusal keeps nothing of it.
    """
    change = routers.update
    assert change is not None

    async def update(tx: Transaction, caller: Caller, row: Any, values: Values) -> Entity:
        changed = await change(tx, caller, row, values)
        if "external_gateway_info" in values or "external_gateways" in values:
            await _keep_gateway(tx, row.id)
        return changed

    actions = {**routers.actions}
    actions["remove_router_interface"] = _then(actions["remove_router_interface"], _keep_interface)
    for name in _GATEWAY_ACTIONS:
        actions[name] = _then(actions[name], _keep_gateway_of)
    return replace(routers, update=update, actions=actions)


_After = Callable[[Transaction, Any, dict[str, Any]], Awaitable[None]]


def _then(act: Action, after: _After) -> Action:
    async def guarded(tx: Transaction, caller: Caller, row: Any, body: Values) -> Any:
        answer = await act(tx, caller, row, body)
        await after(tx, row, answer)
        return answer

    return guarded


async def _keep_gateway_of(tx: Transaction, row: Any, _answer: dict[str, Any]) -> None:
    await _keep_gateway(tx, row.id)


async def _keep_gateway(tx: Transaction, router_id: str) -> None:
    if (await tx.get(Router, router_id)).gateway_ports:
        return
    services = await _services_of(tx, router_id)
    if services:
        users = name_users("VPN service", [one.id for one in services])
        raise InUse("router", router_id, by=f"{users} needs its external gateway")


async def _keep_interface(tx: Transaction, row: Any, answer: dict[str, Any]) -> None:
    """Raises: InUse if the subnet that is no longer the router's is an end of a VPN of the router."""
    services = await _services_of(tx, row.id)
    for subnet_id in answer["subnet_ids"]:
        having = next((one for one in services if one.subnet_id == subnet_id), None)
        if having is not None:
            raise InUse(
                "subnet", subnet_id, by=f"VPN service {having.id}", problem=Problem.VPN_SUBNET_OF_SERVICE
            )
        groups = await tx.list(EndpointGroup, Query((Condition("subnets.subnet_id", (subnet_id,)),)))
        where = (
            Condition("local_ep_group_id", tuple(one.id for one in groups)),
            Condition("vpnservice_id", tuple(one.id for one in services)),
        )
        found = await tx.list(Connection, Query(where, limit=1)) if groups and services else []
        if found:
            raise InUse(
                "subnet",
                subnet_id,
                by=f"ipsec site connection {found[0].id}",
                problem=Problem.VPN_SUBNET_OF_CONNECTION,
            )


async def _services_of(tx: Transaction, router_id: str) -> list[VpnService]:
    return await tx.list(VpnService, Query((Condition("router_id", (router_id,)),)))
