"""Rows as managers meet them: who may name one, whose a new one is, and a changed one as it is stored."""

from collections.abc import Sequence
from typing import Any, TypeVar

import msgspec

from alcor.managers.interface import Caller, Rows, Values
from alcor.managers.sharing import may_use
from alcor.model.catalogue import BY_ENTITY
from alcor.model.errors import NotFound
from alcor.model.resource import UNSET, Entity
from alcor.store.interface import Transaction

E = TypeVar("E", bound=Entity)

NAMED_MAX = 5
"""How many users of a thing an error names; a list request for them asks for one more."""


async def get_visible(tx: Rows, caller: Caller, entity: type[E], id: str, *, kind: str) -> E:
    """The row a caller names in a request.

    Raises: NotFound also for a row of another project that is not shared, so that nobody can ask which ids exist.
    """
    row = await tx.find(entity, id)
    if row is None or not await may_use(tx, caller, row):
        raise NotFound(kind, id)
    return row


def new_row(tx: Transaction, caller: Caller, entity: type[E], values: Values, **more: Any) -> E:
    """Add a row made of what the client said (UNSET: the entity's default) and of `more`, which counts more.

    `values` may hold fields the entity does not have; they are the manager's business. Returns: the row as it was
    inserted; `tx.get` shows it as it is stored.
    """
    fields = entity.__struct_fields__
    said = {name: value for name, value in values.items() if value is not UNSET and name in fields}
    given = said | {"project_id": project_of(caller, values), "id": tx.new_id()} | more
    if BY_ENTITY[entity].attribute("project_id") is None:
        given["project_id"] = ""
    row = entity(**given)
    tx.insert(row)
    return row


def project_of(caller: Caller, values: dict[str, object]) -> str:
    """The project a new row belongs to: the one named (the API lets only administrators), else the caller's."""
    named = values.get("project_id", UNSET)
    return caller.project_id if named is UNSET or not named else str(named)


async def replace_row(tx: Transaction, row: E, changes: dict[str, Any]) -> E:
    """Change fields of a row. Returns: the row as stored, counted and dated by the store."""
    tx.update(msgspec.structs.replace(row, **changes))
    return await tx.get(type(row), row.id)


def name_users(what: str, names: Sequence[str]) -> str:
    """`port a, port b …`: what still uses a thing, for an error's text; at most `NAMED_MAX` by name."""
    named = ", ".join(f"{what} {name}" for name in names[:NAMED_MAX])
    return f"{named} and more" if len(names) > NAMED_MAX else named
