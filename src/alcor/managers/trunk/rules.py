"""Which ports may be on a trunk, and with which tag.

Source: Networking API v2.0, "Trunk networking"; the error types are the reference server's.
"""

from collections.abc import Sequence

from alcor.managers.interface import Caller
from alcor.managers.row import get_visible
from alcor.model.errors import Conflict, InUse, InvalidInput, Problem
from alcor.model.network import Network
from alcor.model.port import Port, extra_of
from alcor.model.trunk import INHERIT, VLAN, VLAN_MAX, VLAN_MIN, SubPort, WantedSubPort
from alcor.store.interface import Transaction

SUB_PORT_OWNER = "trunk:subport"


async def get_parent(tx: Transaction, caller: Caller, port_id: str) -> Port:
    """The port that is to carry a trunk; it may be bound. Raises: NotFound; InUse if it is on a trunk already."""
    port = await get_visible(tx, caller, Port, port_id, kind="port")
    trunk_id = extra_of(port).trunk_id
    if trunk_id is None:
        return port
    if port.device_owner == SUB_PORT_OWNER:
        raise InUse(
            "port",
            port.id,
            by=f"it is a subport of trunk {trunk_id}; remove it from there first",
            problem=Problem.TRUNK_PORT_IN_USE,
        )
    raise InUse(
        "port",
        port.id,
        by=f"it is the parent port of trunk {trunk_id}, and a port has one trunk",
        problem=Problem.PARENT_PORT_IN_USE,
    )


async def check_sub_ports(
    tx: Transaction,
    caller: Caller,
    parent: Port,
    wanted: Sequence[WantedSubPort],
    present: Sequence[SubPort],
) -> list[tuple[Port, SubPort]]:
    """The ports a client names, with the tags they get.

    Cost:   a read per port and per network of one.
    Raises: NotFound (port); InUse for one that is on a trunk or in use by a device; Conflict for a tag or an MTU that
            does not fit; InvalidInput for a tag that is none.
    """
    networks: dict[str, Network] = {}
    taken = {(one.segmentation_type, one.segmentation_id) for one in present}
    limit = await _network(tx, networks, parent)
    found = []
    for one in wanted:
        if one.port_id == parent.id:
            raise InUse(
                "port", parent.id, by="it is the trunk's own parent port", problem=Problem.PARENT_PORT_IN_USE
            )
        port = await get_visible(tx, caller, Port, one.port_id, kind="port")
        network = await _network(tx, networks, port)
        _check_free(port)
        if network.mtu > limit.mtu:
            raise Conflict(
                f"Port {port.id} is on a network of MTU {network.mtu}, more than the {limit.mtu} of the trunk's: its "
                "packets would not pass the parent port. Lower that network's mtu.",
                kind="port",
                id=port.id,
                problem=Problem.SUBPORT_MTU,
            )
        tag = _tag(one, network)
        if (tag.segmentation_type, tag.segmentation_id) in taken:
            raise InUse(
                "trunk",
                extra_of(parent).trunk_id or "",
                by=f"{tag.segmentation_type} {tag.segmentation_id} is the tag of another of its subports",
                problem=Problem.SUBPORT_TWICE,
            )
        taken.add((tag.segmentation_type, tag.segmentation_id))
        found.append((port, tag))
    return found


async def _network(tx: Transaction, known: dict[str, Network], port: Port) -> Network:
    if port.network_id not in known:
        known[port.network_id] = await tx.get(Network, port.network_id)
    return known[port.network_id]


def _check_free(port: Port) -> None:
    trunk_id = extra_of(port).trunk_id
    if trunk_id is not None:
        parent = port.device_owner != SUB_PORT_OWNER
        raise InUse(
            "port",
            port.id,
            by=f"it is {'the parent port' if parent else 'a subport'} of trunk {trunk_id}",
            problem=Problem.PARENT_PORT_IN_USE if parent else Problem.TRUNK_PORT_IN_USE,
        )
    if port.device_id:
        raise InUse("port", port.id, by=f"device {port.device_id} has it")


def _tag(wanted: WantedSubPort, network: Network) -> SubPort:
    kind, number = wanted.segmentation_type, wanted.segmentation_id
    if kind == INHERIT:
        kind, number = network.provider_network_type, network.provider_segmentation_id
    if kind is None or number is None:
        raise InvalidInput(
            f"Subport {wanted.port_id} needs both segmentation_type and segmentation_id.",
            attribute="sub_ports",
        )
    if kind != VLAN:
        raise InvalidInput(
            f"Unknown segmentation_type '{kind}' of subport {wanted.port_id}: there is {VLAN}.",
            attribute="sub_ports",
        )
    if not VLAN_MIN <= number <= VLAN_MAX:
        raise InvalidInput(
            f"Segmentation ID {number} of subport {wanted.port_id} is not in range {VLAN_MIN} through {VLAN_MAX}.",
            attribute="sub_ports",
        )
    return SubPort(wanted.port_id, kind, number)
