"""One attached agent: proved, welcomed, served, listened to, ended.

Promises
- Only the host's own agent is served, as long as its key or token is the host's; a stranger learns nothing.
- What the agent says of its switch is reported at once; when it falls silent or goes, that is reported too.
- An agent that does not read costs its own session time, and nobody memory.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence

from alcor.bus.interface import (
    Ack,
    AgentMessage,
    AgentPeer,
    ClaimReport,
    Confirm,
    Envelope,
    Forget,
    Heartbeat,
    Hello,
    HostReport,
    ItemCodec,
    Lookup,
    LossReport,
    PortReport,
    Question,
    Refused,
    Reply,
    Resume,
    ScopeUpdate,
    Welcome,
)
from alcor.goalstate.item import HostItem, ItemKind, Key, RescueItem
from alcor.goalstate.scope import host_scope
from alcor.ncm.admission import Admission
from alcor.ncm.delivery import CHUNK_BYTES, Delivery
from alcor.ncm.scope_cache import ScopeCache
from alcor.ncm.shown import Shown
from alcor.telemetry.log import get_log

log = get_log("ncm")

# An agent that says nothing for this many heartbeats is taken for dead.
HEARTBEATS_MISSED_MAX = 3
# A stream that is to be ended gets this long to take the reason.
FAREWELL_S = 1.0
# One sentence for both, so that nobody can find out which hosts exist.
REFUSAL = "the host is not registered, or the token or key is not its own"
REVOKED = (
    "the host was removed from the region, or its identity was revoked; if it is to come back, invite it "
    "(`alcor host invite`) and join it again (`alcor-agent join`)"
)

NO_LEASE = "no lease lets this host program the other's switch: it was withdrawn, or a later one was given"


class Refusal(Exception):
    """The agent is not, or no longer, to be served; the text tells it why."""


class Session:
    """Serves one agent from its welcome to its end.

    number: tells this attachment from the host's others; grows.
    report: where observed facts go. admission: where it waits for its turn to be brought in sync.
    """

    def __init__(
        self,
        peer: AgentPeer,
        hello: Hello,
        cache: ScopeCache,
        codec: ItemCodec,
        *,
        number: int,
        heartbeat_s: float,
        now_ms: Callable[[], int],
        report: Callable[[HostReport], None],
        admission: Admission,
        chunk_bytes: int = CHUNK_BYTES,
    ) -> None:
        self.host_id = hello.host_id
        self.number = number
        self.rescuer_id = hello.rescuer_id
        """The host whose agent speaks for this one, by a lease; empty: its own agent does."""
        self._peer, self._hello, self._codec, self._cache = peer, hello, codec, cache
        self._heartbeat_s, self._now_ms, self._report = heartbeat_s, now_ms, report
        self._admission = admission
        self._shown = Shown.of(peer, hello, now_ms())
        self._proof: Envelope | None = None
        self._proving = Key(ItemKind.RESCUE if self.rescuer_id else ItemKind.HOST, self.host_id)
        self._woken = asyncio.Event()
        self._ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        # Fails when the agent has been silent for too long; when it was heard last (loop time).
        self._silent: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._watcher: asyncio.TimerHandle | None = None
        self._heard_s = 0.0
        self._delivery = Delivery(
            cache,
            self,
            host_scope(hello.host_id),
            epoch=hello.epoch,
            positions=hello.positions,
            keys=hello.held,
            sought=hello.sought,
            chunk_bytes=chunk_bytes,
        )
        self._own = self._delivery.need(host_scope(hello.host_id))
        self._reported_ms = 0
        self._detail = ""
        self._paths: dict[str, bool] = {}
        self._settled = 0
        # How long what was sent last had been here before.
        self._held_ms = 0.0
        # Questions not sent yet, and those not answered: number → where the answer goes.
        self._asked: list[Question] = []
        self._askers: dict[int, Callable[[Reply], None]] = {}

    # --- life ---

    def wake(self) -> None:
        """Something changed: look."""
        self._woken.set()

    def ask(self, question: Question, answer: Callable[[Reply], None]) -> None:
        """Have the agent asked; an agent that goes without an answer has said that it went."""
        self._asked.append(Question(question.number, question.body))
        self._askers[question.number] = answer
        self.wake()

    def end(self, reason: str) -> None:
        """Have the session tell the agent `reason` and end."""
        if not self._ended.done():
            self._ended.set_result(reason)

    async def admit(self, within_s: float) -> None:
        """Wait for the host's scope and verify the token. Raises: Refusal; TimeoutError."""
        async with asyncio.timeout(within_s):
            while not self._own.loaded:
                await self._woken.wait()
                self._woken.clear()
        self._verify()

    def close(self, *, at_once: bool = False) -> None:
        """Need nothing of the cache any more; as `Delivery.close`."""
        self._delivery.close(at_once=at_once)
        askers, self._askers = self._askers, {}
        for number, answer in askers.items():
            answer(Reply(number, error=f"the agent of host {self.host_id} went before it answered"))

    async def serve(self, messages: AsyncIterator[AgentMessage]) -> None:
        """Welcome the agent, send what it lacks and listen, until either side ends or it falls silent.

        Raises: ConnectionError with the reason, unless the agent itself ended the stream.
        """
        await self._peer.send([Welcome(self._own.epoch, self._heartbeat_s)])
        self._tell_attached()
        pump = asyncio.create_task(self._pump(), name=f"ncm-pump-{self.host_id}")
        listen = asyncio.create_task(self._listen(messages), name=f"ncm-listen-{self.host_id}")
        self._heard_s = asyncio.get_running_loop().time()
        self._watch()
        reason = ""
        try:
            waited: set[asyncio.Future[None] | asyncio.Future[str]] = {
                pump,
                listen,
                self._ended,
                self._silent,
            }
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
            if self._ended.done():
                reason = self._ended.result()
            for task in (self._silent, pump, listen):
                if task.done():
                    task.result()
        except Refusal as refusal:
            reason = str(refusal)
        finally:
            self._silent.cancel()
            if self._watcher is not None:
                self._watcher.cancel()
            pump.cancel()
            listen.cancel()
            await asyncio.gather(pump, listen, return_exceptions=True)
        if reason:
            await self.refuse(reason)

    async def refuse(self, reason: str) -> None:
        """Tell the agent why the stream ends; a stream that does not take it ends all the same."""
        log.info("agent_refused", host=self.host_id, reason=reason)
        try:
            async with asyncio.timeout(FAREWELL_S):
                await self._peer.send([Refused(reason)])
        except (ConnectionError, TimeoutError) as error:
            log.debug("farewell_lost", host=self.host_id, error=str(error))

    async def _pump(self) -> None:
        """Send what the agent lacks, in its turn, as fast as it reads; rest while it lacks nothing. Raises: Refusal."""
        place = await self._admission.enter()
        try:
            while True:
                self._woken.clear()
                if self._asked:
                    asked, self._asked = self._asked, []
                    await self._peer.send(asked)
                await self._send_lacking()
                if self._delivery.in_sync:
                    place.leave()
                await self._woken.wait()
        finally:
            place.leave()

    async def _send_lacking(self) -> None:
        finished = False
        while not finished:
            self._verify()
            messages, finished = self._delivery.turn()
            if messages:
                if any(isinstance(message, ScopeUpdate) for message in messages):
                    now_s = asyncio.get_running_loop().time()
                    self._held_ms = (now_s - self._cache.taken_s) * 1000
                await self._peer.send(messages)

    def _verify(self) -> None:
        """Prove the agent by what it showed; again whenever the host's item changed. Raises: Refusal."""
        found = self._own.entries.get(self._proving)
        envelope = found[1] if found is not None else None
        if envelope is not None and envelope is self._proof:
            return
        item = self._codec.decode(envelope.key, envelope.body) if envelope is not None else None
        if self.rescuer_id:
            if not self._shown.proves_rescuer(self._hello, item if isinstance(item, RescueItem) else None):
                raise Refusal(NO_LEASE)
        elif not self._shown.proves(item if isinstance(item, HostItem) else None):
            raise Refusal(REFUSAL if self._proof is None else REVOKED)
        self._proof = envelope

    # --- listening ---

    async def _listen(self, messages: AsyncIterator[AgentMessage]) -> None:
        loop = asyncio.get_running_loop()
        async for message in messages:
            self._heard_s = loop.time()
            self._hear(message)

    def _watch(self) -> None:
        """End the session when the agent has been silent for too long: a look per interval, no timer per message."""
        if self._silent.done():
            return
        loop, silence_s = asyncio.get_running_loop(), self._heartbeat_s * HEARTBEATS_MISSED_MAX
        due_s = self._heard_s + silence_s
        if loop.time() >= due_s:
            self._silent.set_exception(ConnectionError(f"the agent said nothing for {silence_s:g} s"))
        else:
            self._watcher = loop.call_at(due_s, self._watch)

    def _hear(self, message: AgentMessage) -> None:
        if isinstance(message, Ack):
            self._tell(
                epoch=message.epoch,
                realized=message.realized,
                ports=message.ports,
                claims=message.claims,
                losses=message.losses,
                receive_ms=self._held_ms + message.receive_ms,
                install_ms=message.install_ms,
            )
        elif isinstance(message, Heartbeat):
            said = (message.detail, message.paths, message.settled)
            changed = said != (self._detail, self._paths, self._settled)
            self._detail, self._paths, self._settled = said
            # An agent may beat as often as it likes; the region hears half the agreed interval at most.
            if changed or self._now_ms() - self._reported_ms >= self._heartbeat_s * 500:
                self._tell()
        elif isinstance(message, Resume):
            log.info("gap_reported", host=self.host_id, scope=str(message.scope), position=message.position)
            self._delivery.resume(message.scope, message.position)
            self.wake()
        elif isinstance(message, Lookup):
            self._delivery.look_up(message.scope, message.subjects)
            self.wake()
        elif isinstance(message, Forget):
            self._delivery.forget(message.scope, message.keys)
            self.wake()
        elif isinstance(message, Confirm):
            self._delivery.confirm(message.scope, message.keys, message.digests)
            self.wake()
        elif isinstance(message, Reply):
            answer = self._askers.pop(message.number, None)
            if answer is not None:
                answer(message)
        else:
            raise ConnectionError("the agent said hello twice")

    # --- telling ---

    def _tell_attached(self) -> None:
        """The host is there. What it shows of another epoch says nothing in this one, unless it is a later one."""
        epoch, shown = self._own.epoch, self._hello
        position_max = max(shown.positions.values(), default=0) if shown.epoch >= epoch else 0
        self._tell(epoch=max(epoch, shown.epoch), position_max=position_max)

    def tell_gone(self) -> None:
        """The host is not heard any more."""
        self._tell(alive=False)

    def _tell(
        self,
        *,
        epoch: int = 0,
        alive: bool = True,
        realized: Mapping[int, int] | None = None,
        ports: Sequence[PortReport] = (),
        claims: Sequence[ClaimReport] = (),
        losses: Sequence[LossReport] = (),
        position_max: int = 0,
        receive_ms: float = 0.0,
        install_ms: float = 0.0,
    ) -> None:
        self._reported_ms = self._now_ms()
        self._report(
            HostReport(
                host_id=self.host_id,
                epoch=epoch or self._own.epoch,
                alive=alive,
                at_ms=self._reported_ms,
                agent_version=self._hello.agent_version,
                realized=dict(realized or {}),
                ports=tuple(ports),
                # Of the switch that a rescuer has left nothing is known.
                detail=self._detail if alive or not self.rescuer_id else "",
                rescues=self._hello.rescues,
                rescuer_id=self.rescuer_id,
                paths=self._paths,
                settled=self._settled,
                position_max=position_max,
                session=self.number,
                claims=tuple(claims),
                losses=tuple(losses),
                receive_ms=receive_ms,
                install_ms=install_ms,
            )
        )
