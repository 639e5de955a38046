"""Taps: `/v2.0/taas/tap_services`, `/v2.0/taas/tap_flows`, `/v2.0/taas/tap_mirrors`.

The number of a mirror's tunnel is one mirror's in the region: a claim in `tap_tunnel`, whose owner is the mirror.
"""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.plain import plain_manager
from alcor.managers.row import get_visible, new_row, project_of, replace_row
from alcor.model.errors import Conflict, Forbidden, Problem
from alcor.model.extension import Extension
from alcor.model.port import Port
from alcor.model.tap import TAP_FLOW, TAP_MIRROR, TAP_SERVICE, TapFlow, TapMirror, TapService
from alcor.store.interface import Condition, Query, Transaction

_SERVICE = "tap"
_TUNNELS = "tap_tunnel"
_TAAS = (
    Extension(
        "taas",
        "Neutron Tap as a Service",
        "Which ports' packets are copied to which port is kept; hosts copy none yet.",
        "2015-01-14T10:00:00-00:00",
    ),
    Extension(
        "taas-vlan-filter",
        "VLAN filtering for Neutron Tap as a Service",
        "A tap flow says of which VLANs packets are copied.",
        "2018-01-14T10:00:00-00:00",
    ),
)
_MIRRORS = (
    Extension(
        "tap-mirror",
        "Tap as a Service GRE or ERSPAN mirror",
        "Which ports' packets are copied to an outer address is kept; hosts copy none yet.",
        "2023-05-05T11:45:00-00:00",
    ),
    Extension(
        "tap-mirror-both-direction",
        "Tap as a Service mirror with BOTH direction support",
        "One tunnel of a mirror is for packets of both directions.",
        "2025-12-15T11:45:00-00:00",
    ),
)


def family() -> tuple[Manager, ...]:
    """Services, flows and mirrors."""
    return (
        plain_manager(TAP_SERVICE, _SERVICE, check=_check_service, removal=_remove_flows, extensions=_TAAS),
        plain_manager(TAP_FLOW, _SERVICE, check=_check_flow),
        Manager(
            TAP_MIRROR,
            _SERVICE,
            create=_create_mirrors,
            update=_update_mirror,
            delete=_delete_mirror,
            extensions=_MIRRORS,
        ),
    )


async def untap(tx: Transaction, caller: Caller, port: Port) -> None:
    """Remove the taps of a port that is being deleted."""
    for service in await tx.list(TapService, _where("port_id", port.id)):
        await _remove_flows(tx, caller, service)
        tx.delete(service)
    for flow in await tx.list(TapFlow, _where("source_port", port.id)):
        tx.delete(flow)
    for mirror in await tx.list(TapMirror, _where("port_id", port.id)):
        await _delete_mirror(tx, caller, mirror)


async def _check_service(tx: Transaction, caller: Caller, row: Any, values: Values) -> Values:
    if row is None:
        await _check_port(tx, caller, values, values["port_id"])
    return values


async def _check_flow(tx: Transaction, caller: Caller, row: Any, values: Values) -> Values:
    """Raises: NotFound; Forbidden for a service of another project."""
    if row is not None:
        return values
    service = await get_visible(tx, caller, TapService, values["tap_service_id"], kind="tap_service")
    await get_visible(tx, caller, Port, values["source_port"], kind="port")
    if service.project_id != project_of(caller, values):
        raise Forbidden(
            f"Tap service {service.id} is of project {service.project_id}; a tap flow is of the same project.",
            problem=Problem.TAP_SERVICE_OF_OTHERS,
        )
    return values


async def _check_port(tx: Transaction, caller: Caller, values: Values, id: str) -> None:
    """Raises: NotFound; Forbidden for a port of another project."""
    port = await get_visible(tx, caller, Port, id, kind="port")
    if port.project_id != project_of(caller, values):
        raise Forbidden(
            f"Port {port.id} is of project {port.project_id}; a tap is of the same project.",
            problem=Problem.TAP_PORT_OF_OTHERS,
        )


async def _remove_flows(tx: Transaction, _caller: Caller, row: Any) -> None:
    for flow in await tx.list(TapFlow, _where("tap_service_id", row.id)):
        tx.delete(flow)


async def _create_mirrors(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Raises: NotFound; Forbidden for a port of another project; Conflict for a tunnel another mirror has."""
    made = []
    for values in many:
        await _check_port(tx, caller, values, values["port_id"])
        row = new_row(tx, caller, TapMirror, values)
        for number in row.directions.values():
            if not await tx.claim(_TUNNELS, str(number), row.id):
                raise Conflict(
                    f"A tap mirror with tunnel_id {number} already exists.",
                    kind="tap_mirror",
                    problem=Problem.TAP_TUNNEL_TAKEN,
                )
        made.append(Made(await tx.get(TapMirror, row.id)))
    return made


async def _update_mirror(tx: Transaction, _caller: Caller, row: TapMirror, values: Values) -> TapMirror:
    return await replace_row(tx, row, values)


async def _delete_mirror(tx: Transaction, _caller: Caller, row: TapMirror) -> None:
    for number in set(row.directions.values()):
        tx.release(_TUNNELS, str(number))
    tx.delete(row)


def _where(field: str, id: str) -> Query:
    return Query((Condition(field, (id,)),))
