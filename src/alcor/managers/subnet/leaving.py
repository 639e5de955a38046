"""What managers above the Subnet Manager keep of a subnet goes with it."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace

from alcor.managers.interface import Caller, Manager
from alcor.managers.private_ip.named import subnets_of
from alcor.managers.subnet.manager import empty_network
from alcor.model.network import Network
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction

Leave = Callable[[Transaction, Subnet], Awaitable[None]]
"""Forgets a subnet that goes in the same transaction."""


def with_leaving(subnets: Manager, leaving: Sequence[Leave]) -> Manager:
    """The Subnet Manager, whose deleted subnets are forgotten first."""
    remove = subnets.delete
    assert remove is not None

    async def delete(tx: Transaction, caller: Caller, row: Subnet) -> None:
        for leave in leaving:
            await leave(tx, row)
        await remove(tx, caller, row)

    return replace(subnets, delete=delete)


def emptying(leaving: Sequence[Leave]) -> Callable[[Transaction, Network], Awaitable[None]]:
    """What deletes the subnets of a network that goes."""

    async def empty(tx: Transaction, network: Network) -> None:
        for subnet in await subnets_of(tx, network.id):
            for leave in leaving:
                await leave(tx, subnet)
        await empty_network(tx, network)

    return empty
