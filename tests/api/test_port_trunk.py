"""Trunks through the API: ports of several networks on one interface."""

from typing import Any

import pytest

from tests.support.api import ADMIN_PROJECT, Api, error_of

NOWHERE = "11111111-1111-4111-8111-111111111111"
Json = dict[str, Any]


@pytest.fixture
async def parent(api: Api) -> Json:
    """A port that carries nothing yet."""
    return await a_port(api)


async def a_port(api: Api, **said: Any) -> Json:
    """A port on a network of its own."""
    network = await api.a_network()
    return await api.a_port(network["id"], **said)


def tagged(port: Json, tag: int, kind: str = "vlan") -> Json:
    """A subport as a client says it."""
    return {"port_id": port["id"], "segmentation_type": kind, "segmentation_id": tag}


async def make(api: Api, parent: Json, *sub_ports: Json, **said: Any) -> Any:
    """The answer to creating a trunk."""
    return await api.post(
        "/v2.0/trunks", {"trunk": {"port_id": parent["id"], "sub_ports": list(sub_ports), **said}}
    )


async def made(api: Api, parent: Json, *sub_ports: Json, **said: Any) -> Json:
    """A trunk."""
    answer = await make(api, parent, *sub_ports, **said)
    assert answer.status_code == 201, answer.text
    trunk: Json = answer.json()["trunk"]
    return trunk


async def act(api: Api, trunk: Json, action: str, *sub_ports: Json) -> Any:
    """The answer to an action."""
    return await api.put(f"/v2.0/trunks/{trunk['id']}/{action}", {"sub_ports": list(sub_ports)})


async def shown(api: Api, port: Json) -> Json:
    """A port as it is now."""
    now: Json = await api.shown(f"/v2.0/ports/{port['id']}")
    return now


async def test_a_trunk_has_every_attribute(api: Api, parent: Json) -> None:
    """It is DOWN until its ports are ACTIVE, and the parent port shows what is on it."""
    child = await a_port(api)
    trunk = await made(api, parent, tagged(child, 100), name="t", tags=["red"])

    sub_ports = [tagged(child, 100)]
    for gone in ("id", "created_at", "updated_at"):
        assert trunk.pop(gone) if gone != "id" else trunk["id"]
    assert trunk == {
        "id": trunk["id"],
        "name": "t",
        "description": "",
        "project_id": ADMIN_PROJECT,
        "tenant_id": ADMIN_PROJECT,
        "port_id": parent["id"],
        "admin_state_up": True,
        "status": "DOWN",
        "sub_ports": sub_ports,
        "tags": ["red"],
        "revision_number": 0,
    }
    assert (await shown(api, parent))["trunk_details"] == {
        "trunk_id": trunk["id"],
        "sub_ports": [{**sub_ports[0], "mac_address": child["mac_address"]}],
    }
    now = await shown(api, child)
    assert (now["trunk_details"], now["device_owner"]) == (None, "trunk:subport")


async def test_subports_come_and_go(api: Api, parent: Json) -> None:
    """The actions answer the trunk without a wrapping member; a port that left is like any other."""
    first, second = await a_port(api), await a_port(api)
    trunk = await made(api, parent, tagged(first, 1))

    added = await act(api, trunk, "add_subports", tagged(second, 2))
    assert added.status_code == 200, added.text
    assert (added.json()["id"], added.json()["sub_ports"]) == (
        trunk["id"],
        [tagged(first, 1), tagged(second, 2)],
    )
    removed = await act(api, trunk, "remove_subports", {"port_id": first["id"]})
    assert removed.json()["sub_ports"] == [tagged(second, 2)]
    listed = await api.get(f"/v2.0/trunks/{trunk['id']}/get_subports")
    assert listed.json() == {"sub_ports": [tagged(second, 2)]}
    assert (await shown(api, first))["device_owner"] == ""
    assert (await api.delete(f"/v2.0/ports/{first['id']}")).status_code == 204
    assert error_of(await act(api, trunk, "remove_subports", {"port_id": first["id"]}))[:2] == (
        404,
        "SubPortNotFound",
    )


async def test_the_tag_may_be_the_networks(api: Api, parent: Json) -> None:
    """`inherit` takes the VLAN of the subport's network; one of another type has none."""
    vlan = await api.a_network(
        mtu=1_450,
        **{
            "provider:network_type": "vlan",
            "provider:physical_network": "physnet1",
            "provider:segmentation_id": 77,
        },
    )
    child, other = await api.a_port(vlan["id"]), await a_port(api)
    trunk = await made(api, parent, {"port_id": child["id"], "segmentation_type": "inherit"})

    assert trunk["sub_ports"] == [tagged(child, 77)]
    answer = await act(api, trunk, "add_subports", {"port_id": other["id"], "segmentation_type": "inherit"})
    assert error_of(answer)[:2] == (400, "InvalidInput")


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"segmentation_type": "vlan"},
        {"segmentation_id": 5},
        {"segmentation_type": "vlan", "segmentation_id": 0},
        {"segmentation_type": "vlan", "segmentation_id": 4095},
        {"segmentation_type": "gre", "segmentation_id": 5},
        {"segmentation_type": "vlan", "segmentation_id": "x"},
    ],
)
async def test_tags_that_are_none(api: Api, parent: Json, said: Json) -> None:
    """400, and nothing is kept."""
    child = await a_port(api)

    assert error_of(await make(api, parent, {"port_id": child["id"], **said}))[:2] == (400, "InvalidInput")
    assert (await shown(api, child))["device_owner"] == ""


async def test_a_tag_and_a_port_are_on_a_trunk_once(api: Api, parent: Json) -> None:
    """Within a request it is a wrong body, against what is there a conflict."""
    first, second = await a_port(api), await a_port(api)

    assert (await make(api, parent, tagged(first, 1), tagged(first, 2))).status_code == 400
    assert (await make(api, parent, tagged(first, 1), tagged(second, 1))).status_code == 400
    trunk = await made(api, parent, tagged(first, 1))
    assert error_of(await act(api, trunk, "add_subports", tagged(second, 1)))[:2] == (409, "DuplicateSubPort")


async def test_a_port_is_on_one_trunk(api: Api, parent: Json) -> None:
    """As its parent or as a subport; each clash has its error."""
    child, other, used = await a_port(api), await a_port(api), await a_port(api, device_id="vm-1")
    trunk = await made(api, parent, tagged(child, 1))

    assert error_of(await make(api, parent))[:2] == (409, "ParentPortInUse")
    assert error_of(await make(api, child))[:2] == (409, "TrunkPortInUse")
    assert error_of(await make(api, other, tagged(child, 1)))[:2] == (409, "TrunkPortInUse")
    assert error_of(await make(api, other, tagged(parent, 1)))[:2] == (409, "ParentPortInUse")
    assert error_of(await make(api, other, tagged(other, 1)))[:2] == (409, "ParentPortInUse")
    assert error_of(await act(api, trunk, "add_subports", tagged(used, 2)))[:2] == (409, "PortInUse")
    assert error_of(await make(api, {"id": NOWHERE}))[:2] == (404, "PortNotFound")


async def test_ports_of_a_trunk_are_not_deleted(api: Api, parent: Json) -> None:
    """Until the trunk is gone."""
    child = await a_port(api)
    trunk = await made(api, parent, tagged(child, 1))

    assert error_of(await api.delete(f"/v2.0/ports/{parent['id']}"))[:2] == (409, "PortInUseAsTrunkParent")
    assert error_of(await api.delete(f"/v2.0/ports/{child['id']}"))[:2] == (409, "PortInUseAsSubPort")
    assert (await api.delete(f"/v2.0/trunks/{trunk['id']}")).status_code == 204
    for port in (parent, child):
        assert (await shown(api, port))["trunk_details"] is None
        assert (await api.delete(f"/v2.0/ports/{port['id']}")).status_code == 204


async def test_a_disabled_trunk_is_left_alone(api: Api, parent: Json) -> None:
    """Its administrator says so; names may change."""
    child = await a_port(api)
    trunk = await made(api, parent, tagged(child, 1), admin_state_up=False)
    more = await a_port(api)

    for answer in (
        await act(api, trunk, "add_subports", tagged(more, 2)),
        await act(api, trunk, "remove_subports", {"port_id": child["id"]}),
        await api.delete(f"/v2.0/trunks/{trunk['id']}"),
    ):
        assert error_of(answer)[:2] == (409, "TrunkDisabled")
    answer = await api.put(f"/v2.0/trunks/{trunk['id']}", {"trunk": {"name": "x", "admin_state_up": True}})
    assert answer.json()["trunk"]["name"] == "x"
    assert (await api.delete(f"/v2.0/trunks/{trunk['id']}")).status_code == 204


async def test_a_subports_packets_fit_the_parent(api: Api) -> None:
    """A network of a larger MTU than the trunk's has no ports on it."""
    small = await api.a_network(mtu=1_000)
    parent, child = await api.a_port(small["id"]), await a_port(api)

    assert error_of(await make(api, parent, tagged(child, 1)))[:2] == (
        409,
        "SubPortMtuGreaterThanTrunkPortMtu",
    )


async def test_trunks_are_found_by_their_ports(api: Api, parent: Json) -> None:
    """By the parent, and by a port that is on them."""
    child = await a_port(api)
    trunk = await made(api, parent, tagged(child, 1))
    await made(api, await a_port(api))

    for query in (f"port_id={parent['id']}", f"sub_ports=port_id%3D{child['id']}"):
        assert [one["id"] for one in await api.shown(f"/v2.0/trunks?{query}")] == [trunk["id"]]


async def test_trunks_are_of_their_project(api: Api, member: Api, parent: Json) -> None:
    """Others neither see them nor put their ports on them."""
    trunk = await made(api, parent)
    network = await member.a_network()
    own = await member.a_port(network["id"])

    assert (await member.get(f"/v2.0/trunks/{trunk['id']}")).status_code == 404
    assert error_of(await make(member, parent))[:2] == (404, "PortNotFound")
    assert error_of(await make(member, own, tagged(await a_port(api), 1)))[:2] == (404, "PortNotFound")
    assert (await made(member, own))["port_id"] == own["id"]
