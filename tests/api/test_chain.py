"""Flow classifiers, port pairs, their groups and chains through the API, as clients meet them."""

from typing import Any

import pytest

from tests.support.api import MEMBER_PROJECT, Api, Json, error_of

FLOWS, PAIRS, GROUPS, CHAINS = (
    f"/v2.0/sfc/{kind}" for kind in ("flow_classifiers", "port_pairs", "port_pair_groups", "port_chains")
)
MISSING = "0190aaaa-bbbb-4ccc-8ddd-eeeeeeeeeeee"


async def _port(api: Api, device: str = "firewall") -> str:
    port = await api.a_port((await api.a_network())["id"], device_id=device)
    id: str = port["id"]
    return id


async def _pair(api: Api, **parameters: Any) -> str:
    made = await api.made(
        "port_pair", ingress=await _port(api), egress=await _port(api), service_function_parameters=parameters
    )
    id: str = made["id"]
    return id


async def _group(api: Api, *pairs: str, **said: Any) -> str:
    made = await api.made("port_pair_group", port_pairs=pairs, **said)
    id: str = made["id"]
    return id


async def test_a_flow_shows_every_attribute(member: Api) -> None:
    """What was said, and nulls for what was not; only its words change."""
    port = await _port(member)
    flow = await member.made(
        "flow_classifier",
        name=None,
        ethertype="ipv4",
        protocol="TCP",
        source_port_range_min="80",
        source_port_range_max=90,
        source_ip_prefix="10.0.0.0/8",
        logical_source_port=port,
        l7_parameters=None,
    )
    expected: Json = {
        "name": "",
        "description": "",
        "ethertype": "IPv4",
        "protocol": "tcp",
        "source_port_range_min": 80,
        "source_port_range_max": 90,
        "destination_port_range_min": None,
        "destination_port_range_max": None,
        "source_ip_prefix": "10.0.0.0/8",
        "destination_ip_prefix": None,
        "logical_source_port": port,
        "logical_destination_port": None,
        "l7_parameters": {},
        "project_id": MEMBER_PROJECT,
    }
    assert {name: flow[name] for name in expected} == expected
    path = f"{FLOWS}/{flow['id']}"
    changed = await member.put(path, {"flow_classifier": {"name": "web"}})
    assert changed.json()["flow_classifier"]["name"] == "web"
    fixed = await member.put(path, {"flow_classifier": {"protocol": "udp"}})
    assert error_of(fixed)[:2] == (400, "HTTPBadRequest")


@pytest.mark.parametrize(
    ("said", "status", "type_"),
    [
        ({"protocol": "gre"}, 400, "FlowClassifierInvalidProtocol"),
        ({"ethertype": "arp"}, 400, "FlowClassifierInvalidEthertype"),
        ({"protocol": "tcp", "source_port_range_min": 65536}, 400, "FlowClassifierInvalidPortValue"),
        ({"protocol": "tcp", "source_port_range_min": "x"}, 400, "FlowClassifierInvalidPortValue"),
        ({"protocol": "tcp", "source_port_range_min": True}, 400, "FlowClassifierInvalidPortValue"),
        ({"protocol": "tcp", "destination_port_range_min": 2, "destination_port_range_max": 1}, 400,
         "FlowClassifierInvalidPortRange"),
        ({"source_port_range_min": 1}, 400, "FlowClassifierProtocolRequiredWithPorts"),
        ({"protocol": "icmp", "source_port_range_max": 1}, 400, "FlowClassifierProtocolRequiredWithPorts"),
        ({"source_ip_prefix": "2001:db8::/32"}, 400, "FlowClassifierIpPrefixFormatConflictWithEthertype"),
        ({"destination_ip_prefix": "there"}, 400, "InvalidInput"),
        ({"logical_source_port": MISSING}, 404, "FlowClassifierPortNotFound"),
        ({"l7_parameters": {"url": "/"}}, 400, "FlowClassifierInvalidL7Parameter"),
    ],
)  # fmt: skip
async def test_refused_flows(member: Api, said: Json, status: int, type_: str) -> None:
    """Each with the type clients know."""
    assert error_of(await member.post(FLOWS, {"flow_classifier": said}))[:2] == (status, type_)


async def test_a_packet_is_in_one_flow(api: Api, member: Api) -> None:
    """Flows of a project that could share a packet are refused; others' are their own matter."""
    port, other = await _port(member), await _port(member)
    web: Json = {"protocol": "tcp", "destination_port_range_min": 80, "destination_port_range_max": 90}
    await member.made("flow_classifier", logical_source_port=port, source_ip_prefix="10.0.0.0/8", **web)

    for said in (
        {"logical_source_port": port},
        {"source_ip_prefix": "10.1.0.0/16"},
        {"logical_source_port": port, "protocol": "tcp", "destination_port_range_min": 90},
        {"logical_source_port": port, "logical_destination_port": other},
    ):
        refused = await member.post(FLOWS, {"flow_classifier": said})
        assert error_of(refused)[:2] == (400, "FlowClassifierInConflict")
    for said in (
        {"logical_source_port": other},
        {"logical_source_port": port, "ethertype": "IPv6"},
        {"logical_source_port": port, "protocol": "udp"},
        {"logical_source_port": port, "protocol": "tcp", "source_ip_prefix": "192.0.2.0/24"},
        {"logical_source_port": port, "protocol": "tcp", "destination_port_range_min": 91,
         "source_ip_prefix": "10.0.0.0/8"},
    ):  # fmt: skip
        await member.made("flow_classifier", **said)
    await api.made("flow_classifier")


async def test_pairs_groups_and_chains_show_their_parameters(member: Api) -> None:
    """With the defaults of what was not said, and numbers of their own."""
    ingress, egress = await _port(member), await _port(member)
    pair = await member.made("port_pair", ingress=ingress, egress=egress, name="fw")
    assert (pair["ingress"], pair["egress"], pair["name"]) == (ingress, egress, "fw")
    assert pair["service_function_parameters"] == {"correlation": None, "weight": 1}
    group = await member.made(
        "port_pair_group",
        port_pairs=[pair["id"]],
        port_pair_group_parameters={"lb_fields": ["ip_src"], "ppg_n_tuple_mapping": {
            "ingress_n_tuple": {"source_port_range_min": "80"}}},
    )  # fmt: skip
    assert group["port_pair_group_parameters"] == {
        "lb_fields": ["ip_src"],
        "ppg_n_tuple_mapping": {"ingress_n_tuple": {"source_port_range_min": 80}, "egress_n_tuple": {}},
    }
    assert (group["tap_enabled"], group["group_id"] > 0) == (False, True)
    flow = await member.made("flow_classifier", logical_source_port=ingress)
    chain = await member.made("port_chain", port_pair_groups=[group["id"]], flow_classifiers=[flow["id"]])
    assert chain["chain_parameters"] == {"correlation": "mpls", "symmetric": False}
    assert (chain["port_pair_groups"], chain["flow_classifiers"]) == ([group["id"]], [flow["id"]])
    assert 1 <= chain["chain_id"] <= 65535
    for path, kind in ((PAIRS, "port_pair"), (GROUPS, "port_pair_group"), (CHAINS, "port_chain")):
        [one] = await member.shown(path)
        changed = await member.put(f"{path}/{one['id']}", {kind: {"description": "seen"}})
        assert changed.json()[kind] == one | {"description": "seen"}


async def test_refused_pairs(member: Api) -> None:
    """Two ports of one device, once."""
    ingress, egress = await _port(member), await _port(member)
    alone, other = await _port(member, ""), await _port(member, "router")
    await member.made("port_pair", ingress=ingress, egress=egress)
    for said, status, type_ in (
        ({"ingress": MISSING, "egress": egress}, 404, "PortPairPortNotFound"),
        ({"ingress": alone, "egress": egress}, 400, "PortPairIngressNoHost"),
        ({"ingress": ingress, "egress": alone}, 400, "PortPairEgressNoHost"),
        ({"ingress": ingress, "egress": other}, 400, "PortPairIngressEgressDifferentHost"),
        ({"ingress": ingress, "egress": egress}, 400, "PortPairIngressEgressInUse"),
        ({"ingress": egress, "egress": ingress, "service_function_parameters": {"weight": -1}}, 400, "InvalidInput"),
        ({"ingress": egress, "egress": ingress, "service_function_parameters": {"colour": 1}}, 400, "InvalidInput"),
    ):  # fmt: skip
        assert error_of(await member.post(PAIRS, {"port_pair": said}))[:2] == (status, type_)
    await member.made("port_pair", ingress=ingress, egress=ingress)


async def test_refused_groups(member: Api) -> None:
    """Pairs of one correlation, each in one group; a tap has one."""
    plain, second, nsh = await _pair(member), await _pair(member), await _pair(member, correlation="nsh")
    group = await _group(member, plain)
    for said, status, type_ in (
        ({"port_pairs": [MISSING]}, 404, "PortPairNotFound"),
        ({"port_pairs": [plain]}, 409, "PortPairInUse"),
        ({"port_pairs": [second, nsh]}, 400, "InconsistentCorrelations"),
        ({"port_pairs": [second, second]}, 400, "InvalidInput"),
        ({"port_pair_group_parameters": {"lb_fields": ["mac"]}}, 400, "InvalidInput"),
        ({"port_pair_group_parameters": {"ppg_n_tuple_mapping": {"ingress_n_tuple": {"x": 1}}}}, 400, "InvalidInput"),
    ):  # fmt: skip
        assert error_of(await member.post(GROUPS, {"port_pair_group": said}))[:2] == (status, type_)
    third = await _pair(member)
    tap = {"port_pairs": [second, third], "tap_enabled": True}
    refused = await member.post(GROUPS, {"port_pair_group": tap})
    assert error_of(refused)[:2] == (400, "MultiplePortPairsInTapPPGNotSupported")

    changed = await member.put(f"{GROUPS}/{group}", {"port_pair_group": {"port_pairs": [second]}})
    assert changed.json()["port_pair_group"]["port_pairs"] == [second]
    await _group(member, plain)


async def test_refused_chains(member: Api) -> None:
    """Groups in an order no other chain has, classifiers of no other, and a number of its own."""
    group, other = await _group(member, await _pair(member)), await _group(member)
    nsh = await _group(member, await _pair(member, correlation="nsh"))
    taps = [await _group(member, tap_enabled=True) for _ in range(2)]
    ports = await _port(member), await _port(member)
    flow, twin = [(await member.made("flow_classifier", logical_source_port=port))["id"] for port in ports]
    await member.made("port_chain", port_pair_groups=[group, other], flow_classifiers=[flow], chain_id=7)
    for said, status, type_ in (
        ({}, 400, "PortPairGroupNotSpecified"),
        ({"port_pair_groups": []}, 400, "PortPairGroupNotSpecified"),
        ({"port_pair_groups": [MISSING]}, 404, "PortPairGroupNotFound"),
        ({"port_pair_groups": [group, other]}, 409, "InvalidPortPairGroups"),
        ({"port_pair_groups": [nsh]}, 400, "PortChainInconsistentCorrelations"),
        ({"port_pair_groups": taps}, 400, "ConsecutiveTapPPGNotSupported"),
        ({"port_pair_groups": [other], "chain_id": 7}, 400, "PortChainChainIdInConflict"),
        ({"port_pair_groups": [other], "chain_id": 65536}, 400, "InvalidInput"),
        ({"port_pair_groups": [other], "flow_classifiers": [MISSING]}, 404, "FlowClassifierNotFound"),
        ({"port_pair_groups": [other], "flow_classifiers": [flow]}, 409, "FlowClassifierInUse"),
        ({"port_pair_groups": [other], "flow_classifiers": [twin]}, 400, "PortChainFlowClassifierInConflict"),
        ({"port_pair_groups": [other], "chain_parameters": {"correlation": "vlan"}}, 400, "InvalidInput"),
    ):
        assert error_of(await member.post(CHAINS, {"port_chain": said}))[:2] == (status, type_)
    await member.made("port_chain", port_pair_groups=[nsh], chain_parameters={"correlation": "nsh"})
    await member.made("port_chain", port_pair_groups=[other, group])


async def test_what_is_used_stays(member: Api) -> None:
    """Ports, pairs, groups and classifiers, until the chain lets them go."""
    ingress = await _port(member)
    pair = (await member.made("port_pair", ingress=ingress, egress=ingress))["id"]
    group = await _group(member, pair)
    flow = (await member.made("flow_classifier", protocol="icmp"))["id"]
    chain = await member.made("port_chain", port_pair_groups=[group], flow_classifiers=[flow], chain_id=9)
    for path, type_ in (
        (f"/v2.0/ports/{ingress}", "PortInUse"),
        (f"{PAIRS}/{pair}", "PortPairInUse"),
        (f"{GROUPS}/{group}", "PortPairGroupInUse"),
        (f"{FLOWS}/{flow}", "FlowClassifierInUse"),
    ):
        assert error_of(await member.delete(path))[:2] == (409, type_)
    path = f"{CHAINS}/{chain['id']}"
    changed = await member.put(path, {"port_chain": {"flow_classifiers": []}})
    assert changed.json()["port_chain"]["flow_classifiers"] == []
    assert (await member.delete(f"{FLOWS}/{flow}")).status_code == 204
    for gone in (path, f"{GROUPS}/{group}", f"{PAIRS}/{pair}", f"/v2.0/ports/{ingress}"):
        assert (await member.delete(gone)).status_code == 204
    await member.made("port_chain", port_pair_groups=[await _group(member)], chain_id=9)


async def test_chains_are_a_projects_own(api: Api, member: Api) -> None:
    """Neither seen nor used by others."""
    group = await _group(api)
    assert await member.shown(GROUPS) == []
    refused = await member.post(CHAINS, {"port_chain": {"port_pair_groups": [group]}})
    assert error_of(refused)[:2] == (404, "PortPairGroupNotFound")
