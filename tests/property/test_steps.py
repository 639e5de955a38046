"""Random regions that change: a host that is told step by step comes to the same flows as one that knows it all."""

from collections.abc import Sequence

import hypothesis.strategies as st
from hypothesis import given

from alcor.agent.view import Changes, HostView
from alcor.bus.interface import Dropped, Heads, ScopeUpdate
from alcor.goalstate.item import State
from alcor.goalstate.scope import Scope
from alcor.pipeline.compile import affected, flows, found, unit_flows, units
from alcor.pipeline.feature import Local, LocalChange
from alcor.pipeline.flow import Flow
from alcor.pipeline.resolve import closure, resolve
from alcor.pipeline.unit import Unit
from alcor.pipeline.view import Allocation
from tests.property.test_missing import changes
from tests.property.test_verdict import HALF
from tests.support.agent import CODEC, envelope
from tests.support.packet_site import TUNNELS, allocation_of
from tests.support.random_region import Region, regions

HOST = "h1"
SHARDS = 64


class Told:
    """A host's view, fed with whole scopes, and the flows of each unit."""

    def __init__(self, numbers: Allocation) -> None:
        self.view = HostView(HOST, CODEC)
        self.numbers = numbers
        self.held: dict[Scope, State] = {}
        self.revision = 0
        self.flows: dict[Unit, Sequence[Flow]] = {}
        self.view.begin(1)

    def tell(self, states: dict[Scope, State]) -> None:
        """What changed, as a node of the control plane forwards it; then only the units it touches are computed."""
        self.revision += 1
        wanted = {scope: states.get(scope, {}) for scope in closure(states, HOST)}
        messages: list[ScopeUpdate | Heads | Dropped] = [
            self._snapshot(scope, state) for scope, state in wanted.items() if self.held.get(scope) != state
        ]
        messages.append(Heads(epoch=1, generation=1, through=dict.fromkeys(range(SHARDS), self.revision)))
        messages += [Dropped(scope) for scope in self.held if scope not in wanted]
        self.held = wanted
        self._compute(self.view.apply(messages))

    def _snapshot(self, scope: Scope, state: State) -> ScopeUpdate:
        put = tuple(envelope(item) for item in state.values())
        return ScopeUpdate(
            scope=scope, epoch=1, generation=1, from_revision=0, through=self.revision, put=put
        )

    def _compute(self, changes: Changes) -> None:
        view = self.view.resolved
        touched = set().union(*(affected(change, view) for change in changes.items))
        for port_id in changes.reopened:
            touched |= found(LocalChange(Local.PORT, port_id), view)
        # What is the same on every host is nobody's change.
        touched |= set(units(view)) if not self.flows else set()
        for unit in touched:
            self.flows[unit] = unit_flows(unit, view, self.numbers)

    @property
    def all_flows(self) -> dict[object, Flow]:
        """The flows of all units."""
        return {flow.key: flow for owned in self.flows.values() for flow in owned}


def numbers_of(sites: Sequence[Region]) -> Allocation:
    """Local numbers for whatever the host meets in any of the regions."""
    ports, networks, routers = set[str](), set[str](), set[str]()
    for site in sites:
        view = resolve(site.states(), HOST)
        ports |= {*view.ports, *view.closed}
        networks |= set(view.networks)
        routers |= set(view.routers)
    first = allocation_of(sites[0], HOST, resolve(sites[0].states(), HOST))
    return Allocation(
        port_keys={id: 1 + n for n, id in enumerate(sorted(ports))},
        network_keys={id: 100 + n for n, id in enumerate(sorted(networks))},
        router_keys={id: 200 + n for n, id in enumerate(sorted(routers))},
        ofports={id: 1000 + n for n, id in enumerate(sorted(ports))},
        tunnels=dict(TUNNELS),
        providers=first.providers,
        next_hops=first.next_hops,
    )


@HALF
@given(st.data())
def test_steps_lead_where_the_whole_does(data: st.DataObject) -> None:
    """After each change the view, its flows, and the flows of touched units alone are those of the whole state."""
    sites = [data.draw(regions())]
    for _ in range(4):
        sites.append(data.draw(changes(sites[-1])))
    numbers = numbers_of(sites)
    told = Told(numbers)
    for site in sites:
        states = site.states()
        told.tell(states)

        whole = flows(resolve(states, HOST), numbers)
        assert flows(told.view.resolved, numbers) == whole
        assert told.all_flows == whole
