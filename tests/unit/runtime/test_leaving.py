"""What a host that leaves takes out of its switch."""

from alcor.agent.driver import FlowDiff
from alcor.agent.simulated import SimulatedSwitch
from alcor.pipeline.flow import Flow, Output, match
from alcor.runtime.leaving import clear

A_FLOW = Flow(0, 100, match(in_port=1), (Output(2),), 0xA1 << 56 | 7)


async def a_switch() -> SimulatedSwitch:
    """One that holds a flow."""
    switch = SimulatedSwitch("s1")
    await switch.apply(FlowDiff(put=[A_FLOW]))
    return switch


async def test_flows_go_when_nothing_is_plugged() -> None:
    """The switch forwards nothing for a region it is no part of."""
    switch = await a_switch()

    said = await clear(switch)

    assert switch.tables.flows == {}
    assert said.startswith("1 flows were removed")


async def test_flows_stay_while_a_vm_is_plugged() -> None:
    """Who left by mistake has cut nobody off; what keeps the switch from being cleared is named."""
    switch = await a_switch()
    switch.plug("port-1")

    said = await clear(switch)

    assert list(switch.tables.flows) == [A_FLOW.key]
    assert "port-1" in said
