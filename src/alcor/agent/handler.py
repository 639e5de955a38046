"""How a feature lets the agent answer, observe and find out things: the interface of packet handlers.

A feature that needs a program (ICMP errors, name service, ARP for next hops, claims, gratuitous ARP) writes one module
with one `PacketHandler` and adds it to `alcor.agent.answer.registry`; nothing else of the agent changes. The agent
(`alcor.agent.service`) calls a handler only from its event loop, never twice at once; a handler returns values and
sends nothing itself. What it learnt comes back as `Finding`s: the reconciler writes them into the `Allocation` and
recomputes the flows of `found(LocalChange(...))`. Clock and randomness are given to the handler's maker (`Tools`).
"""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

from alcor.agent.driver import PacketIn
from alcor.pipeline.feature import ItemChange, LocalChange
from alcor.pipeline.tables import Table
from alcor.pipeline.view import Allocation, View


@dataclass(frozen=True, slots=True)
class Punt:
    """A packet that the switch gave to the agent, with what its registers say of it.

    `port_id`: the local port of the ingress key, None if it came from elsewhere (or the port is unknown by now);
    `network_id`: of the network key in `metadata`; `router_id`: of the router key. All are the switch's word, never
    the packet's. `packet.fields` has the registers by name (`reg3`, `metadata` …); `table`: where it was punted.
    """

    packet: PacketIn
    port_id: str | None
    network_id: str | None
    router_id: str | None


class Frame(NamedTuple):
    """An Ethernet frame to send out of a port of the switch.

    `port_id`: the local port it is for; the frame is dropped if its VIF is no longer on `ofport` when it is sent. Empty
    for a provider bridge or a tunnel. `data`: as the port sees it: a subport's tag is put on when it is sent.
    """

    data: bytes
    ofport: int
    port_id: str = ""


class NextHopFound(NamedTuple):
    """An address on an external network has this MAC (`Allocation.next_hops`); None: it does not answer any more."""

    network_id: str
    address: str
    mac: str | None


Finding = NextHopFound
"""What changes the host's allocation."""


class AddressClaimed(NamedTuple):
    """A local port claims an address that was not given to it (a virtual IP): told to the region."""

    network_id: str
    address: str
    mac: str
    port_id: str


Observation = AddressClaimed
"""What the region is told."""


class Appointment(NamedTuple):
    """`PacketHandler.due` is to be called with `subject` in `after_s` seconds; replaces an earlier one of it."""

    subject: str
    after_s: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """What follows from one call of a handler. `kind`: what it was, counted in the status and in metrics."""

    kind: str = ""
    frames: tuple[Frame, ...] = ()
    findings: tuple[Finding, ...] = ()
    observations: tuple[Observation, ...] = ()
    later: tuple[Appointment, ...] = ()


NOTHING = Outcome()


@dataclass(frozen=True, slots=True)
class Confirmed:
    """What a turn brought into the switch, after its barrier: every change since the last confirmed turn.

    `items`: of the resolved view, in order; `local`: of the host itself (plugged, numbered, opened, failed over …);
    `plugged`: open local port with a VIF → ofport. Changes of a turn that failed come with the next one that does not.
    """

    items: tuple[ItemChange, ...] = ()
    local: frozenset[LocalChange] = frozenset()
    plugged: dict[str, int] = field(default_factory=dict)


class Desk(Protocol):
    """The agent, as a handler's own task sees it."""

    @property
    def view(self) -> View:
        """What is known now; not to be kept or changed."""

    @property
    def allocation(self) -> Allocation:
        """The local numbers now; not to be kept or changed."""

    def carry_out(self, outcome: Outcome) -> None:
        """Send, find and observe; at once returns."""


def _not_mine(punt: Punt, view: View, allocation: Allocation) -> Outcome | None:
    return None


def _not_due(subject: str, view: View, allocation: Allocation) -> Outcome:
    return NOTHING


def _unmoved(confirmed: Confirmed, view: View, allocation: Allocation) -> Outcome:
    return NOTHING


def _content() -> str:
    return ""


@dataclass(frozen=True, slots=True)
class PacketHandler:
    """One feature's part in the agent.

    `tables`: the tables whose punts it gets. `handle`: what a punted packet leads to; None: not mine, ask the next
    handler. Must be total: a malformed packet is an `Outcome("malformed")` or None, never an error. Punts of one local
    port beyond 50/s are dropped before any handler sees them.
    `due`: an appointment has come (gratuitous ARP again, refresh of a next hop); may make the next one. A subject that
    is gone gets `NOTHING`. `noted`: called after each confirmed turn that changed anything; the place to announce
    addresses that came here, and to make the first appointment. Cost: must be proportional to `confirmed`.
    `run`: the handler's own task, for what needs sockets (a name server, a metadata proxy); started with the agent,
    cancelled with it, started again one second after it ended or failed.
    `complaint`: what is wrong now, in a sentence for people; empty if nothing is.
    """

    name: str
    tables: frozenset[Table] = frozenset()
    handle: Callable[[Punt, View, Allocation], Outcome | None] = _not_mine
    due: Callable[[str, View, Allocation], Outcome] = _not_due
    noted: Callable[[Confirmed, View, Allocation], Outcome] = _unmoved
    run: Callable[[Desk], Awaitable[None]] | None = None
    complaint: Callable[[], str] = _content


@dataclass(frozen=True, slots=True)
class Tools:
    """What a handler's maker gets. `monotonic_s`: seconds; `random`: uniform in [0, 1); `host_id`: of this host."""

    host_id: str
    monotonic_s: Callable[[], float]
    random: Callable[[], float]
    sleep: Callable[[float], Awaitable[None]]


Maker = Callable[[Tools], PacketHandler]
"""Makes a handler for one agent."""
