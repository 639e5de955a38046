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
import struct
from collections import Counter
from collections.abc import AsyncIterator, Callable, Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from alcor.agent.driver import (
    Connected,
    FlowDiff,
    Lost,
    PacketIn,
    PatchPort,
    Resumed,
    TunnelHealth,
    VifsChanged,
)
from alcor.agent.ovs import unixctl
from alcor.agent.ovs.switch import OvsSwitch
from alcor.goalstate.item import State
from alcor.goalstate.scope import Scope
from alcor.lab.command import ip_batch, run
from alcor.lab.host import LabHost, Underlay, missing_parts
from alcor.lab.ledger import Ledger
from alcor.lab.vm import Vm
from alcor.model.address import Ip, ip_version
from alcor.model.port import Port
from alcor.pipeline.compile import flows, groups, meters
from alcor.pipeline.flow import Flow, FlowKey, GroupSpec, MeterSpec
from alcor.pipeline.view import Allocation
from tests.support.packet_site import TUNNELS, Site, allocation_of
from tests.support.packets import BROADCAST, ethernet

PATIENCE_S = 60.0
FENCE = 0x88B6  # IEEE 802 local experimental EtherType 2
WIRE_FENCE = 0x88B5  # IEEE 802 local experimental EtherType 1
OUTSIDE = "outside"
"""The machine on the wire, and who sends and hears there."""
PATCH = "wire-int"
_FENCE_KEY = 0xFFFFF0
"""The tunnel key of what passes beside our flows; no network of a case has it."""
_FOREIGN_COOKIE = 0x5EED
_CLONE_NEWNET = 0x4000_0000  # setns(2)
_SOL_PACKET, _PACKET_AUXDATA, _VLAN_VALID = 263, 8, 0x10  # packet(7), if_packet.h
_AUXILIARY = struct.Struct("IIIHHHH")

Socket = socket.socket
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
        opened.setsockopt(_SOL_PACKET, _PACKET_AUXDATA, 1)
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
    kinds = (FENCE.to_bytes(2, "big"), WIRE_FENCE.to_bytes(2, "big"))
    return int.from_bytes(frame[14:22], "big") if frame[12:14] in kinds else 0


def _with_tag(frame: bytes, beside: Iterable[tuple[int, int, bytes]]) -> bytes:
    """The frame as it was on the link: the kernel takes a VLAN tag off, and says so beside it."""
    for level, kind, text in beside:
        if (level, kind) == (_SOL_PACKET, _PACKET_AUXDATA):
            status, *_, tci, tpid = _AUXILIARY.unpack(text[: _AUXILIARY.size])
            if status & _VLAN_VALID:
                return frame[:12] + struct.pack("!HH", tpid, tci) + frame[12:]
    return frame


@dataclass(kw_only=True)
class Ear:
    """Who hears what is on its link. `received`: what came since it was last taken, in order."""

    port_id: str
    news: asyncio.Event
    received: list[bytes] = field(default_factory=list)
    fence: int = 0
    socket: Socket = field(init=False)

    def read(self) -> None:
        """Take all that waits in the socket."""
        while True:
            try:
                frame, beside, _, (_, _, packet_type, *_) = self.socket.recvmsg(65536, 64)
            except BlockingIOError:
                return
            frame = _with_tag(frame, beside)
            if packet_type == socket.PACKET_OUTGOING:
                continue
            if number := _fence_number(frame):
                self.fence = number
            else:
                self.received.append(frame)
            self.news.set()


@dataclass(kw_only=True)
class _Machine(Ear):
    """One end of a link into a switch."""

    vm: Vm
    plugged: bool = True

    def start(self) -> None:
        """Listen. The machine's kernel says nothing itself: IPv6 is off before the interface is up."""
        self.vm.execute("sh", "-c", "echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6")
        self.vm.up()
        self.socket = _socket_in(self.vm.namespace, "eth0")


class _Wire:
    """The physical network of provider bridges, and a machine on it. A hub: everybody hears everything."""

    def __init__(self, prefix: str, ledger: Ledger, news: asyncio.Event) -> None:
        self.namespace = f"{prefix}wire"
        ledger.add("namespace", self.namespace)
        run("ip", "netns", "add", self.namespace)
        _silence(self.namespace)
        hub = "link add br0 type bridge ageing_time 0 mcast_snooping 0"
        links = ["link add eth0 type veth peer name out0", "link set out0 master br0 up", "link set eth0 up"]
        ip_batch([hub, "link set br0 up", *links], self.namespace)
        self.outside = Ear(port_id=OUTSIDE, news=news)
        self.outside.socket = _socket_in(self.namespace, "eth0")

    def join(self, lab: LabHost) -> None:
        """Give a host its bridge, a hub too, and its link to the wire."""
        ip_batch([f"link add wire0 type veth peer name {lab.name} netns {self.namespace}"], lab.namespace)
        _silence(lab.namespace, "wire0")
        ip_batch(["link set wire0 up"], lab.namespace)
        ip_batch([f"link set {lab.name} master br0 up"], self.namespace)
        lab.vsctl(
            *("--", "add-br", "br-ex", "--", "add-port", "br-ex", "wire0"),
            *("--", "set", "bridge", "br-ex", "datapath_type=netdev", "fail_mode=secure"),
        )
        lab.ofctl("add-flow", "br-ex", "actions=ALL")


def _silence(namespace: str, interface: str = "") -> None:
    """No IPv6 of the kernel's own on an interface, or on all that will be."""
    for name in (interface,) if interface else ("all", "default"):
        setting = f"net.ipv6.conf.{name}.disable_ipv6=1"
        run("ip", "netns", "exec", namespace, "sysctl", "-qw", setting)


@dataclass
class _Host:
    """One host with its driver. `vifs` and `packets`: what the driver told, the fences apart."""

    lab: LabHost
    switch: OvsSwitch
    news: asyncio.Event
    tunnels: dict[str, int] = field(default_factory=dict)
    patch: int = 0
    probes: dict[tuple[str, str], int] = field(default_factory=dict)
    health: dict[str, bool] = field(default_factory=dict)
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
                case TunnelHealth(vtep, is_up):
                    self.health[vtep] = is_up
            self.news.set()

    async def forget_paths(self) -> None:
        """Have the switch drop what it remembers of packets: it would follow new flows half a second late."""
        await unixctl.call(self.lab.run_folder / "ovs-vswitchd.ctl", "revalidator/purge")


@dataclass(frozen=True)
class Arrivals:
    """What one frame caused, everywhere. `delivered`: (port id, host id, frame) → how often; OUTSIDE has no host."""

    delivered: Counter[tuple[str, str, bytes]]
    punted: list[tuple[str, PacketIn]]


class RealSite:
    """Hosts and machines that become one site after the other. Make it with `a_real_site`."""

    def __init__(
        self,
        hosts: dict[str, _Host],
        machines: dict[Place, _Machine],
        news: asyncio.Event,
        outside: Ear | None = None,
    ) -> None:
        self._hosts = hosts
        self._machines = machines
        self._news = news
        self._outside = outside
        self._fence = 0
        self._site: Site | None = None

    async def become(self, site: Site) -> None:
        """Plug and program what the site says, by difference from what is there."""
        if self._site is site:
            return
        self._site = None
        await self._plug(site)
        states = site.states()
        for host_id in self._hosts:
            await self._program(host_id, site, states)
        self._site = site

    async def _program(self, host_id: str, site: Site, states: dict[Scope, State]) -> None:
        host = self._hosts[host_id]
        if own := site.hosts[host_id].vtep_addresses:
            host.tunnels = await host.switch.ensure_tunnels(own, tuple(TUNNELS))
        diff = await host.switch.compare(*self._desired(site, states, host_id))
        await host.switch.apply(diff)
        if diff:
            await host.forget_paths()

    async def differences(self) -> dict[str, FlowDiff]:
        """What each switch lacks or has too much, by host id, against the site computed from nothing."""
        assert self._site is not None
        states = self._site.states()
        return {
            host_id: await host.switch.compare(*self._desired(self._site, states, host_id))
            for host_id, host in self._hosts.items()
        }

    async def forget_connections(self) -> None:
        """Have every switch forget its connections."""
        for host in self._hosts.values():
            await unixctl.call(host.lab.run_folder / "ovs-vswitchd.ctl", "dpctl/flush-conntrack")

    async def send(self, port_id: str, frame: bytes) -> Arrivals:
        """Send a frame from a port's machine or from OUTSIDE, and wait until nothing more can come of it."""
        assert self._site is not None
        assert self._take() == Arrivals(Counter(), []), "something came that no case sent"
        sender: Ear
        if port_id == OUTSIDE:
            assert self._outside is not None
            sender = self._outside
        else:
            sender = self._machines[port_id, self._site.port(port_id).binding_host_id]
        sender.socket.send(frame)
        await self._pass_fence(sender)
        if self._outside is not None or self._site.relay_above:
            # Tunnels, relays and the wire are different ways: what came by one goes on by the other behind these.
            for other in (*self._one_machine_each, *self._one_machine_each):
                await self._pass_fence(other)
        return self._take()

    async def put(self, host_id: str, ofport: int, frame: bytes) -> Arrivals:
        """Have a host's agent send a frame out of a port, and wait until nothing more can come of it."""
        host = self._hosts[host_id]
        await host.switch.send_packet(frame, ofport)
        return await self._arrived(host_id)

    async def _arrived(self, host_id: str) -> Arrivals:
        # The switch reads one connection in order: when it has answered this, the frame is on its way.
        await self._hosts[host_id].switch.compare({}, ())
        await self._pass_fence(
            next(it for (_, id), it in self._machines.items() if id == host_id and it.plugged)
        )
        return self._take()

    async def resume(self, host_id: str, packet: Resumed) -> Arrivals:
        """Have a host's agent let a punted packet go on, and wait until nothing more can come of it."""
        await self._hosts[host_id].switch.resume_packet(packet)
        return await self._arrived(host_id)

    @property
    def _one_machine_each(self) -> list[_Machine]:
        found = {host_id: machine for (_, host_id), machine in self._machines.items() if machine.plugged}
        return list(found.values())

    def switch(self, host_id: str) -> OvsSwitch:
        """A host's driver."""
        return self._hosts[host_id].switch

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
        ends = {id: next(of_family(host.lab, 4)) for id, host in self._hosts.items()}
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
            not_again = [f"{head},priority=65535,in_port={host.patch},actions=drop"] if host.patch else []
            for flow in (from_machine, from_tunnel, *not_again):
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
            host.tunnels = await host.switch.ensure_tunnels(vteps[id], tuple(TUNNELS))
        others = {id: {vtep for other in vteps if other != id for vtep in vteps[other]} for id in vteps}
        for id, host in self._hosts.items():
            await host.switch.warm_tunnels(sorted(others[id]))
        for id, host in self._hosts.items():
            await self._resolved(host, others[id])
        for host in self._hosts.values():
            if "br-ex" in host.lab.vsctl("list-br").split():
                made = await host.switch.ensure_ports([PatchPort(PATCH, "br-ex", "wire-ex")])
                host.patch = made[PATCH]
                self._let_past_wire(host)
        self.let_past(FENCE)
        if self._outside is not None:
            await self._until_wire_carries(self._outside)

    async def _until_wire_carries(self, outside: Ear) -> None:
        """The first frames on a new link may be lost: send until every host on the wire has heard one."""
        wired = [host for host in self._hosts.values() if host.patch]
        async with asyncio.timeout(PATIENCE_S):
            while any(not host.fence for host in wired):
                self._fence += 1
                outside.socket.send(_frame_beside(WIRE_FENCE, self._fence))
                await asyncio.sleep(0.02)

    def _let_past_wire(self, host: _Host) -> None:
        """Bring the wire's fence out, and from the wire to all machines and the driver."""
        head = f"table=0,cookie={_FOREIGN_COOKIE},dl_type={WIRE_FENCE:#x}"
        host.lab.ofctl("add-flow", "br-int", f"{head},priority=65534,actions=output:{host.patch},CONTROLLER")
        arrived = f"{head},priority=65535,in_port={host.patch},actions=ALL,CONTROLLER"
        host.lab.ofctl("add-flow", "br-int", arrived)

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
        view = site.view_of(host_id, states)
        allocation = self._allocation(site, states, host_id)
        specs = tuple(meters(view, allocation).values()), tuple(groups(view, allocation).values())
        return flows(view, allocation), *specs

    def _allocation(self, site: Site, states: dict[Scope, State], host_id: str) -> Allocation:
        """The numbers of the simulated site, but ports and tunnels as the switch numbers them.

        As in an agent, a host without VTEP has no tunnels, and machines are known whether or not their ports are.
        """
        host = self._hosts[host_id]
        closed_off = host_id in site.without_tunnels or not site.hosts[host_id].vtep_addresses
        numbers = allocation_of(site, host_id, site.view_of(host_id, states))
        tunnels = {} if closed_off or not numbers.tunnels else dict(host.tunnels)
        providers = dict.fromkeys(numbers.providers, host.patch)
        ofports = dict(host.vifs)
        found = replace(numbers, ofports=ofports, tunnels=tunnels, providers=providers, metadata_ofport=0)
        return replace(found, probes=dict(host.probes))

    async def _pass_fence(self, sender: Ear) -> None:
        machines = {place: self._machines[place] for place in self.places}
        if sender is not self._outside:
            await self._pass(FENCE, sender, [*machines.items(), *self._hosts.items()])
        if self._outside is None:
            return
        wired = {id: host for id, host in self._hosts.items() if host.patch}
        own = next((host for (_, host), machine in self._machines.items() if machine is sender), "")
        if own and own not in wired:
            return
        behind = [(place, one) for place, one in machines.items() if place[1] in wired.keys() - {own}]
        outside = [(OUTSIDE, self._outside)] if sender is not self._outside else []
        await self._pass(WIRE_FENCE, sender, [*behind, *wired.items(), *outside])

    async def _pass(self, kind: int, sender: Ear, behind: Sequence[tuple[object, "Ear | _Host"]]) -> None:
        self._fence += 1
        sender.socket.send(_frame_beside(kind, self._fence))
        await self._until_none(
            lambda: [name for name, it in behind if it.fence != self._fence],
            f"fence {self._fence} to come to every machine and driver",
        )

    def _take(self) -> Arrivals:
        delivered: Counter[tuple[str, str, bytes]] = Counter()
        for (port_id, host_id), machine in self._machines.items():
            machine.read()
            delivered.update((port_id, host_id, frame) for frame in machine.received)
            machine.received.clear()
        if self._outside is not None:
            self._outside.read()
            delivered.update((OUTSIDE, "", frame) for frame in self._outside.received)
            self._outside.received.clear()
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


def of_family(lab: LabHost, version: int) -> Iterator[str]:
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
        machine = _Machine(vm=vm, port_id=port.id, news=news)
        machine.start()
        vm.plug(port.id)
        made.append(machine)
    return made


@asynccontextmanager
async def a_real_site(
    folder: Path, first: Site, others: Iterable[Site], kind: type[RealSite] = RealSite
) -> AsyncIterator[RealSite]:
    """Hosts, machines and drivers for these sites, with no flows yet; everything is removed at the end."""
    missing = missing_parts()
    assert missing == "", f"real switches are needed here: {missing}"
    ledger, prefix, news = Ledger(folder), f"p{secrets.token_hex(2)}", asyncio.Event()
    machines: dict[Place, _Machine] = {}
    hosts: dict[str, _Host] = {}
    loop = asyncio.get_running_loop()
    listeners: list[asyncio.Task[None]] = []
    wire: _Wire | None = None
    try:
        underlay = Underlay(prefix, ledger)
        for number, (host_id, row) in enumerate(first.hosts.items(), start=1):
            addresses = [f"{vtep}/{64 if ':' in vtep else 24}" for vtep in row.vtep_addresses]
            lab = LabHost(prefix, host_id, number, folder, ledger, addresses=addresses)
            hosts[host_id] = _Host(
                lab, OvsSwitch(lab.db_socket, lab.run_folder, datapath_type="netdev"), news
            )
        await asyncio.gather(
            *(
                asyncio.to_thread(host.lab.create, underlay, has_provider_bridge=False)
                for host in hosts.values()
            )
        )
        joined = [hosts[id].lab for id, row in first.hosts.items() if row.bridge_mappings]
        if joined:
            wire = _Wire(prefix, ledger, news)
            loop.add_reader(wire.outside.socket, wire.outside.read)
            await asyncio.gather(*(asyncio.to_thread(wire.join, lab) for lab in joined))
        listeners += [asyncio.create_task(host.listen()) for host in hosts.values()]
        site = kind(hosts, machines, news, wire.outside if wire is not None else None)
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
        ears = (*machines.values(), *((wire.outside,) if wire is not None else ()))
        for ear in ears:
            loop.remove_reader(ear.socket)
            ear.socket.close()
        await asyncio.gather(*(host.switch.close() for host in hosts.values()))
        await asyncio.gather(*listeners)
        ledger.sweep()
