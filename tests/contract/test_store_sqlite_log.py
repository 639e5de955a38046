"""What the embedded store does with its log and its counts: groups, failed commits, forgetting, older files."""

import dataclasses
import sqlite3
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from alcor.model.catalogue import RESOURCES
from alcor.model.change import Origin
from alcor.model.errors import QuotaExceeded, Unavailable
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, History, Op, Query, Store, TooOld, Transaction
from alcor.store.schema import render_schema
from alcor.store.sqlite.connection import connect
from alcor.store.sqlite.history import read_history
from alcor.store.sqlite.rows import list_documents
from tests.support.store import NOW_MS, Clock, Faults, a_network, as_one_group, insert, sqlite_store
from tests.support.things import THINGS, Box, Thing, a_box, a_thing

DAY_S = 86_400


async def add(tx: Transaction, id: str, limit: int, fails: bool = False) -> None:
    """Insert a box in a limit; have it written, and perhaps fail."""
    tx.bound(Box, "p-1", limit)
    tx.insert(a_box(id))
    await tx.list(Box)
    if fails:
        raise KeyError(id)


class TestGroups:
    """Counts and origins of requests that commit together."""

    async def test_a_rolled_back_neighbour_leaves_its_room(self, tmp_path: Path) -> None:
        """In one group, what a failed request had written before it failed takes no room from those after it, and
        what a successful one wrote does; the count of all is written once."""
        async with sqlite_store(tmp_path, resources=THINGS) as store:
            fails = (False, True, True, False, False, False)
            answers = await as_one_group(
                store,
                *(store.write(partial(add, id=f"{n}", limit=3, fails=f)) for n, f in enumerate(fails)),
            )

            assert [type(answer).__name__ for answer in answers] == [
                *("Done", "KeyError", "KeyError", "Done", "Done", "QuotaExceeded")
            ]
            assert (await store.head()).revision == 1
            assert await store.reader.tally(Box, ["p-1"]) == {"p-1": 3}
            assert [change.place for change in await store.reader.history(History())] == [
                (1, number) for number in range(3)
            ]

    async def test_a_failed_commit_moves_no_count(self, tmp_path: Path) -> None:
        """What the writer remembers of counts, times and places is forgotten with the group."""
        faults, clock = Faults(), Clock()
        async with sqlite_store(tmp_path, resources=THINGS, faults=faults, clock=clock) as store:
            await store.write(partial(add, id="1", limit=2))
            clock.advance(3_600)
            for words in ("COMMIT", "INSERT INTO request", "INSERT INTO tally"):
                faults.refuse[words] = 1
                with pytest.raises(Unavailable):
                    await store.write(partial(add, id="2", limit=2), Origin(user_id="anne"))
            clock.advance(-1_800)
            await store.write(partial(add, id="3", limit=2), Origin(user_id="anne"))

            assert await store.reader.tally(Box, ["p-1"]) == {"p-1": 2}
            with pytest.raises(QuotaExceeded):
                await store.write(partial(add, id="4", limit=2))
            assert [(c.id, c.at_ms, c.origin.user_id) for c in await store.reader.history(History())] == [
                ("1", NOW_MS, ""),
                ("3", NOW_MS + 1_800_000, "anne"),
            ]

    async def test_history_never_goes_backwards(self, tmp_path: Path) -> None:
        """When the clock is set back, times stand still until it has caught up, also over a restart."""
        clock = Clock()
        async with sqlite_store(tmp_path, resources=THINGS, clock=clock) as store:
            await insert(store, a_box("1"))
            clock.advance(-100)
            await insert(store, a_box("2"))
        async with sqlite_store(tmp_path, resources=THINGS, clock=clock) as store:
            await insert(store, a_box("3"))
            clock.advance(101)
            await insert(store, a_box("4"))
            times = [change.at_ms for change in await store.reader.history(History())]
            assert times == [NOW_MS, NOW_MS, NOW_MS, NOW_MS + 1_000]


async def revisions_kept(store: Store) -> list[int]:
    """The revisions that history still tells of."""
    return sorted({change.place[0] for change in await store.reader.history(History(limit=10_000))})


class TestForgetting:
    """The log is bounded by time and by size, and shortened in small steps."""

    async def test_many_changes_shorten_history(self, tmp_path: Path) -> None:
        """However young they are, only about the last `log_changes_max` changes are kept; followers are told."""
        async with sqlite_store(tmp_path, resources=THINGS, log_changes_max=8) as store:
            for number in range(20):
                await insert(store, a_box(f"box-{number}"))

            assert await revisions_kept(store) == list(range(13, 21))
            with pytest.raises(TooOld, match="begins after revision 12"):
                await store.follow(11)
            assert [cut.revision for cut in await store.follow(12)] == list(range(13, 21))
        async with sqlite_store(tmp_path, resources=THINGS, log_changes_max=8) as store:
            await insert(store, a_box("box-20"), a_box("box-21"))
            assert await revisions_kept(store) == list(range(15, 22))

    async def test_a_revision_is_kept_whole(self, tmp_path: Path) -> None:
        """One revision of more changes than the bound stays until the next one, whole."""
        async with sqlite_store(tmp_path, resources=THINGS, log_changes_max=4) as store:
            users = (Origin(user_id=f"user-{number}") for number in range(6))
            await as_one_group(store, *(store.write(partial(add, id=u.user_id, limit=9), u) for u in users))
            assert len(await store.reader.history(History())) == 6

            await insert(store, a_box("box-1"))
            assert len(await store.reader.history(History())) == 7
            await insert(store, *(a_box(f"box-{number}") for number in range(2, 5)))
            assert await revisions_kept(store) == [2, 3]

    async def test_a_backlog_is_forgotten_piece_by_piece(self, tmp_path: Path) -> None:
        """After a long sleep no single commit has to remove everything."""
        clock = Clock()
        async with sqlite_store(tmp_path, resources=THINGS, clock=clock) as store:
            for number in range(10):
                await insert(store, *(a_box(f"box-{number}-{part}") for part in range(400)))
            clock.advance(8 * DAY_S)
            left = []
            for number in range(4):
                clock.advance(61)
                await insert(store, a_box(f"late-{number}"))
                left.append(len(await revisions_kept(store)))

            assert left == [8, 6, 4, 4]
            assert (await store.follow(10))[0].revision == 11

    async def test_followers_have_ten_minutes(self, tmp_path: Path) -> None:
        """Without any history the log still holds what a follower may have slept through."""
        clock = Clock()
        async with sqlite_store(tmp_path, resources=THINGS, clock=clock, history_days=0) as store:
            for number in range(10):
                await insert(store, a_box(f"box-{number}"))
                clock.advance(120)
            await insert(store, a_box("last"))
            assert await revisions_kept(store) == [6, 7, 8, 9, 10, 11]


class TestOlderFiles:
    """Files of older programs."""

    async def test_version_1_is_carried_forward(self, tmp_path: Path) -> None:
        """A file that version 1 wrote has all its rows, claims, rests and values; it is counted; its revisions go on,
        and history begins now."""
        with closing(sqlite3.connect(tmp_path / "alcor.db")) as connection:
            dump = Path(__file__).parents[1] / "support" / "store_version_1.sql"
            connection.executescript(dump.read_text())
        resources = [
            dataclasses.replace(resource, quota=resource.quota or resource.name) for resource in RESOURCES
        ]
        clock = Clock(NOW_MS + 5_000)

        async def look(tx: Transaction) -> tuple[dict[str, str], set[str], bytes | None]:
            owners = await tx.claimed("address:sub-1", ["10.0.0.1", "10.0.0.9"])
            return owners, await tx.resting("vni", ["8"]), await tx.load("cursor", "a")

        for _ in range(2):
            async with sqlite_store(tmp_path, resources=resources, clock=clock) as store:
                image = await store.image((Network, Subnet, Port))
                assert image.revisions == {
                    "net-1": 1,
                    "sub-1": 1,
                    "port-1": 2,
                    "port-2": 2,
                    "port-3": 2,
                }
                assert (image.position.epoch, image.position.revision) == (NOW_MS, 3)
                by_address = Query((Condition("fixed_ips.ip_address", ("10.0.0.2",)),))
                assert [port.id for port in await store.reader.list(Port, by_address)] == ["port-2"]
                assert (await store.write(look)).value == ({"10.0.0.1": "port-1"}, {"8"}, b"\x01")
                assert await store.reader.tally(Port, ["p-1", ""]) == {"p-1": 2, "": 0}
                with pytest.raises(TooOld) as caught:
                    await store.reader.as_of(Port, "port-1", NOW_MS)
                assert caught.value.oldest_ms == NOW_MS + 5_000
                assert await store.reader.history(History()) == []
                with pytest.raises(TooOld):
                    await store.follow(2)

        async with sqlite_store(tmp_path, resources=resources, clock=clock) as store:
            assert (await insert(store, a_network("net-3"))).revision == 4
            assert [change.id for change in await store.reader.history(History())] == ["net-3"]

    async def test_what_is_declared_as_before_is_left_alone(self, tmp_path: Path) -> None:
        """Only kinds that are declared otherwise are made again: their rows are numbered anew, the others' are not."""

        def numbers(kind: str) -> list[int]:
            with closing(connect(tmp_path / "alcor.db")) as connection:
                return [number for (number,) in connection.execute(f"SELECT rowid FROM {kind} ORDER BY 1")]

        async def clear(tx: Transaction) -> None:
            tx.delete(await tx.get(Thing, "thing-1"))
            tx.delete(await tx.get(Box, "box-1"))

        async with sqlite_store(tmp_path, resources=THINGS) as store:
            await insert(
                store, *(a_box(f"box-{n}") for n in (1, 2)), *(a_thing(f"thing-{n}") for n in (1, 2))
            )
            await store.write(clear)
        without_look_ups = THINGS[0], dataclasses.replace(THINGS[1], lookups=())
        async with sqlite_store(tmp_path, resources=without_look_ups) as store:
            assert (numbers("box"), numbers("thing")) == ([2], [1])
            assert len(await store.reader.list(Thing)) == 1


@pytest.fixture
def plans(tmp_path: Path) -> Any:
    """What SQLite does for the queries of a function: one line per step, of all of them."""
    path = tmp_path / "plans.db"

    def explain(read: Any) -> str:
        said: list[str] = []
        with closing(connect(path)) as connection:
            connection.set_trace_callback(said.append)
            read(connection)
            connection.set_trace_callback(None)
            lines = [
                line
                for sql in said
                for *_, line in connection.execute(f"EXPLAIN QUERY PLAN {sql}").fetchall()
            ]
        return "\n".join(lines)

    return explain


class TestPlans:
    """Nothing that is asked often walks over everything or sorts."""

    @pytest.mark.parametrize(
        ("query", "index"),
        [
            (History(id="box-1", kind="box"), "change_log_id"),
            (History(id="box-1", user_id="anne"), "change_log_id"),
            (History(request_id="req-1", kind="box"), "request_id"),
            (History(user_id="anne", since_ms=NOW_MS), "request_who"),
            (History(project_id="p-1", after=(1, 0)), "request_who"),
            (History(kind="box", until_ms=NOW_MS), "change_log_kind"),
            (History(kind="port", until_ms=NOW_MS), "c USING INTEGER PRIMARY KEY"),
        ],
        ids=["row", "row by user", "request", "user", "project", "kind", "ports"],
    )
    async def test_history_is_found_by_an_index(
        self, tmp_path: Path, plans: Any, query: History, index: str
    ) -> None:
        """A row's, a request's, a user's and a project's changes are found by an index, in their order."""
        async with sqlite_store(tmp_path, resources=THINGS) as store:
            await store.write(partial(add, id="box-1", limit=9), Origin("req-1", "anne", "p-1"))
        (tmp_path / "alcor.db").rename(tmp_path / "plans.db")

        plan = plans(lambda connection: read_history(connection, render_schema(THINGS), query))

        assert index in plan
        assert "SCAN c" not in plan
        assert "SCAN r" not in plan
        assert "TEMP B-TREE" not in plan

    async def test_sets_are_found_by_an_index(self, tmp_path: Path, plans: Any) -> None:
        """Rows with all of some labels, or with none of them, are found without walking over the look-up."""
        async with sqlite_store(tmp_path, resources=THINGS):
            pass
        (tmp_path / "alcor.db").rename(tmp_path / "plans.db")
        table = render_schema(THINGS).by_entity[Thing]
        for op in (Op.ALL, Op.NOT_ALL, Op.NONE):
            query = Query((Condition("labels.label", ("a", "b"), op),), limit=10)
            plan = plans(lambda connection, query=query: list_documents(connection, table, query))
            assert "SEARCH thing_labels USING" in plan
            assert "SCAN thing_labels" not in plan
