"""Networks, subnets, pools and segments through the API, as clients meet them."""

from typing import Any

import pytest

from tests.support.api import MEMBER_PROJECT, Api, error_of

NETWORKS, SUBNETS, POOLS, SCOPES = (
    "/v2.0/networks",
    "/v2.0/subnets",
    "/v2.0/subnetpools",
    "/v2.0/address-scopes",
)
SEGMENTS, RANGES = "/v2.0/segments", "/v2.0/network_segment_ranges"
AVAILABILITY = "/v2.0/network-ip-availabilities"


async def _ids(api: Api, path: str) -> set[str]:
    return {one["id"] for one in await api.shown(path)}


async def test_others_see_what_is_shared_or_external(api: Api, member: Api) -> None:
    """A project sees shared and external networks and their subnets beside its own, and can tell them apart."""
    shared = await api.a_network(shared=True)
    external = await api.a_network(**{"router:external": True})
    hidden = await api.a_network()
    own = await member.a_network()
    subnets = {
        network["id"]: (await api.a_subnet(network["id"]))["id"] for network in (shared, external, hidden)
    }

    assert await _ids(member, NETWORKS) == {shared["id"], external["id"], own["id"]}
    assert await _ids(member, SUBNETS) == {subnets[shared["id"]], subnets[external["id"]]}
    assert await _ids(member, f"{NETWORKS}?shared=True") == {shared["id"]}
    assert await _ids(member, f"{NETWORKS}?router:external=True") == {external["id"]}
    assert await _ids(member, f"{NETWORKS}?router:external=False&shared=False") == {own["id"]}
    seen = await member.shown(f"{SUBNETS}/{subnets[external['id']]}")
    assert (seen["shared"], seen["router:external"]) == (False, True)
    seen = await member.shown(f"{SUBNETS}/{subnets[shared['id']]}")
    assert (seen["shared"], seen["router:external"]) == (True, False)
    assert (await member.get(f"{NETWORKS}/{hidden['id']}")).status_code == 404
    assert (await member.get(f"{SUBNETS}/{subnets[hidden['id']]}")).status_code == 404


async def test_a_shared_network_is_used_not_changed(api: Api, member: Api) -> None:
    """A guest puts ports on it; it neither adds subnets nor renames or deletes it."""
    network = await api.a_network(shared=True)
    await api.a_subnet(network["id"])

    port = await member.a_port(network["id"])
    assert port["project_id"] == MEMBER_PROJECT
    body = {"subnet": {"network_id": network["id"], "ip_version": 4, "cidr": "10.1.0.0/24"}}
    for answer in (
        await member.post(SUBNETS, body),
        await member.put(f"{NETWORKS}/{network['id']}", {"network": {"name": "mine"}}),
        await member.delete(f"{NETWORKS}/{network['id']}"),
    ):
        assert error_of(answer)[:2] == (403, "PolicyNotAuthorized")
    answer = await api.put(f"{NETWORKS}/{network['id']}", {"network": {"shared": False}})
    assert error_of(answer)[:2] == (409, "InvalidSharedSetting")


@pytest.mark.parametrize(
    "said",
    [
        {"shared": True},
        {"router:external": True},
        {"is_default": True},
        {"provider:network_type": "vlan", "provider:physical_network": "physnet1"},
        {"segments": [{"provider:network_type": "vxlan"}]},
    ],
)
async def test_what_only_administrators_say(member: Api, said: dict[str, Any]) -> None:
    """A project neither opens its networks to all nor chooses how they travel, nor sees how they do."""
    answer = await member.post(NETWORKS, {"network": said})

    assert error_of(answer)[:2] == (403, "PolicyNotAuthorized")
    network = await member.a_network()
    assert not {"provider:network_type", "provider:segmentation_id", "segments"} & network.keys()


@pytest.mark.parametrize(
    ("said", "status", "type_"),
    [
        ({"provider:segmentation_id": 5}, 400, "InvalidInput"),
        ({"provider:network_type": "flat", "provider:physical_network": "x"}, 400, "InvalidInput"),
        ({"segments": [{"hello": 1}]}, 400, "InvalidInput"),
        (
            {"segments": [{"provider:network_type": "gre"}], "provider:network_type": "gre"},
            400,
            "SegmentsSetInConjunctionWithProviders",
        ),
        (
            {"segments": [{"provider:network_type": "gre", "provider:segmentation_id": 2}] * 2},
            400,
            "SegmentsContainDuplicateEntry",
        ),
        ({"vlan_transparent": True, "qinq": True}, 400, "BadRequest"),
        ({"availability_zone_hints": ["mars"]}, 404, "AvailabilityZoneNotFound"),
        ({"dns_domain": "no-dot"}, 400, "InvalidInput"),
        ({"mtu": 1451}, 400, "InvalidInput"),
    ],
)
async def test_networks_that_are_refused(api: Api, said: dict[str, Any], status: int, type_: str) -> None:
    """Clients tell the reasons apart by the reference's types."""
    assert error_of(await api.post(NETWORKS, {"network": said}))[:2] == (status, type_)


async def test_a_network_of_several_segments(api: Api) -> None:
    """`segments` shows each way with the provider attributes' names; Nova reads them so."""
    network = await api.a_network(
        segments=[
            {"provider:network_type": "vlan", "provider:physical_network": "physnet1"},
            {"provider:network_type": "vxlan", "provider:segmentation_id": 7},
        ]
    )

    shown = (await api.shown(f"{NETWORKS}/{network['id']}?fields=segments"))["segments"]
    assert shown[1] == {
        "provider:network_type": "vxlan",
        "provider:physical_network": None,
        "provider:segmentation_id": 7,
    }
    rows = await api.shown(f"{SEGMENTS}?network_id={network['id']}")
    assert {row["network_type"] for row in rows} == {"vlan", "vxlan"}
    assert "project_id" not in rows[0]


async def test_segments_are_administrators(api: Api, member: Api) -> None:
    """A project has no segments, not even of its own networks."""
    network = await member.a_network()

    assert await member.shown(SEGMENTS) == []
    answer = await member.post(SEGMENTS, {"segment": {"network_id": network["id"], "network_type": "vxlan"}})
    assert error_of(answer)[:2] == (403, "PolicyNotAuthorized")
    segment = await api.made("segment", network_id=network["id"], network_type="vxlan", name="two")
    assert await _ids(api, f"{SEGMENTS}?name=two") == {segment["id"]}
    assert (await api.delete(f"{SEGMENTS}/{segment['id']}")).status_code == 204


async def test_ranges_show_use(api: Api) -> None:
    """A range shows numbers with projects and what is free; an administrator's network takes one of it."""
    made = await api.made("network_segment_range", network_type="vxlan", minimum=10, maximum=12, name="r")
    network = await api.a_network(**{"provider:network_type": "vxlan", "provider:segmentation_id": 11})

    shown = await api.shown(f"{RANGES}/{made['id']}")

    assert (shown["used"], shown["available"]) == ({"11": network["project_id"]}, [10, 12])
    assert (shown["shared"], shown["default"], shown["physical_network"]) == (True, False, None)
    answer = await api.delete(f"{RANGES}/{made['id']}")
    assert error_of(answer)[:2] == (409, "NetworkSegmentRangeReferencedByProject")


async def test_a_pool_and_its_subnets(api: Api, member: Api) -> None:
    """Pools are made, used, grown and shrunk; errors have the reference's types."""
    pool = await member.made("subnetpool", name="p", prefixes=["10.0.0.0/24"], default_prefixlen=26)
    network = await member.a_network()
    said = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": pool["id"]}

    subnet = (await member.post(SUBNETS, {"subnet": said})).json()["subnet"]

    assert (subnet["cidr"], subnet["gateway_ip"]) == ("10.0.0.0/26", "10.0.0.1")
    assert not {"prefixlen", "use_default_subnetpool", "segment_id"} & subnet.keys()
    path = f"{POOLS}/{pool['id']}"
    answer = await member.put(f"{path}/add_prefixes", {"prefixes": ["10.0.1.0/24"]})
    assert (answer.status_code, answer.json()) == (200, {"prefixes": ["10.0.0.0/23"]})
    answer = await member.put(f"{path}/remove_prefixes", {"prefixes": ["10.0.1.0/24"]})
    assert answer.json() == {"prefixes": ["10.0.0.0/24"]}
    for answer, expected in (
        (await member.delete(path), (400, "SubnetPoolDeleteError")),
        (
            await member.put(f"{path}/remove_prefixes", {"prefixes": ["10.0.0.0/26"]}),
            (400, "IllegalSubnetPoolPrefixUpdate"),
        ),
        (
            await member.post(SUBNETS, {"subnet": said | {"prefixlen": 4}}),
            (400, "MinPrefixSubnetAllocationError"),
        ),
        (
            await member.post(
                POOLS, {"subnetpool": {"name": "q", "prefixes": ["10.0.0.0/8"], "shared": True}}
            ),
            (403, "PolicyNotAuthorized"),
        ),
        (await api.get(f"{POOLS}/{'0' * 8}-0000-4000-8000-000000000000"), (404, "SubnetPoolNotFound")),
    ):
        assert error_of(answer)[:2] == expected
    answer = await member.put(f"{path}/onboard_network_subnets", {"network_id": network["id"]})
    assert (answer.status_code, answer.json()) == (200, [])


async def test_a_shared_scope_and_pool_are_seen(api: Api, member: Api) -> None:
    """What an administrator shares, projects see and use; the rest they do not."""
    scope = await api.made("address_scope", name="s", ip_version=4, shared=True)
    pool = await api.made(
        "subnetpool",
        name="p",
        prefixes=["10.0.0.0/16"],
        shared=True,
        address_scope_id=scope["id"],
        default_prefixlen=24,
    )
    await api.made("subnetpool", name="hidden", prefixes=["10.0.0.0/16"])
    await api.made("address_scope", name="hidden", ip_version=6)
    network = await member.a_network()

    assert await _ids(member, POOLS) == {pool["id"]}
    assert await _ids(member, f"{POOLS}?shared=True") == {pool["id"]}
    assert await _ids(member, SCOPES) == {scope["id"]}
    body = {"network_id": network["id"], "ip_version": 4, "subnetpool_id": pool["id"]}
    assert (await member.post(SUBNETS, {"subnet": body})).status_code == 201
    shown = await member.shown(f"{NETWORKS}/{network['id']}")
    assert (shown["ipv4_address_scope"], shown["ipv6_address_scope"]) == (scope["id"], None)
    assert error_of(await api.delete(f"{SCOPES}/{scope['id']}"))[:2] == (409, "AddressScopeInUse")


async def test_availability_of_one_version(api: Api, member: Api) -> None:
    """Networks with their numbers; a filter by IP version counts the subnets of that version only."""
    network = await api.a_network(name="red")
    await api.a_subnet(network["id"])
    await api.a_subnet(network["id"], "2001:db8::/120")
    await api.a_port(network["id"])
    empty = await api.a_network()

    both = await api.shown(f"{AVAILABILITY}/{network['id']}")
    (four,) = await api.shown(f"{AVAILABILITY}?ip_version=4")

    assert (both["network_name"], both["total_ips"], both["used_ips"]) == ("red", 253 + 254, 2)
    assert (four["network_id"], four["total_ips"], four["used_ips"]) == (network["id"], 253, 1)
    assert [one["ip_version"] for one in four["subnet_ip_availability"]] == [4]
    assert four["ip_availability_details"]["total_ips_in_subnet"] == 254
    assert "ip_version" not in four
    (found,) = await api.shown(f"{AVAILABILITY}?network_id={empty['id']}")
    assert (found["total_ips"], found["used_ips"], found["subnet_ip_availability"]) == (0, 0, [])
    answer = await api.get(f"{AVAILABILITY}/{'0' * 8}-0000-4000-8000-000000000000")
    assert error_of(answer)[:2] == (404, "NetworkNotFound")
    assert await member.shown(AVAILABILITY) == []


async def test_tags_of_networks_subnets_pools_and_segments(api: Api) -> None:
    """Each has tags, said when it is made or later, and is found by them."""
    network = await api.a_network(tags=["red"])
    await api.a_subnet(network["id"], tags=["red"])
    await api.made("subnetpool", name="p", prefixes=["10.0.0.0/16"], tags=["red"])
    await api.made("segment", network_id=network["id"], network_type="vxlan", tags=["red"])
    await api.made("network_segment_range", network_type="gre", minimum=1, maximum=2, tags=["red"])

    for path in (NETWORKS, SUBNETS, POOLS, SEGMENTS, RANGES):
        assert [one["tags"] for one in await api.shown(f"{path}?tags=red")] == [["red"]]


async def test_extensions_that_clients_look_for(api: Api) -> None:
    """What Nova, Horizon and the command line ask for before they use it."""
    found = {one["alias"] for one in await api.shown("/v2.0/extensions")}

    assert {
        "address-scope",
        "default-subnetpools",
        "external-net",
        "l2_adjacency",
        "multi-provider",
        "net-mtu",
        "net-mtu-writable",
        "network-ip-availability",
        "network-ip-availability-details",
        "network-segment-range",
        "network_availability_zone",
        "provider",
        "rbac-address-scope",
        "rbac-subnetpool",
        "segment",
        "standard-attr-segment",
        "subnet-external-network",
        "subnet-segmentid-writable",
        "subnet-service-types",
        "subnet_allocation",
        "subnet_onboard",
        "subnetpool-prefix-ops",
    } <= found
