"""The simulated switch against a real one, packet by packet: what leaves, with which fields, is the same."""

import struct
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio

from alcor.pipeline.flow import Bucket, Controller, Field, Flow, Group, GroupKind, GroupSpec, SetField
from alcor.pipeline.simulate import SimulatedTables
from alcor.pipeline.tables import COOKIE_OURS, GROUPS_OURS
from tests.support.ovs import a_namespace, an_ovs_pair
from tests.support.ovs_oracle import PORTS, OracleTables, an_oracle
from tests.support.switch_programs import PROGRAMS, Program
from tests.support.transport_packets import udp

pytestmark = [pytest.mark.ovs, pytest.mark.asyncio(loop_scope="module")]

_KEYWORDS = {field.value[0]: field.name.lower() for field in Field}
Left = tuple[str, int, tuple[tuple[str, int], ...]]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def oracle() -> AsyncIterator[OracleTables]:
    """A real switch."""
    with a_namespace("tsl") as namespace, an_ovs_pair(namespace=namespace) as pair:
        async with an_oracle(pair) as running:
            yield running


def left(frame: bytes, table: int, fields: dict[str, int]) -> Left:
    """One emission as a value; a real switch adds the EtherType of what was tracked."""
    return frame.hex(), table, tuple(sorted((k, v) for k, v in fields.items() if k != "eth_type"))


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.name)
async def test_what_leaves_is_the_same(oracle: OracleTables, program: Program) -> None:
    """For every frame of a program: the same copies leave, in the same tables, with the same fields."""
    await oracle.load(program.flows, program.groups)
    simulated = SimulatedTables(program.flows, program.groups)
    real, ours = [], []
    for frame in program.frames:
        real.append(sorted(left(*punt) for punt in await oracle.process(frame, PORTS[0])))
        ours.append(
            sorted(
                left(out.frame, out.table, {_KEYWORDS[name]: value for name, value in out.fields.items()})
                for out in simulated.process(frame, PORTS[0])
            )
        )

    assert ours == real
    assert any(real)


def a_select(count: int, hash_fields: tuple[Field, ...]) -> tuple[list[Flow], list[GroupSpec]]:
    """All packets to a group of so many equal buckets, which say who they are in reg1."""
    buckets = tuple(Bucket(n, (SetField(Field.REG1, n), Controller())) for n in range(1, count + 1))
    group = GroupSpec(GROUPS_OURS[9], GroupKind.SELECT, buckets, hash_fields)
    return [Flow(0, 9, (), (Group(group.id),), COOKIE_OURS | 1)], [group]


async def test_a_hash_chooses_evenly_and_always_the_same(oracle: OracleTables) -> None:
    """Both switches send all packets with equal hashed fields to one bucket, and others to every bucket in turn.

    Which is which they need not agree on.
    """
    flows, groups = a_select(3, (Field.IPV4_SRC, Field.IPV4_DST))
    await oracle.load(flows, groups)
    simulated = SimulatedTables(flows, groups)
    real: dict[int, set[int]] = {}
    ours: dict[int, set[int]] = {}
    for host in range(1, 31):
        for port in (1, 2):
            frame = udp((f"10.0.0.{host}", "10.1.0.1"), (port, 9))
            (punt,) = await oracle.process(frame, PORTS[0])
            (out,) = simulated.process(frame, PORTS[0])
            real.setdefault(host, set()).add(punt.fields["reg1"])
            ours.setdefault(host, set()).add(out.fields["reg1"])

    for chosen in (real, ours):
        assert all(len(found) == 1 for found in chosen.values())
        assert set().union(*chosen.values()) == {1, 2, 3}


async def test_a_dead_port_fails_over_in_both(oracle: OracleTables) -> None:
    """A group that watches ports uses none that are down; packets that have no bucket end."""
    buckets = tuple(Bucket(n, (SetField(Field.REG1, n), Controller()), watch_port=n) for n in PORTS)
    group = GroupSpec(GROUPS_OURS[5], GroupKind.FAST_FAILOVER, buckets)
    flows = [Flow(0, 9, (), (Group(group.id),), COOKIE_OURS | 1)]
    frame = udp(("10.0.0.1", "10.0.0.2"), (struct.calcsize("!H"), 9))
    simulated = SimulatedTables(flows, [group])

    for alive, expected in ((PORTS, 1), (PORTS[1:], 2), ((), None)):
        await oracle.set_up(alive)
        await oracle.load(flows, [group])
        simulated.dead_ports = set(PORTS) - set(alive)
        real = [punt.fields["reg1"] for punt in await oracle.process(frame, 1)]
        ours = [out.fields["reg1"] for out in simulated.process(frame, 1)]
        assert real == ours == ([expected] if expected else [])
