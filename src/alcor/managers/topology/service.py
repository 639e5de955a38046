"""`/v2.0/auto-allocated-topology/{project_id}`: the network of a project that named none, made when first asked for.

Source: Networking API v2.0, "Auto allocated topologies". The region needs a default external network and a default
subnet pool.
"""

from dataclasses import dataclass, replace
from typing import Any

from alcor.managers.defaults import values_for
from alcor.managers.interface import Ask, Caller, Manager, Route, Service
from alcor.managers.router.attached import subnets_of_network
from alcor.model.auto_topology import AutoTopology
from alcor.model.change import Origin
from alcor.model.errors import Conflict, Exhausted, Forbidden, InvalidInput, NotFound, Problem
from alcor.model.extension import Extension
from alcor.model.network import Network
from alcor.model.router import Router
from alcor.model.subnet import Subnet
from alcor.model.subnetpool import SubnetPool
from alcor.store.interface import Condition, Query, Store, Transaction

_PATH = "/v2.0/auto-allocated-topology/{project_id}"
_SPACE = "auto_topology"
_DRY_RUN = "dry-run"
_SCHEMA = {
    "type": "object",
    "properties": {
        "auto_allocated_topology": {
            "type": "object",
            "properties": {
                "id": {"type": "string"},
                "project_id": {"type": "string"},
                "tenant_id": {"type": "string"},
            },
        }
    },
    "required": ["auto_allocated_topology"],
}
_EXTENSIONS = (
    Extension(
        "auto-allocated-topology",
        "Auto Allocated Topology Services",
        "A network with a way out, made for a project that names none.",
        "2016-01-01T00:00:00-00:00",
    ),
)


@dataclass(frozen=True, slots=True)
class Builders:
    """The managers a topology is made with."""

    network: Manager
    subnet: Manager
    router: Manager


def service(builders: Builders) -> Service:
    """The paths of automatic topologies."""

    async def get(store: Store, ask: Ask) -> Any:
        return await _get(store, ask, builders)

    async def delete(store: Store, ask: Ask) -> Any:
        project_id = _project(ask)

        async def work(tx: Transaction) -> None:
            await _remove(tx, _for(ask.caller, project_id), builders, project_id)

        await store.write(work, origin_of(ask))

    return Service(
        "topology",
        (
            Route(
                "GET",
                _PATH,
                get,
                "get_auto_allocated_topology",
                "role:reader or rule:admin_only",
                "Show a project's automatic network; it is made if there is none",
                schema=_SCHEMA,
            ),
            Route(
                "DELETE",
                _PATH,
                delete,
                "delete_auto_allocated_topology",
                "role:member or rule:admin_only",
                "Delete a project's automatic network with its router",
                status=204,
            ),
        ),
        extensions=_EXTENSIONS,
    )


def origin_of(ask: Ask) -> Origin:
    """Who changes what a path of its own changes, for the history."""
    caller = ask.caller
    return Origin(request_id=caller.request_id, user_id=caller.user_id, project_id=caller.project_id)


def _project(ask: Ask) -> str:
    """The project a path names; `None` is whoever asks. Raises: Forbidden for another one's."""
    named = ask.names["project_id"]
    project_id = ask.caller.project_id if named == "None" else named
    if not ask.caller.is_admin and project_id != ask.caller.project_id:
        raise Forbidden(
            f"The automatic network of project {project_id} is that project's and administrators' to see; use a token "
            "of the project."
        )
    return project_id


def _for(caller: Caller, project_id: str) -> Caller:
    return replace(caller, project_id=project_id)


async def _get(store: Store, ask: Ask, builders: Builders) -> Any:
    project_id = _project(ask)
    fields = [value for name, value in ask.pairs if name == "fields"]
    if _DRY_RUN in fields:
        await store.write(_check_requirements)
        return _document(f"{_DRY_RUN}=pass", project_id)
    if fields:
        raise InvalidInput("Bad auto_allocate request: Unrecognized field.", problem=Problem.BAD_REQUEST)
    caller = _for(ask.caller, project_id)
    done = await store.write(lambda tx: _ensure(tx, caller, builders, project_id), origin_of(ask))
    return _document(done.value, project_id)


def _document(id: str, project_id: str) -> dict[str, Any]:
    return {"auto_allocated_topology": {"id": id, "project_id": project_id, "tenant_id": project_id}}


async def _topology_of(tx: Transaction, project_id: str) -> AutoTopology | None:
    found = await tx.list(AutoTopology, Query((Condition("project_id", (project_id,)),), limit=1))
    return found[0] if found else None


async def _ensure(tx: Transaction, caller: Caller, builders: Builders, project_id: str) -> str:
    """The id of the project's network, which is made if it is not there."""
    present = await _topology_of(tx, project_id)
    if present is not None:
        if await tx.find(Network, present.network_id) is not None:
            return present.network_id
        # Its owner deleted it as a network.
        _forget(tx, present)
    outside, pools = await _check_requirements(tx)
    try:
        return await _build(tx, caller, builders, project_id, outside, pools)
    except (InvalidInput, NotFound, Exhausted) as error:
        raise _failed(f"Unable to provide project private network: {error.message}") from error


async def _check_requirements(tx: Transaction) -> tuple[Network, list[SubnetPool]]:
    """The default external network and the default pools. Raises: Conflict if there are none."""
    default = Condition("is_default", (True,))
    networks = await tx.list(Network, Query((default, Condition("router_external", (True,))), limit=1))
    if not networks:
        raise _failed("No default router:external network; an administrator sets is_default of one")
    pools = await tx.list(SubnetPool, Query((default,)))
    if not pools:
        raise _failed("No default subnetpools defined; an administrator sets is_default of one")
    return networks[0], sorted(pools, key=lambda pool: pool.ip_version)


def _failed(reason: str) -> Conflict:
    return Conflict(f"Deployment error: {reason}.", kind="auto_topology", problem=Problem.NO_TOPOLOGY)


async def _build(
    tx: Transaction,
    caller: Caller,
    builders: Builders,
    project_id: str,
    outside: Network,
    pools: list[SubnetPool],
) -> str:
    network: Network = await _make(tx, caller, builders.network, name="auto_allocated_network")
    subnets: list[Subnet] = [
        await _make(
            tx,
            caller,
            builders.subnet,
            name=f"auto_allocated_subnet_v{pool.ip_version}",
            network_id=network.id,
            ip_version=pool.ip_version,
            subnetpool_id=pool.id,
        )
        for pool in pools
    ]
    router: Router = await _make(
        tx,
        caller,
        builders.router,
        name="auto_allocated_router",
        external_gateway_info={"network_id": outside.id},
    )
    for subnet in subnets:
        await _act(tx, caller, builders.router, router, "add_router_interface", subnet)
    row = AutoTopology(id=tx.new_id(), project_id=project_id, network_id=network.id, router_id=router.id)
    if not await tx.claim(_SPACE, project_id, row.id):
        raise _failed(f"The network of project {project_id} is being made; ask again")
    tx.insert(row)
    return network.id


async def _make(tx: Transaction, caller: Caller, manager: Manager, **said: Any) -> Any:
    assert manager.create is not None
    values = values_for(manager.resource, **said, project_id=caller.project_id)
    return (await manager.create(tx, caller, [values]))[0].row


async def _act(
    tx: Transaction, caller: Caller, manager: Manager, router: Router, action: str, subnet: Subnet
) -> None:
    current = await tx.get(Router, router.id)
    await manager.actions[action](tx, caller, current, {"subnet_id": subnet.id})


async def _remove(tx: Transaction, caller: Caller, builders: Builders, project_id: str) -> None:
    """Delete the project's topology, if it has one. Raises: Conflict if something else is on the network."""
    present = await _topology_of(tx, project_id)
    if present is None:
        return
    _forget(tx, present)
    router, network = await tx.find(Router, present.router_id), await tx.find(Network, present.network_id)
    assert builders.router.delete is not None
    assert builders.network.delete is not None
    if router is not None:
        for subnet in await subnets_of_network(tx, present.network_id):
            try:
                await _act(tx, caller, builders.router, router, "remove_router_interface", subnet)
            except NotFound:
                # Its owner removed that interface.
                continue
        await builders.router.delete(tx, caller, await tx.get(Router, router.id))
    if network is not None:
        await builders.network.delete(tx, caller, network)


def _forget(tx: Transaction, row: AutoTopology) -> None:
    tx.release(_SPACE, row.project_id)
    tx.delete(row)
