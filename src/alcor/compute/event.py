"""What the compute service is to be told, as values; pure functions of what changed.

Source: Compute API, "Create external events"; the reference server sends the same four for the same reasons.
"""

from dataclasses import dataclass
from typing import Any

from alcor.model.change import Change
from alcor.model.floatingip import FloatingIp
from alcor.model.ids import is_uuid
from alcor.model.port import Port

PLUGGED, UNPLUGGED = "network-vif-plugged", "network-vif-unplugged"
DELETED, CHANGED = "network-vif-deleted", "network-changed"
COMPLETED = "completed"
_SERVERS = "compute:"


@dataclass(frozen=True, slots=True)
class Event:
    """One event of one server. `tag` is the port's id; `status` is empty where the Compute API takes none."""

    name: str
    server_uuid: str
    tag: str
    status: str = ""

    def document(self) -> dict[str, str]:
        """The event in a request's body."""
        found = {"name": self.name, "server_uuid": self.server_uuid, "tag": self.tag}
        return found | {"status": self.status} if self.status else found


def is_of_server(port: Port) -> bool:
    """Whether a port is a virtual machine's: only of those the compute service is told."""
    return port.device_owner.startswith(_SERVERS) and is_uuid(port.device_id)


def plugged(port: Port) -> Event:
    """The port is programmed: the server may start."""
    return Event(PLUGGED, port.device_id, port.id, COMPLETED)


def unplugged(port: Port) -> Event:
    """The port's interface is gone from its switch."""
    return Event(UNPLUGGED, port.device_id, port.id, COMPLETED)


def changed(port: Port) -> Event:
    """Addresses of the server are others than before: the compute service asks for them again."""
    return Event(CHANGED, port.device_id, port.id)


def of_port(change: Change) -> list[Event]:
    """What a change of a port means to its server: it was deleted under it, or its addresses changed."""
    before, after = change.before, change.after
    if isinstance(before, Port) and after is None:
        return [Event(DELETED, before.device_id, before.id)] if is_of_server(before) else []
    if isinstance(before, Port) and isinstance(after, Port) and is_of_server(after):
        same_server = before.device_id == after.device_id
        if same_server and _addresses(before) != _addresses(after):
            return [changed(after)]
    return []


def ports_of_floating_ip(change: Change) -> set[str]:
    """The ports to whose servers a change of a floating IP matters: it came to them, or left them."""
    before, after = _associated(change.before), _associated(change.after)
    return set() if before == after else {port_id for port_id, *_ in (before, after) if port_id}


def _addresses(port: Port) -> Any:
    return port.fixed_ips, port.mac_address


def _associated(row: Any) -> tuple[str, str, str]:
    if not isinstance(row, FloatingIp):
        return "", "", ""
    return row.port_id or "", row.fixed_ip_address or "", row.floating_ip_address
