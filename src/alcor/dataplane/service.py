"""The Data-Plane Manager's role: image → graph → publications; then follow the change log for ever.

A wake-up only says "look": what is done is decided by the log alone, so a lost or a needless one is harmless.
What could not be read is read again. Everything else that goes wrong ends in the same place: take an image; who is
alone compares it with what was published and publishes the difference, one of several says every scope anew.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from time import perf_counter

from alcor.bus.interface import DataplaneBus, Hasten, Holdings, Publication
from alcor.dataplane.barrier import Barriers, Heard, Turned
from alcor.dataplane.calm import WAIT_S
from alcor.dataplane.cause import cause
from alcor.dataplane.publish import Publisher
from alcor.dataplane.realize import Realizer, Told
from alcor.dataplane.recent import Recent
from alcor.dataplane.settings import Settings
from alcor.dataplane.tail import floor_of, load_from, load_with, read_tail
from alcor.goalstate.graph import Graph, ScopeChange, difference
from alcor.goalstate.intent import ENTITIES, early
from alcor.goalstate.item import RegionItem
from alcor.goalstate.scope import SHARDS, Scope
from alcor.model.change import Cut, Position
from alcor.store.interface import Image, Store, Superseded, TooOld
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import COMPILE_SECONDS, RECOMPUTED, REVISION

# Cuts taken in one turn: bounds a turn's time (some 10 ms) and how far a status waits behind a burst.
CUTS_PER_TURN_MAX = 256
# And about how many changes of them, for bulks of hundreds of ports are one cut; a cut is never divided.
CHANGES_PER_TURN_MAX = 2_048
# Failures in a row before the role gives up and its supervisor must act; with the delays below about 20 s, which
# is longer than a disk's hiccup and shorter than an operator's patience.
ATTEMPTS_MAX = 10
DELAY_MIN_S = 0.05
DELAY_MAX_S = 5.0


class Dataplane:
    """One data-plane manager. `run` it in one task; `started` is set when it serves. Implements `share.Follower`.

    It follows the whole log and publishes the shards it holds: all of them, or those that `hold` says.
    """

    def __init__(
        self,
        store: Store,
        bus: DataplaneBus,
        *,
        generation: int | None,
        region: RegionItem,
        now_ms: Callable[[], int],
        delay_min_s: float = DELAY_MIN_S,
        told: Told | None = None,
        rescue_after_s: float = 0.0,
        settings: Settings | None = None,
        epoch_wait_s: float = WAIT_S,
    ) -> None:
        """`region`: parameters of all hosts as long as no row says them.
        `generation`: of a dataplane that holds everything: a fencing number, higher than that of any before; None: it
        holds nothing until `hold` is called.

        `now_ms`: unix milliseconds. `delay_min_s`: before the first retry; doubled for each further one.
        `told`: hears of facts of ports after they were stored. `rescue_after_s`: as `dataplane.rescue.Rescues`;
        `epoch_wait_s`: as `dataplane.calm.Calm`. `settings`: claims that row before the first load, and compares.
        """
        self.started = asyncio.Event()
        self._store, self._bus = store, bus
        self._region, self._now_ms, self._told = region, now_ms, told
        self._settings = settings
        self._delay_min_s, self._rescue_after_s = delay_min_s, rescue_after_s
        self._epoch_wait_s = epoch_wait_s
        alone = {} if generation is None else dict.fromkeys(range(SHARDS), generation)
        self._holdings = Holdings(member_id="", shards=alone, realizes=generation or 0)
        # Whether the graph must be made anew, and whether all it says was published: only then is it worth comparing.
        self._stale, self._published = True, True
        self._realizer: Realizer | None = None
        self.barriers = Barriers(self._heard, self._hasten)
        """Who has what was published; known to the dataplane that hears of hosts."""
        self._moved = asyncio.Event()
        self._graph: Graph | None = None
        self._publisher = Publisher(0, alone)
        self._failures = 0

    @property
    def graph(self) -> Graph | None:
        """The present graph, only to be read; None before the first one is loaded."""
        return self._graph

    @property
    def revision(self) -> int | None:
        """Through which revision it has followed the log; None before the first graph is loaded."""
        return self._graph.revision if self._graph is not None else None

    def hold(self, holdings: Holdings) -> None:
        """From here on it says these shards, and hears of hosts if `realizes`."""
        self._holdings = holdings
        self._publisher = replace(self._publisher, shards=holdings.shards)
        self._bus.hold(holdings)
        if self._graph is not None and self._published:
            self._publish(self._graph, [])  # where the shards stand that are new
        self._moved.set()

    async def run(self) -> None:
        """Follow, compute, publish, and write down what hosts report, until cancelled.

        Raises: a group with the last error, after ATTEMPTS_MAX failures in a row.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._follow(), name="dataplane-follow")
            await self.started.wait()
            tasks.create_task(self._realize(), name="dataplane-realize")

    @property
    def realizes(self) -> bool:
        """Whether this is the dataplane that hears of hosts."""
        return self._realizer is not None

    def _heard(self, host_id: str) -> Heard | None:
        return self._realizer.heard(host_id) if self._realizer is not None else None

    def _hasten(self, scopes: Sequence[Scope], through: int) -> None:
        self._bus.hasten(Hasten(tuple(scopes), self._publisher.epoch, through))

    async def _realize(self) -> None:
        """Be the one that hears of hosts, whenever this dataplane is."""
        delay_s = self._delay_min_s
        while True:
            generation = self._holdings.realizes
            if not generation:
                self._moved.clear()
                await self._moved.wait()
                continue
            try:
                await self._realize_once(generation)
                delay_s = self._delay_min_s
            except Superseded as error:
                # Another one has the lease, and our share says so in a moment.
                get_log("dataplane").warning("term_superseded", term=generation, reason=str(error))
                await asyncio.sleep(delay_s)
            except Exception as error:
                # The loop's edge: the facts could not be read; they are read again.
                get_log("dataplane").error("realizing_failed", delay_s=delay_s, **cause(error))
                await asyncio.sleep(delay_s)
                delay_s = min(delay_s * 2, DELAY_MAX_S)

    async def _realize_once(self, generation: int) -> None:
        """One term of hearing of hosts. Raises: Unavailable if what was written before cannot be read."""
        realizer = Realizer(
            self._store,
            now_ms=self._now_ms,
            history_lost=self._begin_epoch,
            term=generation,
            told=self._told,
            barriers=self.barriers,
            rescue_after_s=self._rescue_after_s,
            epoch_wait_s=self._epoch_wait_s,
        )
        assert self._graph is not None  # `started` came first
        await realizer.begin(self._publisher.epoch, self._graph, anew=True)
        # From here on it hears what the graph does; what that did meanwhile is made up for below.
        self._realizer = realizer
        work: list[asyncio.Task[None]] = []
        try:
            await realizer.begin(self._publisher.epoch, self._graph, anew=False)
            if self._holdings.realizes != generation:
                return  # reading took longer than the term: what hosts say now is said to another one
            work += self._working(realizer, generation)
            done, _ = await asyncio.wait(work, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            self._realizer = None
            realizer.close()
            for task in work:
                task.cancel()
            await asyncio.gather(*work, return_exceptions=True)

    def _working(self, realizer: Realizer, generation: int) -> list[asyncio.Task[None]]:
        return [
            asyncio.create_task(realizer.listen(self._bus.reports()), name="dataplane-listen"),
            asyncio.create_task(realizer.write(), name="dataplane-write"),
            asyncio.create_task(realizer.watch(), name="dataplane-watch"),
            asyncio.create_task(self._until_other(generation), name="dataplane-term"),
        ]

    async def _until_other(self, generation: int) -> None:
        while self._holdings.realizes == generation:
            self._moved.clear()
            await self._moved.wait()

    async def _follow(self) -> None:
        """Turn after turn. Broad catch: this is the loop's edge; the repair of everything is a reload."""
        log = get_log("dataplane")
        while True:
            try:
                await self._turn()
            except Exception as error:
                # What was only not read is read again; only what failed in between needs an image.
                self._stale = self._stale or not self._published or isinstance(error, TooOld)
                self._failures += 1
                if self._failures >= ATTEMPTS_MAX:
                    raise
                if isinstance(error, TooOld) and self._failures == 1:
                    log.warning("log_outrun", reason=str(error))
                    continue
                delay_s = min(self._delay_min_s * 2 ** (self._failures - 1), DELAY_MAX_S)
                log.error("turn_failed", attempt=self._failures, delay_s=delay_s, **cause(error))
                await asyncio.sleep(delay_s)

    async def _turn(self) -> None:
        graph = self._graph
        if graph is not None and self._failures and not self._stale:
            # The database was away: it may be another one now.
            head = await self._store.head()
            self._stale = head.epoch != self._publisher.epoch or head.revision < graph.revision
        if graph is None or self._stale:
            await self._load()
            return
        await self._store.wait_beyond(graph.revision)
        begun = perf_counter()
        cuts = await self._store.follow(graph.revision, CUTS_PER_TURN_MAX)
        while cuts:
            taken, cuts = _divide(cuts)
            self._advance(graph, taken, begun)
            COMPILE_SECONDS.observe(perf_counter() - begun)
            if cuts:
                await asyncio.sleep(0)
                begun = perf_counter()
        # Here and not after a reload, which may lead to the same failure again and again.
        self._failures = 0
        if (await self._store.head()).epoch != self._publisher.epoch:
            self._stale = True

    def _advance(self, graph: Graph, cuts: list[Cut], begun: float) -> None:
        """All cuts in one turn: one publication per changed scope, whatever lay between (I8).

        `begun`: when it was to be looked for them (`perf_counter`).
        """
        read = perf_counter()
        before, through = graph.revision, cuts[-1].revision
        if cuts[0].revision != before + 1:
            raise TooOld(f"the change log goes on with revision {cuts[0].revision} after {before}")
        self._published = False
        outcome = graph.follow([(cut.changes, cut.revision) for cut in cuts])
        compiled = perf_counter()
        self._publish(graph, self._publisher.steps(outcome.scopes, before, through))
        if self._realizer is not None:
            self._realizer.advance(outcome)
        times = Turned(
            follow_ms=(read - begun) * 1000,
            compile_ms=(compiled - read) * 1000,
            publish_ms=(perf_counter() - compiled) * 1000,
            ended_s=asyncio.get_running_loop().time(),
        )
        self.barriers.advance(outcome, (change.id for cut in cuts for change in cut.changes), times)
        for node in outcome.stats.recomputed:
            RECOMPUTED.labels(node).inc()

    async def _load(self) -> None:
        """Begin from an image, or begin again from one. Cost: O(rows), off the event loop where it can be."""
        begun = perf_counter()
        old, epoch = self._graph, self._publisher.epoch
        if self._settings is not None:
            await self._settings.claim()
        image = await self._store.image(ENTITIES, early)
        # Of several dataplanes others may have said what lies in between, and some may hold it: a difference would not
        # name what is again as it was (I7).
        is_alone = not self._holdings.member_id
        continues = old is not None and image.position.epoch == epoch and self._published and is_alone
        if old is not None and image.position.epoch < epoch:
            raise RuntimeError(
                f"the store shows epoch {image.position.epoch}, but epoch {epoch} was published: "
                "another database was put in its place; restart with that one's history"
            )
        changes: list[ScopeChange] = []
        if old is not None and continues:
            recent = self._publisher.recent
            graph = await asyncio.to_thread(load_from, self._region, image, old)
            changes = await asyncio.to_thread(lambda: list(difference(old, graph)))
        else:
            graph, recent = await self._recollect(image)
        if self._realizer is not None:
            await self._realizer.begin(image.position.epoch, graph, anew=image.position.epoch != epoch)
        # No pause from here on: what is held may change in each.
        publisher = Publisher(image.position.epoch, self._holdings.shards, recent)
        if old is None:
            steps: list[Publication] = []
        elif continues:
            steps = publisher.steps(changes, old.revision, graph.revision)
        else:
            # What was published is not known, or its positions are of another epoch: every scope is said anew, also
            # those that are gone.
            steps = list(publisher.snapshots(graph, dict.fromkeys([*old.scopes(), *graph.scopes()])))
        self._graph, self._publisher = graph, publisher
        self.barriers.begin(graph)
        self._publish(graph, steps)
        self._stale = False
        if old is None:
            self._bus.serve(self._snapshot, self._unchanged)
            self.started.set()
        get_log("dataplane").info(
            "goal_state_loaded",
            epoch=image.position.epoch,
            revision=graph.revision,
            scopes=len(steps),
            elapsed_ms=round((perf_counter() - begun) * 1000),
        )

    async def _recollect(self, image: Image) -> tuple[Graph, Recent]:
        """The graph of an image, and what changed last, as far as the log says it."""
        tail = await read_tail(self._store, image.position, floor_of(image))
        try:
            return await asyncio.to_thread(load_with, self._region, image, tail)
        except Exception as error:
            # A load heals all that a turn cannot do; so it must not depend on turns. What follows is that more is sent.
            get_log("dataplane").error("tail_not_followed", cuts=len(tail), exc_info=error)
        graph = await asyncio.to_thread(load_from, self._region, image)
        return graph, Recent(graph.revision)

    def _snapshot(self, scope: Scope) -> Publication:
        assert self._graph is not None  # served only once there is one
        return self._publisher.snapshot(self._graph, scope)

    def _unchanged(self, scope: Scope, epoch: int, position: int) -> Publication | None:
        assert self._graph is not None  # as above
        return self._publisher.unchanged(self._graph, scope, epoch, position)

    def _publish(self, graph: Graph, steps: list[Publication]) -> None:
        position = Position(self._publisher.epoch, graph.revision)
        self._published = False
        for heads in self._publisher.heads(position):
            self._bus.publish(steps, heads)
            steps = []
        self._published = True
        if self._settings is not None:
            self._settings.follow(graph.intent.region)
        REVISION.labels("dataplane").set(graph.revision)

    async def _begin_epoch(self, epoch: int, position_max: int, host_id: str) -> None:
        """A host holds more than the log ever said in this epoch: the database lost history (protocol, 2)."""
        head = await self._store.head()
        if head.epoch > epoch or (head.epoch == epoch and position_max <= head.revision):
            return
        get_log("dataplane").critical(
            "history_lost",
            host_id=host_id,
            position=position_max,
            head=head.revision,
            epoch=epoch,
            action="a new epoch begins; hosts are told everything anew and delete nothing that lives",
        )
        await self._store.new_epoch()
        self._stale = True


def _divide(cuts: list[Cut]) -> tuple[list[Cut], list[Cut]]:
    """What is taken at once, at least one cut, and the rest."""
    changes = 0
    for taken, cut in enumerate(cuts):
        changes += len(cut.changes)
        if changes > CHANGES_PER_TURN_MAX and taken:
            return cuts[:taken], cuts[taken:]
    return cuts, []
