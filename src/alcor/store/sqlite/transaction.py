"""One request's transaction on the writer's connection.

It never suspends: every `await` in it returns at once, because the writer thread drives it alone. Rows are buffered
and written once, at the end, with one `executemany` per table; a list that could miss a buffered row writes the
buffer first.
Claims are decided at once: earlier requests of the same group have already made theirs on this connection.
"""

import random
import secrets
import sqlite3
from collections.abc import Callable, Hashable, Mapping, Sequence
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any, TypeVar, cast

import msgspec
from msgspec.structs import replace

from alcor.model.errors import AlcorError, Conflict, InUse, NotFound, QuotaExceeded
from alcor.model.resource import Entity
from alcor.store.interface import Query, Superseded
from alcor.store.schema import Schema, Table
from alcor.store.sqlite.ddl import insert_side_statement, insert_statement
from alcor.store.sqlite.history import place_of
from alcor.store.sqlite.memo import Memo
from alcor.store.sqlite.query import quote
from alcor.store.sqlite.rows import find_document, list_documents
from alcor.store.sqlite.tally import Counted, Tallies

E = TypeVar("E", bound=Entity)

_USERS_NAMED = 3
_CLAIM_RESTED = """
INSERT INTO claim (space, key, owner) SELECT ?1, ?2, ?3
WHERE NOT EXISTS (SELECT 1 FROM resting WHERE space = ?1 AND key = ?2 AND until_ms > ?4)
ON CONFLICT DO NOTHING
"""
_CLAIM_MANY = """
INSERT INTO claim (space, key, owner)
SELECT ?, json_extract(value, '$[0]'), json_extract(value, '$[1]') FROM json_each(?)
WHERE NOT EXISTS (
    SELECT 1 FROM resting
    WHERE resting.space = ? AND resting.key = json_extract(value, '$[0]') AND until_ms > ?)
ON CONFLICT DO NOTHING RETURNING key
"""


class Held:
    """A row as this transaction sees it; both None: there is none."""

    __slots__ = ("document", "row")

    def __init__(self, row: Entity | None, document: str | None) -> None:
        self.row, self.document = row, document


_ABSENT = Held(None, None)
Found = list[tuple[str, Held]]
"""What a question to a table gave: ids and rows."""
# A longer list is not remembered: it is not what every request asks for.
_LIST_REMEMBERED_MAX = 64
_Key = tuple[str, str]


class Statements:
    """The SQL of one table's writes, made once."""

    def __init__(self, table: Table) -> None:
        name = quote(table.name)
        columns = "".join(f"{quote(column.name)} = ?, " for column in table.columns)
        self.table = table
        self.insert = insert_statement(table)
        self.update_all = f"UPDATE {name} SET {columns}revision = ?, document = ? WHERE id = ?"
        # An index is rewritten when its column is named, changed or not: most updates name none.
        self.update_document = f"UPDATE {name} SET revision = ?, document = ? WHERE id = ?"
        self.delete = f"DELETE FROM {name} WHERE id = ?"
        self.sides = [
            (side.lookup, insert_side_statement(side), f"DELETE FROM {quote(side.name)} WHERE owner = ?")
            for side in table.sides
        ]


class SqliteTransaction:
    """The adapter of `interface.Transaction`."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        schema: Schema,
        statements: dict[str, Statements],
        *,
        first_seq: int,
        now_ms: int,
        rng: random.Random,
        memo: Memo[Found],
        tallies: Tallies,
        term: Callable[[], int],
    ) -> None:
        """`first_seq` is the place of its first change in the log. `term`: the last term that began."""
        self.now_ms = now_ms
        self.now = _iso(now_ms // 1000)
        self.logged = 0
        """Changes written to the log."""
        self.unchanged: list[_Key] = []
        """Rows that were to be updated and are so already."""
        self.begun = False
        """Whether a savepoint is open, that is, whether anything was written."""
        self._connection, self._schema, self._statements = connection, schema, statements
        self._rng, self._memo, self._tallies = rng, memo, tallies
        self._revision, self._next_seq = place_of(first_seq)[0], first_seq
        self._term = term
        self.written: set[str] = set()
        """Kinds of which rows were written: the memo knows nothing of them until the request has ended."""
        self.steps: dict[Counted, int] = {}
        """How many rows of counted kinds were added, less those removed."""
        self._bounds: dict[Counted, tuple[str, int]] = {}
        self._held: dict[_Key, Held] = {}
        self._dirty: dict[_Key, Held] = {}
        self._dirty_kinds: set[str] = set()
        self._log: list[tuple[int, str, str, str | None, str | None]] = []
        self._releases: dict[_Key, int] = {}
        self._saves: dict[_Key, bytes | None] = {}
        self._failure: BaseException | None = None

    def new_id(self) -> str:
        """A UUID whose first 48 bits are the time, the rest random (RFC 9562, version 7).

        Every index ends with the id. New ids that lie together touch a few of its pages, random ones a page each.
        """
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
        table = self._schema.by_entity[entity]
        row = self._hold(table, id).row
        if row is None:
            raise NotFound(table.name, id)
        return cast(E, row)

    async def find(self, entity: type[E], id: str) -> E | None:
        """The row, or None."""
        return cast(E | None, self._hold(self._schema.by_entity[entity], id).row)

    async def list(self, entity: type[E], query: Query = Query()) -> list[E]:
        """Rows in the query's order, this transaction's own among them."""
        table = self._schema.by_entity[entity]
        if table.name in self._dirty_kinds:
            self.flush()
        rows = []
        for id, stored in self._list(table, query):
            rows.append(self._held.setdefault((table.name, id), stored).row)
        return cast(list[E], rows)

    def insert(self, row: Entity) -> None:
        """Add a row. Raises: Conflict if this transaction already sees a row of this id."""
        table = self._schema.by_entity[type(row)]
        key = table.name, row.id
        held = self._held.get(key, _ABSENT)
        if held.row is not None:
            raise _exists(table.name, row.id)
        made = replace(row, created_at=self.now, updated_at=self.now, revision_number=0)
        self._step(table, row.id, held, Held(made, table.encode(made)))

    def update(self, row: Entity) -> None:
        """Replace a row. Raises: NotFound if it is not there."""
        table = self._schema.by_entity[type(row)]
        held = self._hold(table, row.id)
        before = held.row
        if before is None:
            raise NotFound(table.name, row.id)
        same = replace(
            row,
            created_at=before.created_at,
            updated_at=before.updated_at,
            revision_number=before.revision_number,
        )
        if table.encode(same) == table.encode(before):
            self.unchanged.append((table.name, row.id))
            return
        made = replace(same, updated_at=self.now, revision_number=before.revision_number + 1)
        self._step(table, row.id, held, Held(made, table.encode(made)))

    def touch(self, row: Entity) -> None:
        """Count a change of a row whose own fields stay. Raises: NotFound if it is not there."""
        table = self._schema.by_entity[type(row)]
        held = self._hold(table, row.id)
        before = held.row
        if before is None:
            raise NotFound(table.name, row.id)
        made = replace(before, updated_at=self.now, revision_number=before.revision_number + 1)
        self._step(table, row.id, held, Held(made, table.encode(made)))

    def delete(self, row: Entity) -> None:
        """Remove a row. Raises: NotFound if it is not there."""
        table = self._schema.by_entity[type(row)]
        held = self._hold(table, row.id)
        if held.row is None:
            raise NotFound(table.name, row.id)
        self._step(table, row.id, held, _ABSENT)

    def bound(self, entity: type[Entity], project_id: str, limit: int) -> None:
        """Refuse the request at its end if it added rows beyond `limit`. Raises: ValueError if they are not counted."""
        table = self._schema.by_entity[entity]
        self._bounds[table.counted_kind(), project_id] = table.quota, limit

    async def tally(self, entity: type[Entity], project_id: str) -> int:
        """How many rows of a counted kind the project has, this request's included."""
        counted = self._schema.by_entity[entity].counted_kind(), project_id
        return self._tallies.count(counted) + self.steps.get(counted, 0)

    async def claim(self, space: str, key: str, owner: str) -> bool:
        """Take a unique key. True also if `owner` has it already."""
        self._flush_releases()
        self._begin()
        taken = self._connection.execute(
            "INSERT INTO claim (space, key, owner) VALUES (?, ?, ?) ON CONFLICT DO NOTHING",
            (space, key, owner),
        )
        if taken.rowcount == 1:
            return True
        return (await self.claimed(space, (key,))).get(key) == owner

    async def claim_many(self, space: str, owners: Mapping[str, str]) -> set[str]:
        """Take those of the keys that are neither taken nor resting, in one statement."""
        self._flush_releases()
        self._begin()
        if len(owners) == 1:
            # By far the most frequent question; four times as fast without a list to unpack.
            ((key, owner),) = owners.items()
            taken = self._connection.execute(_CLAIM_RESTED, (space, key, owner, self.now_ms))
            return {key} if taken.rowcount == 1 else set()
        pairs = msgspec.json.encode(list(owners.items())).decode()
        return {key for (key,) in self._connection.execute(_CLAIM_MANY, (space, pairs, space, self.now_ms))}

    def release(self, space: str, key: str, *, rest_s: int = 0) -> None:
        """Give a key back."""
        self._releases[space, key] = self.now_ms + rest_s * 1000 if rest_s > 0 else 0

    async def claimed(self, space: str, keys: Sequence[str]) -> dict[str, str]:
        """Owner of each of `keys` that is taken."""
        self._flush_releases()
        return dict(self._select_keys("SELECT key, owner FROM claim WHERE space = ? AND", space, keys))

    async def resting(self, space: str, keys: Sequence[str]) -> set[str]:
        """Which of `keys` still rest."""
        self._flush_releases()
        rows = self._select_keys("SELECT key, until_ms FROM resting WHERE space = ? AND", space, keys)
        return {key for key, until_ms in rows if until_ms > self.now_ms}

    async def claims_count(self, space: str) -> int:
        """How many keys of `space` are taken. Cost: one pass over them."""
        self._flush_releases()
        sql = "SELECT count(*) FROM claim WHERE space = ?"
        counted: int = self._connection.execute(sql, (space,)).fetchone()[0]
        return counted

    async def load(self, space: str, key: str) -> bytes | None:
        """A small unlogged value."""
        if (space, key) in self._saves:
            return self._saves[space, key]
        sql = "SELECT value FROM kept_value WHERE space = ? AND key = ?"
        found = self._connection.execute(sql, (space, key)).fetchone()
        return None if found is None else found[0]

    def save(self, space: str, key: str, value: bytes | None) -> None:
        """Replace or remove it."""
        self._saves[space, key] = value

    async def fence(self, term: int) -> None:
        """Raises: Superseded."""
        if self._term() > term:
            self._failure = Superseded("A decision", term)
            raise self._failure

    def finish(self) -> None:
        """The function has returned: see to the limits, then write. Raises: QuotaExceeded; as `flush`."""
        for counted, (resource, limit) in self._bounds.items():
            step = self.steps.get(counted, 0)
            if step > 0 and 0 <= limit < self._tallies.count(counted) + step:
                raise QuotaExceeded(resource, limit)
        self.flush()

    def flush(self) -> None:
        """Write what is buffered: new rows (parents first), changed ones, then removals (children first), so that at
        no moment a reference points to nothing; then the log, in the order the changes were made.

        Raises: NotFound (a parent is missing), InUse (a child is left), Conflict (the id is taken). The transaction
        cannot be continued after it, even if the manager caught it: part of its writes is missing.
        """
        if self._failure is not None:
            raise self._failure
        try:
            self._flush_rows()
            self._flush_releases()
            self._flush_saves()
        except sqlite3.IntegrityError as error:
            self._failure = self._name_violation(error)
            raise self._failure from error

    def _hold(self, table: Table, id: str) -> Held:
        held = self._held.get((table.name, id))
        if held is None:
            known = self._recall(table, id)
            if known is None:
                document = find_document(self._connection, table, id)
                known = [] if document is None else [(id, Held(table.decode(document), document))]
                self._remember(table, id, known)
            held = self._held[table.name, id] = known[0][1] if known else _ABSENT
        return held

    def _list(self, table: Table, query: Query) -> Found:
        known = self._recall(table, query)
        if known is None:
            documents = list_documents(self._connection, table, query)
            known = [(id, Held(table.decode(document), document)) for id, document in documents]
            self._remember(table, query, known)
        return known

    def _recall(self, table: Table, question: Hashable) -> Found | None:
        return None if table.name in self.written else self._memo.find(table.name, question)

    def _remember(self, table: Table, question: Hashable, answer: Found) -> None:
        if table.name not in self.written and len(answer) <= _LIST_REMEMBERED_MAX:
            self._memo.keep(table.name, question, answer)

    def _step(self, table: Table, id: str, before: Held, after: Held) -> None:
        key = table.name, id
        self._held[key] = after
        self._dirty.setdefault(key, before)
        self._dirty_kinds.add(table.name)
        self._log.append((self._next_seq, *key, before.document, after.document))
        self._next_seq += 1
        if table.quota:
            for row, step in ((before.row, -1), (after.row, 1)):
                if row is not None and row.project_id:
                    counted = table.name, row.project_id
                    self.steps[counted] = self.steps.get(counted, 0) + step

    def _begin(self) -> None:
        # A full disk ends SQLite's transaction, and what is written after that would commit by itself.
        if not self._connection.in_transaction:
            raise sqlite3.OperationalError("the transaction was lost to an earlier error")
        if not self.begun:
            self._connection.execute("SAVEPOINT request")
            self.begun = True

    def _flush_rows(self) -> None:
        if not self._log:
            return
        self._begin()
        self.written |= self._dirty_kinds
        inserts: dict[str, list[Entity]] = {}
        updates: dict[str, list[tuple[Entity, Entity]]] = {}
        deletes: dict[str, list[str]] = {}
        for key, stored in self._dirty.items():
            row = self._held[key].row
            if row is None:
                if stored.row is not None:
                    deletes.setdefault(key[0], []).append(key[1])
            elif stored.row is None:
                inserts.setdefault(key[0], []).append(row)
            else:
                updates.setdefault(key[0], []).append((stored.row, row))
        for kind in sorted(inserts, key=self._schema.order.__getitem__):
            self._insert_rows(self._statements[kind], inserts[kind])
        for kind, pairs in updates.items():
            self._update_rows(self._statements[kind], pairs)
        for kind in sorted(deletes, key=self._schema.order.__getitem__, reverse=True):
            self._connection.executemany(self._statements[kind].delete, [(id,) for id in deletes[kind]])
        self._connection.executemany(
            "INSERT INTO change_log (seq, kind, id, before, after) VALUES (?, ?, ?, ?, ?)",
            self._log,
        )
        self.logged += len(self._log)
        self._dirty.clear()
        self._dirty_kinds.clear()
        self._log.clear()

    def _insert_rows(self, statements: Statements, rows: Sequence[Entity]) -> None:
        table = statements.table
        held, name, revision = self._held, table.name, self._revision
        self._connection.executemany(
            statements.insert,
            [(row.id, *table.keys(row), revision, held[name, row.id].document) for row in rows],
        )
        for lookup, insert, _ in statements.sides:
            values = [(row.id, *values) for row in rows for values in lookup.rows(row)]
            if values:
                self._connection.executemany(insert, values)

    def _update_rows(self, statements: Statements, pairs: Sequence[tuple[Entity, Entity]]) -> None:
        table, revision = statements.table, self._revision
        documents, whole = [], []
        for before, after in pairs:
            keys, document = table.keys(after), self._held[table.name, after.id].document
            if keys == table.keys(before):
                documents.append((revision, document, after.id))
            else:
                whole.append((*keys, revision, document, after.id))
        self._connection.executemany(statements.update_document, documents)
        self._connection.executemany(statements.update_all, whole)
        for lookup, insert, clear in statements.sides:
            changed = [after for before, after in pairs if lookup.rows(before) != lookup.rows(after)]
            self._connection.executemany(clear, [(row.id,) for row in changed])
            self._connection.executemany(
                insert, [(row.id, *values) for row in changed for values in lookup.rows(row)]
            )

    def _flush_releases(self) -> None:
        if not self._releases:
            return
        self._begin()
        keys = list(self._releases)
        self._connection.executemany("DELETE FROM claim WHERE space = ? AND key = ?", keys)
        self._connection.executemany("DELETE FROM resting WHERE space = ? AND key = ?", keys)
        self._connection.executemany(
            "INSERT INTO resting (space, key, until_ms) VALUES (?, ?, ?)",
            [(*key, until_ms) for key, until_ms in self._releases.items() if until_ms],
        )
        # Whoever puts keys to rest clears away those that have rested, so that the table holds one rest's worth.
        self._connection.execute("DELETE FROM resting WHERE until_ms <= ?", (self.now_ms,))
        self._releases.clear()

    def _flush_saves(self) -> None:
        if not self._saves:
            return
        self._begin()
        gone = [key for key, value in self._saves.items() if value is None]
        kept = [(*key, value) for key, value in self._saves.items() if value is not None]
        self._connection.executemany("DELETE FROM kept_value WHERE space = ? AND key = ?", gone)
        self._connection.executemany(
            "INSERT OR REPLACE INTO kept_value (space, key, value) VALUES (?, ?, ?)", kept
        )
        self._saves.clear()

    def _select_keys(self, sql: str, space: str, keys: Sequence[str]) -> Sequence[tuple[str, Any]]:
        if len(keys) == 1:
            return self._connection.execute(f"{sql} key = ?", (space, keys[0])).fetchall()
        return self._connection.execute(
            f"{sql} key IN (SELECT value FROM json_each(?))",
            (space, msgspec.json.encode(list(keys)).decode()),
        ).fetchall()

    def _name_violation(self, error: sqlite3.IntegrityError) -> AlcorError | sqlite3.IntegrityError:
        """The domain error behind a violated constraint: SQLite does not say which foreign key failed.

        Asked before the roll-back, while the buffered parents are in their tables.
        """
        if "PRIMARYKEY" in error.sqlite_errorname:
            return self._taken_id() or error
        for key in self._dirty:
            row = self._held[key].row
            found = self._missing_parent(self._schema.by_kind[key[0]], row) if row else self._left_child(*key)
            if found is not None:
                return found
        return error

    def _missing_parent(self, table: Table, row: Entity) -> NotFound | None:
        wanted = [
            (column.refers, value) for column, value in zip(table.columns, table.keys(row), strict=True)
        ]
        for side in table.sides:
            for values in side.lookup.rows(row):
                wanted += [(column.refers, value) for column, value in zip(side.columns, values, strict=True)]
        for parent, id in wanted:
            if parent and id is not None and not self._is_stored(parent, id):
                return NotFound(parent, id)
        return None

    def _left_child(self, kind: str, id: str) -> InUse | None:
        for reference in self._schema.used_by[kind]:
            users = self._connection.execute(
                f"SELECT DISTINCT {reference.child_id} FROM {quote(reference.table)} "
                f"WHERE {quote(reference.column)} = ? LIMIT ?",
                (id, _USERS_NAMED + 1),
            ).fetchall()
            if users:
                named = ", ".join(f"{reference.child} {user}" for (user,) in users[:_USERS_NAMED])
                return InUse(kind, id, by=f"{named} and more" if len(users) > _USERS_NAMED else named)
        return None

    def _taken_id(self) -> Conflict | None:
        """Rows go in in order until one is refused, so the last new one that is in its table was there before."""
        new = [key for key, stored in self._dirty.items() if stored.row is None and self._held[key].row]
        new.sort(key=lambda key: self._schema.order[key[0]])
        taken = [key for key in new if self._is_stored(*key)]
        return _exists(*taken[-1]) if taken else None

    def _is_stored(self, kind: str, id: str) -> bool:
        sql = f"SELECT 1 FROM {quote(kind)} WHERE id = ?"
        return self._connection.execute(sql, (id,)).fetchone() is not None


def _exists(kind: str, id: str) -> Conflict:
    return Conflict(f"{kind.capitalize()} {id} exists already.", kind=kind, id=id)


@lru_cache(8)
def _iso(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
