"""Status of ports and health of hosts: joined from observations."""

from typing import Any

import pytest

from alcor.managers.node.manager import digest
from alcor.managers.port.status import status_of
from alcor.model.errors import Conflict, InUse, InvalidInput, Problem
from alcor.model.host import Host
from alcor.model.port import Port
from alcor.store.interface import HostObservation, PortObservation
from tests.support.managers import Desk

BOUND = Port(
    id="p",
    network_id="n",
    mac_address="06:a1:c0:00:00:01",
    binding_host_id="host-1",
    binding_vif_type="ovs",
    binding_generation=3,
)


def seen(status: str = "ACTIVE", **said: Any) -> PortObservation:
    return PortObservation("p", **{"host_id": "h", "status": status, "binding_generation": 3, **said})


def heard(*, alive: bool = True, detail: str = "") -> HostObservation:
    return HostObservation("h", alive, 1, detail=detail)


@pytest.mark.parametrize("status", ["ACTIVE", "BUILD", "DOWN"])
def test_what_the_bound_host_says_counts(status: str) -> None:
    """Host alive, same host, same binding: its word is the status."""
    assert status_of(BOUND, "h", seen(status), heard()) == status
    assert status_of(BOUND, "h", seen(status), heard(detail="deletions are held: because")) == status


@pytest.mark.parametrize(
    ("port", "host"),
    [
        (None, heard()),
        (seen(), None),
        (seen(), heard(alive=False)),
        (seen(), heard(detail="half is served; the switch is gone: killed")),
        (seen(host_id="other"), heard()),
        (seen(binding_generation=2), heard()),
    ],
    ids=["never seen", "host never heard", "host lost", "switch lost", "another host", "an older binding"],
)
def test_anything_else_is_down(port: PortObservation | None, host: HostObservation | None) -> None:
    """Status is never early."""
    assert status_of(BOUND, "h", port, host) == "DOWN"


async def test_status_follows_observations_and_intent(desk: Desk) -> None:
    """Bound and seen: ACTIVE; administratively down, unbound, re-bound or host lost: DOWN."""
    network = await desk.create("network")
    host = await desk.create("host", name="host-1", vtep_addresses=["192.0.2.1"])
    port = await desk.create("port", network_id=network.id, binding_host_id="host-1")
    loose = await desk.create("port", network_id=network.id)
    failed = await desk.create("port", network_id=network.id, binding_host_id="nowhere")

    async def status(row: Any) -> Any:
        return (await desk.computed("port", "status", [row, loose, failed]))[row.id]

    assert await status(port) == "DOWN"
    await desk.store.observations.put(
        [
            PortObservation(row.id, host.id, "ACTIVE", plugged=True, binding_generation=0)
            for row in (port, loose, failed)
        ],
        [HostObservation(host.id, True, 1)],
        term=0,
    )
    assert await desk.computed("port", "status", [port, loose, failed]) == {
        port.id: "ACTIVE",
        loose.id: "DOWN",
        failed.id: "DOWN",
    }
    down = await desk.update(port, admin_state_up=False)
    assert await status(down) == "DOWN"
    up = await desk.update(port, admin_state_up=True)
    assert await status(up) == "DOWN"
    await desk.store.observations.put(
        [PortObservation(port.id, host.id, "BUILD", binding_generation=2)], [], term=0
    )
    assert await status(up) == "BUILD"
    await desk.store.observations.put([], [HostObservation(host.id, False, 2)], term=0)
    assert await status(up) == "DOWN"


async def test_status_of_no_ports(desk: Desk) -> None:
    """An empty list asks nothing."""
    assert await desk.computed("port", "status", []) == {}


async def test_a_host_is_up_while_its_agent_is_heard(desk: Desk) -> None:
    """Never heard and lost are both DOWN."""
    up, lost, silent = await desk.create_many(
        "host", [{"name": f"host-{n}", "vtep_addresses": [f"192.0.2.{n}"]} for n in (1, 2, 3)]
    )
    await desk.store.observations.put(
        [], [HostObservation(up.id, True, 1), HostObservation(lost.id, False, 1)], term=0
    )

    assert await desk.computed("host", "status", [up, lost, silent]) == {
        up.id: "UP",
        lost.id: "DOWN",
        silent.id: "DOWN",
    }


async def test_health_shows_what_was_observed(desk: Desk) -> None:
    """The agent, its version and position, and each port seen on the host."""
    host = await desk.create("host", name="host-1", vtep_addresses=["192.0.2.1"])
    health = desk.manager("host").children["health"]
    assert (await health(desk.store, desk.caller, host))["health"] == {
        "status": "DOWN",
        "health_state": "DOWN",
        "alive": False,
        "seen_at": None,
        "agent_version": "",
        "realized_revision": 0,
        "detail": "",
        "complaints": ["its agent was never heard"],
        "paths_down": [],
        "reached_by": 0,
        "missed_by": 0,
        "ports": [],
    }

    await desk.store.observations.put(
        [PortObservation("p", host.id, "ACTIVE", True, 7, 40, 2, 1_790_000_000_123.0)],
        [HostObservation(host.id, True, 1_790_000_000_999, "0.1.0", 42, "fine")],
        term=0,
    )

    assert (await health(desk.store, desk.caller, host))["health"] == {
        "status": "UP",
        "health_state": "DEGRADED",
        "alive": True,
        "seen_at": "2026-09-21T14:13:20Z",
        "agent_version": "0.1.0",
        "realized_revision": 42,
        "detail": "fine",
        "complaints": ["fine"],
        "paths_down": [],
        "reached_by": 0,
        "missed_by": 0,
        "ports": [
            {
                "port_id": "p",
                "status": "ACTIVE",
                "plugged": True,
                "ofport": 7,
                "realized_at_ms": 1_790_000_000_123.0,
            }
        ],
    }


async def test_a_hosts_secret_is_shown_once_and_never_stored(desk: Desk) -> None:
    """The answer of the create call has 256 random bits; the row has their digest."""
    [made] = await desk.create_made("host", [{"name": "host-1", "vtep_addresses": ["192.0.2.1"]}])
    secret = made.shown["token"]

    assert isinstance(made.row, Host)
    assert made.row.token_digest == digest(secret)
    assert (len(secret), secret.isascii()) == (43, True)
    assert secret not in repr(desk.dump())


async def test_a_rotated_token_replaces_the_old_one(desk: Desk) -> None:
    """The new secret is in the answer; the old digest is gone."""
    host = await desk.create("host", name="host-1", vtep_addresses=["192.0.2.1"])

    answer = await desk.act(host, "rotate_token")

    stored = await desk.store.reader.find(Host, host.id)
    assert stored is not None
    assert stored.token_digest == digest(answer["token"]) != host.token_digest
    with pytest.raises(InvalidInput, match="force"):
        await desk.act(host, "rotate_token", force=True)


async def test_host_names_and_tunnel_addresses_are_unique(desk: Desk) -> None:
    """Each is refused naming it; both are free again once the host is gone."""
    host = await desk.create("host", name="host-1", vtep_addresses=["192.0.2.1", "2001:db8::1"])

    with pytest.raises(Conflict, match="host-1") as refused:
        await desk.create("host", name="host-1", vtep_addresses=["192.0.2.9"])
    assert refused.value.problem is Problem.NAME_TAKEN
    with pytest.raises(Conflict, match="2001:db8::1"):
        await desk.create("host", name="host-2", vtep_addresses=["2001:db8::1"])

    await desk.delete(host)
    await desk.create("host", name="host-1", vtep_addresses=["2001:db8::1"])


@pytest.mark.parametrize("vteps", [[], ["224.0.0.1"], ["0.0.0.0"], ["::"]])
async def test_a_host_needs_an_address_it_can_have(desk: Desk, vteps: list[str]) -> None:
    """At least one, and none that no machine has."""
    with pytest.raises(InvalidInput):
        await desk.create("host", name="host-1", vtep_addresses=vteps)


async def test_tunnel_addresses_can_change(desk: Desk) -> None:
    """Those given up are free, those of another host are refused."""
    host = await desk.create("host", name="host-1", vtep_addresses=["192.0.2.1", "192.0.2.2"])
    await desk.create("host", name="host-2", vtep_addresses=["192.0.2.9"])

    changed = await desk.update(host, vtep_addresses=["192.0.2.2", "192.0.2.3"], description="rack 4")

    assert (changed.vtep_addresses, changed.description) == (("192.0.2.2", "192.0.2.3"), "rack 4")
    with pytest.raises(Conflict, match=r"192\.0\.2\.9"):
        await desk.update(host, vtep_addresses=["192.0.2.9"])
    await desk.create("host", name="host-3", vtep_addresses=["192.0.2.1"])


async def test_bound_ports_keep_a_host_and_are_named(desk: Desk) -> None:
    """A host goes after its ports."""
    network = await desk.create("network")
    host = await desk.create("host", name="host-1", vtep_addresses=["192.0.2.1"])
    port = await desk.create("port", network_id=network.id, binding_host_id="host-1")

    with pytest.raises(InUse, match=port.id) as refused:
        await desk.delete(host)

    assert (refused.value.kind, refused.value.id) == ("host", host.id)
    await desk.update(port, binding_host_id="")
    await desk.delete(host)
    assert await desk.store.reader.find(Host, host.id) is None
