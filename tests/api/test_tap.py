"""Tap services, flows and mirrors through the API, as clients meet them."""

import pytest

from tests.support.api import ADMIN_PROJECT, MEMBER_PROJECT, Api, Json, error_of

SERVICES, FLOWS, MIRRORS = (f"/v2.0/taas/tap_{kind}" for kind in ("services", "flows", "mirrors"))
MISSING = "0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


async def _port(api: Api) -> str:
    port = await api.a_port((await api.a_network())["id"])
    id: str = port["id"]
    return id


async def _mirror(api: Api, port_id: str, **said: object) -> Json:
    body = {"port_id": port_id, "remote_ip": "192.0.2.9", "mirror_type": "gre", "directions": {"IN": 99}}
    return await api.made("tap_mirror", **body | said)


async def test_a_service_and_a_flow_show_every_attribute(member: Api) -> None:
    """What was said; DOWN, since no host copies."""
    target, source = await _port(member), await _port(member)
    service = await member.made("tap_service", name="copies", port_id=target)
    flow = await member.made(
        "tap_flow", tap_service_id=service["id"], source_port=source, direction="BOTH", vlan_filter="9,18,27-36"
    )  # fmt: skip

    both: Json = {"description": "", "status": "DOWN", "project_id": MEMBER_PROJECT}
    expected = both | {"name": "copies", "port_id": target}
    assert {name: service[name] for name in expected} == expected
    expected = both | {
        "name": "",
        "tap_service_id": service["id"],
        "source_port": source,
        "direction": "BOTH",
        "vlan_filter": "9,18,27-36",
    }
    assert {name: flow[name] for name in expected} == expected
    changed = await member.put(f"{FLOWS}/{flow['id']}", {"tap_flow": {"description": "all"}})
    assert changed.json()["tap_flow"]["description"] == "all"
    fixed = await member.put(f"{FLOWS}/{flow['id']}", {"tap_flow": {"direction": "IN"}})
    assert error_of(fixed)[:2] == (400, "HTTPBadRequest")


@pytest.mark.parametrize(
    ("said", "status", "type_"),
    [
        ({"direction": "both"}, 400, "InvalidInput"),
        ({"vlan_filter": "9-"}, 400, "InvalidInput"),
        ({"vlan_filter": "9\n"}, 400, "InvalidInput"),
        ({"tap_service_id": MISSING}, 404, "TapServiceNotFound"),
        ({"source_port": MISSING}, 404, "PortNotFound"),
    ],
)
async def test_refused_flows(member: Api, said: Json, status: int, type_: str) -> None:
    """Words that mean nothing, and things that are not there."""
    port = await _port(member)
    service = await member.made("tap_service", port_id=port)
    body = {"tap_service_id": service["id"], "source_port": port, "direction": "IN"} | said
    assert error_of(await member.post(FLOWS, {"tap_flow": body}))[:2] == (status, type_)


async def test_taps_stay_inside_a_project(api: Api, member: Api) -> None:
    """Ports of others are not found; an administrator is told whose they are."""
    port, own = await _port(api), await _port(member)
    refused = await member.post(SERVICES, {"tap_service": {"port_id": port}})
    assert error_of(refused)[:2] == (404, "PortNotFound")
    for path, kind, body in (
        (SERVICES, "tap_service", {"port_id": own}),
        (MIRRORS, "tap_mirror", {"port_id": own, "remote_ip": "192.0.2.9", "mirror_type": "gre", "directions": {}}),
    ):  # fmt: skip
        refused = await api.post(path, {kind: body})
        assert error_of(refused)[:2] == (403, "PortDoesNotBelongToTenant")
    service = await member.made("tap_service", port_id=own)
    flow = {"tap_service_id": service["id"], "source_port": port, "direction": "IN"}
    refused = await api.post(FLOWS, {"tap_flow": flow | {"project_id": ADMIN_PROJECT}})
    assert error_of(refused)[:2] == (403, "TapServiceNotBelongToTenant")
    refused = await member.post(FLOWS, {"tap_flow": flow})
    assert error_of(refused)[:2] == (404, "PortNotFound")


async def test_flows_go_with_their_service_and_taps_with_their_port(member: Api) -> None:
    """Nothing keeps a port or a service."""
    target, source = await _port(member), await _port(member)

    async def tap() -> Json:
        service = await member.made("tap_service", port_id=target)
        said = {"tap_service_id": service["id"], "direction": "OUT"}
        await member.made("tap_flow", source_port=source, **said)
        return service

    service = await tap()
    assert (await member.delete(f"{SERVICES}/{service['id']}")).status_code == 204
    assert await member.shown(FLOWS) == []
    await tap()
    await _mirror(member, target)
    assert (await member.delete(f"/v2.0/ports/{target}")).status_code == 204
    assert [await member.shown(path) for path in (SERVICES, FLOWS, MIRRORS)] == [[], [], []]
    target = await _port(member)
    await tap()
    assert (await member.delete(f"/v2.0/ports/{source}")).status_code == 204
    assert (len(await member.shown(SERVICES)), await member.shown(FLOWS)) == (1, [])


async def test_a_tunnel_is_one_mirrors(api: Api, member: Api) -> None:
    """In the whole region, until the mirror goes, by itself or with its port."""
    port, other = await _port(member), await _port(api)
    mirror = await _mirror(member, port, directions={"IN": 99, "OUT": "100", "BOTH": None})
    assert mirror["directions"] == {"IN": 99, "OUT": 100}
    body = {
        "port_id": other,
        "remote_ip": "2001:db8::9",
        "mirror_type": "erspanv1",
        "directions": {"BOTH": 100},
    }

    taken = await api.post(MIRRORS, {"tap_mirror": body})
    assert error_of(taken)[:2] == (409, "TapMirrorTunnelConflict")
    changed = await member.put(f"{MIRRORS}/{mirror['id']}", {"tap_mirror": {"name": "m"}})
    assert changed.json()["tap_mirror"]["name"] == "m"
    await member.delete(f"{MIRRORS}/{mirror['id']}")
    await api.made("tap_mirror", **body)
    await api.delete(f"/v2.0/ports/{other}")
    await _mirror(member, port, directions={"IN": 100})


@pytest.mark.parametrize(
    "said",
    [
        {"directions": {"UP": 1}},
        {"directions": {"IN": "x"}},
        {"directions": {"IN": 2**32}},
        {"directions": []},
        {"mirror_type": "vxlan"},
        {"remote_ip": "there"},
    ],
)
async def test_refused_mirrors(member: Api, said: Json) -> None:
    """Directions, types and addresses that mean nothing."""
    body = {
        "port_id": await _port(member),
        "remote_ip": "192.0.2.9",
        "mirror_type": "gre",
        "directions": {"IN": 1},
    }
    refused = await member.post(MIRRORS, {"tap_mirror": body | said})
    assert error_of(refused)[:2] == (400, "InvalidInput")
