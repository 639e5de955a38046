"""`/vpcs`: networks as the original's VPC Manager shows them, with their address blocks."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from alcor.managers.interface import Action, Ask, Caller, Child, Manager, Route, Service, Values
from alcor.managers.sharing import ids_shared_with
from alcor.managers.vpc.block import Guard, check_change
from alcor.model.network import NETWORK, Network
from alcor.model.vpc import VPC
from alcor.store.interface import Condition, Query, Store, Transaction

_COUNT = {
    "type": "object",
    "properties": {"count": {"type": "integer", "minimum": 0}},
    "required": ["count"],
    "additionalProperties": False,
}


def manager(
    networks: Manager, guard: Guard, children: Mapping[str, Child], actions: Mapping[str, Action]
) -> Manager:
    """`/vpcs`. `networks`: whose rows they are; `guard`: who relies on blocks; `children`, `actions`: of managers
    above this one."""
    change = networks.update
    assert change is not None

    async def update(tx: Transaction, caller: Caller, row: Network, values: Values) -> Any:
        await check_change(tx, row, values, guard)
        return await change(tx, caller, row, values)

    return replace(
        networks,
        resource=VPC,
        update=update,
        children={**networks.children, **children},
        actions={**networks.actions, **actions},
        extensions=(),
    )


def service() -> Service:
    """`/vpcs/count`."""
    return Service(
        "vpc",
        (
            Route(
                "GET",
                "/vpcs/count",
                count,
                "get_network_count",
                "role:reader or rule:admin_only",
                "How many VPCs the caller sees",
                schema=_COUNT,
            ),
        ),
    )


async def count(store: Store, ask: Ask) -> dict[str, int]:
    """All of the region for who sees all of it; else those of the project and those opened to it."""
    if ask.caller.sees_every(NETWORK.name):
        return {"count": await store.reader.count(Network)}
    own = await store.reader.count(Network, Query((Condition("project_id", (ask.caller.project_id,)),)))
    ids = await ids_shared_with(store.reader, NETWORK.name, NETWORK.shared_as, ask.caller.project_id)
    if not ids:
        return {"count": own}
    opened = await store.reader.find_many(Network, ids)
    return {"count": own + sum(row.project_id != ask.caller.project_id for row in opened.values())}
