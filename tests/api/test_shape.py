"""Create, show, update, delete and bulk: bodies and status codes of each resource."""

from typing import Any

import pytest

from tests.support.api import ADMIN_PROJECT, MEMBER_PROJECT, Api, collection_path, error_of
from tests.support.store import NOW, Clock

LATER = "2026-09-21T14:14:20Z"


async def test_a_network_has_every_attribute(api: Api) -> None:
    """A created network is answered with 201 and all that an administrator sees of it."""
    network = await api.a_network(name="red")

    vni = network.pop("provider:segmentation_id")
    assert 1 <= vni < 2**24
    assert network.pop("id")
    expected = {
        "name": "red",
        "project_id": ADMIN_PROJECT,
        "tenant_id": ADMIN_PROJECT,
        "description": "",
        "admin_state_up": True,
        "mtu": 1450,
        "port_security_enabled": True,
        "provider:network_type": "vxlan",
        "provider:physical_network": None,
        "created_at": NOW,
        "updated_at": NOW,
        "revision_number": 0,
        "status": "ACTIVE",
        "shared": False,
        "subnets": [],
        "router:external": False,
        "is_default": False,
        "dns_domain": "",
        "vlan_transparent": False,
        "qinq": False,
        "availability_zone_hints": [],
        "availability_zones": ["nova"],
        "qos_policy_id": None,
        "segments": [],
        "ipv4_address_scope": None,
        "ipv6_address_scope": None,
        "l2_adjacency": True,
        "tags": [],
    }
    assert network == expected


async def test_a_subnet_has_every_attribute(api: Api) -> None:
    """A created subnet shows what was decided for it: gateway, pools, defaults."""
    network = await api.a_network()
    subnet = await api.a_subnet(network["id"], "10.1.0.0/24", dns_nameservers=None, host_routes=None)

    assert subnet.pop("id")
    assert subnet == {
        "name": "",
        "project_id": ADMIN_PROJECT,
        "tenant_id": ADMIN_PROJECT,
        "description": "",
        "network_id": network["id"],
        "ip_version": 4,
        "cidr": "10.1.0.0/24",
        "gateway_ip": "10.1.0.1",
        "allocation_pools": [{"start": "10.1.0.2", "end": "10.1.0.254"}],
        "dns_nameservers": [],
        "host_routes": [],
        "enable_dhcp": True,
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
        "subnetpool_id": None,
        "segment_id": None,
        "service_types": [],
        "dns_publish_fixed_ip": False,
        "tags": [],
        "shared": False,
        "router:external": False,
        "created_at": NOW,
        "updated_at": NOW,
        "revision_number": 0,
    }


async def test_a_port_has_every_attribute(api: Api) -> None:
    """A created port shows its addresses; nothing of what is only stored is shown."""
    network = await api.a_network()
    subnet = await api.a_subnet(network["id"])
    port = await api.a_port(network["id"], name="red-1")

    assert port.pop("id")
    assert len(port.pop("mac_address")) == 17
    (fixed,) = port.pop("fixed_ips")
    assert fixed["subnet_id"] == subnet["id"]
    assert fixed["ip_address"].startswith("10.0.0.")
    expected = {
        "name": "red-1",
        "project_id": ADMIN_PROJECT,
        "tenant_id": ADMIN_PROJECT,
        "description": "",
        "network_id": network["id"],
        "admin_state_up": True,
        "status": "DOWN",
        "device_id": "",
        "device_owner": "",
        "port_security_enabled": True,
        "binding:host_id": "",
        "binding:vnic_type": "normal",
        "binding:profile": {},
        "binding:vif_type": "unbound",
        "binding:vif_details": {},
        "created_at": NOW,
        "updated_at": NOW,
        "revision_number": 0,
    }
    assert port.items() >= expected.items()


async def test_a_hosts_token_is_shown_once(api: Api) -> None:
    """The answer that registers a host holds its agent's token; no later answer does."""
    host = await api.made("host", name="host-1", vtep_addresses=["192.0.2.1"])

    assert host["token"]
    assert host["status"] == "DOWN"
    again = await api.shown(f"/hosts/{host['id']}")
    assert "token" not in again
    assert again == {name: value for name, value in host.items() if name != "token"}
    assert await api.shown("/hosts") == [again]
    assert "token_digest" not in host


async def test_a_port_on_an_unknown_host_fails_to_bind(api: Api) -> None:
    """A `binding:host_id` that names no host is accepted and gives `vif_type: binding_failed`."""
    network = await api.a_network()
    port = await api.a_port(network["id"], **{"binding:host_id": "nowhere"})

    assert port["binding:vif_type"] == "binding_failed"


async def test_a_child_document_is_under_its_name(api: Api) -> None:
    """`GET /hosts/<id>/health` answers `{"health": …}`."""
    host = await api.made("host", name="host-1", vtep_addresses=["192.0.2.1"])

    answer = await api.get(f"/hosts/{host['id']}/health")
    assert answer.status_code == 200
    assert answer.json()["health"]["alive"] is False
    assert (await api.get("/hosts/nobody/health")).status_code == 404


async def test_an_action_answers_as_it_is(api: Api) -> None:
    """`PUT /hosts/<id>/rotate_token` replaces the agent's token and answers with the new one."""
    host = await api.made("host", name="host-1", vtep_addresses=["192.0.2.1"])

    answer = await api.request("PUT", f"/hosts/{host['id']}/rotate_token")
    assert answer.status_code == 200
    assert host["token"] not in answer.text
    assert (await api.get(f"/hosts/{host['id']}/rotate_token")).status_code == 405


@pytest.mark.parametrize("kind", ["network", "subnet", "port", "host"])
async def test_update_changes_what_it_names(api: Api, clock: Clock, kind: str) -> None:
    """An update changes the named attributes, counts the revision and dates it; the rest stays."""
    before = await _one(api, kind)
    clock.advance(60)
    path = f"{collection_path(kind)}/{before['id']}"
    answer = await api.put(path, {kind: {"description": "blue"}})

    assert answer.status_code == 200
    after = answer.json()[kind]
    assert after == before | {"description": "blue", "revision_number": 1, "updated_at": LATER}
    assert await api.shown(path) == after


async def test_an_update_of_nothing_changes_nothing(api: Api) -> None:
    """An empty update answers the row as it is; its revision_number stays."""
    network = await api.a_network()
    answer = await api.put(f"/v2.0/networks/{network['id']}", {"network": {}})

    assert answer.json()["network"] == network


@pytest.mark.parametrize("kind", ["network", "subnet", "port", "host"])
async def test_delete_answers_204_and_then_404(api: Api, kind: str) -> None:
    """A deleted resource is gone: 204 without a body, then 404 for show, update and delete."""
    row = await _one(api, kind)
    path = f"{collection_path(kind)}/{row['id']}"
    answer = await api.delete(path)

    assert (answer.status_code, answer.content) == (204, b"")
    gone = (404, f"{kind.capitalize()}NotFound", f"{kind.capitalize()} {row['id']} could not be found.")
    assert error_of(await api.get(path)) == gone
    assert error_of(await api.put(path, {kind: {"description": "x"}})) == gone
    assert error_of(await api.delete(path)) == gone


async def test_a_name_is_not_an_id(api: Api) -> None:
    """`GET /v2.0/networks/<name>` is 404, not 400: clients look by name after that."""
    await api.a_network(name="red")

    assert (await api.get("/v2.0/networks/red")).status_code == 404
    found = await api.shown("/v2.0/networks?name=red")
    assert [one["name"] for one in found] == ["red"]


async def test_tenant_id_is_another_name_of_project_id(api: Api) -> None:
    """A body may say tenant_id; answers show both."""
    network = await api.a_network(tenant_id=MEMBER_PROJECT)

    assert network["project_id"] == network["tenant_id"] == MEMBER_PROJECT


async def test_bulk_create_answers_in_the_order_of_the_request(api: Api) -> None:
    """A bulk create answers 201 with one item per item asked for, in order; items may be wrapped."""
    answer = await api.post(
        "/v2.0/networks", {"networks": [{"name": "a"}, {"network": {"name": "b"}}, {"name": "c"}]}
    )

    assert answer.status_code == 201
    assert [one["name"] for one in answer.json()["networks"]] == ["a", "b", "c"]
    assert len({one["id"] for one in answer.json()["networks"]}) == 3


async def test_bulk_create_is_all_or_nothing(api: Api) -> None:
    """If one item of a bulk cannot be, none is: here the last port's address is taken by the first."""
    network = await api.a_network()
    await api.a_subnet(network["id"])
    wanted = [{"network_id": network["id"], "fixed_ips": [{"ip_address": "10.0.0.9"}]}] * 2
    answer = await api.post("/v2.0/ports", {"ports": [{"network_id": network["id"]}, *wanted]})

    assert error_of(answer)[:2] == (409, "IpAddressAlreadyAllocated")
    assert "10.0.0.9" in error_of(answer)[2]
    assert await api.shown("/v2.0/ports") == []


async def test_a_wrong_item_of_a_bulk_is_named(api: Api) -> None:
    """The detail of an error in a bulk says which item is wrong; nothing is created."""
    answer = await api.post("/v2.0/networks", {"networks": [{"name": "a"}, {"mtu": "many"}]})

    assert answer.status_code == 400
    assert answer.json()["NeutronError"] == {
        "type": "InvalidInput",
        "message": "Invalid input for mtu. Reason: 'many' is not an integer.",
        "detail": "networks[1]",
    }
    assert await api.shown("/v2.0/networks") == []


async def test_fields_choose_attributes(api: Api) -> None:
    """`fields` shows the named attributes only, computed ones too; unknown names are passed over."""
    network = await api.a_network(name="red")
    subnet = await api.a_subnet(network["id"])
    path = f"/v2.0/networks/{network['id']}"

    assert await api.shown(f"{path}?fields=name&fields=subnets") == {"name": "red", "subnets": [subnet["id"]]}
    assert await api.shown(f"{path}?fields=provider:physical_network&fields=tenant_id") == {
        "provider:physical_network": None,
        "tenant_id": ADMIN_PROJECT,
    }
    assert await api.shown(f"{path}?fields=no_such_attribute") == {}
    assert await api.shown("/v2.0/networks?fields=status&fields=nonsense") == [{"status": "ACTIVE"}]
    assert (await api.shown(f"{path}?fields="))["name"] == "red"


async def _one(api: Api, kind: str) -> dict[str, Any]:
    if kind == "host":
        host = await api.made("host", name="host-1", vtep_addresses=["192.0.2.1"])
        return {name: value for name, value in host.items() if name != "token"}
    network = await api.a_network()
    if kind == "network":
        return network
    if kind == "subnet":
        return await api.a_subnet(network["id"])
    return await api.a_port(network["id"])
