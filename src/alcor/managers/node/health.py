"""Health of hosts: what was observed, joined at read time."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from alcor.managers.interface import Caller
from alcor.model.host import OUT, Host
from alcor.store.interface import HostObservation, Store


async def load_status(store: Store, _caller: Caller, rows: Sequence[Host]) -> dict[str, str]:
    """UP while a host's agent is heard, else DOWN. Cost: one read, however many hosts."""
    seen = await store.observations.hosts([row.id for row in rows])
    return {row.id: _status(seen.get(row.id)) for row in rows}


def _status(seen: HostObservation | None) -> str:
    return "UP" if seen is not None and seen.alive else "DOWN"


async def load_state(store: Store, _caller: Caller, rows: Sequence[Host]) -> dict[str, str]:
    """What may be expected of each host: one of `HEALTH_STATES`. Cost: one read, however many hosts."""
    seen = await store.observations.hosts([row.id for row in rows])
    return {row.id: _state(row, seen.get(row.id)) for row in rows}


def _state(row: Host, seen: HostObservation | None) -> str:
    if row.rotation == OUT:
        return "OUT_OF_ROTATION"
    if _status(seen) == "DOWN":
        return "DOWN"
    if not row.takes_work:
        return "DRAINING"
    return "DEGRADED" if complaints(seen) else "UP"


def complaints(seen: HostObservation | None) -> list[str]:
    """What is wrong with a host, a sentence each; empty if nothing is."""
    if seen is None:
        return ["its agent was never heard"]
    found = [seen.detail] if seen.detail else []
    if not seen.alive:
        switch = f"; its switch answers {seen.reached_by} neighbours" if seen.reached_by else ""
        found.insert(0, f"its agent is not heard{switch}")
    if seen.paths_down:
        found.append(f"it does not reach {', '.join(seen.paths_down)}")
    if seen.missed_by:
        found.append(f"{seen.missed_by} neighbours do not reach it")
    return found


async def load_health(store: Store, _caller: Caller, row: Host) -> dict[str, Any]:
    """What is known of a host and of the ports seen on it.

    Shape: `seen_at` is UTC, ISO 8601, seconds, null if it was never heard; `realized_at_ms` unix milliseconds by
           the host's clock, 0 if its switch never confirmed the port.
    """
    seen = (await store.observations.hosts([row.id])).get(row.id)
    ports = await store.observations.ports_of_host(row.id)
    health = {
        "status": _status(seen),
        "health_state": _state(row, seen),
        "alive": seen is not None and seen.alive,
        "seen_at": _iso(seen.seen_at_ms) if seen is not None and seen.seen_at_ms else None,
        "agent_version": seen.agent_version if seen else "",
        "realized_revision": seen.realized_revision if seen else 0,
        "detail": seen.detail if seen else "",
        "complaints": complaints(seen),
        "paths_down": list(seen.paths_down) if seen else [],
        "reached_by": seen.reached_by if seen else 0,
        "missed_by": seen.missed_by if seen else 0,
        "ports": [
            {
                "port_id": port.port_id,
                "status": port.status,
                "plugged": port.plugged,
                "ofport": port.ofport,
                "realized_at_ms": port.realized_at_ms,
            }
            for port in sorted(ports, key=lambda port: port.port_id)
        ],
    }
    return {"health": health}


def _iso(unix_ms: int) -> str:
    return datetime.fromtimestamp(unix_ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
