"""A site of packet cases on real switches: three hosts, a machine for every port, and a fence that proves absence.

No region and no agent: the site's rows are compiled as for the simulated switches, and the agent's own driver puts
the flows into Open vSwitch. Machines are silent (no addresses, IPv6 off): what is on their wires, the tests sent.

*Fence*: a frame with a number and an EtherType of its own, which foreign flows beside ours bring to every machine of
every host and to every driver. One thread of each switch forwards in order, and so does every wire: when the fence
has come everywhere, all that the frame before it could cause has come too, and what has not come never will.
"""

import asyncio
import ctypes
import os
import secrets
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from alcor.agent.driver import Connected, FlowDiff, Lost, PacketIn, VifsChanged
from alcor.agent.ovs import unixctl
from alcor.agent.ovs.switch import OvsSwitch
from alcor.goalstate.item import State
from alcor.goalstate.scope import Scope
from alcor.lab.host import LabHost, Underlay, missing_parts
from alcor.lab.ledger import Ledger
from alcor.lab.vm import Vm
from alcor.model.address import Ip, ip_version
from alcor.model.port import Port
from alcor.pipeline.compile import flows, groups, meters
from alcor.pipeline.flow import Flow, FlowKey, GroupSpec, MeterSpec
from alcor.pipeline.resolve import resolve
from alcor.pipeline.view import Allocation
from tests.support.packet_site import Site, allocation_of
from tests.support.packets import BROADCAST, ethernet

PATIENCE_S = 10.0
FENCE = 0x88B6  # IEEE 802 local experimental EtherType 2
_FENCE_KEY = 0xFFFFF0
"""The tunnel key of what passes beside our flows; no network of a case has it."""
_FOREIGN_COOKIE = 0x5EED
_CLONE_NEWNET = 0x4000_0000  # setns(2)

Place = tuple[str, str]
"""Port id and host id: where a machine is."""


def _socket_in(namespace: str, interface: str) -> socket.socket:
    """A raw socket on an interface of another network namespace."""
    libc = ctypes.CDLL(None, use_errno=True)

    def enter_and_open() -> socket.socket:
        descriptor = os.open(f"/run/netns/{namespace}", os.O_RDONLY)
        try:
            if libc.setns(descriptor, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        finally:
            os.close(descriptor)
        opened = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0003))  # ETH_P_ALL
        opened.bind((interface, 0x0003))
        opened.setblocking(False)
        return opened

    # A thread of its own: a namespace is entered by one thread, and this one ends with the call.
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(enter_and_open).result()


def _frame_beside(eth_type: int, number: int) -> bytes:
    return ethernet("02:00:00:00:fe:fe", BROADCAST, eth_type, number.to_bytes(8, "big") + bytes(38))


def _fence_number(frame: bytes) -> int:
    """The number of a fence, 0 if the frame is none."""
    return int.from_bytes(frame[14:22], "big") if frame[12:14] == FENCE.to_bytes(2, "big") else 0


@dataclass
class _Machine:
    """One end of a wire into a switch. `received`: what came since it was last taken, in order."""

    vm: Vm
    port_id: str
    news: asyncio.Event
    received: list[bytes] = field(default_factory=list)
    fence: int = 0
    plugged: bool = True

    def start(self) -> None:
        """Listen. The machine's kernel says nothing itself: IPv6 is off before the interface is up."""
        self.vm.execute("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
        self.vm.up()
        self.socket = _socket_in(self.vm.namespace, "eth0")

    def read(self) -> None:
        """Take all that waits in the socket."""
        while True:
            try:
                frame, (_, _, packet_type, *_) = self.socket.recvfrom(65536)
            except BlockingIOError:
                return
            if packet_type == socket.PACKET_OUTGOING:
                continue
            if number := _fence_number(frame):
                self.fence = number
            else:
                self.received.append(frame)
            self.news.set()


@dataclass
class _Host:
    """One host with its driver. `vifs` and `packets`: what the driver told, the fences apart."""

    lab: LabHost
    switch: OvsSwitch
    news: asyncio.Event
    tunnels: dict[str, int] = field(default_factory=dict)
    vifs: dict[str, int] = field(default_factory=dict)
    connected: bool = False
    packets: list[PacketIn] = field(default_factory=list)
    fence: int = 0
    lost: str = ""

    async def listen(self) -> None:
        """Read the driver's events until it is closed."""
        async for event in self.switch.events():
            match event:
                case Connected():
                    self.connected = True
                case VifsChanged(ofports):
                    self.vifs = dict(ofports)
                case PacketIn():
                    if number := _fence_number(event.data):
                        self.fence = number
                    else:
                        self.packets.append(event)
                case Lost(reason):
                    self.lost = reason
            self.news.set()

    async def forget_paths(self) -> None:
        """Have the switch drop what it remembers of packets: it would follow new flows half a second late."""
        await unixctl.call(self.lab.run_folder / "ovs-vswitchd.ctl", "revalidator/purge")


@dataclass(frozen=True)
class Arrivals:
    """What one frame caused, everywhere. `delivered`: (port id, host id, frame) → how often."""

    delivered: Counter[tuple[str, str, bytes]]
    punted: list[tuple[str, PacketIn]]


class RealSite:
    """Hosts and machines that become one site after the other. Make it with `a_real_site`."""

    def __init__(self, hosts: dict[str, _Host], machines: dict[Place, _Machine], news: asyncio.Event) -> None:
        self._hosts = hosts
        self._machines = machines
        self._news = news
        self._fence = 0
        self._site: Site | None = None

    async def become(self, site: Site) -> None:
        """Plug and program what the site says, by difference from what is there."""
        if self._site is site:
            return
        self._site = None
        await self._plug(site)
        states = site.states()
        for host_id, host in self._hosts.items():
            if own := site.hosts[host_id].vtep_addresses:
                host.tunnels = await host.switch.ensure_tunnels(own, ("vxlan",))
            diff = await host.switch.compare(*self._desired(site, states, host_id))
            await host.switch.apply(diff)
            if diff:
                await host.forget_paths()
        self._site = site

    async def differences(self) -> dict[str, FlowDiff]:
        """What each switch lacks or has too much, by host id, against the site computed from nothing."""
        assert self._site is not None
        states = self._site.states()
        return {
            host_id: await host.switch.compare(*self._desired(self._site, states, host_id))
            for host_id, host in self._hosts.items()
        }

    async def send(self, port_id: str, frame: bytes) -> Arrivals:
        """Send a frame from a port's machine, and wait until nothing more can come of it."""
        assert self._site is not None
        assert self._take() == Arrivals(Counter(), []), "something came that no case sent"
        sender = self._machines[port_id, self._site.port(port_id).binding_host_id]
        sender.socket.send(frame)
        await self._pass_fence(sender)
        return self._take()

    def allocation(self, host_id: str) -> Allocation:
        """The local numbers of a host as the present site has them."""
        assert self._site is not None
        return self._allocation(self._site, self._site.states(), host_id)

    @property
    def places(self) -> set[Place]:
        """Where machines are plugged."""
        return {place for place, machine in self._machines.items() if machine.plugged}

    def let_past(self, eth_type: int) -> None:
        """Bring frames of an EtherType to all machines and drivers, with flows of another owner than the agent.

        From a machine: to all on its host, to the driver, and once to each other host; from a tunnel: to all on the
        host and to the driver. The difference with the flows of the pipeline is not affected.
        """
        # Every host has an IPv4 address; the wires are the same for both families.
        ends = {id: next(_of_family(host.lab, 4)) for id, host in self._hosts.items()}
        for host_id, host in self._hosts.items():
            tunnel = host.tunnels["vxlan"]
            copies = ",".join(
                f"clone(set_field:{_FENCE_KEY}->tun_id,set_field:{end}->tun_dst,output:{tunnel})"
                for id, end in ends.items()
                if id != host_id
            )
            head = f"table=0,cookie={_FOREIGN_COOKIE},dl_type={eth_type:#x}"
            from_machine = f"{head},priority=65534,actions=ALL,IN_PORT,CONTROLLER,{copies}"
            tunnelled = f"in_port={tunnel},tun_id={_FENCE_KEY}"
            from_tunnel = f"{head},priority=65535,{tunnelled},actions=ALL,CONTROLLER"
            for flow in (from_machine, from_tunnel):
                host.lab.ofctl("add-flow", "br-int", flow)

    def stop_letting_past(self, eth_type: int) -> None:
        """Take these flows away."""
        for host in self._hosts.values():
            foreign = f"cookie={_FOREIGN_COOKIE}/-1,dl_type={eth_type:#x}"
            host.lab.ofctl("del-flows", "br-int", foreign)

    async def start(self) -> None:
        """Make the tunnel ports, set up the fence, and have every tunnel's ends resolved."""
        await self._until_none(
            lambda: [id for id, host in self._hosts.items() if not host.connected], "the drivers to connect"
        )
        vteps = {id: _vteps(host.lab) for id, host in self._hosts.items()}
        for id, host in self._hosts.items():
            host.tunnels = await host.switch.ensure_tunnels(vteps[id], ("vxlan",))
        others = {id: {vtep for other in vteps if other != id for vtep in vteps[other]} for id in vteps}
        for id, host in self._hosts.items():
            await host.switch.warm_tunnels(sorted(others[id]))
        for id, host in self._hosts.items():
            await self._resolved(host, others[id])
        self.let_past(FENCE)

    async def _resolved(self, host: _Host, vteps: Iterable[str]) -> None:
        control = host.lab.run_folder / "ovs-vswitchd.ctl"
        async with asyncio.timeout(PATIENCE_S):
            while True:
                known = await unixctl.call(control, "tnl/neigh/show")
                if all(f"{vtep} " in known for vtep in vteps):
                    return
                await asyncio.sleep(0.01)

    async def plugged(self) -> None:
        """Wait until every driver has told of every plugged machine, and of no other."""
        wanted = self.places
        await self._until_none(
            lambda: wanted ^ {(vif, id) for id, host in self._hosts.items() for vif in host.vifs},
            "what is plugged to be told",
        )

    async def prove_fence(self) -> None:
        """Pass the fence from every host: if it does not come everywhere no case can be judged."""
        senders = {host_id: machine for (_, host_id), machine in self._machines.items()}
        for sender in senders.values():
            await self._pass_fence(sender)

    async def _plug(self, site: Site) -> None:
        for machine in self._machines.values():
            wanted = machine.port_id not in site.unplugged
            if wanted != machine.plugged:
                if wanted:
                    await asyncio.to_thread(machine.vm.plug, machine.port_id)
                else:
                    await asyncio.to_thread(machine.vm.unplug)
                machine.plugged = wanted
        await self.plugged()

    def _desired(
        self, site: Site, states: dict[Scope, State], host_id: str
    ) -> tuple[dict[FlowKey, Flow], tuple[MeterSpec, ...], tuple[GroupSpec, ...]]:
        view = resolve(states, host_id, site.closed)
        allocation = self._allocation(site, states, host_id)
        specs = tuple(meters(view, allocation).values()), tuple(groups(view, allocation).values())
        return flows(view, allocation), *specs

    def _allocation(self, site: Site, states: dict[Scope, State], host_id: str) -> Allocation:
        """The numbers of the simulated site, but ports and tunnels as the switch numbers them.

        As in an agent, a host without VTEP has no tunnels, and machines are known whether or not their ports are.
        """
        host = self._hosts[host_id]
        closed_off = host_id in site.without_tunnels or not site.hosts[host_id].vtep_addresses
        numbers = allocation_of(site, host_id, resolve(states, host_id, site.closed))
        tunnels = {} if closed_off else dict(host.tunnels)
        return replace(numbers, ofports=dict(host.vifs), tunnels=tunnels, metadata_ofport=0)

    async def _pass_fence(self, sender: _Machine) -> None:
        self._fence += 1
        sender.socket.send(_frame_beside(FENCE, self._fence))
        behind = {place: self._machines[place] for place in self.places}
        await self._until_none(
            lambda: [name for name, it in (behind | self._hosts).items() if it.fence != self._fence],
            f"fence {self._fence} to come to every machine and driver",
        )

    def _take(self) -> Arrivals:
        delivered: Counter[tuple[str, str, bytes]] = Counter()
        for (port_id, host_id), machine in self._machines.items():
            machine.read()
            delivered.update((port_id, host_id, frame) for frame in machine.received)
            machine.received.clear()
        punted = [(id, packet) for id, host in self._hosts.items() for packet in host.packets]
        for host in self._hosts.values():
            host.packets.clear()
        return Arrivals(delivered, punted)

    async def _until_none(self, missing: Callable[[], Collection[object]], what: str) -> None:
        """Wait for news until nothing is missing. Raises: AssertionError, at once when a switch is lost."""
        try:
            async with asyncio.timeout(PATIENCE_S):
                while missing():
                    self._news.clear()
                    await self._news.wait()
                    lost = {id: host.lost for id, host in self._hosts.items() if host.lost}
                    assert not lost, f"lost a switch: {lost}"
        except TimeoutError:
            raise AssertionError(
                f"waited {PATIENCE_S:g} s in vain for {what}; missing: {missing()}"
            ) from None


def _vteps(lab: LabHost) -> list[str]:
    return [address.partition("/")[0] for address in lab.addresses]


def _of_family(lab: LabHost, version: int) -> Iterator[str]:
    return (vtep for vtep in _vteps(lab) if ip_version(Ip(vtep)) == version)


def _places(sites: Iterable[Site]) -> list[Place]:
    """Where any of the sites has a port bound: there it has a machine, plugged from the start to the end.

    So a port that is moved, unbound, closed or deleted has its machine still in the old place, and would be heard.
    """
    ports = [row for site in sites for row in site.rows if isinstance(row, Port) and row.binding_host_id]
    return sorted({(port.id, port.binding_host_id) for port in ports})


def _machines_of(host: LabHost, ports: list[Port], ledger: Ledger, news: asyncio.Event) -> list[_Machine]:
    made = []
    for port in ports:
        vm = Vm(f"{host.namespace}-", port.id, host, ledger)
        vm.create(port.mac_address)
        machine = _Machine(vm, port.id, news)
        machine.start()
        vm.plug(port.id)
        made.append(machine)
    return made


@asynccontextmanager
async def a_real_site(folder: Path, first: Site, others: Iterable[Site]) -> AsyncIterator[RealSite]:
    """Hosts, machines and drivers for these sites, with no flows yet; everything is removed at the end."""
    assert missing_parts() == "", f"real switches are needed here: {missing_parts()}"
    ledger, prefix, news = Ledger(folder), f"p{secrets.token_hex(2)}", asyncio.Event()
    machines: dict[Place, _Machine] = {}
    hosts: dict[str, _Host] = {}
    loop = asyncio.get_running_loop()
    listeners: list[asyncio.Task[None]] = []
    try:
        underlay = Underlay(prefix, ledger)
        for number, (host_id, row) in enumerate(first.hosts.items(), start=1):
            addresses = [f"{vtep}/{64 if ':' in vtep else 24}" for vtep in row.vtep_addresses]
            lab = LabHost(prefix, host_id, number, folder, ledger, addresses=addresses)
            hosts[host_id] = _Host(
                lab, OvsSwitch(lab.db_socket, lab.run_folder, datapath_type="netdev"), news
            )
        await asyncio.gather(*(asyncio.to_thread(host.lab.create, underlay) for host in hosts.values()))
        listeners += [asyncio.create_task(host.listen()) for host in hosts.values()]
        site = RealSite(hosts, machines, news)
        await site.start()
        rows = {host_id: [] for host_id in hosts}  # type: dict[str, list[Port]]
        for port_id, host_id in _places((first, *others)):
            rows[host_id].append(first.port(port_id))
        made = await asyncio.gather(
            *(
                asyncio.to_thread(_machines_of, hosts[id].lab, ports, ledger, news)
                for id, ports in rows.items()
            )
        )
        for host_id, found in zip(rows, made, strict=True):
            machines |= {(machine.port_id, host_id): machine for machine in found}
        for machine in machines.values():
            loop.add_reader(machine.socket, machine.read)
        await site.plugged()
        await site.prove_fence()
        yield site
    finally:
        for machine in machines.values():
            loop.remove_reader(machine.socket)
            machine.socket.close()
        await asyncio.gather(*(host.switch.close() for host in hosts.values()))
        await asyncio.gather(*listeners)
        ledger.sweep()
