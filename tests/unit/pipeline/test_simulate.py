"""The simulated switch does what a real one does, or refuses."""

import pytest

from alcor.pipeline.flow import (
    Action,
    Clone,
    Controller,
    DecTtl,
    Field,
    Flow,
    Match,
    Meter,
    Move,
    Output,
    OutputInPort,
    Pop,
    Push,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.frame import Frame
from alcor.pipeline.prerequisite import FlowRefused
from alcor.pipeline.simulate import SimulatedTables, SimulationError, TunnelMetadata, render_trace
from tests.support.packets import echo, ethernet

M1, M2 = "02:00:00:00:00:01", "02:00:00:00:00:02"
PING = echo((M1, M2), ("10.0.0.1", "10.0.0.2"))


def a_flow(*actions: Action, table: int = 0, priority: int = 100, on: Match = ()) -> Flow:
    return Flow(table, priority, on, actions, 1)


def ports(*flows: Flow, in_port: int = 1, frame: bytes = PING) -> list[int | None]:
    """Where a packet goes."""
    return [emission.port for emission in SimulatedTables(flows).process(frame, in_port)]


def test_a_miss_drops() -> None:
    """What nothing matches is dropped, in the first table and later."""
    assert ports() == []
    assert ports(a_flow(Resubmit(1))) == []


def test_the_highest_priority_wins() -> None:
    """Whatever shape its match has."""
    low, high = a_flow(Output(2), priority=1), a_flow(Output(3), priority=2, on=match(in_port=1))

    assert ports(low, high) == [3]
    assert ports(low, high, in_port=9) == [2]


def test_two_flows_of_one_priority_are_an_error() -> None:
    """A real switch would choose one; which is not said."""
    one, other = a_flow(Output(2), on=match(in_port=1)), a_flow(Output(3), on=match(eth_type=0x0800))

    with pytest.raises(SimulationError, match="two flows match"):
        ports(one, other)
    assert ports(one, other, a_flow(Output(4), priority=200)) == [4]


def test_a_packet_is_not_sent_back() -> None:
    """Output to the in_port is suppressed; OutputInPort is how one means it."""
    assert ports(a_flow(Output(1), Output(2))) == [2]
    assert ports(a_flow(OutputInPort())) == [1]


def test_resubmit_returns_and_keeps_changes() -> None:
    """What a later table writes stays written for the actions that follow."""
    kept = SimulatedTables(
        [a_flow(Resubmit(1), Output(3)), a_flow(SetField(Field.REG0, 5), Output(2), table=1)]
    )

    out = kept.process(PING, 1)

    assert [(emission.port, emission.fields.get("reg0"), emission.table) for emission in out] == [
        (2, 5, 1),
        (3, 5, 0),
    ]


def test_a_clone_changes_nothing_outside() -> None:
    """Neither frame nor registers nor tunnel."""
    inner = Clone((SetField(Field.REG0, 5), SetField(Field.ETH_DST, 7), SetField(Field.TUN_ID, 9), Output(2)))
    out = SimulatedTables([a_flow(inner, Output(3))]).process(PING, 1)

    assert out[0].fields == {"in_port": 1, "reg0": 5, "tun_id": 9}
    assert Frame(out[0].frame).read(Field.ETH_DST) == 7
    assert out[1].fields == {"in_port": 1}
    assert out[1].frame == PING


def test_wide_registers_are_four_narrow_ones() -> None:
    """xxreg1 is reg4 to reg7, the highest first."""
    out = SimulatedTables(
        [
            a_flow(
                SetField(Field.XXREG1, 0x1_0000_0002_0000_0003_0000_0004),
                SetField(Field.REG5, 0),
                Move(Field.XXREG1, Field.REG0, 32, 32),
                SetField(Field.REG7, 0xF0, 0xFF),
                Controller(),
            )
        ]
    ).process(PING, 1)

    assert out[0].fields == {"in_port": 1, "reg0": 3, "reg4": 1, "reg6": 3, "reg7": 0xF0}


def test_push_and_pop_swap() -> None:
    """The stack is how two fields change places."""
    on = match(eth_type=0x0800)
    swap = (
        Push(Field.IPV4_SRC),
        Move(Field.IPV4_DST, Field.IPV4_SRC, 32),
        Pop(Field.IPV4_DST),
        OutputInPort(),
    )

    out = SimulatedTables([a_flow(*swap, on=on)]).process(PING, 1)

    assert out[0].frame == echo((M1, M2), ("10.0.0.2", "10.0.0.1"))


def test_popping_nothing_is_an_error() -> None:
    """The flows are wrong."""
    with pytest.raises(SimulationError, match="empty stack"):
        ports(a_flow(Pop(Field.REG0)))


def test_ttl_ends_a_packet() -> None:
    """A packet whose time is over does not go on; others have one less."""
    flow = a_flow(DecTtl(), Output(2), on=match(eth_type=0x0800))
    frame = Frame(PING)

    assert Frame(SimulatedTables([flow]).process(PING, 1)[0].frame).read(Field.IP_TTL) == 63
    frame.write(Field.IP_TTL, 1)
    assert ports(flow, frame=frame.to_bytes()) == []


def test_tunnel_fields_come_and_go() -> None:
    """A packet brings its tunnel id, and leaves with what was set; an IPv4 end wins over an IPv6 one."""
    kept = SimulatedTables(
        [
            a_flow(
                SetField(Field.TUN_ID, 8),
                SetField(Field.TUN_IPV6_DST, 6),
                Output(2),
                SetField(Field.TUN_IPV4_DST, 4),
                Output(3),
                on=match(tun_id=7, tun_ipv4_src=0xC000_0201),
            )
        ]
    )

    assert kept.process(PING, 1, TunnelMetadata(6)) == []
    out = kept.process(PING, 1, TunnelMetadata(7, ipv4_src=0xC000_0201))
    assert [(emission.tun_id, emission.tunnel_end) for emission in out] == [(8, "::6"), (8, "0.0.0.4")]
    assert SimulatedTables([a_flow(Output(2))]).process(PING, 1)[0].tunnel_end is None


def test_a_meter_lets_through() -> None:
    """Time does not pass here."""
    assert ports(a_flow(Meter(5), Controller())) == [None]


def test_flows_are_replaced_and_removed() -> None:
    """By key; removing what is not there is nothing."""
    kept = SimulatedTables([a_flow(Output(2), on=match(in_port=1)), a_flow(Output(9), priority=1)])

    kept.put(a_flow(Output(3), on=match(in_port=1)))
    assert kept.process(PING, 1)[0].port == 3
    kept.remove(a_flow(on=match(in_port=1)).key)
    kept.remove(a_flow(on=match(in_port=1)).key)

    assert kept.process(PING, 1)[0].port == 9
    assert len(kept.flows) == 1


def test_an_endless_packet_is_an_error() -> None:
    """Doubling at each table soon makes more look-ups than a switch allows."""
    flows = [a_flow(Resubmit(table + 1), Resubmit(table + 1), table=table) for table in range(20)]

    with pytest.raises(SimulationError, match="no end"):
        ports(*flows)


def test_a_flow_that_a_switch_would_refuse_is_refused() -> None:
    """The simulated switch is no kinder than a real one."""
    with pytest.raises(FlowRefused):
        SimulatedTables([a_flow(on=match(udp_dst=1))])


def test_a_trace_is_readable() -> None:
    """One line per look-up, by table name, with the flow that matched."""
    kept = SimulatedTables(
        [a_flow(SetField(Field.REG14, 3), Resubmit(4), on=match(in_port=1)), a_flow(Resubmit(60), table=4)]
    )

    emissions, steps = kept.follow(ethernet(M1, M2, 0x88CC, bytes(46)), 1)

    assert emissions == []
    assert render_trace(steps) == (
        "0 CLASSIFY: cookie=0x1,table=0,priority=100,in_port=1,actions=set_field:0x3->reg14,resubmit(,4)\n"
        "4 PORT_SECURITY: cookie=0x1,table=4,priority=100,actions=resubmit(,60)\n"
        "60 L2: no match, drop"
    )
