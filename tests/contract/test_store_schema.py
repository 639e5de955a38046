"""The laws of `store.interface`, for every adapter: a database follows the declarations it is opened with."""

from collections.abc import Sequence
from dataclasses import replace as redeclared
from pathlib import Path
from typing import Any

import pytest

from alcor.model.change import Origin
from alcor.model.errors import NotFound, Unavailable
from alcor.model.resource import Attribute, Entity, Lookup, Resource
from alcor.model.standard import COUNTED, STANDARD
from alcor.model.value import Integer, ListOf, Nullable, Text
from alcor.store.interface import Condition, History, Op, Query, Sort, Store, TooOld, Transaction
from tests.support.store import ADAPTERS, NOW_MS, Clock, OpenStore, insert
from tests.support.things import BOX, THINGS, Box, Thing, a_box, a_thing

ANNE = Origin("req-1", "anne", "p-1")


class OldThing(Entity, frozen=True, kw_only=True, gc=False):
    """A thing as an older program knew it: no box, no weight, no sides, and a taste that was dropped later."""

    colour: str | None = None
    taste: str = "sweet"
    labels: tuple[str, ...] = ()


class HeavyThing(Entity, frozen=True, kw_only=True, gc=False):
    """A thing whose weight must be told."""

    weight: int
    colour: str | None = None


class NumberedThing(Entity, frozen=True, kw_only=True, gc=False):
    """A thing whose colour is a number."""

    colour: int | None = None


OLD_THING = Resource(
    name="thing",
    collection="things",
    entity=OldThing,
    attributes=(
        *STANDARD,
        Attribute("colour", Nullable(Text(36))),
        Attribute("taste", Text(36), column=True),
        Attribute("labels", ListOf(Text(36))),
        *COUNTED,
    ),
)


def a_thing_resource(entity: type[Entity], *attributes: Attribute) -> Resource:
    """Another declaration of the same kind."""
    return Resource("thing", "things", entity, (*STANDARD, *attributes, *COUNTED))


@pytest.fixture(params=ADAPTERS)
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """How to open a store in a folder, once per adapter."""
    opener: OpenStore = request.param
    return opener


@pytest.fixture
async def old_folder(open_store: OpenStore, tmp_path: Path) -> Path:
    """The folder of a database that an older program made: things only, declared otherwise, one of them gone."""

    async def work(tx: Transaction) -> None:
        tx.delete(await tx.get(OldThing, "thing-9"))
        tx.update(OldThing(id="thing-2", project_id="p-2", colour="blue", labels=("big",)))

    async with open_store(tmp_path, resources=(OLD_THING,)) as store:
        await insert(
            store,
            OldThing(id="thing-1", project_id="p-1", colour="red", labels=("big", "round")),
            OldThing(id="thing-2", project_id="p-2", name="second"),
            OldThing(id="thing-3", project_id="p-1", taste="salt"),
            OldThing(id="thing-9", project_id="p-1"),
        )
        await store.write(work, ANNE)
    return tmp_path


async def found(store: Store, *where: Condition) -> list[str]:
    """The ids of the things that match."""
    return [row.id for row in await store.reader.list(Thing, Query(where))]


class TestFollowing:
    """Opening a database of an older program."""

    async def test_rows_are_there_under_the_new_declarations(
        self, open_store: OpenStore, old_folder: Path
    ) -> None:
        """Every row is there with the defaults of new fields, found by new columns and new look-ups; new kinds are
        empty; nothing that the caller of rows sees has moved."""
        async with open_store(old_folder, resources=THINGS) as store:
            rows = await store.reader.list(Thing)

            assert [(row.id, row.colour, row.labels, row.weight, row.sides) for row in rows] == [
                ("thing-1", "red", ("big", "round"), None, ()),
                ("thing-2", "blue", ("big",), None, ()),
                ("thing-3", None, (), None, ()),
            ]
            assert [row.revision_number for row in rows] == [0, 1, 0]
            assert await found(store, Condition("colour", ("red", None))) == ["thing-1", "thing-3"]
            assert await found(store, Condition("labels.label", ("big", "round"), Op.ALL)) == ["thing-1"]
            assert await found(store, Condition("labels.label", ("big",), Op.NONE)) == ["thing-3"]
            assert await store.reader.list(Box) == []
            image = await store.image((Box, Thing))
            assert image.revisions == {"thing-1": 1, "thing-2": 2, "thing-3": 1}

    async def test_the_new_shape_can_be_written(self, open_store: OpenStore, old_folder: Path) -> None:
        """New columns, references and look-ups work for old rows and new ones."""
        async with open_store(old_folder, resources=THINGS) as store:
            await insert(store, a_box(), a_thing("thing-4", "big", box_id="box-1", sides=(("top", "x"),)))

            async def work(tx: Transaction) -> None:
                tx.update(a_thing("thing-1", "flat", box_id="box-1"))

            await store.write(work)
            assert await found(store, Condition("box_id", ("box-1",))) == ["thing-1", "thing-4"]
            assert await found(store, Condition("labels.label", ("big",))) == ["thing-2", "thing-4"]
            assert await found(store, Condition("sides.place", ("top",))) == ["thing-4"]
            with pytest.raises(NotFound, match="Box no-such-box"):
                await insert(store, a_thing("thing-5", box_id="no-such-box"))
            by_colour = Query(sort=(Sort("colour"),), limit=2)
            assert [row.id for row in await store.reader.list(Thing, by_colour)] == ["thing-1", "thing-3"]
            assert (await store.head()).revision == 4

    async def test_who_follows_begins_with_an_image(self, open_store: OpenStore, old_folder: Path) -> None:
        """Changes of the old shape are not followed; those after it are."""
        async with open_store(old_folder, resources=THINGS) as store:
            with pytest.raises(TooOld):
                await store.follow(1)
            position = (await store.image((Thing,))).position
            await insert(store, a_box())
            assert [cut.revision for cut in await store.follow(position.revision)] == [position.revision + 1]

    async def test_history_goes_on(self, open_store: OpenStore, old_folder: Path) -> None:
        """What can still be read is still told, in the new shape."""
        clock = Clock()
        clock.advance(60)
        async with open_store(old_folder, resources=THINGS, clock=clock) as store:
            by_anne = await store.reader.history(History(user_id="anne"))
            assert [(change.id, type(change.before), change.at_ms) for change in by_anne] == [
                ("thing-9", Thing, NOW_MS),
                ("thing-2", Thing, NOW_MS),
            ]

            async def work(tx: Transaction) -> None:
                tx.update(a_thing("thing-1", weight=3))

            await store.write(work)
            was = await store.reader.as_of(Thing, "thing-1", NOW_MS)
            assert was is not None
            assert was.labels == ("big", "round")

    async def test_nothing_happens_when_nothing_changed(
        self, open_store: OpenStore, old_folder: Path
    ) -> None:
        """The same declarations leave everything alone, so that who follows goes on where it was."""
        async with open_store(old_folder, resources=(OLD_THING,)) as store:
            assert [cut.revision for cut in await store.follow(0)] == [1, 2]

    async def test_back_and_forth(self, open_store: OpenStore, old_folder: Path) -> None:
        """A database can be opened by one program and another in turn; what the older one does not know is lost by
        it, and a kind that it does not know waits."""
        for number in range(2):
            async with open_store(old_folder, resources=THINGS) as store:
                await insert(store, a_box(f"box-{number}"))
                assert len(await store.reader.list(Box)) == number + 1
                assert len(await store.reader.list(Thing)) == 3
                assert await store.reader.tally(Box, ["p-1"]) == {"p-1": number + 1}
            async with open_store(old_folder, resources=(OLD_THING,)) as store:
                assert {row.taste for row in await store.reader.list(OldThing)} == {"sweet"}
                assert await store.reader.history(History(kind="box")) == []

    async def test_a_look_up_that_went_is_gone(self, open_store: OpenStore, tmp_path: Path) -> None:
        """A kind may lose columns and look-ups, and gain others of the same name."""
        plain = redeclared(THINGS[1], lookups=())
        other = redeclared(THINGS[1], lookups=(Lookup("labels", ("first", "last"), _first_and_last),))
        async with open_store(tmp_path, resources=THINGS) as store:
            await insert(store, a_thing("thing-1", "a", "b", "c"), a_thing("thing-2"))
        async with open_store(tmp_path, resources=(BOX, plain)) as store:
            await insert(store, a_thing("thing-3", "a", "z"))
        async with open_store(tmp_path, resources=(BOX, other)) as store:
            assert await found(store, Condition("labels.last", ("c",))) == ["thing-1"]
            assert await found(store, Condition("labels.first", ("a",))) == ["thing-1", "thing-3"]
        async with open_store(tmp_path, resources=THINGS) as store:
            assert await found(store, Condition("labels.label", ("a",))) == ["thing-1", "thing-3"]


class TestRefusing:
    """A database that cannot be followed is left as it was."""

    @pytest.mark.parametrize(
        ("resource", "reason"),
        [
            (a_thing_resource(HeavyThing, Attribute("weight", Integer(0, 9))), "weight"),
            (a_thing_resource(NumberedThing, Attribute("colour", Integer(0, 9), column=True)), "colour"),
        ],
        ids=["required", "narrowed"],
    )
    async def test_a_document_that_cannot_be_read_stops_the_start(
        self, open_store: OpenStore, old_folder: Path, resource: Resource, reason: str
    ) -> None:
        """A new field without a default, or of another type, is refused with its name and the row's, and the older
        program goes on as if nothing had been."""
        with pytest.raises(Unavailable) as caught:
            async with open_store(old_folder, resources=(resource,)):
                raise AssertionError("it was opened")

        for word in ("thing thing-1", reason):
            assert word in caught.value.message
        async with open_store(old_folder, resources=(OLD_THING,)) as store:
            assert len(await store.reader.list(OldThing)) == 3
            assert [cut.revision for cut in await store.follow(0)] == [1, 2]

    async def test_history_that_cannot_be_read_is_forgotten(
        self, open_store: OpenStore, old_folder: Path
    ) -> None:
        """Only rows stop a start: history begins after the last change that this program cannot read."""
        colours = a_thing_resource(NumberedThing, Attribute("colour", Integer(0, 9), column=True))

        async def clean(tx: Transaction) -> None:
            for row in await tx.list(OldThing):
                tx.delete(row)

        clock = Clock()
        clock.advance(60)
        async with open_store(old_folder, resources=(OLD_THING,), clock=clock) as store:
            await store.write(clean)
            await insert(store, OldThing(id="thing-4"))
        async with open_store(old_folder, resources=(colours,), clock=clock) as store:
            assert [change.id for change in await store.reader.history(History())] == ["thing-4"]
            with pytest.raises(TooOld) as caught:
                await store.reader.as_of(NumberedThing, "thing-1", NOW_MS)
            assert caught.value.oldest_ms == NOW_MS + 60_000

    @pytest.mark.parametrize("order", [(1, 0), (1,)])
    async def test_parents_come_first(
        self, open_store: OpenStore, tmp_path: Path, order: Sequence[int]
    ) -> None:
        """A declaration that refers to a kind declared later, or not at all, is the program's mistake."""
        with pytest.raises(ValueError, match="must be declared before thing"):
            async with open_store(tmp_path, resources=tuple(THINGS[place] for place in order)):
                raise AssertionError("it was opened")


def _first_and_last(row: Any) -> list[tuple[Any, ...]]:
    return [(row.labels[0], row.labels[-1])] if row.labels else []
