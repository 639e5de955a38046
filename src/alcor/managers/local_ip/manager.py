"""`/v2.0/local_ips` and their `port_associations`.

Source: Networking API v2.0, "Local IPs"; extension local_ip.
"""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.router.attached import subnets_of_network
from alcor.managers.router.named import get_port
from alcor.managers.router.ports import Ports
from alcor.managers.row import get_visible, new_row, project_of, replace_row
from alcor.model.errors import Conflict, InUse, InvalidInput, NotFound, Problem
from alcor.model.extension import Extension
from alcor.model.local_ip import (
    LOCAL_IP,
    LOCAL_IP_ASSOCIATION,
    LOCAL_IP_OWNER,
    LocalIp,
    LocalIpAssociation,
)
from alcor.model.network import Network
from alcor.model.port import Port, WantedIp
from alcor.model.resource import UNSET
from alcor.store.interface import Condition, Query, Store, Transaction

_EXTENSIONS = (
    Extension(
        "local_ip",
        "Local IP",
        "Addresses that mean another port on every host.",
        "2021-07-26T10:00:00-00:00",
    ),
)


def family(ports: Ports) -> tuple[Manager, ...]:
    """Local IPs and their associations. `ports`: the Port Manager."""
    desk = _Desk(ports)
    return (
        Manager(
            LOCAL_IP,
            "local_ip",
            create=desk.create,
            update=desk.update,
            delete=desk.delete,
            extensions=_EXTENSIONS,
        ),
        Manager(
            LOCAL_IP_ASSOCIATION,
            "local_ip",
            create=associate,
            delete=dissociate,
            computed={"host": load_hosts, "local_ip_address": load_addresses},
        ),
    )


class _Desk:
    """The verbs of local IPs; they share the way to the Port Manager."""

    def __init__(self, ports: Ports) -> None:
        self._ports = ports

    async def create(self, tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        """Take the address of a port, or a new one of a network.

        Raises: InvalidInput if neither is named, or the port does not have the address; NotFound (network); what
                making a port raises.
        """
        made = []
        for values in many:
            id, address = tx.new_id(), _said(values, "local_ip_address")
            port_id, network_id = _said(values, "local_port_id"), _said(values, "network_id")
            if port_id is not None:
                port = await _named_port(tx, caller, "local_ip", port_id)
                address = _address_of(port, address)
            elif network_id is not None:
                project_id = project_of(caller, values)
                port = await self._make_port(tx, caller, project_id, id, network_id, address)
                address = port.fixed_ips[0].ip_address
            else:
                raise InvalidInput(
                    "Either Port ID or Network ID must be specified for Local IP create.",
                    problem=Problem.LOCAL_IP_WITHOUT_PLACE,
                )
            new_row(
                tx,
                caller,
                LocalIp,
                values,
                id=id,
                local_port_id=port.id,
                network_id=port.network_id,
                local_ip_address=address,
            )
            made.append(Made(await tx.get(LocalIp, id)))
        return made

    async def _make_port(
        self, tx: Transaction, caller: Caller, project_id: str, id: str, network_id: str, address: str | None
    ) -> Port:
        network = await get_visible(tx, caller, Network, network_id, kind="network")
        if all(subnet.ip_version != 4 for subnet in await subnets_of_network(tx, network.id)):
            raise _bad("local_ip", f"Network {network.id} does not contain any IPv4 subnet")
        return await self._ports.create(
            tx,
            caller,
            project_id=project_id,
            network_id=network.id,
            fixed_ips=UNSET if address is None else (WantedIp(None, address),),
            device_id=id,
            device_owner=LOCAL_IP_OWNER,
        )

    async def update(self, tx: Transaction, _caller: Caller, row: LocalIp, values: Values) -> LocalIp:
        """Change name or description."""
        return await replace_row(tx, row, values)

    async def delete(self, tx: Transaction, caller: Caller, row: LocalIp) -> None:
        """Give the address back. Raises: InUse if a port is associated with it."""
        if await tx.list(LocalIpAssociation, Query((Condition("local_ip_id", (row.id,)),), limit=1)):
            raise InUse(
                "LocalIP", row.id, by="it is still associated with one or more ports; dissociate them"
            )
        port = await tx.get(Port, row.local_port_id)
        tx.delete(row)
        if port.device_owner == LOCAL_IP_OWNER:
            await self._ports.delete(tx, caller, port)


def _said(values: Values, name: str) -> str | None:
    value: Any = values.get(name, UNSET)
    return None if value is UNSET else value


def _bad(what: str, reason: str) -> InvalidInput:
    return InvalidInput(f"Bad {what} request: {reason}.", problem=Problem.BAD_REQUEST)


async def _named_port(tx: Transaction, caller: Caller, what: str, id: str) -> Port:
    try:
        return await get_port(tx, caller, id)
    except NotFound as error:
        raise _bad(what, f"Port {id} not found") from error


def _address_of(port: Port, wanted: str | None) -> str:
    """The address of a port that is meant. Raises: InvalidInput."""
    own = [one.ip_address for one in port.fixed_ips]
    if not own:
        raise InvalidInput(
            f"Specified Port {port.id} has no fixed IPs configured.", problem=Problem.LOCAL_IP_NO_ADDRESS
        )
    if wanted is not None and wanted not in own:
        raise InvalidInput(
            f"Specified Port {port.id} does not have requested IP address: {wanted}.",
            problem=Problem.LOCAL_IP_OTHER_ADDRESS,
        )
    if wanted is None and len(own) > 1:
        raise InvalidInput(
            f"Specified Port {port.id} has several IPs, should specify exact IP address to use for Local IP.",
            problem=Problem.LOCAL_IP_MANY_ADDRESSES,
        )
    return wanted or own[0]


def _space(local_ip_id: str) -> str:
    return f"local_ip_association:{local_ip_id}"


async def associate(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Let a local IP mean a port on that port's host.

    Raises: InvalidInput if there is no such port, or it does not have the address; Conflict if it is associated.
    """
    made = []
    for values in many:
        local = await tx.get(LocalIp, values["local_ip_id"])
        port = await _named_port(tx, caller, "local_ip_port_association", values["fixed_port_id"])
        address = _address_of(port, _said(values, "fixed_ip"))
        row = new_row(tx, caller, LocalIpAssociation, values, fixed_ip=address, project_id=local.project_id)
        if not await tx.claim(_space(local.id), port.id, row.id):
            raise Conflict(
                f"Local IP {local.id} is associated with port {port.id} already.",
                kind="LocalIPAssociation",
                id=port.id,
            )
        made.append(Made(await tx.get(LocalIpAssociation, row.id)))
    return made


async def dissociate(tx: Transaction, _caller: Caller, row: LocalIpAssociation) -> None:
    """Let a local IP mean a port no more."""
    tx.release(_space(row.local_ip_id), row.fixed_port_id)
    tx.delete(row)


async def leave(tx: Transaction, caller: Caller, port: Port) -> None:
    """A port goes: local IPs mean it no more. Raises: InUse if a local IP has its address of it."""
    owner = await tx.list(LocalIp, Query((Condition("local_port_id", (port.id,)),), limit=1))
    if owner:
        raise InUse(
            "port",
            port.id,
            by=f"it is still referenced by local IP {owner[0].id}; delete that first",
            problem=Problem.PORT_OF_SERVICE,
        )
    for row in await tx.list(LocalIpAssociation, Query((Condition("fixed_port_id", (port.id,)),))):
        await dissociate(tx, caller, row)


async def load_hosts(store: Store, _caller: Caller, rows: Sequence[LocalIpAssociation]) -> dict[str, str]:
    """The host of each associated port. Cost: one read."""
    ports = await store.reader.find_many(Port, sorted({row.fixed_port_id for row in rows}))
    return {row.id: _host(ports.get(row.fixed_port_id)) for row in rows}


def _host(port: Port | None) -> str:
    return "" if port is None else port.binding_host_id


async def load_addresses(store: Store, _caller: Caller, rows: Sequence[LocalIpAssociation]) -> dict[str, str]:
    """The address of each local IP. Cost: one read."""
    found = await store.reader.find_many(LocalIp, sorted({row.local_ip_id for row in rows}))
    return {row.id: found[row.local_ip_id].local_ip_address for row in rows if row.local_ip_id in found}
