"""Whom the switch's flows speak to, as an earlier process left them: what a new agent asks for before it is in sync.

Of a network held on demand an agent that begins knows nobody, and would remove the flows to whom its ports talk to.
"""

import asyncio
import contextlib

from alcor.agent.driver import Switch
from alcor.goalstate.scope import Scope, neighbours_scope
from alcor.pipeline.tables import NETWORK, Table, UnitKind
from alcor.pipeline.view import Allocation

# As many as an ncm looks up for a scope before it is in sync, and of all scopes less than a message may hold.
_PEERS_OF_NETWORK_MAX = 1_024
_PEERS_MAX = 20_000
# A switch that does not answer for so long may be away: the region is to hear of that.
_WITHIN_S = 3.0


class Peers:
    """Read once in the life of an agent, when the switch is first there and the local numbers are known."""

    def __init__(self, switch: Switch, allocation: Allocation) -> None:
        self._switch, self._allocation = switch, allocation
        self._found = asyncio.Event()
        self.sought: dict[Scope, tuple[str, ...]] = {}
        """The MACs of other ports that there are flows to, by scope; empty if nothing was held on demand.

        Networks that were held whole are among them: what is asked of these is not needed.
        """

    async def known(self) -> None:
        """Wait until they are, but not long."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_WITHIN_S):
                await self._found.wait()

    async def find(self) -> None:
        """Read the switch, the first time. Raises: SwitchError. Cost: O(flows to other ports)."""
        if self._found.is_set():
            return
        if await self._switch.packet_counts(UnitKind.DEMAND):
            self.sought = await self._read()
        self._found.set()

    async def _read(self) -> dict[Scope, tuple[str, ...]]:
        networks = {key: id for id, key in self._allocation.network_keys.items()}
        network, mac = NETWORK.name.lower(), "eth_dst"
        found: dict[str, dict[str, None]] = {}
        for fields in (await self._switch.flow_fields(UnitKind.NEIGHBOUR, Table.L2_REMOTE))[:_PEERS_MAX]:
            id = networks.get(fields.get(network, 0))
            if id is not None and mac in fields:
                peers = found.setdefault(id, {})
                if len(peers) < _PEERS_OF_NETWORK_MAX:
                    peers[fields[mac].to_bytes(6, "big").hex(":")] = None
        return {neighbours_scope(id): tuple(peers) for id, peers in found.items()}
