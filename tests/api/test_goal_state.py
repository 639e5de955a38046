"""What the API stores is what the goal state is made of: rows of its own making, not of tests' builders."""

from typing import Any, TypeVar

from alcor.goalstate.compile import compile as compile_states
from alcor.goalstate.intent import ENTITIES, Intent
from alcor.goalstate.item import Item, LocalPort, QosItem, State
from alcor.goalstate.router_item import FloatingIpItem, GatewayItem, RouterItem, RouterRoute
from alcor.goalstate.scope import (
    Scope,
    addresses_scope,
    host_scope,
    members_scope,
    network_scope,
    qos_scope,
    router_scope,
    rules_scope,
)
from alcor.goalstate.security_item import FirewallItem, Member, NetworkAclItem, Prefix, RulesItem
from alcor.store.interface import Store
from tests.support.api import Api
from tests.support.goalstate import A_REGION

Json = dict[str, Any]
I = TypeVar("I", bound=Item)  # noqa: E741 - the usual letter for "item" here


async def _states(store: Store) -> dict[Scope, State]:
    image = await store.image(ENTITIES)
    return compile_states(Intent.of(A_REGION, (row for rows in image.rows.values() for row in rows)))


def _only(states: dict[Scope, State], scope: Scope, type_: type[I]) -> I:
    (item,) = [item for item in states[scope].values() if isinstance(item, type_)]
    return item


async def _a_host(api: Api, name: str, number: int, **said: Any) -> Json:
    return await api.made("host", name=name, vtep_addresses=[f"192.0.2.{number}"], **said)


async def _a_server_port(api: Api, network: Json, host: Json, **said: Any) -> Json:
    owner = {"device_owner": "compute:nova", "device_id": "vm-1", "binding:host_id": host["name"]}
    return await api.a_port(network["id"], **owner, **said)


async def _a_router(api: Api, *subnets: Json, **said: Any) -> Json:
    router = await api.made("router", **said)
    for subnet in subnets:
        path = f"/v2.0/routers/{router['id']}/add_router_interface"
        assert (await api.put(path, {"subnet_id": subnet["id"]})).status_code == 200
    return router


async def test_a_routed_network_with_a_floating_ip(api: Api, store: Store) -> None:
    """A router has its interface and gateway, and one host serves it; a floating IP is translated there."""
    host = await _a_host(api, "h1", 1)
    gateway = await _a_host(api, "h2", 2, gateway=True, bridge_mappings={"physnet1": "br-ex"})
    provider = {"provider:network_type": "flat", "provider:physical_network": "physnet1"}
    outer = await api.a_network(**{"router:external": True, **provider})
    await api.a_subnet(outer["id"], "203.0.113.0/24")
    inner = await api.a_network()
    subnet = await api.a_subnet(inner["id"])
    port = await _a_server_port(api, inner, host, dns_name="web")
    router = await _a_router(api, subnet, external_gateway_info={"network_id": outer["id"]})
    floating = await api.made("floatingip", floating_network_id=outer["id"], port_id=port["id"])

    states = await _states(store)

    local = _only(states, host_scope(host["id"]), LocalPort)
    assert (local.routers, local.device_id, local.dns_name) == ((router["id"],), "vm-1", "web")
    item = _only(states, router_scope(router["id"]), RouterItem)
    assert [(a.ip, a.cidr) for one in item.interfaces for a in one.addresses] == [("10.0.0.1", "10.0.0.0/24")]
    assert [(a.cidr, a.gateway_ip) for one in item.gateways for a in one.addresses] == [
        ("203.0.113.0/24", "203.0.113.1")
    ]
    assert [one.host_id for one in item.gateway_hosts] == [gateway["id"]]
    assert _only(states, host_scope(gateway["id"]), GatewayItem).networks == (outer["id"],)
    translated = _only(states, host_scope(gateway["id"]), FloatingIpItem)
    assert (translated.id, translated.ip) == (floating["id"], floating["floating_ip_address"])
    assert (translated.fixed_ip, translated.is_central) == (port["fixed_ips"][0]["ip_address"], True)


async def test_forwarded_ports(api: Api, store: Store) -> None:
    """A floating IP with port forwardings is on the router's gateway hosts, with all of them."""
    gateway = await _a_host(api, "h1", 1, gateway=True)
    outer = await api.a_network(**{"router:external": True})
    await api.a_subnet(outer["id"], "203.0.113.0/24")
    inner = await api.a_network()
    subnet = await api.a_subnet(inner["id"])
    port = await api.a_port(inner["id"])
    await _a_router(api, subnet, external_gateway_info={"network_id": outer["id"]})
    floating = await api.made("floatingip", floating_network_id=outer["id"])
    forwarding = {
        "internal_port_id": port["id"],
        "internal_ip_address": port["fixed_ips"][0]["ip_address"],
        "internal_port": 22,
        "external_port": 2222,
        "protocol": "tcp",
    }
    path = f"/v2.0/floatingips/{floating['id']}/port_forwardings"
    assert (await api.post(path, {"port_forwarding": forwarding})).status_code == 201

    item = _only(await _states(store), host_scope(gateway["id"]), FloatingIpItem)

    (forward,) = item.forwards
    assert (forward.protocol, forward.external_first, forward.internal_last) == (6, 2222, 22)
    assert (forward.port_id, item.port_id) == (port["id"], None)


async def test_security_groups(api: Api, store: Store) -> None:
    """A group's rules, its members and the address groups they name are each in their scope."""
    network = await api.a_network()
    await api.a_subnet(network["id"])
    group = await api.made("security_group", name="web")
    addresses = await api.made("address_group", addresses=["198.51.100.0/24"])
    said = {"security_group_id": group["id"], "direction": "ingress"}
    await api.made("security_group_rule", **said, protocol="tcp", port_range_min=80, port_range_max=81)
    await api.made("security_group_rule", **said, remote_group_id=group["id"])
    await api.made("security_group_rule", **said, remote_address_group_id=addresses["id"])
    port = await api.a_port(network["id"], security_groups=[group["id"]])

    states = await _states(store)

    rules = _only(states, rules_scope(group["id"]), RulesItem).rules
    inwards = {
        (one.protocol, one.first, one.last, one.group, one.addresses) for one in rules if one.is_ingress
    }
    assert inwards == {
        (6, 80, 81, None, None),
        (None, None, None, group["id"], None),
        (None, None, None, None, addresses["id"]),
    }
    member = _only(states, members_scope(group["id"]), Member)
    assert (member.id, member.cidrs) == (port["id"], (f"{port['fixed_ips'][0]['ip_address']}/32",))
    assert _only(states, addresses_scope(addresses["id"]), Prefix).id == "198.51.100.0/24"


async def test_qos_acls_and_firewalls(api: Api, store: Store) -> None:
    """Policies, network ACLs and firewall groups reach the port, the network and the host they are about."""
    host = await _a_host(api, "h1", 1)
    policy = await api.made("qos_policy", name="slow")
    path = f"/v2.0/qos/policies/{policy['id']}/bandwidth_limit_rules"
    limit = {"max_kbps": 1000, "direction": "ingress"}
    assert (await api.post(path, {"bandwidth_limit_rule": limit})).status_code == 201
    network = await api.a_network(qos_policy_id=policy["id"])
    subnet = await api.a_subnet(network["id"])
    port = await _a_server_port(api, network, host)
    rule = {"number": 5, "direction": "ingress", "action": "deny", "protocol": "tcp", "port_range_min": 22}
    await api.made(
        "network_acl",
        network_id=network["id"],
        associated_subnets=[subnet["id"]],
        network_acl_rules=[rule | {"port_range_max": 23}],
    )
    allow = await api.made("firewall_rule", action="allow", protocol="udp", destination_port="53")
    firewall_policy = await api.made("firewall_policy", firewall_rules=[allow["id"]])
    await api.made("firewall_group", ports=[port["id"]], ingress_firewall_policy_id=firewall_policy["id"])

    states = await _states(store)

    assert _only(states, host_scope(host["id"]), LocalPort).qos == policy["id"]
    assert [one.rate for one in _only(states, qos_scope(policy["id"]), QosItem).bandwidth] == [1000]
    acl = _only(states, network_scope(network["id"]), NetworkAclItem)
    assert (acl.cidrs, [(one.number, one.protocol, one.last) for one in acl.rules]) == (
        ("10.0.0.0/24",),
        [(5, 6, 23)],
    )
    firewall = _only(states, host_scope(host["id"]), FirewallItem)
    assert firewall.ingress is not None
    assert [(one.protocol, one.destination_ports) for one in firewall.ingress] == [(17, (53, 53))]
    assert (firewall.ports, firewall.egress) == ((port["id"],), None)


async def test_a_trunk_and_a_prepared_move(api: Api, store: Store) -> None:
    """A subport is where its trunk's parent is; a host that stands by holds the parent, inactive."""
    host, other = await _a_host(api, "h1", 1), await _a_host(api, "h2", 2)
    network, tagged = await api.a_network(), await api.a_network()
    parent = await _a_server_port(api, network, host)
    sub = await api.a_port(tagged["id"])
    on_trunk = {"port_id": sub["id"], "segmentation_type": "vlan", "segmentation_id": 101}
    await api.made("trunk", port_id=parent["id"], sub_ports=[on_trunk])
    path = f"/v2.0/ports/{parent['id']}/bindings"
    assert (await api.post(path, {"binding": {"host": "h2"}})).status_code == 201

    states = await _states(store)

    held = {item.id: item for item in states[host_scope(host["id"])].values() if isinstance(item, LocalPort)}
    trunk = held[sub["id"]].trunk
    assert trunk is not None
    assert (trunk.port_id, trunk.vlan) == (parent["id"], 101)
    assert held[parent["id"]].is_active
    assert not _only(states, host_scope(other["id"]), LocalPort).is_active


async def test_peered_vpcs_and_their_route_tables(api: Api, store: Store) -> None:
    """A router of a peered VPC has a route to the other and those of its VPC's table; the other has a stand-in."""
    one = await api.made("vpc", name="one", cidr="10.0.0.0/16")
    other = await api.made("vpc", name="other", cidr="10.8.0.0/16")
    subnet = await api.a_subnet(one["id"])
    await api.a_subnet(other["id"], "10.8.0.0/24")
    router = await _a_router(api, subnet)
    peering = await api.made("vpc_peering", network_id=one["id"], peer_network_id=other["id"])
    assert (await api.put(f"/vpc-peerings/{peering['id']}/accept_peering", {})).status_code == 200
    routes = [{"destination": "172.16.0.0/12", "nexthop": "10.0.0.9"}]
    answer = await api.put(f"/vpcs/{one['id']}/routetable", {"routetable": {"routes": routes}})
    assert answer.status_code == 200

    states = await _states(store)

    assert _only(states, router_scope(router["id"]), RouterItem).routes == (
        RouterRoute("10.8.0.0/24", network_id=other["id"]),
        RouterRoute("172.16.0.0/12", nexthop="10.0.0.9"),
    )
    stand_in = _only(states, router_scope(other["id"]), RouterItem)
    assert stand_in.routes == (RouterRoute("10.0.0.0/24", network_id=one["id"]),)
    assert [(one.mac, one.addresses[0].ip) for one in stand_in.interfaces] == [
        (A_REGION.responder_mac, "10.8.0.1")
    ]
