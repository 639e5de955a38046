"""Filters and sorting of lists."""

from typing import Any

import pytest

from alcor.api.limit import Limits
from alcor.store.interface import PortObservation, Store
from tests.support.api import ADMIN_PROJECT, MEMBER_PROJECT, Api, error_of, serving
from tests.support.store import Clock


async def _names(api: Api, query: str, path: str = "/v2.0/networks") -> list[str]:
    return [row["name"] for row in await api.shown(f"{path}?{query}")]


@pytest.fixture
async def networks(api: Api) -> dict[str, dict[str, Any]]:
    """Three networks: a (admin's, up), b (member's, down, mtu 1400), and one without a name."""
    return {
        "a": await api.a_network(name="a", description="first"),
        "b": await api.a_network(name="b", project_id=MEMBER_PROJECT, admin_state_up=False, mtu=1400),
        "": await api.a_network(name=""),
    }


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("name=a", ["a"]),
        ("name=a&name=b", ["a", "b"]),
        ("name=a&name=c", ["a"]),
        ("name=a&admin_state_up=False", []),
        ("name=", [""]),
        ("description=first", ["a"]),
        ("mtu=1400", ["b"]),
        ("admin_state_up=True", ["", "a"]),
        ("admin_state_up=true", ["", "a"]),
        ("admin_state_up=1", ["", "a"]),
        ("admin_state_up=False", ["b"]),
        (f"tenant_id={MEMBER_PROJECT}", ["b"]),
        (f"project_id={ADMIN_PROJECT}", ["", "a"]),
        ("id=no-uuid", []),
        ("id=no-uuid&name=a", []),
        ("provider:network_type=vxlan&name=a", ["a"]),
        ("provider:physical_network=&name=a", ["a"]),
        ("shared=False&name=a", ["a"]),
        ("shared=True", []),
        ("status=ACTIVE&name=b", ["b"]),
        ("status=DOWN", []),
    ],
)
async def test_filters(api: Api, networks: dict[str, Any], query: str, expected: list[str]) -> None:
    """Attributes are ANDed, repeated values ORed; a value no row can have matches nothing."""
    assert await _names(api, f"{query}&sort_key=name") == expected


async def test_filter_by_ids(api: Api, networks: dict[str, Any]) -> None:
    """Repeated `id` finds exactly those rows; upper case and ids that are not there do no harm."""
    wanted = (
        f"id={networks['a']['id']}&id={networks['b']['id'].upper()}&id={'0' * 8}-0000-4000-8000-{'0' * 12}"
    )

    assert await _names(api, f"{wanted}&sort_key=name") == ["a", "b"]


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("foo=1", "['foo'] is invalid attribute for filtering"),
        ("foo=1&name=a&bar=2", "['foo', 'bar'] is invalid attribute for filtering"),
        ("subnets=x", "['subnets'] is invalid attribute for filtering"),
        ("sort_key=foo&sort_dir=asc", "['foo'] is invalid attribute for sort_keys"),
        ("sort_key=status&sort_dir=asc", "['status'] is invalid attribute for sort_keys"),
        (
            "sort_key=name&sort_dir=up",
            "['up'] is invalid value for sort_dirs, valid value is 'asc' and 'desc'",
        ),
        ("sort_key=name&sort_dir=asc&sort_dir=asc", "The number of sort_keys and sort_dirs must be same"),
        ("limit=many", "Limit must be an integer 0 or greater and not 'many'"),
        ("limit=-1", "Limit must be an integer 0 or greater and not '-1'"),
        ("tenant_id=a&project_id=a", "Both tenant_id and project_id passed as filters"),
    ],
)
async def test_what_cannot_be_listed_by_is_a_400(api: Api, query: str, message: str) -> None:
    """An unknown filter, sort key, direction or limit is a 400 that names it."""
    status, name, said = error_of(await api.get(f"/v2.0/networks?{query}"))

    assert (status, name) == (400, "HTTPBadRequest")
    assert message in said


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("admin_state_up=maybe", "Invalid input for admin_state_up. Reason: "),
        ("mtu=many", "Invalid input for mtu. Reason: 'many' is not an integer."),
        (
            "changed_since=yesterday",
            "Invalid input for changed_since. Reason: 'yesterday' is not a valid time",
        ),
    ],
)
async def test_a_filter_value_of_the_wrong_type_is_a_400(api: Api, query: str, message: str) -> None:
    """Numbers, truth values and times that are none are errors, as in the reference."""
    status, name, said = error_of(await api.get(f"/v2.0/networks?{query}"))

    assert (status, name) == (400, "InvalidInput")
    assert message in said


async def test_ports_are_found_by_their_addresses(api: Api) -> None:
    """`fixed_ips` filters by subnet, by address in any spelling, and by a part of an address."""
    network = await api.a_network()
    four = await api.a_subnet(network["id"], "10.0.0.0/24")
    six = await api.a_subnet(network["id"], "2001:db8::/64")
    await api.a_port(network["id"], name="a", fixed_ips=[{"ip_address": "10.0.0.10"}])
    await api.a_port(network["id"], name="b", fixed_ips=[{"ip_address": "10.0.0.11"}])
    await api.a_port(network["id"], name="c", fixed_ips=[{"ip_address": "2001:db8::c"}])

    async def found(*values: str) -> list[str]:
        query = "&".join(f"fixed_ips={value}" for value in values)
        return await _names(api, f"{query}&sort_key=name", "/v2.0/ports")

    assert await found("ip_address=10.0.0.10") == ["a"]
    assert await found("ip_address=10.0.0.10", "ip_address=10.0.0.11") == ["a", "b"]
    assert await found("ip_address=2001:0DB8:0:0::C") == ["c"]
    assert await found(f"subnet_id={four['id']}") == ["a", "b"]
    assert await found(f"subnet_id={four['id']}", f"subnet_id={six['id']}") == ["a", "b", "c"]
    assert await found(f"subnet_id={six['id']}", "ip_address=10.0.0.10") == []
    assert await found("ip_address_substr=0.0.1") == ["a", "b"]
    assert await found("ip_address_substr=DB8") == ["c"]
    assert await found("ip_address=nonsense") == []
    status, name, message = error_of(await api.get("/v2.0/ports?fixed_ips=10.0.0.10"))
    assert (status, name) == (400, "InvalidInput")
    assert "fixed_ips=ip_address=…" in message


async def test_ports_are_found_by_status(api: Api, store: Store) -> None:
    """A computed attribute filters too: status is looked up, then compared."""
    network = await api.a_network()
    port = await api.a_port(network["id"], name="a")
    await api.a_port(network["id"], name="b")

    assert await _names(api, "status=DOWN&sort_key=name", "/v2.0/ports") == ["a", "b"]
    assert await _names(api, "status=ACTIVE", "/v2.0/ports") == []
    assert await _names(api, "status=ACTIVE&status=DOWN&name=b", "/v2.0/ports") == ["b"]
    await store.observations.put([PortObservation(port["id"], "h", "ACTIVE")], [], term=0)
    shown = await api.shown(f"/v2.0/ports/{port['id']}")
    assert await _names(api, f"status={shown['status']}&name=a", "/v2.0/ports") == ["a"]


async def test_a_scan_stops_and_its_link_goes_on(store: Store) -> None:
    """A filter on a computed attribute reads a bounded number of rows; following the links finds all matches, none
    twice, in both directions."""
    async with serving(store, limits=Limits(scan_rows_max=4, scan_page_rows=2)) as api:
        await api.post("/v2.0/networks", {"networks": [{"name": f"{n:02}"} for n in range(11)]})
        query = "status=ACTIVE&sort_key=name&fields=name"

        path: str | None = f"/v2.0/networks?{query}&limit=3"
        seen = []
        while path is not None:
            page = (await api.get(path)).json()
            seen.append([row["name"] for row in page["networks"]])
            path = _href(page, "next")
        assert [name for names in seen for name in names] == [f"{n:02}" for n in range(11)]

        path = "/v2.0/networks?status=DOWN&sort_key=name"
        pages = 0
        while path is not None:
            page = (await api.get(path)).json()
            assert page["networks"] == []
            path = _href(page, "next")
            pages += 1
        assert pages == 3

        path = f"/v2.0/networks?{query}&limit=3&page_reverse=True"
        seen = []
        while path is not None:
            page = (await api.get(path)).json()
            seen.insert(0, [row["name"] for row in page["networks"]])
            path = _href(page, "previous")
        assert [name for names in seen for name in names] == [f"{n:02}" for n in range(11)]


async def test_changed_since(api: Api, clock: Clock) -> None:
    """`changed_since` finds what was created or changed at that time or later, in any time zone."""
    old = await api.a_network(name="old")
    clock.advance(60)
    await api.a_network(name="new")

    assert await _names(api, "changed_since=2026-09-21T14:14:20Z") == ["new"]
    assert await _names(api, "changed_since=2026-09-21T16:14:20%2B02:00") == ["new"]
    assert await _names(api, "changed_since=2026-09-21T16:14:20+02:00") == ["new"]
    assert await _names(api, "changed_since=2026-09-21T14:13:20&sort_key=name") == ["new", "old"]
    await api.put(f"/v2.0/networks/{old['id']}", {"network": {"name": "renamed"}})
    assert await _names(api, "changed_since=2026-09-21T14:14:20Z&sort_key=name") == ["new", "renamed"]


async def test_sorting_by_several_keys(api: Api) -> None:
    """Keys count in order; each has its direction, ascending if none is said; ties go by id."""
    for name, mtu in (("a", 1400), ("b", 1300), ("a", 1300), ("c", 1400)):
        await api.a_network(name=name, mtu=mtu)

    async def order(query: str) -> list[tuple[str, int]]:
        return [(row["name"], row["mtu"]) for row in await api.shown(f"/v2.0/networks?{query}")]

    rows = [("a", 1300), ("a", 1400), ("b", 1300), ("c", 1400)]
    assert await order("sort_key=name&sort_dir=asc&sort_key=mtu&sort_dir=asc") == rows
    assert await order("sort_key=name&sort_dir=desc&sort_key=mtu&sort_dir=desc") == rows[::-1]
    assert await order("sort_key=name&sort_key=mtu") == rows
    assert await order("sort_key=mtu&sort_dir=desc&sort_key=name") == [rows[1], rows[3], rows[0], rows[2]]
    ids = [row["id"] for row in await api.shown("/v2.0/networks")]
    assert ids == sorted(ids)


def _href(page: dict[str, Any], rel: str) -> str | None:
    return next((link["href"] for link in page.get("networks_links", ()) if link["rel"] == rel), None)
