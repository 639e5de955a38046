"""VPN policies, services, endpoint groups and connections through the API, as clients meet them."""

from typing import Any

import pytest

from tests.support.api import MEMBER_PROJECT, Api, Json, error_of

VPN = "/v2.0/vpn"
IKE, IPSEC, SERVICES = f"{VPN}/ikepolicies", f"{VPN}/ipsecpolicies", f"{VPN}/vpnservices"
GROUPS, CONNECTIONS = f"{VPN}/endpoint-groups", f"{VPN}/ipsec-site-connections"
MISSING = "0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


class Site:
    """A router with a gateway and two inner subnets, one of each version, and policies."""

    def __init__(self, api: Api) -> None:
        self.api = api
        self.outer = self.router = self.subnet = self.subnet6 = self.ike = self.ipsec = ""
        self.address = ""

    async def build(self) -> None:
        api = self.api
        outer = await api.a_network(**{"router:external": True})
        await api.a_subnet(outer["id"], "203.0.113.0/24")
        inner = await api.a_network()
        router = await api.made("router", external_gateway_info={"network_id": outer["id"]})
        [gateway] = router["external_gateway_info"]["external_fixed_ips"]
        self.outer, self.router, self.address = outer["id"], router["id"], gateway["ip_address"]
        self.subnet = (await api.a_subnet(inner["id"]))["id"]
        self.subnet6 = (await api.a_subnet(inner["id"], "2001:db8:1::/64"))["id"]
        for id in (self.subnet, self.subnet6):
            path = f"/v2.0/routers/{self.router}/add_router_interface"
            assert (await api.put(path, {"subnet_id": id})).status_code == 200
        self.ike = (await api.made("ikepolicy"))["id"]
        self.ipsec = (await api.made("ipsecpolicy"))["id"]

    async def service(self, **said: Any) -> Json:
        return await self.api.made("vpnservice", **{"router_id": self.router} | said)

    async def group(self, *endpoints: str, type: str = "cidr") -> str:
        made = await self.api.made("endpoint_group", type=type, endpoints=endpoints)
        id: str = made["id"]
        return id

    def connection(self, service: Json, **said: Any) -> Json:
        body = {
            "vpnservice_id": service["id"],
            "ikepolicy_id": self.ike,
            "ipsecpolicy_id": self.ipsec,
            "peer_address": "198.51.100.1",
            "peer_id": "198.51.100.1",
            "psk": "hush",
        }
        return {"ipsec_site_connection": body | said}

    async def connected(self, service: Json, **said: Any) -> Json:
        answer = await self.api.post(CONNECTIONS, self.connection(service, **said))
        assert answer.status_code == 201, answer.text
        found: Json = answer.json()["ipsec_site_connection"]
        return found


@pytest.fixture
async def site(api: Api) -> Site:
    built = Site(api)
    await built.build()
    return built


async def test_policies_show_every_attribute(member: Api) -> None:
    """Defaults of the reference; a lifetime of which a part was said."""
    ike = await member.made("ikepolicy", lifetime={"value": "7200"}, encryption_algorithm="aes-256-gcm-16")
    expected: Json = {
        "name": "",
        "auth_algorithm": "sha1",
        "encryption_algorithm": "aes-256-gcm-16",
        "phase1_negotiation_mode": "main",
        "ike_version": "v1",
        "lifetime": {"units": "seconds", "value": 7200},
        "pfs": "group5",
        "project_id": MEMBER_PROJECT,
    }
    assert {name: ike[name] for name in expected} == expected
    ipsec = await member.made("ipsecpolicy")
    expected = {
        "transform_protocol": "esp",
        "auth_algorithm": "sha1",
        "encryption_algorithm": "aes-128",
        "encapsulation_mode": "tunnel",
        "lifetime": {"units": "seconds", "value": 3600},
        "pfs": "group5",
    }
    assert {name: ipsec[name] for name in expected} == expected
    changed = await member.put(
        f"{IKE}/{ike['id']}", {"ikepolicy": {"lifetime": {"units": "seconds"}, "name": "x"}}
    )
    assert changed.json()["ikepolicy"]["lifetime"] == {"units": "seconds", "value": 7200}
    assert error_of(await member.get(f"{IKE}/{MISSING}"))[:2] == (404, "IKEPolicyNotFound")


@pytest.mark.parametrize(
    "said",
    [
        {"lifetime": {"value": 59}},
        {"lifetime": {"units": "kilobytes"}},
        {"lifetime": {"days": 1}},
        {"lifetime": 60},
        {"pfs": "group1"},
        {"auth_algorithm": "md5"},
        {"encryption_algorithm": "des"},
        {"ike_version": "v3"},
    ],
)
async def test_refused_policies(member: Api, said: Json) -> None:
    """Words and numbers that mean nothing."""
    assert error_of(await member.post(IKE, {"ikepolicy": said}))[:2] == (400, "InvalidInput")


async def test_a_service_shows_where_its_tunnels_end(site: Site) -> None:
    """The router's outer address; DOWN, since no host builds tunnels."""
    service = await site.service(subnet_id=site.subnet, name="office")
    expected: Json = {
        "name": "office",
        "router_id": site.router,
        "subnet_id": site.subnet,
        "flavor_id": None,
        "admin_state_up": True,
        "external_v4_ip": site.address,
        "external_v6_ip": None,
        "status": "DOWN",
    }
    assert {name: service[name] for name in expected} == expected


async def test_refused_services(site: Site) -> None:
    """A router without a gateway, a subnet elsewhere, a flavor of something else."""
    api = site.api
    inner = await api.made("router")
    other = await api.a_subnet((await api.a_network())["id"], "10.7.0.0/24")
    flavor = await api.made("flavor", service_type="L3_ROUTER_NAT")
    for said, status, type_ in (
        ({"router_id": inner["id"]}, 400, "RouterIsNotExternal"),
        ({"router_id": MISSING}, 404, "RouterNotFound"),
        ({"subnet_id": other["id"]}, 400, "SubnetIsNotConnectedToRouter"),
        ({"subnet_id": MISSING}, 404, "SubnetNotFound"),
        ({"flavor_id": flavor["id"]}, 400, "InvalidServiceType"),
        ({"flavor_id": MISSING}, 404, "FlavorNotFound"),
    ):
        refused = await api.post(SERVICES, {"vpnservice": {"router_id": site.router} | said})
        assert error_of(refused)[:2] == (status, type_)
    kind = await api.made("flavor", service_type="VPN")
    assert (await site.service(flavor_id=kind["id"]))["flavor_id"] == kind["id"]


async def test_a_connection_shows_every_attribute(site: Site) -> None:
    """What was said, and the defaults of the rest; its key to its owner, but not in the history."""
    made = await site.connected(
        await site.service(subnet_id=site.subnet), peer_cidrs=["10.9.0.0/24"], dpd={"interval": 5}
    )
    expected: Json = {
        "peer_cidrs": ["10.9.0.0/24"],
        "local_ep_group_id": None,
        "peer_ep_group_id": None,
        "local_id": "",
        "mtu": 1500,
        "initiator": "bi-directional",
        "auth_mode": "psk",
        "psk": "hush",
        "dpd": {"action": "hold", "interval": 5, "timeout": 120},
        "route_mode": "static",
        "admin_state_up": True,
        "status": "DOWN",
    }
    assert {name: made[name] for name in expected} == expected
    path = f"{CONNECTIONS}/{made['id']}"
    changed = await site.api.put(path, {"ipsec_site_connection": {"dpd": {"timeout": 60}, "psk": "quiet"}})
    shown = changed.json()["ipsec_site_connection"]
    assert (shown["dpd"], shown["psk"]) == ({"action": "hold", "interval": 5, "timeout": 60}, "quiet")
    history = (await site.api.get(f"/changes?resource_id={made['id']}")).text
    assert "peer_cidrs" in history
    assert "hush" not in history
    assert "quiet" not in history


async def test_refused_connections_of_a_service_with_a_subnet(site: Site) -> None:
    """Prefixes of one version, and no endpoint groups."""
    service, group = await site.service(subnet_id=site.subnet), await site.group("10.9.0.0/24")
    cidrs: Json = {"peer_cidrs": ["10.9.0.0/24"]}
    for said, type_ in (
        ({}, "MissingPeerCidrs"),
        (cidrs | {"peer_ep_group_id": group}, "InvalidEndpointGroup"),
        ({"peer_cidrs": ["10.9.0.0/24", "2001:db8:9::/64"]}, "MixedIPVersionsForPeerCidrs"),
        ({"peer_cidrs": ["2001:db8:9::/64"]}, "MixedIPVersionsForIPSecConnection"),
        (cidrs | {"dpd": {"timeout": 30}}, "IPsecSiteConnectionDpdIntervalValueError"),
        (cidrs | {"dpd": {"action": "wait"}}, "InvalidInput"),
        (cidrs | {"mtu": 67}, "IPsecSiteConnectionMtuError"),
        (cidrs | {"peer_address": "2001:db8::7"}, "ExternalNetworkHasNoSubnet"),
        (cidrs | {"peer_address": "no such name"}, "VPNPeerAddressNotResolved"),
        (cidrs | {"initiator": "they"}, "InvalidInput"),
    ):
        refused = await site.api.post(CONNECTIONS, site.connection(service, **said))
        assert error_of(refused)[:2] == (400, type_)
    for field, type_ in (
        ("vpnservice_id", "VPNServiceNotFound"),
        ("ikepolicy_id", "IKEPolicyNotFound"),
        ("ipsecpolicy_id", "IPsecPolicyNotFound"),
    ):
        refused = await site.api.post(CONNECTIONS, site.connection(service, **cidrs | {field: MISSING}))
        assert error_of(refused)[:2] == (404, type_)
    named = await site.connected(service, peer_address="vpn.example.org", **cidrs)
    assert named["peer_address"] == "vpn.example.org"


async def test_refused_connections_of_a_service_without_a_subnet(site: Site) -> None:
    """Subnets of the router here, prefixes there, all of one version."""
    service = await site.service()
    local, peers = await site.group(site.subnet, type="subnet"), await site.group("10.9.0.0/24")
    both = {"local_ep_group_id": local, "peer_ep_group_id": peers}
    other = (await site.api.a_subnet((await site.api.a_network())["id"], "10.7.0.0/24"))["id"]
    for said, status, type_ in (
        ({"local_ep_group_id": local}, 400, "MissingRequiredEndpointGroup"),
        (both | {"peer_cidrs": ["10.9.0.0/24"]}, 400, "PeerCidrsInvalid"),
        ({"local_ep_group_id": peers, "peer_ep_group_id": peers}, 400, "WrongEndpointGroupType"),
        ({"local_ep_group_id": local, "peer_ep_group_id": local}, 400, "WrongEndpointGroupType"),
        (both | {"peer_ep_group_id": MISSING}, 404, "VPNEndpointGroupNotFound"),
        (both | {"local_ep_group_id": await site.group(other, type="subnet")}, 400, "SubnetIsNotConnectedToRouter"),
        (both | {"local_ep_group_id": await site.group(site.subnet, site.subnet6, type="subnet")}, 400,
         "MixedIPVersionsForIPSecEndpoints"),
        (both | {"peer_ep_group_id": await site.group("10.9.0.0/24", "2001:db8:9::/64")}, 400,
         "MixedIPVersionsForIPSecEndpoints"),
        (both | {"peer_ep_group_id": await site.group("2001:db8:9::/64")}, 400, "MixedIPVersionsForIPSecConnection"),
    ):  # fmt: skip
        refused = await site.api.post(CONNECTIONS, site.connection(service, **said))
        assert error_of(refused)[:2] == (status, type_)
    made = await site.connected(service, **both)
    changed = await site.api.put(
        f"{CONNECTIONS}/{made['id']}", {"ipsec_site_connection": {"peer_cidrs": ["10.9.0.0/24"]}}
    )
    assert error_of(changed)[:2] == (400, "PeerCidrsInvalid")


@pytest.mark.parametrize(
    ("type_", "endpoints", "refused"),
    [
        ("cidr", [], "MissingEndpointForEndpointGroup"),
        ("cidr", None, "MissingEndpointForEndpointGroup"),
        ("cidr", ["10.0.0.1/24"], "InvalidEndpointInEndpointGroup"),
        ("cidr", ["10.0.0.0/24", "10.0.0.0/24"], "InvalidEndpointInEndpointGroup"),
        ("subnet", ["inner"], "InvalidEndpointInEndpointGroup"),
        ("subnet", [MISSING], "NonExistingSubnetInEndpointGroup"),
        ("host", ["10.0.0.1"], "InvalidInput"),
    ],
)
async def test_refused_groups(member: Api, type_: str, endpoints: Any, refused: str) -> None:
    """No ends, one twice, or one that is not of the type."""
    answer = await member.post(GROUPS, {"endpoint_group": {"type": type_, "endpoints": endpoints}})
    assert error_of(answer)[:2] == (400, refused)


async def test_what_is_used_stays_as_it_is(site: Site) -> None:
    """Policies, groups and services of a connection; a router's gateway, interfaces and subnets of a service."""
    api = site.api
    service = await site.service()
    local, peers = await site.group(site.subnet, type="subnet"), await site.group("10.9.0.0/24")
    made = await site.connected(service, local_ep_group_id=local, peer_ep_group_id=peers)
    router = f"/v2.0/routers/{site.router}"
    for answer, type_ in (
        (await api.delete(f"{IKE}/{site.ike}"), "IKEPolicyInUse"),
        (await api.put(f"{IKE}/{site.ike}", {"ikepolicy": {"name": "x"}}), "IKEPolicyInUse"),
        (await api.delete(f"{IPSEC}/{site.ipsec}"), "IPsecPolicyInUse"),
        (await api.delete(f"{SERVICES}/{service['id']}"), "VPNServiceInUse"),
        (await api.put(router, {"router": {"external_gateway_info": {}}}), "RouterInUse"),
        (await api.put(f"{router}/remove_router_interface", {"subnet_id": site.subnet}),
         "SubnetInUseByIPsecSiteConnection"),
    ):  # fmt: skip
        assert error_of(answer)[:2] == (409, type_)
    assert error_of(await api.delete(f"{GROUPS}/{local}"))[:2] == (400, "EndpointGroupInUse")
    assert (await api.shown(router))["external_gateway_info"]["network_id"] == site.outer
    assert (await api.delete(f"{CONNECTIONS}/{made['id']}")).status_code == 204
    assert (await api.put(f"{router}/remove_router_interface", {"subnet_id": site.subnet})).status_code == 200
    refused = await api.delete(f"/v2.0/subnets/{site.subnet}")
    assert error_of(refused)[:2] == (409, "SubnetInUseByEndpointGroup")
    for path in (f"{GROUPS}/{local}", f"{SERVICES}/{service['id']}", f"/v2.0/subnets/{site.subnet}"):
        assert (await api.delete(path)).status_code == 204
    assert (await api.put(router, {"router": {"external_gateway_info": {}}})).status_code == 200


async def test_a_services_subnet_stays_on_its_router(site: Site) -> None:
    """And the router stays."""
    service = await site.service(subnet_id=site.subnet)
    router = f"/v2.0/routers/{site.router}"
    refused = await site.api.put(f"{router}/remove_router_interface", {"subnet_id": site.subnet})
    assert error_of(refused)[:2] == (409, "SubnetInUseByVPNService")
    removed = await site.api.put(f"{router}/remove_router_interface", {"subnet_id": site.subnet6})
    assert removed.status_code == 200
    for gateways in ([], [{"network_id": site.outer}]):
        answer = await site.api.put(
            f"{router}/remove_external_gateways", {"router": {"external_gateways": gateways}}
        )
        assert answer.status_code == (409 if gateways else 200)
    assert (await site.api.delete(f"{SERVICES}/{service['id']}")).status_code == 204


async def test_vpns_are_a_projects_own(site: Site, member: Api) -> None:
    """Others do not find them, nor make services of its routers."""
    service = await site.service()
    for path, type_ in ((f"{IKE}/{site.ike}", "IKEPolicy"), (f"{SERVICES}/{service['id']}", "VPNService")):
        assert error_of(await member.get(path))[:2] == (404, f"{type_}NotFound")
    refused = await member.post(SERVICES, {"vpnservice": {"router_id": site.router}})
    assert error_of(refused)[:2] == (404, "RouterNotFound")
