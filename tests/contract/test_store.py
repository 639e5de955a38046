"""The laws of `store.interface`, for every adapter: writing, claims, the change log."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Callable
from functools import partial
from pathlib import Path

import pytest
from msgspec.structs import replace

from alcor.model.change import Change, Position
from alcor.model.errors import Conflict, InUse, NotFound, Unavailable
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.resource import Entity
from alcor.model.subnet import Subnet
from alcor.store.interface import Condition, Image, Query, Store, TooOld, Transaction
from tests.support.store import (
    ADAPTERS,
    NOW,
    NOW_MS,
    Clock,
    Faults,
    OpenStore,
    a_network,
    a_port,
    a_subnet,
    insert,
)

KINDS = (Network, Subnet, Port)


@pytest.fixture(params=ADAPTERS)
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """How to open a store in a folder, once per adapter."""
    opener: OpenStore = request.param
    return opener


@pytest.fixture
async def store(open_store: OpenStore, tmp_path: Path) -> AsyncIterator[Store]:
    """An empty store."""
    async with open_store(tmp_path) as opened:
        yield opened


async def follow_all(store: Store, after: int = 0) -> list[Change]:
    """Every change after a revision; the cuts must come without a gap."""
    changes: list[Change] = []
    while cuts := await store.follow(after, 7):
        for cut in cuts:
            assert cut.revision == after + 1
            after = cut.revision
            changes += cut.changes
    assert (await store.head()).revision == after
    return changes


def replay(rows: dict[str, Entity], changes: list[Change]) -> dict[str, Entity]:
    """`rows` after `changes`; each change must begin where the row stands."""
    state = dict(rows)
    for change in changes:
        assert state.get(change.id) == change.before
        if change.after is None:
            del state[change.id]
        else:
            state[change.id] = change.after
    return state


def by_id(image: Image) -> dict[str, Entity]:
    return {row.id: row for rows in image.rows.values() for row in rows}


class TestTransaction:
    """One request: all of it or nothing."""

    async def test_rows_and_changes_commit_together(self, store: Store) -> None:
        """A committed write is seen by readers and is one cut of the log."""
        done = await insert(store, a_network(), a_subnet())

        found = await store.reader.find(Network, "net-1")
        assert found == a_network(created_at=NOW, updated_at=NOW)
        (cut,) = await store.follow(0)
        assert cut.revision == done.revision == 1
        assert [(c.kind, c.id, c.before) for c in cut.changes] == [
            ("network", "net-1", None),
            ("subnet", "sub-1", None),
        ]
        assert cut.changes[0].after == found

    @pytest.mark.parametrize("failing_step", range(9))
    async def test_a_failure_at_any_step_leaves_nothing(self, store: Store, failing_step: int) -> None:
        """Whatever a request did before it failed is undone: rows, changes, claims, rests, values."""
        await insert(store, a_network("net-0"), a_network("net-9"))

        async def work(tx: Transaction) -> None:
            steps: list[Callable[[], object]] = [
                lambda: tx.insert(a_network()),
                lambda: tx.insert(a_subnet()),
                lambda: tx.save("cursor", "a", b"1"),
                lambda: tx.release("mac", "held", rest_s=60),
                lambda: tx.insert(a_port()),
                lambda: tx.update(a_network("net-0", name="other")),
                lambda: tx.delete(a_network("net-9")),
            ]
            for number, step in enumerate(steps):
                if number == failing_step:
                    raise KeyError(number)
                step()
                assert await tx.claim("mac", f"key-{number}", "me")
                await tx.list(Port)
            if failing_step == len(steps):
                raise KeyError(failing_step)
            # The last way to fail: at the flush, after the function has returned.
            tx.insert(a_subnet("sub-2", "no-such-network"))

        async def hold(tx: Transaction) -> None:
            await tx.claim("mac", "held", "owner")

        await store.write(hold)
        before, head = await store.image(KINDS), await store.head()

        with pytest.raises(NotFound if failing_step == 8 else KeyError):
            await store.write(work)

        async def look(tx: Transaction) -> None:
            assert await tx.claimed("mac", [*map("key-{}".format, range(9)), "held"]) == {"held": "owner"}
            assert await tx.resting("mac", ["held"]) == set()
            assert await tx.load("cursor", "a") is None

        await store.write(look)
        assert await store.image(KINDS) == before
        assert await store.head() == head
        assert len(await follow_all(store)) == 2

    async def test_a_neighbours_failure_costs_nothing(self, store: Store) -> None:
        """Of many requests at once those that fail get their own error, the others are kept whole."""

        async def work(tx: Transaction, number: int) -> int:
            tx.insert(a_network(f"net-{number}"))
            await tx.claim("vni", str(number), f"net-{number}")
            await tx.list(Network)
            if number % 3 == 0:
                raise Conflict(f"no {number}")
            if number % 3 == 1:
                tx.insert(a_subnet(f"sub-{number}", "no-such-network"))
            return number

        answers = await asyncio.gather(
            *(store.write(partial(work, number=n)) for n in range(60)), return_exceptions=True
        )

        for number, answer in enumerate(answers):
            if number % 3 == 2:
                assert not isinstance(answer, BaseException)
                assert answer.value == number
            else:
                assert str(answer) == (
                    f"no {number}" if number % 3 == 0 else "Network no-such-network could not be found."
                )
        kept = {f"net-{number}" for number in range(60) if number % 3 == 2}
        assert set(by_id(await store.image(KINDS))) == kept
        assert {change.id for change in await follow_all(store)} == kept

    async def test_a_failed_commit_fails_every_request_of_it(
        self, open_store: OpenStore, tmp_path: Path
    ) -> None:
        """If COMMIT fails the answer is Unavailable, nothing is kept, and the next request is served."""
        faults = Faults()
        async with open_store(tmp_path, faults=faults) as store:
            await insert(store, a_network("net-0"))
            faults.refuse["COMMIT"] = 1
            with pytest.raises(Unavailable, match="Nothing was kept"):
                await insert(store, a_network("net-1"))

            assert await store.head() == Position(NOW_MS, 1)
            assert (await insert(store, a_network("net-2"))).revision == 2
            assert set(by_id(await store.image(KINDS))) == {"net-0", "net-2"}
            assert len(await follow_all(store)) == 2

    async def test_a_transaction_sees_its_own_writes(self, store: Store) -> None:
        """get, find and list show what the transaction has done so far, as it will be stored."""
        await insert(store, a_network("net-0", name="b"), a_network("net-9"))

        async def work(tx: Transaction) -> None:
            tx.insert(a_network("net-1", name="a"))
            tx.update(a_network("net-0", name="c"))
            tx.delete(a_network("net-9"))
            assert (await tx.get(Network, "net-1")).created_at == NOW
            assert (await tx.get(Network, "net-0")).revision_number == 1
            assert await tx.find(Network, "net-9") is None
            with pytest.raises(NotFound):
                await tx.get(Network, "net-9")
            assert [row.id for row in await tx.list(Network)] == ["net-0", "net-1"]
            tx.update(a_network("net-1", name="d"))
            named = Query(where=(Condition("name", ("d",)),))
            assert await tx.list(Network, named) == [await tx.get(Network, "net-1")]

        await store.write(work)

    async def test_the_store_keeps_the_counters(self, open_store: OpenStore, tmp_path: Path) -> None:
        """created_at, updated_at and revision_number are the store's, whatever the row says."""
        clock = Clock()
        async with open_store(tmp_path, clock=clock) as store:
            await insert(store, a_network(revision_number=7, created_at="never"))
            clock.advance(60)

            async def rename(tx: Transaction) -> Network:
                tx.update(a_network(name="new", revision_number=99, created_at="never"))
                return await tx.get(Network, "net-1")

            after = (await store.write(rename)).value

            later = "2026-09-21T14:14:20Z"
            assert after == a_network(name="new", revision_number=1, created_at=NOW, updated_at=later)
            assert await store.reader.find(Network, "net-1") == after

    async def test_an_equal_row_is_no_change(self, store: Store) -> None:
        """Writing what is stored already logs nothing and takes no revision."""
        await insert(store, a_network(), a_port(binding_profile={"b": 1, "a": [True, None]}))

        async def work(tx: Transaction) -> None:
            tx.update(a_network(revision_number=5, updated_at="x"))
            tx.update(a_port(binding_profile={"a": [True, None], "b": 1}))

        done = await store.write(work)

        assert (done.revision, done.unchanged) == (1, (("network", "net-1"), ("port", a_port().id)))
        row = await store.reader.find(Network, "net-1")
        assert row is not None
        assert row.revision_number == 0

    async def test_steps_of_one_row_come_in_order(self, store: Store) -> None:
        """A row made, changed twice, removed and made again in one request: five changes, in this order."""

        async def work(tx: Transaction) -> None:
            tx.insert(a_network())
            tx.update(a_network(name="b"))
            tx.update(a_network(name="c"))
            tx.delete(a_network())
            tx.insert(a_network(name="e"))

        await store.write(work)

        changes = await follow_all(store)
        names = [change.after and change.after.name for change in changes]
        assert names == ["net-1", "b", "c", None, "e"]
        assert replay({}, changes) == by_id(await store.image(KINDS))

    async def test_a_row_made_and_removed_in_one_request_is_not_there(self, store: Store) -> None:
        """What a request made and removed leaves two changes and no row."""

        async def work(tx: Transaction) -> None:
            tx.insert(a_network())
            tx.delete(a_network())

        await store.write(work)

        assert replay({}, await follow_all(store)) == {} == by_id(await store.image(KINDS))

    async def test_ids_are_taken_once(self, store: Store) -> None:
        """Inserting an id that is there is a Conflict that names the row."""
        await insert(store, a_network("net-1"))

        with pytest.raises(Conflict, match=r"Network net-1 exists already\.") as caught:
            await insert(store, a_network("net-0"), a_network("net-1"), a_network("net-2"))
        with pytest.raises(Conflict, match="Network net-3 exists"):
            await insert(store, a_network("net-3"), a_network("net-3"))

        assert (caught.value.kind, caught.value.id) == ("network", "net-1")
        assert set(by_id(await store.image(KINDS))) == {"net-1"}

    async def test_only_what_is_there_can_change(self, store: Store) -> None:
        """Updating or deleting a row that is not there is NotFound."""

        async def update(tx: Transaction) -> None:
            tx.update(a_network())

        async def delete(tx: Transaction) -> None:
            tx.delete(a_network())

        for work in (update, delete):
            with pytest.raises(NotFound, match="Network net-1"):
                await store.write(work)

    async def test_a_caught_flush_error_still_fails_the_request(self, store: Store) -> None:
        """A manager cannot continue after a failed flush, as part of its writes is missing."""

        async def work(tx: Transaction) -> None:
            tx.insert(a_network())
            tx.insert(a_subnet("sub-1", "no-such-network"))
            with pytest.raises(NotFound):
                await tx.list(Subnet)

        with pytest.raises(NotFound, match="no-such-network"):
            await store.write(work)
        assert by_id(await store.image(KINDS)) == {}

    async def test_waiting_for_anything_else_is_refused(self, store: Store) -> None:
        """Between BEGIN and COMMIT only the transaction may be awaited; the store does not hang on it."""

        async def work(tx: Transaction) -> None:
            tx.insert(a_network())
            await asyncio.sleep(0)

        with pytest.raises(RuntimeError, match="only the methods"):
            await store.write(work)
        assert by_id(await store.image(KINDS)) == {}

    async def test_ids_and_secrets_are_fresh(self, store: Store) -> None:
        """new_id gives UUIDs, new_secret 43 URL-safe characters, random_below numbers below its bound."""

        async def work(tx: Transaction) -> tuple[set[str], set[str], set[int]]:
            many = range(200)
            return (
                {tx.new_id() for _ in many},
                {tx.new_secret() for _ in many},
                {tx.random_below(3) for _ in many},
            )

        ids, secrets, numbers = (await store.write(work)).value

        assert len(ids) == len(secrets) == 200
        assert all(len(id) == 36 and id[14] == "7" and id[19] in "89ab" for id in ids)
        assert {len(secret) for secret in secrets} == {43}
        assert numbers == {0, 1, 2}


class TestReferences:
    """A row never refers to nothing."""

    async def test_a_missing_parent_is_named(self, store: Store) -> None:
        """Inserting below a parent that is not there is NotFound of the parent, not of the child."""
        await insert(store, a_network())

        with pytest.raises(NotFound) as caught:
            await insert(store, a_subnet("sub-1"), a_subnet("sub-2", "net-2"))
        assert (caught.value.kind, caught.value.id) == ("network", "net-2")
        with pytest.raises(NotFound) as caught:
            await insert(store, a_port("port-1", "net-1", ("sub-9", "10.0.0.5")))
        assert (caught.value.kind, caught.value.id) == ("subnet", "sub-9")

    async def test_an_update_to_a_missing_parent_is_named(self, store: Store) -> None:
        """Changing a reference to a parent that is not there is NotFound of the parent."""
        await insert(store, a_network(), a_subnet(), a_port("port-1", "net-1", ("sub-1", "10.0.0.5")))

        async def work(tx: Transaction) -> None:
            tx.update(a_port("port-1", "net-1", ("sub-9", "10.0.0.5")))

        with pytest.raises(NotFound, match="Subnet sub-9"):
            await store.write(work)

    async def test_a_parent_in_use_stays(self, store: Store) -> None:
        """Deleting what others refer to is InUse and says by whom, also through a look-up."""
        ports = [a_port(f"port-{n}", "net-1", ("sub-1", f"10.0.0.{n}")) for n in range(1, 6)]
        await insert(store, a_network(), a_subnet(), ports[0])

        async def delete(tx: Transaction, row: Entity) -> None:
            tx.delete(row)

        with pytest.raises(InUse) as caught:
            await store.write(partial(delete, row=a_network()))
        assert (caught.value.kind, caught.value.id, caught.value.by) == ("network", "net-1", "subnet sub-1")
        with pytest.raises(InUse, match="Subnet sub-1 is in use: port port-1\\."):
            await store.write(partial(delete, row=a_subnet()))
        await insert(store, *ports[1:])
        with pytest.raises(InUse, match="port port-1, port port-2, port port-3 and more"):
            await store.write(partial(delete, row=a_subnet()))

    async def test_a_family_comes_and_goes_in_any_order(self, store: Store) -> None:
        """Parents and children of one request may be written in any order."""
        family = (a_port("port-1", "net-1", ("sub-1", "10.0.0.5")), a_subnet(), a_network())
        await insert(store, *family)

        async def delete(tx: Transaction) -> None:
            for row in reversed(family):
                tx.delete(row)

        await store.write(delete)

        assert by_id(await store.image(KINDS)) == {}

    async def test_a_reference_may_move_while_its_target_goes(self, store: Store) -> None:
        """One request may make a subnet, move a port to it and remove the old one."""
        await insert(store, a_network(), a_subnet(), a_port("port-1", "net-1", ("sub-1", "10.0.0.5")))

        async def work(tx: Transaction) -> None:
            tx.delete(a_subnet())
            tx.update(a_port("port-1", "net-1", ("sub-2", "10.0.1.5")))
            tx.insert(a_subnet("sub-2"))

        await store.write(work)

        assert set(by_id(await store.image(KINDS))) == {"net-1", "sub-2", "port-1"}
        found = await store.reader.list(Port, Query((Condition("fixed_ips.subnet_id", ("sub-2",)),)))
        assert [port.id for port in found] == ["port-1"]


class TestClaims:
    """Uniqueness is a key, not a look before a leap."""

    async def test_one_owner_under_concurrent_writers(self, store: Store) -> None:
        """However many ask at once, a key has one owner, and only this one was told yes."""

        async def take(tx: Transaction, owner: str) -> str | None:
            for key in ("a", "b", "c"):
                if await tx.claim("vni", key, owner):
                    return key
            return None

        answers = await asyncio.gather(*(store.write(partial(take, owner=f"owner-{n}")) for n in range(40)))

        async def owners(tx: Transaction) -> dict[str, str]:
            return await tx.claimed("vni", ["a", "b", "c"])

        told = {answer.value: f"owner-{n}" for n, answer in enumerate(answers) if answer.value}
        assert (await store.write(owners)).value == told
        assert sorted(a.value for a in answers if a.value) == ["a", "b", "c"]

    async def test_a_claim_is_seen_at_once(self, store: Store) -> None:
        """Inside a request a claim counts from the moment it was made; spaces are apart."""

        async def work(tx: Transaction) -> None:
            assert await tx.claim("mac", "k", "x")
            assert await tx.claim("mac", "k", "x")
            assert not await tx.claim("mac", "k", "y")
            assert await tx.claim("vni", "k", "y")
            assert await tx.claimed("mac", ["k", "l"]) == {"k": "x"}
            assert await tx.claims_count("mac") == 1
            tx.release("mac", "k")
            assert await tx.claims_count("mac") == 0
            assert await tx.claim("mac", "k", "y")

        await store.write(work)

    async def test_a_released_key_rests(self, open_store: OpenStore, tmp_path: Path) -> None:
        """A key given back rests for as long as was said, and can be claimed by name meanwhile."""
        clock = Clock()
        async with open_store(tmp_path, clock=clock) as store:

            async def give_back(tx: Transaction) -> None:
                for key in ("long", "short", "none"):
                    assert await tx.claim("mac", key, "x")
                    tx.release("mac", key, rest_s={"long": 60, "short": 10, "none": 0}[key])
                assert await tx.resting("mac", ["long", "short", "none", "other"]) == {"long", "short"}

            async def resting(tx: Transaction) -> set[str]:
                return await tx.resting("mac", ["long", "short", "none"])

            async def by_name(tx: Transaction) -> bool:
                return await tx.claim("mac", "long", "y")

            await store.write(give_back)
            assert (await store.write(resting)).value == {"long", "short"}
            clock.advance(30)
            assert (await store.write(resting)).value == {"long"}
            assert (await store.write(by_name)).value
            clock.advance(30)
            assert (await store.write(resting)).value == set()

    async def test_many_claims_take_what_is_free_and_rested(
        self, open_store: OpenStore, tmp_path: Path
    ) -> None:
        """Of the keys that are offered together those are taken that nobody has and that do not rest."""
        clock = Clock()
        async with open_store(tmp_path, clock=clock) as store:

            async def prepare(tx: Transaction) -> None:
                assert await tx.claim("mac", "taken", "x")
                assert await tx.claim("mac", "rests", "x")
                tx.release("mac", "rests", rest_s=10)

            async def take(tx: Transaction) -> set[str]:
                return await tx.claim_many("mac", {"taken": "y", "rests": "y", "free": "y", "other": "z"})

            async def take_alone(tx: Transaction, key: str) -> set[str]:
                return await tx.claim_many("mac", {key: "z"})

            async def owners(tx: Transaction) -> dict[str, str]:
                return await tx.claimed("mac", ["taken", "rests", "free", "other"])

            await store.write(prepare)
            assert (await store.write(take)).value == {"free", "other"}
            assert (await store.write(owners)).value == {"taken": "x", "free": "y", "other": "z"}
            for key in ("taken", "rests", "free"):
                assert (await store.write(partial(take_alone, key=key))).value == set()
            clock.advance(10)
            assert (await store.write(take)).value == {"rests"}
            assert (await store.write(partial(take_alone, key="last"))).value == {"last"}

    async def test_what_was_read_is_never_older_than_what_was_written(self, store: Store) -> None:
        """A request sees what earlier ones committed, its own changes, and nothing of those that failed."""

        async def make(tx: Transaction) -> None:
            tx.insert(a_network("net-1"))

        async def read(tx: Transaction) -> list[str]:
            found = await tx.find(Network, "net-1")
            listed = await tx.list(Network)
            assert [row for row in listed if row.id == "net-1"] == ([found] if found else [])
            return [row.name for row in listed]

        async def rename(tx: Transaction, name: str, *, fail: bool) -> None:
            tx.update(replace(await tx.get(Network, "net-1"), name=name))
            assert (await read(tx)) == [name]
            if fail:
                raise Conflict("after reading its own change")

        assert (await store.write(read)).value == []
        await store.write(make)
        before = (await store.write(read)).value
        with pytest.raises(Conflict):
            await store.write(partial(rename, name="failed", fail=True))
        assert (await store.write(read)).value == before
        await store.write(partial(rename, name="renamed", fail=False))
        assert (await store.write(read)).value == ["renamed"]

    async def test_values_are_kept_without_a_revision(self, store: Store) -> None:
        """load gives what was last saved, in this transaction or an earlier one; nothing of it is logged."""

        async def work(tx: Transaction) -> None:
            tx.save("cursor", "a", b"\x00\xff")
            tx.save("cursor", "b", b"2")
            assert await tx.load("cursor", "a") == b"\x00\xff"
            tx.save("cursor", "b", None)
            assert await tx.load("cursor", "b") is None

        async def look(tx: Transaction) -> list[bytes | None]:
            return [await tx.load("cursor", key) for key in ("a", "b")]

        assert (await store.write(work)).revision == 0
        assert (await store.write(look)).value == [b"\x00\xff", None]


class TestHistory:
    """The change log: gap-free, complete, in order."""

    async def test_following_rebuilds_the_rows(self, store: Store) -> None:
        """Under concurrent writers on the same rows, the cuts have no gap and replay to what is stored."""
        await insert(store, *(a_network(f"net-{n}") for n in range(4)))

        async def work(tx: Transaction, number: int) -> None:
            target = await tx.get(Network, f"net-{number % 4}")
            tx.update(replace(target, name=f"{target.name}.{number}"))
            tx.insert(a_network(f"more-{number}"))
            if number % 5 == 4:
                tx.delete(a_network(f"more-{number}"))

        await asyncio.gather(*(store.write(partial(work, number=n)) for n in range(80)))

        changes = await follow_all(store)
        assert len(changes) == 4 + 80 * 2 + 16
        assert replay({}, changes) == by_id(await store.image(KINDS))

    async def test_following_resumes_anywhere(self, store: Store) -> None:
        """From every revision on the log gives the rest of itself; beyond the head it is empty."""
        for number in range(6):
            await insert(store, a_network(f"net-{number}"))

        for after in range(7):
            changes = await follow_all(store, after)
            assert [change.id for change in changes] == [f"net-{n}" for n in range(after, 6)]
        assert [cut.revision for cut in await store.follow(1, 2)] == [2, 3]
        assert await store.follow(99) == []

    async def test_an_image_and_the_log_after_it_are_a_later_image(self, store: Store) -> None:
        """Images taken while writers are at work, each continued by the log, end in the same rows."""
        await insert(store, a_network("net-0"))

        async def work(tx: Transaction, number: int) -> None:
            tx.insert(a_network(f"net-{number}"))
            tx.update(replace(await tx.get(Network, "net-0"), name=str(number)))

        writes = [asyncio.create_task(store.write(partial(work, number=n))) for n in range(1, 60)]
        images = [await store.image(KINDS) for _ in range(10)]
        await asyncio.gather(*writes)

        last = await store.image(KINDS)
        assert len(last.rows[Network]) == 60
        for image in images:
            changes = await follow_all(store, image.position.revision)
            assert replay(by_id(image), changes) == by_id(last)

    async def test_an_image_tells_when_rows_last_changed(self, store: Store) -> None:
        """`revisions` holds the revision of each row's last change, and of nothing else."""
        await insert(store, a_network("net-1"), a_network("net-2"))
        await insert(store, a_subnet("sub-1"))

        async def work(tx: Transaction) -> None:
            tx.update(a_network("net-2", name="new"))

        await store.write(work)

        image = await store.image((Network,))
        assert image.position == Position(NOW_MS, 3)
        assert image.revisions == {"net-1": 1, "net-2": 3}
        assert set(image.rows) == {Network}

    async def test_a_new_epoch_begins_another_history(self, open_store: OpenStore, tmp_path: Path) -> None:
        """It is greater than the last one and than the clock's, takes a revision, and survives a restart."""
        clock = Clock()
        async with open_store(tmp_path, clock=clock) as store:
            await insert(store, a_network())
            waiting = asyncio.create_task(store.wait_beyond(1))
            assert await store.new_epoch() == Position(NOW_MS + 1, 2)
            clock.advance(5)
            assert await store.new_epoch() == Position(NOW_MS + 5_000, 3)
            await waiting

            with pytest.raises(TooOld):
                await store.follow(1)
            assert await store.follow(3) == []
            assert (await insert(store, a_subnet())).revision == 4
            assert len(await follow_all(store, 3)) == 1

        async with open_store(tmp_path) as store:
            assert await store.head() == Position(NOW_MS + 5_000, 4)
            assert (await store.image(KINDS)).position == await store.head()

    async def test_no_wake_up_is_lost(self, store: Store) -> None:
        """A follower that only ever waits for the next revision sees them all, however commits fall."""
        revisions_max = 200

        async def follower() -> int:
            after = 0
            while after < revisions_max:
                await store.wait_beyond(after)
                for cut in await store.follow(after):
                    assert cut.revision == after + 1
                    after = cut.revision
            return after

        followers = [asyncio.create_task(follower()) for _ in range(3)]
        for number in range(revisions_max):
            await insert(store, a_network(f"net-{number}"))

        assert await asyncio.wait_for(asyncio.gather(*followers), 60) == [revisions_max] * 3

    async def test_a_waiter_that_gives_up_is_forgotten(self, store: Store) -> None:
        """Cancelling a wait disturbs neither the others nor the writer."""
        gone, stays = (asyncio.create_task(store.wait_beyond(0)) for _ in range(2))
        await asyncio.sleep(0)
        gone.cancel()
        await insert(store, a_network())

        await asyncio.wait_for(stays, 60)
        assert gone.cancelled()
        await store.wait_beyond(0)


class TestLife:
    """Opening, closing, opening again."""

    async def test_a_restart_finds_everything_as_it_was(self, open_store: OpenStore, tmp_path: Path) -> None:
        """Rows, claims, values, log and position outlive the process; revisions and epochs go on."""

        async def work(tx: Transaction) -> None:
            tx.insert(a_network())
            await tx.claim("vni", "1", "net-1")
            tx.save("cursor", "a", b"7")

        async with open_store(tmp_path) as store:
            await store.write(work)
            before = await store.image(KINDS)

        async with open_store(tmp_path, clock=Clock(NOW_MS + 99)) as store:
            assert await store.image(KINDS) == before
            assert await store.head() == Position(NOW_MS, 1)

            async def look(tx: Transaction) -> tuple[dict[str, str], bytes | None]:
                return await tx.claimed("vni", ["1"]), await tx.load("cursor", "a")

            assert (await store.write(look)).value == ({"1": "net-1"}, b"7")
            assert (await insert(store, a_subnet())).revision == 2
            assert len(await follow_all(store)) == 2

    async def test_closing_finishes_what_was_accepted(self, open_store: OpenStore, tmp_path: Path) -> None:
        """Requests accepted before the close are answered and kept; later ones are Unavailable."""
        async with open_store(tmp_path) as store:
            writes = [asyncio.create_task(insert(store, a_network(f"net-{n}"))) for n in range(50)]
            waiting = asyncio.create_task(store.wait_beyond(1_000))
            await asyncio.sleep(0)
            await store.close()
            assert len(await asyncio.gather(*writes)) == 50
            await waiting

            for late in (
                insert(store, a_subnet()),
                store.reader.find(Network, "net-1"),
                store.observations.forget(["x"], [], term=0),
                store.wait_beyond(10_000),
            ):
                with pytest.raises(Unavailable, match="clos"):
                    await late
            await store.close()

        async with open_store(tmp_path) as store:
            assert len(by_id(await store.image(KINDS))) == 50

    async def test_a_request_keeps_its_context(self, store: Store) -> None:
        """Context variables of the caller (a trace, a request id) are seen inside the transaction."""
        request_id = contextvars.ContextVar("request_id", default="none")
        request_id.set("req-1")

        async def work(tx: Transaction) -> str:
            return request_id.get()

        assert (await store.write(work)).value == "req-1"
