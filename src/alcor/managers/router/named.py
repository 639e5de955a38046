"""Ports and subnets that a caller names in a request about routers and floating IPs.

They are seen by who owns them, and by who owns the network they are on; subnets also by who may use the network.
"""

from alcor.managers.interface import Caller
from alcor.managers.sharing import may_use
from alcor.model.errors import NotFound
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction


async def get_port(tx: Transaction, caller: Caller, id: str) -> Port:
    """Raises: NotFound if there is none, or the caller does not see it."""
    port = await tx.find(Port, id)
    if port is not None and (
        caller.sees_every("port") or caller.owns(port) or caller.owns(await tx.get(Network, port.network_id))
    ):
        return port
    raise NotFound("port", id)


async def get_subnet(tx: Transaction, caller: Caller, id: str) -> Subnet:
    """Raises: NotFound if there is none, or the caller does not see it."""
    subnet = await tx.find(Subnet, id)
    if subnet is not None and (
        caller.sees_every("subnet")
        or caller.owns(subnet)
        or await may_use(tx, caller, await tx.get(Network, subnet.network_id))
    ):
        return subnet
    raise NotFound("subnet", id)
