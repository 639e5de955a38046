"""A region in which there is something of every kind: one row at least of each resource, and what binds them."""

from typing import Any

from alcor.model.catalogue import RESOURCES
from alcor.store.interface import Store
from tests.support.api import ADMIN_PROJECT, Api

Json = dict[str, Any]

HOSTS = ("h1", "h2")


async def build_world(api: Api) -> None:
    """Make them, as an administrator."""
    await _inventory(api)
    group, policy, flavor = await _groups(api), await _policies(api), await _flavors(api)
    inside, outside = await _networks(api, policy)
    ports = await _ports(api, inside, group)
    await _routing(api, inside, outside, ports, flavor)
    await _rest(api, inside, ports, group)


async def ids_by_kind(store: Store) -> dict[str, list[str]]:
    """Resource name → ids of its rows, in the order of the ids."""
    image = await store.image([resource.entity for resource in RESOURCES])
    return {one.name: sorted(row.id for row in image.rows.get(one.entity, ())) for one in RESOURCES}


async def _part(api: Api, path: str, member: str, **said: Any) -> Json:
    """Make a row of a sub-resource."""
    answer = await api.post(path, {member: said})
    assert answer.status_code == 201, answer.text
    found: Json = answer.json()[member]
    return found


async def _act(api: Api, path: str, body: Json) -> Json:
    """Run an action."""
    answer = await api.put(path, body)
    assert answer.status_code == 200, answer.text
    found: Json = answer.json()
    return found


async def _inventory(api: Api) -> None:
    await api.made("ncm", uri="http://ncm:9014")
    for number, name in enumerate(HOSTS):
        await api.made("host", name=name, vtep_addresses=[f"192.0.2.{number + 1}"])
    await api.made("mac_range", first="0a:00:00:00:00:00", last="0a:00:00:00:ff:ff", name="more")
    segments = {"network_type": "vlan", "physical_network": "physnet1"}
    await api.made("network_segment_range", name="vlans", minimum=100, maximum=199, **segments)


async def _groups(api: Api) -> Json:
    group = await api.made("security_group", name="web")
    addresses = await api.made("address_group", name="office", addresses=["198.51.100.0/24"])
    rule = {"security_group_id": group["id"], "direction": "ingress", "protocol": "tcp"}
    await api.made("security_group_rule", **rule, port_range_min=80, port_range_max=80)
    await api.made("security_group_rule", **rule, remote_address_group_id=addresses["id"])
    await api.made("security_group_rule", **rule, remote_group_id=group["id"])
    await api.made("default_security_group_rule", direction="ingress", protocol="icmp")
    return group


async def _policies(api: Api) -> Json:
    policy = await api.made("qos_policy", name="gold")
    path = f"/v2.0/qos/policies/{policy['id']}"
    await _part(api, f"{path}/bandwidth_limit_rules", "bandwidth_limit_rule", max_kbps=10_000)
    await _part(api, f"{path}/dscp_marking_rules", "dscp_marking_rule", dscp_mark=10)
    await _part(api, f"{path}/minimum_bandwidth_rules", "minimum_bandwidth_rule", min_kbps=1_000)
    # Packets per second are for another policy: the reference has none with both kinds of minimum.
    other = f"/v2.0/qos/policies/{(await api.made('qos_policy', name='silver'))['id']}"
    await _part(api, f"{other}/packet_rate_limit_rules", "packet_rate_limit_rule", max_kpps=100)
    await _part(api, f"{other}/minimum_packet_rate_rules", "minimum_packet_rate_rule", min_kpps=10)
    return policy


async def _flavors(api: Api) -> Json:
    profile = await api.made("service_profile", metainfo="{}", description="plain")
    flavor = await api.made("flavor", name="standard", service_type="L3_ROUTER_NAT")
    path = f"/v2.0/flavors/{flavor['id']}/service_profiles"
    assert (await api.post(path, {"service_profile": {"id": profile["id"]}})).status_code == 201
    return flavor


async def _networks(api: Api, policy: Json) -> tuple[Json, Json]:
    scope = await api.made("address_scope", name="inner", ip_version=4)
    pool = {"default_prefixlen": 24, "address_scope_id": scope["id"]}
    await api.made("subnetpool", name="pool", prefixes=["10.128.0.0/9"], **pool)
    outside = await api.a_network(name="outside", **{"router:external": True})
    await api.a_subnet(outside["id"], "203.0.113.0/24")
    inside = await api.a_network(name="inside", qos_policy_id=policy["id"], tags=["red", "blue"])
    await api.a_subnet(inside["id"], "10.0.0.0/24", name="inner")
    await api.a_subnet(
        inside["id"], "fd00::/64", ipv6_address_mode="dhcpv6-stateful", ipv6_ra_mode="dhcpv6-stateful"
    )
    plain = await api.a_network(name="plain")
    await api.made("segment", network_id=plain["id"], network_type="vxlan", name="second")
    other = {"action": "access_as_shared", "target_tenant": "b" * 32}
    await api.made("rbac_policy", object_type="network", object_id=inside["id"], **other)
    return inside, outside


async def _ports(api: Api, inside: Json, group: Json) -> list[Json]:
    server = {"device_id": "server-1", "device_owner": "compute:nova", "binding:host_id": HOSTS[0]}
    ports = [
        await api.a_port(inside["id"], name="bound", **server),
        await api.a_port(inside["id"], name="grouped", security_groups=[group["id"]], tags=["red"]),
        await api.a_port(inside["id"], name="parent"),
        await api.a_port(inside["id"], name="child"),
        await api.a_port(inside["id"], name="spare"),
    ]
    path = f"/v2.0/ports/{ports[0]['id']}/bindings"
    assert (await api.post(path, {"binding": {"host": HOSTS[1]}})).status_code == 201
    child = {"port_id": ports[3]["id"], "segmentation_type": "vlan", "segmentation_id": 7}
    await api.made("trunk", name="trunk", port_id=ports[2]["id"], sub_ports=[child])
    return ports


async def _routing(api: Api, inside: Json, outside: Json, ports: list[Json], flavor: Json) -> None:
    router = await api.made(
        "router",
        name="router",
        flavor_id=flavor["id"],
        enable_ndp_proxy=False,
        external_gateway_info={"network_id": outside["id"]},
    )
    path = f"/v2.0/routers/{router['id']}"
    [subnet_id] = {
        fixed["subnet_id"] for port in ports for fixed in port["fixed_ips"] if "." in fixed["ip_address"]
    }
    await _act(api, f"{path}/add_router_interface", {"subnet_id": subnet_id})
    helper = {"protocol": "tcp", "port": 21, "helper": "ftp"}
    await _part(api, f"{path}/conntrack_helpers", "conntrack_helper", **helper)
    await api.made("floatingip", floating_network_id=outside["id"], port_id=ports[0]["id"])
    await api.made("floatingip", floating_network_id=outside["id"], description="spare")
    forwarding = await api.made("floatingip", floating_network_id=outside["id"])
    address = next(fixed["ip_address"] for fixed in ports[1]["fixed_ips"] if "." in fixed["ip_address"])
    await _part(
        api,
        f"/v2.0/floatingips/{forwarding['id']}/port_forwardings",
        "port_forwarding",
        internal_port_id=ports[1]["id"],
        internal_ip_address=address,
        internal_port=80,
        external_port=8080,
        protocol="tcp",
    )


async def _rest(api: Api, inside: Json, ports: list[Json], group: Json) -> None:
    local = await api.made("local_ip", name="local", network_id=inside["id"])
    address = next(fixed["ip_address"] for fixed in ports[4]["fixed_ips"] if "." in fixed["ip_address"])
    association = {"fixed_port_id": ports[4]["id"], "fixed_ip": address}
    await _part(api, f"/v2.0/local_ips/{local['id']}/port_associations", "port_association", **association)
    label = await api.made("metering_label", name="label")
    prefix = {"remote_ip_prefix": "198.51.100.0/24", "direction": "ingress"}
    await api.made("metering_label_rule", metering_label_id=label["id"], **prefix)
    await api.made("mac", network_id=inside["id"])
    await api.made("ip", subnet_id=ports[4]["fixed_ips"][0]["subnet_id"])
    await api.made("log", name="log", resource_type="security_group", resource_id=group["id"])
    await _act(api, f"/v2.0/quotas/{ADMIN_PROJECT}", {"quota": {"network": 1_000}})
