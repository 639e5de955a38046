"""BGP VPNs and what is in them through the API, as clients meet them."""

from typing import Any

import pytest

from tests.support.api import MEMBER_PROJECT, Api, Json, error_of

VPNS = "/v2.0/bgpvpn/bgpvpns"
MISSING = "0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


async def _put_in(api: Api, vpn: Json, kind: str, **said: Any) -> Any:
    """Ask for an association; returns the answer."""
    return await api.post(f"{VPNS}/{vpn['id']}/{kind}_associations", {f"{kind}_association": said})


async def _associated(api: Api, vpn: Json, kind: str, **said: Any) -> Json:
    answer = await _put_in(api, vpn, kind, **said)
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()[f"{kind}_association"]
    return found


async def _interface(api: Api, router: Json, network: Json) -> Any:
    subnet = await api.a_subnet(network["id"])
    path = f"/v2.0/routers/{router['id']}/add_router_interface"
    return await api.put(path, {"subnet_id": subnet["id"]})


async def test_a_vpn_shows_every_attribute(api: Api) -> None:
    """Its targets as lists, also one that was said alone; nothing in it."""
    vpn = await api.made(
        "bgpvpn",
        name="backbone",
        route_targets=["64512:1444"],
        export_targets="192.0.2.1:7",
        import_targets=None,
        vni="1000",
    )
    expected = {
        "name": "backbone",
        "description": "",
        "type": "l3",
        "route_targets": ["64512:1444"],
        "import_targets": [],
        "export_targets": ["192.0.2.1:7"],
        "route_distinguishers": [],
        "vni": 1000,
        "local_pref": None,
        "networks": [],
        "routers": [],
        "ports": [],
        "revision_number": 0,
    }
    assert {name: vpn[name] for name in expected} == expected
    changed = await api.put(f"{VPNS}/{vpn['id']}", {"bgpvpn": {"import_targets": "4200000000:9"}})
    assert changed.json()["bgpvpn"]["import_targets"] == ["4200000000:9"]


@pytest.mark.parametrize(
    "said",
    [
        {"route_targets": ["65536:65536"]},
        {"route_targets": ["1"]},
        {"route_targets": ["01:1"]},
        {"route_targets": ["192.0.2.1:65536"]},
        {"route_targets": ["192.0.2:1"]},
        {"type": "l4"},
        {"vni": 0},
        {"local_pref": -1},
    ],
)
async def test_refused_vpns(api: Api, said: Json) -> None:
    """What no BGP message could say."""
    assert error_of(await api.post(VPNS, {"bgpvpn": said}))[:2] == (400, "InvalidInput")


async def test_an_operator_makes_vpns_for_projects(api: Api, member: Api) -> None:
    """A project sees its VPNs without their targets, renames them and puts its things in."""
    vpn = await api.made("bgpvpn", project_id=MEMBER_PROJECT, route_targets=["64512:1"])
    other = await api.made("bgpvpn")

    assert error_of(await member.post(VPNS, {"bgpvpn": {}}))[:2] == (403, "PolicyNotAuthorized")
    [seen] = await member.shown(VPNS)
    assert seen["id"] == vpn["id"]
    assert not seen.keys() & {
        "route_targets",
        "import_targets",
        "export_targets",
        "route_distinguishers",
        "vni",
    }
    assert error_of(await member.get(f"{VPNS}/{other['id']}"))[:2] == (404, "BGPVPNNotFound")
    path = f"{VPNS}/{vpn['id']}"
    assert (await member.put(path, {"bgpvpn": {"name": "mine"}})).status_code == 200
    assert error_of(await member.put(path, {"bgpvpn": {"route_targets": []}}))[0] == 403
    assert error_of(await member.delete(path))[0] == 403
    network = await member.a_network()
    await _associated(member, vpn, "network", network_id=network["id"])
    assert error_of(await _put_in(member, other, "network", network_id=network["id"]))[0] == 404


async def test_a_vpn_shows_what_is_in_it(api: Api) -> None:
    """By its associations, until they go; lists are filtered by it."""
    vpn, other = await api.made("bgpvpn"), await api.made("bgpvpn")
    network, router = await api.a_network(), await api.made("router")
    port = await api.a_port(network["id"])
    await _associated(api, vpn, "network", network_id=network["id"])
    in_router = await _associated(api, vpn, "router", router_id=router["id"])
    in_port = await _associated(api, vpn, "port", port_id=port["id"])

    assert (in_router["advertise_extra_routes"], in_port["advertise_fixed_ips"]) == (True, True)
    assert in_port["routes"] == []
    assert "bgpvpn_id" not in in_port
    shown = await api.shown(f"{VPNS}/{vpn['id']}")
    assert (shown["networks"], shown["routers"], shown["ports"]) == (
        [network["id"]],
        [router["id"]],
        [port["id"]],
    )
    for query in (f"networks={network['id']}", f"routers={router['id']}", f"ports={port['id']}"):
        assert [one["id"] for one in await api.shown(f"{VPNS}?{query}")] == [vpn["id"]]
    path = f"{VPNS}/{vpn['id']}/router_associations/{in_router['id']}"
    changed = await api.put(path, {"router_association": {"advertise_extra_routes": False}})
    assert changed.json()["router_association"]["advertise_extra_routes"] is False
    wrong = path.replace(vpn["id"], other["id"])
    assert error_of(await api.get(wrong))[:2] == (404, "BGPVPNRouterAssocNotFound")
    assert (await api.delete(path)).status_code == 204
    assert (await api.shown(f"{VPNS}/{vpn['id']}"))["routers"] == []
    await _associated(api, vpn, "router", router_id=router["id"])


@pytest.mark.parametrize(
    ("kind", "type_"),
    [
        ("network", "BGPVPNNetAssocAlreadyExists"),
        ("router", "BGPVPNRouterAssocAlreadyExists"),
        ("port", "BGPVPNPortAssocAlreadyExists"),
    ],
)
async def test_a_thing_is_in_a_vpn_once(api: Api, kind: str, type_: str) -> None:
    """And in several VPNs."""
    vpn = await api.made("bgpvpn")
    network = await api.a_network()
    made = {"network": network, "router": await api.made("router"), "port": await api.a_port(network["id"])}
    said = {f"{kind}_id": made[kind]["id"]}

    await _associated(api, vpn, kind, **said)
    assert error_of(await _put_in(api, vpn, kind, **said))[:2] == (400, type_)
    await _associated(api, await api.made("bgpvpn"), kind, **said)


@pytest.mark.parametrize("kind", ["network", "router", "port"])
async def test_what_is_deleted_leaves_its_vpns(api: Api, kind: str) -> None:
    """Nothing keeps it, and the VPN forgets it; a VPN takes its associations with it."""
    vpn = await api.made("bgpvpn")
    network = await api.a_network()
    made = {"network": network, "router": await api.made("router"), "port": await api.a_port(network["id"])}
    if kind == "network":
        await api.delete(f"/v2.0/ports/{made['port']['id']}")
    await _associated(api, vpn, kind, **{f"{kind}_id": made[kind]["id"]})

    assert (await api.delete(f"/v2.0/{kind}s/{made[kind]['id']}")).status_code == 204
    assert await api.shown(f"{VPNS}/{vpn['id']}/{kind}_associations") == []
    router = await api.made("router")
    await _associated(api, vpn, "router", router_id=router["id"])
    assert (await api.delete(f"{VPNS}/{vpn['id']}")).status_code == 204
    again = await api.made("bgpvpn")
    await _associated(api, again, "router", router_id=router["id"])


async def test_things_are_of_the_vpns_project(api: Api, member: Api) -> None:
    """Both what is in it and the association."""
    vpn, own = await api.made("bgpvpn", project_id=MEMBER_PROJECT), await api.made("bgpvpn")
    network, theirs = await api.a_network(), await member.a_network()

    for one, network_id in ((vpn, network["id"]), (vpn, theirs["id"]), (own, theirs["id"])):
        refused = await _put_in(api, one, "network", network_id=network_id)
        assert error_of(refused)[:2] == (403, "NotAuthorized")
    await _associated(api, vpn, "network", network_id=theirs["id"], project_id=MEMBER_PROJECT)
    refused = await _put_in(api, own, "network", network_id=MISSING)
    assert error_of(refused)[:2] == (404, "NetworkNotFound")


async def test_a_network_is_not_in_vpns_twice_over_its_router(api: Api) -> None:
    """By itself or by its router, whichever comes last is refused; so is the interface that would join them."""
    vpn = await api.made("bgpvpn")
    network, router = await api.a_network(), await api.made("router")
    assert (await _interface(api, router, network)).status_code == 200
    in_network = await _associated(api, vpn, "network", network_id=network["id"])
    refused = await _put_in(api, vpn, "router", router_id=router["id"])
    assert error_of(refused)[:2] == (400, "BadRequest")

    await api.delete(f"{VPNS}/{vpn['id']}/network_associations/{in_network['id']}")
    await _associated(api, vpn, "router", router_id=router["id"])
    refused = await _put_in(api, vpn, "network", network_id=network["id"])
    assert error_of(refused)[:2] == (400, "BadRequest")

    other = await api.a_network()
    await _associated(api, vpn, "network", network_id=other["id"])
    assert error_of(await _interface(api, router, other))[:2] == (400, "BadRequest")
    assert await api.shown(f"/v2.0/ports?network_id={other['id']}") == []


async def test_routers_are_for_vpns_that_route(api: Api) -> None:
    """Not for those that bridge."""
    vpn, router = await api.made("bgpvpn", type="l2"), await api.made("router")
    assert error_of(await _put_in(api, vpn, "router", router_id=router["id"]))[:2] == (400, "BadRequest")


async def test_a_port_tells_prefixes_and_other_vpns(api: Api) -> None:
    """Each with a preference or none; a VPN that is deleted is told no more."""
    vpn, leaked = await api.made("bgpvpn"), await api.made("bgpvpn")
    port = await api.a_port((await api.a_network())["id"])
    routes: list[Json] = [
        {"type": "prefix", "prefix": "192.0.2.0/24", "local_pref": 100},
        {"type": "bgpvpn", "bgpvpn_id": leaked["id"]},
    ]
    made = await _associated(api, vpn, "port", port_id=port["id"], routes=routes, advertise_fixed_ips=False)

    assert made["routes"] == [routes[0], routes[1] | {"local_pref": None}]
    assert (await api.delete(f"{VPNS}/{leaked['id']}")).status_code == 204
    path = f"{VPNS}/{vpn['id']}/port_associations/{made['id']}"
    assert (await api.shown(path))["routes"] == [routes[0]]
    changed = await api.put(path, {"port_association": {"routes": []}})
    assert changed.json()["port_association"]["routes"] == []


async def test_refused_routes(api: Api) -> None:
    """Of no type, without what the type needs, or of a VPN that cannot lead to the port."""
    vpn = await api.made("bgpvpn")
    port = await api.a_port((await api.a_network())["id"])
    bridge, theirs = await api.made("bgpvpn", type="l2"), await api.made("bgpvpn", project_id=MEMBER_PROJECT)
    for route, type_ in (
        ({"type": "prefix"}, "InvalidInput"),
        ({"type": "prefix", "prefix": "10.0.0.0/8", "bgpvpn_id": vpn["id"]}, "InvalidInput"),
        ({"type": "host", "prefix": "10.0.0.0/8"}, "InvalidInput"),
        ({"type": "prefix", "prefix": "10.0.0.0/8", "local_pref": -1}, "InvalidInput"),
        ({"type": "bgpvpn", "bgpvpn_id": MISSING}, "BGPVPNPortAssocRouteNoSuchBGPVPN"),
        ({"type": "bgpvpn", "bgpvpn_id": bridge["id"]}, "BGPVPNPortAssocRouteBGPVPNTypeDiffer"),
        ({"type": "bgpvpn", "bgpvpn_id": theirs["id"]}, "BGPVPNPortAssocRouteWrongBGPVPNProject"),
    ):
        refused = await _put_in(api, vpn, "port", port_id=port["id"], routes=[route])
        assert error_of(refused)[:2] == (400, type_)
