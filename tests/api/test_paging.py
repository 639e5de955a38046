"""Pages: limit, marker, direction and links."""

from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest

from alcor.api.limit import Limits
from alcor.store.interface import Store
from tests.support.api import URL, Api, error_of, serving

NAMES = [f"{n:02}" for n in range(7)]


@pytest.fixture
async def seven(api: Api) -> Api:
    """Seven networks, named in order; their descriptions make two groups, to be sorted by with many ties."""
    items = [{"name": name, "description": "odd" if int(name) % 2 else "even"} for name in NAMES]
    await api.post("/v2.0/networks", {"networks": items[::-1]})
    return api


def _names(page: dict[str, Any]) -> list[str]:
    return [row["name"] for row in page["networks"]]


def _links(page: dict[str, Any]) -> dict[str, str]:
    return {link["rel"]: link["href"] for link in page.get("networks_links", ())}


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 8])
@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ("sort_key=name", NAMES),
        ("sort_key=name&sort_dir=desc", NAMES[::-1]),
        ("sort_key=description&sort_dir=desc&sort_key=name", [*NAMES[1::2], *NAMES[::2]]),
        ("sort_key=provider:physical_network&sort_key=name", NAMES),
    ],
)
async def test_links_walk_all_pages_both_ways(
    seven: Api, limit: int, order: str, expected: list[str]
) -> None:
    """Following `next` from the first page gives every row once, in order; `previous` walks the same way back."""
    page = (await seven.get(f"/v2.0/networks?limit={limit}&{order}")).json()
    walked = [page]
    while "next" in _links(page):
        page = (await seven.get(_links(page)["next"])).json()
        walked.append(page)
        assert len(walked) <= len(NAMES) + 1
    assert [name for page in walked for name in _names(page)] == expected

    last_full = next(page for page in reversed(walked) if _names(page))
    back, page = [last_full], last_full
    while "previous" in _links(page):
        page = (await seven.get(_links(page)["previous"])).json()
        back.append(page)
        assert len(back) <= len(NAMES) + 1
    assert [name for page in reversed(back) for name in _names(page)] == expected


async def test_links_are_absolute_and_keep_the_query(seven: Api) -> None:
    """A link repeats what was asked, with a marker of its own, below the host that was asked."""
    page = (await seven.get("/v2.0/networks?limit=2&sort_key=name&fields=name&description=odd")).json()

    url = urlsplit(_links(page)["next"])
    assert f"{url.scheme}://{url.netloc}{url.path}" == f"{URL}/v2.0/networks"
    marker = (await seven.shown("/v2.0/networks?name=03"))[0]["id"]
    assert parse_qsl(url.query) == [
        ("limit", "2"),
        ("sort_key", "name"),
        ("fields", "name"),
        ("description", "odd"),
        ("marker", marker),
    ]
    assert page["networks"] == [{"name": "01"}, {"name": "03"}]


async def test_marker_without_links(seven: Api) -> None:
    """Clients may page by themselves: the rows after a marker, or before it with `page_reverse`."""
    ids = {row["name"]: row["id"] for row in await seven.shown("/v2.0/networks")}

    async def page(query: str) -> list[str]:
        return _names((await seven.get(f"/v2.0/networks?sort_key=name&limit=2&{query}")).json())

    assert await page(f"marker={ids['01']}") == ["02", "03"]
    assert await page(f"marker={ids['06']}") == []
    assert await page(f"marker={ids['03']}&page_reverse=True") == ["01", "02"]
    assert await page("page_reverse=true") == ["05", "06"]


async def test_rows_made_meanwhile_shift_no_page(seven: Api) -> None:
    """Pages go by position in the order, not by count: rows made or removed before it do not repeat or hide rows."""
    page = (await seven.get("/v2.0/networks?sort_key=name&limit=3")).json()
    await seven.a_network(name="00a")
    await seven.delete(f"/v2.0/networks/{page['networks'][0]['id']}")

    assert _names((await seven.get(_links(page)["next"])).json()) == ["03", "04", "05"]


async def test_a_list_without_limit_is_whole_and_has_no_links(seven: Api) -> None:
    """Without `limit`, or with 0, all rows come and no links, as clients that know no pages expect."""
    for query in ("", "?limit=0"):
        page = (await seven.get(f"/v2.0/networks{query}")).json()
        assert sorted(_names(page)) == NAMES
        assert "networks_links" not in page


async def test_no_answer_is_longer_than_a_page(store: Store) -> None:
    """A list is cut at the largest page, whatever limit was asked for, and its `next` link goes on."""
    async with serving(store, limits=Limits(page_items_max=3)) as api:
        await api.post("/v2.0/networks", {"networks": [{"name": name} for name in NAMES]})

        for query in ("sort_key=name", "sort_key=name&limit=1000000000000"):
            page = (await api.get(f"/v2.0/networks?{query}")).json()
            names = _names(page)
            while "next" in _links(page):
                assert len(page["networks"]) == 3
                page = (await api.get(_links(page)["next"])).json()
                names += _names(page)
            assert names == NAMES


async def test_an_unknown_marker_is_a_404(seven: Api, member: Api) -> None:
    """A marker that names no row, or one the caller may not see, is a 404 of the resource's type."""
    status, name, message = error_of(await seven.get("/v2.0/networks?limit=2&marker=nothing"))
    assert (status, name, message) == (404, "NetworkNotFound", "Network nothing could not be found.")
    other = (await seven.shown("/v2.0/networks"))[0]["id"]
    assert (await member.get(f"/v2.0/networks?limit=2&marker={other}")).status_code == 404


async def test_an_empty_list_has_an_empty_page(api: Api) -> None:
    """No rows: an empty list, no `next`."""
    page = (await api.get("/v2.0/networks?limit=5")).json()

    assert page["networks"] == []
    assert "next" not in _links(page)
