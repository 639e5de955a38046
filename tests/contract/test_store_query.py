"""The laws of `store.interface`, for every adapter: filters, sorting, paging; observations."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import pytest_asyncio

from alcor.model.errors import InvalidInput, NotFound
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.store.interface import (
    Condition,
    HostObservation,
    Op,
    PortObservation,
    Query,
    Sort,
    Store,
    Superseded,
    Transaction,
)
from tests.support.store import ADAPTERS, OpenStore, a_network, a_port, a_subnet, insert
from tests.support.things import THINGS, Thing, a_thing

NAMES = ("b", "a", "", "b", "a%c", "b", "é", "A")
VNIS = (7, None, 3, None, 7, 1, None, 7, 2)


pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture(params=ADAPTERS, scope="module")
def open_store(request: pytest.FixtureRequest) -> OpenStore:
    """How to open a store in a folder, once per adapter."""
    opener: OpenStore = request.param
    return opener


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def store(open_store: OpenStore, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """A store that is only read, with 36 networks, full of ties and nulls, and three ports."""
    async with open_store(tmp_path_factory.mktemp("region")) as opened:
        await fill(opened)
        yield opened


async def fill(store: Store) -> None:
    """Insert the rows that the tests below look for."""
    networks = [
        a_network(
            f"net-{number * 7 % 36:02}",
            name=NAMES[number % len(NAMES)],
            provider_segmentation_id=VNIS[number % len(VNIS)],
            mtu=1_400 + number % 3,
            admin_state_up=number % 2 == 0,
            provider_physical_network=None if number % 4 else "physnet",
            project_id=f"p-{number % 2}",
        )
        for number in range(36)
    ]
    ports = (
        a_port("port-1", "net-00", ("sub-1", "10.0.0.1"), ("sub-2", "10.0.0.2"), device_id="vm-1"),
        a_port("port-2", "net-00", ("sub-2", "10.0.0.1"), device_id="vm-2"),
        a_port("port-3", "net-01"),
    )
    subnets = a_subnet("sub-1", "net-00"), a_subnet("sub-2", "net-00", cidr="10.0.1.0/24")
    await insert(store, *networks, *subnets, *ports)


async def ids(store: Store, *where: Condition) -> list[str]:
    """The ids of the networks that match."""
    query = Query(where=where)
    rows = await store.reader.list(Network, query)
    assert await store.reader.count(Network, query) == len(rows)
    return [row.id for row in rows]


async def expected(store: Store, matches: Any) -> list[str]:
    """The ids of the networks that match, found by looking at every one."""
    return [row.id for row in await store.reader.list(Network) if matches(row)]


class TestFilters:
    """Conditions are ANDed, values ORed."""

    @pytest.mark.parametrize(
        ("condition", "matches"),
        [
            (Condition("name", ("b",)), lambda n: n.name == "b"),
            (Condition("name", ("b", "é", "none such")), lambda n: n.name in "bé" and n.name),
            (Condition("id", ("net-03", "net-05")), lambda n: n.id in ("net-03", "net-05")),
            (Condition("name", ()), lambda n: False),
            (Condition("provider_segmentation_id", (7,)), lambda n: n.provider_segmentation_id == 7),
            (Condition("provider_segmentation_id", (None,)), lambda n: n.provider_segmentation_id is None),
            (
                Condition("provider_segmentation_id", (None, 3)),
                lambda n: n.provider_segmentation_id in (None, 3),
            ),
            (Condition("provider_physical_network", (None,)), lambda n: n.provider_physical_network is None),
            (
                Condition("provider_physical_network", ("physnet",)),
                lambda n: n.provider_physical_network == "physnet",
            ),
            (Condition("admin_state_up", (True,)), lambda n: n.admin_state_up),
            (Condition("admin_state_up", (False,)), lambda n: not n.admin_state_up),
            (Condition("admin_state_up", (True, False)), lambda n: True),
            (Condition("mtu", (1_401, 1_402)), lambda n: n.mtu > 1_400),
            (Condition("name", ("%",), Op.CONTAINS), lambda n: "%" in n.name),
            (Condition("name", ("a", "é"), Op.CONTAINS), lambda n: "a" in n.name or "é" in n.name),
            (Condition("description", ("x",), Op.CONTAINS), lambda n: False),
            (Condition("mtu", (1_401,), Op.SINCE), lambda n: n.mtu >= 1_401),
            (
                Condition("provider_segmentation_id", (3,), Op.SINCE),
                lambda n: (n.provider_segmentation_id or 0) >= 3,
            ),
        ],
    )
    async def test_a_condition_matches_what_it_says(
        self, store: Store, condition: Condition, matches: Any
    ) -> None:
        """In a column or inside the document, by value, by part, from a value on, null included."""
        assert await ids(store, condition) == await expected(store, matches)

    async def test_conditions_are_anded(self, store: Store) -> None:
        """Every condition must hold."""
        found = await ids(store, Condition("name", ("b",)), Condition("mtu", (1_400,)))

        assert found == await expected(store, lambda n: n.name == "b" and n.mtu == 1_400)
        assert found

    async def test_a_very_long_list_of_values(self, store: Store) -> None:
        """There is no limit on the number of values."""
        many = tuple(f"net-{number:02}" for number in range(40_000))

        assert len(await ids(store, Condition("id", many))) == 36
        assert len(await store.reader.find_many(Network, many)) == 36
        assert len(await ids(store, Condition("mtu", tuple(range(1_401, 40_000))))) == 24

    async def test_look_ups_find_the_owner_once(self, store: Store) -> None:
        """A list inside a row is searched by its side table; conditions on it must hold in one element."""

        async def found(**columns: str) -> list[str]:
            where = tuple(Condition(f"fixed_ips.{name}", (value,)) for name, value in columns.items())
            return [port.id for port in await store.reader.list(Port, Query(where))]

        assert await found(ip_address="10.0.0.1") == ["port-1", "port-2"]
        assert await found(subnet_id="sub-2") == ["port-1", "port-2"]
        assert await found(subnet_id="sub-1", ip_address="10.0.0.1") == ["port-1"]
        assert await found(subnet_id="sub-1", ip_address="10.0.0.2") == []
        both = (Condition("fixed_ips.subnet_id", ("sub-1", "sub-2")), Condition("device_id", ("vm-1",)))
        assert [port.id for port in await store.reader.list(Port, Query(both))] == ["port-1"]

    async def test_look_ups_follow_their_row(self, open_store: OpenStore, tmp_path: Path) -> None:
        """Changing a port's addresses changes what finds it; deleting the port forgets them."""
        by_address = Query((Condition("fixed_ips.ip_address", ("10.0.0.1", "10.0.0.9")),))

        async def work(tx: Transaction) -> None:
            tx.update(a_port("port-1", "net-00", ("sub-1", "10.0.0.9")))
            tx.update(a_port("port-3", "net-01", ("sub-1", "10.0.0.1")))
            tx.delete(a_port("port-2"))
            assert [port.id for port in await tx.list(Port, by_address)] == ["port-1", "port-3"]

        async with open_store(tmp_path) as store:
            await fill(store)
            await store.write(work)

            assert [port.id for port in await store.reader.list(Port, by_address)] == ["port-1", "port-3"]
            gone = Query((Condition("fixed_ips.subnet_id", ("sub-2",)),))
            assert await store.reader.list(Port, gone) == []

    @pytest.mark.parametrize("field", ["no_such", "name; --", "fixed_ips.subnet_id", "name.first"])
    async def test_an_unknown_field_is_named(self, store: Store, field: str) -> None:
        """A filter or sort key that the entity does not have is InvalidInput."""
        with pytest.raises(InvalidInput, match="Invalid input for"):
            await store.reader.list(Network, Query((Condition(field, ("x",)),)))
        with pytest.raises(InvalidInput, match="Invalid input for"):
            await store.reader.list(Network, Query(sort=(Sort(field),)))


LABELS = [(), ("red",), ("red", "big"), ("big",), ("red", "big", "%"), ("Red",), ("rede", "bi"), ("big", "%")]
SIDES = [(), (("top", "x"),), (("top", "x"), ("end", "y")), (("end", "x"), ("top", "y"))]
SETS = [("red",), ("big", "red"), ("red", "big", "%"), ("red", "red"), ("none such",), ("red", "none such")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def things(open_store: OpenStore, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Store]:
    """A store that is only read, with 32 things of many labels, sides and colours."""
    rows = [
        a_thing(
            f"thing-{number:02}",
            *LABELS[number % len(LABELS)],
            sides=SIDES[number // len(LABELS)],
            colour=("red", None, "blue", "")[number // 3 % 4],
            weight=(None, 3, 5)[number % 3],
        )
        for number in range(32)
    ]
    async with open_store(tmp_path_factory.mktemp("things"), resources=THINGS) as opened:
        await insert(opened, *rows)
        yield opened


async def both_ways(store: Store, where: tuple[Condition, ...], matches: Any) -> list[str]:
    """The ids of the things that match, which must be those found by looking at every one, counted and paged."""
    expected = [row.id for row in await store.reader.list(Thing) if matches(row)]
    assert [row.id for row in await store.reader.list(Thing, Query(where))] == expected
    assert await store.reader.count(Thing, Query(where)) == len(expected)
    page = Query(where, (Sort("colour", descending=True),), 5, "thing-07")
    later = [row.id for row in await store.reader.list(Thing, Query(sort=page.sort, marker="thing-07"))]
    assert [row.id for row in await store.reader.list(Thing, page)] == [i for i in later if i in expected][:5]
    return expected


class TestSets:
    """Conditions that speak of all rows of a look-up, and of none."""

    @pytest.mark.parametrize("values", SETS, ids="+".join)
    async def test_all(self, things: Store, values: tuple[str, ...]) -> None:
        """ALL: every value is in some row of the look-up."""
        where = (Condition("labels.label", values, Op.ALL),)

        await both_ways(things, where, lambda t: set(values) <= set(t.labels))

    @pytest.mark.parametrize("values", SETS, ids="+".join)
    async def test_not_all(self, things: Store, values: tuple[str, ...]) -> None:
        """NOT_ALL: some value is in no row of it; a row without any is among them."""
        where = (Condition("labels.label", values, Op.NOT_ALL),)

        found = await both_ways(things, where, lambda t: not set(values) <= set(t.labels))
        assert "thing-00" in found

    @pytest.mark.parametrize("values", SETS, ids="+".join)
    async def test_none(self, things: Store, values: tuple[str, ...]) -> None:
        """NONE: no row of it has any of the values; a row without any is among them."""
        where = (Condition("labels.label", values, Op.NONE),)

        found = await both_ways(things, where, lambda t: not set(values) & set(t.labels))
        assert "thing-00" in found

    @pytest.mark.parametrize("field", ["colour", "weight", "id"])
    async def test_none_of_a_plain_column(self, things: Store, field: str) -> None:
        """NONE of a field: it has none of the values, in a column or inside the document; null is a value."""
        choices: dict[str, list[tuple[Any, ...]]] = {
            "colour": [("red",), ("red", ""), (None,), ("red", None), ("none such",)],
            "weight": [(3,), (None,), (3, None), (3, 5), (3, 5, None)],
            "id": [("thing-01",), ("thing-01", "thing-02", "none such"), (None,)],
        }
        for values in choices[field]:
            where = (Condition(field, values, Op.NONE),)
            await both_ways(things, where, lambda t, values=values: getattr(t, field) not in values)

    async def test_sets_are_anded_with_everything_else(self, things: Store) -> None:
        """Several conditions on one look-up, and others beside them, must all hold."""
        await both_ways(
            things,
            (
                Condition("labels.label", ("red",), Op.ALL),
                Condition("labels.label", ("%",), Op.NONE),
                Condition("labels.label", ("big", "%"), Op.NOT_ALL),
                Condition("colour", ("red", None)),
            ),
            lambda t: "red" in t.labels and "%" not in t.labels and t.colour in ("red", None),
        )
        await both_ways(
            things,
            (Condition("labels.label", ("big",)), Condition("labels.label", ("red",), Op.NONE)),
            lambda t: "big" in t.labels and "red" not in t.labels,
        )

    async def test_sets_look_at_rows_one_by_one(self, things: Store) -> None:
        """Plain conditions hold in one row of the look-up; ALL and NONE of its columns look at each for itself."""

        def places(thing: Thing) -> set[str]:
            return {place for place, _ in thing.sides}

        await both_ways(
            things,
            (Condition("sides.place", ("top", "end"), Op.ALL),),
            lambda t: {"top", "end"} <= places(t),
        )
        await both_ways(
            things,
            (Condition("sides.place", ("top",)), Condition("sides.mark", ("x",))),
            lambda t: ("top", "x") in t.sides,
        )
        await both_ways(
            things,
            (Condition("sides.place", ("top",), Op.ALL), Condition("sides.mark", ("y",), Op.NONE)),
            lambda t: "top" in places(t) and "y" not in {mark for _, mark in t.sides},
        )

    @pytest.mark.parametrize("op", [Op.ALL, Op.NOT_ALL, Op.NONE])
    async def test_no_values_match_nothing(self, things: Store, op: Op) -> None:
        """As with every other condition."""
        assert await things.reader.list(Thing, Query((Condition("labels.label", (), op),))) == []
        if op is Op.NONE:
            assert await things.reader.list(Thing, Query((Condition("colour", (), op),))) == []

    async def test_many_values(self, things: Store) -> None:
        """There is no limit on the number of values."""
        many = (*map(str, range(20_000)), "red")

        await both_ways(things, (Condition("labels.label", many, Op.NONE),), lambda t: "red" not in t.labels)
        await both_ways(things, (Condition("colour", many, Op.NONE),), lambda t: t.colour != "red")
        assert await things.reader.list(Thing, Query((Condition("labels.label", many, Op.ALL),))) == []

    @pytest.mark.parametrize("op", [Op.ALL, Op.NOT_ALL])
    async def test_only_a_look_up_has_all(self, things: Store, op: Op) -> None:
        """A plain column has one value: asking for all of several is InvalidInput."""
        with pytest.raises(InvalidInput, match="colour"):
            await things.reader.list(Thing, Query((Condition("colour", ("red",), op),)))

    async def test_a_transaction_sees_its_own_sets(self, open_store: OpenStore, tmp_path: Path) -> None:
        """Rows that the request has just written are found by their look-ups' sets."""

        async def work(tx: Transaction) -> list[str]:
            tx.insert(a_thing("thing-1", "red", "big"))
            tx.insert(a_thing("thing-2", "red"))
            tx.update(a_thing("thing-3", "big", "red"))
            found = await tx.list(Thing, Query((Condition("labels.label", ("big", "red"), Op.ALL),)))
            return [row.id for row in found]

        async with open_store(tmp_path, resources=THINGS) as store:
            await insert(store, a_thing("thing-3"))
            assert (await store.write(work)).value == ["thing-1", "thing-3"]


SORTS: list[tuple[Sort, ...]] = [
    (),
    (Sort("id", descending=True),),
    (Sort("name"),),
    (Sort("name", descending=True),),
    (Sort("provider_segmentation_id"),),
    (Sort("provider_segmentation_id", descending=True),),
    (Sort("name"), Sort("provider_segmentation_id", descending=True)),
    (Sort("provider_segmentation_id", descending=True), Sort("name")),
    (Sort("provider_segmentation_id"), Sort("mtu", descending=True), Sort("id")),
    (Sort("provider_physical_network", descending=True), Sort("admin_state_up")),
    (Sort("mtu"), Sort("id", descending=True), Sort("name")),
]


def sorted_in_python(rows: list[Network], sort: tuple[Sort, ...]) -> list[Network]:
    """The same order by another way: stable sorts, last key first, null before everything."""
    keys = [*sort]
    if not any(key.field == "id" for key in keys):
        keys.append(Sort("id", descending=bool(keys) and keys[-1].descending))
    for key in reversed(keys):
        rows = sorted(
            rows,
            key=lambda row: (
                (value := getattr(row, key.field)) is not None,
                value if value is not None else 0,
            ),
            reverse=key.descending,
        )
    return rows


@pytest.mark.parametrize(
    "sort", SORTS, ids=lambda sort: ",".join(f"{'-' * s.descending}{s.field}" for s in sort)
)
class TestPaging:
    """Pages are stretches of one total order."""

    async def test_the_order_is_total(self, store: Store, sort: tuple[Sort, ...]) -> None:
        """Rows come by every key in its direction, null first, then by id."""
        rows = await store.reader.list(Network, Query(sort=sort))

        assert [row.id for row in rows] == [
            row.id for row in sorted_in_python(sorted(rows, key=lambda r: r.id), sort)
        ]
        assert len(rows) == 36

    @pytest.mark.parametrize("limit", [1, 5, 36, 50])
    async def test_walking_forwards_gives_every_row_once(
        self, store: Store, sort: tuple[Sort, ...], limit: int
    ) -> None:
        """Page after page, by the last row's id, is the whole list."""
        whole = [row.id for row in await store.reader.list(Network, Query(sort=sort))]
        walked: list[str] = []
        while page := await store.reader.list(
            Network, Query(sort=sort, limit=limit, marker=walked[-1] if walked else None)
        ):
            assert len(page) <= limit
            walked += [row.id for row in page]

        assert walked == whole

    async def test_walking_backwards_gives_every_row_once(self, store: Store, sort: tuple[Sort, ...]) -> None:
        """Backwards, every page is still in the order's direction and ends before the marker."""
        whole = [row.id for row in await store.reader.list(Network, Query(sort=sort))]
        walked: list[str] = []
        while page := await store.reader.list(
            Network, Query(sort=sort, limit=5, marker=walked[0] if walked else None, reverse=True)
        ):
            walked = [*(row.id for row in page), *walked]

        assert walked == whole

    async def test_paging_keeps_the_filter(self, store: Store, sort: tuple[Sort, ...]) -> None:
        """A page holds only what matches, though the marker need not."""
        where = (Condition("admin_state_up", (True,)),)
        whole = await store.reader.list(Network, Query(sort=sort))
        marker = whole[9].id

        page = await store.reader.list(Network, Query(where, sort, 4, marker))

        assert [row.id for row in page] == [row.id for row in whole[10:] if row.admin_state_up][:4]


async def test_a_marker_must_be_there(store: Store) -> None:
    """A marker that names no row is NotFound, in a transaction too."""

    async def work(tx: Transaction) -> list[Network]:
        return await tx.list(Network, Query(marker="net-99"))

    with pytest.raises(NotFound, match="Network net-99"):
        await store.reader.list(Network, Query(marker="net-99"))
    with pytest.raises(NotFound, match="Network net-99"):
        await store.write(work)


async def test_a_page_of_nothing(store: Store) -> None:
    """A limit of 0 gives no rows."""
    assert await store.reader.list(Network, Query(limit=0)) == []


async def test_finding_by_id(store: Store) -> None:
    """find gives None and find_many leaves out what is not there."""
    row = await store.reader.find(Network, "net-00")

    assert row is not None
    assert await store.reader.find(Network, "net-99") is None
    assert await store.reader.find_many(Network, ["net-00", "net-99"]) == {"net-00": row}
    assert await store.reader.find_many(Network, []) == {}


class TestObservations:
    """Observed facts, beside intent."""

    async def test_facts_replace_facts(self, store: Store) -> None:
        """The last fact of an id is the one that is read, until it is forgotten."""
        first = PortObservation("port-1", "host-1", "BUILD")
        moved = PortObservation("port-1", "host-2", "ACTIVE", plugged=True, ofport=5, revision=9)
        other = PortObservation("port-2", "host-2", "DOWN", realized_at_ms=1.5)
        host = HostObservation("host-1", True, 12, "1.0", 7)
        observations = store.observations
        await observations.put([first], [], term=0)
        await observations.put([moved, other], [host], term=0)

        assert await observations.ports(["port-1", "port-9"]) == {"port-1": moved}
        assert await observations.hosts(["host-1", "host-9"]) == {"host-1": host}
        assert await observations.ports_of_host("host-1") == []
        assert await observations.ports_of_host("host-2") == [moved, other]
        await observations.forget(["port-1"], ["host-1"], term=0)
        assert await observations.ports(["port-1", "port-2"]) == {"port-2": other}
        assert await observations.hosts(["host-1"]) == {}

    async def test_a_write_of_a_term_that_is_over_is_refused(
        self, open_store: OpenStore, tmp_path: Path
    ) -> None:
        """Once a later term has begun, nothing of a lower one is kept, nor can it begin again; the later one writes."""
        async with open_store(tmp_path) as store:
            observations = store.observations
            old, new = (
                PortObservation("port-1", "host-1", "BUILD"),
                PortObservation("port-1", "host-2", "ACTIVE"),
            )
            host = HostObservation("host-1", True, 12)
            await observations.begin(3)
            await observations.put([old], [host], term=3)
            await observations.begin(7)
            await observations.put([new], [], term=7)

            for late in (
                observations.put([old], [msgspec.structs.replace(host, alive=False)], term=3),
                observations.forget(["port-1"], ["host-1"], term=6),
                observations.begin(6),
            ):
                with pytest.raises(Superseded, match="later term has begun"):
                    await late
            assert await observations.ports(["port-1"]) == {"port-1": new}
            assert await observations.hosts(["host-1"]) == {"host-1": host}
            await observations.begin(7)
            await observations.forget(["port-1"], ["host-1"], term=7)
            assert await observations.ports(["port-1"]) == {}

    async def test_nobody_is_alive_after_a_restart(self, open_store: OpenStore, tmp_path: Path) -> None:
        """At start every host counts as not alive until it is heard; all else is as it was seen."""
        port = PortObservation("port-1", "host-1", "ACTIVE", plugged=True)
        folder = tmp_path / "region"
        async with open_store(folder) as store:
            await store.observations.put(
                [port], [HostObservation("host-1", True, 12, "1.0", 0, "fine")], term=0
            )

        async with open_store(folder) as store:
            hosts = await store.observations.hosts(["host-1"])
            assert hosts == {"host-1": HostObservation("host-1", False, 12, "1.0", 0, "fine")}
            assert await store.observations.ports(["port-1"]) == {"port-1": port}

    async def test_facts_take_no_revision(self, store: Store) -> None:
        """Pure status is no change of intent."""
        before = await store.head()
        await store.observations.put([PortObservation("port-1", "host-1", "ACTIVE")], [], term=0)

        assert await store.head() == before


async def test_rows_are_counted_by_a_column(store: Store) -> None:
    """One read counts the rows of many values; a value of no row is left out."""
    counts = await store.reader.count_by(Port, "network_id", ["net-00", "net-01", "net-02", "nowhere"])

    assert counts == {"net-00": 2, "net-01": 1}
