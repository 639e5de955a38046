"""Floating IPs and tenants' subnets are advertised to a real router outside, which reaches them by what it learns."""

import os
import signal
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from alcor.agent.bgp.daemon import PROGRAM
from alcor.lab.command import ip_batch, run
from alcor.lab.host import PHYSICAL_NETWORK, PROVIDER_BRIDGE
from alcor.lab.outside import ADDRESS, CIDR
from alcor.lab.site import Site, running_site
from tests.support.frr import OutsideRouter, an_outside_router, reachable
from tests.support.scenario import Row, a_floating_ip, a_group, a_machine, a_router, agent_status
from tests.support.site import a_network

pytestmark = [
    pytest.mark.ovs,
    pytest.mark.skipif(not PROGRAM.exists(), reason="FRR is not installed (bin/setup dev installs it)"),
]

OUR_AS, THEIR_AS = 64_512, 64_500
SOURCES = {"left": "203.0.113.201", "right": "203.0.113.202"}
PASSWORD = "between-us"
CONFIGURATION = "\n".join(
    (
        f"router bgp {THEIR_AS}",
        f" bgp router-id {ADDRESS}",
        " no bgp ebgp-requires-policy",
        *(f" neighbor {ip} remote-as {OUR_AS}" for ip in SOURCES.values()),
        *(f" neighbor {ip} password {PASSWORD}" for ip in SOURCES.values()),
        *(f" neighbor {ip} passive" for ip in SOURCES.values()),
        "",
    )
)
ICMP = {"protocol": "icmp"}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Two hosts, each with an address of its own on the physical network."""
    folder = tmp_path_factory.mktemp("site")
    reachable(folder)
    with running_site(folder, *SOURCES) as site:
        for name, ip in SOURCES.items():
            host = site.hosts[name]
            ip_batch(
                [f"addr add {ip}/24 dev {PROVIDER_BRIDGE}", f"link set {PROVIDER_BRIDGE} up"], host.namespace
            )
            run("ip", "netns", "exec", host.namespace, "ethtool", "-K", PROVIDER_BRIDGE, "tx", "off")
        yield site


@pytest.fixture(scope="module")
def outside(site: Site, tmp_path_factory: pytest.TempPathFactory) -> Iterator[OutsideRouter]:
    """A router outside that waits for the hosts' sessions."""
    folder = tmp_path_factory.mktemp("frr")
    assert site.outside is not None
    with an_outside_router(site.outside.namespace, folder, CONFIGURATION) as router:
        yield router


def _subnet(site: Site, network: Row, scope: Row, cidr: str, **more: object) -> Row:
    """A subnet that is all of a pool of this address scope."""
    pool = site.client.create(
        "v2.0/subnetpools",
        "subnetpool",
        name=cidr,
        prefixes=[cidr],
        address_scope_id=scope["id"],
        min_prefixlen=8,
    )
    return site.client.create(
        "v2.0/subnets",
        "subnet",
        network_id=network["id"],
        ip_version=4,
        cidr=cidr,
        subnetpool_id=pool["id"],
        **more,
    )


def _external(site: Site, scope: Row) -> Row:
    network = site.client.create(
        "v2.0/networks",
        "network",
        **{
            "name": "ext",
            "router:external": True,
            "provider:network_type": "flat",
            "provider:physical_network": PHYSICAL_NETWORK,
        },
    )
    pools = [{"start": "203.0.113.10", "end": "203.0.113.99"}]
    _subnet(site, network, scope, CIDR, gateway_ip=ADDRESS, enable_dhcp=False, allocation_pools=pools)
    return network


def _speaker(site: Site, external: Row) -> tuple[Row, Row]:
    """A speaker with the router outside as its peer; returns both."""
    speaker = site.client.create(
        "v2.0/bgp-speakers", "bgp_speaker", name="all", local_as=OUR_AS, ip_version=4
    )
    peer = site.client.create(
        "v2.0/bgp-peers",
        "bgp_peer",
        name="outside",
        peer_ip=ADDRESS,
        remote_as=THEIR_AS,
        auth_type="md5",
        password=PASSWORD,
    )
    path = f"v2.0/bgp-speakers/{speaker['id']}"
    site.client.put(f"{path}/add_gateway_network", network_id=external["id"])
    site.client.put(f"{path}/add_bgp_peer", bgp_peer_id=peer["id"])
    return speaker, peer


def _pid(site: Site, host: str) -> int:
    """The host's bgpd; 0 if there is none."""
    file: Path = site.hosts[host].folder / "bgp" / str(OUR_AS) / "bgpd.pid"
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return 0


def _is_back(site: Site, host: str, old: int, outside: OutsideRouter) -> bool:
    return _pid(site, host) not in (0, old) and SOURCES[host] in outside.established()


def _leads(site: Site, address: str, gateway: str) -> bool:
    """Whether the kernel outside sends packets for the address to the gateway."""
    assert site.outside is not None
    ways = site.outside.execute("ip", "route", "show", "match", address).splitlines()
    return any(f"via {gateway} " in way and "proto bgp" in way for way in ways)


def _until(site: Site, what: str, ready: Callable[[], bool]) -> None:
    site.wait(what, ready)


def test_what_is_advertised_is_reached_and_what_goes_is_withdrawn(site: Site, outside: OutsideRouter) -> None:
    """Floating IPs and subnets of the address scope are learnt with the router's gateway as next hop, and answer by it;
    they are withdrawn with their floating IP, and all with the peer; a bgpd that is killed comes back unnoticed."""
    scope = site.client.create("v2.0/address-scopes", "address_scope", name="all", ip_version=4)
    external = _external(site, scope)
    network = a_network(site, "inner")
    subnet = _subnet(site, network, scope, "10.80.0.0/24")
    router = a_router(site, "plain", subnet["id"])
    site.client.update(
        "v2.0/routers",
        "router",
        router["id"],
        external_gateway_info={"network_id": external["id"], "enable_snat": False},
    )
    shown = site.client.show(f"v2.0/routers/{router['id']}")["router"]
    gateway = shown["external_gateway_info"]["external_fixed_ips"][0]["ip_address"]
    group = a_group(site, "ping", ICMP)
    machines = [
        a_machine(site, f"vm-{host}", host, network, security_groups=[group["id"]]) for host in SOURCES
    ]
    plain = a_machine(site, "vm-plain", "left", network, security_groups=[group["id"]])
    floating = [a_floating_ip(site, external, machine.port["id"]) for machine in machines]
    prefixes = [f"{one['floating_ip_address']}/32" for one in floating]

    speaker, peer = _speaker(site, external)

    wanted = {subnet["cidr"]: gateway} | dict.fromkeys(prefixes, gateway)
    _until(site, "both hosts to speak", lambda: outside.established() == set(SOURCES.values()))
    _until(site, "the routes", lambda: outside.routes() == wanted)
    said = site.client.show(f"v2.0/bgp-speakers/{speaker['id']}/get_advertised_routes")["advertised_routes"]
    assert {one["destination"]: one["next_hop"] for one in said} == wanted
    assert site.outside is not None
    for address in (plain.ip, *(one["floating_ip_address"] for one in floating)):
        _until(site, f"the way to {address}", partial(_leads, site, address, gateway))
        _until(site, f"an answer of {address}", partial(site.outside.reaches, address, count=1))

    old = _pid(site, "left")
    os.kill(old, signal.SIGKILL)
    assert outside.routes() == wanted
    _until(site, "bgpd to be back", lambda: _is_back(site, "left", old, outside))
    assert outside.routes() == wanted

    site.client.delete("v2.0/floatingips", floating[0]["id"])
    del wanted[prefixes[0]]
    _until(site, "the floating IP's withdrawal", lambda: outside.routes() == wanted)
    pids = [_pid(site, host) for host in SOURCES]
    site.client.put(f"v2.0/bgp-speakers/{speaker['id']}/remove_bgp_peer", bgp_peer_id=peer["id"])
    _until(site, "silence", lambda: outside.routes() == {} and not outside.established())
    _until(site, "no bgpd", lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    assert all(agent_status(site, host)["in_sync"] for host in SOURCES)
