"""Ports on trunks. A port names its trunk in `extra.trunk_id`, so that the others cost no read."""

from collections.abc import Sequence
from typing import Any

from alcor.managers.interface import Caller
from alcor.model.errors import InUse, Problem
from alcor.model.port import Port, extra_of
from alcor.model.trunk import Trunk
from alcor.store.interface import Store, Transaction


async def check_untrunked(tx: Transaction, row: Port) -> None:
    """Raises: InUse for the parent port or a subport of a trunk."""
    trunk_id = extra_of(row).trunk_id
    trunk = None if trunk_id is None else await tx.find(Trunk, trunk_id)
    if trunk is None:
        return
    if trunk.port_id == row.id:
        problem, what = (
            Problem.PORT_IS_TRUNK_PARENT,
            f"it is the parent port of trunk {trunk.id}; delete that first",
        )
    else:
        problem, what = (
            Problem.PORT_IS_SUBPORT,
            f"it is a subport of trunk {trunk.id}; remove it from there first",
        )
    raise InUse("port", row.id, by=what, problem=problem)


async def load_trunk_details(
    store: Store, _caller: Caller, rows: Sequence[Port]
) -> dict[str, dict[str, Any] | None]:
    """The trunk each port is the parent of. Cost: two reads if any port is on a trunk, else none."""
    details: dict[str, dict[str, Any] | None] = dict.fromkeys((row.id for row in rows), None)
    wanted = sorted({trunk_id for row in rows if (trunk_id := extra_of(row).trunk_id) is not None})
    if not wanted:
        return details
    trunks = [
        trunk for trunk in (await store.reader.find_many(Trunk, wanted)).values() if trunk.port_id in details
    ]
    ids = sorted({one.port_id for trunk in trunks for one in trunk.sub_ports})
    ports = await store.reader.find_many(Port, ids) if ids else {}
    for trunk in trunks:
        details[trunk.port_id] = {
            "trunk_id": trunk.id,
            "sub_ports": [
                {
                    "port_id": one.port_id,
                    "segmentation_type": one.segmentation_type,
                    "segmentation_id": one.segmentation_id,
                    "mac_address": ports[one.port_id].mac_address,
                }
                for one in trunk.sub_ports
                if one.port_id in ports
            ],
        }
    return details
