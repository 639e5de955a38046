"""Connection tracking of the simulated switch. That it is a real switch's is shown by `tests/ovs`."""

import pytest

from alcor.pipeline.flow import (
    Bucket,
    Controller,
    CtState,
    Field,
    Flow,
    Group,
    GroupKind,
    GroupSpec,
    Nat,
    NatRange,
    SetField,
    match,
)
from alcor.pipeline.frame import Frame
from alcor.pipeline.prerequisite import FlowRefused
from alcor.pipeline.simulate import SimulatedTables
from tests.support.switch_programs import PROGRAMS, SOURCE_NAT, TRACK, Program, commit, f
from tests.support.transport_packets import ACK, SYN, tcp, udp

A, B, PUBLIC = "10.0.0.1", "10.0.0.2", "10.9.9.9"
TRK = CtState.TRACKED


def states(kept: SimulatedTables, frame: bytes, table: int = 1) -> list[CtState]:
    """The states with which a frame is seen in a table."""
    return [CtState(out.fields.get("ct_state", 0)) for out in kept.process(frame, 1) if out.table == table]


def test_a_handshake() -> None:
    """New until something other than a SYN was seen; replies say so."""
    kept = SimulatedTables(TRACK)

    assert states(kept, tcp((A, B), (5, 6), SYN)) == [TRK | CtState.NEW]
    assert states(kept, tcp((B, A), (6, 5), SYN | ACK)) == [TRK | CtState.EST | CtState.REPLY]
    assert states(kept, tcp((A, B), (5, 6), ACK)) == [TRK | CtState.EST]


def test_flushing_a_zone_forgets_its_connections_alone() -> None:
    """What is flushed is new again; other zones know what they knew."""
    kept = SimulatedTables([*TRACK, f(0, commit(4), priority=200, in_port=9, eth_type=0x0800)])
    for port in (1, 9):
        kept.process(udp((A, B), (5, 6)), port)
    kept.process(udp((B, A), (6, 5)), 1)
    assert states(kept, udp((A, B), (5, 6))) == [TRK | CtState.EST]

    kept.connections.flush(3)

    assert states(kept, udp((A, B), (5, 6))) == [TRK | CtState.NEW]
    assert len(kept.connections.describe(4)) == 1
    kept.connections.flush()
    assert kept.connections.describe(4) == kept.connections.describe(3) == []


def test_translation_and_its_way_back() -> None:
    """The far end sees the public address; its reply finds the sender; checksums are right both ways."""
    kept = SimulatedTables(SOURCE_NAT)
    (_, out) = kept.process(udp((A, B), (5, 6), b"ask"), 1)
    assert out.frame == udp((PUBLIC, B), (5, 6), b"ask")

    back = kept.process(udp((B, PUBLIC), (6, 5), b"answer"), 1)

    assert back[-1].frame == udp((B, A), (6, 5), b"answer")


def test_a_range_of_ports_is_used_up_before_it_is_refused() -> None:
    """Each connection gets a port of its own of the range; then packets go on untranslated, and nothing is kept."""
    chosen = Nat(NatRange(4, 0x0A090909, port_min=100, port_max=103))
    kept = SimulatedTables([f(0, commit(3, 2, nat=chosen), eth_type=0x0800), f(2, Controller())])
    frames = [Frame(kept.process(udp((A, B), (port, 6)), 1)[0].frame) for port in range(5, 10)]

    assert {frame.read(Field.UDP_SRC) for frame in frames[:4]} == {100, 101, 102, 103}
    assert frames[4].to_bytes() == udp((A, B), (9, 6))
    assert len(kept.connections.describe(3)) == 4


def test_a_range_of_addresses_spreads() -> None:
    """Connections of different senders get different addresses of the range, the same always the same."""
    chosen = Nat(NatRange(4, 0x0A090900, 0x0A0909FF))
    kept = SimulatedTables([f(0, commit(3, 2, nat=chosen), eth_type=0x0800), f(2, Controller())])

    def translated(host: int) -> int:
        return Frame(kept.process(udp((f"10.0.0.{host}", B), (5, 6)), 1)[0].frame).read(Field.IPV4_SRC)

    first = [translated(host) for host in range(1, 30)]

    assert len(set(first)) > 15
    assert all(0x0A090900 <= address <= 0x0A0909FF for address in first)
    assert [translated(host) for host in range(1, 30)] == first


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
def test_a_program_gives_the_same_twice(program: Program) -> None:
    """Two switches with the same past do the same: nothing depends on anything else."""
    one, other = (SimulatedTables(program.flows, program.groups) for _ in range(2))

    assert [one.process(frame, 1) for frame in program.frames] == [
        other.process(frame, 1) for frame in program.frames
    ]


def test_groups_must_be_there_before_flows_that_use_them() -> None:
    """A flow without its group is refused; a group that goes takes its flows with it."""
    flow = Flow(0, 5, (), (Group(1),), 1)
    with pytest.raises(FlowRefused, match="there is no group 1"):
        SimulatedTables([flow])
    kept = SimulatedTables([flow, Flow(0, 6, match(in_port=1), (), 1)], [GroupSpec(1, GroupKind.ALL, ())])

    kept.remove_group(1)

    assert [key.priority for key in kept.flows] == [6]


def test_a_dead_bucket_is_not_used() -> None:
    """Selection and fail-over leave out what watches a dead port; nothing alive: the packet ends."""
    for kind in (GroupKind.SELECT, GroupKind.FAST_FAILOVER):
        buckets = tuple(Bucket(n, (SetField(Field.REG1, n), Controller()), watch_port=n) for n in (1, 2))
        kept = SimulatedTables([Flow(0, 5, (), (Group(1),), 1)], [GroupSpec(1, kind, buckets)])
        kept.dead_ports = {1}
        assert [out.fields["reg1"] for out in kept.process(udp((A, B), (5, 6)), 1)] == [2]
        kept.dead_ports = {1, 2}
        assert kept.process(udp((A, B), (5, 6)), 1) == []
