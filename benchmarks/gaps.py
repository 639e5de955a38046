"""The longest gap in a stream of pings, 10 ms apart, at what happens to a region; and how soon a rule is obeyed.

Gaps: a live migration (a machine that moves while it runs; both ends' pings), a dead and a new agent, a restarted
switch, the death of a gateway host's switch (BFD) and of its agent, a rule that changes beside the one in use. What is
said of a rule is the time from the API's call to the first packet that obeys it: allowed, and denied again.
"""

import asyncio
import contextlib
import os
import socket
import tempfile
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from alcor.agent.status import fetch
from alcor.lab import inside
from alcor.lab.command import LabError
from alcor.lab.host import PHYSICAL_NETWORK
from alcor.lab.outside import ADDRESS, CIDR
from alcor.lab.site import Site, running_site
from alcor.lab.stream import PingStream, Stream
from alcor.lab.vm import Vm
from benchmarks.measure import lift_quotas, load_average, quantiles, report

ROUNDS = int(os.environ.get("ALCOR_BENCH_ROUNDS", "5"))
RULE_ROUNDS = 30
HOSTS = ("left", "right", "third")
_PORT = 7000
# So many datagrams in a row, a millisecond apart, are not just late.
_SILENCE, _PATIENCE = 300, 10_000
Row = dict[str, Any]


class World:
    """A network with a moving machine and a still one, a router to the outside, and a group."""

    def __init__(self, site: Site) -> None:
        self.site = site
        client = site.client
        self.group = client.create("v2.0/security-groups", "security_group", name="measured")
        self.rule(protocol="icmp")
        self.network = client.create("v2.0/networks", "network", name="measured")
        subnet = client.create(
            "v2.0/subnets", "subnet", network_id=self.network["id"], ip_version=4, cidr="10.8.0.0/24"
        )
        external = client.create(
            "v2.0/networks",
            "network",
            name="internet",
            **{
                "router:external": True,
                "provider:network_type": "flat",
                "provider:physical_network": PHYSICAL_NETWORK,
            },
        )
        client.create(
            "v2.0/subnets",
            "subnet",
            network_id=external["id"],
            ip_version=4,
            cidr=CIDR,
            gateway_ip=ADDRESS,
            enable_dhcp=False,
        )
        gateway = {"network_id": external["id"]}
        self.router = client.create("v2.0/routers", "router", name="r", external_gateway_info=gateway)
        client.put(f"v2.0/routers/{self.router['id']}/add_router_interface", subnet_id=subnet["id"])
        self.mover_port = self.port("mover")
        self.mover = site.boot_moving("mover", "left", self.mover_port)
        self.still_port = self.port("still")
        self.still = site.boot("still", "third", self.still_port)
        for vm, port, host in (
            (self.mover, self.mover_port, "left"),
            (self.still, self.still_port, "third"),
        ):
            site.bind(port["id"], host)
            vm.up()
            vm.dhcp()
        self.ip = str(self.mover_port["fixed_ips"][0]["ip_address"])

    def port(self, name: str) -> Row:
        """A server's port in the group."""
        return self.site.client.create(
            "v2.0/ports",
            "port",
            network_id=self.network["id"],
            name=name,
            device_owner="compute:nova",
            security_groups=[self.group["id"]],
        )

    def rule(self, **said: Any) -> Row:
        """A rule into the group's ports."""
        return self.site.client.create(
            "v2.0/security-group-rules",
            "security_group_rule",
            security_group_id=self.group["id"],
            **{"direction": "ingress", "ethertype": "IPv4"} | said,
        )


def streamed(
    ways: Sequence[tuple[str, str]], work: Callable[[], None], *, after_s: float = 1.0
) -> list[Stream]:
    """Ping on all ways while something is done."""
    streams = [PingStream(*way).start() for way in ways]
    time.sleep(0.5)
    work()
    return [stream.stop(after_s=after_s) for stream in streams]


def row(what: str, found: Sequence[Stream]) -> Row:
    """What a kind of event did to all streams of all rounds."""
    gaps = quantiles([stream.gap_s * 1000 for stream in found])
    return {
        "event": what,
        "samples": len(found),
        "lost of pings": f"{sum(one.lost for one in found)} of {sum(one.sent for one in found)}",
        "gap p50 ms": gaps["p50"],
        "gap p99 ms": gaps["p99"],
        "gap max ms": gaps["max"],
    }


def migrations(world: World) -> list[Stream]:
    """The machine goes to and fro between two hosts."""
    site, port_id, found = world.site, world.mover_port["id"], list[Stream]()
    for target in ("right", "left") * ((ROUNDS + 1) // 2):
        old = world.mover.host
        site.client.create(f"v2.0/ports/{port_id}/bindings", "binding", host=target)
        world.mover.plug_on(site.hosts[target], port_id)
        time.sleep(1)

        def move(target: str = target) -> None:
            world.mover.run_on(site.hosts[target])
            site.client.put(f"v2.0/ports/{port_id}/bindings/{target}/activate")

        ways = [(world.still.namespace, world.ip), (world.mover.namespace, ADDRESS)]
        found += streamed(ways, move)
        world.mover.unplug_on(old)
        site.client.delete(f"v2.0/ports/{port_id}/bindings", old.name)
    return found


def restarts(world: World, part: str) -> list[Stream]:
    """The agent, or the switch, of the moving machine's host is killed and started again."""
    site, host, found = world.site, world.mover.host, list[Stream]()

    def restart() -> None:
        site.hosts[host.name].kill(part)
        if part == "agent":
            site.start_agent(host.name)
            site.wait_for_agents()
        else:
            site.hosts[host.name].start_switch()

    for _ in range(ROUNDS):
        found += streamed([(world.still.namespace, world.ip)], restart, after_s=4.0)
    return found


def serving(world: World) -> str:
    """The host that serves the router's gateway, by the word of its own agent."""
    for host in world.site.hosts.values():
        status = asyncio.run(fetch(host.status_socket))
        if status["routers"].get(world.router["id"], {}).get("is_active"):
            return host.name
    raise LabError("no host serves the router")


def answers(vm: Vm) -> bool:
    """Whether the outside answers a machine."""
    return vm.ping(ADDRESS, count=3).received == 3


def failovers(world: World, part: str) -> list[Stream]:
    """A part of the host that serves the gateway is killed, and started again when the measurement is over."""
    site, found = world.site, list[Stream]()
    for _ in range(ROUNDS):
        name = serving(world)
        watcher = world.still if name != world.still.host.name else world.mover
        found += streamed([(watcher.namespace, ADDRESS)], partial(site.hosts[name].kill, part), after_s=5.0)
        if part == "agent":
            site.start_agent(name)
        else:
            site.hosts[name].start_switch()
        site.wait_for_agents()
        site.wait(
            "the outside to answer again",
            partial(answers, watcher),
        )
        time.sleep(3)
    return found


def rule_changes(world: World) -> list[Stream]:
    """Rules come and go beside the one that lets the pings in."""

    def change() -> None:
        for number in range(20):
            made = world.rule(protocol="tcp", port_range_min=8000 + number, port_range_max=8000 + number)
            world.site.client.delete("v2.0/security-group-rules", made["id"])

    return streamed([(world.still.namespace, world.ip)], change)


def obedience(world: World) -> tuple[list[float], list[float]]:
    """Milliseconds from the API's call to the first datagram that obeys: allowed, denied."""
    allowed, denied = list[float](), list[float]()
    with (
        inside.datagrams(world.mover.namespace, "", _PORT, patience_s=0.0) as ear,
        inside.datagrams(world.still.namespace) as mouth,
    ):
        for _ in range(RULE_ROUNDS):
            began_s = time.monotonic()
            rule = world.rule(protocol="udp", port_range_min=_PORT, port_range_max=_PORT)
            allowed.append((_spoken(mouth, ear, world.ip, silent=False) - began_s) * 1000)
            began_s = time.monotonic()
            world.site.client.delete("v2.0/security-group-rules", rule["id"])
            denied.append((_spoken(mouth, ear, world.ip, silent=True) - began_s) * 1000)
    return allowed, denied


def _spoken(mouth: socket.socket, ear: socket.socket, address: str, *, silent: bool) -> float:
    """Speak a thousand times a second until the rule is obeyed; when the first datagram that obeyed it was sent."""
    sent: list[float] = []
    heard = last = -1
    while True:
        mouth.sendto(len(sent).to_bytes(4, "big"), (address, _PORT))
        sent.append(time.monotonic())
        try:
            while True:
                # What is left of an earlier round has other numbers, and is short-lived.
                last = max(last, int.from_bytes(ear.recv(16), "big"))
        except BlockingIOError:
            pass
        if not silent and last >= 0:
            heard = last if heard < 0 else heard
            time.sleep(0.2)
            with contextlib.suppress(BlockingIOError):
                while True:
                    ear.recv(16)
            return sent[min(heard, len(sent) - 1)]
        if silent and len(sent) - last > _SILENCE:
            return sent[last + 1]
        if len(sent) > _PATIENCE:
            raise LabError("a rule was not obeyed within ten seconds")
        time.sleep(0.001)


def main() -> None:
    """Run and print."""
    load_before = load_average()
    lift_quotas()
    with (
        tempfile.TemporaryDirectory(prefix="alcor-bench-") as folder,
        running_site(Path(folder), *HOSTS) as site,
    ):
        world = World(site)
        site.wait("the outside", lambda: world.still.ping(ADDRESS, count=2).received == 2)
        rows = [
            row("live migration", migrations(world)),
            row("agent killed and started", restarts(world, "agent")),
            row("rules of the group change", rule_changes(world)),
            row("switch killed and started", restarts(world, "ovs-vswitchd")),
            row("gateway host: agent killed", failovers(world, "agent")),
            row("gateway host: switch killed", failovers(world, "ovs-vswitchd")),
        ]
        report("gaps", rows, load_before=load_before)
        allowed, denied = obedience(world)
    report(
        "rule_obeyed",
        [
            {"rule": what, "rounds": len(found)}
            | {f"{name} ms": value for name, value in quantiles(found).items()}
            for what, found in (("allowed", allowed), ("denied", denied))
        ],
        load_before=load_before,
    )


if __name__ == "__main__":
    main()
