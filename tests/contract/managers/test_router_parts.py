"""Conntrack helpers and NDP proxies of routers."""

from dataclasses import dataclass
from typing import Any

import pytest

from alcor.model.conntrack_helper import ConntrackRule
from alcor.model.errors import Conflict, InvalidInput, NotFound, Problem
from alcor.model.ndp_proxy import NdpProxy
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.model.router import Router
from alcor.model.subnet import Subnet
from tests.support.managers import STRANGER, Desk

_FTP: dict[str, Any] = {"helper": "ftp", "protocol": "tcp", "port": 21}


async def test_a_helper_is_shown_by_its_router_and_goes_with_it(desk: Desk) -> None:
    """The router shows protocol, port and helper; deleting it takes the helpers along."""
    router = await desk.create("router")
    row = await desk.create_part("conntrack_helper", router, **_FTP)

    shown = (await desk.computed("router", "conntrack_helpers", [router]))[router.id]
    assert shown == [_FTP]
    assert row.project_id == router.project_id
    await desk.delete(router)
    assert await desk.store.reader.list(ConntrackRule) == []


async def test_a_helper_is_one_that_is_allowed(desk: Desk) -> None:
    """Unknown helpers, and protocols a helper does not read, are refused with types of their own."""
    router = await desk.create("router")
    with pytest.raises(InvalidInput, match="is not allowed") as unknown:
        await desk.create_part("conntrack_helper", router, **_FTP | {"helper": "foo"})
    assert unknown.value.problem is Problem.HELPER_NOT_ALLOWED
    with pytest.raises(InvalidInput, match="Supported protocols are: tcp") as protocol:
        await desk.create_part("conntrack_helper", router, **_FTP | {"protocol": "udp"})
    assert protocol.value.problem is Problem.HELPER_PROTOCOL


async def test_a_helper_is_there_once(desk: Desk) -> None:
    """The same again is refused, also by an update; what was left or deleted is free again."""
    router = await desk.create("router")
    row = await desk.create_part("conntrack_helper", router, **_FTP)
    other = await desk.create_part("conntrack_helper", router, **_FTP | {"port": 2121})

    with pytest.raises(InvalidInput, match="duplicate conntrack helper") as refused:
        await desk.create_part("conntrack_helper", router, **_FTP)
    assert refused.value.problem is Problem.BAD_REQUEST
    with pytest.raises(InvalidInput, match="duplicate"):
        await desk.update(other, port=21)
    await desk.update(row, port=2122)
    assert (await desk.update(other, port=21)).port == 21
    await desk.delete(other)
    await desk.update(row, port=21)
    await desk.create_part("conntrack_helper", await desk.create("router"), **_FTP)


@dataclass
class Scoped:
    """An external and an inner IPv6 network of one address scope, a router between, and an inner port."""

    desk: Desk
    outside: Network
    subnet: Subnet
    router: Router
    port: Port

    async def proxy(self, **said: Any) -> NdpProxy:
        """A proxy for the port."""
        values = {"router_id": self.router.id, "port_id": self.port.id} | said
        made: NdpProxy = await self.desk.create("ndp_proxy", **values)
        return made


async def a_scoped_network(desk: Desk, pool: Any, **said: Any) -> tuple[Network, Subnet]:
    """A network with an IPv6 subnet cut from a pool."""
    network = await desk.create("network", **said)
    subnet = await desk.create("subnet", network_id=network.id, ip_version=6, subnetpool_id=pool.id)
    return network, subnet


@pytest.fixture
async def pool(desk: Desk) -> Any:
    scope = await desk.create("address_scope", name="six", ip_version=6)
    return await desk.create(
        "subnetpool", name="six", prefixes=["2001:db8::/48"], default_prefixlen=64, address_scope_id=scope.id
    )


@pytest.fixture
async def scoped(desk: Desk, pool: Any) -> Scoped:
    outside, _ = await a_scoped_network(desk, pool, router_external=True)
    inner, subnet = await a_scoped_network(desk, pool)
    router = await desk.create(
        "router", external_gateway_info={"network_id": outside.id}, enable_ndp_proxy=True
    )
    await desk.act(router, "add_router_interface", subnet_id=subnet.id)
    port = await desk.create("port", network_id=inner.id)
    return Scoped(desk, outside, subnet, router, port)


async def test_proxies_need_a_gateway_of_an_address_scope(desk: Desk, pool: Any) -> None:
    """Without a gateway, an address scope or IPv6 outside, a router cannot answer."""
    plain = await desk.create("network", router_external=True)
    await desk.create("subnet", network_id=plain.id, ip_version=6, cidr="2001:db8:ffff::/64")
    with pytest.raises(Conflict, match="it has no external gateway") as refused:
        await desk.create("router", enable_ndp_proxy=True)
    assert refused.value.problem is Problem.GATEWAY_NOT_VALID
    with pytest.raises(Conflict, match="has no IPv6 address scope"):
        await desk.create("router", external_gateway_info={"network_id": plain.id}, enable_ndp_proxy=True)
    scoped, _ = await a_scoped_network(desk, pool, router_external=True)
    router = await desk.create("router", external_gateway_info={"network_id": scoped.id})
    assert (await desk.update(router, enable_ndp_proxy=True)).enable_ndp_proxy
    with pytest.raises(Conflict, match="gateway will be unset"):
        await desk.update(router, external_gateway_info=None, enable_ndp_proxy=True)
    assert not (await desk.update(router, external_gateway_info=None)).enable_ndp_proxy


async def test_a_proxy_is_for_an_address_of_the_port(scoped: Scoped) -> None:
    """The first that the router reaches, or the one named, which must be the port's."""
    row = await scoped.proxy(name="web")
    assert (row.ip_address, row.name) == (scoped.port.fixed_ips[0].ip_address, "web")
    with pytest.raises(InvalidInput, match="not belong to the port") as refused:
        await scoped.proxy(ip_address="2001:db8::77")
    assert refused.value.problem is Problem.NDP_PROXY_ADDRESS
    assert (await scoped.desk.update(row, name="mail")).name == "mail"


async def test_a_proxy_needs_a_router_that_answers_and_reaches(scoped: Scoped) -> None:
    """A router on another network, or that is not to answer, is refused; others' routers are not found."""
    desk = scoped.desk
    lonely = await desk.create("network")
    await desk.create("subnet", network_id=lonely.id, ip_version=6, cidr="2001:db8:ffff::/64")
    port = await desk.create("port", network_id=lonely.id)
    with pytest.raises(Conflict) as unreachable:
        await scoped.proxy(port_id=port.id)
    assert unreachable.value.problem is Problem.NDP_PROXY_UNREACHABLE
    await desk.update(scoped.router, enable_ndp_proxy=False)
    with pytest.raises(Conflict) as disabled:
        await scoped.proxy()
    assert disabled.value.problem is Problem.NDP_PROXY_DISABLED
    with pytest.raises(NotFound, match="Router"):
        await desk.as_caller(STRANGER).create("ndp_proxy", router_id=scoped.router.id, port_id=scoped.port.id)


async def test_a_proxy_stays_in_its_address_scope(scoped: Scoped) -> None:
    """Packets go untranslated, so both networks must be of one scope."""
    desk = scoped.desk
    other = await desk.create("network")
    subnet = await desk.create("subnet", network_id=other.id, ip_version=6, cidr="2001:db8:ffff::/64")
    await desk.act(scoped.router, "add_router_interface", subnet_id=subnet.id)
    port = await desk.create("port", network_id=other.id)
    with pytest.raises(Conflict) as refused:
        await scoped.proxy(port_id=port.id)
    assert refused.value.problem is Problem.NDP_PROXY_SCOPE


async def test_a_proxy_keeps_gateway_and_interface(scoped: Scoped) -> None:
    """Each is refused with its own type until the proxy, or its port, is gone."""
    await scoped.proxy()
    with pytest.raises(Conflict) as gateway:
        await scoped.desk.update(scoped.router, external_gateway_info=None)
    assert gateway.value.problem is Problem.GATEWAY_IN_USE_BY_NDP_PROXY
    with pytest.raises(Conflict) as interface:
        await scoped.desk.act(scoped.router, "remove_router_interface", subnet_id=scoped.subnet.id)
    assert interface.value.problem is Problem.INTERFACE_IN_USE_BY_NDP_PROXY
    await scoped.desk.delete(scoped.port)
    assert await scoped.desk.store.reader.list(NdpProxy) == []
    await scoped.desk.act(scoped.router, "remove_router_interface", subnet_id=scoped.subnet.id)


async def test_an_answering_gateway_keeps_ipv6(scoped: Scoped) -> None:
    """Its addresses may change, but not to IPv4 alone."""
    four = await scoped.desk.create(
        "subnet", network_id=scoped.outside.id, ip_version=4, cidr="203.0.113.0/24"
    )
    info = {"network_id": scoped.outside.id, "external_fixed_ips": [{"subnet_id": four.id}]}
    with pytest.raises(Conflict) as refused:
        await scoped.desk.update(scoped.router, external_gateway_info=info)
    assert refused.value.problem is Problem.IPV6_GATEWAY_IN_USE
