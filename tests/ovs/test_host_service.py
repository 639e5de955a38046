"""Metadata, names and addresses on a real switch: machines of two tenants with one address, and real clients."""

import asyncio
import json
import sys
from collections.abc import Awaitable, Callable

import pytest

from alcor.agent.metadata.handler import Settings
from alcor.goalstate.item import Address, DhcpOption, LocalPort
from alcor.pipeline.compile import flows
from alcor.pipeline.host_service import SERVER_DEVICE
from alcor.pipeline.view import NetworkView, View
from tests.support.agent import A_HOST, A_REGION, neighbour, network, subnet
from tests.support.service_site import Machine, ServiceHost, a_service_host

pytestmark = [pytest.mark.ovs]

MAC = "02:00:00:00:00:05"
SETTINGS = Settings(SERVER_DEVICE)


def _port(tenant: str) -> LocalPort:
    """Both tenants' port: one MAC, one IPv4 and one IPv6 address."""
    return LocalPort(
        id=f"port-{tenant}",
        network_id=f"net-{tenant}",
        name=f"vm-{tenant}",
        mac=MAC,
        addresses=(Address("s4", "10.0.0.5"), Address("s6", "fd00:1::5")),
        admin_state_up=True,
        port_security_enabled=True,
        groups=(),
        device_id=f"instance-{tenant}",
        project_id=f"project-{tenant}",
        dns_name=f"vm-{tenant}",
        dhcp_options=(DhcpOption(4, "ntp-server", "192.0.2.9"),),
    )


def a_view() -> View:
    """Tenants a and b: a has a gateway, b has none; both have names."""
    view = View(host=A_HOST, region=A_REGION)
    for number, (tenant, gateway) in enumerate((("a", "10.0.0.1"), ("b", None))):
        found = NetworkView(network(f"net-{tenant}", 100 + number, dns_domain=f"{tenant}.example."))
        found.subnets["s4"] = subnet("s4", f"net-{tenant}", gateway_ip=gateway)
        found.subnets["s6"] = subnet(
            "s6",
            f"net-{tenant}",
            cidr="fd00:1::/64",
            gateway_ip=None,
            ipv6_ra_mode="slaac",
            ipv6_address_mode="slaac",
        )
        many = tuple(f"10.0.1.{n}" for n in range(100))
        found.neighbours["web"] = neighbour(9, dns_name="web", ips=(f"10.0.0.{20 + number}", "fd00:1::20"))
        found.neighbours["many"] = neighbour(10, dns_name="many", ips=many)
        view.networks[f"net-{tenant}"] = found
        view.ports[f"port-{tenant}"] = _port(tenant)
    return view


def on_machines(body: Callable[[ServiceHost, Machine, Machine], Awaitable[None]]) -> None:
    """Run with both tenants' machines leased, and the services there."""
    with a_service_host(a_view()) as (host, machines):

        async def leased() -> None:
            for machine in machines.values():
                await asyncio.to_thread(machine.lease)
            patient = ("--retry", "20", "--retry-connrefused", "--retry-delay", "1")
            await asyncio.to_thread(machine.fetch, "http://169.254.169.254/", *patient)
            await body(host, machines["port-a"], machines["port-b"])

        host.run(SETTINGS, leased)


_ASK = """
import sys, dns.message, dns.query
server, name, kind, how = sys.argv[1:]
ask = {"udp": dns.query.udp, "tcp": dns.query.tcp, "both": lambda *a, **k: dns.query.udp_with_fallback(*a, **k)[0]}[how]
sys.stdout.write(ask(dns.message.make_query(name, kind), server, timeout=10).to_text())
"""


async def ask(
    machine: Machine, name: str, kind: str = "A", server: str = "169.254.169.254", how: str = "udp"
) -> str:
    """A machine's resolver at work, as text."""
    return await asyncio.to_thread(machine.execute, sys.executable, "-c", _ASK, server, name, kind, how)


def test_each_tenant_gets_its_own_identity_over_ipv4() -> None:
    """Two instances with one MAC and address, behind a gateway and without one, are told who they are."""

    async def body(host: ServiceHost, a: Machine, b: Machine) -> None:
        for tenant, machine in (("a", a), ("b", b)):
            base = "http://169.254.169.254/latest/meta-data"
            got = [
                await asyncio.to_thread(machine.fetch, f"{base}/{leaf}")
                for leaf in ("instance-id", "local-ipv4")
            ]
            document = await asyncio.to_thread(
                machine.fetch, "http://169.254.169.254/openstack/latest/meta_data.json"
            )

            assert got == [f"instance-{tenant}", "10.0.0.5"]
            assert json.loads(document)["project_id"] == f"project-{tenant}"

    on_machines(body)


def test_over_ipv6_too() -> None:
    """Both IPv6 addresses answer, from a link-local address and from a global one."""

    async def body(host: ServiceHost, a: Machine, b: Machine) -> None:
        for tenant, machine in (("a", a), ("b", b)):
            machine.execute("ip", "addr", "add", "fd00:1::5/64", "dev", "eth0", "nodad")
            machine.execute("ip", "route", "add", "fd00:ec2::254", "dev", "eth0")
            for where in ("[fe80::a9fe:a9fe%25eth0]", "[fd00:ec2::254]"):
                url = f"http://{where}/latest/meta-data/instance-id"

                assert await asyncio.to_thread(machine.fetch, url) == f"instance-{tenant}"

    on_machines(body)


def test_names_are_answered_over_udp_and_tcp() -> None:
    """Own names, negative answers, and a long answer that is cut over UDP and whole over TCP."""

    async def body(host: ServiceHost, a: Machine, b: Machine) -> None:
        assert "web.a.example. 30 IN A 10.0.0.20" in await ask(a, "web.a.example")
        assert "web.b.example. 30 IN A 10.0.0.21" in await ask(b, "web.b.example")
        assert "fd00:1::20" in await ask(a, "web.a.example", "AAAA", "fe80::a9fe:a9fe%eth0")
        assert "PTR web.a.example." in await ask(a, "20.0.0.10.in-addr.arpa", "PTR")
        assert "rcode NXDOMAIN" in await ask(a, "nobody.a.example")
        cut = await ask(a, "many.a.example")
        whole = await ask(a, "many.a.example", how="both")

        assert "TC" in cut
        assert whole.count(" IN A ") == 100

    on_machines(body)


def test_what_vms_are_told_leads_to_the_services() -> None:
    """A lease without gateway has the route to the services' address; nothing else of the host is open there."""

    async def body(host: ServiceHost, a: Machine, b: Machine) -> None:
        assert "169.254.169.254" in b.execute("ip", "route")
        assert host.pair.namespace is not None
        inside = Machine(host.pair.namespace)
        other = await asyncio.create_subprocess_exec(
            *("ip", "netns", "exec", inside.namespace, "busybox", "httpd", "-f", "-p", "8022"),
            *("-h", str(host.pair.folder)),
        )
        try:
            quick = ("--retry", "5", "--retry-connrefused", "--retry-delay", "1")
            assert await asyncio.to_thread(inside.fetch, "http://100.127.128.1:8022/conf.db", *quick)
            for url in ("169.254.169.254:8022/conf.db", "169.254.169.254:9780/", "100.127.128.1:9780/"):
                words = ("-sS", "--max-time", "1", f"http://{url}")
                assert await asyncio.to_thread(b.attempt, "curl", *words) == ""
        finally:
            other.kill()
            await other.wait()

    on_machines(body)


def test_a_restart_of_the_switch_is_survived() -> None:
    """When flows and connections are gone with the switch, both services answer again without anybody's help."""

    async def body(host: ServiceHost, a: Machine, b: Machine) -> None:
        host.pair.kill_vswitchd()
        host.pair.start_vswitchd()
        patient = ("--retry", "30", "--retry-all-errors", "--retry-delay", "1", "--max-time", "2")

        for tenant, machine in (("a", a), ("b", b)):
            url = "http://169.254.169.254/latest/meta-data/instance-id"
            assert await asyncio.to_thread(machine.fetch, url, *patient) == f"instance-{tenant}"
            assert f"web.{tenant}.example. 30 IN A" in await ask(machine, f"web.{tenant}.example")

    on_machines(body)


def test_nothing_differs_afterwards() -> None:
    """The switch has exactly the flows that the view gives."""

    async def body(host: ServiceHost, a: Machine, b: Machine) -> None:
        shown = host.pair.ofctl("dump-flows", host.bridge).splitlines()

        assert len([line for line in shown if "cookie" in line]) == len(flows(host.view, host.allocation))

    on_machines(body)
