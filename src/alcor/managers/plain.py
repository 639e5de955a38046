"""The manager of a resource without rules of its own: rows that are made, changed and removed as the client says.

A family with one rule more gives a `check`; with more than that it has functions of its own.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from alcor.managers.interface import (
    Action,
    BeforeList,
    Caller,
    Child,
    Loader,
    Made,
    Manager,
    Sight,
    Values,
)
from alcor.managers.row import new_row, replace_row
from alcor.model.extension import Extension
from alcor.model.resource import Entity, Resource
from alcor.store.interface import Transaction

Check = Callable[[Transaction, Caller, Any, Values], Awaitable[Values]]
"""(row or None on create, what was said) → what is stored. Raises: what is wrong with it."""

Removal = Callable[[Transaction, Caller, Any], Awaitable[None]]
"""What else goes with a row, or why it cannot go. Foreign keys refuse by themselves."""


def plain_manager(
    resource: Resource,
    service: str,
    *,
    check: Check | None = None,
    removal: Removal | None = None,
    computed: Mapping[str, Loader] | None = None,
    children: Mapping[str, Child] | None = None,
    actions: Mapping[str, Action] | None = None,
    sight: Sight | None = None,
    before_list: BeforeList | None = None,
    extensions: tuple[Extension, ...] = (),
    fixed: bool = False,
) -> Manager:
    """A manager of `resource`. `fixed`: rows are never updated."""

    async def create(tx: Transaction, caller: Caller, many: Sequence[Values]) -> list[Made]:
        made = []
        for values in many:
            stored = values if check is None else await check(tx, caller, None, values)
            row = new_row(tx, caller, resource.entity, stored)
            made.append(Made(await tx.get(resource.entity, row.id)))
        return made

    async def update(tx: Transaction, caller: Caller, row: Any, values: Values) -> Entity:
        stored = values if check is None else await check(tx, caller, row, values)
        return await replace_row(tx, row, stored)

    async def delete(tx: Transaction, caller: Caller, row: Any) -> None:
        if removal is not None:
            await removal(tx, caller, row)
        tx.delete(row)

    return Manager(
        resource,
        service,
        create=create,
        update=None if fixed else update,
        delete=delete,
        computed=computed or {},
        children=children or {},
        actions=actions or {},
        sight=sight,
        before_list=before_list,
        extensions=extensions,
    )
