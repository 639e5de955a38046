"""Subnets that callers name: those of a network they may use."""

from alcor.managers.interface import Caller, Rows
from alcor.managers.sharing import may_use
from alcor.model.errors import NotFound
from alcor.model.network import Network
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query


async def get_subnet(rows: Rows, caller: Caller, id: str) -> Subnet:
    """A subnet of the caller's, or of a network that is opened to it. Raises: NotFound."""
    subnet = await rows.find(Subnet, id)
    if subnet is not None:
        if await may_use(rows, caller, subnet):
            return subnet
        network = await rows.find(Network, subnet.network_id)
        if network is not None and await may_use(rows, caller, network):
            return subnet
    raise NotFound("subnet", id)


async def subnets_of(rows: Rows, network_id: str) -> list[Subnet]:
    """A network's subnets, oldest first."""
    found = await rows.list(Subnet, Query((Condition("network_id", (network_id,)),)))
    return sorted(found, key=lambda subnet: (subnet.created_at, subnet.id))
