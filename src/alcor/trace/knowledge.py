"""What a trace knows of the region: goal state by scope, and of large scopes only what the packet may meet."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from ipaddress import ip_address, ip_network

from alcor.goalstate.item import Item, Key, Neighbour, refers
from alcor.goalstate.router_item import FloatingIpItem, RouterItem
from alcor.goalstate.scope import REGION, Scope, ScopeKind, host_scope
from alcor.goalstate.security_item import Member

# A scope with more items is cut to the addresses that matter: a trace must not take longer in a larger network.
ITEMS_MAX = 2_000
_LARGE = frozenset({ScopeKind.NEIGHBOURS, ScopeKind.MEMBERS})

_State = Mapping[Key, Item]


@dataclass(slots=True)
class Knowledge:
    """The goal state as `state` tells it, scope by scope; `addresses`: those whose neighbours and members matter.

    Cost: O(items of a host's closure) once per host; a large scope is read through, not copied.
    """

    state: Callable[[Scope], _State]
    addresses: set[str]
    _held: dict[Scope, _State] = field(default_factory=dict)

    def of_host(self, host_id: str) -> dict[Scope, _State]:
        """The states of a host's closure."""
        found: dict[Scope, _State] = {}
        pending = [host_scope(host_id), REGION]
        large: list[Scope] = []
        while pending:
            scope = pending.pop()
            if scope in found:
                continue
            if scope.kind in _LARGE:
                found[scope] = {}
                large.append(scope)
                continue
            found[scope] = self._read(scope)
            for item in found[scope].values():
                self.addresses.update(_named(item))
                pending += refers(item)
        # When all addresses on the way are known.
        for scope in large:
            found[scope] = self._cut(self._read(scope))
        return found

    def _read(self, scope: Scope) -> _State:
        held = self._held.get(scope)
        if held is None:
            held = self._held[scope] = self.state(scope)
        return held

    def _cut(self, state: _State) -> _State:
        if len(state) <= ITEMS_MAX:
            return state
        return {key: item for key, item in state.items() if self._matters(item)}

    def _matters(self, item: Item) -> bool:
        match item:
            case Neighbour():
                return not self.addresses.isdisjoint(item.ips)
            case Member():
                return any(self._within(cidr) for cidr in item.cidrs)
            case _:
                return True

    def _within(self, cidr: str) -> bool:
        address, _, length = cidr.partition("/")
        if length in ("32", "128"):
            return address in self.addresses
        network = ip_network(cidr)
        return any(
            ip_address(each) in network for each in self.addresses if (":" in each) == (":" in address)
        )


def _named(item: Item) -> Iterable[str]:
    """Addresses that an item may send a packet to."""
    match item:
        case RouterItem():
            yield from (route.nexthop for route in item.routes if route.nexthop is not None)
        case FloatingIpItem():
            yield from (forward.ip for forward in item.forwards)
            if item.fixed_ip is not None:
                yield item.fixed_ip
        case _:
            return
