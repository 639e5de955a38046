"""What the simulator and its workers say to each other: MessagePack behind four octets of length, on pipes."""

import asyncio
from typing import Union

import msgspec


class HostSpec(msgspec.Struct, frozen=True):
    """A host to simulate. `ncms`: where its agent attaches, the best first."""

    id: str
    name: str
    token: str
    ncms: tuple[str, ...]


class Setup(msgspec.Struct, frozen=True, tag=True):
    """First: what kind of hosts. `sample`: names of those whose flows are kept whole."""

    flows: str
    sample: tuple[str, ...]
    seed: int


class Boot(msgspec.Struct, frozen=True, tag=True):
    """Start the agents of hosts. `at_once_max`: attachments that are under way at a time; 0: any number."""

    hosts: tuple[HostSpec, ...]
    at_once_max: int = 0


class Kill(msgspec.Struct, frozen=True, tag=True):
    """End agents as a crash does; their switches stay. Empty: all."""

    names: tuple[str, ...] = ()


class Return(msgspec.Struct, frozen=True, tag=True):
    """Start killed agents again, at once; empty: all that are dead. They begin with no memory of their own."""

    names: tuple[str, ...] = ()


class Record(msgspec.Struct, frozen=True, tag=True):
    """From now on note (or no longer note) when each item comes and is confirmed; forget what was noted."""

    on: bool


class Look(msgspec.Struct, frozen=True, tag=True):
    """How far the hosts are. `head`: the revision they are compared with."""

    head: int


class Told(msgspec.Struct, tag=True):
    """What became of one item's change in this worker: `time.monotonic` seconds, the same clock in all processes.

    `hosts`: that got it; `confirmed`: of them, whose switch has it and whose acknowledgement was sent.
    """

    kind: str
    id: str
    gone: bool
    hosts: int = 0
    confirmed: int = 0
    first_s: float = 0.0
    last_s: float = 0.0
    first_confirmed_s: float = 0.0
    last_confirmed_s: float = 0.0


class Drain(msgspec.Struct, frozen=True, tag=True):
    """Give what was noted since the last time."""


class Noted(msgspec.Struct, frozen=True, tag=True):
    """`install_ms`: from an item's arrival to its acknowledgement, of some of all hosts."""

    told: list[Told]
    install_ms: list[float]


class Seen(msgspec.Struct, frozen=True, tag=True):
    """How far the hosts of a worker are. `slowest`: the lowest confirmed revision, -1: not in sync; `slowest_name`.

    `items`: items received since the worker began; `snapshots`: whole scopes; octets of frames; `rss`: octets.
    """

    hosts: int
    alive: int
    attached: int
    confirmed: int
    slowest: int
    slowest_name: str
    plugged: int
    flows: int
    items: int
    snapshots: int
    steps: int
    acks: int
    attachments: int
    received: int
    sent: int
    rss: int
    cpu_s: float
    booted_ms: list[float]


class Ask(msgspec.Struct, frozen=True, tag=True):
    """Have hosts look an address up, as a packet of one of their VMs to it does: (host name, network id, address)."""

    questions: tuple[tuple[str, str, str], ...]


class Asked(msgspec.Struct, frozen=True, tag=True):
    """What agents made of it (`agent.on_demand.Asked` → how often), and when, in `time.monotonic` seconds."""

    answers: dict[str, int]
    at_s: float


class Hold(msgspec.Struct, frozen=True, tag=True):
    """What does a host hold on demand?"""

    name: str


class Held(msgspec.Struct, frozen=True, tag=True):
    """Of each scope that a host holds on demand, the items: [(scope kind, scope id, [(item kind, id)])]."""

    scopes: list[tuple[str, str, list[tuple[str, str]]]]


class Expected(msgspec.Struct, frozen=True, tag=True):
    """Compare a host with what intent says. `states`: [(scope kind, scope id, [(item kind, id, body)])]; of scopes in
    `lazy` (kind, id) the items that the host holds.
    """

    name: str
    states: list[tuple[str, str, list[tuple[str, str, bytes]]]]
    lazy: list[tuple[str, str]]


class Judged(msgspec.Struct, frozen=True, tag=True):
    """What is wrong with a host, in sentences; how many flows were compared."""

    findings: list[str]
    flows: int


class Done(msgspec.Struct, frozen=True, tag=True):
    """A command is carried out."""


class Failed(msgspec.Struct, frozen=True, tag=True):
    """A command is not: the reason."""

    reason: str


Command = Union[Setup, Boot, Kill, Return, Record, Look, Drain, Expected, Ask, Hold]  # noqa: UP007  # msgspec reads it at run time
Answer = Union[Done, Failed, Seen, Noted, Judged, Asked, Held]  # noqa: UP007  # as above

_COMMANDS: msgspec.msgpack.Decoder[Command] = msgspec.msgpack.Decoder(Command)
_ANSWERS: msgspec.msgpack.Decoder[Answer] = msgspec.msgpack.Decoder(Answer)
_LENGTH_BYTES = 4


def write(stream: asyncio.StreamWriter, message: msgspec.Struct) -> None:
    """Send one message."""
    body = msgspec.msgpack.encode(message)
    stream.write(len(body).to_bytes(_LENGTH_BYTES, "big") + body)


async def _read(stream: asyncio.StreamReader) -> bytes:
    return await stream.readexactly(int.from_bytes(await stream.readexactly(_LENGTH_BYTES), "big"))


async def read_command(stream: asyncio.StreamReader) -> Command:
    """The next command. Raises: asyncio.IncompleteReadError at the end."""
    return _COMMANDS.decode(await _read(stream))


async def read_answer(stream: asyncio.StreamReader) -> Answer:
    """The next answer. Raises: asyncio.IncompleteReadError at the end."""
    return _ANSWERS.decode(await _read(stream))
