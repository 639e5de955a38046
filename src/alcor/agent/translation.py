"""Connections through a translation that is no more: the switch is made to forget them.

The flows of a floating IP that was taken away, or given to another port, are changed at once, and what still gets the
old address ends in table SNAT. But the switch goes on to translate a connection as it began, as long as packets come:
they would end there for ever, or reach the port that had the floating IP before. So its connections in the router's
zone are forgotten, and those of a gateway's address that the router lost. Nobody waits for it.
"""

import asyncio
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from alcor.agent.driver import ConnectionProtocol, ConnectionTuple, SwitchError
from alcor.agent.handler import Confirmed
from alcor.goalstate.item import Item
from alcor.goalstate.router_item import FloatingIpItem, RouterItem
from alcor.model.address import Ip
from alcor.pipeline.tables import ROUTER_ZONES_FROM
from alcor.pipeline.view import Allocation
from alcor.telemetry.log import get_log

log = get_log("agent")

_PROTOCOLS = {one.name.lower(): one for one in ConnectionProtocol}
_NUMBERS = {one.value: one for one in ConnectionProtocol}
# Open vSwitch's dump, and the simulated switch's.
_LINE = re.compile(r"(?P<protocol>\w+),orig=\((?P<first>[^)]*)\),reply=\((?P<reply>[^)]*)\)")
_SIMULATED = re.compile(
    r"protocol (?P<protocol>\d+), (?P<src>\S+):(?P<sport>\d+) > (?P<dst>\S+):(?P<dport>\d+), "
    r"reply (?P<rsrc>\S+):\d+ > (?P<rdst>\S+):\d+,"
)


class Connections(Protocol):
    """The part of a `Switch` that is used here."""

    async def dump_conntrack(self, zone: int) -> list[str]:
        """See `Switch`."""

    async def flush_conntrack(self, zone: int, connection: ConnectionTuple | None = None) -> None:
        """See `Switch`."""


class Tracked(NamedTuple):
    """A connection, and all addresses that its packets have in either direction."""

    connection: ConnectionTuple
    addresses: frozenset[str]


@dataclass(slots=True)
class StaleTranslations:
    """What is to be forgotten. Shape: `_stale`: router → outer addresses that it translates no more as it did."""

    switch: Connections
    _stale: dict[str, set[str]] = field(default_factory=dict)
    _there: asyncio.Event = field(default_factory=asyncio.Event)
    forgotten: int = 0

    def note(self, confirmed: Confirmed) -> None:
        """A turn was confirmed. Cost: O(changes)."""
        for change in confirmed.items:
            for router_id, ip in stale(change.before, change.after):
                self._stale.setdefault(router_id, set()).add(ip)
        if self._stale:
            self._there.set()

    async def run(self, allocation: Allocation) -> None:
        """Forget what is noted, router by router, without end. `allocation`: the agent's, which changes in place."""
        while True:
            await self._there.wait()
            self._there.clear()
            while self._stale:
                router_id, addresses = self._stale.popitem()
                key = allocation.router_keys.get(router_id)
                if key is None:
                    # Its zone is forgotten whole before another router gets it.
                    continue
                try:
                    await self._forget(ROUTER_ZONES_FROM + key, addresses)
                except SwitchError as error:
                    # A switch that is gone has forgotten everything.
                    log.warning("connections_not_forgotten", router=router_id, reason=str(error))

    async def _forget(self, zone: int, addresses: set[str]) -> None:
        """Cost: O(connections of the zone) to read, one message for each that is forgotten."""
        for line in await self.switch.dump_conntrack(zone):
            tracked = parse(line)
            if tracked is not None and not addresses.isdisjoint(tracked.addresses):
                await self.switch.flush_conntrack(zone, tracked.connection)
                self.forgotten += 1


def stale(before: Item | None, after: Item | None) -> Iterator[tuple[str, str]]:
    """(router, outer address) of what a change leaves behind."""
    match before:
        case FloatingIpItem():
            kept = isinstance(after, FloatingIpItem) and _translation(before) == _translation(after)
            if not kept:
                yield before.router_id, before.ip
        case RouterItem():
            left = _outer(after) if isinstance(after, RouterItem) else set()
            for ip in sorted(_outer(before) - left):
                yield before.id, ip
        case _:
            pass


def _translation(item: FloatingIpItem) -> tuple[object, ...]:
    return item.ip, item.router_id, item.fixed_network_id, item.fixed_ip, item.forwards


def _outer(router: RouterItem) -> set[str]:
    return {address.ip for gateway in router.gateways for address in gateway.addresses}


def parse(line: str) -> Tracked | None:
    """A connection as the switch's dump has it; None for other protocols and what cannot be read."""
    found = _LINE.match(line)
    if found is None:
        return _parse_simulated(line)
    protocol = _PROTOCOLS.get(found["protocol"])
    first, reply = _pairs(found["first"]), _pairs(found["reply"])
    if protocol is None or not {"src", "dst"} <= first.keys() & reply.keys():
        return None
    if "id" in first:
        ports = int(first["id"]), int(first.get("type", 0)) << 8 | int(first.get("code", 0))
    else:
        ports = int(first.get("sport", 0)), int(first.get("dport", 0))
    connection = ConnectionTuple(protocol, Ip(first["src"]), Ip(first["dst"]), *ports)
    return Tracked(connection, frozenset((first["src"], first["dst"], reply["src"], reply["dst"])))


def _pairs(text: str) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in text.split(",") if "=" in pair)


def _parse_simulated(line: str) -> Tracked | None:
    found = _SIMULATED.match(line)
    protocol = _NUMBERS.get(int(found["protocol"])) if found is not None else None
    if found is None or protocol is None:
        return None
    ports = int(found["sport"]), int(found["dport"])
    connection = ConnectionTuple(protocol, Ip(found["src"]), Ip(found["dst"]), *ports)
    return Tracked(connection, frozenset((found["src"], found["dst"], found["rsrc"], found["rdst"])))
