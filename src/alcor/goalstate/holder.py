"""Which hosts hold a scope: the references of items, read backwards.

A host holds a scope if its own scope refers to it, or a scope that it holds does (`Graph.closure`). Here the same is
asked from the other end, at a cost that is of the answer's size and not of the region's.
"""

from collections import Counter
from collections.abc import Hashable, Iterable

from alcor.goalstate.item import Item, LocalPort, refers
from alcor.goalstate.scope import Scope, ScopeKind


class Holders:
    """Scope → the scopes with items that refer to it, and how many each; and when each last came to refer otherwise.

    Law: `hosts(s)` names every host h with s in `closure(h)`, but for the region's scope.
    Memory: a dictionary entry per pair of scopes, so of a host and a network it has ports on; about 50 bytes.
    """

    def __init__(self) -> None:
        self._holders: dict[Scope, dict[Scope, int]] = {}
        self._changed: dict[Scope, int] = {}
        self.version = 0
        """Grows whenever a scope comes to refer to others than before: what a host holds may be another then."""
        self._parted: set[Scope] = set()

    def follow(self, scope: Scope, before: Item | None, now: Item | None, revision: int) -> None:
        """An item of `scope` became another one at `revision`. Cost: O(its references)."""
        old = refers(before) if before is not None else ()
        new = refers(now) if now is not None else ()
        if old == new:
            return
        self.version += 1
        self._changed[scope] = revision
        for target in new:
            held = self._holders.setdefault(target, {})
            held[scope] = held.get(scope, 0) + 1
        for target in old:
            held = self._holders[target]
            held[scope] -= 1
            if not held[scope]:
                del held[scope]
                self._parted.add(scope)
            if not held:
                del self._holders[target]

    def take_parted(self) -> set[str]:
        """Hosts that may hold fewer scopes than when this was last asked: something refers to one no longer.

        Cost: O(hosts that hold what refers no longer).
        """
        parted, self._parted = self._parted, set()
        return {id for scope in parted for id in self.hosts(scope)}

    def load(self, scope: Scope, items: Iterable[Item]) -> None:
        """Begin with the items of a scope. Cost: O(items), 0.3 µs each."""
        # Many items of a scope refer to the same, and ports that say the same of these refer to the same.
        ports: dict[Hashable, list[Item]] = {}
        counts: Counter[tuple[Scope, ...]] = Counter()
        for item in items:
            if type(item) is LocalPort:
                network, secured = item.network_id, item.port_security_enabled
                same = (network, item.groups, item.routers, item.qos, secured)
                ports.setdefault(same, []).append(item)
            else:
                counts[refers(item)] += 1
        for alike in ports.values():
            counts[refers(alike[0])] += len(alike)
        for targets, count in counts.items():
            for target in targets:
                held = self._holders.setdefault(target, {})
                held[scope] = held.get(scope, 0) + count

    def hosts(self, scope: Scope) -> dict[str, int]:
        """Host id → the revision since which it holds a scope at the latest; 0: since before all that was followed.

        That is when what leads from the host to the scope last came to refer to other scopes. A host that confirmed
        less has perhaps never been told of the scope. Cost: O(hosts + scopes in between).
        """
        if scope.kind is ScopeKind.HOST:
            return {scope.id: 0}
        found: dict[str, int] = {}
        for holder in self._holders.get(scope, ()):
            changed = self._changed.get(holder, 0)
            for host_id, since in self.hosts(holder).items():
                reached = max(since, changed)
                found[host_id] = min(reached, found.get(host_id, reached))
        return found
