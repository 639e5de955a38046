"""The flavor of a router: one of routers, and not put out of use."""

from alcor.model.errors import Conflict, InvalidInput, NotFound
from alcor.model.flavor import Flavor
from alcor.store.interface import Transaction

_ROUTERS = "L3_ROUTER_NAT"


async def check_flavor(tx: Transaction, id: str | None) -> None:
    """Raises: NotFound; InvalidInput if it is a flavor of another service; Conflict if it is disabled."""
    if id is None:
        return
    flavor = await tx.find(Flavor, id)
    if flavor is None:
        raise NotFound("flavor", id)
    if flavor.service_type != _ROUTERS:
        raise InvalidInput(
            f"Flavor {id} is of service type {flavor.service_type}; a router needs one of {_ROUTERS}.",
            attribute="flavor_id",
        )
    if not flavor.enabled:
        raise Conflict(f"Flavor {id} is not enabled; choose another.", kind="flavor", id=id)
