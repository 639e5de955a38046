"""The tables that the `Resource` declarations ask for, without a word of any database's dialect.

Shape
- One table per resource: `id` (the primary key), the key columns (`Attribute.column`), `revision` (the region's
  revision in which the row last changed) and `document` (the whole row as JSON, from which all else follows).
- One side table per `Lookup`: `owner` (the row's id; gone with it) and the lookup's columns, which hold text.
- A foreign key per `refers`. The declarations come parents first, so that creating in order and deleting in
  reverse never meets a missing parent.

`sqlite.ddl` renders it; another database's renderer comes beside that one.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import Enum
from functools import cache
from operator import attrgetter
from typing import Any

import msgspec

from alcor.model.errors import Unavailable
from alcor.model.resource import Attribute, Entity, Lookup, Resource
from alcor.model.value import Boolean, Choice, Integer, Nullable, ValueType

# Grows when what is stored changes in a way that the documents do not tell by themselves.
SCHEMA_VERSION = 2

# Sorted dictionaries: equal rows have equal documents, so that "nothing changed" is a comparison of text.
_ENCODER = msgspec.json.Encoder(order="deterministic")


class Unreadable(Unavailable):
    """A stored document is not one of this program's: a field without a default was added, or a type was narrowed,
    and no migration function makes the old documents right."""

    def __init__(self, kind: str, id: str, reason: str) -> None:
        super().__init__(
            f"The stored {kind} {id} cannot be read by this Alcor ({reason}), so the database was left as it was: "
            "start the Alcor that wrote it, or one with a migration for it."
        )
        self.kind, self.id, self.reason = kind, id, reason


class ColumnType(Enum):
    """What a key column holds. Every one may be null, and null sorts before every value."""

    TEXT = "text"
    INTEGER = "integer"
    BOOLEAN = "boolean"


@dataclass(frozen=True, slots=True)
class Column:
    """One typed column with an index; `refers` is the table whose `id` it holds."""

    name: str
    type: ColumnType = ColumnType.TEXT
    refers: str = ""


@dataclass(frozen=True, slots=True)
class SideTable:
    """One row per tuple of a lookup, found by any of its columns."""

    name: str
    lookup: Lookup
    columns: tuple[Column, ...]


@dataclass(frozen=True, slots=True)
class Reference:
    """`table.column` holds the id of a `parent`; `child` rows are the ones that refer.

    `child_id` is the column that names the child: `id`, or `owner` in a side table.
    """

    parent: str
    child: str
    table: str
    column: str
    child_id: str


class Table:
    """One resource's table: its shape, and the way between a row and its document."""

    def __init__(self, resource: Resource) -> None:
        self.resource = resource
        self.name = resource.name
        self.quota = resource.quota
        self.fields = frozenset(resource.entity.__struct_fields__)
        self.columns = tuple(_column(a) for a in resource.attributes if a.column and a.name != "id")
        self.column_names = frozenset(column.name for column in self.columns)
        self.sides = tuple(_side(resource, lookup) for lookup in resource.lookups)
        self._decoder = msgspec.json.Decoder(resource.entity)
        self._getters = tuple(attrgetter(column.name) for column in self.columns)
        for column in self.columns:
            if column.name not in self.fields:
                raise ValueError(f"{self.name}.{column.name} is a column, and {self.name} has no such field")
        for attribute in resource.attributes:
            if attribute.refers and not attribute.column:
                raise ValueError(
                    f"{self.name}.{attribute.name} refers to {attribute.refers}: make it a column"
                )

    def keys(self, row: Entity) -> tuple[Any, ...]:
        """The values of the key columns, in the order of `columns`."""
        return tuple([get(row) for get in self._getters])

    def encode(self, row: Entity) -> str:
        """The row's document. Equal rows have equal documents."""
        return _ENCODER.encode(row).decode()

    def decode(self, document: str) -> Entity:
        """The row of a document. Raises: msgspec.ValidationError if it is not of this resource."""
        return self._decoder.decode(document)

    def carry(self, id: str, document: str) -> tuple[Entity, str]:
        """The row of a document that another version of the program wrote, and the document as this one writes it.

        A field that is new takes its default. Raises: Unreadable.
        """
        try:
            row = self.decode(document)
            carried = self.encode(row)
            if self.decode(carried) != row:
                raise Unreadable(self.name, id, "it is not the same when it is written and read again")
        except msgspec.ValidationError as error:
            raise Unreadable(self.name, id, str(error)) from error
        return row, carried

    def counted_kind(self) -> str:
        """The kind whose rows are counted per project. Raises: ValueError if these are not."""
        if not self.quota:
            raise ValueError(f"{self.name} has no quota: its rows are not counted")
        return self.name

    @property
    def documents(self) -> str:
        """What its documents may hold, as text that is equal for equal declarations."""
        return _described(self.resource.entity)

    @property
    def digest(self) -> str:
        """Another one means: made by other declarations, so it must be made again from its documents.

        Not seen is a change *inside* a look-up's `rows` function: that asks for a new SCHEMA_VERSION.
        """
        sides = [(side.name, side.columns) for side in self.sides]
        text = f"{self.name} {self.columns} {sides} {bool(self.quota)} {self.documents}"
        return hashlib.sha256(text.encode()).hexdigest()

    @property
    def references(self) -> list[Reference]:
        """The foreign keys this table and its side tables hold."""
        own = [
            Reference(column.refers, self.name, self.name, column.name, "id")
            for column in self.columns
            if column.refers
        ]
        return own + [
            Reference(column.refers, self.name, side.name, column.name, "owner")
            for side in self.sides
            for column in side.columns
            if column.refers
        ]


@dataclass(frozen=True, slots=True)
class Schema:
    """All tables, parents first."""

    tables: tuple[Table, ...]
    by_entity: dict[type[Entity], Table] = field(init=False)
    by_kind: dict[str, Table] = field(init=False)
    order: dict[str, int] = field(init=False)
    used_by: dict[str, list[Reference]] = field(init=False)
    """Parent kind → who may refer to it."""

    def __post_init__(self) -> None:
        used_by: dict[str, list[Reference]] = {table.name: [] for table in self.tables}
        for table in self.tables:
            for reference in table.references:
                used_by[reference.parent].append(reference)
        object.__setattr__(self, "by_entity", {table.resource.entity: table for table in self.tables})
        object.__setattr__(self, "by_kind", {table.name: table for table in self.tables})
        object.__setattr__(self, "order", {table.name: place for place, table in enumerate(self.tables)})
        object.__setattr__(self, "used_by", used_by)


@cache
def _described(entity: type[Entity]) -> str:
    return _ENCODER.encode(msgspec.json.schema(entity)).decode()


def render_schema(resources: Sequence[Resource]) -> Schema:
    """The schema of `resources`.

    Raises: ValueError if one refers to a resource that does not come before it (or is not itself), or to a column
    that is none.
    """
    tables = tuple(Table(resource) for resource in resources)
    known: set[str] = set()
    for table in tables:
        known.add(table.name)
        for reference in table.references:
            if reference.parent not in known:
                raise ValueError(
                    f"{reference.table}.{reference.column} refers to {reference.parent}, which must be declared "
                    f"before {table.name}"
                )
    return Schema(tables)


def _column(attribute: Attribute) -> Column:
    return Column(attribute.field, _column_type(attribute.type), attribute.refers)


def _column_type(type: ValueType) -> ColumnType:
    match type:
        case Nullable(inner=inner):
            return _column_type(inner)
        case Boolean():
            return ColumnType.BOOLEAN
        case Integer():
            return ColumnType.INTEGER
        case Choice(values=(int(), *_)):
            return ColumnType.INTEGER
        case _:
            return ColumnType.TEXT


def _side(resource: Resource, lookup: Lookup) -> SideTable:
    columns = tuple(Column(name, refers=lookup.refers.get(name, "")) for name in lookup.columns)
    return SideTable(f"{resource.name}_{lookup.name}", lookup, columns)
