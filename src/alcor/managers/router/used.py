"""Who needs a router's interface or gateway: floating IPs, port forwardings and NDP proxies."""

from alcor.managers.row import NAMED_MAX, name_users
from alcor.model.address import Cidr, Ip, contains
from alcor.model.errors import Conflict, InUse, Problem
from alcor.model.floatingip import FloatingIp
from alcor.model.ndp_proxy import NdpProxy
from alcor.model.port_forwarding import PortForwarding
from alcor.model.router import Router
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Transaction


async def check_unused(tx: Transaction, router: Router, subnet: Subnet) -> None:
    """Raises: InUse if something outside reaches an address of `subnet` through this router.

    Cost: one indexed read of the router's floating IPs, and one of their port forwardings.
    """
    cidr = Cidr(subnet.cidr)
    await _check_no_proxy(tx, router, cidr, subnet)
    outer = await tx.list(FloatingIp, Query((Condition("router_id", (router.id,)),)))
    if not outer:
        return
    ids = tuple(one.id for one in outer)
    forwardings = await tx.list(PortForwarding, Query((Condition("floatingip_id", ids),)))
    inner = [one.fixed_ip_address for one in outer] + [one.internal_ip_address for one in forwardings]
    if any(address and contains(cidr, Ip(address)) for address in inner):
        raise InUse(
            "router_interface",
            subnet.id,
            by=f"floating IPs reach addresses of that subnet through router {router.id}; disassociate them first",
            problem=Problem.INTERFACE_IN_USE_BY_FLOATING_IP,
        )


async def _check_no_proxy(tx: Transaction, router: Router, cidr: Cidr, subnet: Subnet) -> None:
    for proxy in await tx.list(NdpProxy, Query((Condition("router_id", (router.id,)),))):
        if contains(cidr, Ip(proxy.ip_address)):
            raise Conflict(
                f"Unable to remove subnet {subnet.id} from router {router.id}: NDP proxy {proxy.id} is for an address "
                "of it; delete the proxy first.",
                kind="router",
                id=router.id,
                problem=Problem.INTERFACE_IN_USE_BY_NDP_PROXY,
            )


async def check_gateway_unused(tx: Transaction, router: Router, network_id: str) -> None:
    """Raises: Conflict if the router's last gateway on `network_id` is needed."""
    where = (Condition("router_id", (router.id,)), Condition("floating_network_id", (network_id,)))
    outer = await tx.list(FloatingIp, Query(where, limit=NAMED_MAX + 1))
    if outer:
        users = name_users("floating IP", [one.floating_ip_address for one in outer])
        raise Conflict(
            f"Gateway cannot be updated for router {router.id}: {users} need its gateway to external network "
            f"{network_id}; disassociate or delete them first.",
            kind="router",
            id=router.id,
            problem=Problem.GATEWAY_IN_USE_BY_FLOATING_IP,
        )


async def check_no_proxies(tx: Transaction, router: Router) -> None:
    """Raises: Conflict if an NDP proxy needs the router's gateway."""
    found = await tx.list(NdpProxy, Query((Condition("router_id", (router.id,)),), limit=NAMED_MAX + 1))
    if found:
        users = name_users("NDP proxy", [one.id for one in found])
        raise Conflict(
            f"Unable to unset external gateway of router {router.id}: {users} need it; delete them first.",
            kind="router",
            id=router.id,
            problem=Problem.GATEWAY_IN_USE_BY_NDP_PROXY,
        )
