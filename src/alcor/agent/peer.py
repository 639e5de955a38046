"""Whom the switch's flows speak to, as an earlier process left them: what a new agent asks for before it is in sync.

Of a network held on demand an agent that begins knows nobody, and would remove the flows to whom its ports talk to.
Of a group held on demand it knows no member, and would remove the flows that let them in.
"""

import asyncio
import contextlib
from collections.abc import Callable
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from alcor.agent.driver import Switch
from alcor.goalstate.scope import Scope, neighbours_scope
from alcor.pipeline.tables import NETWORK, Table, UnitKind
from alcor.pipeline.view import Allocation

# As many as an ncm looks up for a scope before it is in sync, and of all scopes less than a message may hold.
_PEERS_OF_NETWORK_MAX = 1_024
_PEERS_MAX = 20_000
# A switch that does not answer for so long may be away: the region is to hear of that.
_WITHIN_S = 3.0


def _mac(value: int) -> str:
    return value.to_bytes(6, "big").hex(":")


def _ipv4(value: int) -> str:
    return str(IPv4Address(value))


def _ipv6(value: int) -> str:
    return str(IPv6Address(value))


# Of each table what its flows match, and as what that is asked for. A prefix reads as its first address: asked in vain.
_TEXTS: Final[dict[Table, dict[str, Callable[[int], str]]]] = {
    Table.L2_REMOTE: {"eth_dst": _mac},
    Table.INGRESS_SET: {"ipv4_src": _ipv4, "ipv6_src": _ipv6},
    Table.EGRESS_SET: {"ipv4_dst": _ipv4, "ipv6_dst": _ipv6},
}
_WHERE: Final = (
    (UnitKind.NEIGHBOUR, Table.L2_REMOTE),
    (UnitKind.SET, Table.INGRESS_SET),
    (UnitKind.SET, Table.EGRESS_SET),
)


class Peers:
    """Read once in the life of an agent, when the switch is first there and the local numbers are known."""

    def __init__(self, switch: Switch, allocation: Allocation) -> None:
        self._switch, self._allocation = switch, allocation
        self._found = asyncio.Event()
        self.sought: dict[Scope, tuple[str, ...]] = {}
        """The MACs of other ports that there are flows to, and the addresses of members of groups that there are flows
        for, by scope of the network; empty if nothing was held on demand. A flow does not say whose member it is: the
        ncm seeks addresses in every group of the host too.

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
        network = NETWORK.name.lower()
        found: dict[str, dict[str, None]] = {}
        for kind, table in _WHERE:
            for fields in (await self._switch.flow_fields(kind, table))[:_PEERS_MAX]:
                id = networks.get(fields.get(network, 0))
                if id is None:
                    continue
                peers = found.setdefault(id, {})
                for name, text in _TEXTS[table].items():
                    if name in fields and len(peers) < _PEERS_OF_NETWORK_MAX:
                        peers[text(fields[name])] = None
        return {neighbours_scope(id): tuple(peers) for id, peers in found.items() if peers}
