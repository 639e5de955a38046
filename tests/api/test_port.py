"""Ports through the API: every attribute, what is refused with which error, what who may say and see."""

from collections.abc import AsyncIterator
from typing import Any

import pytest

from alcor.store.interface import Store
from tests.support.api import (
    ADMIN_PROJECT,
    ADMIN_TOKEN,
    MEMBER_PROJECT,
    MEMBER_TOKEN,
    Api,
    error_of,
    serving,
)

NOWHERE = "11111111-1111-4111-8111-111111111111"
Json = dict[str, Any]


@pytest.fixture
async def network(api: Api) -> Json:
    """A network of the administrator's project with an IPv4 subnet."""
    found = await api.a_network()
    await api.a_subnet(found["id"])
    return found


@pytest.fixture
async def own(member: Api) -> Json:
    """A network of the member's project with an IPv4 subnet."""
    found = await member.a_network()
    await member.a_subnet(found["id"])
    return found


async def refused(api: Api, network_id: str, **said: Any) -> tuple[int, str, str]:
    """The error of a create."""
    return error_of(await api.post("/v2.0/ports", {"port": {"network_id": network_id, **said}}))


async def change(api: Api, port: Json, **said: Any) -> Json:
    """The port after an update that succeeds."""
    answer = await api.put(f"/v2.0/ports/{port['id']}", {"port": said})
    assert answer.status_code == 200, answer.text
    changed: Json = answer.json()["port"]
    return changed


async def change_refused(api: Api, port: Json, **said: Any) -> tuple[int, str, str]:
    """The error of an update."""
    return error_of(await api.put(f"/v2.0/ports/{port['id']}", {"port": said}))


async def a_group(api: Api, name: str = "web") -> str:
    """The id of a new security group."""
    answer = await api.post("/v2.0/security-groups", {"security_group": {"name": name}})
    assert answer.status_code == 201, answer.text
    id: str = answer.json()["security_group"]["id"]
    return id


async def listed(api: Api, query: str) -> list[str]:
    """The ids of the ports a query lists."""
    answer = await api.get(f"/v2.0/ports?{query}")
    assert answer.status_code == 200, answer.text
    return [port["id"] for port in answer.json()["ports"]]


async def test_a_new_port_has_the_defaults_of_the_api(api: Api, network: Json) -> None:
    """What nobody said: no pairs, options, names or hints; the link state is propagated; addresses at once."""
    port = await api.a_port(network["id"])

    defaults: Json = {
        "allowed_address_pairs": [],
        "extra_dhcp_opts": [],
        "dns_name": "",
        "dns_domain": "",
        "data_plane_status": None,
        "propagate_uplink_status": True,
        "numa_affinity_policy": None,
        "device_profile": None,
        "hardware_offload_type": None,
        "hints": None,
        "trusted": None,
        "ip_allocation": "immediate",
        "qos_policy_id": None,
        "qos_network_policy_id": None,
        "trunk_details": None,
        "tags": [],
        "binding:vnic_type": "normal",
        "binding:profile": {},
        "status": "DOWN",
    }
    assert {name: port[name] for name in defaults} == defaults
    assert "network_project_id" not in port
    ip = port["fixed_ips"][0]["ip_address"]
    host = "host-" + ip.replace(".", "-")
    assert port["dns_assignment"] == [{"ip_address": ip, "hostname": host, "fqdn": f"{host}.openstacklocal."}]


async def test_the_answers_to_create_and_show_are_one(api: Api, network: Json) -> None:
    """What a create need not read is what a later read says."""
    port = await api.a_port(
        network["id"], dns_name="VM1", tags=["red"], extra_dhcp_opts=[{"opt_name": "a", "opt_value": "b"}]
    )

    assert await api.shown(f"/v2.0/ports/{port['id']}") == port


async def test_rare_attributes_are_stored_and_changed(api: Api, network: Json) -> None:
    """What few ports have is kept as it was said, and cleared again."""
    said = {
        "dns_name": "vm-1",
        "dns_domain": "example.org.",
        "propagate_uplink_status": False,
        "numa_affinity_policy": "socket",
        "device_profile": "fpga",
        "hints": {"openvswitch": {"other_config": {"tx-steering": "hash"}}},
        "trusted": True,
    }
    port = await api.a_port(network["id"], **said)
    assert {name: port[name] for name in said} == said
    assert port["binding:profile"] == {"trusted": True}
    ip = port["fixed_ips"][0]["ip_address"]
    assert port["dns_assignment"] == [{"ip_address": ip, "hostname": "vm-1", "fqdn": "vm-1.example.org."}]

    cleared = {
        "dns_name": "",
        "dns_domain": "",
        "propagate_uplink_status": True,
        "numa_affinity_policy": None,
        "hints": None,
        "trusted": False,
        "data_plane_status": "DOWN",
    }
    changed = await change(api, port, **cleared)
    assert {name: changed[name] for name in cleared} == cleared
    assert changed["device_profile"] == "fpga"


async def test_a_name_takes_its_networks_domain(api: Api) -> None:
    """The port's own domain counts more."""
    network = await api.a_network(dns_domain="red.example.org.")
    await api.a_subnet(network["id"])
    port = await api.a_port(network["id"], dns_name="vm")

    assert port["dns_assignment"][0]["fqdn"] == "vm.red.example.org."
    assert (await change(api, port, dns_domain="blue.example.org."))["dns_assignment"][0][
        "fqdn"
    ] == "vm.blue.example.org."


@pytest.mark.parametrize(
    "said",
    [
        {"dns_name": "-vm"},
        {"dns_name": "a..b"},
        {"dns_name": "vm.123"},
        {"dns_domain": "example.org"},
        {"numa_affinity_policy": "near"},
        {"hints": {"ovn": {}}},
        {"hints": {"openvswitch": {"other_config": {"tx-steering": "fast"}}}},
        {"hardware_offload_type": "magic"},
        {"binding:vnic_type": "wireless"},
        {"extra_dhcp_opts": [{"opt_name": "tftp-server", "opt_value": ""}]},
        {"extra_dhcp_opts": [{"opt_name": "a\nb", "opt_value": "c"}]},
        {"extra_dhcp_opts": [{"opt_name": "a", "opt_value": "b", "ip_version": 5}]},
        {"allowed_address_pairs": [{"ip_address": "224.0.0.1"}]},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.1/24"}]},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.1", "mac_address": "01:00:5e:00:00:01"}]},
        {"allowed_address_pairs": {"ip_address": "10.0.0.1"}},
        {"security_groups": ["web"]},
    ],
)
async def test_values_no_port_can_have(api: Api, network: Json, said: Json) -> None:
    """400, and the attribute is named."""
    status, _, message = await refused(api, network["id"], **said)

    assert status == 400
    assert next(iter(said)) in message


@pytest.mark.parametrize("name", ["device_profile", "hardware_offload_type"])
async def test_what_is_fixed_at_creation(api: Api, network: Json, name: str) -> None:
    """The device is chosen with them."""
    port = await api.a_port(network["id"])
    assert await change_refused(api, port, **{name: "switchdev"}) == (
        400,
        "HTTPBadRequest",
        f"Cannot update read-only attribute {name}",
    )


async def test_data_plane_status_is_not_said_at_creation(api: Api, network: Json) -> None:
    """A new port has no packets yet."""
    status, kind, _ = await refused(api, network["id"], data_plane_status="ACTIVE")
    assert (status, kind) == (400, "HTTPBadRequest")


async def test_offload_is_told_to_drivers(api: Api, network: Json) -> None:
    """It becomes a capability in the binding profile, beside those that are there."""
    port = await api.a_port(
        network["id"],
        hardware_offload_type="switchdev",
        **{"binding:vnic_type": "direct", "binding:profile": {"capabilities": ["x"]}},
    )

    assert port["hardware_offload_type"] == "switchdev"
    assert port["binding:profile"] == {"capabilities": ["x", "switchdev"]}


# Security groups and port security.


async def test_a_port_is_in_the_groups_it_names(api: Api, network: Json) -> None:
    """The default group only if none is named; null is nothing said; [] is none; each group once."""
    web, db = await a_group(api, "web"), await a_group(api, "db")
    default = (await api.a_port(network["id"]))["security_groups"]
    assert len(default) == 1
    assert default[0] not in (web, db)

    for said, expected in [
        ([web, db, web], [web, db]),
        ([], []),
        (None, default),
    ]:
        port = await api.a_port(network["id"], security_groups=said)
        assert port["security_groups"] == expected
    assert (await change(api, port, security_groups=[db]))["security_groups"] == [db]
    assert (await change(api, port, name="x"))["security_groups"] == [db]
    assert (await change(api, port, security_groups=[]))["security_groups"] == []


async def test_ports_are_listed_by_group(api: Api, network: Json) -> None:
    """The filter is `security_groups=<id>`, repeated for any of several."""
    web, db = await a_group(api, "web"), await a_group(api, "db")
    first = await api.a_port(network["id"], security_groups=[web])
    both = await api.a_port(network["id"], security_groups=[web, db])
    await api.a_port(network["id"])

    assert await listed(api, f"security_groups={db}") == [both["id"]]
    assert await listed(api, f"security_groups={web}&sort_key=id") == sorted([first["id"], both["id"]])
    assert await listed(api, f"security_groups={NOWHERE}") == []


async def test_a_group_in_use_stays(api: Api, network: Json) -> None:
    """It goes once no port is in it."""
    web = await a_group(api)
    port = await api.a_port(network["id"], security_groups=[web])

    assert error_of(await api.delete(f"/v2.0/security-groups/{web}"))[:2] == (409, "SecurityGroupInUse")
    await change(api, port, security_groups=[])
    assert (await api.delete(f"/v2.0/security-groups/{web}")).status_code == 204


async def test_groups_of_others_are_as_good_as_none(api: Api, member: Api, own: Json) -> None:
    """A member names groups of its project; an administrator any."""
    theirs = await a_group(api)

    assert await refused(member, own["id"], security_groups=[theirs]) == (
        404,
        "SecurityGroupNotFound",
        f"Security group {theirs} could not be found.",
    )
    port = await member.a_port(own["id"])
    assert (await change_refused(member, port, security_groups=[theirs]))[:2] == (
        404,
        "SecurityGroupNotFound",
    )
    assert (await change(api, port, security_groups=[theirs]))["security_groups"] == [theirs]


async def test_port_security_off_means_no_groups(api: Api, network: Json) -> None:
    """Without it a port is in no group, and naming one is refused."""
    web = await a_group(api)
    port = await api.a_port(network["id"], port_security_enabled=False)
    assert port["security_groups"] == []

    assert (await refused(api, network["id"], port_security_enabled=False, security_groups=[web]))[:2] == (
        400,
        "PortSecurityAndIPRequiredForSecurityGroups",
    )
    assert (await change_refused(api, port, security_groups=[web]))[:2] == (
        400,
        "PortSecurityAndIPRequiredForSecurityGroups",
    )
    with_both = await change(api, port, port_security_enabled=True, security_groups=[web])
    assert (with_both["port_security_enabled"], with_both["security_groups"]) == (True, [web])
    assert (await change_refused(api, port, port_security_enabled=False))[:2] == (
        409,
        "PortSecurityPortHasSecurityGroup",
    )
    off = await change(api, port, port_security_enabled=False, security_groups=[])
    assert (off["port_security_enabled"], off["security_groups"]) == (False, [])


async def test_service_ports_have_no_port_security(api: Api, network: Json) -> None:
    """The network's own ports are trusted."""
    port = await api.a_port(network["id"], device_owner="network:dhcp", port_security_enabled=True)
    assert (port["port_security_enabled"], port["security_groups"]) == (False, [])


# Allowed address pairs.


async def test_address_pairs_take_the_ports_mac_address(api: Api, network: Json) -> None:
    """Unless they have one; addresses and prefixes are kept as they were written."""
    port = await api.a_port(
        network["id"],
        allowed_address_pairs=[
            {"ip_address": "10.0.0.99"},
            {"ip_address": "10.9.0.0/16", "mac_address": "52:54:00:00:00:09"},
        ],
    )

    assert port["allowed_address_pairs"] == [
        {"ip_address": "10.0.0.99", "mac_address": port["mac_address"]},
        {"ip_address": "10.9.0.0/16", "mac_address": "52:54:00:00:00:09"},
    ]
    assert await listed(api, "allowed_address_pairs=ip_address%3D10.0.0.99") == [port["id"]]
    assert await listed(api, "allowed_address_pairs=ip_address%3D10.0.0.98") == []
    assert (await change(api, port, allowed_address_pairs=None))["allowed_address_pairs"] == []


@pytest.mark.parametrize(
    ("pairs", "kind"),
    [
        ([{"ip_address": f"10.0.0.{n}"} for n in range(11)], "AllowedAddressPairExhausted"),
        ([{"mac_address": "52:54:00:00:00:09"}], "AllowedAddressPairsMissingIP"),
        ([{"ip_address": "10.0.0.1"}] * 2, "DuplicateAddressPairInRequest"),
    ],
)
async def test_address_pairs_that_are_refused(api: Api, network: Json, pairs: list[Json], kind: str) -> None:
    """More than ten, one without an address, one twice: each has its error, on create and on update."""
    port = await api.a_port(network["id"])

    assert (await refused(api, network["id"], allowed_address_pairs=pairs))[:2] == (400, kind)
    assert (await change_refused(api, port, allowed_address_pairs=pairs))[:2] == (400, kind)


async def test_address_pairs_need_port_security(api: Api, network: Json) -> None:
    """They are exceptions from it."""
    pairs = [{"ip_address": "10.0.0.99"}]
    expected = (409, "AddressPairAndPortSecurityRequired")
    bare = await api.a_port(network["id"], port_security_enabled=False)
    paired = await api.a_port(network["id"], allowed_address_pairs=pairs, security_groups=[])

    assert (await refused(api, network["id"], port_security_enabled=False, allowed_address_pairs=pairs))[
        :2
    ] == expected
    assert (await change_refused(api, bare, allowed_address_pairs=pairs))[:2] == expected
    assert (await change_refused(api, paired, port_security_enabled=False))[:2] == expected
    off = await change(api, paired, port_security_enabled=False, allowed_address_pairs=[])
    assert off["port_security_enabled"] is False
    body = {"port": {"allowed_address_pairs": pairs}}
    answer = await api.put(f"/v2.0/ports/{bare['id']}/add_allowed_address_pairs", body)
    assert error_of(answer)[:2] == expected


async def test_address_pairs_are_added_and_removed_one_by_one(api: Api, network: Json) -> None:
    """Two clients do not undo one another; what is there already, or is gone already, is no error."""
    port = await api.a_port(network["id"], allowed_address_pairs=[{"ip_address": "10.0.0.90"}])
    path = f"/v2.0/ports/{port['id']}"

    async def act(name: str, *addresses: str) -> Any:
        pairs = [{"ip_address": address} for address in addresses]
        return await api.put(f"{path}/{name}", {"port": {"allowed_address_pairs": pairs}})

    added = await act("add_allowed_address_pairs", "10.0.0.91", "10.0.0.90")
    assert added.status_code == 200, added.text
    assert [pair["ip_address"] for pair in added.json()["port"]["allowed_address_pairs"]] == [
        "10.0.0.90",
        "10.0.0.91",
    ]
    assert added.json()["port"] == await api.shown(path)
    await act("remove_allowed_address_pairs", "10.0.0.90", "10.0.0.7")
    left = (await api.shown(path))["allowed_address_pairs"]
    assert [pair["ip_address"] for pair in left] == ["10.0.0.91"]
    many = await act("add_allowed_address_pairs", *(f"10.0.0.{n}" for n in range(10)))
    assert error_of(many)[:2] == (400, "AllowedAddressPairExhausted")
    assert (await api.put(f"{path}/add_allowed_address_pairs", {"port": {}})).status_code == 400


# Options of DHCP.


async def test_dhcp_options_are_added_replaced_and_removed(api: Api, network: Json) -> None:
    """By name and IP version; what an update does not name stays; null removes; some may be empty."""
    port = await api.a_port(
        network["id"],
        extra_dhcp_opts=[
            {"opt_name": "bootfile-name", "opt_value": "pxelinux.0"},
            {"opt_name": "router", "opt_value": ""},
            {"opt_name": "unset", "opt_value": None},
        ],
    )
    assert port["extra_dhcp_opts"] == [
        {"opt_name": "bootfile-name", "opt_value": "pxelinux.0", "ip_version": 4},
        {"opt_name": "router", "opt_value": "", "ip_version": 4},
    ]

    changed = await change(
        api,
        port,
        extra_dhcp_opts=[
            {"opt_name": "bootfile-name", "opt_value": "other", "ip_version": "4"},
            {"opt_name": "bootfile-name", "opt_value": "six", "ip_version": 6},
            {"opt_name": "router", "opt_value": None},
        ],
    )
    assert changed["extra_dhcp_opts"] == [
        {"opt_name": "bootfile-name", "opt_value": "other", "ip_version": 4},
        {"opt_name": "bootfile-name", "opt_value": "six", "ip_version": 6},
    ]
    assert (await change(api, port, extra_dhcp_opts=[]))["extra_dhcp_opts"] == changed["extra_dhcp_opts"]


# Addresses.


async def test_subnets_serve_kinds_of_devices(api: Api) -> None:
    """A subnet with service types gives addresses to those only; others have what is left, or a reason."""
    network = await api.a_network()
    routers = await api.a_subnet(network["id"], "10.1.0.0/24", service_types=["network:router_interface"])
    expected = (409, "IpAddressGenerationFailureNoMatchingSubnet")
    assert (await refused(api, network["id"], device_owner="compute:nova"))[:2] == expected

    everybody = await api.a_subnet(network["id"], "10.2.0.0/24")
    port = await api.a_port(network["id"], device_owner="compute:nova")
    assert [fixed["subnet_id"] for fixed in port["fixed_ips"]] == [everybody["id"]]
    wanted = [{"subnet_id": routers["id"]}]
    assert (await refused(api, network["id"], fixed_ips=wanted))[:2] == (400, "InvalidInput")
    assert (await change_refused(api, port, fixed_ips=wanted))[:2] == (400, "InvalidInput")
    interface = await api.a_port(network["id"], device_owner="network:router_interface", fixed_ips=wanted)
    assert [fixed["subnet_id"] for fixed in interface["fixed_ips"]] == [routers["id"]]


async def test_null_for_a_mac_address_gives_a_new_one(api: Api, network: Json) -> None:
    """On create it is as if nothing was said; on update the old one is given back."""
    port = await api.a_port(network["id"], mac_address=None)
    assert len(port["mac_address"]) == 17

    changed = await change(api, port, mac_address=None)
    assert changed["mac_address"] != port["mac_address"]
    again = await api.a_port(network["id"], mac_address=port["mac_address"])
    assert again["mac_address"] == port["mac_address"]


async def test_mac_addresses_of_services_stay(api: Api, network: Json) -> None:
    """A router knows its own."""
    port = await api.a_port(network["id"], device_owner="network:dhcp")
    assert (await change_refused(api, port, mac_address="52:54:00:00:00:02"))[:2] == (
        409,
        "UnsupportedPortDeviceOwner",
    )


async def test_the_mac_address_of_a_bound_port_stays(api: Api, network: Json) -> None:
    """The error is the reference's PortBound; the NUMA policy and the interface's type are as fixed."""
    await api.made("host", name="host-1", vtep_addresses=["192.0.2.1"])
    port = await api.a_port(network["id"], **{"binding:host_id": "host-1"})

    assert (await change_refused(api, port, mac_address="52:54:00:00:00:02"))[:2] == (409, "PortBound")
    assert (await change_refused(api, port, numa_affinity_policy="required"))[:2] == (
        409,
        "PortBoundNUMAAffinityPolicy",
    )
    assert (await change_refused(api, port, **{"binding:vnic_type": "vdpa"}))[:2] == (409, "PortInUse")


async def test_a_port_without_addresses_by_choice(api: Api, network: Json) -> None:
    """It says so, until it is given some."""
    port = await api.a_port(network["id"], fixed_ips=[])
    assert (port["ip_allocation"], port["fixed_ips"], port["dns_assignment"]) == ("none", [], [])
    assert await listed(api, "ip_allocation=none") == [port["id"]]

    changed = await change(api, port, fixed_ips=[{"ip_address": "10.0.0.50"}])
    assert changed["ip_allocation"] == "immediate"


@pytest.mark.parametrize(
    ("vnic_type", "profile", "vif_type"),
    [
        ("normal", {}, "ovs"),
        ("vdpa", {}, "ovs"),
        ("direct", {"capabilities": ["switchdev"]}, "ovs"),
        ("direct", {}, "binding_failed"),
        ("baremetal", {}, "binding_failed"),
        ("direct-physical", {}, "binding_failed"),
    ],
)
async def test_what_a_hosts_switch_can_plug(
    api: Api, network: Json, vnic_type: str, profile: Json, vif_type: str
) -> None:
    """A tap or a representor is a port of the switch; a whole function is not, and nobody else would plug it."""
    await api.made("host", name="host-1", vtep_addresses=["192.0.2.1"])
    port = await api.a_port(
        network["id"],
        **{"binding:host_id": "host-1", "binding:vnic_type": vnic_type, "binding:profile": profile},
    )
    assert (port["binding:vnic_type"], port["binding:vif_type"]) == (vnic_type, vif_type)


async def test_a_physical_function_has_the_cards_mac_address(api: Api, network: Json) -> None:
    """The compute service writes it into the profile; once it is gone from there the port gets one of ours."""
    port = await api.a_port(network["id"], **{"binding:vnic_type": "direct-physical"})

    bound = await change(
        api,
        port,
        **{"binding:host_id": "h", "binding:profile": {"device_mac_address": "52:54:00:00:00:77"}},
    )
    assert bound["mac_address"] == "52:54:00:00:00:77"
    free = await change(api, port, **{"binding:host_id": "", "binding:profile": {}})
    assert free["mac_address"] not in (bound["mac_address"],)


# Quality of service.


async def a_policy(api: Api, **rules: Json) -> str:
    """The id of a new QoS policy with a rule of each type that is named."""
    answer = await api.post("/v2.0/qos/policies", {"policy": {"name": "gold"}})
    id: str = answer.json()["policy"]["id"]
    for type_, said in rules.items():
        made = await api.post(f"/v2.0/qos/policies/{id}/{type_}_rules", {f"{type_}_rule": said})
        assert made.status_code == 201, made.text
    return id


async def test_a_guarantee_is_asked_of_placement(api: Api, network: Json) -> None:
    """Bandwidth on its network and packets on its switch, of one host; a policy without guarantees asks for nothing."""
    plain = await a_policy(api, bandwidth_limit={"max_kbps": 1_000})
    gold = await a_policy(
        api, minimum_bandwidth={"min_kbps": 500}, minimum_packet_rate={"min_kpps": 7, "direction": "any"}
    )
    port = await api.a_port(network["id"], qos_policy_id=gold)

    request = port["resource_request"]
    first, second = request["request_groups"]
    assert request["same_subtree"] == [first.pop("id"), second.pop("id")]
    assert first == {
        "required": ["CUSTOM_NETWORK_TUNNEL_PROVIDER", "CUSTOM_VNIC_TYPE_NORMAL"],
        "resources": {"NET_BW_EGR_KILOBIT_PER_SEC": 500},
    }
    assert second == {
        "required": ["CUSTOM_VNIC_TYPE_NORMAL"],
        "resources": {"NET_PACKET_RATE_KILOPACKET_PER_SEC": 7},
    }
    assert (await api.shown(f"/v2.0/ports/{port['id']}"))["resource_request"]["same_subtree"] == request[
        "same_subtree"
    ]
    assert (await change(api, port, qos_policy_id=plain))["resource_request"] is None
    assert (await change(api, port, qos_policy_id=None))["resource_request"] is None


async def test_the_policy_of_the_network_counts_where_the_port_has_none(api: Api) -> None:
    """It is shown beside the port's own."""
    gold = await a_policy(api, minimum_bandwidth={"min_kbps": 500, "direction": "ingress"})
    network = await api.a_network(qos_policy_id=gold)
    port = await api.a_port(network["id"])

    assert (port["qos_policy_id"], port["qos_network_policy_id"]) == (None, gold)
    [group] = port["resource_request"]["request_groups"]
    assert group["resources"] == {"NET_BW_IGR_KILOBIT_PER_SEC": 500}


async def test_a_policy_in_use_stays(api: Api, member: Api, network: Json, own: Json) -> None:
    """It goes once no port has it; one of another project is as good as none."""
    gold = await a_policy(api)
    port = await api.a_port(network["id"], qos_policy_id=gold)

    assert error_of(await api.delete(f"/v2.0/qos/policies/{gold}"))[:2] == (409, "QosPolicyInUse")
    assert (await refused(member, own["id"], qos_policy_id=gold))[:2] == (404, "QosPolicyNotFound")
    assert (await change_refused(api, port, qos_policy_id=NOWHERE))[:2] == (404, "QosPolicyNotFound")
    await change(api, port, qos_policy_id=None)
    assert (await api.delete(f"/v2.0/qos/policies/{gold}")).status_code == 204


# Who may what.


async def test_a_member_sees_no_more_than_it_may(api: Api, member: Api, own: Json) -> None:
    """Where a port is, and what only operators tune, is theirs to see and to say."""
    port = await member.a_port(own["id"])
    hidden = {
        "binding:host_id",
        "binding:profile",
        "binding:vif_type",
        "binding:vif_details",
        "hints",
        "trusted",
        "resource_request",
    }

    assert not hidden & port.keys()
    for name, value in (("trusted", True), ("hints", {"openvswitch": {}}), ("binding:host_id", "h")):
        assert (await refused(member, own["id"], **{name: value}))[:2] == (403, "PolicyNotAuthorized")
        assert (await change_refused(member, port, **{name: value}))[:2] == (403, "PolicyNotAuthorized")
    assert (await change_refused(member, port, data_plane_status="DOWN"))[:2] == (403, "PolicyNotAuthorized")


async def test_on_a_shared_network_its_owner_decides(api: Api, member: Api) -> None:
    """Others may have ports on it and choose a subnet, but neither address nor MAC address nor port security."""
    shared = await api.a_network(shared=True)
    subnet = await api.a_subnet(shared["id"])
    port = await member.a_port(shared["id"], fixed_ips=[{"subnet_id": subnet["id"]}])
    assert port["project_id"] == MEMBER_PROJECT

    for said in (
        {"mac_address": "52:54:00:00:00:05"},
        {"fixed_ips": [{"ip_address": "10.0.0.77"}]},
        {"port_security_enabled": False},
        {"allowed_address_pairs": [{"ip_address": "10.0.0.78"}]},
        {"device_owner": "network:dhcp"},
    ):
        assert (await refused(member, shared["id"], **said))[:2] == (403, "PolicyNotAuthorized"), said


async def test_a_networks_owner_sees_all_ports_on_it(api: Api, member: Api, own: Json) -> None:
    """Also those of other projects; nobody else does."""
    theirs = await api.a_port(own["id"])
    assert theirs["project_id"] == ADMIN_PROJECT
    elsewhere = await api.a_network()
    hidden = await api.a_port(elsewhere["id"])

    assert await listed(member, f"network_id={own['id']}") == [theirs["id"]]
    assert (await member.get(f"/v2.0/ports/{theirs['id']}")).status_code == 200
    assert (await member.get(f"/v2.0/ports/{hidden['id']}")).status_code == 404
    assert (await change_refused(member, theirs, name="x"))[:2] == (403, "PolicyNotAuthorized")


async def test_a_servers_port_goes_with_the_server(api: Api, member: Api, own: Json) -> None:
    """Its owner cannot delete it; an administrator, who is the compute service, can."""
    port = await member.a_port(own["id"], device_owner="compute:nova", device_id="vm-1")

    assert error_of(await member.delete(f"/v2.0/ports/{port['id']}"))[:2] == (403, "PolicyNotAuthorized")
    assert (await api.delete(f"/v2.0/ports/{port['id']}")).status_code == 204


async def test_ports_of_routers_are_not_deleted_here(api: Api, network: Json) -> None:
    """As long as the router is there; a port that only says so is like any other."""
    answer = await api.post("/v2.0/routers", {"router": {"name": "r"}})
    router = answer.json()["router"]["id"]
    port = await api.a_port(network["id"], device_owner="network:router_interface", device_id=router)
    stray = await api.a_port(network["id"], device_owner="network:router_interface", device_id=NOWHERE)

    status, kind, message = error_of(await api.delete(f"/v2.0/ports/{port['id']}"))
    assert (status, kind) == (409, "ServicePortInUse")
    assert router in message
    assert (await api.delete(f"/v2.0/ports/{stray['id']}")).status_code == 204


# Tags, bulk, extensions.


async def test_ports_of_a_bulk_have_tags(api: Api, network: Json) -> None:
    """And are listed by them."""
    body = {"ports": [{"network_id": network["id"], "tags": [tag, "all"]} for tag in ("red", "blue")]}
    ports = (await api.post("/v2.0/ports", body)).json()["ports"]

    assert [sorted(port["tags"]) for port in ports] == [["all", "red"], ["all", "blue"]]
    assert await listed(api, "tags=red") == [ports[0]["id"]]


async def test_many_ports_change_and_go_together(api: Api, network: Json) -> None:
    """All or none; with `partial` each has a verdict."""
    first, second = [await api.a_port(network["id"]) for _ in range(2)]
    both = [{"id": first["id"], "name": "x"}, {"id": second["id"], "dns_name": "-bad"}]

    assert (await api.put("/v2.0/ports", {"ports": both})).status_code == 400
    assert (await api.shown(f"/v2.0/ports/{first['id']}"))["name"] == ""
    both[1] = {"id": second["id"], "name": "y"}
    changed = (await api.put("/v2.0/ports", {"ports": both})).json()["ports"]
    assert [port["name"] for port in changed] == ["x", "y"]
    gone = [{"id": first["id"]}, {"id": NOWHERE}]
    answer = await api.request("DELETE", "/v2.0/ports", json={"ports": gone})
    assert error_of(answer)[:2] == (404, "PortNotFound")
    answer = await api.request("DELETE", "/v2.0/ports?partial=true", json={"ports": gone})
    assert [verdict["status"] for verdict in answer.json()["ports"]] == [200, 404]
    assert (await api.get(f"/v2.0/ports/{first['id']}")).status_code == 404


@pytest.fixture
async def reader(store: Store) -> AsyncIterator[Api]:
    """Another connection of the administrator."""
    async with serving(store, token=ADMIN_TOKEN) as opened:
        yield opened


async def test_clients_learn_what_ports_can_do(reader: Api) -> None:
    """Nova and Horizon look for these aliases."""
    answer = await reader.get("/v2.0/extensions")
    aliases = {extension["alias"] for extension in answer.json()["extensions"]}

    assert {
        "allowed-address-pairs",
        "binding",
        "binding-extended",
        "extra_dhcp_opt",
        "port-security",
        "port-mac-address-regenerate",
        "port-numa-affinity-policy",
        "tag-ports-during-bulk-creation",
        "trunk",
        "trunk-details",
        "uplink-status-propagation",
    } <= aliases
    assert MEMBER_TOKEN != ADMIN_TOKEN
