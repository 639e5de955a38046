"""Port forwardings: single ports and ranges of a floating IP, and what they keep from going."""

from typing import Any

import pytest

from alcor.model.errors import Conflict, InUse, InvalidInput, NotFound, Problem
from alcor.model.floatingip import FloatingIp
from alcor.model.port_forwarding import PORT_FORWARDING, PortForwarding, PortRange
from tests.contract.managers.test_floatingip import Site, site
from tests.support.managers import STRANGER

__all__ = ["site"]


async def forward(site: Site, outer: FloatingIp, **said: Any) -> PortForwarding:
    """A forwarding to the site's port, of TCP from 80 to 8080 unless said otherwise."""
    values = {
        "internal_port_id": site.port.id,
        "internal_ip_address": site.port.fixed_ips[0].ip_address,
        "protocol": "tcp",
        "external_port": 80,
        "internal_port": 8080,
    } | said
    made: PortForwarding = await site.desk.create_part("port_forwarding", outer, **values)
    return made


def shown(row: PortForwarding, name: str) -> Any:
    attribute = PORT_FORWARDING.attribute(name)
    assert attribute is not None
    assert attribute.derive is not None
    return attribute.derive(row)


async def test_a_forwarding_leads_through_the_router(site: Site) -> None:
    """The floating IP goes through the router between, stands for no port, and shows the forwarding."""
    outer = await site.floating()
    row = await forward(site, outer, description="web")

    assert (shown(row, "external_port"), shown(row, "external_port_range")) == (80, "80:80")
    assert (shown(row, "internal_port"), shown(row, "internal_port_range")) == (8080, "8080:8080")
    after = await site.now(outer)
    assert (after.router_id, after.port_id) == (site.router.id, None)
    [document] = (await site.desk.computed("floatingip", "port_forwardings", [after]))[outer.id]
    assert document == {
        "id": row.id,
        "internal_port_id": site.port.id,
        "internal_ip_address": site.port.fixed_ips[0].ip_address,
        "protocol": "tcp",
        "external_port": 80,
        "external_port_range": "80:80",
        "internal_port": 8080,
        "internal_port_range": "8080:8080",
    }


async def test_ranges_are_as_long_or_lead_to_one_port(site: Site) -> None:
    """N to N and N to 1; a range of several has no single port."""
    outer = await site.floating()
    none: dict[str, Any] = {"external_port": None, "internal_port": None}
    row = await forward(site, outer, **none, external_port_range="100:109", internal_port_range="200:209")
    assert (shown(row, "external_port"), shown(row, "external_port_range")) == (None, "100:109")
    await forward(site, outer, **none, external_port_range="300:309", internal_port_range="400")
    with pytest.raises(InvalidInput, match="must be N-N or 1-N") as refused:
        await forward(site, outer, **none, external_port_range="500:501", internal_port_range="600:609")
    assert refused.value.problem is Problem.BAD_REQUEST


@pytest.mark.parametrize("text", ["", "0", "5:4", "1:65536", "a", "1:2:3", "1:", True, -1])
def test_a_range_is_two_ascending_ports(text: object) -> None:
    """Everything else is refused."""
    with pytest.raises(ValueError, match="port"):
        PortRange().parse(text)


async def test_both_sides_must_be_said(site: Site) -> None:
    """As a port or as a range, which must not contradict one another."""
    outer = await site.floating()
    with pytest.raises(InvalidInput, match="external_port or external_port_range must be specified"):
        await forward(site, outer, external_port=None)
    with pytest.raises(InvalidInput, match="say different things"):
        await forward(site, outer, external_port_range="81:82")


async def test_ports_are_forwarded_once(site: Site) -> None:
    """Overlapping ranges of one protocol collide on either side; another protocol does not."""
    outer, other = await site.floating(), await site.floating()
    await forward(site, outer)
    await forward(site, outer, protocol="UDP")
    with pytest.raises(InvalidInput, match="port collision with the external_port_range"):
        await forward(site, outer, internal_port=9090)
    with pytest.raises(InvalidInput, match="port collision with the internal_port_range"):
        await forward(site, other, external_port=81)


async def test_an_update_is_checked_like_a_new_one(site: Site) -> None:
    """Ports, protocol and description change; what collides is refused and nothing is kept."""
    outer = await site.floating()
    await forward(site, outer)
    row = await forward(site, outer, external_port=81, internal_port=8081)

    changed = await site.desk.update(row, external_port=82, protocol="udp", description="x")
    assert (shown(changed, "external_port"), changed.protocol, changed.description) == (82, "udp", "x")
    await site.desk.update(row, protocol="tcp")
    with pytest.raises(InvalidInput, match="port collision"):
        await site.desk.update(row, external_port=80)
    stored = await site.desk.store.reader.find(PortForwarding, row.id)
    assert stored is not None
    assert stored.external_first == 82


async def test_it_needs_an_address_the_router_reaches(site: Site) -> None:
    """Not the port's, not IPv4, or behind no router of the external network: a bad request."""
    outer = await site.floating()
    for address in ("10.0.0.77", "2001:db8::1"):
        with pytest.raises(InvalidInput, match=r"not suitable|not an IPv4"):
            await forward(site, outer, internal_ip_address=address)
    lonely = await site.desk.create("network")
    await site.desk.create("subnet", network_id=lonely.id, ip_version=4, cidr="10.7.0.0/24")
    port = await site.desk.create("port", network_id=lonely.id)
    said = {"internal_port_id": port.id, "internal_ip_address": port.fixed_ips[0].ip_address}
    with pytest.raises(InvalidInput, match="is not reachable") as refused:
        await forward(site, outer, **said)
    assert refused.value.problem is Problem.BAD_REQUEST
    with pytest.raises(NotFound, match="Port"):
        await forward(Site(site.desk.as_caller(STRANGER), *list(vars(site).values())[1:]), outer)


async def test_a_floating_ip_forwards_or_stands_for_a_port(site: Site) -> None:
    """Never both, neither it nor the port; and it stays while it forwards."""
    outer, other = await site.floating(), await site.floating(port_id=site.port.id)
    with pytest.raises(InUse) as bound:
        await forward(site, outer)
    assert bound.value.problem is Problem.PORT_HAS_FLOATING_IP
    free = await site.desk.create("port", network_id=site.port.network_id)
    said = {"internal_port_id": free.id, "internal_ip_address": free.fixed_ips[0].ip_address}
    with pytest.raises(InUse) as used:
        await forward(site, other, **said)
    assert used.value.problem is Problem.FIXED_IP_ASSOCIATED

    await forward(site, outer, **said)
    for act in (site.desk.delete(outer), site.desk.update(outer, port_id=free.id)):
        with pytest.raises(Conflict) as kept:
            await act
        assert kept.value.problem is Problem.FLOATING_IP_FORWARDS
    with pytest.raises(InUse) as interface:
        await site.desk.act(site.router, "remove_router_interface", subnet_id=site.subnet.id)
    assert interface.value.problem is Problem.INTERFACE_IN_USE_BY_FLOATING_IP


async def test_the_last_forwarding_frees_the_floating_ip(site: Site) -> None:
    """By deletion, by the port going, and by the address leaving the port."""
    outer = await site.floating()
    first, second = await forward(site, outer), await forward(site, outer, external_port=81, internal_port=1)
    await site.desk.delete(first)
    assert (await site.now(outer)).router_id == site.router.id
    await site.desk.delete(second)
    assert (await site.now(outer)).router_id is None

    await forward(site, outer)
    await site.desk.update(site.port, fixed_ips=[{"ip_address": "10.0.0.99"}])
    assert (await site.now(outer)).router_id is None
    await forward(site, outer, internal_ip_address="10.0.0.99")
    await site.desk.delete(site.port)
    assert (await site.now(outer)).router_id is None
    assert await site.desk.store.reader.list(PortForwarding) == []
    await site.desk.delete(outer)
