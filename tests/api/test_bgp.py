"""BGP speakers and peers through the API, as clients meet them, and the routes a speaker would tell."""

import pytest

from tests.support.api import Api, Json, error_of

SPEAKERS, PEERS = "/v2.0/bgp-speakers", "/v2.0/bgp-peers"
MISSING = "0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


async def _speaker(api: Api, **said: object) -> Json:
    return await api.made("bgp_speaker", **{"local_as": 64512, "ip_version": 4} | said)


async def _peer(api: Api, **said: object) -> Json:
    return await api.made("bgp_peer", **{"peer_ip": "192.0.2.1", "remote_as": 42, "auth_type": "none"} | said)


async def _routes(api: Api, speaker: Json) -> list[tuple[str, str]]:
    routes = await api.shown(f"{SPEAKERS}/{speaker['id']}/get_advertised_routes")
    return [(route["destination"], route["next_hop"]) for route in routes]


async def test_a_speaker_and_a_peer_show_every_attribute(api: Api) -> None:
    """Defaults of a speaker, 32-bit numbers, and a peer's password never."""
    speaker = await _speaker(api, name="edge", local_as=4_200_000_000)
    expected = {
        "name": "edge",
        "local_as": 4_200_000_000,
        "ip_version": 4,
        "peers": [],
        "networks": [],
        "advertise_floating_ip_host_routes": True,
        "advertise_tenant_networks": True,
    }
    assert {name: speaker[name] for name in expected} == expected
    peer = await _peer(api, auth_type="md5", password="hidden")
    assert "password" not in peer
    assert peer == await api.shown(f"{PEERS}/{peer['id']}")


async def test_a_password_is_not_in_the_history(api: Api) -> None:
    """Neither the one it was made with nor a later one."""
    peer = await _peer(api, auth_type="md5", password="first-word")
    await api.put(f"{PEERS}/{peer['id']}", {"bgp_peer": {"password": "second-word"}})

    history = (await api.get(f"/changes?resource_id={peer['id']}")).text

    assert "password" in history
    assert "first-word" not in history
    assert "second-word" not in history


@pytest.mark.parametrize(
    ("kind", "said", "status", "type_"),
    [
        ("bgp_peer", {"auth_type": "md5"}, 400, "InvalidBgpPeerMd5Authentication"),
        ("bgp_peer", {"auth_type": "sha"}, 400, "InvalidInput"),
        ("bgp_peer", {"remote_as": 0}, 400, "InvalidInput"),
        ("bgp_peer", {"remote_as": 2**32}, 400, "InvalidInput"),
        ("bgp_peer", {"peer_ip": "peer"}, 400, "InvalidInput"),
        ("bgp_speaker", {"ip_version": 5}, 400, "InvalidInput"),
        ("bgp_speaker", {"peers": []}, 400, "HTTPBadRequest"),
    ],
)
async def test_refused_ones_have_the_types_clients_know(
    api: Api, kind: str, said: Json, status: int, type_: str
) -> None:
    """Status and `NeutronError.type`."""
    good = {"bgp_peer": {"peer_ip": "192.0.2.1", "remote_as": 42, "auth_type": "none"}}
    body = good.get(kind, {"local_as": 1, "ip_version": 4}) | said
    path = PEERS if kind == "bgp_peer" else SPEAKERS
    assert error_of(await api.post(path, {kind: body}))[:2] == (status, type_)


async def test_only_administrators_meet_them(api: Api, member: Api) -> None:
    """They are the region's, not a project's."""
    speaker = await _speaker(api)

    assert await member.shown(SPEAKERS) == []
    assert error_of(await member.get(f"{SPEAKERS}/{speaker['id']}"))[:2] == (404, "BgpSpeakerNotFound")
    refused = await member.post(SPEAKERS, {"bgp_speaker": {"local_as": 1, "ip_version": 4}})
    assert error_of(refused)[:2] == (403, "PolicyNotAuthorized")


async def test_peers_come_and_go(api: Api) -> None:
    """A speaker has one peer of an address; a deleted peer leaves it."""
    speaker, peer, same = await _speaker(api), await _peer(api), await _peer(api)
    path = f"{SPEAKERS}/{speaker['id']}"

    answer = await api.put(f"{path}/add_bgp_peer", {"bgp_peer_id": peer["id"]})
    assert answer.json() == {"bgp_peer_id": peer["id"]}
    assert (await api.shown(path))["peers"] == [peer["id"]]
    for again in (peer, same):
        refused = await api.put(f"{path}/add_bgp_peer", {"bgp_peer_id": again["id"]})
        assert error_of(refused)[:2] == (409, "DuplicateBgpPeerIpException")
    refused = await api.put(f"{path}/remove_bgp_peer", {"bgp_peer_id": same["id"]})
    assert error_of(refused)[:2] == (404, "BgpSpeakerPeerNotAssociated")
    assert (await api.put(f"{path}/remove_bgp_peer", {"bgp_peer_id": peer["id"]})).status_code == 200
    await api.put(f"{path}/add_bgp_peer", {"bgp_peer_id": same["id"]})
    assert (await api.delete(f"{PEERS}/{same['id']}")).status_code == 204
    assert (await api.shown(path))["peers"] == []
    refused = await api.put(f"{PEERS}/{peer['id']}", {"bgp_peer": {"password": "x"}})
    assert error_of(refused)[:2] == (404, "BgpPeerNotAuthenticated")


async def test_networks_come_and_go(api: Api) -> None:
    """Each once; a deleted network leaves its speakers."""
    speaker, network = await _speaker(api), await api.a_network()
    path, said = f"{SPEAKERS}/{speaker['id']}", {"network_id": network["id"]}

    assert (await api.put(f"{path}/add_gateway_network", said)).json() == said
    assert (await api.shown(path))["networks"] == [network["id"]]
    refused = await api.put(f"{path}/add_gateway_network", said)
    assert error_of(refused)[:2] == (409, "BgpSpeakerNetworkBindingError")
    assert (await api.put(f"{path}/remove_gateway_network", said)).json() == said
    refused = await api.put(f"{path}/remove_gateway_network", said)
    assert error_of(refused)[:2] == (404, "BgpSpeakerNetworkNotAssociated")
    await api.put(f"{path}/add_gateway_network", said)
    assert (await api.delete(f"/v2.0/networks/{network['id']}")).status_code == 204
    assert (await api.shown(path))["networks"] == []


@pytest.mark.parametrize(
    ("action", "body", "status", "type_"),
    [
        ("add_bgp_peer", {}, 400, "BadRequest"),
        ("add_bgp_peer", {"bgp_peer_id": "x"}, 400, "BadRequest"),
        ("add_bgp_peer", {"bgp_peer_id": MISSING}, 404, "BgpPeerNotFound"),
        ("add_gateway_network", {"network_id": MISSING, "more": 1}, 400, "BadRequest"),
        ("add_gateway_network", {"network_id": MISSING}, 404, "NetworkNotFound"),
    ],
)
async def test_refused_actions(api: Api, action: str, body: Json, status: int, type_: str) -> None:
    """A body that names nothing, and things that are not there."""
    speaker = await _speaker(api)
    answer = await api.put(f"{SPEAKERS}/{speaker['id']}/{action}", body)
    assert error_of(answer)[:2] == (status, type_)


async def _region(api: Api) -> dict[str, str]:
    """An external network and an inner one of one address scope, a router between, a floating IP on it, and an inner
    subnet of no scope. Returns: names → what a test asks for."""
    scope = await api.made("address_scope", name="wide", ip_version=4, shared=True)

    async def pool(prefix: str) -> str:
        made = await api.made(
            "subnetpool",
            name=prefix,
            prefixes=[prefix],
            address_scope_id=scope["id"],
            default_prefixlen=24,
        )
        id: str = made["id"]
        return id

    outer = await api.a_network(**{"router:external": True})
    await api.made("subnet", network_id=outer["id"], ip_version=4, subnetpool_id=await pool("203.0.112.0/22"))
    inner = await api.a_network()
    subnet = await api.made(
        "subnet", network_id=inner["id"], ip_version=4, subnetpool_id=await pool("198.18.0.0/16")
    )
    alone = await api.a_subnet((await api.a_network())["id"], "10.9.0.0/24")
    router = await api.made("router", external_gateway_info={"network_id": outer["id"]})
    for id in (subnet["id"], alone["id"]):
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        assert (await api.put(path, {"subnet_id": id})).status_code == 200
    port = await api.a_port(inner["id"])
    floating = await api.made("floatingip", floating_network_id=outer["id"], port_id=port["id"])
    [gateway] = router["external_gateway_info"]["external_fixed_ips"]
    return {
        "network": outer["id"],
        "router": router["id"],
        "cidr": subnet["cidr"],
        "floating": floating["floating_ip_address"],
        "hop": gateway["ip_address"],
        "floatingip": floating["id"],
    }


async def test_routes_are_those_of_the_networks(api: Api) -> None:
    """A floating IP and a subnet of the scope, by the router's outer address; not what is of no scope."""
    region = await _region(api)
    speaker = await _speaker(api)
    assert await _routes(api, speaker) == []
    path = f"{SPEAKERS}/{speaker['id']}"
    await api.put(f"{path}/add_gateway_network", {"network_id": region["network"]})

    floating = (f"{region['floating']}/32", region["hop"])
    inner = (region["cidr"], region["hop"])
    assert await _routes(api, speaker) == [floating, inner]
    await api.put(path, {"bgp_speaker": {"advertise_tenant_networks": False}})
    assert await _routes(api, speaker) == [floating]
    await api.put(
        path, {"bgp_speaker": {"advertise_tenant_networks": True, "advertise_floating_ip_host_routes": False}}
    )
    assert await _routes(api, speaker) == [inner]


async def test_routes_end_with_what_they_are_made_of(api: Api) -> None:
    """A floating IP without a port, a router that is down, a speaker of the other version: no route."""
    region = await _region(api)
    speaker, other = await _speaker(api), await _speaker(api, ip_version=6)
    for one in (speaker, other):
        path = f"{SPEAKERS}/{one['id']}/add_gateway_network"
        await api.put(path, {"network_id": region["network"]})
    assert await _routes(api, other) == []
    assert len(await _routes(api, speaker)) == 2

    await api.put(f"/v2.0/floatingips/{region['floatingip']}", {"floatingip": {"port_id": None}})
    assert await _routes(api, speaker) == [(region["cidr"], region["hop"])]
    await api.put(f"/v2.0/routers/{region['router']}", {"router": {"admin_state_up": False}})
    assert await _routes(api, speaker) == []
