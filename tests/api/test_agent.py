"""Agents through the API: rows made from hosts, of which an administrator changes two attributes."""

import msgspec

from alcor.store.interface import HostObservation, Store
from tests.support.api import Api, error_of


async def test_an_agent_is_changed_through_its_host(api: Api, member: Api) -> None:
    """The description and the administrative state of an agent are its host's; the rest cannot be written."""
    host = await api.made("host", name="n1", vtep_addresses=["192.0.2.1"])
    path = f"/v2.0/agents/{host['id']}"

    answer = await api.put(path, {"agent": {"admin_state_up": False, "description": "resting"}})

    assert answer.status_code == 200, answer.text
    changed = answer.json()["agent"]
    assert (changed["admin_state_up"], changed["description"]) == (False, "resting")
    shown = await api.shown(path)
    assert (shown["admin_state_up"], shown["description"], shown["host"]) == (False, "resting", "n1")
    assert error_of(await api.put(path, {"agent": {"host": "n2"}}))[0] == 400
    assert error_of(await member.put(path, {"agent": {"description": ""}}))[0] == 404
    assert (await api.put("/v2.0/agents", {"agents": []})).status_code == 405


async def test_an_agent_shows_what_its_host_has(api: Api, store: Store) -> None:
    """Whether it is heard and all is well, where its tunnels end, of which kinds they may be, and its bridges."""
    host = await api.made(
        "host", name="n1", vtep_addresses=["192.0.2.1"], bridge_mappings={"physnet1": "br-ex"}
    )

    seen = HostObservation(
        host["id"], alive=True, seen_at_ms=1_790_000_000_999, detail="the switch is gone: x"
    )
    await store.observations.put([], [seen], term=0)
    agent = await api.shown(f"/v2.0/agents/{host['id']}")
    assert (agent["alive"], agent["resources_synced"]) == (True, False)
    assert agent["heartbeat_timestamp"] == "2026-09-21 14:13:20"
    await store.observations.put([], [msgspec.structs.replace(seen, detail="")], term=0)
    assert (await api.shown(f"/v2.0/agents/{host['id']}"))["resources_synced"] is True

    configurations = (await api.shown(f"/v2.0/agents/{host['id']}"))["configurations"]

    assert configurations["bridge_mappings"] == {"physnet1": "br-ex"}
    assert configurations["tunnel_types"] == ["vxlan", "geneve", "gre"]
    assert configurations["tunneling_ip"] == "192.0.2.1"
