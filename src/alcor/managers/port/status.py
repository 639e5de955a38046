"""Status of ports: joined at read time from what was observed, never stored with intent (protocol, section 5)."""

from collections.abc import Sequence

from alcor.managers.interface import Caller
from alcor.managers.port.binding import BOUND
from alcor.model.host import SWITCH_GONE, Host
from alcor.model.port import Port, extra_of
from alcor.model.trunk import Trunk
from alcor.store.interface import Condition, HostObservation, PortObservation, Query, Store

DOWN = "DOWN"


async def load_status(store: Store, _caller: Caller, rows: Sequence[Port]) -> dict[str, str]:
    """ACTIVE, BUILD or DOWN of each port. Cost: three reads, however many ports; two more if there are subports."""
    places = await _places(store, [row for row in rows if row.admin_state_up])
    bound = [row for row in rows if row.id in places]
    names = tuple(sorted(set(places.values())))
    found = await store.reader.list(Host, Query(where=(Condition("name", names),))) if names else []
    hosts = {host.name: host.id for host in found}
    ports = await store.observations.ports([row.id for row in bound]) if bound else {}
    seen = await store.observations.hosts(sorted(hosts.values())) if hosts else {}
    status = dict.fromkeys((row.id for row in rows), DOWN)
    for row in bound:
        host_id = hosts.get(places[row.id], "")
        status[row.id] = status_of(row, host_id, ports.get(row.id), seen.get(host_id))
    return status


async def _places(store: Store, rows: Sequence[Port]) -> dict[str, str]:
    """Port id → the name of the host it is bound to; a subport is where its trunk's parent is, while both are up."""
    places = {row.id: row.binding_host_id for row in rows if row.binding_vif_type == BOUND}
    trunk_ids = {
        row.id: trunk_id for row in rows if row.id not in places and (trunk_id := extra_of(row).trunk_id)
    }
    if not trunk_ids:
        return places
    trunks = await store.reader.find_many(Trunk, sorted(set(trunk_ids.values())))
    parents = await store.reader.find_many(Port, sorted({trunk.port_id for trunk in trunks.values()}))
    for id, trunk_id in trunk_ids.items():
        trunk = trunks.get(trunk_id)
        parent = parents.get(trunk.port_id) if trunk is not None and trunk.admin_state_up else None
        if parent is not None and parent.admin_state_up and parent.binding_vif_type == BOUND:
            places[id] = parent.binding_host_id
    return places


def status_of(row: Port, host_id: str, port: PortObservation | None, host: HostObservation | None) -> str:
    """The status of one bound port that is administratively up.

    What was seen counts only if it was seen on the host the port is bound to now, of the present
    binding, and that host is heard and has its switch: so status is never early, and a lost host or switch shows DOWN.
    """
    if port is None or host is None or not host.alive or SWITCH_GONE in host.detail:
        return DOWN
    if (port.host_id, port.binding_generation) != (host_id, row.binding_generation):
        return DOWN
    return port.status
