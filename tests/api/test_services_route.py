"""Route tables of VPCs and subnets, what follows for a subnet, and peerings of VPCs."""

from typing import Any

import pytest

from tests.support.api import ADMIN_PROJECT, MEMBER_PROJECT, Api, error_of

Json = dict[str, Any]
NOWHERE = "11111111-1111-4111-8111-111111111111"


async def a_vpc(api: Api, cidr: str | None = "10.8.0.0/16", **more: Any) -> Json:
    """A VPC."""
    return await api.made("vpc", cidr=cidr, **more)


def table(*routes: Json) -> Json:
    """The body that sets the routes of a VPC or subnet."""
    return {"routetable": {"routes": list(routes)}}


async def test_a_vpc_has_its_default_route_before_any_table(api: Api) -> None:
    """Without a table there are the default routes alone; setting routes makes one, and none empties it."""
    vpc = await a_vpc(api)
    await api.a_subnet(vpc["id"], "10.8.1.0/24")
    path = f"/vpcs/{vpc['id']}/routetable"
    before = (await api.get(path)).json()["routetable"]
    assert (before["id"], before["routes"]) == (None, [])
    assert before["local_routes"][0]["destination"] == "10.8.0.0/16"

    route = {"destination": "10.9.0.0/16", "nexthop": "10.8.1.20"}
    made = (await api.put(path, table(route))).json()["routetable"]
    assert made["routes"] == [{**route, "target": "nexthop", "priority": 100}]
    assert (await api.put(path, table())).json()["routetable"]["id"] == made["id"]
    shown = await api.shown(f"/routetables/{made['id']}")
    assert (shown["route_table_type"], shown["project_id"], shown["routes"]) == ("vpc", ADMIN_PROJECT, [])
    assert shown["local_routes"] == before["local_routes"]


async def test_a_subnet_s_table_replaces_the_vpc_s(api: Api) -> None:
    """A subnet without a table has its VPC's; both are listed for the VPC; one is made only once."""
    vpc = await a_vpc(api)
    subnet = await api.a_subnet(vpc["id"], "10.8.1.0/24")
    out = {"destination": "0.0.0.0/0", "target": "internet_gw", "nexthop": None, "priority": 500}
    await api.put(f"/vpcs/{vpc['id']}/routetable", table(out))
    path = f"/subnets/{subnet['id']}/routetable"
    assert (await api.get(path)).json()["routetable"]["routes"] == [out]
    own = (await api.put(path, table({"destination": "0.0.0.0/0", "target": "blackhole"}))).json()
    assert own["routetable"]["route_table_type"] == "subnet"
    both = (await api.get(f"/vpcs/{vpc['id']}/routetables")).json()["routetables"]
    assert {one["subnet_id"] for one in both} == {None, subnet["id"]}
    again = await api.post("/routetables", {"routetable": {"subnet_id": subnet["id"]}})
    assert error_of(again)[0] == 409
    assert (await api.delete(f"/routetables/{own['routetable']['id']}")).status_code == 204
    assert (await api.get(path)).json()["routetable"]["routes"] == [out]


@pytest.mark.parametrize(
    ("route", "reason"),
    [
        ({"destination": "10.8.7.0/24", "target": "blackhole"}, "default route keeps that inside"),
        ({"destination": "10.9.0.0/16"}, "needs one"),
        ({"destination": "10.9.0.0/16", "target": "nat_gw", "nexthop": "10.8.1.2"}, "for the target nexthop"),
        ({"destination": "10.9.0.0/16", "nexthop": "10.10.0.1"}, "in no subnet"),
        ({"destination": "2001:db8::/32", "nexthop": "10.8.1.2"}, "other IP version"),
    ],
)
async def test_a_wrong_route_is_refused(api: Api, route: Json, reason: str) -> None:
    """A route leads out of the VPC, by an address in it or by a gateway."""
    vpc = await a_vpc(api)
    status, name, message = error_of(await api.put(f"/vpcs/{vpc['id']}/routetable", table(route)))

    assert (status, name) == (400, "InvalidRoutes")
    assert reason in message
    assert (await api.get("/routetables")).json()["routetables"] == []


async def test_one_destination_is_routed_once(api: Api) -> None:
    """Two routes to one destination, an unknown member and a wrong body are refused."""
    vpc = await a_vpc(api)
    path = f"/vpcs/{vpc['id']}/routetable"
    twice = table(
        {"destination": "10.9.0.0/16", "target": "blackhole"},
        {"destination": "10.9.0.1/16", "target": "nat_gw"},
    )
    assert error_of(await api.put(path, twice))[:2] == (400, "InvalidRoutes")
    assert error_of(await api.put(path, table({"destination": "10.9.0.0/16", "hop": "x"})))[0] == 400
    assert error_of(await api.put(path, {"routes": []}))[:2] == (400, "BadRequest")
    assert error_of(await api.post("/routetables", {"routetable": {}}))[:2] == (400, "InvalidInput")


async def test_tables_go_with_their_owner(api: Api) -> None:
    """A subnet and a VPC are deleted with their tables; another subnet in its place has a table of its own."""
    vpc = await a_vpc(api)
    subnet = await api.a_subnet(vpc["id"], "10.8.1.0/24")
    await api.put(f"/vpcs/{vpc['id']}/routetable", table())
    await api.put(f"/subnets/{subnet['id']}/routetable", table())
    assert (await api.delete(f"/v2.0/subnets/{subnet['id']}")).status_code == 204
    assert len((await api.get("/routetables")).json()["routetables"]) == 1
    other = await api.a_subnet(vpc["id"], "10.8.1.0/24")
    await api.put(f"/subnets/{other['id']}/routetable", table())
    assert (await api.delete(f"/v2.0/networks/{vpc['id']}")).status_code == 204
    assert (await api.get("/routetables")).json()["routetables"] == []


async def test_tables_are_their_project_s(api: Api, member: Api) -> None:
    """A shared network is seen, its table is its owner's to change."""
    vpc = await a_vpc(api, shared=True)
    path = f"/vpcs/{vpc['id']}/routetable"
    assert (await member.get(path)).status_code == 200
    assert error_of(await member.put(path, table()))[:2] == (403, "PolicyNotAuthorized")
    made = (await api.put(path, table())).json()["routetable"]
    assert error_of(await member.get(f"/routetables/{made['id']}"))[0] == 404
    own = await a_vpc(member)
    body = {"routetable": {"network_id": own["id"], "name": "mine"}}
    assert (await member.post("/routetables", body)).json()["routetable"]["project_id"] == MEMBER_PROJECT


async def test_a_subnet_s_routes_follow_from_all_there_is(api: Api) -> None:
    """Prefix, block, table, router, the way out and peerings; the longest prefix first, then the lowest priority."""
    vpc = await a_vpc(api)
    left, right = [await api.a_subnet(vpc["id"], f"10.8.{i}.0/24") for i in (1, 2)]
    far = await api.a_subnet((await api.a_network())["id"], "172.16.0.0/24")
    outside = await api.a_network(**{"router:external": True})
    await api.a_subnet(outside["id"], "203.0.113.0/24")
    router = await api.made("router", external_gateway_info={"network_id": outside["id"]})
    for one in (left, far):
        done = await api.put(f"/routers/{router['id']}/add_router_interface", {"subnet_id": one["id"]})
        assert done.status_code == 200
    await api.put(
        f"/routers/{router['id']}/add_extraroutes",
        {"router": {"routes": [{"destination": "192.168.0.0/16", "nexthop": "172.16.0.9"}]}},
    )
    await api.put(
        f"/vpcs/{vpc['id']}/routetable", table({"destination": "10.0.0.0/8", "target": "blackhole"})
    )
    peer = await a_vpc(api, "10.9.0.0/16")
    asked = await api.made("vpc_peering", network_id=vpc["id"], peer_network_id=peer["id"])
    await api.put(f"/vpc-peerings/{asked['id']}/accept_peering", {})

    routes = (await api.get(f"/routes/subnets/{left['id']}")).json()["routes"]
    assert [(one["destination"], one["target"], one["nexthop"], one["priority"]) for one in routes] == [
        ("10.8.1.0/24", "local", None, 0),
        ("172.16.0.0/24", "router", "10.8.1.1", 300),
        ("10.8.0.0/16", "local", None, 0),
        ("192.168.0.0/16", "router", "10.8.1.1", 100),
        ("10.9.0.0/16", "peering", None, 300),
        ("10.0.0.0/8", "blackhole", None, 100),
        ("0.0.0.0/0", "nat_gw", "10.8.1.1", 500),
    ]
    assert (await api.get(f"/subnets/{left['id']}/routes")).json()["routes"] == routes
    beside = (await api.get(f"/subnets/{left['id']}/connected_subnets")).json()["subnets"]
    assert {(one["id"], one["router_id"]) for one in beside} == {
        (right["id"], None),
        (far["id"], router["id"]),
    }
    of_vpc = (await api.get(f"/routes/vpcs/{vpc['id']}")).json()["routes"]
    assert [one["destination"] for one in of_vpc] == ["10.8.0.0/16", "10.0.0.0/8"]


async def test_routes_show_only_subnets_that_are_seen(api: Api, member: Api) -> None:
    """A router joins subnets of two projects; each is shown its own, and others' routes are not found."""
    shared = await api.a_network(shared=True)
    theirs = await api.a_subnet(shared["id"], "10.1.0.0/24")
    hidden = await api.a_subnet((await api.a_network())["id"], "10.2.0.0/24")
    router = await api.made("router")
    for one in (theirs, hidden):
        await api.put(f"/routers/{router['id']}/add_router_interface", {"subnet_id": one["id"]})

    routes = (await member.get(f"/routes/subnets/{theirs['id']}")).json()["routes"]
    assert [one["destination"] for one in routes] == ["10.1.0.0/24"]
    assert error_of(await member.get(f"/routes/subnets/{hidden['id']}"))[:2] == (404, "SubnetNotFound")
    assert (await member.get(f"/subnets/{theirs['id']}/connected_subnets")).json() == {"subnets": []}


async def ask(api: Api, mine: Json, theirs: Json, **more: Any) -> Any:
    """The answer to asking for a peering."""
    said = {"network_id": mine["id"], "peer_network_id": theirs["id"], **more}
    return await api.post("/vpc-peerings", {"vpc_peering": said})


@pytest.fixture
async def mine(member: Api) -> Json:
    """The member's VPC."""
    return await a_vpc(member)


@pytest.fixture
async def theirs(api: Api) -> Json:
    """The administrator's project's VPC."""
    return await a_vpc(api, "10.9.0.0/16")


async def test_a_peering_is_wanted_by_both(api: Api, member: Api, mine: Json, theirs: Json) -> None:
    """It is pending until the other owner accepts it; who asked cannot accept for the other. Both see it."""
    asked = (await ask(member, mine, theirs, peer_project_id=ADMIN_PROJECT)).json()["vpc_peering"]
    assert (asked["status"], asked["project_id"]) == ("pending", MEMBER_PROJECT)
    path = f"/vpc-peerings/{asked['id']}"
    assert error_of(await member.put(f"{path}/accept_peering", {}))[:2] == (403, "PolicyNotAuthorized")
    accepted = (await api.put(f"{path}/accept_peering", {})).json()["vpc_peering"]
    assert accepted == await api.shown(path)
    assert accepted["status"] == "active"
    assert error_of(await api.put(f"{path}/reject_peering", {}))[:2] == (409, "VpcPeeringNotPending")
    assert (await member.shown(path))["status"] == "active"
    assert (await member.delete(path)).status_code == 204


async def test_a_member_accepts_and_ends_what_it_was_asked(
    api: Api, member: Api, mine: Json, theirs: Json
) -> None:
    """Who was asked sees the request in lists, accepts it, cannot rename it, and may end it."""
    asked = (await ask(api, theirs, mine, peer_project_id=MEMBER_PROJECT)).json()["vpc_peering"]
    assert [one["id"] for one in (await member.get("/vpc-peerings")).json()["vpc_peerings"]] == [asked["id"]]
    path = f"/vpc-peerings/{asked['id']}"
    assert error_of(await member.put(path, {"vpc_peering": {"name": "x"}}))[0] == 403
    assert (await member.put(f"{path}/accept_peering", {})).status_code == 200
    assert (await member.delete(path)).status_code == 204
    assert (await api.get("/vpc-peerings")).json()["vpc_peerings"] == []


async def test_a_rejected_peering_may_be_asked_again(api: Api, member: Api, mine: Json, theirs: Json) -> None:
    """A second request is refused while the first is open, from either side; not after it was rejected."""
    first = (await ask(member, mine, theirs, peer_project_id=ADMIN_PROJECT)).json()["vpc_peering"]
    for one in (
        await ask(member, mine, theirs, peer_project_id=ADMIN_PROJECT),
        await ask(api, theirs, mine, peer_project_id=MEMBER_PROJECT),
    ):
        assert error_of(one)[:2] == (409, "VpcPeeringExists")
    await api.put(f"/vpc-peerings/{first['id']}/reject_peering", {})
    second = await ask(member, mine, theirs, peer_project_id=ADMIN_PROJECT)
    assert second.status_code == 201
    assert (await member.delete(f"/vpc-peerings/{first['id']}")).status_code == 204
    assert error_of(await ask(member, mine, theirs, peer_project_id=ADMIN_PROJECT))[0] == 409


async def test_nobody_learns_which_vpcs_exist(api: Api, member: Api, mine: Json, theirs: Json) -> None:
    """A peer named without its project, or a VPC of another's as one's own, is not found; nor is what is not there."""
    assert error_of(await ask(member, mine, theirs))[:2] == (404, "NetworkNotFound")
    assert error_of(await ask(member, theirs, mine))[:2] == (404, "NetworkNotFound")
    assert error_of(await ask(member, mine, {"id": NOWHERE}))[:2] == (404, "NetworkNotFound")
    assert error_of(await ask(member, mine, mine))[:2] == (400, "InvalidInput")


async def test_peers_never_overlap(api: Api) -> None:
    """Blocks must not overlap, nor those of a VPC's other peers; a VPC without a block has none to reach."""
    hub, one = await a_vpc(api, "10.0.0.0/16"), await a_vpc(api, "10.1.0.0/16")
    same, bare = await a_vpc(api, "10.1.7.0/24"), await a_vpc(api, None)
    first = await api.made("vpc_peering", network_id=hub["id"], peer_network_id=one["id"])
    late = await api.made("vpc_peering", network_id=hub["id"], peer_network_id=same["id"])
    assert error_of(await ask(api, one, same))[:2] == (409, "VpcPeeringOverlap")
    assert error_of(await ask(api, hub, bare))[:2] == (409, "VpcPeeringNeedsCidr")
    await api.put(f"/vpc-peerings/{first['id']}/accept_peering", {})
    refused = await api.put(f"/vpc-peerings/{late['id']}/accept_peering", {})
    assert error_of(refused)[:2] == (409, "VpcPeeringOverlap")


async def test_a_peered_vpc_keeps_its_block(api: Api) -> None:
    """A block does not change, and a VPC does not go, while a peering relies on it."""
    one, two = await a_vpc(api, "10.0.0.0/16"), await a_vpc(api, "10.1.0.0/16")
    asked = await api.made("vpc_peering", network_id=one["id"], peer_network_id=two["id"])
    for vpc in (one, two):
        grown = await api.put(f"/vpcs/{vpc['id']}", {"vpc": {"cidr": "10.0.0.0/8"}})
        assert error_of(grown)[:2] == (409, "NetworkCidrInUse")
        assert (await api.put(f"/vpcs/{vpc['id']}", {"vpc": {"name": "n"}})).status_code == 200
        assert error_of(await api.delete(f"/vpcs/{vpc['id']}"))[:2] == (409, "NetworkInUse")
    await api.delete(f"/vpc-peerings/{asked['id']}")
    assert (await api.delete(f"/vpcs/{one['id']}")).status_code == 204
