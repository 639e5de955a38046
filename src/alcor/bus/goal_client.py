"""An ncm's end of the bus: implements `NcmBus` over one connection to each dataplane of the region.

Each dataplane says which shards it holds and who the others are. A scope is wanted of whoever holds its shard by the
highest generation; when that is another one, the scope is wanted there from the position that was reached, and if
nothing changed since, the answer is one empty step. Heads of a shard wait until the new holder has answered for all
scopes of it that were held: they would cover what has not come.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import msgspec

from alcor.bus.goal_link import CONNECT_S, DELAY_MAX_S, DELAY_MIN_S, GoalLink, Letter, Manner
from alcor.bus.grpc_tls import ChannelTls
from alcor.bus.heads import HeadBook
from alcor.bus.host_memory import HostMemory
from alcor.bus.interface import (
    GoalMessage,
    Hasten,
    Heads,
    HostReport,
    Marks,
    News,
    Question,
    Reply,
    ScopeUpdate,
)
from alcor.bus.local import merge_reports
from alcor.bus.normal_client import NormalClient
from alcor.goalstate.scope import SHARDS, Scope, shard_of
from alcor.telemetry.log import get_log

log = get_log("bus")

# Frames on their way to the reader: what it does not take in time is merged at the dataplanes.
_LETTERS_MAX = 1
# Questions that agents have not answered; who asked gives up after seconds.
_QUESTIONS_MAX = 1024


class _Position:
    """How far a wanted scope has come: its own steps, and its shard's heads since the last one (`serial`)."""

    __slots__ = ("epoch", "serial", "through")

    def __init__(self) -> None:
        self.epoch = self.through = self.serial = 0


class _Shard:
    """One shard: who holds it, what is wanted of it, and which heads passed to the reader.

    owed:     scopes that its holder has not answered for since it became the holder.
    withheld: the last heads that wait for that.
    """

    __slots__ = ("epoch", "generation", "holder", "owed", "serial", "through", "wanted", "withheld")

    def __init__(self) -> None:
        self.holder: GoalLink | None = None
        self.generation = 0
        self.wanted: dict[Scope, _Position] = {}
        self.owed: set[Scope] = set()
        self.withheld: Heads | None = None
        self.forget()

    def forget(self) -> None:
        """The reader knows nothing."""
        self.owed.clear()
        self.withheld = None
        self.epoch = self.through = self.serial = 0
        for scope in self.wanted:
            self.wanted[scope] = _Position()

    def reached(self, scope: Scope) -> tuple[int, int]:
        """(epoch, revision) through which the reader has a wanted scope."""
        position = self.wanted[scope]
        if position.epoch != self.epoch or position.serial == self.serial:
            return position.epoch, position.through
        return position.epoch, max(position.through, self.through)

    def step(self, update: ScopeUpdate) -> None:
        """A step goes to the reader; a gap it will notice itself, and want the scope anew."""
        epoch, through = self.reached(update.scope)
        position = self.wanted[update.scope]
        if update.from_revision == 0 or (update.epoch == epoch and update.from_revision <= through):
            position.through = max(through, update.through) if update.epoch == epoch else update.through
            position.epoch, position.serial = update.epoch, self.serial

    def pass_heads(self, epoch: int, through: int) -> None:
        """Heads go to the reader."""
        if epoch == self.epoch and through < self.through:
            # A holder that is behind its predecessor: what that said counts for the scopes that were wanted then.
            for scope, position in self.wanted.items():
                position.epoch, position.through = self.reached(scope)
        self.through = through
        self.epoch = epoch
        self.serial += 1

    def release(self) -> list[Heads]:
        """The heads that waited, if nothing is owed any more."""
        if self.owed or self.withheld is None:
            return []
        heads, self.withheld = self.withheld, None
        for through in heads.through.values():
            self.pass_heads(heads.epoch, through)
        return [heads]


class GoalClient:
    """Implements `NcmBus` for the dataplanes of a region, of which some are found at `addresses` (`host:port` or
    `unix:/path`), the others through these.

    `updates()` owns the connections: it connects, and connects again whenever a stream is lost, for ever; wants and
    reports travel while it is read. What attached hosts said is told whole to whichever dataplane begins to hear of
    hosts, so that it knows what its predecessor did.

    ncm_id:  tells this process from other ncms. secret: read at each attempt, so that it may come later; it raises
             OSError with the reason if it is not there.
    tls:     as whom to connect to an address; None for a plain connection. Raises: ConnectionError.
    normal:  the broker, if there is one: its frames are joined with each dataplane's stream.
    random:  a number in [0, 1) for the pauses.
    Bound:   a position per wanted scope, one `HostMemory` per attached host, one merged report per host.
    """

    def __init__(
        self,
        addresses: str | Sequence[str],
        *,
        ncm_id: str,
        secret: Callable[[], str],
        random: Callable[[], float],
        connect_s: float = CONNECT_S,
        delay_min_s: float = DELAY_MIN_S,
        delay_max_s: float = DELAY_MAX_S,
        tls: Callable[[str], ChannelTls | None] = lambda _address: None,
        normal: NormalClient | None = None,
    ) -> None:
        self._addresses = (addresses,) if isinstance(addresses, str) else tuple(addresses)
        self._manner = Manner(
            ncm_id=ncm_id,
            secret=secret,
            random=random,
            connect_s=connect_s,
            delay_min_s=delay_min_s,
            delay_max_s=delay_max_s,
            tls=tls,
            normal=normal,
        )
        self._normal = normal
        self._shards = [_Shard() for _ in range(SHARDS)]
        self._links: dict[str, tuple[GoalLink, asyncio.Task[None]]] = {}
        self._ended: set[asyncio.Task[None]] = set()
        # Configured addresses that lead to where another link is already.
        self._spare: set[str] = set()
        self._hosts: dict[str, HostMemory] = {}
        self._reports: dict[str, HostReport] = {}
        self._realizer: GoalLink | None = None
        self._realizes = 0
        self._question = 0
        self._asked: dict[int, tuple[GoalLink, int]] = {}
        self._queue: asyncio.Queue[Letter | None] = asyncio.Queue(_LETTERS_MAX)
        self._loose: list[News] = []
        self._reader = 0

    @property
    def links(self) -> list[GoalLink]:
        """The connections, also those that are being tried."""
        return [link for link, _ in self._links.values()]

    @property
    def trouble(self) -> str:
        """Why not everything can be served; empty if it can."""
        links = self.links
        if not any(link.holdings is not None for link in links):
            return "; ".join(dict.fromkeys(link.trouble for link in links if link.trouble)) or (
                "it was not tried yet" if not links else "the dataplanes have not said what they hold"
            )
        lacking = sum(shard.holder is None for shard in self._shards)
        return f"no dataplane says that it holds {lacking} of the {SHARDS} shards" if lacking else ""

    # --- the ncm's ---------------------------------------------------------------------------------------

    def want(self, scope: Scope) -> None:
        """As `NcmBus.want`; wanting what is wanted already asks for its snapshot again."""
        shard = self._shards[shard_of(scope)]
        shard.wanted[scope] = _Position()
        shard.owed.discard(scope)
        if shard.holder is not None:
            shard.holder.want(scope)
        self._pass(shard.release())

    def unwant(self, scope: Scope) -> None:
        """As `NcmBus.unwant`; from here on nothing of the scope comes out of `updates`."""
        shard = self._shards[shard_of(scope)]
        shard.wanted.pop(scope, None)
        shard.owed.discard(scope)
        if shard.holder is not None:
            shard.holder.unwant(scope)
        self._pass(shard.release())

    def report(self, report: HostReport) -> None:
        """As `NcmBus.report`. What attached hosts said is remembered."""
        id = report.host_id
        if not report.alive:
            self._hosts.pop(id, None)
        elif (memory := self._hosts.get(id)) is None:
            self._hosts[id] = HostMemory(report)
        else:
            memory.add(report)
        if self._realizer is not None:
            self._realizer.report(report)
        else:
            before = self._reports.pop(id, None)
            self._reports[id] = report if before is None else merge_reports(before, report)

    def reply(self, reply: Reply) -> None:
        """As `NcmBus.reply`; an answer to a dataplane that has gone meanwhile is dropped."""
        link, number = self._asked.pop(reply.number, (None, 0))
        if link is not None and link.holdings is not None:
            link.reply(Reply(number, reply.body, reply.error))

    async def updates(self) -> AsyncIterator[Sequence[News]]:
        """As `NcmBus.updates`. A new reader knows nothing: each wanted scope starts with its snapshot.

        A new reader's connections take the place of those before.
        """
        self._reader += 1
        reader = self._reader
        await self._hang_up()
        queue: asyncio.Queue[Letter | None] = asyncio.Queue(_LETTERS_MAX)
        self._queue = queue
        self._loose.clear()
        self._spare.clear()
        for shard in self._shards:
            shard.forget()
        for address in self._addresses:
            self._dial(address)
        broker = asyncio.create_task(self._read_broker(), name="bus-normal")
        broker.add_done_callback(_say_if_failed)
        try:
            while reader == self._reader:
                letter = await queue.get()
                # Judged now and not when it came: what was unwanted meanwhile is not given.
                batch = self._open(letter) if letter is not None else []
                batch += self._frames()
                loose, self._loose = self._loose, []
                if batch or loose:
                    yield [*batch, *loose]
        finally:
            broker.cancel()
            await asyncio.gather(broker, return_exceptions=True)
            if reader == self._reader:
                await self._hang_up()

    async def _read_broker(self) -> None:
        if self._normal is not None:
            await self._normal.run(lambda: self.links, self._wake)

    def _wake(self) -> None:
        # One that is full wakes the reader as well.
        with contextlib.suppress(asyncio.QueueFull):
            self._queue.put_nowait(None)

    async def close(self) -> None:
        """End the connections and their reader."""
        self._reader += 1
        await self._hang_up()
        self._wake()

    # --- links -------------------------------------------------------------------------------------------

    def _dial(self, address: str) -> None:
        if address in self._links:
            return
        link = GoalLink(address, self, self._manner)
        task = asyncio.create_task(link.run(), name=f"bus-link-{address}")
        task.add_done_callback(_say_if_failed)
        self._links[address] = link, task

    async def _hang_up(self) -> None:
        for address in list(self._links):
            self._retire(address)
        ended, self._ended = self._ended, set()
        await asyncio.gather(*ended, return_exceptions=True)

    def _retire(self, address: str) -> None:
        _, task = self._links.pop(address)
        task.cancel()
        self._ended.add(task)
        task.add_done_callback(self._ended.discard)

    def lost(self, link: GoalLink) -> None:
        """As `LinkOwner.lost`: who else holds its shards takes its place; else nobody does for now."""
        self._reports |= {report.host_id: report for report in link.take_reports()}
        self._asked = {number: asked for number, asked in self._asked.items() if asked[0] is not link}
        for shard in self._shards:
            if shard.holder is link:
                self._settle(shard, None)
        self._route()
        if self._links.get(link.address, (None,))[0] is link:
            spare, self._spare = self._spare, set()
            for address in spare:
                self._dial(address)

    async def received(self, letter: Letter) -> None:
        """As `LinkOwner.received`; waits while the reader is slow."""
        await self._queue.put(letter)

    def _open(self, letter: Letter) -> list[News]:
        """What the reader gets of a frame."""
        link = letter.link
        if self._links.get(link.address, (None,))[0] is not link or not link.take(letter):
            return []
        if letter.frame.holdings is not None:
            self._meet(link)
            self._route()
        now = self._normal.clock() if self._normal is not None else 0.0
        parts = link.wanted_parts(letter.frame)
        return self._sort(link, [each for part in parts for each in link.join.take(part, now)])

    def _frames(self) -> list[News]:
        """What the reader gets of the broker's frames that came."""
        batch: list[News] = []
        if self._normal is not None:
            due, self._normal.due = self._normal.due, {}
            now = self._normal.clock()
            for source, shard in due:
                for link in self.links:
                    if link.join.source == source:
                        batch += self._sort(link, list(link.join.look(shard, now)))
        return batch

    def _sort(self, link: GoalLink, messages: Sequence[GoalMessage]) -> list[News]:
        """What the reader gets of what a link's join let pass."""
        batch: list[News] = []
        free = HeadBook()
        for message in messages:
            if isinstance(message, ScopeUpdate) and free.through(shard_of(message.scope), message.epoch):
                # The step may begin at these heads.
                batch += free.messages()
                free = HeadBook()
            batch += self._read(link, message, free)
        return [*batch, *free.messages()]

    def _meet(self, link: GoalLink) -> None:
        """Know one another: one link to each dataplane, also to those that only the others know of."""
        for other in self.links:
            if other is not link and other.holdings is not None and other.member_id == link.member_id:
                # The dataplane ends an ncm's older stream when a newer one comes.
                self._retire(other.address)
                if other.address in self._addresses:
                    self._spare.add(other.address)
        assert link.holdings is not None
        met = {other.member_id for other in self.links}
        for id, address in link.holdings.members.items():
            if id not in met:
                self._dial(address)
        known = {id for other in self.links if other.holdings for id in other.holdings.members}
        for other in self.links:
            is_known = other.holdings is not None or other.address in link.holdings.members.values()
            if not is_known and other.address not in self._addresses and other.member_id not in known:
                self._retire(other.address)

    def _route(self) -> None:
        """Give each shard, and the hosts' reports, to whoever holds them by the highest generation ever seen."""
        links = [(link, link.holdings) for link in self.links if link.holdings is not None]
        for number, shard in enumerate(self._shards):
            best: GoalLink | None = None
            generation = shard.generation
            for link, holdings in links:
                held = holdings.shards.get(number, -1)
                if held > generation or (held == generation and (best is None or link is shard.holder)):
                    best, generation = link, held
            if best is not shard.holder or (best is not None and generation != shard.generation):
                shard.generation = generation
                self._settle(shard, best)
        realizer = max(
            (each for each in links if each[1].realizes >= max(self._realizes, 1)),
            key=lambda each: each[1].realizes,
            default=None,
        )
        if realizer is None:
            self._realizer = None
        elif realizer[0] is not self._realizer or realizer[1].realizes != self._realizes:
            self._realizer, self._realizes = realizer[0], realizer[1].realizes
            self._tell_all(self._realizer)

    def _settle(self, shard: _Shard, holder: GoalLink | None) -> None:
        """From here on `holder` speaks for a shard."""
        before, shard.holder = shard.holder, holder
        if holder is None:
            return
        for scope in shard.wanted:
            epoch, through = shard.reached(scope)
            shard.owed.add(scope)
            if before is not None and before is not holder and before.holdings is not None:
                before.unwant(scope)
            holder.want(scope, epoch, through)
        # What its predecessor said of heads is void, if it was not passed on.
        shard.withheld = None

    def _tell_all(self, link: GoalLink) -> None:
        """Tell a dataplane that begins to hear of hosts: who went, and all that those who are here said."""
        link.take_reports()
        reports, self._reports = self._reports, {}
        for id, report in reports.items():
            if id not in self._hosts:  # what is left of hosts that went is their farewell
                link.report(report)
        for memory in self._hosts.values():
            link.report(memory.whole())

    # --- what comes --------------------------------------------------------------------------------------

    def _read(self, link: GoalLink, message: GoalMessage, free: HeadBook) -> list[News]:
        """What the reader gets of a message at once; heads that it may hear of go to `free`."""
        if isinstance(message, Marks):
            return []
        if isinstance(message, Hasten):
            return [message]  # whoever says it: it counts when the scope's holder has said as much
        if isinstance(message, Question):
            return [self._number(link, message)]
        if isinstance(message, Heads):
            self._heads(link, message, free)
            return []
        shard = self._shards[shard_of(message.scope)]
        if shard.holder is not link or message.scope not in shard.wanted:
            return []
        shard.step(message)
        shard.owed.discard(message.scope)
        for heads in shard.release():
            free.take(heads)
        return [message]

    def _heads(self, link: GoalLink, heads: Heads, free: HeadBook) -> None:
        passed: dict[int, int] = {}
        for number, through in heads.through.items():
            shard = self._shards[number]
            if shard.holder is not link:
                continue
            if shard.owed:
                shard.withheld = msgspec.structs.replace(heads, through={number: through})
            else:
                shard.pass_heads(heads.epoch, through)
                passed[number] = through
        if passed:
            free.take(msgspec.structs.replace(heads, through=passed))

    def _number(self, link: GoalLink, question: Question) -> Question:
        """Each dataplane counts its own questions: to the ncm they have numbers of ours."""
        self._question += 1
        self._asked[self._question] = link, question.number
        if len(self._asked) > _QUESTIONS_MAX:
            del self._asked[next(iter(self._asked))]
        return Question(self._question, question.body, question.host_id)

    def _pass(self, heads: list[Heads]) -> None:
        """Give the reader heads that an act of the ncm itself set free."""
        if heads:
            self._loose += heads
            self._wake()


def _say_if_failed(task: "asyncio.Task[None]") -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("bus_link_failed", exc_info=error)
