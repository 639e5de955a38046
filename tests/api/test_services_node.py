"""The Node Manager's own paths: hosts as inventory, their health, files of them, and who serves them."""

from typing import Any

import msgspec
import pytest

from alcor.model.gateway_standing import GatewayStanding, standing_id
from alcor.store.interface import HostObservation, Store, Transaction
from tests.support.api import Api, error_of

Json = dict[str, Any]
CSV = """name,vtep_addresses,cluster,control_address
n1,192.0.2.1,c1,198.51.100.1
n2,192.0.2.2 2001:db8::2,c1,

n3,192.0.2.3,c2,198.51.100.3
"""
YAML = """
nodes:
  - name: n1
    vtep_addresses: [192.0.2.1]
  - {name: n2, vtep_addresses: [192.0.2.2], rotation: draining}
"""


async def a_host(api: Api, name: str, address: str, **said: Any) -> Json:
    """A host."""
    return await api.made("host", name=name, vtep_addresses=[address], **said)


async def uploaded(api: Api, content: str, kind: str, path: str = "/hosts/upload") -> Any:
    """The answer to a file."""
    return await api.request("POST", path, content=content.encode(), headers={"Content-Type": kind})


async def test_a_host_is_inventory(api: Api) -> None:
    """A host has its addresses, cluster and manager; lists are filtered by each of them, at either path."""
    ncm = await api.made("ncm", uri="https://ncm1.example:9014", capacity=5)
    said = {"control_address": "198.51.100.7", "mac_address": "02:00:00:00:00:07", "cluster": "c7"}
    host = await a_host(api, "n7", "192.0.2.7", ncm_id=ncm["id"], **said)
    await a_host(api, "n8", "192.0.2.8")

    assert {name: host[name] for name in said} == said
    filters = {**said, "ncm_id": ncm["id"], "vtep_addresses": "192.0.2.7", "name": "n7", "rotation": "in"}
    for name, value in filters.items():
        found = (await api.get("/nodes", params={name: value, "cluster": "c7"})).json()["nodes"]
        assert [one["id"] for one in found] == [host["id"]], name
    assert (await api.get(f"/nodes/{host['id']}")).json()["node"]["name"] == "n7"
    assert (await api.shown(f"/ncms/{ncm['id']}"))["host_count"] == 1


async def test_a_host_may_serve_gateways(api: Api) -> None:
    """Whether a host serves gateways and which bridges lead where is said by JSON or a file, shown, and changed."""
    mappings = {"outside": "br-ex", "dc": "br-dc"}
    host = await a_host(api, "g1", "192.0.2.1", gateway=True, bridge_mappings=mappings)
    await a_host(api, "g2", "192.0.2.2")

    assert (host["gateway"], host["bridge_mappings"]) == (True, mappings)
    found = (await api.get("/hosts", params={"gateway": "false"})).json()["hosts"]
    assert [(one["name"], one["bridge_mappings"]) for one in found] == [("g2", {})]
    changed = await api.put(f"/hosts/{host['id']}", {"host": {"gateway": False, "bridge_mappings": {}}})
    assert (changed.json()["host"]["gateway"], changed.json()["host"]["bridge_mappings"]) == (False, {})
    content = "name,vtep_addresses,gateway,bridge_mappings\ng3,192.0.2.3,true,outside:br-ex dc:br-dc\n"
    assert (await uploaded(api, content, "text/csv")).status_code < 300
    (made,) = (await api.get("/hosts", params={"name": "g3"})).json()["hosts"]
    assert (made["gateway"], made["bridge_mappings"]) == (True, mappings)


async def test_an_operator_forgives_a_gateway_host(api: Api, store: Store) -> None:
    """A gateway host that was lost is forgiven when it is made none, and forgotten with the host."""
    host = await a_host(api, "g1", "192.0.2.1", gateway=True)
    id = standing_id(host["id"])

    async def lose(tx: Transaction) -> None:
        tx.insert(GatewayStanding(id=id, host_id=host["id"], lost_at_ms=5, heard_ms=5))

    await store.write(lose)
    seen = []
    for said in ({"description": "x", "gateway": True}, {"gateway": False}, {"gateway": True}):
        await api.put(f"/hosts/{host['id']}", {"host": said})
        (row,) = await store.reader.list(GatewayStanding)
        seen.append((row.lost_at_ms, row.heard_ms))
    await api.delete(f"/hosts/{host['id']}")

    assert seen == [(5, 5), (0, 5), (0, 5)]
    assert await store.reader.list(GatewayStanding) == []


@pytest.mark.parametrize(
    "mappings",
    [
        {"outside": "a-name-of-16-chars"},
        {"outside": ""},
        {"": "br-ex"},
        {"outside": "br ex"},
        {"outside": "br-ex", "dc": "br-ex"},
        {"outside": 5},
        ["outside"],
        {f"p{i}": f"b{i}" for i in range(65)},
    ],
)
async def test_bridge_mappings_are_names(api: Api, mappings: object) -> None:
    """A mapping that no host can have is refused."""
    said = {"name": "g1", "vtep_addresses": ["192.0.2.1"], "bridge_mappings": mappings}

    assert (await api.post("/hosts", {"host": said})).status_code == 400


async def test_hosts_are_made_and_changed_in_bulk(api: Api) -> None:
    """/nodes/bulk registers a list, all or none; each answer has a secret of its own."""
    nodes = [{"name": f"n{i}", "vtep_addresses": [f"192.0.2.{i}"]} for i in (1, 2)]
    made = (await api.post("/nodes/bulk", {"nodes": nodes})).json()["nodes"]
    assert len({one["token"] for one in made}) == 2
    twice = await api.post(
        "/hosts/bulk", {"hosts": [{"name": "n9", "vtep_addresses": ["192.0.2.9"]}, nodes[0]]}
    )
    assert twice.status_code == 409
    assert len((await api.get("/hosts")).json()["hosts"]) == 2


async def test_health_has_five_states(api: Api, store: Store) -> None:
    """A host is DOWN until its agent is heard; then UP, DEGRADED while something is wrong, DRAINING while nothing new
    comes, or OUT_OF_ROTATION."""
    host = await a_host(api, "n1", "192.0.2.1")
    path = f"/hosts/{host['id']}"
    assert host["health_state"] == "DOWN"
    await store.observations.put([], [HostObservation(host["id"], alive=True, seen_at_ms=1)], term=0)
    assert (await api.shown(path))["health_state"] == "UP"
    for wrong, words in (
        ({"detail": "the switch is gone"}, "the switch is gone"),
        ({"paths_down": ("192.0.2.7",)}, "does not reach 192.0.2.7"),
        ({"missed_by": 2}, "2 neighbours do not reach it"),
    ):
        seen = HostObservation(host["id"], alive=True, seen_at_ms=1)
        await store.observations.put([], [msgspec.structs.replace(seen, **wrong)], term=0)
        assert (await api.shown(path))["health_state"] == "DEGRADED"
        assert words in (await api.get(f"{path}/health")).json()["health"]["complaints"][0]
    away = HostObservation(host["id"], alive=False, seen_at_ms=1, reached_by=3)
    await store.observations.put([], [away], term=0)
    health = (await api.get(f"{path}/health")).json()["health"]
    assert health["health_state"] == "DOWN"
    assert "its switch answers 3 neighbours" in health["complaints"][0]
    await store.observations.put([], [HostObservation(host["id"], alive=True, seen_at_ms=1)], term=0)
    for said, state in (
        ({"admin_state_up": False}, "DRAINING"),
        ({"admin_state_up": True, "rotation": "draining"}, "DRAINING"),
        ({"rotation": "out"}, "OUT_OF_ROTATION"),
    ):
        changed = (await api.put(path, {"host": said})).json()["host"]
        assert (changed["health_state"], changed["status"]) == (state, "UP")
        health = (await api.get(f"{path}/health")).json()["health"]
        assert health["health_state"] == state
    assert (await api.get("/hosts?health_state=OUT_OF_ROTATION")).json()["hosts"][0]["id"] == host["id"]


async def test_nothing_new_comes_to_a_draining_host(api: Api) -> None:
    """A port bound to a draining host fails; one that is there stays, even if its host is said again."""
    host = await a_host(api, "n1", "192.0.2.1")
    network = await api.a_network()
    there = await api.a_port(network["id"], **{"binding:host_id": "n1"})
    assert there["binding:vif_type"] == "ovs"
    await api.put(f"/hosts/{host['id']}", {"host": {"rotation": "draining"}})

    late = await api.a_port(network["id"], **{"binding:host_id": "n1"})
    assert late["binding:vif_type"] == "binding_failed"
    again = await api.put(f"/v2.0/ports/{there['id']}", {"port": {"binding:host_id": "n1"}})
    assert again.json()["port"]["binding:vif_type"] == "ovs"
    refused = error_of(await api.put(f"/hosts/{host['id']}", {"host": {"rotation": "out"}}))
    assert refused[:2] == (409, "HostInUse")
    assert there["id"] in refused[2]


async def test_a_csv_file_registers_hosts(api: Api) -> None:
    """Each line is a host, with lists separated by spaces; empty cells and lines say nothing."""
    answer = await uploaded(api, CSV, "text/csv")

    assert answer.status_code == 201
    assert [one["name"] for one in answer.json()["hosts"]] == ["n1", "n2", "n3"]
    assert len({one["token"] for one in answer.json()["hosts"]}) == 3
    second = (await api.get("/hosts?name=n2")).json()["hosts"][0]
    assert second["vtep_addresses"] == ["192.0.2.2", "2001:db8::2"]
    assert second["control_address"] is None


async def test_yaml_and_json_files_register_hosts(api: Api) -> None:
    """The same in YAML at the original's path, and in JSON."""
    answer = await uploaded(api, YAML, "application/yaml", "/nodes/upload")
    assert [one["name"] for one in answer.json()["nodes"]] == ["n1", "n2"]
    assert (await api.get("/hosts?name=n2")).json()["hosts"][0]["rotation"] == "draining"
    answer = await api.post("/hosts/upload", [{"name": "n3", "vtep_addresses": ["192.0.2.3"]}])
    assert answer.status_code == 201


async def test_a_file_with_wrong_lines_registers_nothing(api: Api) -> None:
    """Every wrong line is told with its reason, what the file's own lines take from each other too."""
    bad = CSV + "n4,nowhere,,\nn1,192.0.2.9,,\nn5,192.0.2.1,,\nn6\n"
    answer = await uploaded(api, bad, "text/csv")

    status, name, message = error_of(answer)
    assert (status, name) == (400, "HostsNotRegistered")
    assert message.startswith("4 of 7 hosts cannot be registered, so none was: line 6:")
    lines = answer.json()["NeutronError"]["detail"].split("\n")
    assert [line.partition(":")[0] for line in lines] == ["line 6", "line 7", "line 8", "line 9"]
    assert "not a valid IP address" in lines[0]
    assert "Host name 'n1' is taken" in lines[1]
    assert "192.0.2.1 belongs to another host" in lines[2]
    assert (await api.get("/hosts")).json()["hosts"] == []


@pytest.mark.parametrize(
    ("content", "kind", "reason"),
    [
        ("a: &x [1]\nb: *x\n", "text/yaml", "aliases"),
        ("hosts: 7", "text/yaml", "must be a list"),
        ("[" * 1_200, "text/yaml", "cannot be read"),
        ("name,name\na,b\n", "text/csv", "twice"),
        ("name\n", "text/csv", "no hosts"),
        ('name\n"a', "text/csv", "line 2"),
        ('[{"nam": "x"}]', "application/json", "'nam' is no attribute"),
        ("[7]", "application/json", "not an object"),
    ],
)
async def test_what_is_no_inventory_is_refused(api: Api, content: str, kind: str, reason: str) -> None:
    """A file that cannot be read says why."""
    status, name, message = error_of(await uploaded(api, content, kind))

    assert (status, name) == (400, "HostsNotRegistered")
    assert reason in message


async def test_only_administrators_upload_and_only_files(api: Api, member: Api) -> None:
    """A member may not register hosts; another media type is none that is understood."""
    assert error_of(await uploaded(member, CSV, "text/csv"))[:2] == (403, "PolicyNotAuthorized")
    assert error_of(await uploaded(api, CSV, "image/png"))[:2] == (415, "HTTPUnsupportedMediaType")
    assert error_of(await member.post("/ncms", {"ncm": {"uri": "http://x:1"}}))[0] == 403


async def test_a_manager_serves_as_many_hosts_as_it_can(api: Api) -> None:
    """Another host than its capacity is refused, and so is a capacity below what it serves, or its end."""
    ncm = await api.made("ncm", uri="http://ncm:9014", capacity=1)
    host = await a_host(api, "n1", "192.0.2.1", ncm_id=ncm["id"])
    other = await a_host(api, "n2", "192.0.2.2")

    full = await api.put(f"/hosts/{other['id']}", {"host": {"ncm_id": ncm["id"]}})
    assert error_of(full)[:2] == (409, "NcmFull")
    assert error_of(await api.delete(f"/ncms/{ncm['id']}"))[:2] == (409, "NcmInUse")
    await api.put(f"/hosts/{host['id']}", {"host": {"ncm_id": None}})
    assert (await api.put(f"/hosts/{other['id']}", {"host": {"ncm_id": ncm["id"]}})).status_code == 200
    await api.put(f"/ncms/{ncm['id']}", {"ncm": {"capacity": 2}})
    await api.put(f"/hosts/{host['id']}", {"host": {"ncm_id": ncm["id"]}})
    assert error_of(await api.put(f"/ncms/{ncm['id']}", {"ncm": {"capacity": 1}}))[:2] == (409, "NcmFull")
    for one in (host, other):
        assert (await api.delete(f"/hosts/{one['id']}")).status_code == 204
    assert (await api.delete(f"/ncms/{ncm['id']}")).status_code == 204
    assert (await api.post("/ncms", {"ncm": {"uri": "http://ncm:9014"}})).status_code == 201


async def test_a_manager_is_registered_once(api: Api) -> None:
    """A URI is registered once, must be one, and a host names a manager that is there."""
    first = await api.made("ncm", uri="http://ncm:1")
    assert error_of(await api.post("/ncms", {"ncm": {"uri": "http://ncm:1"}}))[0] == 409
    assert error_of(await api.post("/ncms", {"ncm": {"uri": "ncm"}}))[:2] == (400, "InvalidInput")
    assert (await api.put(f"/ncms/{first['id']}", {"ncm": {"uri": "http://ncm:2"}})).status_code == 200
    await api.made("ncm", uri="http://ncm:1")
    body = {
        "host": {
            "name": "x",
            "vtep_addresses": ["192.0.2.1"],
            "ncm_id": "1" * 8 + "-1111-4111-8111-" + "1" * 12,
        }
    }
    assert error_of(await api.post("/hosts", body))[:2] == (404, "NcmNotFound")


async def test_a_host_is_drained_and_says_what_is_left(api: Api) -> None:
    """What is on a draining host is counted and named; it takes work again when it is told to."""
    host = await a_host(api, "n1", "192.0.2.1")
    network = await api.a_network()
    port = await api.a_port(network["id"], name="web", **{"binding:host_id": "n1"})

    answer = await api.put(f"/hosts/{host['id']}/drain", None)
    left = await api.shown(f"/hosts/{host['id']}/drain")
    await api.delete(f"/v2.0/ports/{port['id']}")

    assert answer.json()["host"]["rotation"] == "draining"
    assert left == {
        "rotation": "draining",
        "ports_left": 1,
        "ports": [{"id": port["id"], "name": "web", "device_id": ""}],
    }
    assert (await api.shown(f"/hosts/{host['id']}/drain"))["ports_left"] == 0
    assert (await api.put(f"/hosts/{host['id']}/undrain", None)).json()["host"]["rotation"] == "in"


async def test_the_ports_of_a_lost_host_are_unbound(api: Api) -> None:
    """Every port of the host is on none and DOWN; those of others stay; then the host can be removed."""
    host, other = await a_host(api, "n1", "192.0.2.1"), await a_host(api, "n2", "192.0.2.2")
    network = await api.a_network()
    ports = [await api.a_port(network["id"], **{"binding:host_id": "n1"}) for _ in range(3)]
    stays = await api.a_port(network["id"], **{"binding:host_id": "n2"})
    assert (await api.delete(f"/hosts/{host['id']}")).status_code == 409

    answer = await api.put(f"/hosts/{host['id']}/evict", None)

    assert answer.json() == {"unbound": 3}
    for port in ports:
        shown = await api.shown(f"/v2.0/ports/{port['id']}")
        assert (shown["binding:host_id"], shown["binding:vif_type"], shown["status"]) == (
            "",
            "unbound",
            "DOWN",
        )
    assert (await api.shown(f"/v2.0/ports/{stays['id']}"))["binding:host_id"] == other["name"]
    assert (await api.delete(f"/hosts/{host['id']}")).status_code == 204
    assert (await api.put(f"/hosts/{host['id']}/evict", None)).status_code == 404
