"""What a store promises. One contract suite (tests/contract) runs against every adapter.

Laws
- Intent and its change records commit together or not at all; answers leave after COMMIT returned (I1, I16).
- `follow` gives gap-free cuts, 1, 2, 3 …; inside one, the changes of a row in the order they were made (I2).
- Uniqueness is a claim (a primary key), never a read and then a write.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Generic, Protocol, TypeVar

import msgspec

from alcor.model.change import SYSTEM, Cut, Origin, Position, Recorded
from alcor.model.resource import Entity

E = TypeVar("E", bound=Entity)
T = TypeVar("T")


class Op(StrEnum):
    """How a column is compared."""

    IN = "in"
    CONTAINS = "contains"
    SINCE = "since"
    ALL = "all"
    """Of a look-up's column: every value is in some row of it."""
    NOT_ALL = "not_all"
    NONE = "none"
    """Of a look-up's column: no row of it has any of the values; of a plain column: it has none of them."""


@dataclass(frozen=True, slots=True)
class Condition:
    """`field` is an entity field, or `<lookup>.<column>` of a side table. Conditions are ANDed, values ORed.

    Conditions on one lookup must hold in one and the same row of it, but for ALL, NOT_ALL and NONE, which speak of all
    of its rows. A value None means null; no values match nothing.
    """

    field: str
    values: tuple[Any, ...]
    op: Op = Op.IN


@dataclass(frozen=True, slots=True)
class Sort:
    """One sort key; null sorts before every value, text by its code points.

    `id` is always appended, in the direction of the last key, so that the order is total and one index gives it.
    """

    field: str
    descending: bool = False


@dataclass(frozen=True, slots=True)
class Query:
    """A list request. Paging is by keyset: rows strictly after `marker` (a row id) in the sort order.

    `reverse` walks backwards from the marker; rows still come in the sort order's direction.
    """

    where: tuple[Condition, ...] = ()
    sort: tuple[Sort, ...] = ()
    limit: int | None = None
    marker: str | None = None
    reverse: bool = False


@dataclass(frozen=True, slots=True)
class History:
    """Which recorded changes to read, oldest first; every condition that is given must hold.

    `since_ms`, `until_ms`: unix milliseconds, both inclusive. `after`: only changes behind this place
    (`Recorded.place`), for paging.
    """

    kind: str | None = None
    id: str | None = None
    request_id: str | None = None
    project_id: str | None = None
    user_id: str | None = None
    since_ms: int | None = None
    until_ms: int | None = None
    after: tuple[int, int] | None = None
    limit: int = 100


class TooOld(Exception):
    """The change log was cut above the position asked for. `oldest_ms`: the first moment it still knows (unix)."""

    def __init__(self, reason: str, *, oldest_ms: int = 0) -> None:
        super().__init__(reason)
        self.oldest_ms = oldest_ms


class Superseded(Exception):
    """Whoever asked holds a term that is over: one of a later generation has begun. It must stop; nothing was kept."""

    def __init__(self, what: str, term: int) -> None:
        super().__init__(
            f"{what} of term {term} was refused: a later term has begun, so another process does this work now"
        )
        self.what, self.term = what, term


class Reader(Protocol):
    """Committed rows, read on connections of its own."""

    async def find(self, entity: type[E], id: str) -> E | None:
        """The row, or None."""

    async def find_many(self, entity: type[E], ids: Sequence[str]) -> dict[str, E]:
        """The rows that exist, by id."""

    async def list(self, entity: type[E], query: Query = Query()) -> list[E]:
        """Rows in the query's order. Raises: NotFound if `marker` names no row."""

    async def count(self, entity: type[E], query: Query = Query()) -> int:
        """How many rows match, `limit` and `marker` aside. Cost: one pass over what matches."""

    async def count_by(self, entity: type[E], field: str, values: Sequence[str]) -> dict[str, int]:
        """Value → how many rows have it in `field` (a column); values of no row are left out. Cost: as `count`."""

    async def tally(self, entity: type[Entity], project_ids: Sequence[str]) -> dict[str, int]:
        """How many rows of a counted kind (`Resource.quota`) each project has. Cost: a few rows per project."""

    async def history(self, query: History) -> Sequence[Recorded]:
        """What changed, when and by whom, as far back as the store keeps it (`history_days`)."""

    async def as_of(self, entity: type[E], id: str, moment_ms: int) -> E | None:
        """The row as it was at a moment (unix ms), None if there was none. Raises: TooOld."""


class Transaction(Protocol):
    """One request's reads and buffered writes. Reads see the transaction's own writes.

    A manager function gets a `tx`, reads, decides and *buffers*; `tx` flushes once at the end. The whole
    function may be run again after a lost race, so it must have no other effect.
    """

    now: str
    """The time of the request: UTC, ISO 8601, seconds, `Z`."""

    now_ms: int
    """The same in milliseconds since 1970."""

    def new_id(self) -> str:
        """A fresh UUID: time first, then at least 74 random bits, so that new rows lie together in every index."""

    def new_secret(self) -> str:
        """A fresh secret: 256 bits of the system's random source, as URL-safe text of 43 characters."""

    def random_below(self, bound: int) -> int:
        """A random number in [0, bound)."""

    async def get(self, entity: type[E], id: str) -> E:
        """The row. Raises: NotFound."""

    async def find(self, entity: type[E], id: str) -> E | None:
        """The row, or None."""

    async def list(self, entity: type[E], query: Query = Query()) -> list[E]:
        """As `Reader.list`."""

    def insert(self, row: Entity) -> None:
        """Add a row; the store sets created_at, updated_at and revision_number 0 (`get` shows them).

        A missing parent (NotFound) or a taken id (Conflict) is found at the flush and ends the transaction.
        """

    def update(self, row: Entity) -> None:
        """Replace a row by id; the store sets updated_at and adds 1 to revision_number.

        A row equal to what is stored is left alone: nothing is logged. Raises: NotFound.
        """

    def touch(self, row: Entity) -> None:
        """Add 1 to revision_number and set updated_at though nothing else of the row changes: a part of it did that is
        stored elsewhere (a rule of a group). Raises: NotFound.
        """

    def delete(self, row: Entity) -> None:
        """Remove a row and log its tombstone. Raises: NotFound.

        A row that others refer to (InUse) is found at the flush and ends the transaction.
        """

    def bound(self, entity: type[Entity], project_id: str, limit: int) -> None:
        """Let this request add rows of a counted kind to a project only if at most `limit` are there at its end.

        Exact under any number of writers, and without a row that all of them write. -1: no limit. The store counts
        rows of counted kinds whoever inserts or deletes them; rows of no project (`""`) are not counted.
        A request that adds too many ends with QuotaExceeded; one that only removes never does.
        """

    async def tally(self, entity: type[Entity], project_id: str) -> int:
        """How many rows of a counted kind the project has, this request's own included."""

    async def claim(self, space: str, key: str, owner: str) -> bool:
        """Take a unique key; False if another owner holds it. Spaces: see `managers`.

        A resting key is granted too: rest is advice to whoever chooses.
        """

    async def claim_many(self, space: str, owners: Mapping[str, str]) -> set[str]:
        """Take, in one step, those of the keys (key → owner) that nobody has and that do not rest.

        Returns those that were taken now. For choosing: a key that somebody asked for by name goes to `claim`.
        """

    def release(self, space: str, key: str, *, rest_s: int = 0) -> None:
        """Give a key back; for `rest_s` seconds automatic choice passes it over (`resting`)."""

    async def claimed(self, space: str, keys: Sequence[str]) -> dict[str, str]:
        """Owner of each of `keys` that is taken."""

    async def resting(self, space: str, keys: Sequence[str]) -> set[str]:
        """Which of `keys` were released and still rest."""

    async def claims_count(self, space: str) -> int:
        """How many keys of `space` are taken. Cost: one pass over them."""

    async def load(self, space: str, key: str) -> bytes | None:
        """A small unlogged value beside the rows (allocator bitmaps, cursors)."""

    def save(self, space: str, key: str, value: bytes | None) -> None:
        """Replace (or with None remove) such a value in the same transaction."""

    async def fence(self, term: int) -> None:
        """Have this transaction kept only if no later term than `term` begins before its COMMIT (`Observations`).

        Asked first. Raises: Superseded if one has begun; the transaction cannot be continued then.
        """


Work = Callable[[Transaction], Awaitable[T]]


@dataclass(frozen=True, slots=True)
class Done(Generic[T]):
    """What a committed request returned, and the revision that holds its changes (the head if none).

    `unchanged`: the rows (kind, id) it was to update and that were so already, if it changed nothing; else None.
    """

    value: T
    revision: int
    unchanged: tuple[tuple[str, str], ...] | None = None


class PortObservation(msgspec.Struct, frozen=True, gc=False):
    """What was seen of a port on its host. `status` is ACTIVE, BUILD or DOWN (protocol, section 5).

    `realized_at_ms`: when the host's switch confirmed it (unix ms, the host's clock), 0 if it never did.
    """

    port_id: str
    host_id: str
    status: str
    plugged: bool = False
    ofport: int = 0
    revision: int = 0
    binding_generation: int = 0
    realized_at_ms: float = 0.0


class HostObservation(msgspec.Struct, frozen=True, gc=False):
    """What was seen of a host. `alive`: its agent is attached now; times are unix milliseconds.

    `paths_down`: the tunnel ends that answered its probes and do not now. `reached_by`, `missed_by`: how many
    neighbours' probes its switch answers, and how many it answered before, whether its agent is heard or not.
    `settled`: the last epoch in which the region knew every port that lives there; 0: none yet.
    """

    host_id: str
    alive: bool
    seen_at_ms: int
    agent_version: str = ""
    realized_revision: int = 0
    detail: str = ""
    paths_down: tuple[str, ...] = ()
    reached_by: int = 0
    missed_by: int = 0
    settled: int = 0


class Observations(Protocol):
    """Observed facts, written by `dataplane.realize` alone; may be lost by a crash, never wrong after it:
    at start every host counts as not alive until its agent is heard.

    `term` is the generation of the writer's lease. Law: once `begin(t)` has returned, no write of a lower term is
    ever seen, also one that was sent before; what is read from then on is all that lower terms have written. So it is
    with transactions that are fenced by a term (`Transaction.fence`): the log ends with what lower terms have written.
    """

    async def begin(self, term: int) -> None:
        """From here on writes of lower terms are refused. Raises: Superseded if a later one has begun; Unavailable."""

    async def put(
        self, ports: Iterable[PortObservation], hosts: Iterable[HostObservation], *, term: int
    ) -> None:
        """Replace facts by id. Raises: Superseded if a later term has begun (nothing is kept); Unavailable."""

    async def forget(self, port_ids: Iterable[str], host_ids: Iterable[str], *, term: int) -> None:
        """Remove facts of what was deleted. Raises: as `put`."""

    async def ports(self, ids: Sequence[str]) -> dict[str, PortObservation]:
        """Facts of ports, by id."""

    async def hosts(self, ids: Sequence[str]) -> dict[str, HostObservation]:
        """Facts of hosts, by id."""

    async def ports_of_host(self, host_id: str) -> list[PortObservation]:
        """Facts of the ports seen on a host."""


Keep = Callable[[Entity], Any]
"""What an image has in the place of a row, so that rows of which there are many need not all be held at once."""


def whole(row: Entity) -> Entity:
    """Keeps rows as they are."""
    return row


@dataclass(frozen=True, slots=True)
class Image:
    """All rows at one position, or what was made of each (`Keep`). `revisions[id]` is the revision in which the row
    last changed."""

    position: Position
    rows: dict[type[Entity], list[Any]]
    revisions: dict[str, int]


class Store(Protocol):
    """One region's database."""

    @property
    def reader(self) -> Reader:
        """Committed rows."""

    @property
    def observations(self) -> Observations:
        """Observed facts."""

    async def write(self, work: Work[T], origin: Origin = SYSTEM) -> Done[T]:
        """Run `work` in a transaction and return after its COMMIT, made durable. `origin` is kept with its changes.

        Raises: what `work` raises (nothing is kept); Unavailable if the commit failed or the store is closing.
        """

    async def head(self) -> Position:
        """The last committed position."""

    async def image(self, entities: Sequence[type[Entity]], keep: Keep = whole) -> Image:
        """What `keep` makes of all rows of the given kinds, in one consistent read."""

    async def follow(self, after: int, limit: int = 256) -> list[Cut]:
        """Up to `limit` cuts after revision `after`, in order; empty if there is none yet.

        Raises: TooOld if the log no longer reaches back to `after`: take an `image` instead.
        """

    async def new_epoch(self) -> Position:
        """Begin another history: epoch `max(previous + 1, unix_ms)`; the log of the old one is not continued
        (revisions count on: it takes one for itself, so that `follow` from an older one raises TooOld, and
        `wait_beyond` returns). Source: protocol, section 2."""

    async def wait_beyond(self, after: int) -> None:
        """Return once the head may be beyond `after`. A wake-up only says "look"."""

    async def close(self) -> None:
        """Finish what was accepted, then release the database."""
