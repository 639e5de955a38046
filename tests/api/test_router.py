"""Routers through the API: documents, actions, who may say what, and the errors' types."""

from typing import Any

import pytest

from tests.support.api import MEMBER_PROJECT, Api, error_of

Json = dict[str, Any]
NOWHERE = "11111111-1111-4111-8111-111111111111"


@pytest.fixture
async def outside(api: Api) -> Json:
    """An external network with one subnet."""
    found = await api.a_network(**{"router:external": True})
    await api.a_subnet(found["id"], "203.0.113.0/24")
    return found


async def act(api: Api, router: Json, action: str, body: Json) -> Any:
    """The answer of an action that succeeds."""
    answer = await api.put(f"/v2.0/routers/{router['id']}/{action}", body)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def act_refused(api: Api, router: Json, action: str, body: Json) -> tuple[int, str, str]:
    """The error of an action."""
    return error_of(await api.put(f"/v2.0/routers/{router['id']}/{action}", body))


async def change(api: Api, router: Json, **said: Any) -> Any:
    """The router after an update that succeeds."""
    answer = await api.put(f"/v2.0/routers/{router['id']}", {"router": said})
    assert answer.status_code == 200, answer.text
    return answer.json()["router"]


async def change_refused(api: Api, router: Json, **said: Any) -> tuple[int, str]:
    """Status and type of an update's error."""
    return error_of(await api.put(f"/v2.0/routers/{router['id']}", {"router": said}))[:2]


async def test_a_router_has_every_attribute(api: Api) -> None:
    """What an administrator sees of a new router."""
    router = await api.made("router", name="r1", tags=["red"])
    for name in ("id", "created_at", "updated_at", "project_id", "tenant_id", "revision_number"):
        router.pop(name)
    assert router == {
        "name": "r1",
        "description": "",
        "tags": ["red"],
        "admin_state_up": True,
        "status": "ACTIVE",
        "external_gateway_info": None,
        "external_gateways": [],
        "routes": [],
        "distributed": False,
        "ha": False,
        "flavor_id": None,
        "availability_zone_hints": [],
        "availability_zones": ["nova"],
        "conntrack_helpers": [],
        "enable_ndp_proxy": False,
        "enable_default_route_ecmp": False,
        "enable_default_route_bfd": False,
    }


async def test_a_member_says_and_sees_less(api: Api, member: Api, outside: Json) -> None:
    """Flags, translation and gateway addresses are an administrator's; the gateway itself is not."""
    router = await member.made("router", external_gateway_info={"network_id": outside["id"]})
    assert router["project_id"] == MEMBER_PROJECT
    assert router["external_gateway_info"]["enable_snat"] is True
    assert not {"distributed", "ha"} & router.keys()

    for said in (
        {"distributed": True},
        {"ha": True},
        {"enable_default_route_bfd": True},
        {"external_gateway_info": {"network_id": outside["id"], "enable_snat": False}},
        {
            "external_gateway_info": {
                "network_id": outside["id"],
                "external_fixed_ips": [{"ip_address": "203.0.113.9"}],
            }
        },
    ):
        answer = await member.post("/v2.0/routers", {"router": said})
        assert error_of(answer)[:2] == (403, "PolicyNotAuthorized"), said
    listed = await api.shown(f"/v2.0/ports?device_id={router['id']}")
    assert [port["device_owner"] for port in listed] == ["network:router_gateway"]
    assert await member.shown(f"/v2.0/ports?device_id={router['id']}") == []


async def test_routers_of_others_are_not_found(api: Api, member: Api) -> None:
    """Neither shown, nor changed, nor told anything."""
    router = await api.made("router")
    assert error_of(await member.get(f"/v2.0/routers/{router['id']}"))[:2] == (404, "RouterNotFound")
    assert await member.shown("/v2.0/routers") == []
    body = {"subnet_id": NOWHERE}
    assert (await act_refused(member, router, "add_router_interface", body))[:2] == (404, "RouterNotFound")


async def test_a_gateway_through_the_api(api: Api, outside: Json) -> None:
    """Set, kept, unset; what is wrong with it has the reference's types."""
    inner = await api.a_network()
    router = await api.made("router")
    assert await change_refused(api, router, external_gateway_info={"network_id": inner["id"]}) == (
        400,
        "BadRequest",
    )
    assert await change_refused(api, router, external_gateway_info={"network_id": NOWHERE}) == (
        404,
        "NetworkNotFound",
    )
    assert await change_refused(api, router, external_gateway_info={"enable_snat": True}) == (
        400,
        "InvalidInput",
    )

    info = {"network_id": outside["id"], "enable_snat": False}
    shown = (await change(api, router, external_gateway_info=info))["external_gateway_info"]
    assert (shown["enable_snat"], len(shown["external_fixed_ips"])) == (False, 1)
    assert (await change(api, router, name="r"))["external_gateway_info"] == shown
    assert (await change(api, router, external_gateway_info={}))["external_gateway_info"] is None


async def test_interfaces_through_the_api(api: Api) -> None:
    """Added by subnet, refused twice, kept by the router's deletion, removed once."""
    network = await api.a_network()
    subnet = await api.a_subnet(network["id"])
    router = await api.made("router")
    body = {"subnet_id": subnet["id"]}

    told = await act(api, router, "add_router_interface", body)
    assert (told["id"], told["subnet_ids"]) == (router["id"], [subnet["id"]])
    port = await api.shown(f"/v2.0/ports/{told['port_id']}")
    assert (port["device_owner"], port["security_groups"]) == ("network:router_interface", [])
    after = await api.shown(f"/v2.0/routers/{router['id']}")
    assert after["revision_number"] > router["revision_number"]

    assert (await act_refused(api, router, "add_router_interface", body))[:2] == (400, "BadRequest")
    assert (await act_refused(api, router, "add_router_interface", {}))[:2] == (400, "BadRequest")
    assert error_of(await api.delete(f"/v2.0/routers/{router['id']}"))[:2] == (409, "RouterInUse")
    assert error_of(await api.delete(f"/v2.0/ports/{port['id']}"))[:2] == (409, "ServicePortInUse")
    assert error_of(await api.delete(f"/v2.0/subnets/{subnet['id']}"))[:2] == (409, "SubnetInUse")
    used = await api.a_port(network["id"], device_id="vm-1")
    busy = {"port_id": used["id"]}
    assert (await act_refused(api, router, "add_router_interface", busy))[:2] == (409, "PortInUse")
    assert (await act_refused(api, router, "remove_router_interface", busy))[:2] == (
        404,
        "RouterInterfaceNotFound",
    )

    await act(api, router, "remove_router_interface", body)
    missing = await act_refused(api, router, "remove_router_interface", body)
    assert missing[:2] == (404, "RouterInterfaceNotFoundForSubnet")
    assert (await api.delete(f"/v2.0/routers/{router['id']}")).status_code == 204


async def test_routes_through_the_api(api: Api) -> None:
    """As a list, and one by one; a route keeps the interface it needs."""
    subnet = await api.a_subnet((await api.a_network())["id"])
    router = await api.made("router")
    await act(api, router, "add_router_interface", {"subnet_id": subnet["id"]})
    one = {"destination": "10.8.0.0/16", "nexthop": "10.0.0.8"}
    two = {"destination": "10.9.0.0/16", "nexthop": "10.0.0.9"}

    assert (await change(api, router, routes=[one]))["routes"] == [one]
    added = await act(api, router, "add_extraroutes", {"router": {"routes": [two]}})
    assert added["router"] == await api.shown(f"/v2.0/routers/{router['id']}")
    refused = await act_refused(api, router, "remove_router_interface", {"subnet_id": subnet["id"]})
    assert refused[:2] == (409, "RouterInterfaceInUseByRoute")
    far = {"destination": "10.9.0.0/16", "nexthop": "192.0.2.1"}
    assert await change_refused(api, router, routes=[far]) == (400, "InvalidRoutes")
    left = await act(api, router, "remove_extraroutes", {"router": {"routes": [one]}})
    assert left["router"]["routes"] == [two]


async def test_gateway_actions_through_the_api(api: Api, outside: Json) -> None:
    """The answer is the router as it is shown."""
    router = await api.made("router")
    body = {"router": {"external_gateways": [{"network_id": outside["id"]}] * 2}}
    added = await act(api, router, "add_external_gateways", body)
    assert added["router"] == await api.shown(f"/v2.0/routers/{router['id']}")
    assert len(added["router"]["external_gateways"]) == 2
    refused = await act_refused(api, router, "remove_external_gateways", body)
    assert refused[:2] == (409, "UnableToMatchGateways")


async def test_conntrack_helpers_through_the_api(api: Api, member: Api) -> None:
    """A collection of the router's, whose owner sees and changes it."""
    router = await member.made("router")
    path = f"/v2.0/routers/{router['id']}/conntrack_helpers"
    helper = {"helper": "tftp", "protocol": "udp", "port": 69}

    answer = await member.post(path, {"conntrack_helper": helper})
    assert answer.status_code == 201, answer.text
    made = answer.json()["conntrack_helper"]
    assert made == {"id": made["id"], **helper}
    assert await member.shown(path) == [made]
    assert (await member.shown(f"/v2.0/routers/{router['id']}"))["conntrack_helpers"] == [helper]
    assert error_of(await member.post(path, {"conntrack_helper": helper}))[:2] == (400, "BadRequest")
    bad = {"conntrack_helper": {**helper, "helper": "x"}}
    assert error_of(await member.post(path, bad))[:2] == (400, "ConntrackHelperNotAllowed")
    changed = await member.put(f"{path}/{made['id']}", {"conntrack_helper": {"port": 70}})
    assert changed.json()["conntrack_helper"]["port"] == 70
    assert (await member.delete(f"{path}/{made['id']}")).status_code == 204
    assert error_of(await member.get(f"{path}/{made['id']}"))[:2] == (404, "ConntrackHelperNotFound")


async def test_extensions_of_routers_are_listed(api: Api) -> None:
    """Clients look for these names before they use what they stand for."""
    listed = {one["alias"] for one in await api.shown("/v2.0/extensions")}
    assert {
        "router",
        "ext-gw-mode",
        "extraroute",
        "extraroute-atomic",
        "dvr",
        "l3-ha",
        "l3-flavors",
        "router_availability_zone",
        "qos-gateway-ip",
        "external-gateway-multihoming",
        "l3-conntrack-helper",
        "expose-l3-conntrack-helper",
        "l3-ndp-proxy",
        "l3-ext-ndp-proxy",
        "local_ip",
        "metering",
        "auto-allocated-topology",
    } <= listed


async def test_metering_through_the_api(api: Api, member: Api) -> None:
    """Labels and rules; a shared label is everybody's to see."""
    label = await api.made("metering_label", name="web", shared=True)
    assert label == {**label, "name": "web", "description": "", "shared": True}
    assert [one["id"] for one in await member.shown("/v2.0/metering/metering-labels")] == [label["id"]]
    rule = await api.made(
        "metering_label_rule",
        metering_label_id=label["id"],
        direction="ingress",
        remote_ip_prefix="10.0.0.0/24",
    )
    assert rule == {
        "id": rule["id"],
        "metering_label_id": label["id"],
        "direction": "ingress",
        "excluded": False,
        "remote_ip_prefix": "10.0.0.0/24",
        "source_ip_prefix": None,
        "destination_ip_prefix": None,
    }
    assert (await api.delete(f"/v2.0/metering/metering-labels/{label['id']}")).status_code == 204


async def test_local_ips_through_the_api(member: Api) -> None:
    """An association is named by the port it means."""
    network = await member.a_network()
    await member.a_subnet(network["id"])
    port = await member.a_port(network["id"])
    local = await member.made("local_ip", network_id=network["id"])
    path = f"/v2.0/local_ips/{local['id']}/port_associations"

    answer = await member.post(path, {"port_association": {"fixed_port_id": port["id"]}})
    assert answer.status_code == 201, answer.text
    made = answer.json()["port_association"]
    assert made == {
        "local_ip_id": local["id"],
        "local_ip_address": local["local_ip_address"],
        "fixed_port_id": port["id"],
        "fixed_ip": port["fixed_ips"][0]["ip_address"],
        "host": "",
    }
    assert await member.shown(path) == [made]
    assert await member.shown(f"{path}/{port['id']}") == made
    assert error_of(await member.delete(f"/v2.0/local_ips/{local['id']}"))[:2] == (409, "LocalIPInUse")
    assert (await member.delete(f"{path}/{port['id']}")).status_code == 204
    assert error_of(await member.delete(f"{path}/{port['id']}"))[:2] == (404, "LocalIPAssociationNotFound")
    assert (await member.delete(f"/v2.0/local_ips/{local['id']}")).status_code == 204


async def test_no_gateways_may_be_an_empty_object(api: Api, outside: Json) -> None:
    """Removing the gateways of an empty object removes none: the unmodified client says so before other changes."""
    router = await api.made("router", external_gateway_info={"network_id": outside["id"]})

    answer = await act(api, router, "remove_external_gateways", {"router": {"external_gateways": {}}})

    assert [gateway["network_id"] for gateway in answer["router"]["external_gateways"]] == [outside["id"]]
