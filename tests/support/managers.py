"""Managers on a real store, called as the API calls them; and transactions that fail or count on purpose."""

import sqlite3
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alcor.managers.interface import Caller, Made, Manager, Values
from alcor.managers.registry import managers
from alcor.managers.vpc.settings import NetworkSettings
from alcor.model.catalogue import BY_ENTITY
from alcor.model.network import NETWORK
from alcor.model.resource import REQUIRED, Entity, Resource, Who
from alcor.store.interface import Store, Transaction
from tests.support.store import Clock, sqlite_store

PROJECT = "p" * 32
OTHER_PROJECT = "q" * 32
ADMIN = Caller(PROJECT, is_admin=True)
MEMBER = Caller(PROJECT, is_admin=False)
STRANGER = Caller(OTHER_PROJECT, is_admin=False)


def created_values(resource: Resource, /, **said: Any) -> Values:
    """What the API hands to `create`: every attribute a caller may set, parsed, or its default."""
    values: Values = {}
    for attribute in resource.attributes:
        if attribute.create is Who.NOBODY:
            continue
        if attribute.field in said:
            values[attribute.field] = attribute.type.parse(said.pop(attribute.field))
        elif attribute.default is not REQUIRED:
            values[attribute.field] = attribute.default
    assert not said, f"not attributes of {resource.name}: {sorted(said)}"
    return values


def updated_values(resource: Resource, /, **said: Any) -> Values:
    """What the API hands to `update`: only what was said, parsed."""
    by_field = {attribute.field: attribute for attribute in resource.attributes}
    assert all(by_field[name].update is not Who.NOBODY for name in said)
    return {name: by_field[name].type.parse(value) for name, value in said.items()}


class Desk:
    """Where requests of one caller are made, each a transaction of its own."""

    def __init__(self, store: Store, clock: Clock, folder: Path, caller: Caller = ADMIN) -> None:
        self.store, self.clock, self.folder, self.caller = store, clock, folder, caller
        self._managers: dict[str, Manager] = {
            one.resource.name: one for one in managers() if isinstance(one, Manager)
        }
        self.wrap: Callable[[Transaction], Transaction] = lambda tx: tx
        """Put between the store and the manager."""

    def manager(self, name: str) -> Manager:
        """The manager of a resource, by its name."""
        return self._managers[name]

    def as_caller(self, caller: Caller) -> "Desk":
        """The same store, another caller."""
        return Desk(self.store, self.clock, self.folder, caller)

    async def create_made(self, name: str, many: Sequence[dict[str, Any]]) -> list[Made]:
        """A bulk create of the resource `name`, with what only its answer shows."""
        manager = self._managers[name]
        create = manager.create
        assert create is not None
        values = [created_values(manager.resource, **said) for said in many]
        return (await self.store.write(lambda tx: create(self.wrap(tx), self.caller, values))).value

    async def create_many(self, name: str, many: Sequence[dict[str, Any]]) -> list[Any]:
        """A bulk create; its rows."""
        return [made.row for made in await self.create_made(name, many)]

    async def create(self, resource: str, /, **said: Any) -> Any:
        """Create one and return its row."""
        return (await self.create_many(resource, [said]))[0]

    async def create_part(self, resource: str, parent: Entity, /, **said: Any) -> Any:
        """Create one row of a sub-resource of `parent` and return it."""
        manager = self._managers[resource]
        create, above = manager.create, manager.resource.parent
        assert create is not None
        assert above is not None
        values = created_values(manager.resource, **said) | {above.field: parent.id}
        made = (await self.store.write(lambda tx: create(self.wrap(tx), self.caller, [values]))).value
        return made[0].row

    async def update(self, row: Entity, /, **said: Any) -> Any:
        """Change a row as it is stored now; return it."""
        resource = BY_ENTITY[type(row)]
        change = self._managers[resource.name].update
        assert change is not None
        values = updated_values(resource, **said)

        async def work(tx: Transaction) -> Entity:
            return await change(self.wrap(tx), self.caller, await tx.get(type(row), row.id), values)

        return (await self.store.write(work)).value

    async def delete(self, row: Entity) -> None:
        """Delete a row as it is stored now."""
        remove = self._managers[BY_ENTITY[type(row)].name].delete
        assert remove is not None

        async def work(tx: Transaction) -> None:
            await remove(self.wrap(tx), self.caller, await tx.get(type(row), row.id))

        await self.store.write(work)

    async def act(self, row: Entity, action: str, **body: Any) -> Any:
        """Run an action of a row. Returns: what it answers, rows as rows."""
        run = self._managers[BY_ENTITY[type(row)].name].actions[action]

        async def work(tx: Transaction) -> Any:
            return await run(self.wrap(tx), self.caller, await tx.get(type(row), row.id), body)

        return (await self.store.write(work)).value

    async def computed(self, name: str, attribute: str, rows: Sequence[Any]) -> dict[str, Any]:
        """A computed attribute of rows."""
        manager = self._managers[name]
        for joint in manager.joint:
            if attribute in joint.names:
                return (await joint.load(self.store, self.caller, rows, [attribute]))[attribute]
        return await manager.computed[attribute](self.store, self.caller, rows)

    async def owners(self, space: str, keys: Sequence[str]) -> dict[str, str]:
        """Who holds claims."""
        return (await self.store.write(lambda tx: tx.claimed(space, keys))).value

    async def resting(self, space: str, keys: Sequence[str]) -> set[str]:
        """Which keys were released and still rest."""
        return (await self.store.write(lambda tx: tx.resting(space, keys))).value

    def dump(self) -> dict[str, list[tuple[Any, ...]]]:
        """Every committed table, row by row, read past the store."""
        with sqlite3.connect(f"file:{self.folder / 'alcor.db'}?mode=ro", uri=True) as connection:
            tables = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
            found = {table: connection.execute(f'SELECT * FROM "{table}"').fetchall() for (table,) in tables}
        connection.close()
        return {table: sorted(rows, key=repr) for table, rows in found.items()}


async def create_networks(desk: Desk, settings: NetworkSettings, many: Sequence[dict[str, Any]]) -> list[Any]:
    """Networks, created in one request under another configuration than the desk's."""
    under = (one for one in managers(network=settings) if isinstance(one, Manager))
    create = next(one.create for one in under if one.resource is NETWORK)
    assert create is not None
    values = [created_values(NETWORK, **said) for said in many]
    done = await desk.store.write(lambda tx: create(tx, desk.caller, values))
    return [made.row for made in done.value]


@asynccontextmanager
async def desk_of(folder: Path) -> AsyncIterator[Desk]:
    """A desk on a fresh store whose time stands still until it is moved, and whose choices are repeatable."""
    clock = Clock()
    async with sqlite_store(folder, clock=clock, seed=7) as store:
        yield Desk(store, clock, folder)


class Broken(Exception):
    """What a `Counting` transaction raises on purpose."""


class Counting:
    """A transaction that counts its calls, and raises `Broken` instead of the `fail_at`-th (from 1)."""

    def __init__(self, inner: Transaction, fail_at: int = 0) -> None:
        self._inner, self._fail_at = inner, fail_at
        self.calls = 0

    def __getattr__(self, name: str) -> Any:
        member = getattr(self._inner, name)
        if not callable(member):
            return member

        def counted(*args: Any, **kwargs: Any) -> Any:
            self.calls += 1
            if self.calls == self._fail_at:
                raise Broken(name)
            return member(*args, **kwargs)

        return counted
