"""Ports that the region makes for itself: interfaces and gateways of routers, outer addresses of floating IPs.

They are made by the Port Manager's own functions, so that MAC and IP addresses, counting and history hold for them as
for any other; only who asks is different.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from alcor.managers.defaults import values_for
from alcor.managers.interface import Caller
from alcor.managers.port.create import create_ports
from alcor.managers.port.manager import Leaving, update_port
from alcor.managers.port.manager import delete as delete_port
from alcor.model.address import Mac
from alcor.model.port import PORT, Port
from alcor.store.interface import Transaction


def region_itself(caller: Caller) -> Caller:
    """The caller in the part of a request that no project does: it sees every network and owns what it makes in no
    project (`""`)."""
    return replace(caller, project_id="", is_admin=True)


@dataclass(frozen=True, slots=True)
class Ports:
    """The Port Manager as the managers above it use it. `reserved`: MAC addresses no port gets. `leaving`: who must
    know before one of these ports goes."""

    reserved: frozenset[Mac]
    leaving: Sequence[Leaving] = ()

    async def create(self, tx: Transaction, caller: Caller, **said: Any) -> Port:
        """Make one port of `said`, with the defaults of all else; `project_id` "" for one of no project.

        Raises: as the Port Manager's create.
        """
        made = await create_ports(tx, region_itself(caller), [values_for(PORT, **said)], self.reserved)
        return await tx.get(Port, made[0].row.id)

    async def change(self, tx: Transaction, port: Port, **said: Any) -> Port:
        """Change a port. Raises: as the Port Manager's update."""
        return await update_port(tx, port, said, self.reserved)

    async def delete(self, tx: Transaction, caller: Caller, port: Port) -> None:
        """Delete a port of the region's own and give back what it had."""
        for step in self.leaving:
            await step(tx, region_itself(caller), port)
        await delete_port(tx, region_itself(caller), port)
