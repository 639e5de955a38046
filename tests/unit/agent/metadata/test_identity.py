"""What an instance is told of itself by the host."""

import json
from typing import Any

import msgspec
import pytest

from alcor.agent.metadata.identity import find_document
from alcor.goalstate.item import Address, Route
from alcor.goalstate.router_item import FloatingIpItem
from alcor.pipeline.view import View
from tests.support.agent import local_port, network, subnet
from tests.support.desk import PORT, a_desk


def a_view() -> View:
    """PORT, a second port of its instance, and one of another project with the same device."""
    second = local_port(2, device_id="instance", project_id="project", addresses=(Address("six", "fd00::2"),))
    alien = local_port(3, device_id="instance", project_id="alien")
    view = a_desk(second, alien).view
    view.networks["net"].subnets["six"] = subnet(
        "six", cidr="fd00::/64", gateway_ip=None, ipv6_address_mode="slaac"
    )
    view.floating_ips["f"] = FloatingIpItem(
        id="f",
        ip="203.0.113.9",
        mac="",
        network_id="ext",
        router_id="r",
        port_id=PORT.id,
        fixed_ip="10.0.0.5",
    )
    return view


def read(path: str, view: View | None = None) -> Any:
    found = find_document(path, PORT, view or a_view())
    return None if found is None else found.text


MAC_1, MAC_2 = PORT.mac, local_port(2).mac


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/", "latest/\nopenstack/"),
        ("/latest", "meta-data/"),
        ("/latest/", "meta-data/"),
        (
            "/latest/meta-data/",
            "hostname\ninstance-id\nlocal-hostname\nlocal-ipv4\nmac\npublic-ipv4\nnetwork/",
        ),
        ("/latest/meta-data/instance-id", "instance"),
        ("//latest//meta-data/instance-id", "instance"),
        ("/latest/meta-data/local-ipv4", "10.0.0.5"),
        ("/latest/meta-data/public-ipv4", "203.0.113.9"),
        ("/latest/meta-data/mac", MAC_1),
        ("/latest/meta-data/hostname", "vm.vpc.example"),
        ("/latest/meta-data/network/interfaces/macs/", f"{MAC_1}/\n{MAC_2}/"),
        (f"/latest/meta-data/network/interfaces/macs/{MAC_2}/ipv6s", "fd00::2"),
        (f"/latest/meta-data/network/interfaces/macs/{MAC_2}/device-number", "1"),
        (f"/latest/meta-data/network/interfaces/macs/{MAC_1}/subnet-ipv4-cidr-block", "10.0.0.0/24"),
        (f"/latest/meta-data/network/interfaces/macs/{MAC_1}/vpc-id", "net"),
        ("/openstack", "latest/"),
        ("/openstack/latest/", "meta_data.json\nnetwork_data.json"),
        ("/latest/user-data", None),
        ("/latest/meta-data/instance-id/", None),
        ("/latest/meta-data/instance-id/x", None),
        ("/openstack/latest/user_data", None),
        ("/../etc/passwd", None),
    ],
)
def test_documents_and_lists(path: str, text: str | None) -> None:
    """A directory lists its entries, with a slash behind directories; what the host does not know is not there."""
    assert read(path) == text


def test_only_the_instances_own_ports_are_told() -> None:
    """Another project's port that names the same device is not the instance's."""
    assert local_port(3).mac not in read("/latest/meta-data/network/interfaces/macs/")


def test_openstack_identity() -> None:
    """The document that cloud-init reads first."""
    assert json.loads(read("/openstack/latest/meta_data.json")) == {
        "uuid": "instance",
        "name": "my vm",
        "hostname": "vm.vpc.example",
        "project_id": "project",
        "launch_index": 0,
        "meta": {},
    }


def test_openstack_network() -> None:
    """Links, how each gets its address, and name servers: ours, where a subnet names none."""
    found = json.loads(read("/openstack/latest/network_data.json"))

    assert [(link["ethernet_mac_address"], link["mtu"]) for link in found["links"]] == [
        (MAC_1, 1450),
        (MAC_2, 1450),
    ]
    assert [(each["type"], each["link"]) for each in found["networks"]] == [
        ("ipv4_dhcp", "tapport-1"),
        ("ipv6_slaac", "tapport-2"),
    ]
    assert [service["address"] for service in found["services"]] == ["169.254.169.254", "fe80::a9fe:a9fe"]


def test_a_subnet_without_dhcp_tells_addresses_and_routes() -> None:
    """A guest can then be configured from the document alone."""
    view = a_view()
    routes = (Route("192.0.2.0/24", "10.0.0.3"),)
    view.networks["net"].subnets["subnet"] = subnet(enable_dhcp=False, host_routes=routes)

    (found, _) = json.loads(read("/openstack/latest/network_data.json", view))["networks"]

    assert (found["type"], found["ip_address"], found["netmask"]) == ("ipv4", "10.0.0.5", "255.255.255.0")
    assert found["routes"] == [
        {"network": "0.0.0.0", "netmask": "0.0.0.0", "gateway": "10.0.0.1"},
        {"network": "192.0.2.0", "netmask": "255.255.255.0", "gateway": "10.0.0.3"},
    ]


def test_a_port_without_device_is_its_own_instance() -> None:
    """Machines that no compute service made have an identity too, and share it with nobody."""
    port = msgspec.structs.replace(PORT, device_id="")
    view = a_desk(local_port(2)).view
    view.ports[port.id] = port

    def text(path: str) -> str | None:
        found = find_document(path, port, view)
        return None if found is None else found.text

    assert text("/latest/meta-data/instance-id") == "port-1"
    assert text("/latest/meta-data/network/interfaces/macs/") == f"{MAC_1}/"


def test_without_a_region_the_rest_is_told() -> None:
    """What is missing of the region costs the names only."""
    view = a_view()
    view.region = None

    assert read("/latest/meta-data/hostname", view) == "vm"
    assert json.loads(read("/openstack/latest/network_data.json", view))["services"] == []


def test_the_network_is_that_of_the_port() -> None:
    """The MTU is the network's."""
    view = a_view()
    view.networks["net"].network = network(mtu=8950)

    assert {
        link["mtu"] for link in json.loads(read("/openstack/latest/network_data.json", view))["links"]
    } == {8950}
