"""Services of other projects under several writers and failures halfway: firewalls, BGP, taps, VPNs, chains."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from alcor.model.bgpvpn import NetworkAssociation
from alcor.model.errors import Conflict, InUse, InvalidInput
from alcor.model.firewall import FirewallGroup
from alcor.model.port_chain import PortPairGroup
from alcor.model.tap import TapFlow, TapMirror, TapService
from alcor.store.interface import Condition, Query
from tests.support.managers import MEMBER, Broken, Counting, Desk

Request = Callable[[Desk], Awaitable[Any]]


@pytest.fixture
async def guest(desk: Desk) -> Any:
    """An instance's port, on host-1."""
    await desk.create("host", name="host-1", vtep_addresses=["192.0.2.1"])
    network = await desk.create("network")
    return await desk.create(
        "port", network_id=network.id, binding_host_id="host-1", device_owner="compute:nova", device_id="vm"
    )


async def _twice(first: Awaitable[Any], second: Awaitable[Any]) -> tuple[list[Any], list[BaseException]]:
    """Two requests at once: what came of those that were done, and the errors of the others."""
    found = await asyncio.gather(first, second, return_exceptions=True)
    done = [one for one in found if not isinstance(one, BaseException)]
    return done, [one for one in found if isinstance(one, BaseException)]


async def _steps(desk: Desk, request: Request) -> int:
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


async def test_of_two_firewall_groups_that_want_a_port_one_gets_it(desk: Desk, guest: Any) -> None:
    """And the project has one default group, whoever makes it."""
    done, refused = await _twice(
        desk.create("firewall_group", ports=[guest.id]), desk.create("firewall_group", ports=[guest.id])
    )
    assert ([row.ports for row in done], [type(one) for one in refused]) == ([(guest.id,)], [InUse])
    default = await desk.store.reader.list(FirewallGroup, Query((Condition("name", ("default",)),)))
    assert len(default) == 1


async def test_of_two_mirrors_that_want_a_tunnel_one_gets_it(desk: Desk, guest: Any) -> None:
    """Its number is no other's."""
    said: dict[str, Any] = {"port_id": guest.id, "remote_ip": "192.0.2.9", "mirror_type": "gre"}
    done, refused = await _twice(
        desk.create("tap_mirror", directions={"IN": 5}, **said),
        desk.create("tap_mirror", directions={"OUT": 5}, **said),
    )
    assert (len(done), [type(one) for one in refused]) == (1, [Conflict])


async def test_of_two_groups_that_want_a_pair_one_gets_it(desk: Desk, guest: Any) -> None:
    """Their numbers are their own."""
    pair = await desk.create("port_pair", ingress=guest.id, egress=guest.id)
    done, refused = await _twice(
        desk.create("port_pair_group", port_pairs=[pair.id]),
        desk.create("port_pair_group", port_pairs=[pair.id]),
    )
    assert (len(done), [type(one) for one in refused]) == (1, [InUse])
    await desk.create("port_pair_group")
    groups = await desk.store.reader.list(PortPairGroup)
    assert len({group.group_id for group in groups}) == len(groups) == 2


async def test_a_network_is_in_a_vpn_once_whoever_puts_it_there(desk: Desk, guest: Any) -> None:
    """Of two associations one is made."""
    vpn = await desk.create("bgpvpn")
    done, refused = await _twice(
        desk.create_part("network_association", vpn, network_id=guest.network_id),
        desk.create_part("network_association", vpn, network_id=guest.network_id),
    )
    assert (len(done), [type(one) for one in refused]) == (1, [InvalidInput])
    assert len(await desk.store.reader.list(NetworkAssociation)) == 1


async def test_a_failure_at_any_step_leaves_nothing_half_done(desk: Desk, guest: Any) -> None:
    """A first firewall group with its project's default one; a mirror; a chain with all it is made of; the port that
    takes its taps and its place in a group with it."""
    assert await _steps(desk, lambda desk: desk.create("firewall_group", ports=[guest.id])) > 10
    mirror = {"remote_ip": "192.0.2.9", "mirror_type": "gre", "directions": {"IN": 1, "OUT": 2}}
    assert await _steps(desk, lambda desk: desk.create("tap_mirror", port_id=guest.id, **mirror)) > 3
    service = await desk.create("tap_service", port_id=guest.id)
    await desk.create("tap_flow", tap_service_id=service.id, source_port=guest.id, direction="IN")
    other = await desk.create("port", network_id=guest.network_id, device_id="vm")
    pair = await desk.create("port_pair", ingress=other.id, egress=other.id)
    assert await _steps(desk, lambda desk: desk.create("port_pair_group", port_pairs=[pair.id])) > 4
    [group] = await desk.store.reader.list(PortPairGroup)
    flow = await desk.create("flow_classifier", protocol="tcp")
    chain = {"port_pair_groups": [group.id], "flow_classifiers": [flow.id]}
    assert await _steps(desk, lambda desk: desk.create("port_chain", **chain)) > 6

    assert await _steps(desk, lambda desk: desk.delete(guest)) > 10
    for entity in (TapService, TapFlow, TapMirror):
        assert await desk.store.reader.list(entity) == []
    assert [one.ports for one in await desk.store.reader.list(FirewallGroup)] == [(), ()]


async def test_a_member_who_deletes_his_port_needs_no_other_right(desk: Desk) -> None:
    """What an administrator did with it goes as well."""
    mine = desk.as_caller(MEMBER)
    port = await mine.create("port", network_id=(await mine.create("network")).id)
    await desk.create(
        "tap_mirror", port_id=port.id, remote_ip="192.0.2.9", mirror_type="gre", directions={"BOTH": 3}
    )
    await mine.delete(port)
    assert await desk.store.reader.list(TapMirror) == []
    assert await desk.owners("tap_tunnel", ["3"]) == {}
