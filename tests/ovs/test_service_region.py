"""A whole region's services on real switches: what the API was told of a port is what its machine is told."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from alcor.lab.site import Site, running_site
from alcor.lab.vm import Vm
from tests.support.site import a_network, a_subnet, a_vm

pytestmark = pytest.mark.ovs

METADATA = "http://169.254.169.254"


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts for all tests of this file."""
    with running_site(tmp_path_factory.mktemp("site"), "left", "right") as site:
        yield site


def fetch(vm: Vm, url: str) -> str:
    """The body of an HTTP answer, once the service is there."""
    patient = ("--retry", "4", "--retry-all-errors", "--retry-delay", "1", "--max-time", "3")
    return vm.execute("curl", "-sS", "-f", "-g", *patient, url, deadline_s=90)


_ASK = """
import sys, dns.message, dns.query
name, kind, server = sys.argv[1:]
print(dns.query.udp(dns.message.make_query(name, kind), server, timeout=10).to_text())
"""


def ask(vm: Vm, name: str, kind: str = "A", server: str = "169.254.169.254") -> str:
    """What the name server answers, as text."""
    return vm.execute(sys.executable, "-c", _ASK, name, kind, server)


def leased(vm: Vm, folder: Path, *wanted: str) -> dict[str, str]:
    """What udhcpc is told, by the names it has for options."""
    script, said = folder / "say", folder / f"{vm.name}.said"
    script.write_text(f'#!/bin/sh\n[ "$1" = bound ] && env > {said}\nexit 0\n')
    script.chmod(0o755)
    asked = [word for name in wanted for word in ("-O", name)]
    vm.execute(
        "busybox", "udhcpc", "-i", "eth0", "-s", str(script), "-f", "-q", "-n", "-t", "20", "-T", "1", *asked
    )
    return dict(line.partition("=")[::2] for line in said.read_text().splitlines())


def test_a_port_is_told_its_options_name_and_servers(site: Site, tmp_path: Path) -> None:
    """Extra options of the API reach a real client, named and numbered, with the port's name and our name server."""
    network = a_network(site, "told", "10.60.0.0/24", gateway_ip=None)
    options = [
        {"opt_name": "bootfile-name", "opt_value": "pxelinux.0"},
        {"opt_name": "server-ip-address", "opt_value": "10.60.0.9"},
        {"opt_name": "42", "opt_value": "192.0.2.42"},
        {"opt_name": "mtu", "opt_value": "not a number"},
        {"opt_name": "router", "opt_value": ""},
    ]
    vm, port = a_vm(site, "told-1", "left", network, dns_name="told", extra_dhcp_opts=options)

    said = leased(vm, tmp_path, "bootfile", "ntpsrv", "hostname", "domain", "dns", "mtu", "staticroutes")

    assert said["ip"] == port["fixed_ips"][0]["ip_address"]
    assert (said["boot_file"], said["siaddr"], said["ntpsrv"]) == ("pxelinux.0", "10.60.0.9", "192.0.2.42")
    assert (said["hostname"], said["domain"], said["dns"]) == ("told", "openstacklocal", "169.254.169.254")
    assert (said["mtu"], said["staticroutes"]) == ("1450", "169.254.169.254/32 0.0.0.0")


def test_dhcpv6_tells_options_and_names(site: Site, tmp_path: Path) -> None:
    """A real DHCPv6 client is given the address, the port's options, its full name's domain and our name server."""
    network = a_network(
        site, "told6", "fd00:61::/64", ipv6_ra_mode="dhcpv6-stateful", ipv6_address_mode="dhcpv6-stateful"
    )
    options = [{"opt_name": "bootfile-url", "opt_value": "tftp://[fd00::1]/x", "ip_version": 6}]
    vm, port = a_vm(site, "told6-1", "right", network, dns_name="told6", extra_dhcp_opts=options)
    script, said = tmp_path / "say", tmp_path / "said"
    script.write_text(f'#!/bin/sh\n[ "$reason" = BOUND6 ] && env > {said}\nexit 0\n')
    script.chmod(0o755)
    config = tmp_path / "dhcpcd.conf"
    wanted = "option dhcp6_name_servers, dhcp6_domain_search, dhcp6_bootfile_url"
    config.write_text(f"duid\nipv6only\n{wanted}\nscript {script}\n")

    vm.execute("dhcpcd", "--config", str(config), "--oneshot", "--timeout", "15", "--nobackground", "eth0")

    found = dict(line.partition("=")[::2] for line in said.read_text().splitlines())
    assert port["fixed_ips"][0]["ip_address"] in vm.addresses()
    assert found["new_dhcp6_name_servers"].startswith("fe80::a9fe:a9fe")
    assert found["new_dhcp6_domain_search"] == "openstacklocal"
    assert found["new_dhcp6_bootfile_url"] == "tftp://[fd00::1]/x"


def _tenant(site: Site, name: str, host: str) -> tuple[Vm, dict[str, Any]]:
    network = site.client.create("v2.0/networks", "network", name=name, dns_domain=f"{name}.example.")
    a_subnet(site, network, "10.62.0.0/24")
    fixed = [{"ip_address": "10.62.0.50"}]
    return a_vm(
        site, f"{name}-1", host, network, fixed_ips=fixed, dns_name="vm", device_id=f"instance-{name}"
    )


def test_tenants_with_one_address_are_told_apart(site: Site) -> None:
    """On one host two machines with the same address get their own identity and see their own names only."""
    tenants = {name: _tenant(site, name, "left") for name in ("earth", "mars")}

    for name, (vm, _) in tenants.items():
        vm.dhcp()
        document = json.loads(fetch(vm, f"{METADATA}/openstack/latest/meta_data.json"))

        assert fetch(vm, f"{METADATA}/latest/meta-data/instance-id") == f"instance-{name}"
        assert (document["uuid"], document["hostname"]) == (f"instance-{name}", f"vm.{name}.example")
        assert f"vm.{name}.example. 30 IN A 10.62.0.50" in ask(vm, f"vm.{name}.example")
        assert f"PTR vm.{name}.example." in ask(vm, "50.0.62.10.in-addr.arpa", "PTR")


def test_names_cross_hosts(site: Site) -> None:
    """A machine's name is known on the other host of its network, and gone with its port."""
    network = a_network(site, "across", "10.63.0.0/24")
    one, _ = a_vm(site, "across-1", "left", network)
    _, port = a_vm(site, "across-2", "right", network, dns_name="far")
    one.dhcp()
    fetch(one, f"{METADATA}/latest/meta-data/mac")
    address = port["fixed_ips"][0]["ip_address"]

    assert f"far.openstacklocal. 30 IN A {address}" in ask(one, "far.openstacklocal")
    site.client.delete("v2.0/ports", port["id"])
    site.wait("the name to be gone", lambda: "NXDOMAIN" in ask(one, "far.openstacklocal"))
