"""openstacksdk, unmodified, against `alcor up`."""

from collections.abc import Iterator
from typing import Any

import openstack
import pytest
from openstack import exceptions

from alcor.lab.region import RegionProcess
from tests.support.region import running_region

pytestmark = [
    pytest.mark.compat,
    # The client's own libraries warn about each other; what they do is what is tested here.
    pytest.mark.filterwarnings("ignore"),
]


@pytest.fixture(scope="module")
def region(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RegionProcess]:
    """One region for all tests of this file."""
    with running_region(tmp_path_factory.mktemp("region")) as region:
        yield region


@pytest.fixture
def network_api(region: RegionProcess) -> Iterator[Any]:
    """The SDK's network proxy; every resource a test made is removed after it."""
    connection = openstack.connect(
        load_yaml_config=False,
        load_envvars=False,
        auth_type="admin_token",
        auth={"endpoint": region.endpoint, "token": region.token},
    )
    yield connection.network
    for port in connection.network.ports():
        connection.network.delete_port(port)
    for network in connection.network.networks():
        connection.network.delete_network(network)
    connection.close()


def test_sdk_creates_finds_updates_and_deletes(network_api: Any) -> None:
    """The SDK's calls for networks, subnets and ports work."""
    network = network_api.create_network(name="red")
    subnet = network_api.create_subnet(network_id=network.id, ip_version=4, cidr="10.2.0.0/24", name="red-4")
    port = network_api.create_port(network_id=network.id, name="vm-1")

    assert network_api.find_network("red").id == network.id
    assert network_api.get_network(network.id).subnet_ids == [subnet.id]
    assert port.fixed_ips[0]["subnet_id"] == subnet.id
    assert port.binding_vif_type == "unbound"

    changed = network_api.update_port(port.id, name="vm-2", description="renamed")

    assert (changed.name, changed.description) == ("vm-2", "renamed")
    assert changed.revision_number == port.revision_number + 1
    network_api.delete_port(port, ignore_missing=False)
    with pytest.raises(exceptions.NotFoundException):
        network_api.get_port(port.id)


def test_sdk_creates_ports_in_bulk_and_pages_through_them(network_api: Any) -> None:
    """A bulk create makes all ports; lists come in pages and lose nothing."""
    network = network_api.create_network(name="red")
    network_api.create_subnet(network_id=network.id, ip_version=4, cidr="10.3.0.0/24")
    made = list(network_api.create_ports([{"network_id": network.id, "name": f"vm-{n}"} for n in range(25)]))

    listed = list(network_api.ports(network_id=network.id, limit=10))

    assert len(made) == 25
    assert sorted(port.id for port in listed) == sorted(port.id for port in made)
    assert len({port.fixed_ips[0]["ip_address"] for port in made}) == 25


def test_a_port_bound_to_no_host_fails_to_bind_and_says_so(network_api: Any) -> None:
    """`binding:host_id` that names no host gives vif_type binding_failed."""
    network = network_api.create_network(name="red")

    port = network_api.create_port(network_id=network.id, binding_host_id="no-such-host")

    assert port.binding_vif_type == "binding_failed"
    assert port.status == "DOWN"


def test_sdk_recognises_the_errors(network_api: Any) -> None:
    """Conflicts and bad input become the SDK's own exceptions with our message."""
    network = network_api.create_network(name="red")
    network_api.create_subnet(network_id=network.id, ip_version=4, cidr="10.4.0.0/24")

    with pytest.raises(exceptions.BadRequestException, match=r"10\.4\.0\.0/25"):
        network_api.create_subnet(network_id=network.id, ip_version=4, cidr="10.4.0.0/25")
    network_api.create_port(network_id=network.id, fixed_ips=[{"ip_address": "10.4.0.9"}])
    with pytest.raises(exceptions.ConflictException, match=r"10\.4\.0\.9"):
        network_api.create_port(network_id=network.id, fixed_ips=[{"ip_address": "10.4.0.9"}])
