"""Whether the region is as intent says: flows of every host, states of ports; from rows, not by the graph."""

from alcor.agent.provision import provisions
from alcor.agent.simulated import SimulatedSwitch
from alcor.goalstate.scope import Scope
from alcor.model.host import Host
from alcor.model.port import Port
from alcor.pipeline.compile import flows, groups, meters
from alcor.pipeline.resolve import closure, resolve
from alcor.pipeline.view import View
from tests.support.agent import numbers_of
from tests.support.sim.demand import held_on_demand, wrong_parts
from tests.support.sim.tenant import MACHINE_OWNER
from tests.support.sim.truth import Revision
from tests.support.sim.world import AgentNode, World

NAMED_MAX = 3


def view_of(world: World, node: AgentNode) -> View:
    """What the host should know, from rows; of what it holds on demand, whatever it has asked for."""
    states, part = world.truth.head.states, held_on_demand(node)
    known = {
        scope: {key: item for key, item in state.items() if scope not in part or key in part[scope]}
        for scope, state in states.items()
    }
    return resolve(known, node.host_id, lazy=part)


def wrong_flows(world: World, node: AgentNode) -> list[str]:
    """What in a host's switch is not what intent says."""
    return differences(view_of(world, node), node.switch, node.host_name)


def differences(view: View, switch: SimulatedSwitch, host_name: str) -> list[str]:
    """What in a switch is not what a view gives."""
    numbers = numbers_of(switch)
    provisions(view, None).note(switch.ports, numbers)
    wanted = flows(view, numbers)
    present = switch.tables.flows
    found = [
        f"{host_name}: {len(keys)} flows {what}: {[str(key) for key in keys[:NAMED_MAX]]}"
        for what, keys in (
            ("missing", [key for key in wanted if key not in present]),
            ("too many", [key for key in present if key not in wanted]),
            ("different", [key for key in wanted if key in present and present[key] != wanted[key]]),
        )
        if keys
    ]
    if groups(view, numbers) != switch.tables.groups:
        found.append(f"{host_name}: other groups than wanted")
    if meters(view, numbers) != switch.meters:
        found.append(f"{host_name}: other meters than wanted")
    return found


def behind(world: World) -> list[str]:
    """Which agents have not everything: a cheap look before the others."""
    found = []
    head = world.truth.head.position
    for node in world.agents:
        agent = node.agent
        if not node.is_running or agent is None:
            found.append(f"{node.name} is not running")
            continue
        hello = agent.hello()
        if hello.epoch != head.epoch:
            found.append(f"{node.name} is in epoch {hello.epoch}, not {head.epoch}")
        late = [scope for scope, through in hello.positions.items() if through < head.revision]
        if late or not hello.positions:
            found.append(f"{node.name} is behind {head.revision} in {list(map(str, late))[:NAMED_MAX]}")
    return found


def wrong_scopes(world: World, node: AgentNode) -> list[str]:
    """Which scopes the host holds and should not, or the other way round."""
    assert node.agent is not None
    held = set(node.agent.hello().positions)
    wanted = closure_of(world.truth.head, node.host_id)
    if held == wanted:
        return []
    return [f"{node.name}: lacks {sorted(wanted - held)}, holds besides {sorted(held - wanted)}"]


def closure_of(revision: Revision, host_id: str) -> set[Scope]:
    """The scopes a host must hold at a revision."""
    return set(closure(revision.states, host_id))


async def wrong_states(world: World) -> list[str]:
    """Ports whose state is not what is so: ACTIVE iff it is up, bound, plugged there, and open."""
    rows = world.truth.head.rows
    ports = [row for row in rows.values() if isinstance(row, Port) and row.device_owner == MACHINE_OWNER]
    seen = await world.store.observations.ports([port.id for port in ports])
    hosts = {row.name: row for row in rows.values() if isinstance(row, Host)}
    found = []
    for port in ports:
        node, host = world.agent_named(port.binding_host_id), hosts.get(port.binding_host_id)
        fact = seen.get(port.id)
        told = "DOWN"
        if fact is not None and host is not None and fact.host_id == host.id:
            told = fact.status if fact.binding_generation == port.binding_generation else "DOWN"
        is_there = node is not None and port.id in node.switch.vifs and node.switch.is_up
        is_open = is_there and node is not None and port.id in view_of(world, node).ports
        right = "ACTIVE" if is_open and port.admin_state_up else "DOWN"
        if told != right:
            found.append(
                f"port {port.id} on {port.binding_host_id or 'no host'} is {told}, not {right}: {fact}"
            )
    alive = await world.store.observations.hosts([node.host_id for node in world.agents])
    for agent in world.agents:
        heard = alive.get(agent.host_id)
        if heard is None or not heard.alive:
            found.append(f"host {agent.host_name} is not alive: {heard}")
    return found


async def trouble(world: World) -> list[str]:
    """Everything that is not as it should be at rest; the first kind that is found."""
    late = behind(world)
    if late:
        return late
    for node in world.agents:
        found = wrong_scopes(world, node) or wrong_parts(world, node) or wrong_flows(world, node)
        if found:
            return found
    return await wrong_states(world)
