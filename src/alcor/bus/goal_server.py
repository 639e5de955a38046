"""The dataplane's end of the bus to ncms in processes of their own: a gRPC stream each, `/alcor.bus.Dataplane/Attach`.

Each attached ncm has a `LocalBus` of its own as its buffer: what it is slow to read is merged there, one step per
wanted scope (I8), and a slow ncm delays nobody else. On TLS addresses an ncm proves itself by the certificate of a
role, elsewhere by the bus secret.

Hosts and ncms
- A host is spoken for by one ncm: of several the one with the latest attachment (`HostReport.session`). What the others
  say is kept, and counts when that one says that the host left it.
- The hosts of an ncm whose stream ends count as alive for `grace_s`: it comes back and tells of them, or another does,
  or they are reported lost.
"""

import asyncio
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass, field
from uuid import uuid4

import grpc
import grpc.aio

from alcor.bus import consult
from alcor.bus.frame import FRAME_BYTES_MAX, FrameEncoder
from alcor.bus.goal_frame import (
    HASTEN_FROM,
    NormalReading,
    Unwant,
    Want,
    WantMessage,
    decode_want_frame,
    encode_goal_frames,
)
from alcor.bus.grpc_listen import Listener, Tls
from alcor.bus.heads import HeadBook
from alcor.bus.host_memory import HostMemory, with_unplugged
from alcor.bus.interface import (
    Hasten,
    Heads,
    Holdings,
    HostReport,
    ItemCodec,
    Publication,
    Reply,
    ScopeUpdate,
    Unchanged,
)
from alcor.bus.local import LocalBus
from alcor.bus.normal_lane import Lane
from alcor.bus.normal_path import NormalPath
from alcor.bus.subject import Code
from alcor.goalstate.item import Item, Key
from alcor.goalstate.scope import SHARDS, Scope
from alcor.model.errors import Unavailable
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import BUS_BYTES, BUS_STEPS

log = get_log("bus")

SERVICE = "alcor.bus.Dataplane"
METHOD = "Attach"
SECRET_KEY, NCM_KEY, TAKEN_KEY = "authorization", "alcor-ncm", "alcor-taken"
PROTOCOL_KEY = "alcor-protocol"
GRACE_S = 5.0
"""How long a lost ncm's hosts count as alive: longer than an ncm's or an agent's way back, which takes a second."""
# An ncm sends its first frame at once.
_FIRST_S = 5.0
_KEEPALIVE_MS = 10_000
_KEEPALIVE_TIMEOUT_MS = 5_000
_BROKEN = (grpc.RpcError, grpc.aio.UsageError, grpc.aio.InternalError)

_Context = grpc.aio.ServicerContext[bytes, bytes]


class OnceCodec:
    """Implements `ItemCodec` by another one, and encodes an item once for all ncms that want it.

    Bound: the last `_KEPT` items encoded are kept, found by identity: about 2 MiB.
    """

    _KEPT = 4096

    def __init__(self, codec: ItemCodec) -> None:
        self._codec = codec
        # id(item) → (the item, kept so that its id is not given to another object; its bytes)
        self._kept: OrderedDict[int, tuple[Item, bytes]] = OrderedDict()
        self.encoded = 0  # a cost that tests assert

    def encode(self, item: Item) -> bytes:
        """As the codec."""
        found = self._kept.get(id(item))
        if found is not None:
            return found[1]
        body = self._codec.encode(item)
        self.encoded += 1
        self._kept[id(item)] = (item, body)
        if len(self._kept) > self._KEPT:
            self._kept.popitem(last=False)
        return body

    def decode(self, key: Key, body: bytes) -> Item:
        """As the codec."""
        return self._codec.decode(key, body)

    def codes(self, key: Key, body: bytes) -> list[Code]:
        """As the codec."""
        return self._codec.codes(key, body)


@dataclass(eq=False, slots=True)
class _Channel:
    """One attached ncm. `protocol`: as `goal_frame.PROTOCOL`. `taken`: the number of its last frame. `over`: another
    stream took its place. `holdings`: what it must be told of them."""

    ncm_id: str
    peer: str
    lane: Lane
    protocol: int
    holdings: Holdings | None = None
    taken: int = 0
    hosts: dict[str, HostMemory] = field(default_factory=dict)
    over: asyncio.Event = field(default_factory=asyncio.Event)
    ended: bool = False

    @property
    def bus(self) -> LocalBus:
        """What waits for its stream."""
        return self.lane.bus


class GoalServer:
    """Implements `DataplaneBus` for ncms that attach over gRPC.

    addresses: `host:port` (port 0: any free one) or `unix:/path`. secret: what an ncm must show.
    normal: the normal path, if there is a broker.
    """

    def __init__(
        self,
        codec: ItemCodec,
        addresses: Sequence[str],
        *,
        secret: str,
        grace_s: float = GRACE_S,
        unix_mode: int = 0o600,
        tls: Tls = lambda _address: None,
        normal: NormalPath | None = None,
    ) -> None:
        if not secret:
            raise ValueError("without a secret the bus would be open to everybody")
        self.codec = OnceCodec(codec)
        self._normal = normal
        self._proof = f"Bearer {secret}".encode()
        self._grace_s = grace_s
        self._encoder = FrameEncoder()
        self._listener = Listener(
            addresses,
            whom="ncms",
            received_bytes_max=FRAME_BYTES_MAX,
            keepalive_ms=_KEEPALIVE_MS,
            keepalive_timeout_ms=_KEEPALIVE_TIMEOUT_MS,
            unix_mode=unix_mode,
            tls=tls,
        )
        self._snapshot: Callable[[Scope], Publication] | None = None
        self._unchanged: Unchanged | None = None
        self._heads = HeadBook()
        # Without leases there is one dataplane, which holds everything.
        self._holdings = Holdings(member_id=uuid4().hex, shards=dict.fromkeys(range(SHARDS), 0), realizes=1)
        self._is_held = False
        self._channels: list[_Channel] = []
        # Only merges reports: nobody wants a scope of it.
        self._inbox = LocalBus(self.codec)
        self._speakers: dict[str, _Channel] = {}
        self._graces: dict[_Channel, asyncio.TimerHandle] = {}
        self.consultant: consult.Consultant | None = None
        """Who answers the questions of API processes."""

    @property
    def is_listening(self) -> bool:
        """Whether ncms may attach."""
        return self._listener.is_listening

    @property
    def addresses(self) -> tuple[str, ...]:
        """Where it listens, with the ports that were taken."""
        return self._listener.addresses

    @property
    def ncms(self) -> list[str]:
        """The ids of the ncms that are attached."""
        return [channel.ncm_id for channel in self._channels]

    @property
    def readers(self) -> list[str]:
        """The ids of the ncms that read the broker too."""
        return [channel.ncm_id for channel in self._channels if channel.lane.reading]

    # --- life ------------------------------------------------------------------------------------------

    async def start(self) -> tuple[str, ...]:
        """Listen; returns `addresses`. Raises: OSError that names the address and the reason."""
        methods = {
            METHOD: grpc.stream_stream_rpc_method_handler(self._attach),
            consult.METHOD: consult.handler(self._proof, lambda: self.consultant),
        }
        await self._listener.start(SERVICE, methods)
        log.info("ncms_awaited", addresses=self.addresses)
        return self.addresses

    async def stop(self, grace_s: float = 0.5) -> None:
        """End all streams and stop to listen. Nothing is reported of hosts: who listened has gone."""
        await self._listener.stop(grace_s)
        for timer in self._graces.values():
            timer.cancel()
        self._graces.clear()

    # --- dataplane -------------------------------------------------------------------------------------

    def publish(self, updates: Sequence[Publication], heads: Heads) -> None:
        """As `DataplaneBus.publish`. Cost: one set look-up per step and ncm; O(items) where a scope is wanted."""
        if self._normal is not None:
            self._normal.publish([channel.lane for channel in self._channels], updates, heads)
        else:
            for channel in self._channels:
                channel.bus.publish(updates, heads)
        self._heads.take(heads)

    def hasten(self, hasten: Hasten) -> None:
        """As `DataplaneBus.hasten`. Cost: O(ncms · scopes)."""
        for channel in self._channels:
            if channel.protocol >= HASTEN_FROM:
                channel.bus.hasten(hasten)

    def fall_back(self, reason: str) -> None:
        """The broker failed: say on the streams what was left to it."""
        if self._normal is not None:
            self._normal.fall_back([channel.lane for channel in self._channels], reason)

    def serve(self, snapshot: Callable[[Scope], Publication], unchanged: Unchanged | None = None) -> None:
        """As `DataplaneBus.serve`; one publisher for the life of the server."""
        self._snapshot, self._unchanged = snapshot, unchanged
        for channel in self._channels:
            channel.bus.serve(snapshot, unchanged)

    def hold(self, holdings: Holdings) -> None:
        """As `DataplaneBus.hold`; ncms are told. What hosts said is kept by the dataplane that realizes only: another
        term of it begins with nothing, and is told all of it. Cost: O(ncms · scopes they want)."""
        before, self._holdings, self._is_held = self._holdings, holdings, True
        self._heads.forget(
            [shard for shard, number in before.shards.items() if holdings.shards.get(shard) != number]
        )
        if before.realizes != holdings.realizes:
            self._forget_hosts()
        for channel in self._channels:
            channel.lane.hold(holdings)
            channel.holdings = holdings
            channel.bus.stir()

    def _forget_hosts(self) -> None:
        # Also what came and was not read: of a host that was lost while another dataplane heard, nobody would tell.
        self._inbox.forget_reports()
        self._speakers.clear()
        for channel in (*self._channels, *self._graces):
            channel.hosts.clear()

    def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        """As `DataplaneBus.reports`: at most one report per host and batch, whoever tells of it."""
        return self._inbox.reports()

    async def ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        """As `DataplaneBus.ask`: by the ncm that speaks for the host; who does not hear of hosts asks all."""
        channel = self._speakers.get(host_id)
        if channel is not None and channel in self._channels:
            return await channel.bus.ask(host_id, body, within_s)
        if not self._holdings.realizes and self._channels:
            return await self._ask_all(host_id, body, within_s)
        raise Unavailable(f"no agent of host {host_id} is attached")

    async def _ask_all(self, host_id: str, body: bytes, within_s: float) -> bytes:
        """The first answer of any ncm. Raises: Unavailable, when all have said that they have none."""
        asked = [
            asyncio.create_task(channel.bus.ask(host_id, body, within_s), name="bus-ask")
            for channel in self._channels
        ]
        reason = Unavailable(f"no agent of host {host_id} is attached")
        try:
            for answer in asyncio.as_completed(asked):
                try:
                    return await answer
                except Unavailable as error:
                    reason = error
            raise reason
        finally:
            for task in asked:
                task.cancel()
            await asyncio.gather(*asked, return_exceptions=True)

    # --- one ncm ---------------------------------------------------------------------------------------

    async def _attach(self, _: AsyncIterator[bytes], context: _Context) -> None:
        metadata = {
            key: value for key, value in context.invocation_metadata() or () if isinstance(value, str)
        }
        reason = consult.refusal(context, self._proof)
        if reason:
            log.warning("ncm_refused", peer=context.peer(), reason=reason)
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, reason)
        # The ncm waits for these to know that it is taken.
        await context.send_initial_metadata(((TAKEN_KEY, "yes"),))
        channel = _Channel(
            metadata.get(NCM_KEY) or context.peer(),
            context.peer(),
            Lane(LocalBus(self.codec)),
            _number(metadata.get(PROTOCOL_KEY, "")),
        )
        self._open(channel)
        try:
            # Before anything is sent: who comes back gets its snapshots before the heads.
            async with asyncio.timeout(_FIRST_S):
                if not await self._take(channel, context):
                    return
            await self._serve_until_end(channel, context)
        except (TimeoutError, ValueError, ConnectionError) as error:
            log.warning("ncm_stream_broken", ncm=channel.ncm_id, peer=channel.peer, reason=str(error))
            await context.abort(grpc.StatusCode.ABORTED, str(error) or "the ncm said nothing")
        finally:
            self._end(channel)

    def _open(self, channel: _Channel) -> None:
        """Let the ncm in; an older stream of the same one is over."""
        for older in self._channels:
            if older.ncm_id == channel.ncm_id:
                older.over.set()
        if self._is_held:
            channel.bus.hold(self._holdings)
        for heads in self._heads.messages():
            channel.bus.publish((), heads)
        if self._snapshot is not None:
            channel.bus.serve(self._snapshot, self._unchanged)
        channel.holdings = self._holdings
        channel.bus.stir()
        self._channels.append(channel)
        log.info("ncm_attached", ncm=channel.ncm_id, peer=channel.peer)

    async def _serve_until_end(self, channel: _Channel, context: _Context) -> None:
        """Both directions, until either ends. Raises: ValueError if a frame or an item has no meaning."""
        tasks = [
            asyncio.create_task(self._listen(channel, context), name="bus-listen"),
            asyncio.create_task(self._send(channel, context), name="bus-send"),
            asyncio.create_task(channel.over.wait(), name="bus-over"),
        ]
        try:
            done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        for task in done:
            task.result()

    async def _send(self, channel: _Channel, context: _Context) -> None:
        async for batch in channel.bus.messages():
            BUS_STEPS.labels("fast").inc(sum(isinstance(message, ScopeUpdate) for message in batch))
            # `taken` is that of this moment: nothing was awaited since the batch was made.
            holdings, channel.holdings = channel.holdings, None
            for frame in encode_goal_frames(self._encoder, batch, channel.taken, holdings):
                BUS_BYTES.labels("fast").inc(len(frame))
                try:
                    # Returns when flow control has taken the frame: this is where a slow ncm slows its sender.
                    await context.write(frame)
                except _BROKEN:
                    return

    async def _listen(self, channel: _Channel, context: _Context) -> None:
        while await self._take(channel, context):
            pass

    async def _take(self, channel: _Channel, context: _Context) -> bool:
        """Take in the next frame; False when the ncm is gone. Raises: ValueError if it cannot be read."""
        try:
            frame = await context.read()
        except _BROKEN:
            return False
        if not isinstance(frame, bytes):
            return False  # grpc.aio.EOF
        messages, channel.taken = decode_want_frame(frame)
        for message in messages:
            self._hear(channel, message)
        return True

    def _hear(self, channel: _Channel, message: WantMessage) -> None:
        if channel.over.is_set():
            return
        if isinstance(message, Want):
            channel.lane.want(message.scope, message.epoch, message.position)
        elif isinstance(message, Unwant):
            channel.lane.unwant(message.scope)
        elif isinstance(message, NormalReading):
            if self._normal is not None:
                self._normal.hear(channel.lane, message)
        elif isinstance(message, Reply):
            channel.bus.reply(message)
        else:
            self._report(channel, message)

    def _end(self, channel: _Channel) -> None:
        if channel.ended:
            return
        channel.ended = True
        if channel in self._channels:
            self._channels.remove(channel)
        log.info("ncm_detached", ncm=channel.ncm_id, peer=channel.peer, hosts=len(channel.hosts))
        if channel.hosts and self.is_listening:
            loop = asyncio.get_running_loop()
            self._graces[channel] = loop.call_later(self._grace_s, self._expire, channel)

    def _expire(self, channel: _Channel) -> None:
        """The grace is over: hosts that nobody has told of since are lost."""
        del self._graces[channel]
        lost = [id for id in channel.hosts if self._speakers.get(id) is channel]
        for id in lost:
            self._silence(channel.hosts[id].farewell())
        channel.hosts.clear()
        if lost:
            log.warning("ncm_lost", ncm=channel.ncm_id, hosts=len(lost))

    # --- hosts -----------------------------------------------------------------------------------------

    def _report(self, channel: _Channel, report: HostReport) -> None:
        id = report.host_id
        speaker = self._speakers.get(id)
        # The same ncm on an older stream, which is over, is nobody else.
        ours = speaker is None or speaker.ncm_id == channel.ncm_id
        if not report.alive:
            channel.hosts.pop(id, None)
            if ours:
                self._silence(report)
            return
        memory = channel.hosts.get(id)
        told = report
        if memory is None:
            memory = channel.hosts[id] = HostMemory(report)
        else:
            memory.add(report)
            told = report if speaker is channel else memory.whole()
        if speaker is channel:
            self._inbox.report(report)
        elif speaker is None or ours or memory.session >= speaker.hosts[id].session:
            self._speakers[id] = channel
            if speaker is not None and memory.session == speaker.hosts[id].session:
                told = with_unplugged(told, speaker.hosts[id].plugged)
            self._inbox.report(told)

    def _silence(self, farewell: HostReport) -> None:
        """Who spoke for a host says that it left: another ncm that has it speaks from here on."""
        id = farewell.host_id
        others = [each for each in self._channels if id in each.hosts and not each.over.is_set()]
        if others:
            speaker = max(others, key=lambda channel: channel.hosts[id].session)
            self._speakers[id] = speaker
            self._inbox.report(speaker.hosts[id].whole())
        else:
            self._speakers.pop(id, None)
            self._inbox.report(farewell)


def _number(said: str) -> int:
    """What an ncm told of the protocol; the first one told nothing."""
    return int(said) if said.isascii() and said.isdigit() else 1
