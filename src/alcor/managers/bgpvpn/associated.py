"""What may be in a VPN, and that nothing is there twice: by itself, and by the router or network it hangs on."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from alcor.managers.interface import Action, Caller, Delete, Manager, Values
from alcor.model.bgpvpn import BgpVpn, NetworkAssociation, PortAssociation, RouterAssociation
from alcor.model.errors import InvalidInput, Problem
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.router import ROUTER_INTERFACE, Router
from alcor.store.interface import Condition, Query, Transaction


@dataclass(frozen=True, slots=True)
class Association:
    """A kind of associations. `field`: of the association, with the id of what is in the VPN, a `member`."""

    what: str
    entity: type[Any]
    member: type[Any]
    exists: Problem

    @property
    def field(self) -> str:
        """Its name, such as `network_id`."""
        return f"{self.what}_id"


ASSOCIATIONS = (
    Association("network", NetworkAssociation, Network, Problem.BGPVPN_NETWORK_THERE),
    Association("router", RouterAssociation, Router, Problem.BGPVPN_ROUTER_THERE),
    Association("port", PortAssociation, Port, Problem.BGPVPN_PORT_THERE),
)


async def check_network(tx: Transaction, network: Network) -> None:
    """Raises: InvalidInput if a router of the network is in a VPN."""
    on_it = (Condition("network_id", (network.id,)), Condition("device_owner", (ROUTER_INTERFACE,)))
    routers = {port.device_id for port in await tx.list(Port, Query(on_it))}
    vpns = await _vpns(tx, RouterAssociation, "router_id", sorted(routers))
    if vpns:
        raise _refused(
            f"Network {network.id} is linked to a router which is already associated to bgpvpn(s) {vpns}"
        )


async def check_router(tx: Transaction, router: Router) -> None:
    """Raises: InvalidInput if a network of the router is in a VPN."""
    of_it = (Condition("device_id", (router.id,)), Condition("device_owner", (ROUTER_INTERFACE,)))
    networks = {port.network_id for port in await tx.list(Port, Query(of_it))}
    vpns = await _vpns(tx, NetworkAssociation, "network_id", sorted(networks))
    if vpns:
        raise _refused(
            f"router {router.id} has an attached network which is already associated to bgpvpn(s) {vpns}"
        )


def guarded(routers: Manager, leave: Delete) -> Manager:
    """The Router Manager, whose routers leave VPNs when they go, and get no interface on a network of a VPN while they
    are in one themselves."""
    add, delete = routers.actions["add_router_interface"], routers.delete
    assert delete is not None
    return replace(
        routers,
        delete=_leaving(delete, leave),
        actions={**routers.actions, "add_router_interface": _adding(add)},
    )


def _leaving(delete: Delete, leave: Delete) -> Delete:
    async def delete_router(tx: Transaction, caller: Caller, row: Any) -> None:
        await leave(tx, caller, row)
        await delete(tx, caller, row)

    return delete_router


def _adding(add: Action) -> Action:
    async def add_interface(tx: Transaction, caller: Caller, row: Any, body: Values) -> Any:
        answer = await add(tx, caller, row, body)
        # After the fact, because the answer says which network it is; a refusal keeps nothing.
        networks = await _vpns(tx, NetworkAssociation, "network_id", [answer["network_id"]], type_="l3")
        if networks and await _vpns(tx, RouterAssociation, "router_id", [row.id]):
            raise _refused(
                "It is not allowed to add an interface to a router if both the router and the network are bound to "
                "an L3 BGPVPN"
            )
        return answer

    return add_interface


async def _vpns(
    tx: Transaction, entity: type[Any], field: str, ids: Sequence[str], *, type_: str = ""
) -> list[str]:
    """The VPNs that have any of these, perhaps of one type."""
    found = await tx.list(entity, Query((Condition(field, tuple(ids)),))) if ids else []
    vpns = sorted({row.bgpvpn_id for row in found})
    return [id for id in vpns if not type_ or (await tx.get(BgpVpn, id)).type == type_]


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(f"Bad bgpvpn request: {reason}.", problem=Problem.BAD_REQUEST)
