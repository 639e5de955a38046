"""What an operator's rules reach, and what services may name: beyond the cases that follow from the declarations."""

import hashlib
from collections.abc import AsyncIterator

import pytest

from alcor.model.token import Token
from alcor.store.interface import Store, Transaction
from tests.support.api import MEMBER_PROJECT, MEMBER_TOKEN, Api, Json, error_of, serving

SERVICE_TOKEN = "nova-secret"
SERVICE_PROJECT = "5" * 32


@pytest.fixture
async def nova(store: Store) -> AsyncIterator[Api]:
    """A service that is no administrator."""

    async def work(tx: Transaction) -> None:
        digest = hashlib.sha256(SERVICE_TOKEN.encode()).hexdigest()
        tx.insert(
            Token(
                id=tx.new_id(), project_id=SERVICE_PROJECT, digest=digest, is_admin=False, roles=("service",)
            )
        )

    await store.write(work)
    async with serving(store, token=SERVICE_TOKEN) as opened:
        yield opened


async def an_outside(api: Api) -> Json:
    network = await api.a_network(**{"router:external": True})
    await api.a_subnet(network["id"], "203.0.113.0/24")
    return network


async def test_a_service_names_any_projects_network(member: Api, nova: Api) -> None:
    """The role `service` sees every network and port, and so makes ports on them and binds them; it opens nothing of
    another project's beyond that."""
    network = await member.a_network()
    await member.a_subnet(network["id"])
    group = (await member.shown("/v2.0/security-groups"))[0]

    port = await nova.a_port(network["id"], **{"binding:host_id": "host-1"})
    assert (port["project_id"], port["binding:host_id"]) == (SERVICE_PROJECT, "host-1")
    theirs = await member.a_port(network["id"])
    changed = await nova.put(f"/v2.0/ports/{theirs['id']}", {"port": {"binding:host_id": "host-2"}})
    assert changed.json()["port"]["binding:host_id"] == "host-2"
    body = {"port": {"network_id": network["id"], "security_groups": [group["id"]]}}
    assert error_of(await nova.post("/v2.0/ports", body))[0] == 404
    assert (await nova.get(f"/v2.0/security-groups/{group['id']}")).status_code == 404
    assert (await nova.delete(f"/v2.0/networks/{network['id']}")).status_code == 403


async def test_who_sees_networks_by_an_operators_rule_may_name_them(store: Store, api: Api) -> None:
    """A rule that shows every network to the role `reader` lets its bearers name them, too."""
    network = await api.a_network()
    body = {"port": {"network_id": network["id"]}}

    async with serving(store, token=MEMBER_TOKEN) as member:
        assert (await member.post("/v2.0/ports", body)).status_code == 404
    async with serving(store, token=MEMBER_TOKEN, overrides={"get_network": "role:reader"}) as member:
        assert (await member.post("/v2.0/ports", body)).status_code == 201


async def test_only_administrators_choose_gateway_addresses(member: Api, api: Api) -> None:
    """In the actions as in an update: addresses and translation are the operator's, and what only he sees is in no
    answer."""
    outside = await an_outside(api)
    router = await member.made("router")
    path = f"/v2.0/routers/{router['id']}"
    plain = {"network_id": outside["id"]}

    for action in ("add_external_gateways", "update_external_gateways"):
        for name, value in (
            ("enable_snat", False),
            ("external_fixed_ips", [{"ip_address": "203.0.113.9"}]),
        ):
            body = {"router": {"external_gateways": [plain | {name: value}]}}
            status, kind, message = error_of(await member.put(f"{path}/{action}", body))
            assert (status, kind) == (403, "PolicyNotAuthorized")
            assert f"{action}:external_gateways:{name}" in message
    answer = await member.put(f"{path}/add_external_gateways", {"router": {"external_gateways": [plain]}})
    shown = answer.json()["router"]
    assert len(shown["external_gateways"]) == 1
    assert "distributed" not in shown
    assert shown == await member.shown(path)


async def test_an_operators_rules_reach_actions(store: Store, api: Api) -> None:
    """Rules about the members of an action's body, and about what its answer shows, are the operator's to change."""
    outside = await an_outside(api)
    rules = {
        "add_external_gateways:external_gateways:enable_snat": "role:member",
        "get_router:distributed": "role:member",
        "get_router:routes": "!",
    }
    async with serving(store, token=MEMBER_TOKEN, overrides=rules) as member:
        router = (await member.post("/v2.0/routers", {"router": {}})).json()["router"]
        gateway = {"network_id": outside["id"], "enable_snat": False}
        body = {"router": {"external_gateways": [gateway]}}
        answer = await member.client.put(f"/v2.0/routers/{router['id']}/add_external_gateways", json=body)

    assert answer.status_code == 200, answer.text
    shown = answer.json()["router"]
    assert shown["external_gateways"][0]["enable_snat"] is False
    assert "distributed" in shown
    assert "routes" not in shown


async def test_pairs_on_anothers_network_are_its_owners(member: Api, api: Api) -> None:
    """Exceptions from anti-spoofing need the right on the network in the actions as in an update."""
    network = await api.a_network(shared=True)
    await api.a_subnet(network["id"])
    port = await member.a_port(network["id"])
    path = f"/v2.0/ports/{port['id']}"
    body = {"port": {"allowed_address_pairs": [{"ip_address": "10.0.0.0/24"}]}}

    for way in (path, f"{path}/add_allowed_address_pairs", f"{path}/remove_allowed_address_pairs"):
        assert error_of(await member.put(way, body))[0] == 403
    assert (await api.put(f"{path}/add_allowed_address_pairs", body)).status_code == 200


async def test_a_document_inside_a_row_has_its_rule(store: Store, member: Api) -> None:
    """A rule that is called as the document decides about it."""
    network = await member.a_network()
    trunk = await member.made("trunk", port_id=(await member.a_port(network["id"]))["id"])
    path = f"/v2.0/trunks/{trunk['id']}/get_subports"
    assert (await member.get(path)).status_code == 200

    async with serving(store, token=MEMBER_TOKEN, overrides={"get_subports": "!"}) as refused:
        assert (await refused.get(path)).status_code == 403


async def test_an_attribute_shown_of_some_rows_is_no_filter(store: Store, member: Api, api: Api) -> None:
    """If a rule decides row by row who sees an attribute, nobody but who sees it always filters or sorts by it."""
    mine = await member.a_network(name="mine")
    theirs = await api.a_network(name="theirs", shared=True)
    rules = {"get_network:name": "rule:admin_only or rule:owner", "get_network:project_id": "rule:owner"}

    async with serving(store, token=MEMBER_TOKEN, overrides=rules) as limited:
        listed = (await limited.client.get("/v2.0/networks")).json()["networks"]
        assert {one["id"]: (one.get("name"), one.get("tenant_id")) for one in listed} == {
            mine["id"]: ("mine", MEMBER_PROJECT),
            theirs["id"]: (None, None),
        }
        for query in ("name=theirs", "sort_key=name", "project_id=x", "tenant_id=x", "sort_key=tenant_id"):
            assert (await limited.client.get(f"/v2.0/networks?{query}")).status_code == 400


async def test_hidden_tags_are_hidden_at_their_paths(store: Store, member: Api) -> None:
    """Who does not see the attribute `tags` neither reads nor filters by them."""
    network = await member.a_network(tags=["red"])

    async with serving(store, token=MEMBER_TOKEN, overrides={"get_network:tags": "!"}) as limited:
        path = f"/v2.0/networks/{network['id']}"
        assert (await limited.client.get(f"{path}/tags")).status_code == 403
        assert (await limited.client.get(f"{path}/tags/red")).status_code == 403
        assert (await limited.client.get("/v2.0/networks?tags=red")).status_code == 400


async def test_a_marker_is_of_the_same_parent(member: Api, api: Api) -> None:
    """A row inside another's is no marker: it would tell that it is there."""

    async def a_rule(client: Api, shared: bool) -> tuple[str, str]:
        policy = await client.made("qos_policy", shared=shared)
        path = f"/v2.0/qos/policies/{policy['id']}/dscp_marking_rules"
        rule = await client.post(path, {"dscp_marking_rule": {"dscp_mark": 46}})
        return path, rule.json()["dscp_marking_rule"]["id"]

    _, hidden = await a_rule(api, shared=False)
    path, seen = await a_rule(api, shared=True)

    assert (await member.get(f"{path}?marker={seen}")).status_code == 200
    assert (await member.get(f"{path}?marker={hidden}")).status_code == 404


async def test_the_history_shows_what_its_reader_may_see(member: Api, api: Api) -> None:
    """Of a request of his own, a member sees his rows without what is for administrators; of others' rows that it
    changed, and of others' requests, nothing."""
    shared = await api.a_network(shared=True)
    await api.a_subnet(shared["id"])
    own = await member.a_network()
    port = await member.a_port(shared["id"])

    changes = await member.shown("/changes")
    seen = {(one["resource_type"], one["resource_id"]) for one in changes}
    assert {("network", own["id"]), ("port", port["id"])} <= seen
    assert ("network", shared["id"]) not in {
        (one["resource_type"], one["resource_id"]) for one in changes if one["project_id"] != MEMBER_PROJECT
    }
    assert not {"mac_allocation", "ip_allocation", "token", "host"} & {kind for kind, _ in seen}
    for change in changes:
        after = change["after"] or {}
        assert not {"provider:segmentation_id", "provider:network_type", "binding:host_id"} & after.keys()
    [made] = [one for one in changes if one["resource_id"] == own["id"] and one["action"] == "create"]
    assert made["after"]["name"] == own["name"]
    [whole] = await api.shown(f"/changes?resource_id={own['id']}&limit=1")
    assert whole["after"]["provider:network_type"] == "vxlan"


async def test_a_rule_in_anothers_group_is_a_rule_in_no_group(member: Api, api: Api) -> None:
    """A group that is not the caller's is not found; one that is shared with it is seen, and not changed."""
    hidden = await api.made("security_group", name="hidden")
    shared = await api.made("security_group", name="shared")
    opened = {"object_type": "security_group", "object_id": shared["id"], "action": "access_as_shared"}
    await api.made("rbac_policy", **opened, target_tenant=MEMBER_PROJECT)

    async def refused(group_id: str) -> tuple[int, str, str]:
        rule = {"security_group_id": group_id, "direction": "ingress"}
        return error_of(await member.post("/v2.0/security-group-rules", {"security_group_rule": rule}))

    assert (await refused(hidden["id"]))[:2] == (404, "SecurityGroupNotFound")
    assert (await refused(shared["id"]))[:2] == (403, "PolicyNotAuthorized")
