"""The laws of `store.interface`, for every adapter: rows of counted kinds are counted per project, and limited."""

import asyncio
import random
from collections import Counter
from collections.abc import AsyncIterator
from dataclasses import replace as redeclared
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from alcor.model.errors import NotFound, QuotaExceeded
from alcor.store.interface import Query, Store, Transaction
from tests.support.store import ADAPTERS, OpenStore, insert
from tests.support.things import BOX, THING, THINGS, Box, Thing, a_box, a_thing


@pytest.fixture(params=ADAPTERS)
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """How to open a store in a folder, once per adapter."""
    opener: OpenStore = request.param
    return opener


@pytest.fixture
async def store(open_store: OpenStore, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store of boxes, which are counted, and things, which are not."""
    async with open_store(tmp_path, resources=THINGS) as opened:
        yield opened


async def tallies(store: Store, *projects: str) -> list[int]:
    """The number of boxes of each project, which must be the number of its rows."""
    counted = await store.reader.tally(Box, projects)
    rows = Counter(row.project_id for row in await store.reader.list(Box))
    assert counted == {project: rows[project] if project else 0 for project in projects}
    return [counted[project] for project in projects]


async def add(tx: Transaction, *ids: str, limit: int, project_id: str = "p-1") -> None:
    """Insert boxes of a project, as long as there are at most `limit`."""
    tx.bound(Box, project_id, limit)
    for id in ids:
        tx.insert(a_box(id, project_id))


async def remove(tx: Transaction, *ids: str) -> None:
    """Delete boxes."""
    for id in ids:
        tx.delete(await tx.get(Box, id))


class TestTally:
    """Who inserts or deletes moves the count, in the same transaction."""

    async def test_rows_are_counted_by_project(self, store: Store) -> None:
        """Every insert and delete counts for the row's project; no project is not counted."""
        await insert(store, a_box("1"), a_box("2"), a_box("3", "p-2"), a_box("4", ""))
        assert await tallies(store, "p-1", "p-2", "p-3", "") == [2, 1, 0, 0]

        await store.write(lambda tx: remove(tx, "1", "3", "4"))

        assert await tallies(store, "p-1", "p-2", "p-3", "") == [1, 0, 0, 0]
        assert await store.reader.tally(Box, []) == {}

    async def test_a_row_that_moves_is_counted_where_it_is(self, store: Store) -> None:
        """An update that changes the project counts down there and up here; any other update counts nothing."""
        await insert(store, a_box("1"), a_box("2"), a_box("3", ""))

        async def move(tx: Transaction) -> None:
            tx.update(a_box("1", "p-2"))
            tx.update(a_box("2", size=7))
            tx.update(a_box("3", "p-2"))

        await store.write(move)

        assert await tallies(store, "p-1", "p-2") == [1, 2]

    async def test_what_failed_is_not_counted(self, store: Store) -> None:
        """A request that fails moves no count, also if its rows were written before it failed."""
        await insert(store, a_box("1"))

        async def fail(tx: Transaction) -> None:
            tx.insert(a_box("2"))
            assert len(await tx.list(Box)) == 2
            tx.insert(a_box("3"))
            raise KeyError

        async def orphan(tx: Transaction) -> None:
            tx.insert(a_box("4"))
            tx.insert(a_thing(box_id="no-such-box"))

        with pytest.raises(KeyError):
            await store.write(fail)
        with pytest.raises(NotFound):
            await store.write(orphan)
        assert await tallies(store, "p-1") == [1]

        await insert(store, a_box("2"))
        assert await tallies(store, "p-1") == [2]

    async def test_a_request_sees_its_own_rows_counted(self, store: Store) -> None:
        """`tx.tally` counts what the request has buffered, and what others have committed."""
        await insert(store, a_box("1"), a_box("2", "p-2"))

        async def work(tx: Transaction) -> list[int]:
            seen = [await tx.tally(Box, "p-1")]
            tx.insert(a_box("3"))
            tx.insert(a_box("4"))
            tx.insert(a_box("5", ""))
            seen.append(await tx.tally(Box, "p-1"))
            await tx.list(Box)
            await remove(tx, "1", "3", "4")
            seen.append(await tx.tally(Box, "p-1"))
            tx.update(a_box("2", "p-1"))
            return [*seen, await tx.tally(Box, "p-1"), await tx.tally(Box, "p-2"), await tx.tally(Box, "")]

        assert (await store.write(work)).value == [1, 3, 0, 1, 0, 0]
        assert await tallies(store, "p-1", "p-2") == [1, 0]

    async def test_a_kind_that_is_not_counted_has_no_tally(self, store: Store) -> None:
        """Asking for the count of a kind without a quota is a mistake of the program, and told."""
        with pytest.raises(ValueError, match="thing"):
            await store.reader.tally(Thing, ["p-1"])
        with pytest.raises(ValueError, match="thing"):
            await store.write(lambda tx: tx.tally(Thing, "p-1"))

        async def bound(tx: Transaction) -> None:
            tx.bound(Thing, "p-1", 5)

        with pytest.raises(ValueError, match="thing"):
            await store.write(bound)

    @pytest.mark.parametrize("seed", range(3))
    async def test_the_count_is_right_whatever_happened(self, store: Store, seed: int) -> None:
        """After many requests at once, some of which fail, every project's tally is the number of its rows."""
        rng = random.Random(seed)

        async def work(tx: Transaction, number: int, steps: list[float]) -> None:
            rows = {row.id: row for row in await tx.list(Box)}
            for place, step in enumerate(steps):
                project = f"p-{int(step * 1000) % 3}"
                if step < 0.5 or not rows:
                    row = rows[f"{number}-{place}"] = a_box(f"{number}-{place}", project)
                    tx.insert(row)
                elif step < 0.7:
                    tx.delete(rows.pop(min(rows)))
                elif step < 0.9:
                    id = max(rows)
                    rows[id] = replace(rows[id], project_id=project)
                    tx.update(rows[id])
                else:
                    raise KeyError
            assert await tx.tally(Box, "p-1") == sum(row.project_id == "p-1" for row in rows.values())

        for number in range(0, 120, 12):
            await asyncio.gather(
                *(
                    store.write(partial(work, number=n, steps=[rng.random() for _ in range(4)]))
                    for n in range(number, number + 12)
                ),
                return_exceptions=True,
            )

        assert sum(await tallies(store, "p-0", "p-1", "p-2")) > 20

    async def test_counts_survive_a_restart(self, open_store: OpenStore, tmp_path: Path) -> None:
        """They are stored, and go on from there."""
        async with open_store(tmp_path, resources=THINGS) as store:
            await insert(store, a_box("1"), a_box("2"))
        async with open_store(tmp_path, resources=THINGS) as store:
            assert await tallies(store, "p-1") == [2]
            await store.write(lambda tx: remove(tx, "1"))
            assert await tallies(store, "p-1") == [1]

    async def test_a_kind_that_becomes_counted_is_counted(
        self, open_store: OpenStore, tmp_path: Path
    ) -> None:
        """A database from before a kind had a quota has the right tallies once it is opened."""
        before = redeclared(BOX, quota=""), THING
        async with open_store(tmp_path, resources=before) as store:
            await insert(store, a_box("1"), a_box("2"), a_box("3", "p-2"), a_box("4", ""))
        async with open_store(tmp_path, resources=THINGS) as store:
            assert await tallies(store, "p-1", "p-2", "") == [2, 1, 0]
            await insert(store, a_box("5"))
            assert await tallies(store, "p-1", "p-2") == [3, 1]
        async with open_store(tmp_path, resources=before) as store:
            await insert(store, a_box("6"))
        async with open_store(tmp_path, resources=THINGS) as store:
            assert await tallies(store, "p-1", "p-2") == [4, 1]


class TestBound:
    """A request may add rows only as long as at most so many are there at its end."""

    async def test_the_limit_is_the_last_row_that_fits(self, store: Store) -> None:
        """Up to the limit all is well; the one beyond it gets QuotaExceeded, and nothing of it is kept."""
        await store.write(lambda tx: add(tx, "1", limit=2))
        await store.write(lambda tx: add(tx, "2", limit=2))
        head = await store.head()

        async def beyond(tx: Transaction) -> None:
            tx.insert(a_thing("thing-1"))
            await tx.claim("name", "3", "3")
            await add(tx, "3", limit=2)

        with pytest.raises(QuotaExceeded) as caught:
            await store.write(beyond)

        assert (caught.value.resource, caught.value.limit) == ("boxes_allowed", 2)
        assert await tallies(store, "p-1") == [2]
        assert await store.reader.find(Thing, "thing-1") is None
        assert await store.head() == head

        async def look(tx: Transaction) -> dict[str, str]:
            return await tx.claimed("name", ["3"])

        assert (await store.write(look)).value == {}

    async def test_many_rows_at_once_fit_whole_or_not_at_all(self, store: Store) -> None:
        """A request of five rows with room for four adds none."""
        with pytest.raises(QuotaExceeded):
            await store.write(lambda tx: add(tx, *"12345", limit=4))
        assert await tallies(store, "p-1") == [0]

        await store.write(lambda tx: add(tx, *"12345", limit=5))
        assert await tallies(store, "p-1") == [5]

    @pytest.mark.parametrize("limit", [0, 1, 7])
    async def test_the_limit_is_exact_among_many_writers(self, store: Store, limit: int) -> None:
        """Of forty writers at once exactly as many succeed as there is room; another project's are not touched."""
        answers = await asyncio.gather(
            *(store.write(partial(_add_one, id=f"box-{n}", limit=limit)) for n in range(40)),
            *(store.write(partial(_add_one, id=f"other-{n}", limit=50, project="p-2")) for n in range(20)),
            return_exceptions=True,
        )

        refused = [answer for answer in answers if isinstance(answer, BaseException)]
        assert len(refused) == 40 - limit
        assert {type(answer) for answer in refused} == {QuotaExceeded}
        assert await tallies(store, "p-1", "p-2") == [limit, 20]

    async def test_room_that_is_made_can_be_taken(self, store: Store) -> None:
        """After a delete there is room again, for exactly one."""
        await store.write(lambda tx: add(tx, "1", "2", limit=2))
        await store.write(lambda tx: remove(tx, "1"))

        await store.write(lambda tx: add(tx, "3", limit=2))
        with pytest.raises(QuotaExceeded):
            await store.write(lambda tx: add(tx, "4", limit=2))

    async def test_only_the_end_of_the_request_counts(self, store: Store) -> None:
        """Rows that come and go within a request need no room, whenever the limit was named."""
        await insert(store, a_box("1"))

        async def come_and_go(tx: Transaction) -> None:
            for id in "234":
                tx.insert(a_box(id))
            await tx.list(Box, Query())
            await remove(tx, "2", "3")
            tx.bound(Box, "p-1", 2)

        await store.write(come_and_go)
        assert await tallies(store, "p-1") == [2]

    async def test_no_limit_is_no_limit(self, store: Store) -> None:
        """-1 lets everything through; rows of no project have no limit."""
        await store.write(lambda tx: add(tx, *"123", limit=-1))
        await store.write(lambda tx: add(tx, *"456", limit=1, project_id=""))

        assert await tallies(store, "p-1", "") == [3, 0]

    async def test_who_is_above_the_limit_may_still_go_down(self, store: Store) -> None:
        """With more rows than a lowered limit, edits and deletes succeed and adding fails."""
        await insert(store, *(a_box(id) for id in "12345"))

        async def edit(tx: Transaction) -> None:
            tx.bound(Box, "p-1", 2)
            tx.update(a_box("1", size=3))

        async def lower(tx: Transaction) -> None:
            tx.bound(Box, "p-1", 2)
            await remove(tx, "1", "2")

        await store.write(edit)
        await store.write(lower)
        assert await tallies(store, "p-1") == [3]
        with pytest.raises(QuotaExceeded):
            await store.write(lambda tx: add(tx, "6", limit=2))

    async def test_a_row_may_not_move_into_a_full_project(self, store: Store) -> None:
        """An update that brings a row to a project adds one there."""
        await insert(store, a_box("1", "p-1"), a_box("2", "p-2"))

        async def move(tx: Transaction) -> None:
            tx.bound(Box, "p-2", 1)
            tx.update(a_box("1", "p-2"))

        with pytest.raises(QuotaExceeded):
            await store.write(move)
        assert await tallies(store, "p-1", "p-2") == [1, 1]


async def _add_one(tx: Transaction, id: str, limit: int, project: str = "p-1") -> None:
    """Add a box, in a limit."""
    await add(tx, id, limit=limit, project_id=project)
