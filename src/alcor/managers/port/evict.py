"""`PUT /hosts/<id>/evict`: the ports of a host that is lost, or is to go at once, are on no host any more."""

from typing import Any

from alcor.managers.interface import Ask, Route, Service
from alcor.managers.port.manager import update_port
from alcor.model.address import Mac
from alcor.model.change import Origin
from alcor.model.errors import InvalidInput, NotFound
from alcor.model.host import Host
from alcor.model.port import Port
from alcor.store.interface import Condition, Query, Store, Transaction

# Ports a transaction: so that other writers wait for milliseconds, however many there are.
_AT_ONCE = 100


def evict_service(reserved: frozenset[Mac]) -> Service:
    """The path; `reserved`: as `update_port`."""

    async def evict(store: Store, ask: Ask) -> dict[str, Any]:
        """Shape: {unbound: how many}. Raises: NotFound; InvalidInput if the body is not empty."""
        if ask.body:
            raise InvalidInput("evict takes no members.")
        host_id, unbound = ask.names["host_id"], 0
        origin = Origin(ask.caller.request_id, ask.caller.user_id, ask.caller.project_id)

        async def some(tx: Transaction) -> int:
            host = await tx.find(Host, host_id)
            if host is None:
                raise NotFound("host", host_id)
            ports = await tx.list(
                Port, Query(where=(Condition("binding_host_id", (host.name,)),), limit=_AT_ONCE)
            )
            for port in ports:
                await update_port(tx, port, {"binding_host_id": ""}, reserved)
            return len(ports)

        while count := (await store.write(some, origin)).value:
            unbound += count
        return {"unbound": unbound}

    return Service(
        "node",
        (
            Route(
                "PUT",
                "/hosts/{host_id}/evict",
                evict,
                "evict_host",
                "rule:admin_only",
                "Unbind every port that is bound to a host",
                schema={
                    "type": "object",
                    "properties": {"unbound": {"type": "integer"}},
                    "required": ["unbound"],
                    "additionalProperties": False,
                },
            ),
        ),
    )
