"""Connections that a lost rule had allowed, and whose opener may have fallen silent: the switch is made to forget them.

A session ends by itself when its opener's next packet is judged by the rules. Datagrams need not have a next one: as
long as only the other side speaks, its packets count as replies of what was once allowed. So when a group has lost a
rule, datagram connections that the rule could have allowed are forgotten in the zones of the local ports of the group;
those that another rule allows begin anew with their next packet. Off the critical path: nobody waits for it.
"""

import asyncio
import re
from dataclasses import dataclass, field

from alcor.agent.driver import ConnectionProtocol, ConnectionTuple, Switch, SwitchError
from alcor.agent.handler import Confirmed
from alcor.goalstate.item import GroupRule, LocalPort, RulesItem
from alcor.model.address import Cidr, Ip, contains, ip_version
from alcor.pipeline.view import Allocation, View
from alcor.telemetry.log import get_log

log = get_log("agent")

# Per port and lost rule; what is left ends by the switch's timeout (30 s to 2 min of silence in both directions).
FORGOTTEN_PER_PORT_MAX = 1_000
_UDP = ConnectionProtocol.UDP.value
# Open vSwitch's dump, and the simulated switch's.
_LINES = (
    re.compile(
        r"udp,orig=\(src=(?P<src>[^,)]+),dst=(?P<dst>[^,)]+),sport=(?P<sport>\d+),dport=(?P<dport>\d+)\)"
    ),
    re.compile(r"protocol 17, (?P<src>\S+):(?P<sport>\d+) > (?P<dst>\S+):(?P<dport>\d+),"),
)


@dataclass(slots=True)
class SilentOpeners:
    """What is to be forgotten. Shape: `_lost`: local port → rules that no longer hold for it."""

    switch: Switch
    _lost: dict[str, set[GroupRule]] = field(default_factory=dict)
    _there: asyncio.Event = field(default_factory=asyncio.Event)
    forgotten: int = 0

    def note(self, confirmed: Confirmed, view: View) -> None:
        """A turn was confirmed. Cost: O(changed groups and their local ports)."""
        for change in confirmed.items:
            if isinstance(change.before, RulesItem):
                left = change.after.rules if isinstance(change.after, RulesItem) else ()
                lost = set(change.before.rules).difference(left)
                for port_id in view.ports_in_group(change.before.id) if lost else ():
                    self._lost.setdefault(port_id, set()).update(lost)
        if self._lost:
            self._there.set()

    async def run(self, view: View, allocation: Allocation) -> None:
        """Forget what is noted, port by port, without end. `view`, `allocation`: the agent's, which change in place."""
        while True:
            await self._there.wait()
            self._there.clear()
            while self._lost:
                port_id, rules = self._lost.popitem()
                port, zone = view.ports.get(port_id), allocation.port_keys.get(port_id)
                if port is None or zone is None:
                    continue
                try:
                    await self._forget(zone, port, rules)
                except SwitchError as error:
                    # A switch that is gone has forgotten everything.
                    log.warning("connections_not_forgotten", port=port_id, reason=str(error))

    async def _forget(self, zone: int, port: LocalPort, rules: set[GroupRule]) -> None:
        left = FORGOTTEN_PER_PORT_MAX
        for line in await self.switch.dump_conntrack(zone):
            connection = parse_connection(line)
            if connection is not None and any(could_allow(rule, connection, port) for rule in rules):
                await self.switch.flush_conntrack(zone, connection)
                self.forgotten += 1
                left -= 1
                if not left:
                    return


def parse_connection(line: str) -> ConnectionTuple | None:
    """A datagram connection as the switch's dump has it; None for other protocols and what cannot be read."""
    found = next((found for pattern in _LINES if (found := pattern.search(line)) is not None), None)
    if found is None:
        return None
    ends = Ip(found["src"]), Ip(found["dst"])
    return ConnectionTuple(ConnectionProtocol.UDP, *ends, int(found["sport"]), int(found["dport"]))


def could_allow(rule: GroupRule, connection: ConnectionTuple, port: LocalPort) -> bool:
    """Whether a rule of the port's could have allowed a connection. Who is in a remote group does not matter here."""
    if ip_version(connection.source) != rule.ip_version or rule.protocol not in (None, _UDP):
        return False
    own, remote = connection.source, connection.target
    if rule.is_ingress:
        own, remote = remote, own
    # A port with allowed pairs, or without port security, may have sent as anybody.
    if not port.pairs and port.port_security_enabled and own not in {one.ip for one in port.addresses}:
        return False
    if rule.prefix is not None and not contains(Cidr(rule.prefix), remote):
        return False
    if rule.protocol is None or rule.first is None:
        return True
    return rule.first <= connection.target_port <= (rule.first if rule.last is None else rule.last)
