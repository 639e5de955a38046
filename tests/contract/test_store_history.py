"""The laws of `store.interface`, for every adapter: what changed, when and by whom, and rows as they were."""

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace as redeclared
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from alcor.model.change import SYSTEM, Origin, Recorded
from alcor.store.interface import Done, History, Store, TooOld, Transaction, Work
from tests.support.store import ADAPTERS, NOW_MS, Clock, OpenStore, insert
from tests.support.things import THINGS, Box, Thing, a_box, a_thing

ANNE = Origin("req-1", "anne", "p-1")
BERT = Origin("req-2", "bert", "p-2")
DAY_S = 86_400


@pytest.fixture(params=ADAPTERS)
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """How to open a store in a folder, once per adapter."""
    opener: OpenStore = request.param
    return opener


@pytest.fixture
def clock() -> Clock:
    """The store's time."""
    return Clock()


@pytest.fixture
async def store(open_store: OpenStore, tmp_path: Path, clock: Clock) -> AsyncIterator[Store]:
    """An empty store of boxes and things."""
    async with open_store(tmp_path, resources=THINGS, clock=clock) as opened:
        yield opened


async def put(tx: Transaction, *rows: Box | Thing) -> None:
    """Insert or update rows."""
    for row in rows:
        if await tx.find(type(row), row.id) is None:
            tx.insert(row)
        else:
            tx.update(row)


async def remove(tx: Transaction, row: Box | Thing) -> None:
    """Delete a row."""
    tx.delete(await tx.get(type(row), row.id))


def putting(*rows: Box | Thing) -> Work[None]:
    """The work of inserting or updating rows."""
    return lambda tx: put(tx, *rows)


async def whole_history(store: Store, limit: int = 3, **where: Any) -> list[Recorded]:
    """Every recorded change that matches, read page by page."""
    found: list[Recorded] = []
    while page := await store.reader.history(
        History(**where, after=found[-1].place if found else None, limit=limit)
    ):
        assert len(page) <= limit
        found += page
    return found


def ids(changes: Sequence[Recorded]) -> list[str]:
    return [change.id for change in changes]


class TestHistory:
    """What the store tells of its changes."""

    async def test_a_change_tells_what_when_and_by_whom(self, store: Store, clock: Clock) -> None:
        """Every change is there with the row before and after, the commit's time and revision, and its origin."""
        await store.write(putting(a_box(), a_thing("thing-1", "red")), ANNE)
        box, thing = await store.reader.find(Box, "box-1"), await store.reader.find(Thing, "thing-1")
        clock.advance(5)
        await store.write(putting(a_box(size=2)), BERT)
        bigger = await store.reader.find(Box, "box-1")
        clock.advance(5)
        done = await store.write(lambda tx: remove(tx, a_thing("thing-1")))

        history = await store.reader.history(History())

        assert [(c.kind, c.id, c.before, c.after, c.origin, c.at_ms) for c in history] == [
            ("box", "box-1", None, box, ANNE, NOW_MS),
            ("thing", "thing-1", None, thing, ANNE, NOW_MS),
            ("box", "box-1", box, bigger, BERT, NOW_MS + 5_000),
            ("thing", "thing-1", thing, None, SYSTEM, NOW_MS + 10_000),
        ]
        assert [change.place[0] for change in history] == [1, 1, 2, 3]
        assert done.revision == 3
        assert sorted({change.place for change in history}) == [change.place for change in history]

    async def test_every_condition_must_hold(self, store: Store, clock: Clock) -> None:
        """By kind, id, request, project and user of who asked, and time, both ends included; one or all of them."""
        for number in range(12):
            origin = (ANNE, BERT, SYSTEM)[number % 3]
            await store.write(
                putting(
                    a_box(f"box-{number}", f"p-{number % 2}"), a_thing(f"thing-{number % 4}", str(number))
                ),
                redeclared(origin, request_id=f"{origin.request_id}-{number % 2}"),
            )
            clock.advance(1)
        everything = await store.reader.history(History())
        assert len(everything) == 24
        some: list[dict[str, Any]] = [
            {"kind": "thing"},
            {"id": "thing-2"},
            {"id": "box-5"},
            {"kind": "box", "id": "thing-2"},
            {"kind": "no-such-kind"},
            {"id": "no-such-id"},
            {"request_id": "req-2-1"},
            {"request_id": "no-such-request"},
            {"project_id": "p-2"},
            {"user_id": "anne"},
            {"project_id": "p-2", "user_id": "anne"},
            {"since_ms": NOW_MS + 4_000},
            {"since_ms": NOW_MS + 4_001},
            {"until_ms": NOW_MS + 4_000},
            {"until_ms": NOW_MS + 3_999},
            {"since_ms": NOW_MS + 3_000, "until_ms": NOW_MS + 3_000},
            {"since_ms": NOW_MS + 60_000},
            {"until_ms": NOW_MS - 1},
            {"user_id": "bert", "kind": "thing", "since_ms": NOW_MS + 2_000, "until_ms": NOW_MS + 9_000},
            {"request_id": "req-1-0", "id": "thing-2"},
            {"id": "thing-1", "since_ms": NOW_MS + 2_000, "until_ms": NOW_MS + 6_000},
        ]

        for where in some:
            expected = [change for change in everything if _matches(change, **where)]
            assert await store.reader.history(History(**where)) == expected, where
            assert await whole_history(store, 1, **where) == expected, where
            assert await whole_history(store, 5, **where) == expected, where

    async def test_pages_give_every_change_once(self, store: Store) -> None:
        """Behind the last place of a page comes the next one, also in the middle of a revision; a limit of 0 is
        nothing."""
        await insert(store, *(a_box(f"box-{number}") for number in range(10)))
        await insert(store, *(a_box(f"more-{number}") for number in range(10)))
        expected = [*(f"box-{n}" for n in range(10)), *(f"more-{n}" for n in range(10))]

        for limit in (1, 3, 7, 10, 20, 100):
            assert ids(await whole_history(store, limit)) == expected
        assert await store.reader.history(History(limit=0)) == []

    async def test_what_failed_has_no_history(self, store: Store) -> None:
        """Nothing is told of a request that was not kept, and nothing of one that changed nothing."""

        async def fail(tx: Transaction) -> None:
            tx.insert(a_box("box-2"))
            await tx.list(Box)
            raise KeyError

        await store.write(putting(a_box()), ANNE)
        with pytest.raises(KeyError):
            await store.write(fail, BERT)
        await store.write(putting(a_box()), BERT)

        assert [(change.id, change.origin) for change in await store.reader.history(History())] == [
            ("box-1", ANNE)
        ]
        assert await store.reader.history(History(user_id="bert")) == []

    async def test_steps_of_one_request_are_all_told(self, store: Store) -> None:
        """A row changed twice in one request has two changes, each beginning where the one before ended."""

        async def work(tx: Transaction) -> None:
            tx.insert(a_box())
            tx.update(a_box(size=1))
            await tx.list(Box)
            tx.update(a_box(size=2))

        await store.write(work, ANNE)

        steps = await store.reader.history(History(id="box-1"))
        assert [getattr(step.after, "size", None) for step in steps] == [0, 1, 2]
        assert [step.before for step in steps] == [None, *(step.after for step in steps[:-1])]
        assert {step.origin for step in steps} == {ANNE}

    async def test_requests_at_once_keep_their_own_origins(self, store: Store) -> None:
        """However many requests commit together, each one's changes name who asked for them."""

        async def write(number: int) -> Done[None]:
            rows = [a_box(f"box-{number}-{part}") for part in range(number % 3 + 1)]
            user = f"user-{number % 5}"
            work = putting(*rows) if number % 7 else partial(_put_and_fail, rows=rows)
            return await store.write(work, Origin(f"req-{number}", user, "p-1"))

        answers = await asyncio.gather(*map(write, range(60)), return_exceptions=True)

        for number, answer in enumerate(answers):
            found = await store.reader.history(History(request_id=f"req-{number}"))
            parts = range(number % 3 + 1) if number % 7 else range(0)
            assert ids(found) == [f"box-{number}-{part}" for part in parts]
            assert {change.origin.user_id for change in found} <= {f"user-{number % 5}"}
            assert isinstance(answer, KeyError if number % 7 == 0 else Done)
        everything = await whole_history(store, 7)
        assert ids(await whole_history(store, 7, user_id="user-3")) == [
            change.id for change in everything if change.origin.user_id == "user-3"
        ]

    async def test_history_survives_a_restart_and_an_epoch(
        self, open_store: OpenStore, tmp_path: Path, clock: Clock
    ) -> None:
        """It is stored like the rows; a new epoch is another history for hosts, and not for people."""
        async with open_store(tmp_path, resources=THINGS, clock=clock) as store:
            await store.write(putting(a_box()), ANNE)
            before = await store.reader.history(History())
        clock.advance(10)
        async with open_store(tmp_path, resources=THINGS, clock=clock) as store:
            await store.new_epoch()
            clock.advance(10)
            await store.write(putting(a_box(size=1)), BERT)

            after = await store.reader.history(History())
            assert after[0] == before[0]
            assert [(change.origin, change.at_ms) for change in after] == [
                (ANNE, NOW_MS),
                (BERT, NOW_MS + 20_000),
            ]
            was = await store.reader.as_of(Box, "box-1", NOW_MS + 5_000)
            assert was == before[0].after


class TestAsOf:
    """Rows as they were."""

    async def test_a_row_as_it_was(self, store: Store, clock: Clock) -> None:
        """Nothing before it was made, each state from its commit on, nothing after it was deleted."""
        await insert(store, a_box("neighbour"))
        clock.advance(10)
        await store.write(putting(a_box()))
        clock.advance(10)
        await store.write(putting(a_box(size=1)))
        clock.advance(10)
        await store.write(lambda tx: remove(tx, a_box()))
        moments = [0, 9_999, 10_000, 15_000, 19_999, 20_000, 29_999, 30_000, 99_000]

        found = [await store.reader.as_of(Box, "box-1", NOW_MS + moment) for moment in moments]

        assert [None if row is None else row.size for row in found] == [None, None, 0, 0, 0, 1, 1, None, None]
        assert await store.reader.as_of(Box, "no-such-box", NOW_MS) is None
        assert await store.reader.as_of(Thing, "box-1", NOW_MS + 15_000) is None

    async def test_of_one_moment_the_last_state_counts(self, store: Store) -> None:
        """When a row changed more than once in a millisecond, it was what it was at its end."""
        await store.write(putting(a_box()))
        await store.write(putting(a_box(size=1)))
        await store.write(putting(a_box(size=2)))

        was = await store.reader.as_of(Box, "box-1", NOW_MS)

        assert was is not None
        assert was.size == 2
        assert await store.reader.as_of(Box, "box-1", NOW_MS - 1) is None

    @pytest.mark.parametrize("seed", range(3))
    async def test_every_moment_is_known(self, store: Store, clock: Clock, seed: int) -> None:
        """Whatever was written, every row can be read as it was at every moment since."""
        rng = random.Random(seed)
        states: list[tuple[int, dict[str, Box]]] = []

        async def work(tx: Transaction) -> None:
            for _ in range(rng.randrange(1, 4)):
                id = f"box-{rng.randrange(6)}"
                row = await tx.find(Box, id)
                if row is None:
                    tx.insert(a_box(id))
                elif rng.random() < 0.3:
                    tx.delete(row)
                else:
                    tx.update(replace(row, size=row.size + 1))

        for _ in range(40):
            await store.write(work)
            states.append((clock.now_ms, {row.id: row for row in await store.reader.list(Box)}))
            clock.advance(rng.choice((0, 0.001, 1.5)))

        known = dict(states)
        for moment, state in known.items():
            for id in (f"box-{number}" for number in range(6)):
                assert await store.reader.as_of(Box, id, moment) == state.get(id)


class TestCutting:
    """History is kept for some days."""

    async def test_what_is_too_old_is_forgotten(
        self, open_store: OpenStore, tmp_path: Path, clock: Clock
    ) -> None:
        """What is older than `history_days` is cut, in the order of revisions; what is younger stays whole, and the
        error says from which moment on rows are known."""
        async with open_store(tmp_path, resources=THINGS, clock=clock, history_days=2.0) as store:
            await store.write(putting(a_box("old", size=1)), ANNE)
            await store.write(putting(a_box("old", size=2)), ANNE)
            clock.advance(1.5 * DAY_S)
            await store.write(putting(a_box("young")), BERT)
            clock.advance(1.0 * DAY_S)
            error = await cut(store, 0)

            assert next(change.place[0] for change in await store.reader.history(History())) == 3
            assert error.oldest_ms == NOW_MS
            with pytest.raises(TooOld) as caught:
                await store.reader.as_of(Box, "old", NOW_MS - 1)
            assert caught.value.oldest_ms == NOW_MS
            was = await store.reader.as_of(Box, "old", caught.value.oldest_ms)
            assert was is not None
            assert was.size == 2
            assert await store.reader.as_of(Box, "young", NOW_MS) is None
            assert await store.reader.as_of(Box, "young", NOW_MS + 2 * DAY_S * 1000) is not None
            assert ids(await store.reader.history(History(user_id="anne"))) == []
            assert (await store.follow(2))[0].revision == 3

    async def test_a_restart_goes_on_cutting(
        self, open_store: OpenStore, tmp_path: Path, clock: Clock
    ) -> None:
        """What has grown too old while the store was closed is forgotten when it is open again, and what a shorter
        time no longer covers."""
        async with open_store(tmp_path, resources=THINGS, clock=clock, history_days=5.0) as store:
            await insert(store, a_box("box-1"))
            clock.advance(2 * DAY_S)
            await insert(store, a_box("box-2"))
        clock.advance(1 * DAY_S)
        async with open_store(tmp_path, resources=THINGS, clock=clock, history_days=2.0) as store:
            assert (await cut(store, 0)).oldest_ms == NOW_MS
            assert (await store.follow(1))[0].revision == 2
        clock.advance(1.5 * DAY_S)
        async with open_store(tmp_path, resources=THINGS, clock=clock, history_days=2.0) as store:
            assert (await cut(store, 1)).oldest_ms == NOW_MS + 2 * DAY_S * 1000
            with pytest.raises(TooOld) as caught:
                await store.reader.as_of(Box, "box-1", NOW_MS)
            assert caught.value.oldest_ms == NOW_MS + 2 * DAY_S * 1000

    async def test_a_cut_never_reaches_back_before_the_epoch(
        self, open_store: OpenStore, tmp_path: Path, clock: Clock
    ) -> None:
        """However short history is, the beginning of the log never moves backwards."""
        async with open_store(tmp_path, resources=THINGS, clock=clock, history_days=1.0) as store:
            for number in range(4):
                await insert(store, a_box(f"box-{number}"))
            began = (await store.new_epoch()).revision
            for number in range(6):
                clock.advance(DAY_S / 10)
                await insert(store, a_box(f"more-{number}"))

                with pytest.raises(TooOld):
                    await store.follow(began - 1)
                assert [cut.revision for cut in await store.follow(began)] == [
                    *range(began + 1, began + number + 2)
                ]


def _matches(change: Recorded, **where: Any) -> bool:
    """The same question by another way."""
    since, until = where.pop("since_ms", 0), where.pop("until_ms", 2**62)
    facts = {
        "kind": change.kind,
        "id": change.id,
        "request_id": change.origin.request_id,
        "project_id": change.origin.project_id,
        "user_id": change.origin.user_id,
    }
    return since <= change.at_ms <= until and all(facts[name] == value for name, value in where.items())


async def _put_and_fail(tx: Transaction, rows: list[Box]) -> None:
    """Insert rows, have them written, and fail."""
    await put(tx, *rows)
    await tx.list(Box)
    raise KeyError


async def cut(store: Store, after: int) -> TooOld:
    """Write until the store has forgotten revision `after + 1`; the error that says so."""
    for number in range(300):
        try:
            await store.follow(after)
        except TooOld as error:
            return error
        await store.write(putting(a_box("ticking", size=number % 100, description=str(number))))
    raise AssertionError(f"revision {after + 1} was never forgotten")
