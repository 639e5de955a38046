"""What is known of MAC addresses: who has one, and how many of a network's are taken."""

from typing import Any

from alcor.managers.interface import Ask, Caller, Route, Service
from alcor.managers.mac.allocation import load_numbers, space_of
from alcor.managers.row import get_visible
from alcor.model.address import parse_mac
from alcor.model.errors import InvalidInput, NotFound
from alcor.model.mac_allocation import ACTIVE, MacAllocation
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.store.interface import Condition, Query, Store, Transaction

# One address is on few networks; who has it on more lists ports.
_STATES_MAX = 1_000
_READ = "role:reader or rule:admin_only"
_TEXT = {"type": "string"}
_COUNT = {"type": "integer", "minimum": 0}
_NULLABLE = {"anyOf": [_TEXT, {"type": "null"}]}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }


_STATE = _object(
    {
        "mac_address": _TEXT,
        "network_id": _TEXT,
        "project_id": _TEXT,
        "state": _TEXT,
        "port_id": _NULLABLE,
        "mac_id": _NULLABLE,
    }
)


def service() -> Service:
    """`GET /macs/state/<address>` and `GET /macs/usage/<network>`."""
    return Service(
        "mac",
        (
            Route(
                "GET",
                "/macs/state/{mac_address}",
                state,
                "get_mac_state",
                _READ,
                "Who has a MAC address, on each network of the caller's",
                schema=_object({"mac_states": {"type": "array", "items": _STATE}}),
            ),
            Route(
                "GET",
                "/macs/usage/{network_id}",
                usage,
                "get_mac_usage",
                _READ,
                "How many MAC addresses a network has taken, and how many the enabled ranges have",
                schema=_object(
                    {
                        "usage": _object(
                            {"network_id": _TEXT, "total": _COUNT, "used": _COUNT, "available": _COUNT}
                        )
                    }
                ),
            ),
        ),
    )


async def state(store: Store, ask: Ask) -> dict[str, Any]:
    """Ports and rows of `/macs` that have the address. Raises: InvalidInput; NotFound if nobody the caller sees has."""
    try:
        mac = parse_mac(ask.names["mac_address"])
    except ValueError as error:
        raise InvalidInput(str(error), attribute="mac_address") from error
    ports, others = _query(ask.caller, mac, "port"), _query(ask.caller, mac, "mac")
    found = [
        _state(mac, port.network_id, port.project_id, ACTIVE, port_id=port.id)
        for port in await store.reader.list(Port, ports)
    ]
    found += [
        _state(mac, row.network_id, row.project_id, row.state, mac_id=row.id)
        for row in await store.reader.list(MacAllocation, others)
    ]
    if not found:
        raise NotFound("mac", mac)
    return {"mac_states": found}


def _query(caller: Caller, mac: str, kind: str) -> Query:
    """Who has the address, of a kind: all, or what is the caller's."""
    where: tuple[Condition, ...] = (Condition("mac_address", (mac,)),)
    if not caller.sees_every(kind):
        # A caller without a project owns nothing: then no value matches.
        where += (Condition("project_id", (caller.project_id,) if caller.project_id else ()),)
    return Query(where, limit=_STATES_MAX)


def _state(
    mac: str,
    network_id: str,
    project_id: str,
    state: str,
    *,
    port_id: str | None = None,
    mac_id: str | None = None,
) -> dict[str, Any]:
    return {
        "mac_address": mac,
        "network_id": network_id,
        "project_id": project_id,
        "state": state,
        "port_id": port_id,
        "mac_id": mac_id,
    }


async def usage(store: Store, ask: Ask) -> dict[str, Any]:
    """A network's numbers. Addresses outside of the ranges count as used too. Raises: NotFound."""

    async def work(tx: Transaction) -> dict[str, Any]:
        network = await get_visible(tx, ask.caller, Network, ask.names["network_id"], kind="network")
        total, used = (await load_numbers(tx)).size, await tx.claims_count(space_of(network.id))
        return {"network_id": network.id, "total": total, "used": used, "available": max(total - used, 0)}

    return {"usage": (await store.write(work)).value}
