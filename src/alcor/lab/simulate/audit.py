"""What hosts should hold, compiled from the region's rows and nothing else: the judge of every run."""

import asyncio
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from alcor.bus.codec import ProtobufCodec
from alcor.goalstate.compile import compile as compile_states
from alcor.goalstate.intent import ENTITIES, Intent
from alcor.goalstate.item import Item, ItemKind, Key
from alcor.goalstate.scope import Scope, ScopeKind
from alcor.lab.simulate.wire import Expected, Held
from alcor.model.catalogue import RESOURCES
from alcor.model.host import Host
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.pipeline.resolve import closure
from alcor.runtime.config import Data, RegionConfig
from alcor.runtime.config import Store as StoreConfig
from alcor.runtime.database import open_store
from alcor.runtime.region import region_item
from alcor.store.interface import Image
from alcor.store.schema import render_schema
from alcor.store.sqlite.connection import prepare_reader
from alcor.store.sqlite.history import read_image

# With more ports, only networks that audited hosts have ports of are compiled: nothing routes between simulated ones.
_WHOLE_PORTS_MAX = 50_000


async def read_rows(data: Path, store_url: str) -> Image:
    """All rows the goal state comes from, in one consistent read, while the region runs."""
    if not store_url:
        return await asyncio.to_thread(_read_sqlite, data / "alcor.db")
    store = await open_store(RegionConfig(data=Data(folder=data), store=StoreConfig(url=store_url)))
    try:
        return await store.image(ENTITIES)
    finally:
        await store.close()


def _read_sqlite(path: Path) -> Image:
    """Beside the process that holds the database: reading needs no lock of ours."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, isolation_level=None)
    try:
        prepare_reader(connection)
        connection.execute("BEGIN")
        return read_image(connection, render_schema(RESOURCES), ENTITIES)
    finally:
        connection.close()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What every host should hold, by intent."""

    states: Mapping[Scope, Mapping[Key, Item]]
    hosts: Mapping[str, str]
    """name → id"""

    def of(self, name: str, held: Held) -> Expected:
        """What one host should hold; of scopes that it holds on demand, of what it holds."""
        lazy = {Scope(ScopeKind(kind), id): keys for kind, id, keys in held.scopes}
        codec = ProtobufCodec()
        told = []
        for scope in closure(self.states, self.hosts[name]):
            items = self.states.get(scope)
            if items is None:
                continue
            if scope in lazy:
                keys = [Key(ItemKind(kind), id) for kind, id in lazy[scope]]
                items = {key: items[key] for key in keys if key in items}
            told.append(
                (scope.kind.value, scope.id, [_encode(codec, key, item) for key, item in items.items()])
            )
        return Expected(name, told, [(scope.kind.value, scope.id) for scope in lazy])


def compile_rows(image: Image, names: Sequence[str]) -> Wanted:
    """What hosts should hold, these at least. Cost: O(rows), all of them only up to 50,000 ports."""
    hosts = {host.name: host.id for host in _rows(image, Host) if isinstance(host, Host)}
    states = compile_states(Intent.of(region_item(RegionConfig()), _relevant(image, set(names))))
    return Wanted(states, hosts)


def _encode(codec: ProtobufCodec, key: Key, item: Item) -> tuple[str, str, bytes]:
    return key.kind.value, key.id, codec.encode(item)


def _rows(image: Image, entity: type[Entity]) -> list[Entity]:
    return image.rows.get(entity, [])


def _relevant(image: Image, names: set[str]) -> Iterable[Entity]:
    ports = [row for row in _rows(image, Port) if isinstance(row, Port)]
    if len(ports) > _WHOLE_PORTS_MAX:
        networks = {port.network_id for port in ports if port.binding_host_id in names}
        ports = [port for port in ports if port.network_id in networks]
    for entity in ENTITIES:
        yield from ports if entity is Port else _rows(image, entity)
