"""Connections that a lost rule had allowed, and whose opener may have fallen silent: the switch is made to forget them.

A session ends by itself when its opener's next packet is judged by the rules. Datagrams need not have a next one: as
long as only the other side speaks, its packets count as replies of what was once allowed. So when a group has lost a
rule, a port has left a group, or an address has left a set that rules are about, datagram connections that only this
could have allowed are forgotten in the zones of the local ports concerned; those that another rule allows begin anew
with their next packet. Off the critical path: nobody waits for it.
"""

import asyncio
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from msgspec import structs

from alcor.agent.driver import ConnectionProtocol, ConnectionTuple, Switch, SwitchError
from alcor.agent.handler import Confirmed
from alcor.goalstate.item import LocalPort
from alcor.goalstate.security_item import GroupRule, Member, Prefix, RulesItem
from alcor.model.address import Cidr, Ip, contains, ip_version
from alcor.pipeline.feature import ItemChange
from alcor.pipeline.view import Allocation, View, set_of
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
        """A turn was confirmed. Cost: O(changed groups, the sets' users among them, and their local ports)."""
        gone = {
            change.before.id: change.before.rules
            for change in confirmed.items
            if isinstance(change.before, RulesItem) and change.after is None
        }
        for change in confirmed.items:
            match change.before:
                case RulesItem():
                    left = change.after.rules if isinstance(change.after, RulesItem) else ()
                    lost = set(change.before.rules).difference(left)
                    self._lose(view.ports_in_group(change.before.id), lost)
                case LocalPort():
                    self._left_groups(change.before, change.after, gone, view)
                case Member() | Prefix():
                    self._left_set(change, view)
                case _:
                    pass
        if self._lost:
            self._there.set()

    def _lose(self, ports: Iterable[str], rules: Iterable[GroupRule]) -> None:
        found = set(rules)
        for port_id in ports if found else ():
            self._lost.setdefault(port_id, set()).update(found)

    def _left_groups(
        self, before: LocalPort, after: object, gone: Mapping[str, tuple[GroupRule, ...]], view: View
    ) -> None:
        """A port that stays and is no longer in a group, whose rules may have gone with its last port here."""
        if isinstance(after, LocalPort):
            for group in set(before.groups or ()).difference(after.groups or ()):
                known = view.rules.get(group)
                self._lose([before.id], known.rules if known is not None else gone.get(group, ()))

    def _left_set(self, change: ItemChange, view: View) -> None:
        """Addresses that left a set: of the rules about it only what they were allowed is lost."""
        lost = set(_cidrs_of(change.before)).difference(_cidrs_of(change.after))
        for group in view.groups_using(change.scope) if lost else ():
            rules = [rule for rule in view.rules[group].rules if set_of(rule) == change.scope]
            self._lose(
                view.ports_in_group(group),
                (
                    structs.replace(rule, prefix=cidr, group=None, addresses=None)
                    for rule in rules
                    for cidr in lost
                    if ip_version(Ip(cidr.partition("/")[0])) == rule.ip_version
                ),
            )

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


def _cidrs_of(item: object) -> tuple[str, ...]:
    if isinstance(item, Member):
        return item.cidrs
    return (item.id,) if isinstance(item, Prefix) else ()


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
