"""Extra routes of routers: what a next hop may be, and adding and removing some of them at once."""

from collections.abc import Iterable, Sequence

from alcor.managers.router.attached import Attached, subnets_by_id
from alcor.model.address import Cidr, Ip, contains
from alcor.model.errors import InUse, InvalidInput, Problem
from alcor.model.router import Route, Router
from alcor.model.subnet import Subnet
from alcor.store.interface import Transaction

# Source: the reference server's default (max_routes).
ROUTES_MAX = 30


async def check_routes(tx: Transaction, router: Router, routes: Sequence[Route], attached: Attached) -> None:
    """Raises: InvalidInput if a next hop is on no subnet of the router's or is the router itself, or there are
    too many routes."""
    if len(routes) > ROUTES_MAX:
        raise InvalidInput(
            f"Unable to complete operation for {router.id}: {len(routes)} routes are more than the {ROUTES_MAX} a "
            "router may have.",
            problem=Problem.ROUTES_EXHAUSTED,
        )
    if not routes:
        return
    ports = (*attached.interfaces, *attached.gateways)
    subnets = await subnets_by_id(tx, (fixed.subnet_id for port in ports for fixed in port.fixed_ips))
    addresses = {fixed.ip_address for port in ports for fixed in port.fixed_ips}
    check_next_hops(routes, [subnet.cidr for subnet in subnets.values()], addresses)


def check_next_hops(routes: Iterable[Route], cidrs: Sequence[str], addresses: set[str]) -> None:
    """Raises: InvalidInput if a next hop is in none of `cidrs`, or is one of the router's own `addresses`."""
    for route in routes:
        hop = Ip(route.nexthop)
        if not any(contains(Cidr(cidr), hop) for cidr in cidrs):
            raise _invalid(route, "the nexthop is not connected with router")
        if hop in addresses:
            raise _invalid(route, "the nexthop is used by router")


def _invalid(route: Route, reason: str) -> InvalidInput:
    return InvalidInput(
        f"Invalid format for routes: {route.destination} via {route.nexthop}: {reason}.",
        problem=Problem.INVALID_ROUTES,
    )


def check_unrouted(router: Router, subnet: Subnet) -> None:
    """Raises: InUse if a route's next hop is on `subnet`, whose interface is to go."""
    for route in router.routes:
        if contains(Cidr(subnet.cidr), Ip(route.nexthop)):
            raise InUse(
                "router_interface",
                subnet.id,
                by=f"route {route.destination} of router {router.id} goes by {route.nexthop} on that subnet; remove "
                "the route first",
                problem=Problem.INTERFACE_IN_USE_BY_ROUTE,
            )


def with_routes(present: Sequence[Route], more: Iterable[Route]) -> tuple[Route, ...]:
    """The routes and `more`, each once, in the order they came."""
    return tuple(dict.fromkeys((*present, *more)))


def without_routes(present: Sequence[Route], fewer: Iterable[Route]) -> tuple[Route, ...]:
    """The routes but `fewer`; one that is not there is as good as removed."""
    gone = set(fewer)
    return tuple(route for route in present if route not in gone)
