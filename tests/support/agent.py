"""An ncm in memory for one agent, and the agent on a simulated switch: what tests of the agent stand on."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager

from alcor.agent.service import Agent
from alcor.agent.simulated import SimulatedSwitch
from alcor.bus.codec import ProtobufCodec
from alcor.bus.interface import (
    Ack,
    AgentMessage,
    Dropped,
    Envelope,
    Heads,
    Heartbeat,
    Hello,
    ItemCodec,
    NcmMessage,
    PortReport,
    Refused,
    Resume,
    ScopeUpdate,
    Welcome,
)
from alcor.bus.subject import Code
from alcor.goalstate.bgp_item import BgpRoutesItem, BgpSpeakerItem
from alcor.goalstate.item import (
    Address,
    Claim,
    HostItem,
    Item,
    ItemKind,
    Key,
    LocalPort,
    Neighbour,
    NetworkHost,
    NetworkItem,
    NetworkRelays,
    OpenHost,
    QosItem,
    RegionItem,
    RelayItem,
    ReleaseItem,
    RescueItem,
    State,
    SubnetItem,
    key_of,
    refers,
)
from alcor.goalstate.router_item import FloatingIpItem, GatewayItem, RouterInterface, RouterItem
from alcor.goalstate.scope import (
    REGION,
    Scope,
    addresses_scope,
    host_scope,
    members_scope,
    neighbours_scope,
    network_scope,
    qos_scope,
    router_scope,
    rules_scope,
    shard_of,
)
from alcor.goalstate.security_item import FirewallItem, GroupRule, Member, NetworkAclItem, Prefix, RulesItem
from alcor.pipeline.compile import flows
from alcor.pipeline.flow import Flow, FlowKey
from alcor.pipeline.resolve import closure, resolve
from alcor.pipeline.view import Allocation

HOST = "host-1"
VTEP = "192.0.2.1"
OTHER_VTEP = "192.0.2.2"
RESPONDER_MAC = "fe:00:00:00:00:01"
CODEC = ProtobufCodec()
EPOCH = 7

A_HOST = HostItem(id=HOST, name=HOST, vtep_addresses=(VTEP,), token_digest="")
A_REGION = RegionItem(id="region", responder_mac=RESPONDER_MAC, dhcp_lease_s=86_400)


def network(id: str = "net", vni: int = 100, **changes: object) -> NetworkItem:
    """An overlay network."""
    fields: dict[str, object] = {
        "network_type": "vxlan",
        "segmentation_id": vni,
        "mtu": 1450,
        "admin_state_up": True,
    }
    return NetworkItem(id=id, **(fields | changes))  # type: ignore[arg-type]  # a builder of known fields


def subnet(id: str = "subnet", network_id: str = "net", **changes: object) -> SubnetItem:
    """An IPv4 subnet with DHCP."""
    fields: dict[str, object] = {
        "cidr": "10.0.0.0/24",
        "gateway_ip": "10.0.0.1",
        "dns_nameservers": (),
        "host_routes": (),
        "enable_dhcp": True,
        "ipv6_ra_mode": None,
        "ipv6_address_mode": None,
    }
    return SubnetItem(id=id, network_id=network_id, **(fields | changes))  # type: ignore[arg-type]  # as above


def mac_of(number: int) -> str:
    """The MAC address of port `number` (up to 65,535)."""
    return f"fa:16:3e:00:{number >> 8:02x}:{number & 255:02x}"


def local_port(number: int = 1, network_id: str = "net", **changes: object) -> LocalPort:
    """Port `port-<number>` with address 10.0.<n>.<n>, bound to the host under test."""
    fields: dict[str, object] = {
        "name": f"vm-{number}",
        "mac": mac_of(number),
        "addresses": (Address("subnet", f"10.0.{number >> 8}.{number & 255}"),),
        "admin_state_up": True,
        "port_security_enabled": True,
        "groups": (),
    }
    return LocalPort(id=f"port-{number}", network_id=network_id, **(fields | changes))  # type: ignore[arg-type]


def neighbour(number: int = 1, *, vtep: str = VTEP, **changes: object) -> Neighbour:
    """The same port as its network sees it."""
    fields: dict[str, object] = {
        "mac": mac_of(number),
        "ips": (f"10.0.{number >> 8}.{number & 255}",),
        "host_id": HOST if vtep == VTEP else "host-2",
        "vtep": vtep,
        "groups": (),
    }
    return Neighbour(id=f"port-{number}", **(fields | changes))  # type: ignore[arg-type]  # as above


def router(id: str = "router", networks: Iterable[str] = ("net",), **changes: object) -> RouterItem:
    """A router with an interface on each network."""
    interfaces = tuple(
        RouterInterface(f"{id}-{net}", net, mac_of(500 + number), ())
        for number, net in enumerate(sorted(networks))
    )
    fields: dict[str, object] = {"admin_state_up": True, "interfaces": interfaces}
    return RouterItem(id=id, **(fields | changes))  # type: ignore[arg-type]  # a builder of known fields


def rules(id: str = "group", groups: Iterable[str] = (), address_groups: Iterable[str] = ()) -> RulesItem:
    """A security group with one ingress rule per remote group and address group."""
    return RulesItem(
        id=id,
        stateful=True,
        rules=(
            *(GroupRule(id=f"{id}-{g}", is_ingress=True, ip_version=4, group=g) for g in groups),
            *(GroupRule(id=f"{id}-{a}", is_ingress=True, ip_version=4, addresses=a) for a in address_groups),
        ),
    )


def open_group(id: str = "open") -> RulesItem:
    """A security group that allows everything, both ways."""
    allowed = (
        GroupRule(id=f"{id}-{version}-{is_ingress}", is_ingress=is_ingress, ip_version=version)
        for version in (4, 6)
        for is_ingress in (False, True)
    )
    return RulesItem(id=id, stateful=True, rules=tuple(sorted(allowed, key=lambda rule: rule.id)))


def scope_of(item: Item, of: str = "net") -> Scope:
    """Where an item of the host under test belongs.

    `of`: the network of a neighbour, claim, network host or ACL; the group of a member; the address group of a prefix.
    """
    match item:
        case HostItem() | LocalPort() | GatewayItem() | FloatingIpItem() | FirewallItem():
            return host_scope(HOST)
        case BgpSpeakerItem() | BgpRoutesItem() | RelayItem() | RescueItem():
            return host_scope(HOST)
        case RegionItem() | ReleaseItem():
            return REGION
        case NetworkItem() | NetworkRelays():
            return network_scope(item.id)
        case SubnetItem():
            return network_scope(item.network_id)
        case RouterItem():
            return router_scope(item.id)
        case RulesItem():
            return rules_scope(item.id)
        case QosItem():
            return qos_scope(item.id)
        case Member():
            return members_scope(of)
        case Prefix():
            return addresses_scope(of)
        case NetworkHost() | OpenHost() | NetworkAclItem():
            return network_scope(of)
        case Neighbour() | Claim():
            return neighbours_scope(of)


def envelope(item: Item, since: int = 0, codec: ItemCodec = CODEC) -> Envelope:
    """The item as ncm forwards it."""
    return Envelope(key_of(item), since, refers(item), codec.encode(item))


class KeptItems:
    """A codec that keeps the items, so that a test can hold what no real codec would let pass."""

    def __init__(self) -> None:
        self.items: list[Item] = []

    def encode(self, item: Item) -> bytes:
        """As the protocol says."""
        self.items.append(item)
        return str(len(self.items) - 1).encode()

    def codes(self, key: Key, body: bytes) -> list[Code]:
        return CODEC.codes(key, body)

    def decode(self, key: Key, body: bytes) -> Item:
        """As the protocol says."""
        return self.items[int(body)]


class FakeNcm:
    """A region's goal state for one host, and the stream that tells it.

    Holds every scope as present items with the revision of their last change, so that it answers snapshots and
    resumes as the real one does.
    """

    def __init__(self, *, epoch: int = EPOCH, heartbeat_s: float = 3_600.0) -> None:
        self.epoch, self.generation, self.revision = epoch, 1, 1
        self.heartbeat_s = heartbeat_s
        self.items: dict[Scope, dict[Key, tuple[int, Item]]] = defaultdict(dict)
        self.tombstones: dict[Scope, dict[Key, int]] = defaultdict(dict)
        self.messages: list[AgentMessage] = []
        self.hellos: list[Hello] = []
        self.refusal = ""
        self.is_reachable = True
        # Stop delivering what is committed, as a slow network does; `flush` delivers it.
        self.is_slow = False
        self.stream: _FakeStream | None = None
        self.connects = 0
        self.beats: asyncio.Queue[str] = asyncio.Queue()
        self.waiting: list[NcmMessage] = []
        self._wanted: set[Scope] = set()
        self.put(A_REGION, A_HOST)

    # --- intent ----------------------------------------------------------------------------------------

    def put(self, *items: Item, network_id: str = "net") -> None:
        """One revision in which these items are put; `network_id` as `of` of `scope_of`."""
        self.commit(put=[(scope_of(item, network_id), item) for item in items])

    def remove(self, *keys: tuple[Scope, Key]) -> None:
        """One revision in which these are removed."""
        self.commit(removed=keys)

    def remove_port(self, number: int, network_id: str = "net") -> None:
        """One revision in which a local port is deleted."""
        id = f"port-{number}"
        self.remove(
            (host_scope(HOST), Key(ItemKind.LOCAL_PORT, id)),
            (neighbours_scope(network_id), Key(ItemKind.NEIGHBOUR, id)),
        )

    def commit(
        self, put: Iterable[tuple[Scope, Item]] = (), removed: Iterable[tuple[Scope, Key]] = ()
    ) -> None:
        """One revision, told to the agent if a stream is open: new scopes first, the host's own last."""
        before, self.revision = self.revision, self.revision + 1
        touched: dict[Scope, None] = {}
        for scope, key in removed:
            if self.items[scope].pop(key, None) is not None:
                self.tombstones[scope][key] = self.revision
                touched[scope] = None
        for scope, item in put:
            self.items[scope][key_of(item)] = (self.revision, item)
            self.tombstones[scope].pop(key_of(item), None)
            touched[scope] = None
        if self.stream is None:
            return
        needed = self.closure()
        messages: list[NcmMessage] = [self.snapshot(scope) for scope in sorted(needed - self._wanted)]
        steps = [scope for scope in sorted(touched, key=_host_last) if scope in needed & self._wanted]
        messages += [self.step(scope, before) for scope in steps]
        messages += [Dropped(scope) for scope in sorted(self._wanted - needed)]
        self._wanted = needed
        self.deliver(*messages, self.heads())

    def closure(self) -> set[Scope]:
        """What the host needs."""
        return set(closure(self.states(), HOST))

    def states(self) -> dict[Scope, State]:
        """What every scope holds."""
        return {scope: {key: item for key, (_, item) in items.items()} for scope, items in self.items.items()}

    # --- messages --------------------------------------------------------------------------------------

    def snapshot(self, scope: Scope) -> ScopeUpdate:
        """All of a scope."""
        return self._update(scope, 0, [(since, item) for since, item in self.items[scope].values()], ())

    def step(self, scope: Scope, position: int) -> ScopeUpdate:
        """What happened in a scope after `position`."""
        put = [(since, item) for since, item in self.items[scope].values() if since > position]
        removed = tuple(key for key, at in self.tombstones[scope].items() if at > position)
        return self._update(scope, position, put, removed)

    def _update(
        self, scope: Scope, position: int, put: Sequence[tuple[int, Item]], removed: tuple[Key, ...]
    ) -> ScopeUpdate:
        return ScopeUpdate(
            scope=scope,
            epoch=self.epoch,
            generation=self.generation,
            from_revision=position,
            through=self.revision,
            put=tuple(envelope(item, since) for since, item in put),
            removed=removed,
        )

    def heads(self) -> Heads:
        """All shards are through the last revision."""
        through = dict.fromkeys(range(64), self.revision)
        return Heads(epoch=self.epoch, generation=self.generation, through=through)

    def deliver(self, *messages: NcmMessage) -> None:
        """Send to the agent, in one batch."""
        if self.is_slow:
            self.waiting += messages
        elif self.stream is not None:
            self.stream.inbox.put_nowait(messages)

    def flush(self) -> None:
        """Deliver what waited, in one batch."""
        self.is_slow = False
        waiting, self.waiting = self.waiting, []
        self.deliver(*waiting)

    def restore(self, *, epoch: int, keep: Iterable[Scope] = ()) -> None:
        """A database of another history: a new epoch in which only `keep` (and region and host) is known."""
        kept = {scope: dict(self.items[scope]) for scope in keep}
        self.epoch, self.revision, self.generation = epoch, 1, 1
        self.items.clear()
        self.tombstones.clear()
        self.put(A_REGION, A_HOST)
        for scope, items in kept.items():
            self.commit(put=[(scope, item) for _, item in items.values()])

    # --- the stream ------------------------------------------------------------------------------------

    async def connect(self) -> "_FakeStream":
        """As AgentConnector says."""
        self.connects += 1
        if not self.is_reachable:
            raise ConnectionError("nobody listens")
        self.waiting.clear()
        self.stream = _FakeStream(self)
        return self.stream

    def disconnect(self) -> None:
        """Break the stream."""
        stream, self.stream = self.stream, None
        if stream is not None:
            stream.inbox.put_nowait(None)

    def heard(self, message: AgentMessage) -> None:
        """The agent spoke."""
        self.messages.append(message)
        if isinstance(message, Hello):
            self.hellos.append(message)
            self._greet(message)
        elif isinstance(message, Heartbeat):
            self.beats.put_nowait(message.detail)
        elif isinstance(message, Resume):
            self.deliver(
                self.step(message.scope, message.position)
                if message.position
                else self.snapshot(message.scope),
                self.heads(),
            )

    def _greet(self, hello: Hello) -> None:
        if self.refusal:
            self.deliver(Refused(self.refusal))
            return
        self._wanted = self.closure()
        updates: list[NcmMessage] = []
        for scope in sorted(self._wanted, key=_host_last):
            position = hello.positions.get(scope, 0) if hello.epoch == self.epoch else 0
            updates.append(self.step(scope, position) if position else self.snapshot(scope))
        updates += [Dropped(scope) for scope in sorted(set(hello.positions) - self._wanted)]
        self.deliver(Welcome(self.epoch, self.heartbeat_s), *updates, self.heads())

    # --- what it heard ---------------------------------------------------------------------------------

    @property
    def realized(self) -> dict[int, int]:
        """Shard → through, as acknowledged in this epoch."""
        found: dict[int, int] = {}
        for message in self.messages:
            if isinstance(message, Ack) and message.epoch == self.epoch:
                found |= message.realized
        return found

    @property
    def reports(self) -> list[PortReport]:
        """All port reports, in order."""
        return [report for ack in self.messages if isinstance(ack, Ack) for report in ack.ports]

    @property
    def details(self) -> list[str]:
        """The sentences of all heartbeats, in order."""
        return [beat.detail for beat in self.messages if isinstance(beat, Heartbeat)]

    def is_realized(self, *scopes: Scope) -> bool:
        """Whether the last revision is confirmed in these scopes."""
        return all(self.realized.get(shard_of(scope)) == self.revision for scope in scopes)


def _host_last(scope: Scope) -> tuple[bool, Scope]:
    return scope == host_scope(HOST), scope


class _FakeStream:
    """The agent's end."""

    def __init__(self, ncm: FakeNcm) -> None:
        self.inbox: asyncio.Queue[Sequence[NcmMessage] | None] = asyncio.Queue()
        self._ncm = ncm

    async def send(self, message: AgentMessage) -> None:
        if self._ncm.stream is not self:
            raise ConnectionError("the stream is broken")
        self._ncm.heard(message)

    async def receive(self) -> AsyncIterator[Sequence[NcmMessage]]:
        while (batch := await self.inbox.get()) is not None:
            yield batch

    async def close(self) -> None:
        if self._ncm.stream is self:
            self._ncm.stream = None


class Clock:
    """Time that only tests move. `sleep` returns at once and notes how long it would have taken."""

    def __init__(self) -> None:
        self.s = 1_000.0
        self.slept_s: list[float] = []

    def monotonic_s(self) -> float:
        return self.s

    def unix_ms(self) -> float:
        return self.s * 1_000

    async def sleep(self, delay_s: float) -> None:
        self.slept_s.append(delay_s)
        await asyncio.sleep(0)


async def settled() -> None:
    """Let everything that is ready run: in memory nothing waits for time, so a bounded number of rounds is enough."""
    for _ in range(100):
        await asyncio.sleep(0)


def an_agent(
    ncm: FakeNcm, switch: SimulatedSwitch, clock: Clock | None = None, *, release_hold: bool = False
) -> Agent:
    """An agent that has not been started."""
    clock = clock or Clock()
    return Agent(
        ncm,
        switch,
        CODEC,
        host_id=HOST,
        token=lambda: "secret",
        version="1",
        now_ms=clock.unix_ms,
        random=lambda: 0.5,
        release_hold=release_hold,
        monotonic_s=clock.monotonic_s,
        sleep=clock.sleep,
    )


@asynccontextmanager
async def running(agent: Agent) -> AsyncIterator[Agent]:
    """The agent at work, settled; killed at the end as by a signal."""
    task = asyncio.create_task(agent.run())
    try:
        await settled()
        yield agent
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def expected(ncm: FakeNcm, switch: SimulatedSwitch) -> dict[FlowKey, Flow]:
    """The flows of everything the region tells this host, computed from nothing, with the numbers the switch keeps."""
    view = resolve(ncm.states(), HOST)
    return flows(view, numbers_of(switch))


def numbers_of(switch: SimulatedSwitch) -> Allocation:
    """What an agent that has found out nothing more knows of its switch."""
    found = Allocation(ofports=dict(switch.vifs), tunnels=dict(switch.tunnels))
    for name, number in switch.numbers.items():
        kind, _, id = name.partition(":")
        keys = {
            "port": found.port_keys,
            "network": found.network_keys,
            "router": found.router_keys,
            "limit": found.limit_keys,
        }
        keys.get(kind, {})[id] = number
    return found


def a_site(ncm: FakeNcm, ports: Iterable[int] = (1, 2), *, remote: Mapping[int, str] | None = None) -> None:
    """One network with one subnet, local ports, and neighbours on another host."""
    numbers = list(ports)
    others = dict(remote or {90: OTHER_VTEP})
    ncm.put(
        network(),
        subnet(),
        NetworkHost(id=HOST, vtep=VTEP),
        NetworkHost(id="host-2", vtep=OTHER_VTEP),
        *(local_port(number) for number in numbers),
        *(neighbour(number) for number in numbers),
        *(neighbour(number, vtep=vtep) for number, vtep in others.items()),
    )
