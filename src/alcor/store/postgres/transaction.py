"""One request's transaction on one of the writers' connections, at isolation level SERIALIZABLE.

Rows are buffered and written in one statement at the end (`flush`); a list that could miss a buffered row writes the
buffer first. An update or delete of a row that was not read is remembered as it was said, and the rows it needs are
read together at the next `await`. Claims are decided at once.
"""

import random
import re
import secrets
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar, cast

import asyncpg

from alcor.model.change import Origin
from alcor.model.errors import AlcorError, InUse, NotFound
from alcor.model.resource import Entity
from alcor.store.interface import Query, Superseded
from alcor.store.postgres.buffer import Buffer, Pending, id_taken
from alcor.store.postgres.connection import STATEMENTS_WRITE
from alcor.store.postgres.flush import Flush, render_flush
from alcor.store.postgres.observations import FENCE
from alcor.store.postgres.query import quote
from alcor.store.postgres.rows import Fetch, find_document, find_documents, list_documents
from alcor.store.postgres.tally import Counted, DealFirst, Move, Stripes, read_tallies
from alcor.store.schema import Schema

E = TypeVar("E", bound=Entity)

_USERS_NAMED = 3
# An insert that meets a row of its key reads no index page, so that claims beside it are no conflict; reading the rest
# of a key would be one under SERIALIZABLE.
_CLAIM = """
INSERT INTO claim (space, key, owner) VALUES ($1, $2, $3)
ON CONFLICT (space, key) DO UPDATE SET owner = excluded.owner, until_ms = 0
WHERE claim.owner IS NULL OR claim.owner = excluded.owner RETURNING 1
"""
_CLAIM_MANY = """
INSERT INTO claim (space, key, owner)
SELECT $1, o.key, o.owner FROM unnest($2::text[], $3::text[]) AS o (key, owner)
ON CONFLICT (space, key) DO UPDATE SET owner = excluded.owner, until_ms = 0
WHERE claim.owner IS NULL AND claim.until_ms <= $4 RETURNING key
"""
_RESTING = """
SELECT key FROM claim WHERE space = $1 AND key = ANY($2::text[]) AND owner IS NULL AND until_ms > $3
"""
# Values are read to be changed. Who was disturbed at one waits in line for it (`writer`); while there is a line, nobody
# may begin beside it, or the one at its head would lose against newcomers again and again.
_LOAD = """
SELECT (SELECT value FROM kept_value WHERE space = $1 AND key = $2),
       $3 = $4 OR pg_try_advisory_xact_lock_shared(hashtextextended($3, 1))
"""
# Of a violated foreign key, in whatever language the server speaks: `(column)=(value)`.
_DETAIL = re.compile(r"\((?P<column>.*?)\)=\((?P<value>.*?)\)")


class Rerun(Exception):
    """The state the request saw is gone before it could be told: run it again."""


class PostgresTransaction:
    """The adapter of `interface.Transaction`. `line`: the value for which this request is at the head of the line."""

    def __init__(
        self,
        connection: asyncpg.Connection,
        schema: Schema,
        *,
        now_ms: int,
        rng: random.Random,
        origin: Origin,
        stripes: Stripes,
        read: Fetch,
        line: str,
    ) -> None:
        self.now_ms = now_ms
        self.now = _iso(now_ms // 1000)
        self.asking = False
        """Whether the database is being asked: the only thing that may be waited for."""
        self.statements = 0
        """Statements sent so far, BEGIN included."""
        self.begun = False
        self.moves: list[Move] = []
        """Counts that the flush moves."""
        self.contended = ""
        """What others may want to change too: the kept value that was read first, or was written, or the first row."""
        self.xid: int | None = None
        """The transaction's number, once it has written something."""
        self.logged = False
        """Whether it has logged a change."""
        self._connection, self._schema, self._rng = connection, schema, rng
        self._origin, self._stripes, self._read = origin, stripes, read
        self._line = line
        self._buffer = Buffer(schema, self.now)
        self._said: list[tuple[Callable[[Entity], None], Entity]] = []
        self._releases: dict[tuple[str, str], int] = {}
        self._rested: dict[tuple[str, str], int] = {}
        """Until when what this transaction has let go of rests (unix ms)."""
        self._saves: dict[tuple[str, str], bytes | None] = {}
        self._bounds: dict[Counted, int] = {}
        self._moved: dict[Counted, int] = {}
        self._failure: BaseException | None = None

    @property
    def failure(self) -> BaseException | None:
        """Why the transaction cannot be committed, whatever its function made of it."""
        return self._failure

    def new_id(self) -> str:
        """A UUID whose first 48 bits are the time, the rest random (RFC 9562, version 7)."""
        bits = self._rng.getrandbits(74)
        high, low = bits >> 62, bits & 0x3FFFFFFFFFFFFFFF
        text = f"{self.now_ms << 80 | 0x7 << 76 | high << 64 | 0x2 << 62 | low:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def new_secret(self) -> str:
        """256 bits of the system's random source, whatever `rng` is."""
        return secrets.token_urlsafe(32)

    def random_below(self, bound: int) -> int:
        """A random number in [0, bound)."""
        return self._rng.randrange(bound)

    async def get(self, entity: type[E], id: str) -> E:
        """The row. Raises: NotFound."""
        row = await self.find(entity, id)
        if row is None:
            raise NotFound(self._schema.by_entity[entity].name, id)
        return row

    async def find(self, entity: type[E], id: str) -> E | None:
        """The row, or None."""
        await self._settle()
        table = self._schema.by_entity[entity]
        held = self._buffer.find(table.name, id)
        if held is None:
            document = None if "\0" in id else await find_document(self._ask, table, id)
            held = self._buffer.keep(table, id, document)
        return cast(E | None, held.row)

    def insert(self, row: Entity) -> None:
        """Add a row. Raises: Conflict if this transaction already sees a row of this id."""
        self._say(self._buffer.insert, row, known=True)

    def update(self, row: Entity) -> None:
        """Replace a row. Raises: NotFound if it is not there, here or at the next `await`."""
        self._say(self._buffer.update, row)

    def touch(self, row: Entity) -> None:
        """Count a change of a row's parts. Raises: NotFound if it is not there, here or at the next `await`."""
        self._say(self._buffer.touch, row)

    def delete(self, row: Entity) -> None:
        """Remove a row. Raises: NotFound if it is not there, here or at the next `await`."""
        self._say(self._buffer.delete, row)

    def bound(self, entity: type[Entity], project_id: str, limit: int) -> None:
        """Let this request add rows of a counted kind to a project only as long as at most `limit` are there."""
        kind = self._schema.by_entity[entity].counted_kind()
        if project_id:
            self._bounds[kind, project_id] = limit

    @property
    def unchanged(self) -> tuple[tuple[str, str], ...]:
        """Rows that were to be updated and are so already."""
        return tuple(self._buffer.unchanged)

    async def tally(self, entity: type[Entity], project_id: str) -> int:
        """How many rows of a counted kind the project has, this request's own included."""
        kind = self._schema.by_entity[entity].counted_kind()
        await self._settle()
        if not project_id:
            return 0
        stored = (await read_tallies(self._ask, kind, [project_id]))[project_id]
        buffered = sum(step for project, step in self._buffer.moves(kind) if project == project_id)
        return stored + self._moved.get((kind, project_id), 0) + buffered

    async def claim(self, space: str, key: str, owner: str) -> bool:
        """Take a unique key. True also if `owner` has it already."""
        await self._settle()
        await self._flush_releases()
        taken = bool(await self._ask(_CLAIM, space, key, owner))
        if taken:
            self._rested.pop((space, key), None)
        return taken

    async def claim_many(self, space: str, owners: Mapping[str, str]) -> set[str]:
        """Take those of the keys that are neither taken nor resting, in one statement."""
        await self._settle()
        await self._flush_releases()
        # In order, so that two requests that want the same keys do not wait for each other.
        keys = sorted(owners)
        taken = await self._ask(_CLAIM_MANY, space, keys, [owners[key] for key in keys], self.now_ms)
        found = {key for (key,) in taken}
        for key in found:
            self._rested.pop((space, key), None)
        return found

    def release(self, space: str, key: str, *, rest_s: int = 0) -> None:
        """Give a key back."""
        until_ms = self.now_ms + rest_s * 1000 if rest_s > 0 else 0
        self._releases[space, key] = self._rested[space, key] = until_ms

    async def claimed(self, space: str, keys: Sequence[str]) -> dict[str, str]:
        """Owner of each of `keys` that is taken."""
        await self._settle()
        await self._flush_releases()
        sql = "SELECT key, owner FROM claim WHERE space = $1 AND key = ANY($2::text[]) AND owner IS NOT NULL"
        return dict(map(tuple, await self._ask(sql, space, list(keys))))

    async def resting(self, space: str, keys: Sequence[str]) -> set[str]:
        """Which of `keys` still rest: as far as it is committed, and this transaction's own.

        Asked on a connection beside the transaction, as rest is advice and nobody need be disturbed by it.
        """
        await self._settle()
        own = {key: self._rested[space, key] for key in keys if (space, key) in self._rested}
        found = {key for key, until_ms in own.items() if until_ms > self.now_ms}
        if asked := [key for key in keys if key not in own]:
            self.asking = True
            try:
                found |= {key for (key,) in await self._read(_RESTING, space, asked, self.now_ms)}
            finally:
                self.asking = False
        return found

    async def claims_count(self, space: str) -> int:
        """How many keys of `space` are taken. Cost: one pass over them."""
        await self._settle()
        await self._flush_releases()
        sql = "SELECT count(*) FROM claim WHERE space = $1 AND owner IS NOT NULL"
        counted: int = (await self._ask(sql, space))[0][0]
        return counted

    async def load(self, space: str, key: str) -> bytes | None:
        """A small unlogged value."""
        await self._settle()
        if (space, key) in self._saves:
            return self._saves[space, key]
        line = f"{space} {key}"
        self.contended = self.contended or line
        ((value, alone),) = await self._ask(_LOAD, space, key, line, self._line)
        if not alone:
            raise self._fail(Rerun(f"others wait in line for {line}"))
        return cast(bytes | None, value)

    def save(self, space: str, key: str, value: bytes | None) -> None:
        """Replace or remove it."""
        self._saves[space, key] = value

    async def fence(self, term: int) -> None:
        """Raises: Superseded."""
        await self._settle()
        if not await self._ask(FENCE, term):
            raise self._fail(Superseded("A decision", term))

    async def flush(self) -> None:
        """Write what is buffered, and move the counts.

        Raises: NotFound (a parent is missing), InUse (a child is left), Conflict (the id is taken), QuotaExceeded.
        The transaction cannot be continued after it, even if the manager caught it.
        """
        if self._failure is not None:
            raise self._failure
        await self._settle()
        self._count_moves()
        self.moves = [
            Move(counted, step, self._bounds.get(counted), self._stripes.of(counted))
            for counted, step in sorted(self._moved.items())
            if step
        ]
        await self._write(Flush(self._releases, self._saves, self.moves))

    async def _settle(self) -> None:
        """Do what was said of rows that had not been read."""
        if self._failure is not None:
            raise self._failure
        if not self._said:
            return
        missing: dict[str, list[str]] = {}
        for does, row in self._said:
            kind = self._schema.by_entity[type(row)].name
            if self._buffer.find(kind, row.id) is None and does != self._buffer.insert:
                missing.setdefault(kind, []).append(row.id)
        for kind, ids in missing.items():
            table = self._schema.by_kind[kind]
            stored = dict(await find_documents(self._ask, table, ids))
            for id in ids:
                self._buffer.keep(table, id, stored.get(id))
        said, self._said = self._said, []
        try:
            for does, row in said:
                does(row)
        except AlcorError as error:
            raise self._fail(error) from None

    def _say(self, does: Callable[[Entity], None], row: Entity, *, known: bool = False) -> None:
        if self._failure is not None:
            raise self._failure
        kind = self._schema.by_entity[type(row)].name
        # What comes after something that waits must wait too: the log keeps the order.
        if self._said or not (known or self._buffer.find(kind, row.id) is not None):
            self._said.append((does, row))
        else:
            does(row)

    async def _flush_releases(self) -> None:
        """Claims that are asked for must know of those this request has let go of."""
        if self._releases:
            await self._write(Flush(releases=self._releases), rows=False)

    def _count_moves(self) -> None:
        for kind in self._buffer.dirty_kinds:
            if self._schema.by_kind[kind].quota:
                for project, step in self._buffer.moves(kind):
                    self._moved[kind, project] = self._moved.get((kind, project), 0) + step

    async def _write(self, flush: Flush, *, rows: bool = True) -> None:
        pending = Pending()
        if rows:
            pending = self._buffer.take()
        if not (pending.steps or flush.releases or flush.saves or flush.moves):
            return
        self.contended = _first_of(flush.saves) or _first_of(
            (kind, before.row.id)
            for kind, pairs in pending.updates.items()
            for before, _ in pairs
            if before.row
        )
        sql, values = render_flush(self._schema, pending, flush, self._origin)
        try:
            _, xid, moved = (await self._ask(sql, *values))[0]
        except asyncpg.IntegrityConstraintViolationError as error:
            try:
                named = await self._name_violation(error, pending)
            except asyncpg.PostgresError as disturbed:
                raise self._fail(disturbed) from error
            raise self._fail(named) from error
        self.xid = xid
        self.logged = self.logged or bool(pending.steps)
        if flush.releases:
            self._releases = {}
        self._saves = {} if flush.saves else self._saves
        done = {(kind, project) for kind, project in moved or ()}
        if left := [move for move in flush.moves if move.counted not in done]:
            raise self._fail(DealFirst(left))

    async def _ask(self, sql: str, *values: Any) -> Sequence[Any]:
        """Send one statement, the first one after a BEGIN. Raises: what the database says; from then on only that."""
        if self._failure is not None:
            raise self._failure
        self.asking = True
        try:
            if not self.begun:
                self._count()
                await self._connection.execute("BEGIN")
                self.begun = True
            self._count()
            rows: Sequence[Any] = await self._connection.fetch(sql, *values)
            return rows
        except BaseException as error:
            self._failure = error
            raise
        finally:
            self.asking = False

    def _count(self) -> None:
        self.statements += 1
        STATEMENTS_WRITE.inc()

    def _fail(self, error: BaseException) -> BaseException:
        self._failure = error
        return error

    async def _name_violation(
        self, error: asyncpg.IntegrityConstraintViolationError, pending: Pending
    ) -> BaseException:
        """The domain error behind a violated constraint."""
        table, detail = str(error.table_name), str(error.detail)
        found = _DETAIL.search(detail)
        value = found["value"] if found else ""
        if isinstance(error, asyncpg.UniqueViolationError):
            return id_taken(table, value) if table in self._schema.by_kind else Rerun(detail)
        if not isinstance(error, asyncpg.ForeignKeyViolationError) or found is None:
            return cast(BaseException, error)
        for references in self._schema.used_by.values():
            for reference in references:
                # Of a missing parent the column that refers is named, of a parent in use its id.
                if (reference.table, reference.column) == (table, found["column"]):
                    return NotFound(reference.parent, value)
        for kind in pending.deletes:
            if (used := await self._left_child(kind, pending)) is not None:
                return used
        return Rerun(detail)

    async def _left_child(self, kind: str, pending: Pending) -> InUse | None:
        """Who uses a row that was to be removed. Asked after the roll-back, of what is committed now."""
        self.asking = True
        try:
            if self._connection.is_in_transaction():
                await self._connection.execute("ROLLBACK")
            self.begun = False
            for id in pending.deletes[kind]:
                for reference in self._schema.used_by[kind]:
                    going = pending.deletes.get(reference.child, [])
                    self._count()
                    users = await self._connection.fetch(
                        f"SELECT DISTINCT {reference.child_id} FROM {quote(reference.table)} "
                        f"WHERE {quote(reference.column)} = $1 AND NOT {reference.child_id} = ANY($2::text[]) "
                        f"ORDER BY 1 LIMIT {_USERS_NAMED + 1}",
                        id,
                        going,
                    )
                    if users:
                        named = ", ".join(f"{reference.child} {user}" for (user,) in users[:_USERS_NAMED])
                        return InUse(kind, id, by=f"{named} and more" if len(users) > _USERS_NAMED else named)
        finally:
            self.asking = False
        return None

    # Last: from here on `list` is this method.
    async def list(self, entity: type[E], query: Query = Query()) -> list[E]:
        """Rows in the query's order, this transaction's own included."""
        await self._settle()
        table = self._schema.by_entity[entity]
        if table.name in self._buffer.dirty_kinds:
            self._count_moves()
            await self._write(Flush())
        found = await list_documents(self._ask, table, query)
        return [cast(E, self._buffer.keep(table, id, document).row) for id, document in found]


def _first_of(keys: Iterable[tuple[str, str]]) -> str:
    return " ".join(min(keys, default=("", ""))).strip()


@lru_cache(8)
def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
