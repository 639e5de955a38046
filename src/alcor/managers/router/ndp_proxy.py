"""NDP proxies: `/v2.0/ndp_proxies`.

Source: Networking API v2.0, "Router NDP proxy".
"""

from collections.abc import Sequence

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.router.attached import attached_to
from alcor.managers.router.named import get_port
from alcor.managers.row import get_visible, new_row, replace_row
from alcor.model.address import Ip, ip_version
from alcor.model.errors import Conflict, InvalidInput, Problem
from alcor.model.extension import Extension
from alcor.model.ndp_proxy import NDP_PROXY, NdpProxy
from alcor.model.network import Network
from alcor.model.port import FixedIp, Port
from alcor.model.router import Router
from alcor.store.interface import Condition, Query, Transaction

_EXTENSIONS = (
    Extension(
        "l3-ndp-proxy",
        "L3 NDP Proxy",
        "A router answers on the external network for single inner IPv6 addresses.",
        "2021-06-29T10:00:00-00:00",
    ),
)


def ndp_proxy_manager() -> Manager:
    """`/v2.0/ndp_proxies`."""
    return Manager(NDP_PROXY, "router", create=create, update=update, delete=delete, extensions=_EXTENSIONS)


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Let routers answer for addresses of ports.

    Raises: NotFound (router, port); Conflict if the router does not answer at all, does not reach the port, or the
            networks are of different address scopes; InvalidInput for an address that is not the port's or is not
            behind the router.
    """
    made = []
    for values in many:
        router = await get_visible(tx, caller, Router, values["router_id"], kind="router")
        port = await get_port(tx, caller, values["port_id"])
        behind = await _subnets_behind(tx, router, port)
        if not router.enable_ndp_proxy:
            raise Conflict(
                f"The enable_ndp_proxy parameter of router {router.id} must be set as True while create ndp proxy "
                "entry on it.",
                kind="router",
                id=router.id,
                problem=Problem.NDP_PROXY_DISABLED,
            )
        address = _address(router, port, behind, values.get("ip_address"))
        await _check_scope(tx, router, port)
        row = new_row(tx, caller, NdpProxy, values, ip_address=address)
        made.append(Made(await tx.get(NdpProxy, row.id)))
    return made


async def update(tx: Transaction, _caller: Caller, row: NdpProxy, values: Values) -> NdpProxy:
    """Change name or description."""
    return await replace_row(tx, row, values)


async def delete(tx: Transaction, _caller: Caller, row: NdpProxy) -> None:
    """Answer no more."""
    tx.delete(row)


async def forget_port(tx: Transaction, _caller: Caller, port: Port) -> None:
    """A port goes, and the answers for its addresses with it."""
    for row in await tx.list(NdpProxy, Query((Condition("port_id", (port.id,)),))):
        tx.delete(row)


async def _subnets_behind(tx: Transaction, router: Router, port: Port) -> set[str]:
    """The IPv6 subnets of the port's network that the router is on. Raises: Conflict if it is not on the network."""
    near = [one for one in (await attached_to(tx, router)).interfaces if one.network_id == port.network_id]
    if not near:
        raise _unreachable(router, port)
    return {fixed.subnet_id for one in near for fixed in _ipv6_of(one)}


def _ipv6_of(port: Port) -> list[FixedIp]:
    return [one for one in port.fixed_ips if ip_version(Ip(one.ip_address)) == 6]


def _unreachable(router: Router, port: Port) -> Conflict:
    return Conflict(
        f"The port {port.id} cannot reach the router {router.id} by IPv6 subnet; add the subnet to the router.",
        kind="port",
        id=port.id,
        problem=Problem.NDP_PROXY_UNREACHABLE,
    )


def _address(router: Router, port: Port, behind: set[str], wanted: str | None) -> str:
    own = _ipv6_of(port)
    if not own:
        raise InvalidInput(
            f"Bad ndp_proxy request: Requested port {port.id} must allocate one IPv6 address at least.",
            problem=Problem.BAD_REQUEST,
        )
    if wanted is None:
        found = next((one for one in own if one.subnet_id in behind), None)
        if found is None:
            raise _unreachable(router, port)
        return found.ip_address
    named = next((one for one in own if one.ip_address == wanted), None)
    if named is None:
        raise _invalid(wanted, f"This address not belong to the port {port.id}")
    if named.subnet_id not in behind:
        raise _invalid(wanted, f"This address cannot reach the router {router.id}")
    return wanted


def _invalid(address: str, reason: str) -> InvalidInput:
    return InvalidInput(
        f"The address {address} is invalid, reason: {reason}.", problem=Problem.NDP_PROXY_ADDRESS
    )


async def _check_scope(tx: Transaction, router: Router, port: Port) -> None:
    """Raises: Conflict if inner and external network are of different address scopes: packets need translation."""
    gateway = await tx.get(Port, router.gateway_ports[0])
    outside = (await tx.get(Network, gateway.network_id)).ipv6_address_scope
    inside = (await tx.get(Network, port.network_id)).ipv6_address_scope
    if outside != inside:
        raise Conflict(
            f"The IPv6 address scope {outside} of external network conflict with internal network's IPv6 address "
            f"scope {inside}.",
            kind="router",
            id=router.id,
            problem=Problem.NDP_PROXY_SCOPE,
        )
