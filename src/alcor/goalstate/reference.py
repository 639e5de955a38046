"""Since when items refer to what they refer to (protocol, section 4): envelope, so no item depends on it.

Equal references keep their revision; others get the one in which they came. After a load it is the revision of the
latest row that the item or its references name, unless the graph before it had the same references.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping

from alcor.goalstate.item import Item, ItemKind, LocalPort, refers
from alcor.goalstate.router_item import FloatingIpItem, GatewayItem, RouterItem
from alcor.goalstate.security_item import RulesItem

REFERRING = frozenset(
    {
        ItemKind.LOCAL_PORT,
        ItemKind.ROUTER,
        ItemKind.GATEWAY,
        ItemKind.FLOATING_IP,
        ItemKind.RULES,
        ItemKind.RELAY,
    }
)
"""The kinds of items that may refer to scopes; `refers` of all others is empty."""


class References:
    """The revisions of the references of one kind of items.

    Memory: a dictionary entry per item that refers, but for plain ports (`_is_plain`) since they were loaded: of these
    the rows' revisions at the load are kept, and asked when somebody asks.
    """

    def __init__(self) -> None:
        self._since: dict[str, dict[str, int]] = {}  # scope id → item id → revision
        self._revision_of: Mapping[str, int] = {}
        self._revision = 0

    def since(self, scope_id: str, item: Item) -> int:
        """When the references of a present item came; 0 if it has none."""
        held = self._since.get(scope_id)
        since = held.get(item.id) if held is not None else None
        if since is None:
            return self._at_load(item) if isinstance(item, LocalPort) else 0
        return since

    def _at_load(self, port: LocalPort) -> int:
        """Of a port that was plain then, and refers to the same since then."""
        own, of_network = self._revision_of.get(port.id, 0), self._revision_of.get(port.network_id, 0)
        return max(own, of_network) or self._revision

    def follow(self, scope_id: str, id: str, before: Item | None, now: Item | None, revision: int) -> None:
        """An item became another one at `revision`."""
        if now is None or not _refers(now):
            self._forget(scope_id, id)
        elif before is None or refers(before) != refers(now):
            self._since.setdefault(scope_id, {})[id] = revision

    def _forget(self, scope_id: str, id: str) -> None:
        held = self._since.get(scope_id)
        if held is not None and held.pop(id, None) is not None and not held:
            del self._since[scope_id]

    def load(
        self,
        scope_id: str,
        items: Iterable[Item],
        revision_of: Mapping[str, int],
        revision: int,
        earlier: Callable[[str, str], tuple[Item | None, int]] | None = None,
    ) -> None:
        """Begin with the items of a scope. `earlier`: what the graph before had at a place, and since when.

        `revision_of`: row id → revision in which it last changed; `revision`: the head.
        """
        self._revision_of, self._revision = revision_of, revision
        found: dict[str, int] = {}
        for item in items:
            if not _refers(item) or (earlier is None and _is_plain(item)):
                continue
            old, since = earlier(scope_id, item.id) if earlier is not None else (None, 0)
            if old is None or (old != item and refers(old) != refers(item)):
                since = _latest(item, revision_of, revision)
            found[item.id] = since
        if found:
            self._since[scope_id] = found


def _latest(item: Item, revision_of: Mapping[str, int], revision: int) -> int:
    """When the last of the rows changed that an item's references come from; `revision` if none is known."""
    known = [revision_of[id] for id in _rows(item) if id in revision_of]
    return max(known, default=revision)


def _is_plain(item: Item) -> bool:
    """Most items of a region."""
    return type(item) is LocalPort and not item.routers and item.trunk is None


def _refers(item: Item) -> bool:
    return isinstance(item, LocalPort | GatewayItem | FloatingIpItem) or bool(refers(item))


def _rows(item: Item) -> Iterator[str]:
    """The rows that an item's references come from."""
    yield item.id
    match item:
        case LocalPort():
            yield item.network_id
            yield from item.routers
            if item.trunk is not None:
                yield item.trunk.port_id
        case RouterItem():
            yield from (interface.id for interface in item.interfaces)
            yield from (gateway.id for gateway in item.gateways)
            yield from (route.network_id for route in item.routes if route.network_id is not None)
        case GatewayItem():
            yield from item.networks
        case FloatingIpItem():
            yield item.router_id
            if item.port_id is not None:
                yield item.port_id
        case RulesItem():
            yield from (rule.id for rule in item.rules)
