"""The Network Configuration Manager's role: takes scopes from the bus, serves the agents of its hosts."""

import asyncio
from collections.abc import AsyncIterator, Callable

from alcor.bus.interface import (
    AgentMessage,
    AgentPeer,
    Heads,
    Hello,
    ItemCodec,
    NcmBus,
    Question,
    Refused,
    Reply,
)
from alcor.ncm.admission import PLACE_S, SYNCING_MAX, Admission
from alcor.ncm.delivery import CHUNK_BYTES
from alcor.ncm.scope_cache import GRACE_S, LAZY_ABOVE, LAZY_BELOW, ScopeCache
from alcor.ncm.session import Refusal, Session
from alcor.telemetry.log import get_log
from alcor.telemetry.metrics import AGENTS

log = get_log("ncm")

# An agent has this long for its first message, and the dataplane for the host's scope: less than an agent waits.
HELLO_S = 5.0
ADMIT_S = 5.0
HOST_ID_CHARACTERS_MAX = 64
# Agents that lack nothing hear of new heads at once if the last were this long ago, else when they will be:
# telling each of 2,500 agents of each of 1,000 revisions a second would take a hundred processors.
IDLE_HEADS_S = 1.0


class Ncm:
    """One ncm. `run` it in one task, and give `handle` to an `AgentServer`.

    heartbeat_s: how often agents say that they live; after three missed ones they are reported lost.
    now_ms: unix milliseconds. grace_s: how long a scope nobody needs is kept for an agent's return.
    lazy_above, lazy_below: neighbours and members of more items are held on demand, of fewer whole again; 0: never.
    syncing_max: so many agents are brought in sync at once; place_s: how long one may keep others waiting.
    """

    def __init__(
        self,
        bus: NcmBus,
        codec: ItemCodec,
        *,
        heartbeat_s: float = 5.0,
        now_ms: Callable[[], int],
        grace_s: float = GRACE_S,
        idle_heads_s: float = IDLE_HEADS_S,
        admit_s: float = ADMIT_S,
        chunk_bytes: int = CHUNK_BYTES,
        lazy_above: int = LAZY_ABOVE,
        lazy_below: int = LAZY_BELOW,
        syncing_max: int = SYNCING_MAX,
        place_s: float = PLACE_S,
    ) -> None:
        self._bus, self._codec = bus, codec
        self._heartbeat_s, self._now_ms = heartbeat_s, now_ms
        self._idle_heads_s, self._admit_s, self._chunk_bytes = idle_heads_s, admit_s, chunk_bytes
        self.cache = ScopeCache(
            bus, grace_s=grace_s, codes=codec.codes, lazy_above=lazy_above, lazy_below=lazy_below
        )
        self._admission = Admission(syncing_max, place_s)
        self._sessions: dict[str, Session] = {}
        self._number = 0
        self._idle_told_at = float("-inf")
        self._idle_timer: asyncio.TimerHandle | None = None

    @property
    def hosts(self) -> list[str]:
        """The hosts whose agents are attached."""
        return list(self._sessions)

    async def run(self) -> None:
        """Take in what the bus brings, until cancelled."""
        try:
            async for batch in self._bus.updates():
                self.cache.taken_s = asyncio.get_running_loop().time()
                news = []
                for message in batch:
                    if isinstance(message, Question):
                        self._ask(message)
                    else:
                        news.append(message)
                for _ in self.cache.turns(news):
                    await asyncio.sleep(0)
                if any(isinstance(message, Heads) for message in news):
                    self._pace_idle()
        finally:
            if self._idle_timer is not None:
                self._idle_timer.cancel()
                self._idle_timer = None
            self.cache.close()

    def _ask(self, question: Question) -> None:
        """Pass a question on to the host's agent, or say that it is not here."""
        session = self._sessions.get(question.host_id)
        if session is None:
            reason = f"no agent of host {question.host_id} is attached"
            self._bus.reply(Reply(question.number, error=reason))
        else:
            session.ask(question, self._bus.reply)

    def _pace_idle(self) -> None:
        """Have agents that lack nothing but heads told of them, now or when it is time."""
        if self._idle_timer is not None:
            return
        loop = asyncio.get_running_loop()
        due = self._idle_told_at + self._idle_heads_s
        if loop.time() >= due:
            self._tell_idle()
        else:
            self._idle_timer = loop.call_at(due, self._tell_idle)

    def _tell_idle(self) -> None:
        self._idle_timer = None
        self._idle_told_at = asyncio.get_running_loop().time()
        self.cache.measure()
        for session in self._sessions.values():
            session.wake()

    async def handle(self, peer: AgentPeer) -> None:
        """Serve one agent from its first message to its end (`AgentHandler`).

        Raises: ConnectionError with the reason if the stream is ended from here without a `Refused`: the agent may
        come back at once.
        """
        messages = aiter(peer.receive())
        hello = await self._first(messages)
        if hello is None:
            return
        if not 0 < len(hello.host_id) <= HOST_ID_CHARACTERS_MAX:
            await peer.send([Refused("the host id is empty or too long")])
            return
        if hello.rescuer_id and self._is_attached_itself(hello.host_id):
            await peer.send([Refused("the host's own agent is attached")])
            return
        session = self._session(peer, hello)
        try:
            await session.admit(self._admit_s)
        except Refusal as refusal:
            session.close(at_once=True)
            await session.refuse(str(refusal))
            return
        except TimeoutError:
            # Its scope is on the way: it is kept for the agent's return, or nobody would ever get one where all of them
            # together take longer than an agent waits.
            session.close()
            raise ConnectionError("the region is still loading its goal state; try again") from None
        except BaseException:
            session.close(at_once=True)
            raise
        await self._serve(session, messages)

    async def _first(self, messages: AsyncIterator[AgentMessage]) -> Hello | None:
        try:
            async with asyncio.timeout(HELLO_S):
                first = await anext(messages, None)
        except TimeoutError:
            raise ConnectionError(f"the agent did not say hello within {HELLO_S:g} s") from None
        if first is not None and not isinstance(first, Hello):
            raise ConnectionError("the agent's first message is not a hello")
        return first

    def _is_attached_itself(self, host_id: str) -> bool:
        session = self._sessions.get(host_id)
        return session is not None and not session.rescuer_id

    def _session(self, peer: AgentPeer, hello: Hello) -> Session:
        # Grows also across restarts, so that a host's attachments can be told apart.
        self._number = max(self._number + 1, self._now_ms())
        return Session(
            peer,
            hello,
            self.cache,
            self._codec,
            number=self._number,
            heartbeat_s=self._heartbeat_s,
            now_ms=self._now_ms,
            report=self._bus.report,
            admission=self._admission,
            chunk_bytes=self._chunk_bytes,
        )

    async def _serve(self, session: Session, messages: AsyncIterator[AgentMessage]) -> None:
        host_id = session.host_id
        before = self._sessions.get(host_id)
        if before is not None:
            before.end("another stream of this host's agent was opened after this one")
        self._sessions[host_id] = session
        AGENTS.set(len(self._sessions))
        log.info("agent_attached", host=host_id, session=session.number)
        reason = "the agent ended the stream"
        try:
            await session.serve(messages)
        except ConnectionError as error:
            reason = str(error)
            raise
        finally:
            session.close()
            if self._sessions.get(host_id) is session:
                del self._sessions[host_id]
                session.tell_gone()
            AGENTS.set(len(self._sessions))
            log.info("agent_detached", host=host_id, session=session.number, reason=reason)
