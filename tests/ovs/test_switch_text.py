"""Flows and groups as text: a real ovs-ofctl reads them as what the driver sends."""

import secrets
from collections.abc import Iterator

import pytest

from alcor.pipeline.flow import (
    Action,
    Bucket,
    Conntrack,
    Field,
    Flow,
    GroupKind,
    GroupSpec,
    Match,
    MeterSpec,
    MeterUnit,
    Nat,
    NatRange,
    Output,
    SetField,
    match,
)
from alcor.pipeline.prerequisite import check, check_group
from alcor.pipeline.tables import COOKIE_OURS, GROUPS_OURS, METERS_OURS
from alcor.pipeline.text import render, render_group, render_meter
from tests.support.ovs import OvsPair, a_connected_driver, a_namespace, an_ovs_pair
from tests.support.switch_programs import PROGRAMS, Program

pytestmark = pytest.mark.ovs

_IPV6 = {"eth_type": 0x86DD}
_ROWS: list[tuple[Match, tuple[Action, ...]]] = [
    (
        match(**_IPV6, ct_state=(2, 3), ct_ipv6_src=1, ct_ipv6_dst=(0xFD << 120, 0xFFFF << 112)),
        (Conntrack(1, commit=True, nat=Nat(destination=NatRange(6, 1, 2, 80, 90))),),
    ),
    (match(**_IPV6, ip_frag=(0, 2), ip_ecn=1, ip_dscp=46), ()),
    (match(**_IPV6, ip_frag=(0, 3), ip_proto=132, sctp_dst=5), (SetField(Field.SCTP_SRC, 6),)),
    (match(**_IPV6, ip_frag=(1, 1), pkt_mark=(5, 7), ct_mark=(1, 1), ct_label=5, ct_zone=9), ()),
    (match(vlan_vid=(0x1000, 0x1000), xxreg2=5, xxreg3=(1, 1)), ()),
]
_FORMS = Program(
    "forms that no other program has",
    tuple(Flow(table, 7, found, actions, COOKIE_OURS | 1) for table, (found, actions) in enumerate(_ROWS)),
    (),
    (
        GroupSpec(
            GROUPS_OURS[0],
            GroupKind.FAST_FAILOVER,
            (Bucket(1, (Output(1),), watch_port=1), Bucket(2, (), watch_port=2)),
        ),
        GroupSpec(GROUPS_OURS[1], GroupKind.SELECT, (Bucket(1, (Output(1),), 3, watch_port=1),)),
    ),
)


@pytest.fixture(scope="module")
def pair() -> Iterator[OvsPair]:
    """A running switch."""
    with a_namespace("tst") as namespace, an_ovs_pair(namespace=namespace) as running:
        yield running


@pytest.mark.parametrize("program", [*PROGRAMS, _FORMS], ids=lambda program: program.name)
async def test_text_is_read_as_what_is_sent(pair: OvsPair, program: Program) -> None:
    """What passes our checks and is given to ovs-ofctl as text compares equal to the flows and groups themselves."""
    bridge = f"br{secrets.token_hex(4)}"
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        for group in program.groups:
            check_group(group)
            pair.ofctl("add-group", bridge, render_group(group))
        for flow in program.flows:
            check(flow)
        pair.ofctl("add-flows", bridge, "-", text="\n".join(map(render, program.flows)))
        diff = await switch.compare({flow.key: flow for flow in program.flows}, [], program.groups)
    pair.vsctl("del-br", bridge)

    assert not diff


async def test_meters_too(pair: OvsPair) -> None:
    """Packets and kilobits."""
    bridge = f"br{secrets.token_hex(4)}"
    meters = [MeterSpec(METERS_OURS[n], 9, 5, unit) for n, unit in enumerate(MeterUnit)]
    async with a_connected_driver(pair, bridge=bridge) as (switch, _):
        for meter in meters:
            pair.ofctl("add-meter", bridge, render_meter(meter))
        diff = await switch.compare({}, meters)
    pair.vsctl("del-br", bridge)

    assert not diff
