"""Whatever a client sends, the answer is one the document describes: never an internal error."""

from typing import Any
from urllib.parse import quote, urlencode

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from alcor.managers.interface import Manager
from alcor.managers.registry import managers
from tests.support.api import Api, collection_path

RESOURCES = {
    part.resource.name: part.resource
    for part in managers()
    if isinstance(part, Manager) and part.resource.parent is None and part.source is None
}
ANY = settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])

_scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        [
            "10.0.0.0/24",
            "10.0.0.1",
            "::1/64",
            "fe80::1%eth0",
            "0.0.0.0/0",
            "::/0",
            "ff02::1",
            "255.255.255.255",
        ]
    ),
    st.sampled_from(["02:00:00:00:00:01", "02-00-00-00-00-02", "4e8e5957-649f-477b-9e5b-f1f75b21c03c", ""]),
)
_json = st.recursive(
    _scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(st.text(max_size=10), inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["subnet_id", "ip_address", "start", "end", "destination", "nexthop"]),
            inner,
            max_size=2,
        ),
    ),
    max_leaves=8,
)
_kinds = st.sampled_from(sorted(RESOURCES))


@st.composite
def _items(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A resource and an item of it: some attributes, each with any value."""
    kind = draw(_kinds)
    names = [attribute.name for attribute in RESOURCES[kind].attributes]
    chosen = draw(st.lists(st.sampled_from([*names, "tenant_id", "nonsense"]), max_size=4, unique=True))
    return kind, {name: draw(_json) for name in chosen}


@ANY
@given(st.data(), _items(), st.booleans())
async def test_any_attribute_value(
    api: Api, data: st.DataObject, drawn: tuple[str, dict[str, Any]], is_bulk: bool
) -> None:
    """A create or an update with any values of any attributes succeeds or is refused with a reason."""
    kind, item = drawn
    network = await _network(api)
    needed = {"network_id": network["id"], "name": "x", "vtep_addresses": ["192.0.2.1"], "ip_version": 4}
    needed |= {"cidr": "10.7.0.0/24", "first": "02:00:00:00:00:00", "last": "02:00:00:00:00:ff"}
    known = {attribute.name for attribute in RESOURCES[kind].attributes}
    base = {name: value for name, value in needed.items() if name in known and data.draw(st.booleans())}
    path = collection_path(kind)
    resource = RESOURCES[kind]
    many, one = resource.collection_key, resource.member_key
    body = {many: [base | item, base]} if is_bulk else {one: base | item}
    created = await _answered(api, "POST", path, json=body)
    updated = await _answered(api, "PUT", f"/v2.0/networks/{network['id']}", json={"network": item})

    assert created.status_code in (201, 400, 404, 405, 409, 503)
    assert updated.status_code in (200, 400, 409)
    assert (await _answered(api, "GET", path)).status_code == 200


@ANY
@given(st.binary(max_size=60))
async def test_any_bytes(api: Api, content: bytes) -> None:
    """A body of any bytes is refused as no JSON, or as no request."""
    answer = await _answered(api, "POST", "/v2.0/networks", content=content)

    assert answer.status_code in (400, 413)


@ANY
@given(_kinds, st.data(), st.text(max_size=30))
async def test_any_query(api: Api, kind: str, data: st.DataObject, id: str) -> None:
    """A list with any parameters, and a show with any id, are answered or refused with a reason."""
    names = [attribute.name for attribute in RESOURCES[kind].attributes]
    page = ["fields", "sort_key", "sort_dir", "limit", "marker", "page_reverse", "changed_since", "tenant_id"]
    values = st.one_of(
        st.text(max_size=15),
        st.sampled_from(
            [*names, "asc", "desc", "1", "True", "subnet_id=x", "ip_address_substr=1", "2026-01-01"]
        ),
    )
    pairs = data.draw(st.lists(st.tuples(st.sampled_from([*names, *page, "nonsense"]), values), max_size=5))
    await _network(api)
    path = collection_path(kind)
    listed = await _answered(api, "GET", f"{path}?{urlencode(pairs)}")
    shown = await _answered(api, "GET", f"{path}/{quote(id, safe='')}")

    assert listed.status_code in (200, 400, 404)
    assert shown.status_code in (200, 404)


@ANY
@given(st.text(st.characters(min_codepoint=32, max_codepoint=255), max_size=40), st.integers(0, 3))
async def test_any_header(api: Api, value: str, which: int) -> None:
    """Any value of a header we read is answered or refused with a reason."""
    network = await _network(api)
    name = ("if-match", "x-openstack-request-id", "host", "content-type")[which]
    answer = await _answered(
        api,
        "PUT",
        f"/v2.0/networks/{network['id']}",
        content=b'{"network": {"name": "x"}}',
        headers={name: value.encode("latin-1")},
    )

    assert answer.status_code in (200, 400, 412, 415)


async def _network(api: Api) -> dict[str, Any]:
    """One network, the same in every example of a test."""
    found = await api.shown("/v2.0/networks?name=mine")
    return found[0] if found else await api.a_network(name="mine")


async def _answered(api: Api, method: str, path: str, **more: Any) -> httpx.Response:
    answer = await api.request(method, path, **more)
    assert answer.status_code != 500, answer.text
    return answer
