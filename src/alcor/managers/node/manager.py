"""The Node Manager: hosts."""

import hashlib
import ipaddress
from collections.abc import Sequence
from typing import Any

import msgspec

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.node.drain import drain, load_drain, undrain
from alcor.managers.node.health import load_health, load_state, load_status
from alcor.managers.node.ncm import assign
from alcor.managers.row import NAMED_MAX, name_users, replace_row
from alcor.model.errors import Conflict, InUse, InvalidInput, Problem
from alcor.model.gateway_standing import GatewayStanding, standing_id
from alcor.model.host import HOST, IN, OUT, Host
from alcor.model.port import Port
from alcor.model.rescue_lease import RescueLease, rescue_id
from alcor.store.interface import Condition, Query, Transaction

_NAMES = "host_name"
_VTEPS = "vtep"


def manager() -> Manager:
    """`/hosts`, with `GET /hosts/<id>/health` and `PUT /hosts/<id>/rotate_token`."""
    return Manager(
        HOST,
        "node",
        create=create,
        update=update,
        delete=delete,
        computed={"status": load_status, "health_state": load_state},
        children={"health": load_health, "drain": load_drain},
        actions={"rotate_token": rotate_token, "revoke": revoke, "drain": drain, "undrain": undrain},
    )


async def create(tx: Transaction, _caller: Caller, many: Sequence[Values]) -> list[Made]:
    """Register hosts. The secret of a host's agent is in this answer and nowhere else; its digest is stored.

    Ports that name the host already stay `binding_failed` until they are bound again.
    Raises: Conflict (NAME_TAKEN, or an address another host has); InvalidInput (no address, or one no host can have);
            as `assign`.
    """
    made = []
    for values in many:
        secret = tx.new_secret()
        made.append(Made(await register(tx, values, token_digest=digest(secret)), {"token": secret}))
    return made


async def register(tx: Transaction, values: Values, *, token_digest: str = "", key_digest: str = "") -> Host:
    """One host, whose agent proves itself by a token or a key. Raises: as `create`."""
    id, name = tx.new_id(), values["name"]
    if not await tx.claim(_NAMES, name, id):
        raise Conflict(
            f"Host name '{name}' is taken; choose another, or delete that host first.",
            kind="host",
            problem=Problem.NAME_TAKEN,
        )
    vteps = tuple(values["vtep_addresses"])
    await _take_vteps(tx, vteps, id)
    await assign(tx, None, values.get("ncm_id"))
    tx.insert(
        Host(
            id=id,
            name=name,
            description=values.get("description", ""),
            vtep_addresses=vteps,
            admin_state_up=values.get("admin_state_up", True),
            availability_zone=values.get("availability_zone", "nova"),
            control_address=values.get("control_address"),
            mac_address=values.get("mac_address"),
            cluster=values.get("cluster", ""),
            ncm_id=values.get("ncm_id"),
            rotation=values.get("rotation", IN),
            gateway=values.get("gateway", False),
            bridge_mappings=values.get("bridge_mappings", {}),
            token_digest=token_digest,
            key_digest=key_digest,
        )
    )
    return await tx.get(Host, id)


def digest(secret: str) -> str:
    """What is stored of a secret: its SHA-256 in hexadecimal. It has 256 random bits, so no salt is needed."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def _take_vteps(tx: Transaction, vteps: Sequence[str], host_id: str) -> None:
    if not vteps:
        raise InvalidInput("a host needs at least one address for tunnels.", attribute="vtep_addresses")
    for vtep in vteps:
        address = ipaddress.ip_address(vtep)
        if address.is_multicast or address.is_unspecified:
            raise InvalidInput(f"{vtep} is not an address a host can have.", attribute="vtep_addresses")
        if not await tx.claim(_VTEPS, vtep, host_id):
            raise Conflict(
                f"Tunnel address {vtep} belongs to another host already; packets for both would go to one.",
                kind="host",
            )


async def update(tx: Transaction, _caller: Caller, row: Host, values: Values) -> Host:
    """Change what a host is, where it is, or whether it is in rotation.

    A host that is no gateway host any more is forgiven that it was lost: as one again it stands where it once stood.
    Raises: Conflict, InvalidInput; as `create`; InUse if it is to leave the rotation with ports on it.
    """
    await assign(tx, row.ncm_id, values.get("ncm_id", row.ncm_id))
    if values.get("rotation") == OUT and row.rotation != OUT:
        await _check_empty(tx, row)
    if "vtep_addresses" in values:
        vteps = tuple(values["vtep_addresses"])
        await _take_vteps(tx, vteps, row.id)
        for gone in set(row.vtep_addresses) - set(vteps):
            tx.release(_VTEPS, gone)
        values = values | {"vtep_addresses": vteps}
    if row.gateway and not values.get("gateway", True):
        standing = await tx.find(GatewayStanding, standing_id(row.id))
        if standing is not None:
            tx.update(msgspec.structs.replace(standing, lost_at_ms=0))
    return await replace_row(tx, row, values)


async def rotate_token(tx: Transaction, _caller: Caller, row: Host, values: Values) -> dict[str, Any]:
    """Give the host's agent a new secret; the old one is refused from now on.

    Returns: `{"token": <secret>}`, shown this once. Raises: InvalidInput if the body is not empty.
    """
    if values:
        raise InvalidInput(f"rotate_token takes no members, got {sorted(values)}.")
    secret = tx.new_secret()
    await replace_row(tx, row, {"token_digest": digest(secret)})
    return {"token": secret}


async def revoke(tx: Transaction, _caller: Caller, row: Host, values: Values) -> dict[str, Any]:
    """Forget the host's key and token: its agent is refused from now on, until it joins again.

    Raises: InvalidInput if the body is not empty.
    """
    if values:
        raise InvalidInput(f"revoke takes no members, got {sorted(values)}.")
    return {"host": await replace_row(tx, row, {"token_digest": "", "key_digest": ""})}


async def _check_empty(tx: Transaction, row: Host) -> None:
    bound = await tx.list(
        Port, Query(where=(Condition("binding_host_id", (row.name,)),), limit=NAMED_MAX + 1)
    )
    if bound:
        raise InUse("host", row.id, by=f"{name_users('port', [port.id for port in bound])} is bound to it")


async def delete(tx: Transaction, _caller: Caller, row: Host) -> None:
    """Forget a host. Raises: InUse naming the ports that are bound to it."""
    await _check_empty(tx, row)
    await assign(tx, row.ncm_id, None)
    tx.release(_NAMES, row.name)
    for vtep in row.vtep_addresses:
        tx.release(_VTEPS, vtep)
    standing = await tx.find(GatewayStanding, standing_id(row.id))
    if standing is not None:
        tx.delete(standing)
    lease = await tx.find(RescueLease, rescue_id(row.id))
    if lease is not None:
        tx.delete(lease)
    tx.delete(row)
