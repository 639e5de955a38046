"""The counting switch keeps the driver's promises, and folded flows show every change."""

import pytest

from alcor.agent.counting import CountingSwitch, flows_in, fold, no_flows
from alcor.agent.driver import Connected, FlowDiff, Lost, SwitchError, TraceEntry, VifsChanged
from alcor.pipeline.flow import Flow, FlowKey, Output, match
from alcor.pipeline.unit import SHARED, port_unit
from alcor.pipeline.view import Allocation, View

UNIT = port_unit("port-1")


def a_flow(priority: int, port: int = 1) -> Flow:
    return Flow(0, priority, match(in_port=7), (Output(port),), 1)


def test_a_fold_stands_for_all_flows_of_a_unit() -> None:
    """One flow says how many there are, and differs when any of them does."""
    [one] = fold(UNIT, (a_flow(1), a_flow(2)))
    [same] = fold(UNIT, (a_flow(1), a_flow(2)))
    [other] = fold(UNIT, (a_flow(1), a_flow(2, port=9)))

    assert (flows_in(one), one == same) == (2, True)
    assert one.key == other.key
    assert one != other


def test_folds_of_two_units_do_not_meet() -> None:
    """Units have different keys, so that no unit's fold replaces another's."""
    [one], [other] = fold(UNIT, (a_flow(1),)), fold(SHARED, (a_flow(1),))

    assert one.key != other.key


def test_no_flows_fold_to_none() -> None:
    """A unit without flows is not in the switch; nor is anything where the pipeline rests."""
    assert fold(UNIT, ()) == ()
    assert no_flows(UNIT, View(), Allocation()) == ()


def test_a_whole_flow_counts_as_one() -> None:
    """Audited hosts keep flows whole: each counts."""
    assert flows_in(a_flow(1)) == 1


async def test_compare_finds_what_differs_and_apply_mends_it() -> None:
    """What is told is held, counted, and equal to what was wanted."""
    switch = CountingSwitch("one")
    folded = fold(UNIT, (a_flow(1), a_flow(2)))
    wanted = {flow.key: flow for flow in (*folded, a_flow(3))}
    stray = a_flow(4)
    await switch.apply(FlowDiff([stray]))

    diff = await switch.compare(wanted, [])
    await switch.apply(diff)

    assert list(diff.remove) == [stray.key]
    assert switch.flows == wanted
    assert switch.flow_count == 3
    assert not await switch.compare(wanted, [])


async def test_a_switch_that_restarts_has_lost_its_flows_and_kept_its_numbers() -> None:
    """As Open vSwitch does: the database outlives the flows."""
    switch = CountingSwitch("one")
    events = switch.events()
    heard = [await anext(events), await anext(events)]
    await switch.save_numbers({"port:a": 4})
    await switch.apply(FlowDiff([a_flow(1)]))
    switch.plug(["port-1"])
    switch.restart()
    heard += [await anext(events) for _ in range(4)]

    assert [type(event) for event in heard] == [
        Connected,
        VifsChanged,
        VifsChanged,
        Lost,
        Connected,
        VifsChanged,
    ]
    assert switch.flows == {}
    assert await switch.load_numbers() == {"port:a": 4}


async def test_a_vif_keeps_its_port_and_no_port_is_used_twice() -> None:
    """Plugging again moves nothing; a number that was given back is not another's."""
    switch = CountingSwitch("one")
    switch.plug(["a", "b"])
    first = dict(switch.vifs)
    switch.plug(["a"])
    switch.unplug(["b", "nobody"])
    switch.plug(["c"])

    assert switch.vifs["a"] == first["a"]
    assert switch.vifs["c"] not in first.values()


async def test_no_packet_runs_through_it() -> None:
    """Whoever asks for a trace is told why there is none."""
    switch = CountingSwitch("one")

    with pytest.raises(SwitchError, match="counts its flows"):
        await switch.trace(TraceEntry(b"", 1))
    assert FlowKey(0, 1, ()) not in switch.flows
