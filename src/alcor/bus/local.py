"""The in-process bus: `GoalBus` for roles that share one process and one event loop.

Nothing is queued. Per wanted scope at most one pending step is held, one value per key (I8): what a slow reader
has not taken yet is merged. A newly wanted scope holds nothing at all until the reader comes for it; then its
snapshot is asked of the publisher, which therefore covers all that was published before.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import msgspec

from alcor.bus.heads import HeadBook
from alcor.bus.interface import (
    ClaimReport,
    Envelope,
    GoalMessage,
    Hasten,
    Heads,
    Holdings,
    HostReport,
    ItemCodec,
    Late,
    LossReport,
    Marks,
    News,
    PortReport,
    Publication,
    Put,
    Question,
    Reply,
    ScopeUpdate,
    Unchanged,
)
from alcor.bus.question import Questions
from alcor.goalstate.item import Key, key_of, refers
from alcor.goalstate.scope import SHARDS, Scope, shard_of

# How many scopes one batch holds, and about how many items: bounds the time the reader keeps the event loop when many
# or large ones are newly wanted. An item takes 20 to 30 µs until it is in a frame.
BATCH_SCOPES = 64
BATCH_ITEMS = 1_024
_NOTHING = (0, 0)
# Scopes that are waited for and not said yet: an ncm that reads takes them at once.
_HASTENED_MAX = 1_024


class Step:
    """A step of one scope that somebody lacks: everything since `from_revision`, merged."""

    __slots__ = (
        "changed",
        "epoch",
        "floor",
        "from_revision",
        "generation",
        "late",
        "put",
        "removed",
        "scope",
        "through",
    )

    def __init__(self, first: Publication, from_revision: int) -> None:
        self.scope = first.scope
        self.epoch = first.epoch
        self.generation = first.generation
        self.from_revision = from_revision
        self.through = first.through
        self.changed, self.floor = first.changed, first.floor
        self.late = {one.key: one.revision for one in first.late}  # of a snapshot only
        self.put: dict[Key, Put] = {key_of(put.item): put for put in first.put}
        self.removed: dict[Key, None] = dict.fromkeys(first.removed)

    def merges(self, next: Publication, head: int) -> bool:
        """Take in the next step of this epoch; False if it does not follow from this one.

        head: through which revision nothing but what was published before happened in this scope's shard.
        """
        if next.from_revision > max(self.through, head):
            return False
        for put in next.put:
            key = key_of(put.item)
            # Last changed last: the order of a scope's map is the order of its changes.
            self.put.pop(key, None)
            self.removed.pop(key, None)
            self.put[key] = put
        for key in next.removed:
            self.put.pop(key, None)
            self.removed[key] = None
        if not self.from_revision:
            for key in [*(key_of(put.item) for put in next.put), *next.removed]:
                self.late.pop(key, None)
                self.late[key] = next.through
        self.generation = next.generation
        self.through = self.changed = next.through
        return True


class _Telling(NamedTuple):
    """What the reader is being told of one scope. `last`: its end, without items; it was told `puts` before `begin`."""

    last: ScopeUpdate
    puts: Sequence[Put]
    begin: int = 0


class LocalBus:
    """Implements `GoalBus`. All methods are for one event loop; none blocks.

    Bound:  one merged step per wanted scope, one mark per shard, one merged report per host.
    Order:  of one scope, as published, its snapshot first. Heads follow every step published before them; between
            scopes there is no order (`since` makes that safe: protocol, section 4).
    Turns:  a batch holds BATCH_SCOPES scopes and about BATCH_ITEMS items, a larger snapshot comes in several; between
            batches everybody has a turn. What a snapshot says is as of when it began.
    Reader: `updates()` and `reports()` have one reader each at a time.
    """

    def __init__(self, codec: ItemCodec) -> None:
        self._codec = codec
        self._snapshot: Callable[[Scope], Publication] | None = None
        self._unchanged: Unchanged | None = None
        self._shards: dict[int, int] | None = None
        self._wanted: set[Scope] = set()
        # Wanted and not answered yet → (epoch, position) that who wants it holds; (0, 0): nothing.
        self._fresh: dict[Scope, tuple[int, int]] = {}
        self._steps: dict[Scope, Step] = {}
        # What the reader is being given now: a scope that is unwanted meanwhile leaves these too.
        self._taken_fresh: dict[Scope, tuple[int, int]] = {}
        self._taken_steps: dict[Scope, Step] = {}
        self._telling: _Telling | None = None
        # Scope → (epoch, through) of what the reader was given last.
        self._given: dict[Scope, tuple[int, int]] = {}
        # All heads published so far, and those the reader was not given yet.
        self._published = HeadBook()
        self._heads = HeadBook()
        self._marks: Marks | None = None
        self._ready = asyncio.Event()
        self._reports: dict[str, HostReport] = {}
        # Counts the times that reports were forgotten.
        self._term = 0
        self._reported = asyncio.Event()
        self._questions = Questions()
        self._asked: list[Question] = []
        self._stirred = False
        # Scopes that somebody waits for → (epoch, revision).
        self._hastened: dict[Scope, tuple[int, int]] = {}

    # --- dataplane ---

    def publish(self, updates: Sequence[Publication], heads: Heads) -> None:
        """As `GoalBus.publish`. Cost: O(items) for wanted scopes, one set look-up for others."""
        self.add(updates)
        self._published.take(heads)
        self._heads.take(heads)
        self._ready.set()

    def add(self, updates: Iterable[Publication]) -> None:
        """Steps that heads published before cover already, or those of `publish`."""
        for update in updates:
            if update.scope in self._wanted:
                self._add(update)
        self._ready.set()

    def _add(self, update: Publication) -> None:
        scope = update.scope
        if scope in self._fresh or scope in self._taken_fresh:
            return  # the snapshot is still to be made, and will say it
        step = self._steps.get(scope)
        if step is None:
            self._begin(update)
        elif (update.epoch, update.generation) < (step.epoch, step.generation):
            return  # from a publisher that was replaced (I9)
        elif update.from_revision == 0:
            self._steps[scope] = Step(update, 0)
        elif update.epoch != step.epoch or (
            update.through > step.through and not step.merges(update, self._head(scope, update.epoch))
        ):
            del self._steps[scope]
            self._fresh[scope] = _NOTHING

    def _begin(self, update: Publication) -> None:
        """Hold the first pending step of a scope.

        It may start at a head that the reader will see only after it, because heads follow the steps they cover:
        then it is told from where the reader is. What is not covered by a head is left as it came: a gap.
        """
        scope, from_revision = update.scope, update.from_revision
        taken = self._taken_steps.get(scope)
        epoch, through = (taken.epoch, taken.through) if taken else self._given.get(scope, (0, 0))
        if epoch == update.epoch and through < from_revision <= self._head(scope, epoch):
            from_revision = through
            if from_revision == 0:
                self._fresh[scope] = _NOTHING  # a step from 0 would say that it is everything
                return
        self._steps[scope] = Step(update, from_revision)

    def _head(self, scope: Scope, epoch: int) -> int:
        return self._published.through(shard_of(scope), epoch)

    def hold(self, holdings: Holdings) -> None:
        """As `GoalBus.hold`. Cost: O(wanted scopes)."""
        before, self._shards = self._shards, dict(holdings.shards)
        held = self._shards
        if before is None:
            lost = {shard for shard in range(SHARDS) if shard not in held}
        else:
            lost = {shard for shard, generation in before.items() if held.get(shard) != generation}
        for scope in [scope for scope in self._wanted if shard_of(scope) in lost]:
            self.unwant(scope)
        self._published.forget(lost)
        self._heads.forget(lost)

    def stir(self) -> None:
        """Have the reader given a batch, be it empty."""
        self._stirred = True
        self._ready.set()

    def serve(self, snapshot: Callable[[Scope], Publication], unchanged: Unchanged | None = None) -> None:
        """As `GoalBus.serve`; scopes wanted before are answered now. Called from the reader's task.

        `snapshot` must include all that was published, and its `through` must not be below a head published
        before; what it does not know it answers with nothing put, at its own head.
        """
        self._snapshot, self._unchanged = snapshot, unchanged
        self._ready.set()

    def hasten(self, hasten: Hasten) -> None:
        """As `GoalBus.hasten`; the scopes may be wanted elsewhere. Beyond the bound they are at the idle pace."""
        for scope in hasten.scopes:
            if scope in self._hastened or len(self._hastened) < _HASTENED_MAX:
                after = (hasten.epoch, hasten.through)
                self._hastened[scope] = max(after, self._hastened.get(scope, _NOTHING))
        self._ready.set()

    def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        """As `GoalBus.reports`: at most one report per host and batch, merged as `merge_reports` says.

        Ends when what was reported is forgotten: what comes then is for whoever asks for reports after that.
        """
        return self._reports_of(self._term)

    async def _reports_of(self, term: int) -> AsyncIterator[Sequence[HostReport]]:
        while True:
            await self._reported.wait()
            if term != self._term:
                return
            self._reported.clear()
            batch, self._reports = list(self._reports.values()), {}
            if batch:
                yield batch

    async def ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        """As `GoalBus.ask`."""

        def send(question: Question) -> None:
            self._asked.append(question)
            self._ready.set()

        return await self._questions.ask(send, host_id, body, within_s)

    # --- ncm ---

    def reply(self, reply: Reply) -> None:
        """As `GoalBus.reply`."""
        self._questions.answer(reply)

    def want(self, scope: Scope, epoch: int = 0, position: int = 0) -> None:
        """As `GoalBus.want`; wanting what is wanted already asks for its snapshot again.

        position: what is held of it already, of this epoch; the answer may be that nothing changed since. A scope of
        a shard that is not held is not taken: who wants it has not heard yet, and will.
        """
        self.unwant(scope)
        if self._shards is not None and shard_of(scope) not in self._shards:
            return
        self._wanted.add(scope)
        self._fresh[scope] = (epoch, position) if position > 0 else _NOTHING
        self._ready.set()

    def unwant(self, scope: Scope) -> None:
        """As `GoalBus.unwant`; what is pending of the scope is dropped."""
        self._wanted.discard(scope)
        self._given.pop(scope, None)
        self._fresh.pop(scope, None)
        self._taken_fresh.pop(scope, None)
        self._steps.pop(scope, None)
        self._taken_steps.pop(scope, None)
        if self._is_telling(scope):
            self._telling = None

    def wants(self, scope: Scope) -> bool:
        """Whether the reader wants it."""
        return scope in self._wanted

    def settled(self, scope: Scope, epoch: int) -> int:
        """Through which revision of `epoch` the reader was given a scope; 0 if anything of it is still to be given."""
        due = (self._steps, self._taken_steps, self._fresh, self._taken_fresh)
        if self._is_telling(scope) or any(scope in held for held in due):
            return 0
        given = self._given.get(scope, _NOTHING)
        return given[1] if given[0] == epoch else 0

    def settle(self, scope: Scope, epoch: int, through: int) -> None:
        """The reader got a scope through `through` by another way; only for a scope that is settled."""
        self._given[scope] = (epoch, through)

    def mark(self, marks: Marks) -> None:
        """Have the reader given marks, before the heads of what was published since it was given the last ones."""
        self._marks = merge_marks(self._marks, marks)
        self._ready.set()

    async def updates(self) -> AsyncIterator[Sequence[News]]:
        """As `GoalBus.updates`. A new reader knows nothing: each wanted scope starts with its snapshot.

        Raises: ValueError if a published item has no wire form.
        """
        async for batch in self.messages():
            yield [message for message in batch if not isinstance(message, Marks)]

    async def messages(self) -> AsyncIterator[Sequence[GoalMessage]]:
        """As `updates`, for a stream that a broker's frames are joined with: marks too."""
        self._steps = {}
        self._taken_steps = {}
        self._taken_fresh = {}
        self._telling = None
        self._fresh = dict.fromkeys(self._wanted, _NOTHING)
        self._ready.set()
        while True:
            await self._ready.wait()
            self._ready.clear()
            if self._stirred:
                self._stirred = False
                yield []
            if self._asked:
                asked, self._asked = self._asked, []
                yield asked
            if self._hastened:
                yield self._take_hastened()
            # Heads are taken together with the steps published before them, and given after the last of these.
            heads = self._take_heads()
            self._taken_steps, self._steps = self._steps, {}
            if self._snapshot is not None:
                self._taken_fresh, self._fresh = self._fresh, {}
            while self._has_taken:
                batch: list[ScopeUpdate | Heads | Marks] = list(self._take())
                if heads and not self._has_taken:
                    batch += heads
                    heads = []
                yield batch
                # The reader may be synchronous; the publisher must get its turn between batches.
                await asyncio.sleep(0)
            if heads:
                yield heads

    def _take_hastened(self) -> list[Hasten]:
        hastened, self._hastened = self._hastened, {}
        scopes: dict[tuple[int, int], list[Scope]] = {}
        for scope, at in hastened.items():
            scopes.setdefault(at, []).append(scope)
        return [Hasten(tuple(each), epoch, through) for (epoch, through), each in scopes.items()]

    def _take_heads(self) -> list[Heads | Marks]:
        heads, self._heads = self._heads, HeadBook()
        marks, self._marks = self._marks, None
        return [*([] if marks is None else [marks]), *heads.messages()]

    @property
    def _has_taken(self) -> bool:
        return bool(self._telling or self._taken_steps or self._taken_fresh)

    def _is_telling(self, scope: Scope) -> bool:
        return self._telling is not None and self._telling.last.scope == scope

    def _take(self) -> list[ScopeUpdate]:
        """The next batch."""
        taken: list[ScopeUpdate] = []
        items = 0
        while self._has_taken and len(taken) < BATCH_SCOPES and items < BATCH_ITEMS:
            taken.append(self._tell())
            items += len(taken[-1].put)
        return taken

    def _tell(self) -> ScopeUpdate:
        """Of the scope in turn: all, or as much of a large snapshot as a batch may hold."""
        last, puts, begin = self._telling or self._begin_telling()
        # A step is one piece: it holds what changed in one turn of the dataplane, or waited since.
        end = len(puts) if last.from_revision else begin + BATCH_ITEMS
        put = encode_puts(self._codec, puts[begin:end])
        if end >= len(puts):
            self._telling = None
            return msgspec.structs.replace(last, put=put)
        self._telling = _Telling(last, puts, end)
        return msgspec.structs.replace(last, put=put, removed=(), late=(), more=True)

    def _begin_telling(self) -> _Telling:
        if self._taken_steps:
            step = self._taken_steps.pop(next(iter(self._taken_steps)))
            late = tuple([Late(key, revision) for key, revision in step.late.items()])
            return self._telling_of(step, tuple(step.removed), late, tuple(step.put.values()))
        scope = next(iter(self._taken_fresh))
        answer = self._answer(scope, *self._taken_fresh.pop(scope))
        return self._telling_of(answer, answer.removed, answer.late, answer.put)

    def _telling_of(
        self, said: Step | Publication, removed: tuple[Key, ...], late: tuple[Late, ...], puts: Sequence[Put]
    ) -> _Telling:
        self._given[said.scope] = (said.epoch, said.through)
        is_whole = not said.from_revision
        last = ScopeUpdate(
            scope=said.scope,
            epoch=said.epoch,
            generation=said.generation,
            from_revision=said.from_revision,
            through=said.through,
            # A snapshot says everything: what is not in it is gone.
            removed=() if is_whole else removed,
            changed=said.changed if is_whole else 0,
            floor=said.floor if is_whole else 0,
            late=late,
        )
        return _Telling(last, puts)

    def _answer(self, scope: Scope, epoch: int, position: int) -> Publication:
        """What who wants a scope and holds it through `position` is told first."""
        assert self._snapshot is not None  # `_taken_fresh` is only filled when there is one
        if position and self._unchanged is not None:
            empty = self._unchanged(scope, epoch, position)
            if empty is not None:
                return empty
        return self._snapshot(scope)

    def report(self, report: HostReport) -> None:
        """As `GoalBus.report`."""
        before = self._reports.pop(report.host_id, None)
        self._reports[report.host_id] = report if before is None else merge_reports(before, report)
        self._reported.set()

    def forget_reports(self) -> None:
        """What was reported and not read yet is void, and whoever reads does so no more."""
        self._reports = {}
        self._term += 1
        self._reported.set()


def encode_puts(codec: ItemCodec, puts: Iterable[Put]) -> tuple[Envelope, ...]:
    """Items as they travel. Raises: ValueError if one has no wire form."""
    return tuple(
        [Envelope(key_of(put.item), put.since, refers(put.item), codec.encode(put.item)) for put in puts]
    )


def merge_marks(before: Marks | None, after: Marks) -> Marks:
    """What marks of one source say together."""
    if before is None:
        return after
    return Marks(
        source=after.source,
        covered=_merge_numbers(before.covered, after.covered),
        awaited=_merge_numbers(before.awaited, after.awaited),
    )


def _merge_numbers(before: Mapping[int, int], after: Mapping[int, int]) -> dict[int, int]:
    return {shard: max(before.get(shard, 0), after.get(shard, 0)) for shard in {**before, **after}}


def merge_reports(before: HostReport, after: HostReport) -> HostReport:
    """What two reports of one host say together: the later facts, no transition of a port lost but its middle.

    Of two attachments the later one speaks alone: what the earlier one said is no longer true of the host (I14).
    Bound: one transition per port of the host.
    """
    if after.session not in (0, before.session):
        return after
    ports: dict[str, PortReport] = {port.port_id: port for port in before.ports}
    for port in after.ports:
        ports.pop(port.port_id, None)
        ports[port.port_id] = port
    realized = dict(after.realized)
    position_max = after.position_max
    if before.epoch == after.epoch:
        for shard, revision in before.realized.items():
            realized[shard] = max(revision, realized.get(shard, 0))
        position_max = max(position_max, before.position_max)
    latest = after if after.realized else before
    return HostReport(
        host_id=after.host_id,
        epoch=after.epoch,
        alive=after.alive,
        at_ms=after.at_ms,
        agent_version=after.agent_version or before.agent_version,
        realized=realized,
        ports=tuple(ports.values()),
        detail=after.detail,
        position_max=position_max,
        session=after.session or before.session,
        receive_ms=latest.receive_ms,
        install_ms=latest.install_ms,
        claims=merge_claims(before.claims, after.claims),
        losses=merge_losses(before.losses, after.losses),
        paths=after.paths,
        rescues=after.rescues,
        rescuer_id=after.rescuer_id,
        settled=after.settled,
    )


def merge_losses(before: Iterable[LossReport], after: Iterable[LossReport]) -> tuple[LossReport, ...]:
    """The last loss of each host. Bound: one per gateway host."""
    losses = {loss.host_id: loss for loss in before}
    return tuple((losses | {loss.host_id: loss for loss in after}).values())


def merge_claims(before: Iterable[ClaimReport], after: Iterable[ClaimReport]) -> tuple[ClaimReport, ...]:
    """The last claim of each address. Bound: one per address."""
    claims = {claim.subject: claim for claim in before}
    return tuple((claims | {claim.subject: claim for claim in after}).values())
