"""Version discovery, the list of resources, extensions, health and metrics."""

import pytest

from alcor.api.extension import EXTENSIONS
from alcor.store.interface import Store
from tests.support.api import URL, Api, error_of, serving


async def test_root_lists_the_one_version_without_a_token(store: Store) -> None:
    """`GET /` names v2.0 and a link below the host that was asked, and needs no token."""
    async with serving(store, token=None) as api:
        answer = await api.get("/")

        assert answer.status_code == 200
        assert answer.json() == {
            "versions": [
                {"id": "v2.0", "status": "CURRENT", "links": [{"rel": "self", "href": f"{URL}/v2.0/"}]}
            ]
        }


@pytest.mark.parametrize(
    ("headers", "base"),
    [
        ({"host": "net.example.org"}, "http://net.example.org"),
        ({"host": "[2001:db8::1]:9696"}, "http://[2001:db8::1]:9696"),
        ({"host": "net.example.org", "x-forwarded-proto": "https"}, "https://net.example.org"),
        ({"host": 'evil"><script>'}, "http://alcor.test:9696"),
        ({"host": "net.example.org", "x-forwarded-proto": "javascript"}, "http://net.example.org"),
    ],
)
async def test_links_follow_the_host_header(api: Api, headers: dict[str, str], base: str) -> None:
    """Links name the host and scheme the client used; a header that is no host is not repeated."""
    answer = await api.get("/", headers=headers)

    assert answer.json()["versions"][0]["links"][0]["href"] == f"{base}/v2.0/"


async def test_public_endpoint_overrides_the_host_header(store: Store) -> None:
    """A configured public endpoint is in every link, whatever the Host header says."""
    async with serving(store, public_endpoint="https://net.example.org/network/") as api:
        answer = await api.get("/")

        href = answer.json()["versions"][0]["links"][0]["href"]
        assert href == "https://net.example.org/network/v2.0/"


async def test_v2_lists_the_resources_of_the_networking_api(api: Api) -> None:
    """`GET /v2.0/` names what is served below it, and only that: Alcor's own services are beside it."""
    resources = await api.shown("/v2.0/")

    named = {one["name"]: one for one in resources}
    assert named.keys() >= {"network", "subnet", "port"}
    assert "host" not in named
    assert named["network"]["collection"] == "networks"
    assert named["network"]["links"] == [{"rel": "self", "href": f"{URL}/v2.0/networks"}]


async def test_a_trailing_slash_means_nothing(api: Api) -> None:
    """`/v2.0/networks/` and `/v2.0/networks` are one path."""
    assert await api.shown("/v2.0/networks/") == []


async def test_extensions_are_listed_and_shown_by_alias(api: Api) -> None:
    """`GET /v2.0/extensions` lists every extension once; each is shown under its alias."""
    listed = await api.shown("/v2.0/extensions")

    aliases = [one["alias"] for one in listed]
    assert aliases == sorted(set(aliases))
    assert {one.alias for one in EXTENSIONS} <= set(aliases)
    assert {"provider", "binding", "port-security", "net-mtu", "revision-if-match"} <= set(aliases)
    for one in listed:
        assert await api.shown(f"/v2.0/extensions/{one['alias']}") == one


@pytest.mark.parametrize("alias", ["rbac-bgpvpn", "logging-resource", "nonsense"])
async def test_an_extension_that_does_not_work_is_not_there(api: Api, alias: str) -> None:
    """What the region does not do is a 404 among the extensions, which is how clients find out."""
    answer = await api.get(f"/v2.0/extensions/{alias}")

    assert error_of(answer) == (404, "HTTPNotFound", f"Extension with alias {alias} does not exist")


async def test_every_attribute_an_extension_promises_is_shown(api: Api) -> None:
    """Each listed extension's attributes are in the answers."""
    network = await api.a_network()
    await api.a_subnet(network["id"])
    port = await api.a_port(network["id"])

    common = {"description", "revision_number", "created_at", "updated_at", "project_id", "tenant_id"}
    assert common <= network.keys()
    assert common <= port.keys()
    assert {
        "mtu",
        "port_security_enabled",
        "provider:network_type",
        "provider:physical_network",
        "provider:segmentation_id",
    } <= network.keys()
    assert {
        "port_security_enabled",
        "binding:host_id",
        "binding:profile",
        "binding:vif_details",
        "binding:vif_type",
        "binding:vnic_type",
    } <= port.keys()


async def test_only_the_chosen_services_are_mounted(store: Store) -> None:
    """A process of some services serves, lists and announces those, and nothing of the others."""
    async with serving(store, services=["vpc"]) as api:
        assert (await api.get("/v2.0/networks")).status_code == 200
        assert (await api.get("/v2.0/ports")).status_code == 404
        assert (await api.get("/hosts")).status_code == 404
        names = {one["name"] for one in await api.shown("/v2.0/")}
        assert "network" in names
        assert "port" not in names
        aliases = {one["alias"] for one in await api.shown("/v2.0/extensions")}
        assert "provider" in aliases
        assert "binding" not in aliases
        assert "/v2.0/ports" not in api.document["paths"]


async def test_an_unknown_service_is_refused_at_start(store: Store) -> None:
    """A service that does not exist is named when the process starts, with those that do."""
    with pytest.raises(ValueError, match=r"no such services: \['vcp'\]; there are \[.*'vpc'.*\]"):
        async with serving(store, services=["vcp"]):
            pass


async def test_health_says_what_is_missing(store: Store) -> None:
    """`/healthz` is 200 while the process serves; otherwise 503 with each part and its reason. No token."""

    async def unready() -> dict[str, str]:
        return {"bus": "not connected"}

    async with serving(store, token=None) as api:
        answer = await api.get("/healthz")
        assert (answer.status_code, answer.json()["status"]) == (200, "ok")
    async with serving(store, token=None, ready=unready) as api:
        answer = await api.get("/healthz")
        assert answer.status_code == 503
        assert answer.json()["missing"] == {"bus": "not connected"}


async def test_metrics_count_requests_by_collection_method_and_status(api: Api, store: Store) -> None:
    """`/metrics` has one histogram series per collection, method and status, and needs no token."""
    await api.get("/v2.0/networks/no-such-network")
    async with serving(store, token=None) as scraper:
        text = (await scraper.get("/metrics")).text

    assert 'alcor_api_request_seconds_count{collection="networks",method="GET",status="404"}' in text
    assert "no-such-network" not in text


async def test_invented_methods_make_no_new_series(api: Api) -> None:
    """A client cannot grow the metrics by inventing methods or paths."""
    await api.request("FROBNICATE", "/v2.0/networks")
    await api.get("/invented/path")
    text = (await api.get("/metrics")).text

    assert "FROBNICATE" not in text
    assert "invented" not in text
