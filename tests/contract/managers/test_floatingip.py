"""Floating IPs: taken, associated, moved, released with the port; and the pools they are taken from."""

from dataclasses import dataclass
from typing import Any

import pytest

from alcor.managers.interface import Caller, Manager
from alcor.model.errors import Conflict, InUse, InvalidInput, NotFound, Problem
from alcor.model.floatingip import FLOATING_IP_OWNER, FLOATINGIP, FloatingIp
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.router import Router
from alcor.model.subnet import Subnet
from tests.support.managers import MEMBER, OTHER_PROJECT, STRANGER, Desk


@dataclass
class Site:
    """An external network, and a router between it and an inner subnet with one port."""

    desk: Desk
    outside: Network
    router: Router
    subnet: Subnet
    port: Port

    async def floating(self, desk: Desk | None = None, **said: Any) -> FloatingIp:
        """A floating IP of the external network."""
        made: FloatingIp = await (desk or self.desk).create(
            "floatingip", floating_network_id=self.outside.id, **said
        )
        return made

    async def now(self, row: FloatingIp) -> FloatingIp:
        """A floating IP as it is stored now."""
        found = await self.desk.store.reader.find(FloatingIp, row.id)
        assert found is not None
        return found


@pytest.fixture
async def site(desk: Desk) -> Site:
    outside = await desk.create("network", router_external=True)
    await desk.create("subnet", network_id=outside.id, ip_version=4, cidr="203.0.113.0/24")
    inner = await desk.create("network")
    subnet = await desk.create("subnet", network_id=inner.id, ip_version=4, cidr="10.0.0.0/24")
    router = await desk.create("router", external_gateway_info={"network_id": outside.id})
    await desk.act(router, "add_router_interface", subnet_id=subnet.id)
    port = await desk.create("port", network_id=inner.id, name="web")
    return Site(desk, outside, router, subnet, port)


def status_of(row: FloatingIp) -> Any:
    attribute = FLOATINGIP.attribute("status")
    assert attribute is not None
    assert attribute.derive is not None
    return attribute.derive(row)


async def test_a_floating_ip_takes_an_outer_address(site: Site) -> None:
    """A port of no project has it; it stands for nothing yet and is DOWN."""
    row = await site.floating(desk=site.desk.as_caller(MEMBER))

    port = await site.desk.store.reader.find(Port, row.floating_port_id)
    assert port is not None
    assert (port.device_owner, port.device_id, port.project_id) == (FLOATING_IP_OWNER, row.id, "")
    assert [one.ip_address for one in port.fixed_ips] == [row.floating_ip_address]
    assert (row.port_id, row.fixed_ip_address, row.router_id, status_of(row)) == (None, None, None, "DOWN")


async def test_an_address_or_a_subnet_may_be_asked_for(site: Site) -> None:
    """One outside of the network's subnets, or taken, is refused."""
    other = await site.desk.create("subnet", network_id=site.outside.id, ip_version=4, cidr="198.51.100.0/24")
    named = await site.floating(floating_ip_address="203.0.113.99")
    assert named.floating_ip_address == "203.0.113.99"
    assert (await site.floating(subnet_id=other.id)).floating_ip_address.startswith("198.51.100.")
    with pytest.raises(InUse) as taken:
        await site.floating(floating_ip_address="203.0.113.99")
    assert taken.value.problem is Problem.ADDRESS_TAKEN
    with pytest.raises(InvalidInput) as strange:
        await site.floating(floating_ip_address="192.0.2.1")
    assert strange.value.problem is Problem.ADDRESS_NOT_ON_NETWORK


async def test_it_needs_an_external_network_with_ipv4(site: Site) -> None:
    """Inner networks, and external ones with IPv6 only, have no floating IPs."""
    six = await site.desk.create("network", router_external=True)
    await site.desk.create("subnet", network_id=six.id, ip_version=6, cidr="2001:db8::/64")
    for network_id, reason in (
        (site.subnet.network_id, "is not a valid external network"),
        (six.id, "does not contain any IPv4 subnet"),
    ):
        with pytest.raises(InvalidInput, match=reason) as refused:
            await site.desk.create("floatingip", floating_network_id=network_id)
        assert refused.value.problem is Problem.BAD_REQUEST
    with pytest.raises(NotFound, match="Network"):
        await site.desk.create("floatingip", floating_network_id=site.port.id)


async def test_it_is_associated_through_the_router_between(site: Site) -> None:
    """The port's one IPv4 address is meant; the router is found; it shows the port."""
    row = await site.floating(port_id=site.port.id)

    assert (row.port_id, row.fixed_ip_address) == (site.port.id, site.port.fixed_ips[0].ip_address)
    assert (row.router_id, status_of(row)) == (site.router.id, "ACTIVE")
    details = (await site.desk.computed("floatingip", "port_details", [row]))[row.id]
    assert details == {
        "name": "web",
        "network_id": site.port.network_id,
        "mac_address": site.port.mac_address,
        "admin_state_up": True,
        "status": "DOWN",
        "device_id": "",
        "device_owner": "",
    }


async def test_it_moves_and_is_disassociated(site: Site) -> None:
    """To another port, and to none; other changes leave the association alone."""
    row = await site.floating(port_id=site.port.id)
    other = await site.desk.create("port", network_id=site.port.network_id)

    moved = await site.desk.update(row, port_id=other.id)
    assert (moved.port_id, moved.fixed_ip_address) == (other.id, other.fixed_ips[0].ip_address)
    described = await site.desk.update(row, description="mail")
    assert (described.port_id, described.router_id, described.description) == (
        other.id,
        site.router.id,
        "mail",
    )
    free = await site.desk.update(row, port_id=None)
    assert (free.port_id, free.fixed_ip_address, free.router_id) == (None, None, None)


async def test_a_port_the_outside_does_not_reach_is_not_found(site: Site) -> None:
    """No router joins it to the external network; nothing is kept of the request."""
    lonely = await site.desk.create("network")
    await site.desk.create("subnet", network_id=lonely.id, ip_version=4, cidr="10.7.0.0/24")
    port = await site.desk.create("port", network_id=lonely.id)

    with pytest.raises(NotFound, match="is not reachable from subnet") as refused:
        await site.floating(port_id=port.id)
    assert refused.value.problem is Problem.NO_GATEWAY_FOR_FLOATING_IP
    assert await site.desk.store.reader.list(FloatingIp) == []


async def test_an_address_has_one_floating_ip_per_external_network(site: Site) -> None:
    """A second one is refused; saying the same again is not."""
    row = await site.floating(port_id=site.port.id)
    with pytest.raises(InUse) as refused:
        await site.floating(port_id=site.port.id)
    assert refused.value.problem is Problem.FIXED_IP_ASSOCIATED
    assert (await site.desk.update(row, port_id=site.port.id)).port_id == site.port.id


async def test_a_port_with_several_addresses_needs_one_named(site: Site) -> None:
    """And the address must be an IPv4 one of the port."""
    wanted = [{"ip_address": "10.0.0.21"}, {"ip_address": "10.0.0.22"}]
    port = await site.desk.create("port", network_id=site.port.network_id, fixed_ips=wanted)
    cases: tuple[tuple[dict[str, Any], str], ...] = (
        ({}, "has multiple fixed IPv4 addresses"),
        ({"fixed_ip_address": "10.0.0.23"}, "does not have fixed ip"),
        ({"fixed_ip_address": "2001:db8::1"}, "not an IPv4 address"),
    )
    for said, reason in cases:
        with pytest.raises(InvalidInput, match=reason):
            await site.floating(port_id=port.id, **said)
    row = await site.floating(port_id=port.id, fixed_ip_address="10.0.0.22")
    assert row.fixed_ip_address == "10.0.0.22"
    again = await site.desk.update(row, port_id=port.id, fixed_ip_address="10.0.0.21")
    assert again.fixed_ip_address == "10.0.0.21"


async def test_an_address_needs_its_port(site: Site) -> None:
    """`fixed_ip_address` alone is refused, and so is a port without IPv4."""
    with pytest.raises(InvalidInput, match="cannot be specified without a port_id"):
        await site.floating(fixed_ip_address="10.0.0.5")
    bare = await site.desk.create("port", network_id=site.port.network_id, fixed_ips=[])
    with pytest.raises(InvalidInput, match="no fixed IPv4 addresses"):
        await site.floating(port_id=bare.id)


async def test_ports_of_others_are_not_associated(site: Site) -> None:
    """A port of another project is not found, or, where the caller sees it, refused; an administrator may."""
    stranger = site.desk.as_caller(STRANGER)
    with pytest.raises(NotFound, match="Port"):
        await site.floating(stranger, port_id=site.port.id)
    theirs = await site.desk.create("port", network_id=site.port.network_id, project_id=OTHER_PROJECT)
    with pytest.raises(InvalidInput, match="owned by a different project"):
        await site.floating(site.desk.as_caller(MEMBER), port_id=theirs.id)
    assert (await site.floating(port_id=theirs.id)).port_id == theirs.id


async def test_a_router_with_the_gateway_address_comes_first(site: Site) -> None:
    """Of two routers between, the one that other ports' packets leave by."""
    second = await site.desk.create("router", external_gateway_info={"network_id": site.outside.id})
    extra = await site.desk.create("port", network_id=site.port.network_id)
    await site.desk.act(second, "add_router_interface", port_id=extra.id)
    assert (await site.floating(port_id=site.port.id)).router_id == site.router.id


async def test_gateway_and_interface_stay_while_needed(site: Site) -> None:
    """Each is refused with its own type, until the floating IP is disassociated."""
    row = await site.floating(port_id=site.port.id)

    with pytest.raises(Conflict) as gateway:
        await site.desk.update(site.router, external_gateway_info=None)
    assert gateway.value.problem is Problem.GATEWAY_IN_USE_BY_FLOATING_IP
    with pytest.raises(InUse) as interface:
        await site.desk.act(site.router, "remove_router_interface", subnet_id=site.subnet.id)
    assert interface.value.problem is Problem.INTERFACE_IN_USE_BY_FLOATING_IP
    await site.desk.update(row, port_id=None)
    await site.desk.act(site.router, "remove_router_interface", subnet_id=site.subnet.id)
    await site.desk.delete(site.router)


async def test_it_is_released_with_its_port(site: Site) -> None:
    """A port that goes leaves it free."""
    row = await site.floating(port_id=site.port.id)
    await site.desk.delete(site.port)
    free = await site.now(row)
    assert (free.port_id, free.fixed_ip_address, free.router_id) == (None, None, None)


async def test_a_port_with_anothers_floating_ip_stays(site: Site) -> None:
    """Who does not see the floating IP does not take it from its owner."""
    outsider = await site.floating(port_id=site.port.id, project_id=OTHER_PROJECT)
    member = site.desk.as_caller(MEMBER)
    with pytest.raises(InUse) as refused:
        await member.delete(site.port)
    assert refused.value.problem is Problem.FLOATING_IP_OF_OTHERS
    await site.desk.delete(site.port)
    assert (await site.now(outsider)).port_id is None


async def test_an_address_it_stands_for_is_not_taken_from_the_port(site: Site) -> None:
    """The port may get more addresses, but keeps this one."""
    await site.floating(port_id=site.port.id)
    mine = site.port.fixed_ips[0].ip_address
    await site.desk.update(site.port, fixed_ips=[{"ip_address": mine}, {"ip_address": "10.0.0.99"}])
    with pytest.raises(InvalidInput, match="has been associated to floating ip") as refused:
        await site.desk.update(site.port, fixed_ips=[{"ip_address": "10.0.0.99"}])
    assert refused.value.problem is Problem.BAD_REQUEST


async def test_a_deleted_one_gives_its_address_back(site: Site) -> None:
    """Its port goes with it, and not alone."""
    row = await site.floating(port_id=site.port.id, floating_ip_address="203.0.113.50")
    port = await site.desk.store.reader.find(Port, row.floating_port_id)
    assert port is not None
    with pytest.raises(InUse, match="cannot be deleted directly"):
        await site.desk.delete(port)
    await site.desk.delete(row)
    assert await site.desk.store.reader.find(Port, port.id) is None
    assert (await site.floating(floating_ip_address="203.0.113.50")).floating_ip_address == "203.0.113.50"


async def test_free_ones_go_with_their_network(site: Site) -> None:
    """An external network is deleted with floating IPs that stand for nothing, not with others."""
    lonely = await site.desk.create("network", router_external=True)
    await site.desk.create("subnet", network_id=lonely.id, ip_version=4, cidr="198.51.100.0/24")
    await site.desk.create("floatingip", floating_network_id=lonely.id)
    await site.desk.delete(lonely)
    assert await site.desk.store.reader.list(FloatingIp) == []
    await site.floating(port_id=site.port.id)
    with pytest.raises(InUse):
        await site.desk.delete(site.outside)


async def test_pools_are_the_ipv4_subnets_of_external_networks(site: Site) -> None:
    """Those the caller may use, shown as its own."""
    await site.desk.create("subnet", network_id=site.outside.id, ip_version=6, cidr="2001:db8::/64")

    def pools_of(manager: Manager) -> Any:
        assert manager.source is not None
        return manager.source

    source = pools_of(site.desk.manager("floatingip_pool"))
    nobody = Caller("n" * 32, is_admin=False)
    [pool] = await source(site.desk.store, nobody)
    assert (pool.cidr, pool.network_id, pool.project_id) == ("203.0.113.0/24", site.outside.id, "n" * 32)
