"""Port forwardings: `/v2.0/floatingips/{id}/port_forwardings`.

Source: Networking API v2.0, "Floating IPs port forwarding", with port ranges.
"""

from collections.abc import Sequence
from typing import Any

from alcor.managers.elastic_ip.association import find_router
from alcor.managers.elastic_ip.extensions import FORWARDING_EXTENSIONS
from alcor.managers.elastic_ip.released import drop_forwarding
from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.router.named import get_port
from alcor.managers.row import new_row, replace_row
from alcor.model.address import Ip, ip_version
from alcor.model.errors import InUse, InvalidInput, NotFound, Problem
from alcor.model.floatingip import FloatingIp
from alcor.model.port import Port
from alcor.model.port_forwarding import PORT_FORWARDING, PortForwarding, ends_of
from alcor.model.resource import UNSET
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Query, Transaction

_SIDES = ("external", "internal")
_RELATION = (
    "Invalid ranges of internal and/or external ports. The relation between internal and external ports must be N-N "
    "or 1-N"
)


def forwarding_manager() -> Manager:
    """`/v2.0/floatingips/{id}/port_forwardings`."""
    return Manager(
        PORT_FORWARDING,
        "elastic_ip",
        create=create,
        update=update,
        delete=delete,
        extensions=FORWARDING_EXTENSIONS,
    )


def _bad(reason: str) -> InvalidInput:
    return InvalidInput(f"Bad port_forwarding request: {reason}.", problem=Problem.BAD_REQUEST)


async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Forward ports of a floating IP that stands for no port.

    Raises: InvalidInput (BadRequest) for ranges that do not fit or are forwarded already, an address the port does
            not have, or one the floating IP's router does not reach; InUse if the floating IP, or another one,
            stands for a port; NotFound (port).
    """
    made = []
    for values in many:
        outer = await tx.get(FloatingIp, values["floatingip_id"])
        ends = _ends(values)
        _check_relation(ends)
        port_id, address = values["internal_port_id"], values["internal_ip_address"]
        await _check_not_bound(tx, await get_port(tx, caller, port_id))
        if outer.port_id is not None:
            raise InUse(
                "FloatingIP",
                outer.id,
                by=f"{outer.floating_ip_address} stands for port {outer.port_id}; disassociate it first",
                problem=Problem.FIXED_IP_ASSOCIATED,
            )
        outer = await _route(tx, caller, outer, port_id, address)
        fields = {"internal_port_id": port_id, "internal_ip_address": address, "protocol": values["protocol"]}
        row = new_row(tx, caller, PortForwarding, values, **fields, **ends, project_id=outer.project_id)
        await _check_collisions(tx, row)
        made.append(Made(await tx.get(PortForwarding, row.id)))
    return made


async def update(tx: Transaction, caller: Caller, row: PortForwarding, values: Values) -> PortForwarding:
    """Change ports, protocol or where they lead. Raises: as `create`."""
    outer = await tx.get(FloatingIp, row.floatingip_id)
    port_id = values.get("internal_port_id", row.internal_port_id)
    address = values.get("internal_ip_address", row.internal_ip_address)
    if "internal_port_id" in values:
        await _check_not_bound(tx, await get_port(tx, caller, port_id))
    if (port_id, address) != (row.internal_port_id, row.internal_ip_address):
        await _route(tx, caller, outer, port_id, address)
    ends = {f"{side}_{end}": getattr(row, f"{side}_{end}") for side in _SIDES for end in ("first", "last")}
    ends |= _ends(values, partial=True)
    _check_relation(ends)
    known = PortForwarding.__struct_fields__
    said = {name: value for name, value in values.items() if name in known}
    after = await replace_row(tx, row, said | ends)
    await _check_collisions(tx, after)
    return after


async def delete(tx: Transaction, _caller: Caller, row: PortForwarding) -> None:
    """Stop forwarding; with the last one the floating IP leaves its router."""
    await drop_forwarding(tx, row)


def _ends(values: Values, *, partial: bool = False) -> dict[str, int]:
    """The first and last port of both sides. Raises: InvalidInput if a side is not said and not `partial`."""
    ends: dict[str, int] = {}
    for side in _SIDES:
        single, range_ = _said(values, f"{side}_port"), _said(values, f"{side}_port_range")
        if single is not None and range_ is not None and ends_of(range_) != (single, single):
            raise _bad(
                f"{side}_port {single} and {side}_port_range {range_} say different things; name one of them"
            )
        if range_ is not None:
            ends[f"{side}_first"], ends[f"{side}_last"] = ends_of(range_)
        elif single is not None:
            ends[f"{side}_first"] = ends[f"{side}_last"] = int(single)
        elif not partial:
            raise _bad(f"{side}_port or {side}_port_range must be specified")
    return ends


def _said(values: Values, name: str) -> Any:
    value = values.get(name, UNSET)
    return None if value is UNSET else value


def _check_relation(ends: dict[str, int]) -> None:
    inner = ends["internal_last"] - ends["internal_first"]
    if inner > 0 and inner != ends["external_last"] - ends["external_first"]:
        raise _bad(_RELATION)


async def _check_not_bound(tx: Transaction, port: Port) -> None:
    """Raises: InUse if a floating IP stands for the port: answers would leave by that one."""
    found = await tx.list(FloatingIp, Query((Condition("port_id", (port.id,)),), limit=1))
    if found:
        raise InUse(
            "port",
            port.id,
            by=f"floating IP {found[0].floating_ip_address} ({found[0].id}) stands for it; disassociate that first",
            problem=Problem.PORT_HAS_FLOATING_IP,
        )


async def _route(
    tx: Transaction, caller: Caller, outer: FloatingIp, port_id: str, address: str
) -> FloatingIp:
    """Find the router between the floating IP and the inner address, and let the floating IP go through it."""
    port = await get_port(tx, caller, port_id)
    if ip_version(Ip(address)) != 4:
        raise _bad(f"internal_ip_address {address} is not an IPv4 address")
    fixed = next((one for one in port.fixed_ips if one.ip_address == address), None)
    if fixed is None:
        own = ", ".join(one.ip_address for one in port.fixed_ips) or "none"
        raise _bad(
            f"Requested internal IP address {address} is not suitable for internal neutron port {port.id}, as its "
            f"fixed_ips are {own}"
        )
    subnet = await tx.get(Subnet, fixed.subnet_id)
    try:
        router_id = await find_router(tx, port, subnet, outer.floating_network_id)
    except NotFound as error:
        raise _bad(
            f"External network {outer.floating_network_id} is not reachable from subnet {subnet.id}. Cannot set Port "
            f"forwarding for port {port.id} with Floating IP {outer.id}"
        ) from error
    if outer.router_id is not None and outer.router_id != router_id:
        raise _bad(
            f"The Floating IP {outer.id} had been set on router {outer.router_id}, the internal Neutron port {port.id} "
            "can not reach it"
        )
    if outer.router_id == router_id:
        return outer
    return await replace_row(tx, outer, {"router_id": router_id})


async def _check_collisions(tx: Transaction, row: PortForwarding) -> None:
    """Raises: InvalidInput if a port of either side is forwarded by another one already."""
    outside = (Condition("floatingip_id", (row.floatingip_id,)),)
    inside = (
        Condition("internal_port_id", (row.internal_port_id,)),
        Condition("internal_ip_address", (row.internal_ip_address,)),
    )
    for side, where in (("external", outside), ("internal", inside)):
        for other in await tx.list(PortForwarding, Query(where)):
            if other.id != row.id and other.protocol == row.protocol and _overlap(row, other, side):
                raise _bad(
                    f"There is a port collision with the {side}_port_range. The following ranges collide: "
                    f"{_range(other, side)} of port forwarding {other.id} and {_range(row, side)}"
                )


def _overlap(one: PortForwarding, other: PortForwarding, side: str) -> bool:
    first = max(getattr(one, f"{side}_first"), getattr(other, f"{side}_first"))
    return bool(first <= min(getattr(one, f"{side}_last"), getattr(other, f"{side}_last")))


def _range(row: PortForwarding, side: str) -> str:
    return f"{getattr(row, f'{side}_first')}:{getattr(row, f'{side}_last')}"
