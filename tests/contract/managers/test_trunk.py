"""The Trunk Manager on a real store: two writers, failures halfway, the status of what hosts said."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from alcor.model.errors import InUse, Problem
from alcor.model.host import Host
from alcor.model.port import Port, extra_of
from alcor.model.trunk import Trunk
from alcor.store.interface import Condition, HostObservation, PortObservation, Query
from tests.support.managers import Broken, Counting, Desk


@pytest.fixture
async def ports(desk: Desk) -> list[Port]:
    """Four ports of one network, on host-1."""
    await desk.create("host", name="host-1", vtep_addresses=["192.0.2.1"])
    network = await desk.create("network")
    return await desk.create_many("port", [{"network_id": network.id, "binding_host_id": "host-1"}] * 4)


def tagged(port: Port, tag: int) -> dict[str, Any]:
    """A subport as a client says it."""
    return {"port_id": port.id, "segmentation_type": "vlan", "segmentation_id": tag}


async def test_of_two_trunks_that_want_a_port_one_gets_it(desk: Desk, ports: list[Port]) -> None:
    """Also if both ask at once, and whatever the port would be there."""
    first, second, third, fourth = ports
    outcomes = await asyncio.gather(
        desk.create("trunk", port_id=first.id, sub_ports=[tagged(third, 1)]),
        desk.create("trunk", port_id=second.id, sub_ports=[tagged(third, 1), tagged(fourth, 2)]),
        desk.create("trunk", port_id=third.id),
        return_exceptions=True,
    )

    assert [type(one) for one in outcomes].count(Trunk) == 1
    refused = [one for one in outcomes if isinstance(one, InUse)]
    assert {one.problem for one in refused} <= {Problem.TRUNK_PORT_IN_USE, Problem.PARENT_PORT_IN_USE}
    assert len(refused) == 2


async def test_a_failure_at_any_step_leaves_no_half_trunk(desk: Desk, ports: list[Port]) -> None:
    """Trunk and ports change together: made, grown, shrunk, deleted."""
    parent, first, second, _ = ports
    made: dict[str, Any] = {}

    async def create(desk: Desk) -> None:
        made["trunk"] = await desk.create("trunk", port_id=parent.id, sub_ports=[tagged(first, 1)])

    async def grow(desk: Desk) -> None:
        await desk.act(made["trunk"], "add_subports", sub_ports=[tagged(second, 2)])

    async def shrink(desk: Desk) -> None:
        await desk.act(made["trunk"], "remove_subports", sub_ports=[{"port_id": first.id}])

    async def delete(desk: Desk) -> None:
        await desk.delete(made["trunk"])

    for request, marked in ((create, 2), (grow, 3), (shrink, 2), (delete, 0)):
        assert await _fail_each_step(desk, request) > 2
        now = await desk.store.reader.find_many(Port, [port.id for port in ports])
        assert sum(extra_of(port).trunk_id is not None for port in now.values()) == marked


async def _fail_each_step(desk: Desk, request: Callable[[Desk], Awaitable[None]]) -> int:
    """Fail `request` at each of its calls in turn; nothing may be left. Returns: the number of calls."""
    for step in range(1, 200):
        before = desk.dump()
        desk.wrap = lambda tx, step=step: Counting(tx, step)  # type: ignore[misc]  # mypy takes no default in a lambda
        try:
            await request(desk)
        except Broken:
            assert desk.dump() == before
            continue
        finally:
            desk.wrap = lambda tx: tx
        return step - 1
    raise AssertionError("the request never came to its end")


async def test_a_trunk_is_active_if_its_ports_are(desk: Desk, ports: list[Port]) -> None:
    """All of them, as their host says."""
    parent, child, _, _ = ports
    trunk = await desk.create("trunk", port_id=parent.id, sub_ports=[tagged(child, 1)])
    [host] = await desk.store.reader.list(Host)

    async def status() -> Any:
        return (await desk.computed("trunk", "status", [trunk]))[trunk.id]

    assert await status() == "DOWN"
    heard = HostObservation(host.id, True, 1)
    await desk.store.observations.put([PortObservation(parent.id, host.id, "ACTIVE")], [heard], term=0)
    assert await status() == "DOWN"
    await desk.store.observations.put([PortObservation(child.id, host.id, "ACTIVE")], [heard], term=0)
    assert await status() == "ACTIVE"


async def test_a_subport_is_found_by_its_port(desk: Desk, ports: list[Port]) -> None:
    """By an index, however many trunks there are."""
    parent, child, other, _ = ports
    trunk = await desk.create("trunk", port_id=parent.id, sub_ports=[tagged(child, 1)])
    await desk.create("trunk", port_id=other.id)

    found = await desk.store.reader.list(Trunk, Query((Condition("sub_ports.port_id", (child.id,)),)))
    assert [one.id for one in found] == [trunk.id]
