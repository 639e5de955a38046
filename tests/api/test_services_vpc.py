"""The original's own paths: VPCs with address blocks, and other views of what the Networking API has."""

from typing import Any

import pytest

from alcor.store.interface import Store
from tests.support.api import ADMIN_PROJECT, MEMBER_PROJECT, Api, error_of, serving

Json = dict[str, Any]


async def a_vpc(api: Api, **said: Any) -> Json:
    """A VPC."""
    answer = await api.post("/vpcs", {"vpc": said})
    assert answer.status_code == 201, answer.text
    vpc: Json = answer.json()["vpc"]
    return vpc


async def refused_subnet(api: Api, vpc: Json, cidr: str, version: int = 4) -> tuple[int, str, str]:
    """The error of a subnet that cannot be."""
    body = {"subnet": {"network_id": vpc["id"], "cidr": cidr, "ip_version": version}}
    return error_of(await api.post("/v2.0/subnets", body))


async def test_a_vpc_is_a_network_with_a_block_and_a_local_route(api: Api) -> None:
    """What is made at /vpcs is the network of that ID, which shows no block; the default route stays inside."""
    vpc = await a_vpc(api, name="red", cidr="10.8.0.1/16", ipv6_cidr="2001:db8::/48")

    assert (vpc["name"], vpc["project_id"], vpc["cidr"]) == ("red", ADMIN_PROJECT, "10.8.0.0/16")
    assert vpc["routes"] == [
        {"destination": "10.8.0.0/16", "target": "local", "nexthop": None, "priority": 0},
        {"destination": "2001:db8::/48", "target": "local", "nexthop": None, "priority": 0},
    ]
    network = await api.shown(f"/v2.0/networks/{vpc['id']}")
    assert network["name"] == "red"
    assert "cidr" not in network
    assert [one["id"] for one in (await api.get("/vpcs?cidr=10.8.0.0/16")).json()["vpcs"]] == [vpc["id"]]


async def test_a_network_is_a_vpc_without_blocks(api: Api) -> None:
    """What is made as a network is at /vpcs too; anything may be a subnet of it, and it has no default route."""
    network = await api.a_network(name="plain")

    shown = (await api.get(f"/vpcs/{network['id']}")).json()["vpc"]
    assert (shown["cidr"], shown["ipv6_cidr"], shown["routes"]) == (None, None, [])
    await api.a_subnet(network["id"], "192.168.7.0/24")


async def test_subnets_lie_in_the_block_of_their_version(api: Api) -> None:
    """A subnet outside of its VPC's block is refused, at either path; one of a version without a block is not."""
    vpc = await a_vpc(api, cidr="10.8.0.0/16")

    assert (await refused_subnet(api, vpc, "10.8.0.0/15"))[1] == "CidrNotWithinNetworkCidr"
    await api.a_subnet(vpc["id"], "10.8.255.0/24")
    await api.a_subnet(vpc["id"], "2001:db8::/64")
    status, name, message = await refused_subnet(api, vpc, "10.9.0.0/24")
    assert (status, name) == (400, "CidrNotWithinNetworkCidr")
    assert message == (
        f"Subnet 10.9.0.0/24 is not within the block 10.8.0.0/16 of VPC {vpc['id']}; choose a prefix inside of it."
    )
    body = {"subnet": {"network_id": vpc["id"], "cidr": "10.9.0.0/24", "ip_version": 4}}
    assert error_of(await api.post("/subnets", body))[1] == "CidrNotWithinNetworkCidr"
    assert len((await api.get("/subnets")).json()["subnets"]) == 2


async def test_a_block_changes_only_around_its_subnets(api: Api) -> None:
    """A block may grow or go; one that would leave a subnet outside is a conflict that names the subnet."""
    vpc = await a_vpc(api, cidr="10.8.0.0/16")
    subnet = await api.a_subnet(vpc["id"], "10.8.1.0/24")
    path = f"/vpcs/{vpc['id']}"

    refused = await api.put(path, {"vpc": {"cidr": "10.8.2.0/24"}})
    assert error_of(refused)[:2] == (409, "NetworkCidrInUse")
    assert subnet["id"] in error_of(refused)[2]
    assert (await api.put(path, {"vpc": {"cidr": "10.0.0.0/8"}})).json()["vpc"]["cidr"] == "10.0.0.0/8"
    assert (await api.put(path, {"vpc": {"cidr": None}})).json()["vpc"]["routes"] == []
    await api.a_subnet(vpc["id"], "172.16.0.0/24")


@pytest.mark.parametrize(
    ("said", "reason"),
    [
        ({"cidr": "2001:db8::/48"}, "not an IPv4 prefix"),
        ({"ipv6_cidr": "10.0.0.0/8"}, "not an IPv6 prefix"),
        ({"cidr": "ten"}, "not a valid IP subnet"),
    ],
)
async def test_a_block_is_a_prefix_of_its_version(api: Api, said: Json, reason: str) -> None:
    """A block of the other version, or none at all, is refused."""
    status, name, message = error_of(await api.post("/vpcs", {"vpc": said}))

    assert (status, name) == (400, "InvalidInput")
    assert reason in message


async def test_many_vpcs_are_made_changed_and_deleted_at_once(api: Api) -> None:
    """/vpcs/bulk takes a list, all or none; the original's answered with an empty list."""
    answer = await api.post("/vpcs/bulk", {"vpcs": [{"name": "a"}, {"name": "b", "cidr": "10.0.0.0/16"}]})
    assert answer.status_code == 201
    ids = [one["id"] for one in answer.json()["vpcs"]]
    changed = await api.put("/vpcs/bulk", {"vpcs": [{"id": id, "name": "c"} for id in ids]})
    assert [one["name"] for one in changed.json()["vpcs"]] == ["c", "c"]
    broken = await api.post("/vpcs/bulk", {"vpcs": [{"name": "d"}, {"cidr": "ten"}]})
    assert broken.json()["NeutronError"]["detail"] == "vpcs[1]"
    gone = await api.request("DELETE", "/vpcs/bulk", json={"vpcs": [{"id": id} for id in ids]})
    assert gone.status_code == 204
    assert (await api.get("/vpcs")).json()["vpcs"] == []
    assert (await api.get("/vpcs/bulk")).status_code == 405


async def test_counted_are_the_vpcs_the_caller_sees(api: Api, member: Api) -> None:
    """An administrator counts all, a member those of its project and those opened to it."""
    await api.post("/vpcs/bulk", {"vpcs": [{}, {"shared": True}]})
    await a_vpc(member)

    assert (await api.get("/vpcs/count")).json() == {"count": 3}
    assert (await member.get("/vpcs/count")).json() == {"count": 2}


async def test_a_view_has_the_rules_of_what_it_shows(api: Api, member: Api) -> None:
    """Another project's VPC is not found, and a member may not say what only administrators may say of networks."""
    vpc = await a_vpc(api)

    assert error_of(await member.get(f"/vpcs/{vpc['id']}"))[:2] == (404, "NetworkNotFound")
    assert error_of(await member.delete(f"/vpcs/{vpc['id']}"))[0] == 404
    refused = error_of(await member.post("/vpcs", {"vpc": {"provider:network_type": "vxlan"}}))
    assert refused[:2] == (403, "PolicyNotAuthorized")
    assert "create_network:provider:network_type" in refused[2]
    own = await a_vpc(member, cidr="10.0.0.0/8")
    assert own["project_id"] == MEMBER_PROJECT
    shown = await member.get("/vpcs")
    assert [one["id"] for one in shown.json()["vpcs"]] == [own["id"]]


async def test_every_noun_is_at_the_original_s_path_too(api: Api) -> None:
    """Ports, routers, segments and groups made at one path are at the other, with the same ID and verbs."""
    network = await api.a_network()
    await api.a_subnet(network["id"])
    made = (await api.post("/ports/bulk", {"ports": [{"network_id": network["id"]}] * 2})).json()["ports"]
    assert {one["id"] for one in made} == {
        one["id"] for one in (await api.get("/v2.0/ports")).json()["ports"]
    }
    changed = await api.put("/ports/bulk", {"ports": [{"id": one["id"], "name": "n"} for one in made]})
    assert [one["name"] for one in changed.json()["ports"]] == ["n", "n"]
    router = await api.made("router", name="r")
    assert (await api.get(f"/routers/{router['id']}")).json()["router"]["name"] == "r"
    (segment,) = (await api.get(f"/segments?network_id={network['id']}")).json()["segments"]
    assert segment["network_type"] == "vxlan"
    body = {"network_segment_range": {"network_type": "vxlan", "minimum": 7, "maximum": 9}}
    ranged = (await api.post("/segmentranges", body)).json()["network_segment_range"]
    assert (await api.get(f"/v2.0/network_segment_ranges/{ranged['id']}")).status_code == 200
    groups = (await api.get("/security-groups")).json()["security_groups"]
    assert [one["name"] for one in groups] == ["default"]


async def test_a_subnet_shows_its_use(api: Api) -> None:
    """Its usage counts addresses, taken and left; its ports are counted without the interfaces of routers."""
    network = await api.a_network()
    subnet = await api.a_subnet(network["id"], "10.0.0.0/29")
    router = await api.made("router")
    await api.put(f"/routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
    await api.a_port(network["id"])

    usage = (await api.get(f"/subnets/{subnet['id']}/usage")).json()["usage"]
    assert (usage["total_ips"], usage["used_ips"], usage["available_ips"]) == (5, 2, 4)
    assert (await api.get(f"/subnets/{subnet['id']}/port_count")).json() == {"port_count": 1}


async def test_quotas_are_at_the_original_s_path_too(api: Api) -> None:
    """A limit set at /quotas is enforced, and shown at either path with what is used."""
    path = f"/quotas/{ADMIN_PROJECT}"
    assert (await api.put(path, {"quota": {"network": 1}})).json()["quota"]["network"] == 1
    await a_vpc(api)

    assert (await api.get(f"/v2.0{path}/details.json")).json()["quota"]["network"]["used"] == 1
    assert (await api.delete(path)).status_code == 204


async def test_one_service_is_served_alone(store: Store) -> None:
    """A process that serves the VPC Manager alone has its paths at both places and no others."""
    async with serving(store, services=["vpc"]) as api:
        assert (await api.post("/vpcs", {"vpc": {"cidr": "10.0.0.0/8"}})).status_code == 201
        assert len((await api.get("/v2.0/networks")).json()["networks"]) == 1
        assert (await api.get("/ports")).status_code == 404


@pytest.mark.parametrize(
    ("service", "path"),
    [
        ("vpc", "/vpcs"),
        ("vpc", "/vpc-peerings"),
        ("vpc", "/segmentranges"),
        ("subnet", "/subnets"),
        ("port", "/ports"),
        ("router", "/routers"),
        ("router", "/routetables"),
        ("mac", "/macs/ranges"),
        ("private-ip", "/ips/ranges"),
        ("node", "/nodes"),
        ("node", "/ncms"),
        ("network-acl", "/network-acls"),
        ("elastic_ip", "/elasticip-ranges"),
        ("security-group", "/security-groups"),
        ("quota", "/quotas"),
    ],
)
async def test_each_manager_s_paths_are_served_by_its_service(store: Store, service: str, path: str) -> None:
    """A process with one manager answers at that manager's own paths, with a document of them."""
    async with serving(store, services=[service]) as api:
        assert (await api.get(path)).status_code == 200
        assert path in api.document["paths"]
        assert (await api.get("/v2.0/trunks")).status_code == 404


async def test_a_stale_change_of_a_view_is_refused(api: Api) -> None:
    """If-Match counts at a view too, and the error calls the row what it is."""
    vpc = await a_vpc(api)
    headers = {"If-Match": "revision_number=99"}
    refused = error_of(await api.put(f"/vpcs/{vpc['id']}", {"vpc": {"name": "x"}}, headers=headers))

    assert refused[:2] == (412, "RevisionNumberConstraintFailed")
    assert refused[2].startswith(f"Network {vpc['id']} has revision_number 0, not 99")
    shown = await api.get(f"/vpcs/{vpc['id']}?as_of=2020-01-01T00:00:00Z")
    assert shown.status_code in (404, 410)
