"""Floating IPs, their port forwardings and pools through the API; the automatic topology."""

from typing import Any

import pytest

from tests.support.api import MEMBER_PROJECT, Api, error_of

Json = dict[str, Any]


@pytest.fixture
async def outside(api: Api) -> Json:
    """An external network with one subnet."""
    found = await api.a_network(**{"router:external": True, "is_default": True})
    await api.a_subnet(found["id"], "203.0.113.0/24", name="public")
    return found


@pytest.fixture
async def port(member: Api, outside: Json) -> Json:
    """A member's port on a subnet that the member's router joins to the external network."""
    network = await member.a_network()
    subnet = await member.a_subnet(network["id"])
    router = await member.made("router", external_gateway_info={"network_id": outside["id"]})
    path = f"/v2.0/routers/{router['id']}/add_router_interface"
    assert (await member.put(path, {"subnet_id": subnet["id"]})).status_code == 200
    return await member.a_port(network["id"], name="web")


async def change(api: Api, row: Json, **said: Any) -> Any:
    """The floating IP after an update that succeeds."""
    answer = await api.put(f"/v2.0/floatingips/{row['id']}", {"floatingip": said})
    assert answer.status_code == 200, answer.text
    return answer.json()["floatingip"]


async def test_a_floating_ip_has_every_attribute(member: Api, outside: Json) -> None:
    """What its owner sees of a new one."""
    row = await member.made("floatingip", floating_network_id=outside["id"], description="web", tags=["red"])
    for name in ("id", "created_at", "updated_at", "tenant_id", "revision_number"):
        row.pop(name)
    assert row == {
        "project_id": MEMBER_PROJECT,
        "description": "web",
        "tags": ["red"],
        "floating_network_id": outside["id"],
        "floating_ip_address": "203.0.113.2",
        "port_id": None,
        "fixed_ip_address": None,
        "router_id": None,
        "status": "DOWN",
        "port_details": None,
        "port_forwardings": [],
        "dns_name": "",
        "dns_domain": "",
        "qos_policy_id": None,
        "qos_network_policy_id": None,
    }


async def test_a_floating_ip_through_its_life(api: Api, member: Api, outside: Json, port: Json) -> None:
    """Associated, found by its port, released with it, deleted; others do not see it."""
    row = await member.made("floatingip", floating_network_id=outside["id"], port_id=port["id"])
    assert (row["status"], row["port_id"], row["port_details"]["name"]) == ("ACTIVE", port["id"], "web")
    assert row["fixed_ip_address"] == port["fixed_ips"][0]["ip_address"]

    query = f"?port_id={port['id']}&fixed_ip_address={row['fixed_ip_address']}"
    assert [one["id"] for one in await member.shown(f"/v2.0/floatingips{query}")] == [row["id"]]
    assert await member.shown(f"/v2.0/floatingips?router_id={outside['id']}") == []
    again = {"floating_network_id": outside["id"], "port_id": port["id"]}
    refused = error_of(await member.post("/v2.0/floatingips", {"floatingip": again}))
    assert refused[:2] == (409, "FloatingIPPortAlreadyAssociated")
    described = await change(member, row, description="x")
    assert (described["description"], described["router_id"]) == ("x", row["router_id"])
    gone = await member.put(f"/v2.0/routers/{row['router_id']}", {"router": {"external_gateway_info": {}}})
    assert error_of(gone)[:2] == (409, "RouterExternalGatewayInUseByFloatingIp")

    assert (await member.delete(f"/v2.0/ports/{port['id']}")).status_code == 204
    free = await member.shown(f"/v2.0/floatingips/{row['id']}")
    assert (free["port_id"], free["router_id"], free["status"]) == (None, None, "DOWN")
    theirs = await api.made("floatingip", floating_network_id=outside["id"])
    assert error_of(await member.get(f"/v2.0/floatingips/{theirs['id']}"))[:2] == (404, "FloatingIPNotFound")
    assert (await member.delete(f"/v2.0/floatingips/{row['id']}")).status_code == 204


async def test_what_is_refused_has_the_references_types(member: Api, outside: Json, port: Json) -> None:
    """An unreachable port is not found; a wrong network or address is a bad request; an address needs a right."""
    lonely = await member.a_network()
    await member.a_subnet(lonely["id"])
    far = await member.a_port(lonely["id"])
    address = {"fixed_ip_address": "10.0.0.200"}
    for said, expected in (
        ({"floating_network_id": lonely["id"]}, (400, "BadRequest")),
        ({"floating_network_id": far["id"]}, (404, "NetworkNotFound")),
        (
            {"floating_network_id": outside["id"], "port_id": far["id"]},
            (404, "ExternalGatewayForFloatingIPNotFound"),
        ),
        ({"floating_network_id": outside["id"], "port_id": lonely["id"]}, (404, "PortNotFound")),
        ({"floating_network_id": outside["id"], "port_id": port["id"], **address}, (400, "BadRequest")),
        ({"floating_network_id": outside["id"], **address}, (400, "BadRequest")),
        (
            {"floating_network_id": outside["id"], "floating_ip_address": "203.0.113.9"},
            (403, "PolicyNotAuthorized"),
        ),
        ({"floating_network_id": outside["id"], "router_id": far["id"]}, (400, "HTTPBadRequest")),
        ({}, (400, "HTTPBadRequest")),
    ):
        answer = await member.post("/v2.0/floatingips", {"floatingip": said})
        assert error_of(answer)[:2] == expected, said


async def test_port_forwardings_through_the_api(member: Api, outside: Json, port: Json) -> None:
    """A collection of the floating IP's, which shows them and stays while it has one."""
    row = await member.made("floatingip", floating_network_id=outside["id"])
    path = f"/v2.0/floatingips/{row['id']}/port_forwardings"
    said = {
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "protocol": "tcp",
        "external_port": 80,
        "internal_port": 8080,
    }
    answer = await member.post(path, {"port_forwarding": said})
    assert answer.status_code == 201, answer.text
    made = answer.json()["port_forwarding"]
    shown = {**said, "external_port_range": "80:80", "internal_port_range": "8080:8080", "id": made["id"]}
    assert made == {**made, **shown, "description": ""}
    assert await member.shown(path) == [made]
    assert await member.shown(f"{path}?external_port=80&protocol=tcp") == [made]
    after = await member.shown(f"/v2.0/floatingips/{row['id']}")
    assert after["port_forwardings"] == [shown]
    assert after["revision_number"] > row["revision_number"]

    assert error_of(await member.post(path, {"port_forwarding": said}))[:2] == (400, "BadRequest")
    kept = error_of(await member.delete(f"/v2.0/floatingips/{row['id']}"))
    assert kept[:2] == (409, "FipInUseByPortForwarding")
    wider = {"external_port_range": "90:99", "internal_port_range": "190:199"}
    changed = (await member.put(f"{path}/{made['id']}", {"port_forwarding": wider})).json()["port_forwarding"]
    assert (changed["external_port"], changed["external_port_range"]) == (None, "90:99")
    assert (await member.delete(f"{path}/{made['id']}")).status_code == 204
    assert error_of(await member.get(f"{path}/{made['id']}"))[:2] == (404, "PortForwardingNotFound")
    assert (await member.shown(f"/v2.0/floatingips/{row['id']}"))["router_id"] is None


async def test_pools_through_the_api(member: Api, outside: Json) -> None:
    """The subnets floating IPs come from, as the caller's."""
    [pool] = await member.shown("/v2.0/floatingip_pools")
    assert pool == {
        "subnet_id": pool["subnet_id"],
        "subnet_name": "public",
        "network_id": outside["id"],
        "cidr": "203.0.113.0/24",
        "project_id": MEMBER_PROJECT,
        "tenant_id": MEMBER_PROJECT,
    }


async def test_an_automatic_topology_is_made_once(api: Api, member: Api, outside: Json) -> None:
    """Network, subnet, and router to the default external network; deleted together."""
    path = f"/v2.0/auto-allocated-topology/{MEMBER_PROJECT}"
    assert error_of(await member.get(path))[:2] == (409, "AutoAllocationFailure")
    await api.made(
        "subnetpool", name="p", prefixes=["10.0.0.0/16"], default_prefixlen=24, shared=True, is_default=True
    )
    dry = (await member.get(f"{path}?fields=dry-run")).json()["auto_allocated_topology"]
    assert dry == {"id": "dry-run=pass", "project_id": MEMBER_PROJECT, "tenant_id": MEMBER_PROJECT}
    assert await member.shown("/v2.0/routers") == []

    made = (await member.get(path)).json()["auto_allocated_topology"]
    network = await member.shown(f"/v2.0/networks/{made['id']}")
    assert (network["name"], network["project_id"]) == ("auto_allocated_network", MEMBER_PROJECT)
    [router] = await member.shown("/v2.0/routers")
    assert router["external_gateway_info"]["network_id"] == outside["id"]
    [interface] = await member.shown(f"/v2.0/ports?network_id={network['id']}")
    assert interface["device_id"] == router["id"]
    assert (await member.get("/v2.0/auto-allocated-topology/None")).json()["auto_allocated_topology"] == made
    other = "/v2.0/auto-allocated-topology/somebody"
    assert error_of(await member.get(other))[:2] == (403, "PolicyNotAuthorized")
    assert error_of(await member.get(f"{path}?fields=id"))[:2] == (400, "BadRequest")

    assert (await member.delete(path)).status_code == 204
    assert await member.shown("/v2.0/routers") == []
    assert error_of(await member.get(f"/v2.0/networks/{made['id']}"))[:2] == (404, "NetworkNotFound")
    assert (await member.delete(path)).status_code == 204
    assert (await member.get(path)).json()["auto_allocated_topology"]["id"] != made["id"]
