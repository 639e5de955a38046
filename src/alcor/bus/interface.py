"""What travels between dataplane, ncm and agents, and the protocols of the two transports.

Rules of every message about a scope (protocol, section 4): items are absolute; it carries
`(epoch, generation, from, through)`; a receiver applies it iff `from ≤ position < through`, ignores it if
`through ≤ position`, and asks to resume from its position if `from > position`. Lower (epoch, generation) are refused.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Protocol

import msgspec

from alcor.bus.subject import Code
from alcor.goalstate.item import Item, Key
from alcor.goalstate.scope import Scope
from alcor.identity.name import Peer


class Put(msgspec.Struct, frozen=True, gc=False):
    """An item as its owner publishes it. `since`: the revision that introduced its references."""

    item: Item
    since: int


class Envelope(msgspec.Struct, frozen=True, gc=False):
    """An item as it is held and forwarded: encoded once; `refers` so that ncm need not decode it."""

    key: Key
    since: int
    refers: tuple[Scope, ...]
    body: bytes


class Late(msgspec.Struct, frozen=True, gc=False):
    """An item that changed not long ago: not after `revision` it came to be as it is, or went."""

    key: Key
    revision: int


class ScopeUpdate(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A step of one scope. `from_revision == 0`: it says everything (a snapshot).

    A snapshot may come in chunks: all but the last have `more`; what none of them mentioned is removed at
    the last. `since` of an item counts at the receiver as said in `Envelope`.

    `lazy` (ncm to agent only): the scope is held on demand from here on. What the agent holds of it is what it held
    before and what such updates put; `removed` is what is gone or was forgotten. Everything held is true through
    `through`. Apply iff `from ≤ position ≤ through`: an answer may stand at the agent's own position. A snapshot with
    `lazy` says everything that the agent is to hold, and one without it ends the holding on demand.
    `absent`: subjects asked for that no item has, true through `through`; should one appear, it is put unasked.
    `changed` of a snapshot (dataplane to ncm, as the two below): not after this revision did the scope change last; 0:
    not said.
    `floor` of a snapshot: what changed after it is in `late`, oldest first, put or removed, each key once, so that who
    holds the scope through `floor` or later may go on from there; 0: nobody may who has not heard of `changed`.
    """

    scope: Scope
    epoch: int
    generation: int
    from_revision: int
    through: int
    put: tuple[Envelope, ...] = ()
    removed: tuple[Key, ...] = ()
    more: bool = False
    lazy: bool = False
    absent: tuple[str, ...] = ()
    changed: int = 0
    floor: int = 0
    late: tuple[Late, ...] = ()


class Marks(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """How a broker (the normal path) and this stream join; from a dataplane to an ncm that reads both, before the heads
    it concerns. Shard → number of a `NormalFrame`.

    source:  whose numbers these are: the dataplane's in this life.
    covered: what frames through this number say was said on this stream too; they need not be awaited.
    awaited: heads of the shard after this count only when the frames through this number were taken in.
    """

    source: int
    covered: dict[int, int] = {}
    awaited: dict[int, int] = {}


class Heads(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Through which revision each shard has processed the log, also when none of its scopes changed."""

    epoch: int
    generation: int
    through: dict[int, int]


class Publication(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """A step of one scope as the dataplane publishes it; its items are encoded once.

    `changed`, `floor`, `late`: as `ScopeUpdate`."""

    scope: Scope
    epoch: int
    generation: int
    from_revision: int
    through: int
    put: tuple[Put, ...] = ()
    removed: tuple[Key, ...] = ()
    changed: int = 0
    floor: int = 0
    late: tuple[Late, ...] = ()


class Holdings(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What one dataplane may say at present.

    shards: those it publishes → the generation it holds each by; every time it takes one, by a higher generation.
    realizes: the generation by which it is the one that hears of hosts; 0: another one does.
    members: id → address for ncms, of every dataplane of the region.
    """

    member_id: str
    shards: dict[int, int]
    realizes: int = 0
    members: dict[str, str] = {}


class PortReport(msgspec.Struct, frozen=True, gc=False):
    """A transition of a local port. `at_ms`: unix milliseconds of the barrier (or of the unplugging)."""

    port_id: str
    plugged: bool
    ofport: int
    at_ms: float


class ClaimReport(msgspec.Struct, frozen=True, gc=False):
    """A local port was heard to say that it has an address that nobody was given (a virtual IP).

    `at_ms`: unix milliseconds by the host's clock: of several hosts' claims of an address the last counts.
    """

    network_id: str
    ip: str
    mac: str
    port_id: str
    at_ms: float

    @property
    def subject(self) -> tuple[str, str]:
        """The address that is claimed: (network id, IP)."""
        return self.network_id, self.ip


class LossReport(msgspec.Struct, frozen=True, gc=False):
    """A gateway host was lost to the host that tells, which serves routers in its place.

    `at_ms`: when; unix milliseconds by the telling host's clock.
    """

    host_id: str
    at_ms: float


class HostReport(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """What an ncm tells the dataplane of one host. `realized`: shard → through, confirmed by barrier.

    `position_max`: the highest position the agent showed in this epoch; above the head it means that the
    database lost history, and a new epoch begins (protocol, section 2).
    `session`: which of its attachments the agent speaks in; another number than before voids all it said before
    (its ports and `realized` must be told anew), however fast it came back.
    `receive_ms`, `install_ms`: of the latest confirmation, as in `Ack`; the former with the ncm's own part.
    `paths`, `settled`: as of the last `Heartbeat`, all of them each time.
    `rescues`: as of the `Hello`. `rescuer_id`: the host whose agent speaks in the place of this one's own, which is
    not heard; empty: its own.
    """

    host_id: str
    epoch: int
    alive: bool
    at_ms: int
    agent_version: str = ""
    realized: dict[int, int] = {}
    ports: tuple[PortReport, ...] = ()
    detail: str = ""
    position_max: int = 0
    session: int = 0
    claims: tuple[ClaimReport, ...] = ()
    losses: tuple[LossReport, ...] = ()
    paths: dict[str, bool] = {}
    receive_ms: float = 0.0
    install_ms: float = 0.0
    rescues: bool = False
    rescuer_id: str = ""
    settled: int = 0


class Question(msgspec.Struct, frozen=True, gc=False):
    """To a host's agent: look, and answer; it changes nothing. `body`: JSON, an object whose `ask` says what.

    `number`: counts the questions of whoever asks. `host_id`: empty on the agent's own stream.
    """

    number: int
    body: bytes
    host_id: str = ""


class Reply(msgspec.Struct, frozen=True, gc=False):
    """From an agent: the answer (JSON) to the question of that number, or the sentence why there is none."""

    number: int
    body: bytes = b""
    error: str = ""


Unchanged = Callable[[Scope, int, int], Publication | None]
"""(scope, epoch, position) → an empty step, if nothing changed in the scope after this position of this epoch, so that
who holds it may go on; None: only a snapshot will do."""


class Hasten(msgspec.Struct, frozen=True, gc=False):
    """To an ncm: somebody waits until all hosts that hold these scopes have confirmed them through this revision.

    Hosts that nothing of it concerns would hear of the revision at the idle pace only.
    """

    scopes: tuple[Scope, ...]
    epoch: int
    through: int


News = ScopeUpdate | Heads | Question | Hasten
"""What an ncm hears of the region."""
GoalMessage = News | Marks
"""What a dataplane says to an ncm on its stream."""


class DataplaneBus(Protocol):
    """The dataplane's end of the bus. It does not know hosts."""

    def publish(self, updates: Sequence[Publication], heads: Heads) -> None:
        """Send the steps of one turn, then the heads. Scopes nobody wants are skipped."""

    def serve(self, snapshot: Callable[[Scope], Publication], unchanged: Unchanged | None = None) -> None:
        """Answer a newly wanted scope with a snapshot (`from_revision` 0), or, if who wants it shows a position, with
        what `unchanged` says."""

    def hold(self, holdings: Holdings) -> None:
        """From here on this dataplane says these shards only; without this call, all.

        Who wants scopes of shards that it lost, or holds by another generation, must want them again.
        """

    def hasten(self, hasten: Hasten) -> None:
        """Have ncms tell who holds these scopes how far they are, ahead of the idle pace."""

    def reports(self) -> AsyncIterator[Sequence[HostReport]]:
        """What ncms report, in batches; ends when `hold` says that another term of hearing of hosts begins."""

    async def ask(self, host_id: str, body: bytes, within_s: float) -> bytes:
        """Ask a host's agent. Raises: Unavailable if it is not attached, does not answer in time or cannot."""


class NcmBus(Protocol):
    """An ncm's end of the bus."""

    def want(self, scope: Scope) -> None:
        """Begin to receive a scope; its snapshot comes first, on the same stream."""

    def unwant(self, scope: Scope) -> None:
        """Stop receiving a scope."""

    def updates(self) -> AsyncIterator[Sequence[News]]:
        """What arrives, in batches, without end."""

    def reply(self, reply: Reply) -> None:
        """Answer a question."""

    def report(self, report: HostReport) -> None:
        """Tell an observed fact."""


class GoalBus(DataplaneBus, NcmBus, Protocol):
    """Dataplane to ncm, by scope, in order; and observed facts back. The sender does not know hosts.

    Law: what `publish` was given for a wanted scope arrives in the same order, preceded by one snapshot.
    Law: heads follow every step published before them, but may be ahead of the snapshot of a scope just wanted.
    """


# --- between ncm and agent ---------------------------------------------------------------------------------


class Hello(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Agent: the first message. `positions`: what it holds, to be resumed, 0 of an older epoch; `held`: the keys of
    scopes held on demand, also those of an older epoch.

    `sought`: subjects to be looked up, of scopes that are held on demand: whom a new agent found in its switch's flows.
    Addresses among them are looked up in groups too.
    `rescues`: whether it can program other hosts' switches, and others its own. `rescuer_id`, `lease`: not the host's
    own agent speaks but that of another, which proves itself, by a `RescueItem` of this generation."""

    host_id: str
    token: str
    agent_version: str
    epoch: int = 0
    positions: dict[Scope, int] = {}
    held: dict[Scope, tuple[Key, ...]] = {}
    sought: dict[Scope, tuple[str, ...]] = {}
    rescues: bool = False
    rescuer_id: str = ""
    lease: int = 0


class Ack(msgspec.Struct, frozen=True, kw_only=True, gc=False):
    """Agent: everything through these revisions is in the switch (its barrier replied); what ports did and claim, and
    which gateway hosts were lost.

    `receive_ms`: from the first arrival of what is confirmed to the turn that took it in; `install_ms`: from there to
    the barrier's reply.
    """

    epoch: int
    realized: dict[int, int] = {}
    ports: tuple[PortReport, ...] = ()
    claims: tuple[ClaimReport, ...] = ()
    losses: tuple[LossReport, ...] = ()
    receive_ms: float = 0.0
    install_ms: float = 0.0


class Resume(msgspec.Struct, frozen=True, gc=False):
    """Agent: a gap was seen; continue this scope after `position` (0: from nothing)."""

    scope: Scope
    position: int


ABSENT_MAX = 1_024
"""Of so many subjects, of each agent and scope, the ncm remembers that it said they were nobody's, and says so when
they are somebody's. An agent believes it of fewer, and asks about the others."""


class Lookup(msgspec.Struct, frozen=True, gc=False):
    """Agent: what has these subjects? The answer is an update of the scope, `put` or `absent`; what is put is held.

    subjects: texts of an IP address, a MAC or a short DNS name (neighbours), of an IP address (members).
    A scope that is not held on demand, or not in the host's closure, is not answered.
    """

    scope: Scope
    subjects: tuple[str, ...]


class Forget(msgspec.Struct, frozen=True, gc=False):
    """Agent: these items of a scope held on demand are not used any more. Each is held until an update removes it."""

    scope: Scope
    keys: tuple[Key, ...]


class Confirm(msgspec.Struct, frozen=True, gc=False):
    """Agent: is this still so? `digests`: CRC-32 of each item's wire form. Only what differs is answered."""

    scope: Scope
    keys: tuple[Key, ...]
    digests: tuple[int, ...]


class Heartbeat(msgspec.Struct, frozen=True, gc=False):
    """Agent: alive. `detail`: one sentence about the switch, empty if all is well.

    `paths`: tunnel end that the switch probes → whether it answers; those that never did are left out.
    `settled`: the last epoch in which the region knew every port that lives here; 0: none yet.
    """

    detail: str = ""
    paths: dict[str, bool] = {}
    settled: int = 0


class Welcome(msgspec.Struct, frozen=True, gc=False):
    """Ncm: accepted."""

    epoch: int
    heartbeat_s: float


class Dropped(msgspec.Struct, frozen=True, gc=False):
    """Ncm: this scope is no longer in the host's closure; forget it."""

    scope: Scope


class Refused(msgspec.Struct, frozen=True, gc=False):
    """Ncm: not accepted, and why; the stream ends."""

    reason: str


AgentMessage = Hello | Ack | Resume | Lookup | Forget | Confirm | Heartbeat | Reply
NcmMessage = Welcome | ScopeUpdate | Heads | Dropped | Refused | Question


class AgentStream(Protocol):
    """The agent's end of one stream."""

    async def send(self, message: AgentMessage) -> None:
        """Send; raises ConnectionError when the stream is gone."""

    def receive(self) -> AsyncIterator[Sequence[NcmMessage]]:
        """Batches in order; ends when the stream ends; raises ConnectionError when it breaks."""

    async def close(self) -> None:
        """End the stream."""


class AgentConnector(Protocol):
    """How an agent reaches its ncm."""

    async def connect(self) -> AgentStream:
        """Open a stream. Raises: ConnectionError."""


class AgentPeer(Protocol):
    """The ncm's end of one agent's stream. `identity`: who its certificate says it is; None without TLS."""

    @property
    def identity(self) -> Peer | None: ...

    async def send(self, messages: Sequence[NcmMessage]) -> None:
        """Send a batch as one frame or a few of at most 1 MiB each; waits while the peer is slow.
        Raises: ConnectionError."""

    def receive(self) -> AsyncIterator[AgentMessage]:
        """What the agent says, until it goes."""


AgentHandler = Callable[[AgentPeer], Awaitable[None]]
"""Serves one agent from its first message to its end."""


class ItemCodec(Protocol):
    """Items to bytes and back. Law: `decode(kind, encode(item)) == item`; equal items give equal bytes."""

    def encode(self, item: Item) -> bytes:
        """The wire form of an item."""

    def decode(self, key: Key, body: bytes) -> Item:
        """The item. Raises: ValueError."""

    def codes(self, key: Key, body: bytes) -> list[Code]:
        """The codes of an item's subjects (`goalstate.subject`), each once. Raises: ValueError."""
