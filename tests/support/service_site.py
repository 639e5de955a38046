"""One host with a real switch in a namespace, its services, and machines that use them with real tools.

The driver, the answers and the services run in a thread of their own that has entered the namespace of the host, as an
agent runs in its host's: the switch's internal port is there and nowhere else. There is no region: a view is given.
"""

import asyncio
import contextlib
import ctypes
import os
import secrets
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from alcor.agent.answer.dispatch import Answerer
from alcor.agent.driver import Connected, PacketIn, VifsChanged
from alcor.agent.handler import Outcome, Tools
from alcor.agent.metadata.handler import Settings, host_services
from alcor.agent.metadata.link import service_port
from alcor.agent.ovs.switch import OvsSwitch
from alcor.lab.vm import LEASE_SCRIPT
from alcor.pipeline.compile import flows, groups, meters
from alcor.pipeline.host_service import SERVER_DEVICE
from alcor.pipeline.view import Allocation, View
from tests.support.ovs import OvsPair, a_namespace, an_ovs_pair, run

_CLONE_NEWNET = 0x4000_0000  # setns(2)
PATIENCE_S = 60.0


def enter(namespace: str) -> None:
    """Put the calling thread into a network namespace."""
    descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
    try:
        if ctypes.CDLL(None, use_errno=True).setns(descriptor, _CLONE_NEWNET):
            raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
    finally:
        os.close(descriptor)


@dataclass
class Machine:
    """A VM: a namespace with eth0."""

    namespace: str

    def execute(self, *words: str, check: bool = True) -> str:
        """Run a command in it; what it printed."""
        return run("ip", "netns", "exec", self.namespace, *words, check=check)

    def attempt(self, *words: str) -> str:
        """The same for what may fail."""
        return self.execute(*words, check=False)

    def lease(self) -> None:
        """Get an address with busybox's DHCP client."""
        options = ("-f", "-q", "-n", "-t", "20", "-T", "1", "-A", "1", "-O", "staticroutes", "-O", "mtu")
        self.execute("busybox", "udhcpc", "-i", "eth0", "-s", str(LEASE_SCRIPT), *options)

    def fetch(self, url: str, *words: str) -> str:
        """The body of an HTTP answer."""
        return self.execute("curl", "-sS", "-g", "--max-time", "10", *words, url)


@dataclass
class ServiceHost:
    """The host. `allocation`: its numbers; `desk`: what the services see."""

    pair: OvsPair
    bridge: str
    view: View
    allocation: Allocation = field(default_factory=Allocation)

    def carry_out(self, outcome: Outcome) -> None:
        """As `Desk`; the services send no frames."""
        assert outcome == Outcome()

    async def work(self, settings: Settings, body: Callable[[], Awaitable[None]]) -> None:
        """Drive the switch, answer punts and serve, until the body ends."""
        switch = OvsSwitch(self.pair.db_socket, self.pair.folder, bridge=self.bridge, datapath_type="netdev")
        ready, answerer = asyncio.Event(), Answerer(time.monotonic)

        async def listen() -> None:
            async for event in switch.events():
                match event:
                    case Connected():
                        ports = await switch.ensure_ports([service_port(SERVER_DEVICE)])
                        self.allocation.metadata_ofport = ports[SERVER_DEVICE]
                    case VifsChanged(ofports):
                        self.allocation.ofports = {
                            id: port for id, port in ofports.items() if id in self.view.ports
                        }
                        if set(self.allocation.ofports) == set(self.view.ports):
                            await self._program(switch)
                            ready.set()
                    case PacketIn():
                        keys = {key: id for id, key in self.allocation.port_keys.items()}
                        port_id = keys.get(event.fields.get("reg14", 0))
                        answer = answerer.answer(event, port_id, self.view, self.allocation)
                        if answer is not None:
                            await switch.send_packet(answer.frame, answer.ofport)

        handler = host_services(settings)(Tools("h", time.monotonic, lambda: 0.5, asyncio.sleep))
        assert handler.run is not None
        tasks = [asyncio.create_task(listen()), asyncio.ensure_future(handler.run(self))]
        try:
            async with asyncio.timeout(PATIENCE_S):
                await ready.wait()
            await body()
            for task in tasks:
                assert not task.done(), task.exception()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await switch.close()

    async def _program(self, switch: OvsSwitch) -> None:
        numbers = self.allocation
        wanted = flows(self.view, numbers), list(meters(self.view, numbers).values())
        await switch.apply(await switch.compare(*wanted, list(groups(self.view, numbers).values())))

    def run(self, settings: Settings, body: Callable[[], Awaitable[None]]) -> None:
        """`work` in a thread of its own, inside the host's namespace."""
        assert self.pair.namespace is not None
        namespace = self.pair.namespace

        def inside() -> None:
            enter(namespace)
            asyncio.run(self.work(settings, body))

        with ThreadPoolExecutor(1) as pool:
            pool.submit(inside).result()


@contextlib.contextmanager
def a_service_host(view: View) -> Iterator[tuple[ServiceHost, dict[str, Machine]]]:
    """A host with a machine for each port of the view, plugged; all is removed at the end."""
    with (
        a_namespace("svc") as namespace,
        an_ovs_pair(namespace=namespace) as pair,
        contextlib.ExitStack() as stack,
    ):
        bridge = f"br{secrets.token_hex(4)}"
        host = ServiceHost(pair, bridge, view)
        pair.vsctl(
            "add-br", bridge, "--", "set", "bridge", bridge, "datapath_type=netdev", "fail_mode=secure"
        )
        machines = {}
        for number, port in enumerate(view.ports.values(), start=1):
            host.allocation.port_keys[port.id] = number
            host.allocation.network_keys.setdefault(port.network_id, number)
            vm, tap = stack.enter_context(a_namespace("svm")), f"tap{number}"
            pair.ip("link", "add", tap, "type", "veth", "peer", "name", "eth0", "netns", vm)
            run("ip", "netns", "exec", namespace, "sysctl", "-qw", f"net.ipv6.conf.{tap}.disable_ipv6=1")
            pair.ip("link", "set", tap, "up")
            run("ip", "-n", vm, "link", "set", "eth0", "address", port.mac)
            run("ip", "netns", "exec", vm, "ethtool", "-K", "eth0", "tx", "off")
            # Its addresses are usable at once: nobody waits for duplicate detection here.
            run("ip", "netns", "exec", vm, "sysctl", "-qw", "net.ipv6.conf.eth0.accept_dad=0")
            run("ip", "-n", vm, "link", "set", "eth0", "up")
            pair.vsctl(
                "add-port", bridge, tap, "--", "set", "interface", tap, f"external_ids:iface-id={port.id}"
            )
            machines[port.id] = Machine(vm)
        yield host, machines
