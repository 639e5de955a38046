"""The Router Manager: `/v2.0/routers`."""

from collections.abc import Sequence
from typing import Any

from msgspec.structs import replace

from alcor.managers.interface import Action, Caller, Made, Manager, Values
from alcor.managers.port.policy import check_policies
from alcor.managers.router.attached import attached_to, bad_router
from alcor.managers.router.conntrack import forget
from alcor.managers.router.extensions import ROUTER_EXTENSIONS
from alcor.managers.router.flavored import check_flavor
from alcor.managers.router.gateway import (
    add_gateways,
    clear_gateways,
    remove_gateways,
    set_gateway,
    update_gateways,
)
from alcor.managers.router.interface import add_interface, remove_interface
from alcor.managers.router.ports import Ports
from alcor.managers.router.proxy_state import check_proxies_possible, not_valid
from alcor.managers.router.routes import check_routes, with_routes, without_routes
from alcor.managers.router.shown import loaders
from alcor.managers.row import name_users, new_row
from alcor.managers.vpc.rules import check_zones
from alcor.managers.vpc.settings import NetworkSettings
from alcor.model.conntrack_helper import ConntrackRule
from alcor.model.errors import InUse
from alcor.model.resource import UNSET
from alcor.model.router import GATEWAY, ROUTER, Router
from alcor.model.value import ListOf
from alcor.store.interface import Condition, Query, Transaction

_FLAGS = ("distributed", "ha", "enable_ndp_proxy", "enable_default_route_ecmp", "enable_default_route_bfd")
_ROUTES = ROUTER.attribute("routes")
_GATEWAYS = ListOf(GATEWAY, unique=False)


class Routers:
    """The verbs and actions of routers; they share the way to the Port Manager."""

    def __init__(self, ports: Ports, settings: NetworkSettings) -> None:
        self._ports, self._settings = ports, settings

    def manager(self) -> Manager:
        """`/v2.0/routers`."""
        return Manager(
            ROUTER,
            "router",
            create=self.create,
            update=self.update,
            delete=self.delete,
            computed=loaders(self._settings.zones),
            actions={
                "add_router_interface": self._add_interface,
                "remove_router_interface": self._remove_interface,
                "add_extraroutes": self._routes_action(with_routes),
                "remove_extraroutes": self._routes_action(without_routes),
                "add_external_gateways": self._gateways_action(add_gateways),
                "update_external_gateways": self._gateways_action(update_gateways),
                "remove_external_gateways": self._gateways_action(remove_gateways),
            },
            extensions=ROUTER_EXTENSIONS,
        )

    async def create(self, tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        """Add routers, each with the gateway asked for. Raises: as `set_gateway`; Conflict if NDP proxies cannot be."""
        made = []
        for values in many:
            check_zones(self._settings, values)
            await check_flavor(tx, values.get("flavor_id"))
            await _check_policy(tx, caller, values)
            router = new_row(tx, caller, Router, _without_null_flags(values) | {"routes": UNSET})
            info = values.get("external_gateway_info")
            if info is not None and info is not UNSET:
                router = await set_gateway(tx, caller, self._ports, router, info)
                router = replace(router, enable_ndp_proxy=values.get("enable_ndp_proxy") is True)
                tx.update(router)
            if values.get("enable_ndp_proxy") is True:
                await check_proxies_possible(tx, router)
            made.append(Made(await tx.get(Router, router.id)))
        return made

    async def update(self, tx: Transaction, caller: Caller, row: Router, values: Values) -> Router:
        """Change what a client may; all of it or nothing.

        Raises: InvalidInput (routes, a flag of a router that is up); as `set_gateway`; Conflict if NDP proxies cannot
                be enabled.
        """
        said = _without_null_flags(values)
        _check_flags(row, said)
        await _check_policy(tx, caller, said)
        router = row
        if "external_gateway_info" in said:
            router = await set_gateway(tx, caller, self._ports, router, said.pop("external_gateway_info"))
            if not router.gateway_ports and said.get("enable_ndp_proxy"):
                raise not_valid(router, "the router's external gateway will be unset")
        if "routes" in said:
            await check_routes(tx, router, said["routes"], await attached_to(tx, router))
        router = replace(router, **said)
        if said.get("enable_ndp_proxy"):
            await check_proxies_possible(tx, router)
        tx.update(router)
        return await tx.get(Router, row.id)

    async def delete(self, tx: Transaction, caller: Caller, row: Router) -> None:
        """Remove a router with its gateways. Raises: InUse if it has interfaces; Conflict if a gateway is needed."""
        attached = await attached_to(tx, row)
        if attached.interfaces:
            users = name_users("port", [port.id for port in attached.interfaces])
            raise InUse(
                "router", row.id, by=f"it has ports still attached: {users}; remove these interfaces first"
            )
        router = await clear_gateways(tx, caller, self._ports, row)
        for helper in await tx.list(ConntrackRule, Query((Condition("router_id", (row.id,)),))):
            forget(tx, helper)
        tx.delete(router)

    async def _add_interface(self, tx: Transaction, caller: Caller, row: Any, body: Values) -> dict[str, Any]:
        return await add_interface(tx, caller, self._ports, row, body)

    async def _remove_interface(
        self, tx: Transaction, caller: Caller, row: Any, body: Values
    ) -> dict[str, Any]:
        return await remove_interface(tx, caller, self._ports, row, body)

    def _routes_action(self, change: Any) -> Action:
        async def act(tx: Transaction, caller: Caller, row: Any, body: Values) -> dict[str, Any]:
            assert _ROUTES is not None
            said = _parsed(body, "routes", _ROUTES.type)
            routes = change(row.routes, said)
            await check_routes(tx, row, routes, await attached_to(tx, row))
            return self._stored(tx, replace(row, routes=routes))

        return act

    def _gateways_action(self, change: Any) -> Action:
        async def act(tx: Transaction, caller: Caller, row: Any, body: Values) -> dict[str, Any]:
            said = _parsed(body, "external_gateways", _GATEWAYS)
            if any(info is None for info in said):
                raise bad_router("an external gateway must name its network_id")
            return self._stored(tx, await change(tx, caller, self._ports, row, said))

        return act

    @staticmethod
    def _stored(tx: Transaction, router: Router) -> dict[str, Any]:
        tx.update(router)
        return {"router": router}


async def _check_policy(tx: Transaction, caller: Caller, values: Values) -> None:
    """Raises: NotFound for a QoS policy of the gateway that the caller may not use."""
    info = values.get("external_gateway_info")
    if isinstance(info, dict):
        await check_policies(tx, caller, [info.get("qos_policy_id")])


def _without_null_flags(values: Values) -> Values:
    """Null for a flag says nothing: it keeps its value, or on create the default."""
    return {name: value for name, value in values.items() if not (name in _FLAGS and value is None)}


def _check_flags(row: Router, said: Values) -> None:
    """Raises: InvalidInput if `distributed` or `ha` changes while the router forwards packets."""
    if said.get("distributed", row.distributed) != row.distributed and (
        row.admin_state_up or said.get("admin_state_up")
    ):
        raise bad_router(
            "Cannot change the 'distributed' attribute of active routers. Please set router admin_state_up to False "
            "prior to upgrade"
        )
    if said.get("ha", row.ha) != row.ha and said.get("admin_state_up", row.admin_state_up):
        raise bad_router(
            "Cannot change HA attribute of active routers. Please set router admin_state_up to False prior to upgrade"
        )


def _parsed(body: Values, name: str, type_: Any) -> Any:
    """The list an action is about: `{"router": {name: […]}}`. Raises: InvalidInput."""
    inner = body.get("router")
    if not isinstance(inner, dict) or set(body) != {"router"} or set(inner) != {name}:
        raise bad_router(f"the body must be {{'router': {{'{name}': [...]}}}}")
    # `openstack router unset` writes an empty object where it means an empty list, before every other change.
    value = inner[name] if inner[name] != {} else []
    try:
        return type_.parse(value)
    except ValueError as error:
        raise bad_router(f"Invalid input for {name}: {error}") from error
