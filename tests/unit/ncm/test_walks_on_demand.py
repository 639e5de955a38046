"""Random lives of a network that is sometimes large: whatever is lost, late or crosses, hosts hold what they should."""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.agent.on_demand import ABSENT_S, GATHER_S, RETRY_S, Asker, LookupTimes
from alcor.agent.view import HostView
from alcor.bus.interface import (
    AgentMessage,
    Dropped,
    Heads,
    Hello,
    NcmMessage,
    ScopeUpdate,
    Welcome,
)
from alcor.goalstate.item import ItemKind, Key, Neighbour, RelayItem, key_of
from alcor.goalstate.scope import host_scope, neighbours_scope, network_scope
from tests.support.bus import a_local_port, a_neighbour, a_network
from tests.support.ncm import CODEC, Site, a_site

HOSTS = ("host-1", "host-2")
NET, NEIGHBOURS = network_scope("net-1"), neighbours_scope("net-1")
ABOVE, BELOW = 4, 3
IDLE_S, TTL_S = 40.0, 20.0
EXAMPLES = int(os.environ.get("ALCOR_WALKS", "100"))


class Stream:
    """One stream, as the ncm's end sees it (`AgentPeer`). What is sent lies in `frames` until it is delivered."""

    identity = None

    def __init__(self) -> None:
        self.frames: list[Sequence[NcmMessage]] = []
        self.said: asyncio.Queue[AgentMessage | None] = asyncio.Queue()

    async def send(self, messages: Sequence[NcmMessage]) -> None:
        """As the protocol says."""
        self.frames.append(tuple(messages))

    async def receive(self) -> AsyncIterator[AgentMessage]:
        """As the protocol says."""
        while (message := await self.said.get()) is not None:
            yield message


class Host:
    """An agent's store and asker on a stream that breaks and loses; its clock is the test's."""

    def __init__(self, site: Site, host_id: str) -> None:
        self.site, self.host_id = site, host_id
        self.view = HostView(host_id, CODEC)
        self.now_s = 1_000.0
        self.asker = Asker(
            is_lazy=self.view.lazy,
            held=self.view.lazy_held,
            digest=self.view.digest,
            monotonic_s=lambda: self.now_s,
            random=lambda: 0.5,
            times=LookupTimes(IDLE_S, TTL_S),
        )
        self.stream, self.is_open = Stream(), False
        self.attach()

    def attach(self) -> None:
        """Open a stream; what lay on the one before is lost."""
        self.stream.said.put_nowait(None)
        self.stream, self.is_open = Stream(), False
        self.stream.said.put_nowait(
            Hello(
                host_id=self.host_id,
                token="secret",
                agent_version="1",
                epoch=self.view.epoch,
                positions=self.view.positions(),
                held=self.view.lazy_keys(),
            )
        )
        self.site.tasks[id(self.stream)] = asyncio.create_task(self.site.ncm.handle(self.stream))

    def deliver(self, frames: int) -> None:
        """Take in so many frames."""
        taken, self.stream.frames = self.stream.frames[:frames], self.stream.frames[frames:]
        for frame in taken:
            steps: list[ScopeUpdate | Heads | Dropped] = []
            for message in frame:
                if isinstance(message, Welcome):
                    self.is_open = True
                    self.view.begin(message.epoch)
                    self.asker.begun()
                else:
                    assert isinstance(message, ScopeUpdate | Heads | Dropped)
                    steps.append(message)
            changes = self.view.apply(steps)
            self.asker.noted(changes)
            for resume in changes.resume:
                self.stream.said.put_nowait(resume)

    def speak(self, seconds: float, *, lose: bool = False) -> None:
        """Let time pass, and send what is due; or lose it."""
        self.now_s += seconds
        if self.is_open:
            for message in self.asker.take():
                if not lose:
                    self.stream.said.put_nowait(message)

    def use(self, number: int) -> None:
        """Packets of a neighbour are seen."""
        self.asker.used(NEIGHBOURS, [Key(ItemKind.NEIGHBOUR, f"p{number}")])

    def held(self) -> dict[Key, Neighbour]:
        """What is held of the network's neighbours."""
        network = self.view.resolved.networks.get("net-1")
        return {} if network is None else {key_of(item): item for item in network.neighbours.values()}


def peer(number: int, address: int, vtep: int) -> Neighbour:
    """A neighbour; addresses are few, so that they move from one to another."""
    return a_neighbour(
        f"p{number}",
        mac=f"fa:16:3e:00:00:{number:02x}",
        ips=(f"10.0.0.{address}",),
        vtep=f"192.0.2.{vtep}",
    )


class Life:
    """A network whose ports come and go, and the hosts that hold a part of it or all."""

    def __init__(self, site: Site) -> None:
        self.site = site
        put = {host_scope(host): [a_local_port(f"vm-{host}")] for host in HOSTS}
        # Large at first: so most lives have something to ask for.
        peers = [peer(number, number, 9) for number in range(ABOVE + 2)]
        site.publisher.change({NET: [a_network()], NEIGHBOURS: peers, **put})
        self.hosts = [Host(site, host_id) for host_id in HOSTS]

    def intent(self) -> dict[Key, Neighbour]:
        """What the network's neighbours are."""
        items = self.site.publisher.items[NEIGHBOURS]
        return {key: put.item for key, put in items.items() if isinstance(put.item, Neighbour)}

    async def do(self, move: str, first: int, second: int) -> None:
        host, publisher = self.hosts[first % 2], self.site.publisher
        match move:
            case "put":
                publisher.change({NEIGHBOURS: [peer(first, second, first), peer(second, first, second)]})
            case "touch":
                publisher.change({NEIGHBOURS: [peer(first, first, second)]})
            case "remove":
                publisher.change(removed={NEIGHBOURS: [Key(ItemKind.NEIGHBOUR, f"p{first}")]})
            case "ask":
                host.asker.ask(NEIGHBOURS, f"10.0.0.{second}", "vm")
                host.speak(GATHER_S)
            case "ask in vain":
                host.asker.ask(NEIGHBOURS, f"10.0.0.{second}", "vm")
                host.speak(GATHER_S, lose=True)
            case "use":
                host.use(second)
            case "wait":
                host.speak(10.0 * second, lose=first > 5)
            case "deliver":
                host.deliver(1 + second)
            case "break":
                host.attach()
            case "relay" if second % 2:
                publisher.change({host_scope(host.host_id): [RelayItem(id="net-1")]})
            case "relay":
                publisher.change(removed={host_scope(host.host_id): [Key(ItemKind.RELAY, "net-1")]})
            case "epoch" if second == 0:
                publisher.begin_epoch(max(1, publisher.head + first - 4))
            case "settle":
                await self.site.settled()

    async def settle(self) -> None:
        """Let everything arrive, with retries."""
        for _ in range(8):
            for host in self.hosts:
                host.speak(RETRY_S)
            self.site.publisher.change()
            await self.site.settled()
            for host in self.hosts:
                host.deliver(1_000)
            await self.site.settled()


# What happens often stands more than once.
MOVES = (
    *("put", "put", "touch", "remove", "ask", "ask", "ask in vain", "use", "wait"),
    *("deliver", "deliver", "break", "relay", "epoch", "settle", "settle", "settle"),
)
numbers = st.integers(0, 7)
moves = st.lists(
    st.tuples(
        st.sampled_from(MOVES),
        numbers,
        numbers,
    ),
    min_size=10,
    max_size=60,
)


@settings(deadline=None, max_examples=EXAMPLES)
@given(moves)
async def test_hosts_hold_what_they_should(steps: list[tuple[str, int, int]]) -> None:
    """At the end each host's items are those of intent: all of a small network, and of a large one those whose keys it
    holds, which the ncm knows it holds; whom it thinks absent is absent; whoever it asks for it gets.
    """
    async with a_site(chunk_bytes=400, grace_s=0, lazy_above=ABOVE, lazy_below=BELOW) as site:
        life = Life(site)
        await life.settle()
        for move, first, second in steps:
            await life.do(move, first, second)
        await life.settle()

        intent = life.intent()
        subjects = {item.ips[0]: set[Key]() for item in intent.values()}
        for key, item in intent.items():
            subjects[item.ips[0]].add(key)
        for host in life.hosts:
            check(host, intent, subjects)
        for host in life.hosts:
            host.now_s += ABSENT_S
            for address in range(8):
                host.asker.ask(NEIGHBOURS, f"10.0.0.{address}", "vm")
        await life.settle()
        for host in life.hosts:
            check(host, intent, subjects)
            assert host.held() == intent
            assert host.asker.outstanding == 0


def check(host: Host, intent: dict[Key, Neighbour], subjects: dict[str, set[Key]]) -> None:
    """What a host holds and thinks is true."""
    held, view = host.held(), host.view
    session = host.site.ncm._sessions[host.host_id]
    holder = session._delivery._holder(NEIGHBOURS)

    assert view.in_sync
    assert held == {key: intent[key] for key in held}
    if view.lazy(NEIGHBOURS):
        assert holder is not None
        assert set(holder.interest.keys_of(holder)) == set(held)
        assert host.asker.held == len(held)
    else:
        assert holder is None
        assert held == intent
    assert not [text for text in subjects if host.asker.is_absent(NEIGHBOURS, text)]
