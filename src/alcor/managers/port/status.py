"""Status of ports: joined at read time from what was observed, never stored with intent (protocol, section 5)."""

from collections.abc import Sequence

from alcor.managers.interface import Caller
from alcor.managers.port.binding import BOUND
from alcor.model.host import Host
from alcor.model.port import Port
from alcor.store.interface import Condition, HostObservation, PortObservation, Query, Store

DOWN = "DOWN"


async def load_status(store: Store, _caller: Caller, rows: Sequence[Port]) -> dict[str, str]:
    """ACTIVE, BUILD or DOWN of each port. Cost: three reads, however many ports."""
    bound = [row for row in rows if row.admin_state_up and row.binding_vif_type == BOUND]
    names = tuple(sorted({row.binding_host_id for row in bound}))
    found = await store.reader.list(Host, Query(where=(Condition("name", names),))) if names else []
    hosts = {host.name: host.id for host in found}
    ports = await store.observations.ports([row.id for row in bound]) if bound else {}
    seen = await store.observations.hosts(sorted(hosts.values())) if hosts else {}
    status = dict.fromkeys((row.id for row in rows), DOWN)
    for row in bound:
        host_id = hosts.get(row.binding_host_id, "")
        status[row.id] = status_of(row, host_id, ports.get(row.id), seen.get(host_id))
    return status


def status_of(row: Port, host_id: str, port: PortObservation | None, host: HostObservation | None) -> str:
    """The status of one bound port that is administratively up.

    What was seen counts only if it was seen on the host the port is bound to now, of the present
    binding, and that host is heard: so status is never early, and a lost host shows DOWN.
    """
    if port is None or host is None or not host.alive:
        return DOWN
    if (port.host_id, port.binding_generation) != (host_id, row.binding_generation):
        return DOWN
    return port.status
