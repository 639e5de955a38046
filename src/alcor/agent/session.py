"""The agent's stream to its ncm: opened again and again, resumed by position, never in the way of the switch.

While there is no stream nothing in the switch changes (fail-static); what must be told waits, at most one value per
shard and port, and is told whole when a stream is back.
"""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from alcor.bus.interface import (
    Ack,
    AgentConnector,
    AgentMessage,
    AgentStream,
    ClaimReport,
    Dropped,
    Heads,
    Heartbeat,
    Hello,
    LossReport,
    NcmMessage,
    PortReport,
    Question,
    Refused,
    Reply,
    Resume,
    ScopeUpdate,
    Welcome,
)
from alcor.goalstate.scope import Scope
from alcor.telemetry.log import get_log

log = get_log("agent")

RETRY_S_BASE = 0.1
RETRY_S_MAX = 10.0
# Where nobody listens an attempt costs nobody anything; this spreads the agents of an ncm that begins to. Those that
# are let in and not welcomed, because it has too much to do, wait longer and longer, as above.
UNREACHED_S_MAX = 3.0
# A refusal (a wrong token, an unknown host) ends by an operator's hand, not by itself.
REFUSED_RETRY_S = 30.0
REFUSED_RETRY_S_MAX = 600.0
WELCOME_S_MAX = 10.0
# Questions answered at a time; each is one look at the switch.
ANSWERS_MAX = 8
# A region that asks for more would be asking for a flood.
HEARTBEAT_S_MIN = 0.1

Step = ScopeUpdate | Heads | Dropped


class Owner(Protocol):
    """What a session asks and tells."""

    def hello(self) -> Hello:
        """The first message of a new stream."""

    def welcomed(self, welcome: Welcome) -> None:
        """The stream is open. Raises: ValueError if it must not be used."""

    def received(self, steps: Sequence[Step]) -> None:
        """Goal state arrived. Raises: ValueError if it is unreadable."""

    def health(self) -> Heartbeat:
        """What a heartbeat says."""

    async def answer(self, question: Question) -> Reply:
        """Look, and say; an error is said in the reply."""


def full_jitter(attempt: int, random: Callable[[], float], *, base_s: float, max_s: float) -> float:
    """Seconds to wait before attempt `attempt` (0, 1 …): uniform in [0, min(max_s, base_s · 2^attempt)]."""
    return random() * min(max_s, base_s * 2.0 ** min(attempt, 30))


@dataclass(slots=True)
class Outbox:
    """What waits to be sent: at most one value per scope, shard, port, claimed address and lost host; and look-ups, of
    which the asker bounds the number."""

    epoch: int
    resume: dict[Scope, Resume] = field(default_factory=dict)
    realized: dict[int, int] = field(default_factory=dict)
    ports: dict[str, PortReport] = field(default_factory=dict)
    claims: dict[tuple[str, str], ClaimReport] = field(default_factory=dict)
    losses: dict[str, LossReport] = field(default_factory=dict)
    receive_ms: float = 0.0
    install_ms: float = 0.0
    replies: list[Reply] = field(default_factory=list)
    asked: list[AgentMessage] = field(default_factory=list)
    beat: bool = False

    def take(self, health: Callable[[], Heartbeat]) -> list[AgentMessage]:
        """Everything that waits, as messages; nothing waits afterwards."""
        messages: list[AgentMessage] = list(self.resume.values())
        if self.realized or self.ports or self.claims or self.losses:
            messages.append(
                Ack(
                    epoch=self.epoch,
                    realized=dict(self.realized),
                    ports=tuple(self.ports.values()),
                    claims=tuple(self.claims.values()),
                    losses=tuple(self.losses.values()),
                    receive_ms=self.receive_ms,
                    install_ms=self.install_ms,
                )
            )
        messages += self.asked
        messages += self.replies
        if self.beat:
            messages.append(health())
        self.resume.clear()
        self.realized.clear()
        self.ports.clear()
        self.claims.clear()
        self.losses.clear()
        self.replies.clear()
        self.asked.clear()
        self.beat = False
        return messages


class Session:
    """One agent's connection, kept up for ever. `state`: what `alcor-agent status` shows."""

    def __init__(
        self,
        connector: AgentConnector,
        owner: Owner,
        *,
        random: Callable[[], float],
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self._connector, self._owner, self._random, self._sleep = connector, owner, random, sleep
        self._outbox = Outbox(epoch=0)
        self._wake = asyncio.Event()
        self._answering: set[asyncio.Task[None]] = set()
        self.state = "connecting"
        self.error = ""
        self.connections = 0

    @property
    def is_open(self) -> bool:
        """Whether the region has welcomed us and the stream stands."""
        return self.state == "connected"

    def acknowledge(
        self,
        epoch: int,
        realized: dict[int, int],
        ports: Sequence[PortReport],
        *,
        receive_ms: float = 0.0,
        install_ms: float = 0.0,
    ) -> None:
        """Tell what a barrier confirmed, and how long that took (`Ack`); kept until it can be sent, dropped when the
        stream ends.
        """
        if not self.is_open or not (realized or ports):
            return
        outbox = self._outbox
        if epoch != outbox.epoch:
            outbox.realized.clear()
            outbox.epoch = epoch
        outbox.realized |= realized
        outbox.receive_ms, outbox.install_ms = receive_ms, install_ms
        outbox.ports |= {report.port_id: report for report in ports}
        self._wake.set()

    def claim(self, claims: Sequence[ClaimReport]) -> None:
        """Tell what ports were heard to claim; dropped when a stream begins or ends, except by who is welcomed."""
        if claims:
            self._outbox.claims |= {claim.subject: claim for claim in claims}
            self._wake.set()

    def lose(self, losses: Sequence[LossReport]) -> None:
        """Tell which gateway hosts were lost; dropped as claims are."""
        if losses:
            self._outbox.losses |= {loss.host_id: loss for loss in losses}
            self._wake.set()

    def resume(self, wanted: Sequence[Resume]) -> None:
        """Ask for what a gap hides."""
        if self.is_open and wanted:
            self._outbox.resume |= {each.scope: each for each in wanted}
            self._wake.set()

    def ask(self, messages: Sequence[AgentMessage]) -> None:
        """Send look-ups and what else there is to say of scopes held on demand; dropped when the stream ends."""
        if self.is_open and messages:
            self._outbox.asked += messages
            self._wake.set()

    def beat(self) -> None:
        """Send a heartbeat now: what it says has changed."""
        if self.is_open:
            self._outbox.beat = True
            self._wake.set()

    async def run(self) -> None:
        """Connect, serve, and connect again; ends only by cancellation."""
        attempt = refusals = 0
        while True:
            self.state, opened = "connecting", self.connections
            max_s = RETRY_S_MAX
            try:
                await self._serve()
                reason = "the region ended the stream"
            except _RefusedError as refusal:
                self._failed("refused", str(refusal))
                refusals = refusals + 1 if self.connections == opened else 1
                wait_s = min(REFUSED_RETRY_S * 2 ** (refusals - 1), REFUSED_RETRY_S_MAX)
                await self._sleep(wait_s * (1 + self._random()))
                continue
            except _UnreachedError as error:
                reason, max_s = str(error), UNREACHED_S_MAX
            except (ConnectionError, ValueError, TimeoutError) as error:
                reason = str(error) or type(error).__name__
            except Exception as error:
                # The edge of the loop: an unforeseen error must cost a stream, never the agent.
                log.exception("session_failed")
                reason = f"{type(error).__name__}: {error}"
            if self.connections > opened:
                attempt = 0
            self._failed("disconnected", reason)
            await self._sleep(full_jitter(attempt, self._random, base_s=RETRY_S_BASE, max_s=max_s))
            attempt += 1

    def _failed(self, state: str, reason: str) -> None:
        """Note why there is no stream; logged once until the reason is another."""
        if reason != self.error:
            log.warning("session_" + state, reason=reason)
        self.state, self.error = state, reason

    async def _serve(self) -> None:
        """One stream from its first message to its end. Raises: ConnectionError (_UnreachedError if there never was a
        stream), ValueError, _RefusedError."""
        try:
            stream = await self._connector.connect()
        except ConnectionError as error:
            raise _UnreachedError(str(error) or type(error).__name__) from error
        try:
            await stream.send(self._owner.hello())
            batches = aiter(stream.receive())
            async with asyncio.timeout(WELCOME_S_MAX):
                first = await anext(batches, ())
            heartbeat_s = self._welcome(first)
            reading = asyncio.create_task(self._read(first[1:], batches))
            writing = asyncio.create_task(self._write(stream, heartbeat_s))
            try:
                await asyncio.wait((reading, writing), return_when=asyncio.FIRST_COMPLETED)
                for task in (reading, writing):
                    if task.done():
                        task.result()
            finally:
                reading.cancel()
                writing.cancel()
                for task in self._answering:
                    task.cancel()
                await asyncio.gather(reading, writing, *self._answering, return_exceptions=True)
        finally:
            self.state = "disconnected"
            await stream.close()

    def _welcome(self, first: Sequence[NcmMessage]) -> float:
        """Judge the answer to our hello; returns the seconds between heartbeats."""
        if not first:
            raise ConnectionError("the region closed the stream without an answer")
        answer = first[0]
        if isinstance(answer, Refused):
            raise _RefusedError(answer.reason)
        if not isinstance(answer, Welcome):
            raise ValueError(f"the region answered {type(answer).__name__} instead of Welcome")
        self._outbox = Outbox(epoch=answer.epoch)
        self._owner.welcomed(answer)
        self.state, self.error = "connected", ""
        self.connections += 1
        log.info("session_opened", epoch=answer.epoch)
        return max(answer.heartbeat_s, HEARTBEAT_S_MIN)

    async def _read(self, rest: Sequence[NcmMessage], batches: AsyncIterator[Sequence[NcmMessage]]) -> None:
        self._deliver(rest)
        async for batch in batches:
            self._deliver(batch)

    def _deliver(self, batch: Sequence[NcmMessage]) -> None:
        steps: list[Step] = []
        for message in batch:
            if isinstance(message, Refused):
                raise _RefusedError(message.reason)
            if isinstance(message, Question):
                self._ask(message)
            elif not isinstance(message, Welcome):
                steps.append(message)
        if steps:
            self._owner.received(steps)

    def _ask(self, question: Question) -> None:
        outbox = self._outbox

        async def answer() -> None:
            outbox.replies.append(await self._owner.answer(question))
            self._wake.set()

        if len(self._answering) >= ANSWERS_MAX:
            outbox.replies.append(Reply(question.number, error="the agent has too many questions to answer"))
            self._wake.set()
            return
        # Whoever asks is not to hold up what the switch must be told.
        task = asyncio.create_task(answer(), name="agent-answer")
        self._answering.add(task)
        task.add_done_callback(self._answering.discard)

    async def _write(self, stream: AgentStream, heartbeat_s: float) -> None:
        """Send what waits, and a heartbeat at least every `heartbeat_s`."""
        loop = asyncio.get_running_loop()
        self.beat()
        timer: asyncio.TimerHandle | None = None
        try:
            while True:
                await self._wake.wait()
                self._wake.clear()
                if self._outbox.beat:
                    if timer is not None:
                        timer.cancel()
                    timer = loop.call_later(heartbeat_s, self.beat)
                for message in self._outbox.take(self._owner.health):
                    await stream.send(message)
        finally:
            if timer is not None:
                timer.cancel()


class _UnreachedError(ConnectionError):
    """There is no stream: nobody listens, or does not answer."""


class _RefusedError(Exception):
    """The region does not accept this agent; the text is its reason."""
