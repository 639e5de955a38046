"""Local IPs and their associations."""

from typing import Any

import pytest

from alcor.model.errors import Conflict, InUse, InvalidInput, Problem
from alcor.model.local_ip import LOCAL_IP_OWNER, LocalIpAssociation
from alcor.model.network import Network
from alcor.model.port import Port
from tests.support.managers import PROJECT, STRANGER, Desk


@pytest.fixture
async def network(desk: Desk) -> Network:
    found: Network = await desk.create("network")
    await desk.create("subnet", network_id=found.id, ip_version=4, cidr="10.0.0.0/24")
    return found


async def test_a_local_ip_takes_an_address_of_a_network(desk: Desk, network: Network) -> None:
    """A port of its own has it, which goes with it and not alone."""
    row = await desk.create("local_ip", network_id=network.id, local_ip_address="10.0.0.50")

    assert (row.local_ip_address, row.network_id, row.ip_mode) == ("10.0.0.50", network.id, "translate")
    port = await desk.store.reader.find(Port, row.local_port_id)
    assert port is not None
    assert (port.device_owner, port.device_id, port.project_id) == (LOCAL_IP_OWNER, row.id, PROJECT)
    with pytest.raises(InUse) as refused:
        await desk.delete(port)
    assert refused.value.problem is Problem.PORT_OF_SERVICE
    await desk.delete(row)
    assert await desk.store.reader.list(Port) == []


async def test_a_local_ip_may_be_an_address_of_a_port(desk: Desk, network: Network) -> None:
    """The port stays when it goes."""
    port = await desk.create("port", network_id=network.id)
    row = await desk.create("local_ip", local_port_id=port.id)
    assert (row.local_ip_address, row.network_id) == (port.fixed_ips[0].ip_address, network.id)
    await desk.delete(row)
    assert await desk.store.reader.find(Port, port.id) is not None


async def test_a_local_ip_needs_a_place(desk: Desk, network: Network) -> None:
    """A port or a network, with an IPv4 address; each lack has its type."""
    two = [{"ip_address": "10.0.0.8"}, {"ip_address": "10.0.0.9"}]
    many = await desk.create("port", network_id=network.id, fixed_ips=two)
    bare = await desk.create("port", network_id=network.id, fixed_ips=[])
    empty = await desk.create("network")
    cases: tuple[tuple[dict[str, Any], Problem], ...] = (
        ({}, Problem.LOCAL_IP_WITHOUT_PLACE),
        ({"local_port_id": many.id}, Problem.LOCAL_IP_MANY_ADDRESSES),
        ({"local_port_id": many.id, "local_ip_address": "10.0.0.7"}, Problem.LOCAL_IP_OTHER_ADDRESS),
        ({"local_port_id": bare.id}, Problem.LOCAL_IP_NO_ADDRESS),
        ({"network_id": empty.id}, Problem.BAD_REQUEST),
    )
    for said, problem in cases:
        with pytest.raises(InvalidInput) as refused:
            await desk.create("local_ip", **said)
        assert refused.value.problem is problem
    with pytest.raises(InvalidInput, match="not found"):
        await desk.as_caller(STRANGER).create("local_ip", local_port_id=bare.id)


async def test_a_local_ip_means_the_ports_associated_with_it(desk: Desk, network: Network) -> None:
    """Each once; it stays while it means one, and a port that goes is forgotten."""
    await desk.create("host", name="host-1", vtep_addresses=["192.0.2.1"])
    row = await desk.create("local_ip", network_id=network.id)
    port = await desk.create("port", network_id=network.id, binding_host_id="host-1")

    made = await desk.create_part("local_ip_association", row, fixed_port_id=port.id)
    assert made.fixed_ip == port.fixed_ips[0].ip_address
    assert (await desk.computed("local_ip_association", "host", [made]))[made.id] == "host-1"
    shown = await desk.computed("local_ip_association", "local_ip_address", [made])
    assert shown[made.id] == row.local_ip_address
    with pytest.raises(Conflict, match="is associated with port"):
        await desk.create_part("local_ip_association", row, fixed_port_id=port.id)
    with pytest.raises(InUse) as used:
        await desk.delete(row)
    assert (used.value.kind, used.value.problem) == ("LocalIP", Problem.GENERIC)
    await desk.delete(port)
    assert await desk.store.reader.list(LocalIpAssociation) == []
    await desk.delete(row)


async def test_an_association_needs_an_address_of_the_port(desk: Desk, network: Network) -> None:
    """One that is not the port's is refused, and so is a port that is not there."""
    row = await desk.create("local_ip", network_id=network.id)
    port = await desk.create("port", network_id=network.id)
    with pytest.raises(InvalidInput) as other:
        await desk.create_part("local_ip_association", row, fixed_port_id=port.id, fixed_ip="10.0.0.99")
    assert other.value.problem is Problem.LOCAL_IP_OTHER_ADDRESS
    with pytest.raises(InvalidInput, match=f"Port {row.id} not found"):
        await desk.create_part("local_ip_association", row, fixed_port_id=row.id)
