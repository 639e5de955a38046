"""Looks at an agent's stream from outside: what came when, what was confirmed when; and plugs VIFs.

The agent knows nothing of it: this stands between `Agent` and the real connector.
"""

import random
import time
from collections.abc import AsyncIterator, Sequence

from alcor.agent.counting import CountingSwitch
from alcor.bus.interface import Ack, AgentConnector, AgentMessage, AgentStream, NcmMessage, ScopeUpdate
from alcor.goalstate.item import ItemKind
from alcor.goalstate.scope import ScopeKind, shard_of
from alcor.lab.simulate.wire import Told

# Of install times: enough for a p99 of thousands of hosts, and little memory.
_SAMPLES_MAX = 50_000


class Recorder:
    """What one worker's hosts were told, by item. Off, it only counts."""

    def __init__(self, seed: int) -> None:
        self.is_on = False
        self.items = self.snapshots = self.steps = self.acks = self.attachments = 0
        self._random = random.Random(seed)
        self._told: dict[tuple[str, str, bool], Told] = {}
        self._install_ms: list[float] = []
        self._installs = 0

    def begin(self, *, is_on: bool) -> None:
        """Forget what was noted, and note or do not note from here on."""
        self.is_on = is_on
        self.drain()

    def drain(self) -> tuple[list[Told], list[float]]:
        """What was noted since the last time."""
        told, samples = list(self._told.values()), self._install_ms
        # Who is not confirmed everywhere yet goes on being counted in the same object by hosts that hold it.
        self._told, self._install_ms, self._installs = {}, [], 0
        return told, samples

    def note(self, kind: str, id: str, *, gone: bool, now_s: float) -> Told:
        """One host got one item's change."""
        key = (kind, id, gone)
        told = self._told.get(key)
        if told is None:
            told = self._told[key] = Told(kind, id, gone, first_s=now_s)
        told.hosts += 1
        told.last_s = now_s
        return told

    def installed(self, told: Told, arrived_s: float, now_s: float) -> None:
        """One host confirmed it."""
        told.confirmed += 1
        if not told.first_confirmed_s:
            told.first_confirmed_s = now_s
        told.last_confirmed_s = now_s
        self._installs += 1
        sample = (now_s - arrived_s) * 1_000
        if len(self._install_ms) < _SAMPLES_MAX:
            self._install_ms.append(sample)
        elif (place := self._random.randrange(self._installs)) < _SAMPLES_MAX:
            self._install_ms[place] = sample


class Watched:
    """An `AgentConnector` that watches. One for each life of an agent."""

    __slots__ = ("_connectors", "_next", "_recorder", "_waiting", "is_attached", "passed", "switch")

    def __init__(
        self, connectors: Sequence[AgentConnector], switch: CountingSwitch, recorder: Recorder
    ) -> None:
        """`connectors`: to the host's ncms; after a failure the next is tried."""
        self._connectors, self.switch, self._recorder = connectors, switch, recorder
        self._next = 0
        self._waiting: list[tuple[int, int, float, list[Told]]] = []
        self.is_attached = False
        self.passed = 0
        """Counts what passed here, either way: an agent that said and heard nothing has confirmed nothing else."""

    async def connect(self) -> AgentStream:
        """As the connector."""
        connector = self._connectors[self._next % len(self._connectors)]
        try:
            stream = await connector.connect()
        except BaseException:
            self._next += 1
            raise
        self._recorder.attachments += 1
        self._waiting.clear()
        return _WatchedStream(stream, self)

    def received(self, messages: Sequence[NcmMessage]) -> None:
        """A batch came; the agent has not seen it yet."""
        recorder = self._recorder
        self.is_attached = True
        self.passed += 1
        for message in messages:
            if not isinstance(message, ScopeUpdate):
                continue
            recorder.items += len(message.put) + len(message.removed)
            if message.from_revision == 0:
                recorder.snapshots += not message.more
            else:
                recorder.steps += 1
                if recorder.is_on:
                    self._note(message)
            if message.scope.kind is ScopeKind.HOST:
                self._plug(message)

    def _note(self, update: ScopeUpdate) -> None:
        now_s = time.monotonic()
        told = [
            self._recorder.note(each.key.kind.value, each.key.id, gone=False, now_s=now_s)
            for each in update.put
        ]
        told += [
            self._recorder.note(key.kind.value, key.id, gone=True, now_s=now_s) for key in update.removed
        ]
        self._waiting.append((shard_of(update.scope), update.through, now_s, told))

    def _plug(self, update: ScopeUpdate) -> None:
        """The compute service plugs a VIF where a port is bound, and pulls it out where it is not any more."""
        self.switch.plug([each.key.id for each in update.put if each.key.kind is ItemKind.LOCAL_PORT])
        self.switch.unplug([key.id for key in update.removed if key.kind is ItemKind.LOCAL_PORT])

    def sent(self, message: AgentMessage) -> None:
        """The agent said something."""
        self.passed += 1
        if not isinstance(message, Ack):
            return
        self._recorder.acks += 1
        if not self._waiting or not message.realized:
            return
        now_s, realized, left = time.monotonic(), message.realized, []
        for waiting in self._waiting:
            shard, through, arrived_s, told = waiting
            if realized.get(shard, -1) < through:
                left.append(waiting)
                continue
            for each in told:
                self._recorder.installed(each, arrived_s, now_s)
        self._waiting = left


class _WatchedStream:
    """Implements `AgentStream`."""

    __slots__ = ("_stream", "_watched")

    def __init__(self, stream: AgentStream, watched: Watched) -> None:
        self._stream, self._watched = stream, watched

    async def send(self, message: AgentMessage) -> None:
        self._watched.sent(message)
        await self._stream.send(message)

    async def receive(self) -> AsyncIterator[Sequence[NcmMessage]]:
        async for batch in self._stream.receive():
            self._watched.received(batch)
            yield batch

    async def close(self) -> None:
        self._watched.is_attached = False
        self._watched.passed += 1
        await self._stream.close()
