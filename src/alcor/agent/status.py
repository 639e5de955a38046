"""The agent's status for people and probes: one JSON line over a unix socket, then the end."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Protocol

import orjson

from alcor.agent.view import HostView
from alcor.pipeline.live import ofport_of
from alcor.pipeline.outer import live_router, serves
from alcor.pipeline.tables import ROUTER_ZONES_FROM
from alcor.pipeline.view import Allocation

_ANSWER_BYTES_MAX = 64 * 1024 * 1024
ANSWER_S_MAX = 5.0


class Told(Protocol):
    """Who has a status."""

    def status(self) -> dict[str, Any]:
        """What is to be shown, as JSON values."""


def facts_of(held: HostView, allocation: Allocation) -> dict[str, Any]:
    """What a host has, as JSON values. Cost: O(the view's ports, routers and floating IPs).

    Shape: ports (id → {name, network_id, plugged, closed, obstacles (sentences: why it is closed), ofport, port_key,
    zone}), routers (id → {router_key, zone, networks, gateway_hosts, is_gateway, is_active}), floating_ips (id → {ip,
    router_id, port_id, is_central}), on_demand (scope → how many of its items are held), relays (network ids).
    `is_active`: of the router's gateway hosts that are not known to be lost, this one is the first.
    """
    view = held.resolved
    return {
        "ports": {
            port.id: {
                "name": port.name,
                "network_id": port.network_id,
                "plugged": ofport_of(port, view, allocation) > 0,
                "closed": port.id in view.closed,
                "obstacles": [f"{scope} {lack.value}" for scope, lack in held.obstacles(port.id)],
                "ofport": ofport_of(port, view, allocation),
                "port_key": allocation.port_keys.get(port.id, 0),
                "zone": allocation.port_keys.get(port.id, 0),
            }
            for port in (*view.ports.values(), *view.closed.values())
        },
        "routers": {id: _router_facts(id, held, allocation) for id in view.routers},
        "floating_ips": {
            one.id: {
                "ip": one.ip,
                "router_id": one.router_id,
                "port_id": one.port_id,
                "is_central": one.is_central,
            }
            for one in view.floating_ips.values()
        },
        "on_demand": {str(scope): len(keys) for scope, keys in held.lazy_keys().items()},
        "relays": sorted(view.relays),
    }


def _router_facts(router_id: str, held: HostView, allocation: Allocation) -> dict[str, Any]:
    router = held.resolved.routers[router_id]
    key = allocation.router_keys.get(router_id, 0)
    live = live_router(router_id, held.resolved, allocation)
    return {
        "router_key": key,
        "zone": ROUTER_ZONES_FROM + key if key else 0,
        "networks": sorted({interface.network_id for interface in router.interfaces}),
        "gateway_hosts": [one.host_id for one in router.gateway_hosts],
        "is_gateway": router_id in held.resolved.gateways,
        "is_active": live is not None and serves(live, held.resolved, allocation),
    }


@asynccontextmanager
async def serve(path: Path, agent: Told) -> AsyncIterator[None]:
    """Answer on `path` until the context ends. A socket that a dead process left is replaced.

    Raises: OSError if the path cannot be used, or a live agent answers there.
    """

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            writer.write(orjson.dumps(agent.status()) + b"\n")
            await writer.drain()
        writer.close()
        with suppress(ConnectionError):
            await writer.wait_closed()

    if _prepare(path):
        await _remove_dead(path)
    # Only the agent's user may ask: the status names tenants' ports.
    before = os.umask(0o077)
    try:
        server = await asyncio.start_unix_server(answer, path)
    finally:
        os.umask(before)
    try:
        yield
    finally:
        server.close()
        await server.wait_closed()
        _unlink(path)


def _prepare(path: Path) -> bool:
    """Have the folder; returns whether a socket lies there already."""
    path.parent.mkdir(parents=True, exist_ok=True)
    return path.is_socket()


def _unlink(path: Path) -> None:
    path.unlink(missing_ok=True)


async def _remove_dead(path: Path) -> None:
    try:
        _, writer = await asyncio.open_unix_connection(path)
    except ConnectionRefusedError:
        _unlink(path)
        return
    writer.close()
    raise OSError(f"an agent already answers at {path}; stop it, or give this one another --status-socket")


async def fetch(path: Path) -> dict[str, Any]:
    """Ask the agent at `path`. Raises: OSError if none answers."""
    async with asyncio.timeout(ANSWER_S_MAX):
        reader, writer = await asyncio.open_unix_connection(path, limit=_ANSWER_BYTES_MAX)
        try:
            line = await reader.readline()
        finally:
            writer.close()
    if not line:
        raise OSError(f"the agent at {path} closed the connection without an answer")
    facts: dict[str, Any] = orjson.loads(line)
    return facts
