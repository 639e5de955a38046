"""Whether a router answers for inner IPv6 addresses outside, and when it can.

Source: Networking API v2.0, extension l3-ext-ndp-proxy: packets go out untranslated, so both networks must be of one
address scope, and the gateway needs an IPv6 address.
"""

from alcor.managers.router.attached import attached_to, subnets_of_network
from alcor.model.address import Ip, ip_version
from alcor.model.errors import Conflict, Problem
from alcor.model.network import Network
from alcor.model.router import Router
from alcor.store.interface import Transaction


async def check_proxies_possible(tx: Transaction, router: Router) -> None:
    """Raises: Conflict if the router's gateway cannot answer for inner addresses."""
    attached = await attached_to(tx, router)
    if not attached.gateways:
        raise not_valid(router, "it has no external gateway")
    port = attached.gateways[0]
    network = await tx.get(Network, port.network_id)
    if network.ipv6_address_scope is None:
        raise not_valid(router, f"external network {network.id} has no IPv6 address scope")
    if not any(subnet.ip_version == 6 for subnet in await subnets_of_network(tx, network.id)):
        raise not_valid(router, f"external network {network.id} has no IPv6 subnet")
    if not any(ip_version(Ip(one.ip_address)) == 6 for one in port.fixed_ips):
        raise not_valid(router, f"its gateway port {port.id} has no IPv6 address")


def not_valid(router: Router, reason: str) -> Conflict:
    """NDP proxies cannot be enabled."""
    return Conflict(
        f"Can not enable ndp proxy on router {router.id}: {reason}.",
        kind="router",
        id=router.id,
        problem=Problem.GATEWAY_NOT_VALID,
    )
