"""When a new epoch is calm: from what hosts say to a row in the change log."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from alcor.dataplane.calm import NEW_S, Calm
from alcor.model.epoch_release import CALM_ID, HELD, RELEASE_ID, EpochRelease
from alcor.store.interface import Store
from tests.support.goalstate import a_graph, a_host
from tests.support.store import sqlite_store

HOSTS = (a_host("a", "192.0.2.1"), a_host("b", "192.0.2.2"), a_host("c", "192.0.2.3"))
EPOCH, WAIT_S = 1_790_000_000_000, 600.0
HOLDS = f"{HELD}: because"


@dataclass
class Known:
    """What is known of a host; settled and still holding, unless said otherwise."""

    alive: bool = True
    was_heard: bool = True
    settled: int = EPOCH
    detail: str = HOLDS


class Region:
    """Hosts, what is heard of them, and how old the epoch is."""

    def __init__(self, store: Store) -> None:
        self.store, self.now_ms = store, EPOCH + 1_000
        self.heard = {host.id: Known() for host in HOSTS}
        self.calm = Calm(store, wait_s=WAIT_S, now_ms=lambda: self.now_ms)

    async def look(self, epoch: int = EPOCH) -> int:
        """Look once; returns the epoch that is calm by the log, 0 if none is."""
        rows = await self.store.reader.list(EpochRelease)
        await self.calm.look(a_graph(*HOSTS, *rows), epoch, self.heard)
        row = await self.store.reader.find(EpochRelease, CALM_ID)
        return row.epoch if row is not None else 0


@pytest.fixture
async def region(tmp_path: Path) -> AsyncIterator[Region]:
    async with sqlite_store(tmp_path) as store:
        yield Region(store)


async def test_all_hosts_are_settled(region: Region) -> None:
    """Then nobody is to hold any more; it is written once an epoch, also if another begins meanwhile."""
    assert await region.look() == EPOCH
    revision = (await region.store.head()).revision
    assert await region.look() == EPOCH
    assert (await region.store.head()).revision == revision

    assert await region.look(EPOCH + 1) == EPOCH
    region.heard = {id: Known(settled=EPOCH + 1) for id in region.heard}
    assert await region.look(EPOCH + 1) == EPOCH + 1


@pytest.mark.parametrize(
    ("known", "for_ever"),
    [
        pytest.param(Known(settled=EPOCH - 1), True, id="has a port that is not known"),
        pytest.param(Known(settled=0, detail=""), False, id="says nothing of the epoch"),
        pytest.param(Known(settled=0, detail="the switch is gone"), False, id="has no switch"),
        pytest.param(Known(settled=0, alive=False), False, id="is away"),
    ],
)
async def test_one_host_is_waited_for(region: Region, known: Known, for_ever: bool) -> None:
    """As long as it may have a port that is not known; if it says nothing of it, not longer than is set."""
    region.heard["b"] = known
    region.now_ms = EPOCH + int(WAIT_S * 1000) - 1
    assert await region.look() == 0

    region.now_ms += 1
    assert await region.look() == (0 if for_ever else EPOCH)
    region.heard["b"] = Known(detail="")
    assert await region.look() == EPOCH


async def test_who_settled_and_went_is_not_waited_for(region: Region) -> None:
    """Its ports are all known, whatever became of its agent."""
    region.heard["b"] = Known(alive=False)

    assert await region.look() == EPOCH


async def test_who_never_was_here_is_waited_for_a_moment(region: Region) -> None:
    """A host that is only planned has no ports; one whose past was lost with the observations attaches soon."""
    region.heard["b"] = Known(alive=False, was_heard=False, settled=0)
    del region.heard["c"]
    assert await region.look() == 0

    region.now_ms = EPOCH + int(NEW_S * 1000)
    assert await region.look() == EPOCH


async def test_where_nobody_holds_nothing_is_written(region: Region) -> None:
    """The first epoch of a region, and one that an operator released."""
    region.heard = {id: Known(detail="") for id in region.heard}
    assert await region.look() == 0

    region.heard = {id: Known() for id in region.heard}
    release = EpochRelease(id=RELEASE_ID, epoch=EPOCH, number=1)
    await region.calm.look(a_graph(*HOSTS, release), EPOCH, region.heard)
    assert await region.store.reader.find(EpochRelease, CALM_ID) is None
