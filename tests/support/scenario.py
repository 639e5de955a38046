"""Routers, groups, floating IPs and machines of a site, made through its public API."""

import asyncio
import re
import sqlite3
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

from alcor.agent.status import fetch
from alcor.lab.outside import create_external_network
from alcor.lab.site import Site
from alcor.lab.vm import Vm
from alcor.pipeline.tables import Priority, Table
from alcor.store.sqlite import SqliteStore
from tests.support.audit import audit
from tests.support.site import a_network, a_subnet, a_vm

Row = dict[str, Any]

# Rules of NEXT_HOP for addresses of external networks (`alcor.pipeline.outer`).
_FOUND_OUTSIDE = re.compile(rf"table={int(Table.NEXT_HOP)}, priority={int(Priority.ROUTER)},")


def an_external_network(site: Site) -> Row:
    """The external network of the site: flat on the wire, its gateways are `outside`."""
    return create_external_network(site.client)


def a_router(site: Site, name: str, *subnet_ids: str, external: Row | None = None, **router: Any) -> Row:
    """A router with interfaces on subnets, and a gateway if `external` is given."""
    if external is not None:
        router["external_gateway_info"] = {"network_id": external["id"]}
    made = site.client.create("v2.0/routers", "router", name=name, **router)
    for subnet_id in subnet_ids:
        join(site, made, subnet_id)
    return made


def join(site: Site, router: Row, subnet_id: str) -> None:
    """Give the router an interface on a subnet."""
    site.client.put(f"v2.0/routers/{router['id']}/add_router_interface", subnet_id=subnet_id)


def leave(site: Site, router: Row, subnet_id: str) -> None:
    """Take the router's interface off a subnet."""
    site.client.put(f"v2.0/routers/{router['id']}/remove_router_interface", subnet_id=subnet_id)


def without_quota(site: Site) -> None:
    """Let the site's own project make as many groups and floating IPs as tests like."""
    project = site.client.create("v2.0/security-groups", "security_group", name="first")["project_id"]
    site.client.update(
        "v2.0/quotas", "quota", project, security_group=-1, security_group_rule=-1, floatingip=-1, router=-1
    )


def a_group(site: Site, name: str, *rules: Row) -> Row:
    """A security group with these rules beside those that let everything out."""
    made = site.client.create("v2.0/security-groups", "security_group", name=name)
    for rule in rules:
        a_rule(site, made, **rule)
    return made


def a_rule(site: Site, group: Row, **rule: Any) -> Row:
    """A rule of a group: into the port, over IPv4, unless it says otherwise."""
    said = {"direction": "ingress", "ethertype": "IPv4"} | rule
    return site.client.create(
        "v2.0/security-group-rules", "security_group_rule", security_group_id=group["id"], **said
    )


def a_floating_ip(site: Site, external: Row, port_id: str | None = None) -> Row:
    """A floating IP, associated if a port is given."""
    return site.client.create(
        "v2.0/floatingips", "floatingip", floating_network_id=external["id"], port_id=port_id
    )


def a_dual_network(site: Site, name: str, number: int) -> tuple[Row, list[str]]:
    """A network with 10.`number`.0.0/24 and fd00:`number`::/64 (SLAAC); returns it and its subnets' ids."""
    network = a_network(site, name)
    four = a_subnet(site, network, f"10.{number}.0.0/24")
    six = a_subnet(site, network, f"fd00:{number}::/64", ipv6_ra_mode="slaac", ipv6_address_mode="slaac")
    return network, [four["id"], six["id"]]


@dataclass(frozen=True)
class Machine:
    """A VM that has its port's addresses."""

    vm: Vm
    port: Row

    @property
    def ip(self) -> str:
        """Its IPv4 address."""
        return next(ip for ip in self._ips if ":" not in ip)

    @property
    def ip6(self) -> str:
        """Its IPv6 address."""
        return next(ip for ip in self._ips if ":" in ip)

    @property
    def _ips(self) -> list[str]:
        return [str(each["ip_address"]) for each in self.port["fixed_ips"]]

    @property
    def namespace(self) -> str:
        """Where its sockets are."""
        return self.vm.namespace

    def reaches(self, address: str, *, count: int = 2) -> bool:
        """Whether every ping is answered."""
        return self.vm.ping(address, count=count).received == count

    def misses(self, address: str) -> bool:
        """Whether a ping is not answered within a moment."""
        return self.vm.ping(address, count=1, wait_s=0.4).received == 0


def a_machine(site: Site, name: str, host: str, network: Row, **port: Any) -> Machine:
    """A machine on a host, configured by DHCP and by router advertisements, as its port says."""
    return machines(site, (name, host, network, port))[0]


def machines(site: Site, *wanted: tuple[str, str, Row, Row]) -> list[Machine]:
    """Several machines, (name, host, network, attributes of the port) each, whose waiting is done together."""
    made = [Machine(*a_vm(site, name, host, network, **port)) for name, host, network, port in wanted]
    for machine in made:
        machine.vm.dhcp()
    for machine in made:
        site.wait(f"{machine.vm.name}'s addresses", partial(_has_addresses, machine))
    return made


def _has_addresses(machine: Machine) -> bool:
    return {each["ip_address"] for each in machine.port["fixed_ips"]} <= {*machine.vm.addresses()}


def agent_status(site: Site, host: str) -> Row:
    """What `alcor-agent status` asks the agent of a host."""
    return dict(asyncio.run(fetch(site.hosts[host].status_socket)))


def is_settled(site: Site, host: str) -> bool:
    """Whether the agent of a host has had everything and its switch confirmed it."""
    try:
        return bool(agent_status(site, host)["settled_ms"])
    except OSError:
        return False


def flows(site: Site, host: str) -> list[str]:
    """The switch's flows as it prints them, without what counts by itself, and without the MACs that the agent
    found outside: it forgets and finds them by itself."""
    return sorted(line for line in _all_flows(site, host) if not _FOUND_OUTSIDE.search(line))


def _all_flows(site: Site, host: str) -> list[str]:
    return site.hosts[host].ofctl("--no-stats", "dump-flows", "br-int").splitlines()[1:]


def findings(site: Site, folder: Path) -> list[str]:
    """What is wrong with the region's rows, seen in a copy of its database. `folder`: an empty one."""
    source = site.region.data / "alcor.db"
    with sqlite3.connect(source) as here, sqlite3.connect(folder / source.name) as there:
        here.backup(there)

    async def look() -> list[str]:
        store = SqliteStore.open(folder)
        try:
            return await audit(store)
        finally:
            await store.close()

    return asyncio.run(look())


@dataclass
class _Quiet:
    """Whether a switch's flows are what they were the last few times: what a test's last call changed is there."""

    site: Site
    host: str
    seen: list[str] = field(default_factory=list)
    times: int = 0

    def __call__(self) -> bool:
        now = _all_flows(self.site, self.host)
        self.times = self.times + 1 if now == self.seen else 0
        self.seen = now
        return self.times >= 10


def assert_sound(site: Site, folder: Path) -> None:
    """The region's rows are in order, and fresh agents that compute everything from nothing find nothing to change.

    What they may change is what agents before them found outside: forgotten, and found again when it is needed.
    """
    assert findings(site, folder) == []
    different = _restarted(site)
    assert not different, "\n".join(different)


def _restarted(site: Site) -> list[str]:
    """What fresh agents have on their switches that those before had not, and the other way round; empty is sound."""
    before, found = {}, {}
    for host in site.hosts:
        site.wait("the agent to be settled", partial(is_settled, site, host))
        site.wait("the last change", _Quiet(site, host))
        before[host] = flows(site, host)
        found[host] = len(_all_flows(site, host)) - len(before[host])
        site.hosts[host].stop("agent")
        site.start_agent(host)
    different = []
    for host in site.hosts:
        site.wait("the new agent to be settled", partial(is_settled, site, host))
        after = flows(site, host)
        gone, come = sorted(set(before[host]) - set(after)), sorted(set(after) - set(before[host]))
        if gone or come:
            different.append(f"{host}: gone {gone}; come {come}")
        changes, allowed = agent_status(site, host)["counters"]["flow_changes"], 2 * found[host]
        if changes > allowed:
            different.append(f"{host}: {changes} changes of flows where at most {allowed} were due")
    return different
