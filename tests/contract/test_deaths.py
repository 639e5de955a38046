"""Any part of a region may die: a region of real parts, each killed alone and in pairs under a stream of changes."""

import asyncio
import itertools
import random
from pathlib import Path

import pytest

from tests.support.deaths import HOSTS, Stage, a_stage

PARTS = ("dataplane-1", "ncm-1", "api-1", "broker", "database")
PAIRS = list(itertools.combinations(PARTS, 2))
# Of both of a kind nothing is left that could take over.
TWINS = [("dataplane-1", "dataplane-2"), ("ncm-1", "ncm-2")]
SEED = 26
PAIRS_BY_DEFAULT = 3
# So many changes are made while a part is away, and as many while it comes back.
CHANGES = 4


async def died(stage: Stage, *parts: str) -> None:
    """Parts die in the middle of changes and are started again; nobody helps, and everything is right afterwards."""
    stage.resume()
    for part in parts:
        await asyncio.to_thread(stage.kill, part)
    if stage.can_change(parts):
        await stage.changed(CHANGES)
    await asyncio.gather(*(asyncio.to_thread(stage.restart, part) for part in parts))
    await stage.changed(CHANGES)
    await settled(stage, f"after the death of {' and '.join(parts)}")


async def settled(stage: Stage, when: str) -> None:
    """No more changes are made, everything becomes as it must be, and on the way nothing was as it must not be."""
    await stage.pause()
    await stage.converged()
    for machine in stage.machines.values():
        assert machine.backwards == [], when
        assert machine.switch.torn == [], when
        assert machine.switch.kept


async def emptied(stage: Stage) -> None:
    """When all that the changes made is removed, nothing of it is left over."""
    for port in stage.ports:
        await stage.remove(port)
    stage.ports.clear()
    await stage.converged()


async def test_each_part_dies_alone_and_some_in_pairs(tmp_path: Path) -> None:
    """Dataplane, ncm, api, broker and database: converged without help, nothing backwards, what works works on."""
    pairs = random.Random(SEED).sample(PAIRS + TWINS, PAIRS_BY_DEFAULT)
    async with a_stage(tmp_path) as stage:
        await stage.uses_the_broker()
        for part in PARTS:
            await died(stage, part)
        for pair in pairs:
            await died(stage, *pair)
        await emptied(stage)


async def test_who_was_away_for_long_gets_a_snapshot(tmp_path: Path) -> None:
    """An agent and an ncm return when nobody knows any more what changed since: nothing that lives goes on the way."""
    async with a_stage(tmp_path) as stage:
        returned = stage.machines["compute-1"]
        doomed = [await stage.port(host) for host in HOSTS]
        await stage.converged()
        await returned.stop()
        await asyncio.to_thread(stage.kill, "ncm-1")
        stage.resume()
        await stage.changed(2 * CHANGES)
        await stage.pause()
        for port in doomed:
            await stage.remove(port)
        # Dataplanes and ncms that begin now know only what is, and the log does not say what was.
        for part in ("dataplane-1", "dataplane-2", "ncm-2"):
            await asyncio.to_thread(stage.kill, part)
        await stage.forget_the_past()
        parts = ("dataplane-1", "dataplane-2", "ncm-1", "ncm-2")
        await asyncio.gather(*(asyncio.to_thread(stage.restart, part) for part in parts))
        assert all(returned.has_flows_of(port) for port in doomed)
        returned.start()

        await settled(stage, "after a long absence")
        assert not [port for port in doomed if returned.has_flows_of(port)]
        assert returned.switch.removed_early == []


@pytest.mark.long
@pytest.mark.parametrize("pair", PAIRS + TWINS, ids=" and ".join)
async def test_all_pairs_die(tmp_path: Path, pair: tuple[str, str]) -> None:
    """As above, any two parts at once."""
    async with a_stage(tmp_path) as stage:
        await stage.uses_the_broker()
        await died(stage, *pair)
        await emptied(stage)
