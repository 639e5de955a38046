"""Random lives of a region: whatever happens in whatever order, agents end up with exactly their closures."""

from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.scope import REGION, Scope, host_scope, neighbours_scope, network_scope
from tests.support.bus import a_local_port, a_neighbour, a_network
from tests.support.ncm import FakeAgent, Site, a_site

HOSTS = ("host-1", "host-2")
NETWORKS = ("n1", "n2", "n3")

moves = st.lists(
    st.one_of(
        st.tuples(st.just("bind"), st.sampled_from(HOSTS), st.sampled_from(NETWORKS), st.integers(0, 3)),
        st.tuples(st.just("unbind"), st.sampled_from(HOSTS), st.sampled_from(NETWORKS), st.integers(0, 3)),
        st.tuples(st.just("edit"), st.just(""), st.sampled_from(NETWORKS), st.integers(0, 9)),
        st.tuples(
            st.sampled_from(("attach", "leave", "stall", "read")),
            st.sampled_from(HOSTS),
            st.just(""),
            st.just(0),
        ),
        st.tuples(st.just("settle"), st.just(""), st.just(""), st.just(0)),
    ),
    max_size=30,
)


class Life:
    """A region whose ports come and go, and its two agents."""

    def __init__(self, site: Site) -> None:
        self.site = site
        self.agents: dict[str, FakeAgent] = {}
        self.all: list[FakeAgent] = []

    def bind(self, host_id: str, network_id: str, number: int) -> None:
        id = f"{host_id}-{network_id}-{number}"
        self.site.publisher.change(
            {
                host_scope(host_id): [a_local_port(id, network_id)],
                network_scope(network_id): [a_network(network_id)],
                neighbours_scope(network_id): [a_neighbour(id, host_id=host_id)],
            }
        )

    def unbind(self, host_id: str, network_id: str, number: int) -> None:
        id = f"{host_id}-{network_id}-{number}"
        self.site.publisher.change(
            removed={
                host_scope(host_id): [Key(ItemKind.LOCAL_PORT, id)],
                neighbours_scope(network_id): [Key(ItemKind.NEIGHBOUR, id)],
            }
        )

    def edit(self, network_id: str, number: int) -> None:
        self.site.publisher.change({network_scope(network_id): [a_network(network_id, mtu=1000 + number)]})

    async def attach(self, host_id: str) -> None:
        """Attach the host's agent, or have it come back with what it held."""
        before = self.agents.get(host_id)
        agent = FakeAgent(host_id=host_id)
        if before is not None:
            await self.leave(host_id)
            agent = FakeAgent(host_id=host_id, epoch=before.epoch, held=before.held, position=before.position)
        self.agents[host_id] = agent
        self.all.append(agent)
        self.site.attach(agent)

    async def leave(self, host_id: str) -> None:
        agent = self.agents.get(host_id)
        if agent is not None:
            agent.reading.set()
            await self.site.left(agent)

    def closure(self, host_id: str) -> list[Scope]:
        """The definition: the region, the host, and both scopes of each of its ports' networks."""
        networks = sorted(
            {
                put.item.network_id
                for put in self.site.publisher.items[host_scope(host_id)].values()
                if hasattr(put.item, "network_id")
            }
        )
        of_networks = [scope(id) for id in networks for scope in (network_scope, neighbours_scope)]
        return [REGION, host_scope(host_id), *of_networks]


@settings(deadline=None)
@given(moves)
async def test_agents_end_with_their_closure(steps: list[tuple[str, str, str, int]]) -> None:
    """However changes, slow agents and reconnections interleave: the closure and nothing else, each scope as published,
    no reference ahead of its target, no gap."""
    async with a_site(chunk_bytes=300, grace_s=0) as site:
        life = Life(site)
        for move, host_id, network_id, number in steps:
            match move:
                case "bind":
                    life.bind(host_id, network_id, number)
                case "unbind":
                    life.unbind(host_id, network_id, number)
                case "edit":
                    life.edit(network_id, number)
                case "attach":
                    await life.attach(host_id)
                case "leave":
                    await life.leave(host_id)
                case "stall" if host_id in life.agents:
                    life.agents[host_id].reading.clear()
                case "read" if host_id in life.agents:
                    life.agents[host_id].reading.set()
                case "settle":
                    await site.settled()
        for host_id in HOSTS:
            await life.attach(host_id)
        site.publisher.change()

        for host_id, agent in life.agents.items():
            await agent.until(
                lambda agent=agent, host_id=host_id: set(agent.held) == set(life.closure(host_id))  # type: ignore[misc]
            )
            await agent.until_synced(site.publisher.head)
            assert site.same(agent, life.closure(host_id))
        assert [agent.early for agent in life.all if agent.early] == []
        assert [agent.gaps for agent in life.all if agent.gaps] == []
