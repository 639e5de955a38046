"""Real stores for tests: the embedded one in a temporary folder, with its seams in the test's hands."""

import asyncio
import random
import sqlite3
import tempfile
import threading
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from alcor.model.catalogue import RESOURCES
from alcor.model.network import Network
from alcor.model.port import FixedIp, Port
from alcor.model.resource import Entity, Resource
from alcor.model.subnet import Subnet
from alcor.store.interface import Done, Store, Transaction
from alcor.store.sqlite import SqliteStore
from alcor.store.sqlite.connection import Counted, connect
from tests.support.clock import NOW as NOW
from tests.support.clock import NOW_MS as NOW_MS
from tests.support.clock import Clock as Clock
from tests.support.postgres import postgres_store


@dataclass(slots=True)
class Faults:
    """What the database refuses, by the first words of the statement: `refuse["COMMIT"] = 2` fails the next two.

    `lose` also ends the transaction first, as a full disk does.
    """

    refuse: dict[str, int] = field(default_factory=dict)
    lose: bool = False

    def connect(self, path: Path) -> Counted:
        """Open a connection that obeys."""
        faults = self

        class Faulty(Counted):
            def execute(self, sql: str, parameters: Sequence[object] = (), /) -> sqlite3.Cursor:  # type: ignore[override]  # fewer parameter shapes than typeshed's
                faults.check(sql, super().execute)
                return super().execute(sql, parameters)

            def executemany(self, sql: str, parameters: Sequence[Sequence[object]], /) -> sqlite3.Cursor:  # type: ignore[override]  # as above
                faults.check(sql, super().execute)
                return super().executemany(sql, parameters)

        return Faulty(path, isolation_level=None, check_same_thread=False)

    def check(self, sql: str, execute: Callable[[str], object]) -> None:
        """Raise if the statement is to be refused."""
        for words, left in self.refuse.items():
            if left > 0 and sql.startswith(words):
                self.refuse[words] = left - 1
                if self.lose:
                    execute("ROLLBACK")
                raise sqlite3.OperationalError("disk I/O error")


@asynccontextmanager
async def sqlite_store(
    folder: Path,
    *,
    clock: Callable[[], int] | None = None,
    seed: int | None = None,
    resources: Sequence[Resource] = RESOURCES,
    faults: Faults | None = None,
    history_days: float = 7.0,
    log_changes_max: int = 1_000_000,
) -> AsyncIterator[SqliteStore]:
    """The embedded store in `folder`, closed at the end. `seed` makes its ids and choices repeatable; without a
    `clock` time stands still."""
    if resources is RESOURCES and faults is None and (clock is None or _is_untouched(clock)):
        await _place_empty(folder)
    store = SqliteStore.open(
        folder,
        resources=resources,
        clock=clock or Clock(),
        rng=None if seed is None else random.Random(seed),
        connect=connect if faults is None else faults.connect,
        history_days=history_days,
        log_changes_max=log_changes_max,
    )
    try:
        yield store
    finally:
        await store.close()


def _is_untouched(clock: Callable[[], int]) -> bool:
    return isinstance(clock, Clock) and clock.now_ms == NOW_MS


_empty: dict[str, bytes] = {}
"""The files of a store of all resources in which nothing happened, by name."""


async def _place_empty(folder: Path) -> None:
    """Put a new store's files where none are: to make its tables takes far longer than to copy them."""
    if not _empty:
        with tempfile.TemporaryDirectory() as place:
            await SqliteStore.open(Path(place), clock=Clock()).close()
            _take_files(Path(place))
    _place_files(folder)


def _take_files(folder: Path) -> None:
    _empty.update({file.name: file.read_bytes() for file in folder.glob("*.db")})


def _place_files(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    if not any((folder / name).exists() for name in _empty):
        for name, content in _empty.items():
            (folder / name).write_bytes(content)


OpenStore = Callable[..., AbstractAsyncContextManager[Store]]
ADAPTERS = [pytest.param(sqlite_store, id="sqlite"), pytest.param(postgres_store, id="postgres")]
"""Every adapter of the store, for the contract suites."""


def a_network(id: str = "net-1", **fields: Any) -> Network:
    """A network of which only the id matters."""
    return Network(id=id, **{"project_id": "p-1", "name": id, **fields})


def a_subnet(id: str = "sub-1", network_id: str = "net-1", **fields: Any) -> Subnet:
    """An IPv4 subnet of a network."""
    return Subnet(id=id, network_id=network_id, **{"ip_version": 4, "cidr": "10.0.0.0/24", **fields})


def a_port(id: str = "port-1", network_id: str = "net-1", *addresses: tuple[str, str], **fields: Any) -> Port:
    """A port with the given (subnet id, address) pairs."""
    fixed = tuple(FixedIp(subnet, address) for subnet, address in addresses)
    return Port(
        id=id, network_id=network_id, fixed_ips=fixed, **{"mac_address": "02:00:00:00:00:01", **fields}
    )


async def insert(store: Store, *rows: Entity) -> Done[None]:
    """Add rows in one transaction."""

    async def work(tx: Transaction) -> None:
        for row in rows:
            tx.insert(row)

    return await store.write(work)


async def as_one_group(store: SqliteStore, *writes: Coroutine[Any, Any, Done[Any]]) -> list[Any]:
    """The answers of `writes`, which the writer finds all at once: it is held up until they are queued."""
    held, let_go = threading.Event(), threading.Event()

    async def hold_up(tx: Transaction) -> None:
        held.set()
        assert let_go.wait(10)

    holding = asyncio.create_task(store.write(hold_up))
    await asyncio.get_running_loop().run_in_executor(None, held.wait)
    tasks = [asyncio.create_task(write) for write in writes]
    await asyncio.sleep(0)
    let_go.set()
    await holding
    return list(await asyncio.gather(*tasks, return_exceptions=True))


async def commit(store: Store, *, put: Sequence[Entity] = (), gone: Sequence[Entity] = ()) -> int:
    """One transaction of inserts, updates and deletes; returns its revision."""

    async def work(tx: Transaction) -> None:
        for row in gone:
            tx.delete(await tx.get(type(row), row.id))
        for row in put:
            if await tx.find(type(row), row.id) is None:
                tx.insert(row)
            else:
                tx.update(row)

    return (await store.write(work)).revision
