"""Loading straight into the store of a region that does not run.

Hosts, networks, subnets, groups and the first port of each network are made by the managers' own functions in
transactions of the store, without HTTP, JSON and policy. The other ports of a network are made like its first one and
written in bulk (`managers.port.likeness`, `store.bulk`): the same rows, changes, claims and counts. The test compares
all of them with the API's; docs/design/simulate.md says what is left out.
"""

import asyncio
import gc
import random
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path

from alcor.lab.simulate.load import Loaded, Progress, Row, port_body
from alcor.lab.simulate.plan import NetworkPlan, Plan
from alcor.managers.interface import Caller, Made, Manager
from alcor.managers.mac.allocation import RESERVED
from alcor.managers.port.likeness import Likeness, Place, liken
from alcor.managers.registry import managers
from alcor.managers.security_group.template import ensure_template
from alcor.managers.vpc.ranges import prepare
from alcor.model.port import Port
from alcor.model.resource import REQUIRED, Who
from alcor.runtime.config import Data, RegionConfig
from alcor.runtime.config import Store as StoreConfig
from alcor.runtime.database import open_bulk, open_store
from alcor.runtime.network import network_settings
from alcor.store.bulk import Batch
from alcor.store.interface import Store, Transaction

# Resources of one transaction: larger ones win little.
DIRECT_BULK = 2_000
# Ports of one revision: some 10 MiB.
_PORTS_AT_ONCE = 10_000


class DirectLoader:
    """Straight into a store that no process serves yet. `fill` is the last thing it does."""

    bulk = DIRECT_BULK
    _CALLER = Caller("", is_admin=True)

    def __init__(self, store: Store, config: RegionConfig, rng: random.Random) -> None:
        self._store, self._config, self._rng = store, config, rng
        made = managers(network=network_settings(config))
        # Of several managers of one resource (paths of their own) the first is the Networking API's.
        self._managers: dict[str, Manager] = {}
        for each in made:
            if isinstance(each, Manager):
                self._managers.setdefault(each.resource.name, each)

    async def create(self, kind: str, bodies: Sequence[Row]) -> list[Row]:
        """As `Loader`."""
        return [{"id": made.row.id, **made.shown} for made in await self._make(kind, bodies)]

    async def fill(
        self, networks: Sequence[NetworkPlan], loaded: Loaded, plan: Plan, progress: Progress
    ) -> None:
        """As `Loader`. The store is closed then: the rows are written past it."""
        likenesses: dict[int, Likeness] = {}
        saves: dict[tuple[str, str], bytes] = {}
        for start in range(0, len(networks), self.bulk):
            part = networks[start : start + self.bulk]
            made = await self._make("port", [port_body(network, loaded, plan, 0) for network in part])
            for network, one in zip(part, made, strict=True):
                loaded.ports[network.number] = [one.row.id]
            saves |= await self._liken(
                part, [one.row for one in made if isinstance(one.row, Port)], likenesses
            )
        count = len(networks)
        progress(count, plan.ports)
        await self._store.close()
        async with open_bulk(self._config, Port) as bulk:
            writing: asyncio.Task[None] | None = None
            for batch in self._batches(networks, loaded, plan, likenesses):
                # What comes next is made while this is written.
                if writing is not None:
                    await writing
                    progress(count, plan.ports)
                writing = asyncio.create_task(bulk.add(Batch(batch.rows, batch.claims, saves)))
                saves = {}
                count += len(batch.rows)
                await asyncio.sleep(0)
            if writing is not None:
                await writing
        progress(count, plan.ports)

    async def _make(self, kind: str, bodies: Sequence[Row]) -> list[Made]:
        manager = self._managers[kind]
        create = manager.create
        assert create is not None
        values = [_values(manager, body) for body in bodies]
        done = await self._store.write(lambda tx: create(tx, self._CALLER, values))
        return list(done.value)

    async def _liken(
        self, networks: Sequence[NetworkPlan], firsts: Sequence[Port], likenesses: dict[int, Likeness]
    ) -> dict[tuple[str, str], bytes]:
        """How the others of some networks are made; returns the values to be kept for them."""

        async def work(tx: Transaction) -> dict[tuple[str, str], bytes]:
            kept: dict[tuple[str, str], bytes] = {}
            for network, first in zip(networks, firsts, strict=True):
                if network.ports > 1:
                    likeness, saves = await liken(tx, first, network.ports - 1, RESERVED, self._rng)
                    likenesses[network.number] = likeness
                    kept |= saves
            return kept

        return (await self._store.write(work)).value

    def _batches(
        self,
        networks: Sequence[NetworkPlan],
        loaded: Loaded,
        plan: Plan,
        likenesses: dict[int, Likeness],
    ) -> Iterator[Batch]:
        """All ports but the first of each network, in turn."""
        names = [plan.host_name(index) for index in range(plan.hosts_there)]
        rest = ((network, place) for network in networks for place in range(1, network.ports))
        while part := list(islice(rest, _PORTS_AT_ONCE)):
            ids, now = iter(_new_ids(len(part), self._rng)), _now()
            rows, claims = [], []
            start = 0
            while start < len(part):
                network = part[start][0]
                end = start
                places = []
                while end < len(part) and part[end][0] is network:
                    place = part[end][1]
                    places.append(
                        Place(next(ids), f"sim-{network.number}-{place}", names[network.host_of(place)])
                    )
                    end += 1
                made, claimed = likenesses[network.number].make(places, now)
                rows += made
                claims += claimed
                loaded.ports[network.number] += [place.id for place in places]
                start = end
            yield Batch(rows, claims)


def _new_ids(count: int, rng: random.Random) -> list[str]:
    """Ids as a transaction makes them (UUID version 7), in ascending order."""
    high = (time.time_ns() // 1_000_000) << 80 | 0x7 << 76 | 0x2 << 62
    ids = []
    for bits in sorted(rng.getrandbits(74) for _ in range(count)):
        text = f"{high | bits >> 62 << 64 | bits & 0x3FFFFFFFFFFFFFFF:032x}"
        ids.append(f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}")
    return ids


def _now() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _values(manager: Manager, body: Row) -> Row:
    """What the API hands to the manager's create for a body."""
    values: Row = {}
    for attribute in manager.resource.attributes:
        if attribute.create is Who.NOBODY:
            continue
        if attribute.name in body:
            values[attribute.field] = attribute.type.parse(body[attribute.name])
        elif attribute.default is not REQUIRED:
            default = attribute.default
            values[attribute.field] = dict(default) if isinstance(default, dict) else default
    return values


@asynccontextmanager
async def direct_loader(
    folder: Path, store_url: str, *, seed: int | None = None
) -> AsyncIterator[DirectLoader]:
    """A loader on the store of a region that does not run. `store_url`: "" for SQLite in `folder`."""
    config = RegionConfig(data=Data(folder=folder), store=StoreConfig(url=store_url))
    await asyncio.to_thread(folder.mkdir, mode=0o700, parents=True, exist_ok=True)
    store = await open_store(config)
    # What is loaded lives on: looking through it again and again finds nothing to free.
    before = gc.get_threshold()
    gc.set_threshold(100_000, 20, 1_000)
    try:
        await store.write(ensure_template)
        await prepare(store, network_settings(config))
        yield DirectLoader(store, config, random.Random(seed))
    finally:
        gc.set_threshold(*before)
        await store.close()
