"""`/subnets`: subnets as the original's Subnet Manager shows them, with how much of each is in use."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alcor.managers.interface import Action, Caller, Child, Manager
from alcor.managers.private_ip.usage import usage_of
from alcor.model.port import Port
from alcor.model.subnet import SUBNET, Subnet
from alcor.model.view import view_of
from alcor.store.interface import Condition, Op, Query, Store

SERVICE_SUBNET = view_of(SUBNET, "service_subnet")
_ROUTER_OWNERS = ("network:router_interface", "network:router_interface_distributed")


def manager(subnets: Manager, children: Mapping[str, Child], actions: Mapping[str, Action]) -> Manager:
    """`/subnets`, with `GET /subnets/<id>/usage` and `…/port_count`. `children`, `actions`: of managers above."""
    return replace(
        subnets,
        resource=SERVICE_SUBNET,
        children={**subnets.children, "usage": usage, "port_count": port_count, **children},
        actions={**subnets.actions, **actions},
        extensions=(),
    )


async def usage(store: Store, _caller: Caller, row: Subnet) -> dict[str, Any]:
    """How many addresses ports can be given, and how many are taken. Cost: one pass over the subnet's claims."""
    return {"usage": await usage_of(store, row)}


async def port_count(store: Store, _caller: Caller, row: Subnet) -> dict[str, Any]:
    """How many ports have an address of the subnet, interfaces of routers aside."""
    where = (
        Condition("fixed_ips.subnet_id", (row.id,)),
        Condition("device_owner", _ROUTER_OWNERS, Op.NONE),
    )
    return {"port_count": await store.reader.count(Port, Query(where))}
