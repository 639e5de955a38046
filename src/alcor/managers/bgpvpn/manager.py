"""BGP VPNs: `/v2.0/bgpvpn/bgpvpns`, and under each network, router and port associations.

A thing is in a VPN once: a claim in `bgpvpn_association`, keyed by both, whose owner is the association.
"""

from collections.abc import Sequence
from typing import Any, TypeVar

from alcor.managers.bgpvpn.associated import ASSOCIATIONS, Association, check_network, check_router
from alcor.managers.interface import Caller, Create, Delete, Loader, Made, Manager, Update, Values
from alcor.managers.plain import plain_manager
from alcor.managers.row import get_visible, new_row, project_of, replace_row
from alcor.model.bgpvpn import BGPVPN, BgpVpn, PortAssociation
from alcor.model.catalogue import BY_ENTITY
from alcor.model.errors import Forbidden, InvalidInput, Problem
from alcor.model.extension import Extension
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.model.router import Router
from alcor.store.interface import Condition, Query, Store, Transaction

E = TypeVar("E", bound=Entity)

_SERVICE = "bgpvpn"
_SPACE = "bgpvpn_association"
_UPDATED = "2018-04-19T10:00:00-00:00"
_EXTENSIONS = (
    Extension(
        "bgpvpn",
        "BGPVPN Extension",
        "VPNs, and the networks and routers in them, are kept; nobody exchanges their routes yet.",
        "2014-06-10T17:00:00-00:00",
    ),
    Extension(
        "bgpvpn-routes-control",
        "BGPVPN Routes Control Extension",
        "Ports in a VPN, and which routes are told to it.",
        "2017-05-20T00:00:00-00:00",
    ),
    Extension(
        "bgpvpn-vni",
        "BGPVPN VXLAN VNI extension",
        "A VPN may say its VXLAN network identifier.",
        "2017-09-12T10:00:00-00:00",
    ),
    *(
        Extension(
            f"standard-attr-bgpvpn{alias}",
            f"BGPVPN{name} Standard Attributes",
            "They have a description, times and revision numbers.",
            _UPDATED,
        )
        for alias, name in (
            ("", ""),
            ("-network-association", " Network Association"),
            ("-port-association", " Port Association"),
            ("-router-association", " Router Association"),
        )
    ),
)


def family() -> tuple[Manager, ...]:
    """VPNs and what is in them."""
    return (
        plain_manager(
            BGPVPN,
            _SERVICE,
            removal=_remove_associations,
            computed={f"{one.what}s": _loading(one) for one in ASSOCIATIONS},
            extensions=_EXTENSIONS,
        ),
        *(
            Manager(
                BY_ENTITY[one.entity],
                _SERVICE,
                create=_creating(one),
                update=_updating(one),
                delete=_deleting(one),
            )
            for one in ASSOCIATIONS
        ),
    )


async def leave_vpns(tx: Transaction, _caller: Caller, row: Network | Router | Port) -> None:
    """Take a network, router or port that is being deleted out of all VPNs."""
    one = next(one for one in ASSOCIATIONS if one.member is type(row))
    for association in await tx.list(one.entity, _where(one.field, row.id)):
        _remove(tx, one, association)


def _loading(one: Association) -> Loader:
    async def load(store: Store, _caller: Caller, rows: Sequence[Any]) -> dict[str, Any]:
        """The ids of what is in each VPN, oldest first. Cost: one read."""
        ids = tuple(row.id for row in rows)
        found: dict[str, Any] = {id: [] for id in ids}
        associations = await store.reader.list(one.entity, Query((Condition("bgpvpn_id", ids),)))
        for row in associations:
            found[row.bgpvpn_id].append(getattr(row, one.field))
        return found

    return load


async def _remove_associations(tx: Transaction, _caller: Caller, row: BgpVpn) -> None:
    for one in ASSOCIATIONS:
        for association in await tx.list(one.entity, _where("bgpvpn_id", row.id)):
            _remove(tx, one, association)
    for other in await tx.list(PortAssociation, _where("leaked.bgpvpn_id", row.id)):
        if other.bgpvpn_id != row.id:
            kept = tuple(route for route in other.routes if route.get("bgpvpn_id") != row.id)
            await replace_row(tx, other, {"routes": kept})


def _creating(one: Association) -> Create:
    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        """Raises: NotFound; Forbidden for what is of another project than the VPN; InvalidInput for what is in it, or
        is in a VPN twice by its router or network."""
        made = []
        for values in many:
            vpn = await tx.get(BgpVpn, values["bgpvpn_id"])
            row: Any = await get_visible(tx, caller, one.member, values[one.field], kind=one.what)
            await _check_fit(tx, one, vpn, row)
            _check_project(vpn, one.what, row.project_id)
            _check_project(vpn, f"{one.what} association", project_of(caller, values))
            if isinstance(row, Port):
                await _check_routes(tx, caller, vpn, vpn.project_id, values["routes"])
            made.append(Made(await _insert(tx, caller, one, vpn, values)))
        return made

    return create


async def _insert(tx: Transaction, caller: Caller, one: Association, vpn: BgpVpn, values: Values) -> Entity:
    association: Any = new_row(tx, caller, one.entity, values)
    if not await tx.claim(_SPACE, _key(one, association), association.id):
        raise InvalidInput(
            f"{one.what} {values[one.field]} is already associated to BGPVPN {vpn.id}.", problem=one.exists
        )
    stored: Entity = await tx.get(one.entity, association.id)
    return stored


async def _check_fit(tx: Transaction, one: Association, vpn: BgpVpn, row: Any) -> None:
    if isinstance(row, Network):
        await check_network(tx, row)
    elif isinstance(row, Router):
        if vpn.type != "l3":
            raise InvalidInput(
                f"Bad bgpvpn request: Router associations require the bgpvpn to be of type l3; {vpn.id} is of type "
                f"{vpn.type}.",
                problem=Problem.BAD_REQUEST,
            )
        await check_router(tx, row)


def _check_project(vpn: BgpVpn, what: str, project_id: str) -> None:
    if project_id != vpn.project_id:
        raise Forbidden(
            f"Not authorized: the {what} is of project '{project_id}', BGPVPN {vpn.id} of another; they must be of "
            "the same one.",
            problem=Problem.BGPVPN_PROJECT,
        )


async def _check_routes(
    tx: Transaction, caller: Caller, vpn: BgpVpn, project_id: str, routes: Sequence[dict[str, Any]]
) -> None:
    """Raises: InvalidInput for a VPN that is not there, of another project or of the other type."""
    for id in dict.fromkeys(route["bgpvpn_id"] for route in routes if "bgpvpn_id" in route):
        other = await tx.find(BgpVpn, id)
        if other is None or not (caller.is_admin or other.project_id == caller.project_id):
            raise InvalidInput(
                f"bgpvpn specified in route does not exist ({id}).", problem=Problem.BGPVPN_ROUTE_MISSING
            )
        if other.type != vpn.type:
            raise InvalidInput(
                f"bgpvpn specified in route is of type {other.type}, differing from type of associated BGPVPN "
                f"{vpn.type}.",
                problem=Problem.BGPVPN_ROUTE_TYPE,
            )
        if other.project_id != project_id:
            raise InvalidInput(
                f"bgpvpn specified in route does not belong to the project ({id}).",
                problem=Problem.BGPVPN_ROUTE_PROJECT,
            )


def _updating(one: Association) -> Update:
    async def update(tx: Transaction, caller: Caller, row: Any, values: Values) -> Entity:
        """Raises: InvalidInput for routes of a VPN that cannot lead to the port."""
        if one.member is Port and "routes" in values:
            vpn = await tx.get(BgpVpn, row.bgpvpn_id)
            await _check_routes(tx, caller, vpn, row.project_id, values["routes"])
        changed: Entity = await replace_row(tx, row, values)
        return changed

    return update


def _deleting(one: Association) -> Delete:
    async def delete(tx: Transaction, _caller: Caller, row: Any) -> None:
        _remove(tx, one, row)

    return delete


def _remove(tx: Transaction, one: Association, row: Any) -> None:
    tx.release(_SPACE, _key(one, row))
    tx.delete(row)


def _key(one: Association, row: Any) -> str:
    return f"{row.bgpvpn_id}/{getattr(row, one.field)}"


def _where(field: str, id: str) -> Query:
    return Query((Condition(field, (id,)),))
