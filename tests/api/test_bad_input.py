"""Bad input and failure: each gets the API's own error type and a message that names the thing and the reason."""

from typing import Any

import pytest

from alcor.api.limit import Limits
from alcor.store.interface import Store
from tests.support.api import Api, error_of, serving

NOWHERE = "00000000-0000-4000-8000-000000000000"


async def _raw(api: Api, content: bytes, kind: str = "application/json") -> tuple[int, str, str]:
    answer = await api.request("POST", "/v2.0/networks", content=content, headers={"content-type": kind})
    return error_of(answer)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "The request has no body; a JSON object is needed."),
        (b'{"network": {', "The body is not valid JSON: "),
        (b'{"network": {}} x', "(line 1, column 17)"),
        (b'{"network": {"name": "\\ud800"}}', "The body is not valid JSON: "),
        (b'{"network": {"mtu": NaN}}', "The body is not valid JSON: "),
        (b"\xff\xfe", "The body is not valid JSON: "),
        (b"[]", "The body must be a JSON object with the member 'network'."),
        (b'"network"', "The body must be a JSON object with the member 'network'."),
        (b"{}", "Unable to find 'network' in request body"),
        (b'{"port": {}}', "Unable to find 'network' in request body"),
        (b'{"network": null}', "Object 'network' contains invalid data: it must be a JSON object."),
        (b'{"network": []}', "Object 'network' contains invalid data: it must be a JSON object."),
        (b'{"networks": {}}', "'networks' must be a list with at least one item."),
        (b'{"networks": []}', "'networks' must be a list with at least one item."),
        (b'{"networks": [1]}', "Object 'network' contains invalid data: it must be a JSON object."),
    ],
)
async def test_a_body_that_is_no_request_is_a_400(api: Api, content: bytes, message: str) -> None:
    """A body that is no JSON, or not of the right form, is a 400 that says what and where."""
    status, name, said = await _raw(api, content)

    assert (status, name) == (400, "HTTPBadRequest")
    assert message in said


async def test_a_deep_body_is_refused_before_it_is_looked_at(api: Api) -> None:
    """JSON nested deeper than the limit is a 400 that names the limit; at the limit it is accepted."""
    for depth in (33, 1_000, 100_000):
        status, name, message = await _raw(
            api, b'{"network": {"name": ' + b"[" * depth + b"]" * depth + b"}}"
        )
        assert (status, name) == (400, "HTTPBadRequest")
        assert "nested deeper than 32 levels" in message or "not valid JSON" in message
    network = await api.a_network()
    profile: dict[str, Any] = {}
    for _ in range(28):
        profile = {"x": profile}
    port = await api.a_port(network["id"], **{"binding:profile": profile})
    assert port["binding:profile"] == profile


async def test_a_body_of_another_type_is_a_415(api: Api) -> None:
    """A body that says it is not JSON is refused with what is understood."""
    assert await _raw(api, b"name: red", "application/yaml") == (
        415,
        "HTTPUnsupportedMediaType",
        "The body's Content-Type is 'application/yaml'; only application/json is understood.",
    )
    assert (await _raw(api, b"{}", "application/json; charset=utf-8"))[0] == 400


async def test_what_curl_says_of_a_body_is_not_believed(api: Api) -> None:
    """`curl -d` calls every body a form: whether it is JSON, the body decides."""
    headers = {"content-type": "application/x-www-form-urlencoded"}
    made = await api.request(
        "POST", "/v2.0/networks", content=b'{"network": {"name": "red"}}', headers=headers
    )

    assert made.status_code == 201
    assert (await _raw(api, b"name=red", headers["content-type"]))[0] == 400


async def test_a_large_body_is_a_413(store: Store) -> None:
    """A body above the limit is refused by its announced length, or where reading it passes the limit."""
    async with serving(store, limits=Limits(body_bytes_max=1_000)) as api:
        large = b'{"network": {"name": "' + b"x" * 1_000 + b'"}}'

        async def chunks() -> Any:
            for start in range(0, len(large), 100):
                yield large[start : start + 100]

        for content in (large, chunks()):
            answer = await api.request("POST", "/v2.0/networks", content=content)
            assert error_of(answer) == (
                413,
                "HTTPRequestEntityTooLarge",
                "The body is larger than 1000 bytes. Send it in several requests.",
            )
        assert await api.shown("/v2.0/networks") == []


async def test_a_large_bulk_is_a_413(api: Api) -> None:
    """More items than a bulk may have are refused with the limit; exactly as many are created."""
    answer = await api.post("/v2.0/networks", {"networks": [{}] * 1_001})
    assert error_of(answer) == (
        413,
        "HTTPRequestEntityTooLarge",
        "'networks' has 1001 items; one request has at most 1000. Send them in several requests.",
    )
    answer = await api.post("/v2.0/networks", {"networks": [{}] * 1_000})
    assert answer.status_code == 201
    assert len(answer.json()["networks"]) == 1_000


async def test_a_long_url_is_a_414_and_long_headers_a_431(api: Api) -> None:
    """URLs and headers are bounded, and the error names the bound."""
    answer = await api.get("/v2.0/networks?name=" + "x" * 61_440)
    assert error_of(answer)[:2] == (414, "HTTPRequestURITooLong")
    answer = await api.get("/v2.0/networks", headers={"x-long": "x" * 33_000})
    assert error_of(answer)[:2] == (431, "HTTPRequestHeaderFieldsTooLarge")
    answer = await api.get("/v2.0/networks", headers={f"x-{n}": "1" for n in range(101)})
    assert error_of(answer)[:2] == (431, "HTTPRequestHeaderFieldsTooLarge")
    answer = await api.get("/v2.0/networks?" + "&".join(["id=1"] * 2_001))
    assert error_of(answer)[:2] == (400, "HTTPBadRequest")


@pytest.mark.parametrize(
    ("kind", "item", "name", "message"),
    [
        ("network", {"foo": 1}, "HTTPBadRequest", "Unrecognized attribute(s) 'foo'"),
        ("network", {"foo": 1, "bar": 2}, "HTTPBadRequest", "Unrecognized attribute(s) 'bar, foo'"),
        ("network", {"id": NOWHERE}, "HTTPBadRequest", "Attribute 'id' not allowed in POST"),
        ("network", {"status": "DOWN"}, "HTTPBadRequest", "Attribute 'status' not allowed in POST"),
        (
            "network",
            {"tenant_id": "a", "project_id": "b"},
            "HTTPBadRequest",
            "'project_id' and 'tenant_id' do not match",
        ),
        (
            "network",
            {"mtu": "abc"},
            "InvalidInput",
            "Invalid input for mtu. Reason: 'abc' is not an integer.",
        ),
        (
            "network",
            {"mtu": True},
            "InvalidInput",
            "Invalid input for mtu. Reason: 'True' is not an integer.",
        ),
        (
            "network",
            {"mtu": -1},
            "InvalidInput",
            "Invalid input for mtu. Reason: '-1' is not in range",
        ),
        (
            "network",
            {"admin_state_up": "maybe"},
            "InvalidInput",
            "Invalid input for admin_state_up. Reason: 'maybe' cannot be converted to boolean.",
        ),
        (
            "network",
            {"name": None},
            "InvalidInput",
            "Invalid input for name. Reason: 'None' is not a valid string.",
        ),
        ("network", {"name": "x" * 256}, "InvalidInput", "exceeds maximum length of 255."),
        (
            "network",
            {"project_id": 7},
            "InvalidInput",
            "Invalid input for project_id. Reason: '7' is not a valid string.",
        ),
        (
            "network",
            {"provider:network_type": "carrier-pigeon"},
            "InvalidInput",
            "Invalid input for provider:network_type.",
        ),
        (
            "subnet",
            {},
            "HTTPBadRequest",
            "Failed to parse request. Required attribute 'network_id' not specified",
        ),
        (
            "subnet",
            {"network_id": NOWHERE, "ip_version": 4, "cidr": "10.0.0.0/33"},
            "InvalidInput",
            "Invalid input for cidr. Reason: '10.0.0.0/33' is not a valid IP subnet.",
        ),
        (
            "subnet",
            {"network_id": "red", "ip_version": 4, "cidr": "10.0.0.0/24"},
            "InvalidInput",
            "Invalid input for network_id. Reason: 'red' is not a valid UUID.",
        ),
        (
            "port",
            {"network_id": NOWHERE, "mac_address": "01:00:00:00:00:01"},
            "InvalidInput",
            "Invalid input for mac_address. Reason: '01:00:00:00:00:01' is not a unicast MAC address.",
        ),
        (
            "port",
            {"network_id": NOWHERE, "fixed_ips": {"ip_address": "10.0.0.1"}},
            "InvalidInput",
            "Invalid input for fixed_ips. Reason: ",
        ),
        (
            "port",
            {"network_id": NOWHERE, "fixed_ips": [{"address": "10.0.0.1"}]},
            "InvalidInput",
            "unexpected keys ['address']",
        ),
        (
            "port",
            {"network_id": NOWHERE, "security_group": []},
            "HTTPBadRequest",
            "Unrecognized attribute(s)",
        ),
        ("host", {"name": "h"}, "HTTPBadRequest", "Required attribute 'vtep_addresses' not specified"),
        (
            "host",
            {"name": "", "vtep_addresses": ["192.0.2.1"]},
            "InvalidInput",
            "Invalid input for name. Reason: '' is shorter than 1.",
        ),
    ],
)
async def test_an_item_that_can_never_be_is_a_400(
    api: Api, kind: str, item: dict[str, Any], name: str, message: str
) -> None:
    """What the declaration forbids is a 400 that names the attribute, the value and the reason."""
    path = "/hosts" if kind == "host" else f"/v2.0/{kind}s"
    status, found, said = error_of(await api.post(path, {kind: item}))

    assert (status, found) == (400, name)
    assert message in said


@pytest.mark.parametrize(
    ("item", "name", "message"),
    [
        ({"id": NOWHERE}, "HTTPBadRequest", "Cannot update read-only attribute id"),
        ({"revision_number": 7}, "HTTPBadRequest", "Cannot update read-only attribute revision_number"),
        ({"tenant_id": "x"}, "HTTPBadRequest", "Cannot update read-only attribute project_id"),
        ({"foo": 7}, "HTTPBadRequest", "Unrecognized attribute(s) 'foo'"),
        ({"mtu": "x"}, "InvalidInput", "Invalid input for mtu. Reason: 'x' is not an integer."),
    ],
)
async def test_an_update_that_can_never_be_is_a_400(
    api: Api, item: dict[str, Any], name: str, message: str
) -> None:
    """Read-only and unknown attributes, and wrong values, are refused; nothing is changed."""
    network = await api.a_network()
    path = f"/v2.0/networks/{network['id']}"

    assert error_of(await api.put(path, {"network": item})) == (400, name, message)
    assert await api.shown(path) == network


async def test_a_long_value_is_not_sent_back_whole(api: Api) -> None:
    """An error repeats at most two thousand characters, however long the value was."""
    answer = await api.post("/v2.0/networks", {"network": {"mtu": "9" * 100_000}})

    assert answer.status_code == 400
    assert len(answer.content) < 2_300


async def test_an_unknown_network_is_a_404(api: Api) -> None:
    """A subnet or a port of a network that is not there is a 404 of the network's type."""
    subnet = {"network_id": NOWHERE, "ip_version": 4, "cidr": "10.0.0.0/24"}
    missing = (404, "NetworkNotFound", f"Network {NOWHERE} could not be found.")

    assert error_of(await api.post("/v2.0/subnets", {"subnet": subnet})) == missing
    assert error_of(await api.post("/v2.0/ports", {"port": {"network_id": NOWHERE}})) == missing


@pytest.mark.parametrize(
    ("item", "status", "name"),
    [
        ({"cidr": "10.0.0.128/25"}, 400, "InvalidInput"),
        ({"cidr": "10.1.0.0/24", "ip_version": 6}, 400, "InvalidInput"),
        (
            {"cidr": "10.1.0.0/24", "allocation_pools": [{"start": "10.2.0.1", "end": "10.2.0.9"}]},
            400,
            "OutOfBoundsAllocationPool",
        ),
        (
            {
                "cidr": "10.1.0.0/24",
                "allocation_pools": [
                    {"start": "10.1.0.10", "end": "10.1.0.20"},
                    {"start": "10.1.0.20", "end": "10.1.0.30"},
                ],
            },
            409,
            "OverlappingAllocationPools",
        ),
        (
            {
                "cidr": "10.1.0.0/24",
                "gateway_ip": "10.1.0.5",
                "allocation_pools": [{"start": "10.1.0.2", "end": "10.1.0.9"}],
            },
            409,
            "GatewayConflictWithAllocationPools",
        ),
    ],
)
async def test_a_subnet_that_cannot_be(api: Api, item: dict[str, Any], status: int, name: str) -> None:
    """Overlaps, pools and gateways that cannot be have the reference's error types."""
    network = await api.a_network()
    await api.a_subnet(network["id"], "10.0.0.0/24")
    body = {"network_id": network["id"], "ip_version": 4} | item
    answer = await api.post("/v2.0/subnets", {"subnet": body})

    assert error_of(answer)[:2] == (status, name)
    assert len(await api.shown("/v2.0/subnets")) == 1


async def test_an_overlap_names_both_prefixes(api: Api) -> None:
    """The message of an overlap names the prefix asked for and what it overlaps."""
    network = await api.a_network()
    await api.a_subnet(network["id"], "10.0.0.0/24")
    body = {"network_id": network["id"], "ip_version": 4, "cidr": "10.0.0.128/25"}
    _, _, message = error_of(await api.post("/v2.0/subnets", {"subnet": body}))

    assert "10.0.0.128/25" in message
    assert "overlaps" in message


async def test_addresses_and_macs_that_cannot_be(api: Api) -> None:
    """Taken, foreign and exhausted addresses, and taken MACs, each have their type and name the address."""
    network = await api.a_network()
    subnet = await api.a_subnet(network["id"], "10.0.0.0/30")
    port = await api.a_port(network["id"], mac_address="02:00:00:00:00:99")

    async def refused(**item: Any) -> tuple[int, str, str]:
        return error_of(await api.post("/v2.0/ports", {"port": {"network_id": network["id"], **item}}))

    taken = port["fixed_ips"][0]["ip_address"]
    status, name, message = await refused(fixed_ips=[{"ip_address": taken}])
    assert (status, name) == (409, "IpAddressAlreadyAllocated")
    assert taken in message
    status, name, message = await refused(fixed_ips=[{"subnet_id": subnet["id"], "ip_address": "10.9.0.1"}])
    assert (status, name) == (400, "InvalidIpForSubnet")
    assert "10.9.0.1" in message
    status, name, message = await refused(fixed_ips=[{"ip_address": "10.9.0.1"}])
    assert (status, name) == (400, "InvalidIpForNetwork")
    assert "10.9.0.1" in message
    status, name, message = await refused(mac_address="02:00:00:00:00:99", fixed_ips=[])
    assert (status, name) == (409, "MacAddressInUse")
    assert "02:00:00:00:00:99" in message
    status, name, message = await refused()
    assert (status, name) == (409, "IpAddressGenerationFailure")
    assert network["id"] in message


async def test_a_segment_that_is_taken(api: Api) -> None:
    """A VNI that another network has is a 409 that names it."""
    provider = {"provider:network_type": "vxlan", "provider:segmentation_id": 5_000}
    await api.a_network(**provider)
    status, name, message = error_of(await api.post("/v2.0/networks", {"network": provider}))

    assert (status, name) == (409, "TunnelIdInUse")
    assert "5000" in message


async def test_what_is_in_use_is_not_deleted(api: Api) -> None:
    """Deleting what is in use is a 409 of the resource's type that names the user."""
    network = await api.a_network()
    subnet = await api.a_subnet(network["id"])
    port = await api.a_port(network["id"], **{"binding:host_id": "host-1"})

    for path, kind, row in (("/v2.0/networks", "Network", network), ("/v2.0/subnets", "Subnet", subnet)):
        status, name, message = error_of(await api.delete(f"{path}/{row['id']}"))
        assert (status, name) == (409, f"{kind}InUse")
        assert row["id"] in message
        assert port["id"] in message


async def test_a_host_name_that_is_taken(api: Api) -> None:
    """Two hosts cannot have one name."""
    await api.made("host", name="host-1", vtep_addresses=["192.0.2.1"])
    answer = await api.post("/hosts", {"host": {"name": "host-1", "vtep_addresses": ["192.0.2.2"]}})

    status, name, message = error_of(answer)
    assert (status, name) == (409, "HTTPConflict")
    assert "host-1" in message


@pytest.mark.parametrize(
    "path", ["/v2.0/routes", "/v2.0/networks/x/y/z", "/v2", "/v3.0/networks", "/tokens", "/docs/../x"]
)
async def test_an_unknown_path_is_a_404(api: Api, path: str) -> None:
    """What is not served is a 404 that names the path."""
    status, name, message = error_of(await api.get(path))

    assert (status, name) == (404, "HTTPNotFound")
    assert "nothing is served at" in message or "no page" in message


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PATCH", "/v2.0/networks", "DELETE, GET, POST, PUT"),
        ("PATCH", "/v2.0/networks/x", "DELETE, GET, PUT"),
        ("POST", "/", "GET"),
        ("DELETE", "/v2.0/extensions", "GET"),
    ],
)
async def test_a_method_that_is_not_there_is_a_405(api: Api, method: str, path: str, allowed: str) -> None:
    """A method that does not exist is a 405 in the API's form, with those that do."""
    answer = await api.request(method, path)

    status, name, message = error_of(answer)
    assert (status, name) == (405, "HTTPMethodNotAllowed")
    assert answer.headers["allow"] == allowed
    assert message.endswith(f"it understands {allowed}.")
