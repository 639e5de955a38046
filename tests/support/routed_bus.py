"""Several dataplanes and an ncm on real sockets: each follows the same changes at its own pace, and holds a share."""

from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

from alcor.bus.goal_client import GoalClient
from alcor.bus.goal_server import GoalServer
from alcor.bus.interface import Hasten, Heads, Holdings, HostReport, News, Publication, Put, Reply, Unchanged
from alcor.goalstate.item import Item, Key, key_of
from alcor.goalstate.scope import SHARDS, Scope, shard_of
from tests.support.bus import EPOCH
from tests.support.remote_bus import a_client, a_server


class RoutedBus:
    """Implements `GoalBus` over two servers: one holds the even shards, the other the odd ones and hears of hosts."""

    def __init__(self, servers: Sequence[GoalServer], client: GoalClient) -> None:
        self.servers, self.client = servers, client
        for place, server in enumerate(servers):
            shards = {shard: 1 for shard in range(SHARDS) if shard % 2 == place}
            server.hold(Holdings(member_id=f"dataplane-{place}", shards=shards, realizes=place))

    def publish(self, updates: Sequence[Publication], heads: Heads) -> None:
        """Each server its part."""
        for place, server in enumerate(self.servers):
            through = {shard: head for shard, head in heads.through.items() if shard % 2 == place}
            server.publish(
                [update for update in updates if shard_of(update.scope) % 2 == place],
                Heads(epoch=heads.epoch, generation=heads.generation, through=through),
            )

    def serve(self, snapshot: Callable[[Scope], Publication], unchanged: Unchanged | None = None) -> None:
        """Both."""
        for server in self.servers:
            server.serve(snapshot, unchanged)

    def hasten(self, hasten: Hasten) -> None:
        """By the one that hears of hosts."""
        self.servers[1].hasten(hasten)

    def hold(self, holdings: Holdings) -> None:
        """What each holds is fixed here."""
        raise NotImplementedError

    def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        """Of the one that hears of hosts."""
        return self.servers[1].reports()

    async def ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        """By the one that does not: it has to find the host."""
        return await self.servers[0].ask(host_id, body, within_s)

    def reply(self, reply: Reply) -> None:
        """As the client."""
        self.client.reply(reply)

    def want(self, scope: Scope) -> None:
        """As the client."""
        self.client.want(scope)

    def unwant(self, scope: Scope) -> None:
        """As the client."""
        self.client.unwant(scope)

    def updates(self) -> AsyncIterator[Sequence[News]]:
        """As the client."""
        return self.client.updates()

    def report(self, report: HostReport) -> None:
        """As the client."""
        self.client.report(report)


@asynccontextmanager
async def a_routed_bus() -> AsyncIterator[RoutedBus]:
    """Two servers, and an ncm that is told of both."""
    async with AsyncExitStack() as stack:
        servers = [await stack.enter_async_context(a_server()) for _ in range(2)]
        client = await stack.enter_async_context(a_client([server.addresses[0] for server in servers]))
        yield RoutedBus(servers, client)


Change = tuple[Mapping[Scope, Sequence[Item]], Mapping[Scope, Sequence[Key]]]


class Replica:
    """A dataplane that follows a list of changes, one per revision, and publishes the shards it holds.

    `snapshots`: the scopes it answered whole; `empty`: those it had nothing new of.
    """

    def __init__(self, id: str, server: GoalServer, log: Sequence[Change]) -> None:
        self.id, self.server, self._log = id, server, log
        self.through = 0
        self.shards: dict[int, int] = {}
        self.items: dict[Scope, dict[Key, Put]] = {}
        self.changed: dict[Scope, int] = {}
        self.snapshots: list[Scope] = []
        self.empty: list[Scope] = []
        server.hold(Holdings(member_id=id, shards={}))
        server.serve(self._snapshot, self._unchanged)

    def hold(
        self, shards: Mapping[int, int], *, realizes: int = 0, members: Mapping[str, str] | None = None
    ) -> None:
        """Hold these from here on, and say where they stand."""
        self.shards = dict(shards)
        holdings = Holdings(
            member_id=self.id, shards=self.shards, realizes=realizes, members=dict(members or {})
        )
        self.server.hold(holdings)
        self._publish([])

    def advance(self, through: int | None = None) -> None:
        """Follow the changes, in one turn."""
        before, self.through = self.through, len(self._log) if through is None else through
        touched: dict[Scope, dict[Key, Put | None]] = {}
        for revision in range(before + 1, self.through + 1):
            put, removed = self._log[revision - 1]
            for scope in (*put, *removed):
                self.changed[scope] = revision
            for scope, items in put.items():
                touched.setdefault(scope, {}).update((key_of(item), Put(item, revision)) for item in items)
            for scope, keys in removed.items():
                touched.setdefault(scope, {}).update(dict.fromkeys(keys))
        steps: list[Publication] = []
        for scope, entries in touched.items():
            held = self.items.setdefault(scope, {})
            for key, each in entries.items():
                held.pop(key, None)
                if each is not None:
                    held[key] = each
            generation = self.shards.get(shard_of(scope))
            if generation is not None:
                steps.append(
                    Publication(
                        scope=scope,
                        epoch=EPOCH,
                        generation=generation,
                        from_revision=before,
                        through=self.through,
                        put=tuple([each for each in entries.values() if each is not None]),
                        removed=tuple([key for key, each in entries.items() if each is None]),
                    )
                )
        self._publish(steps)

    def _publish(self, steps: list[Publication]) -> None:
        generations: dict[int, dict[int, int]] = {}
        for shard, generation in self.shards.items():
            generations.setdefault(generation, {})[shard] = self.through
        for generation, through in generations.items() or [(0, {})]:
            self.server.publish(steps, Heads(epoch=EPOCH, generation=generation, through=through))
            steps = []

    def _snapshot(self, scope: Scope) -> Publication:
        self.snapshots.append(scope)
        return self._said(scope, 0, tuple(self.items.get(scope, {}).values()))

    def _unchanged(self, scope: Scope, epoch: int, position: int) -> Publication | None:
        if epoch != EPOCH or self.changed.get(scope, 0) > position:
            return None
        self.empty.append(scope)
        return self._said(scope, min(position, self.through), ())

    def _said(self, scope: Scope, from_revision: int, put: tuple[Put, ...]) -> Publication:
        return Publication(
            scope=scope,
            epoch=EPOCH,
            generation=self.shards[shard_of(scope)],
            from_revision=from_revision,
            through=self.through,
            put=put,
        )
