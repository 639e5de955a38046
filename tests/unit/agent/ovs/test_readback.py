"""Comparing what the switch describes with what it should hold."""

import struct

import pytest

from alcor.agent.driver import FlowDiff, RawKey, SwitchError
from alcor.agent.ovs.actions import encode_instructions
from alcor.agent.ovs.groups import describe
from alcor.agent.ovs.oxm import enclose, encode_oxms, split_oxms
from alcor.agent.ovs.readback import diff_flows, diff_groups, diff_meters, find_stale
from alcor.pipeline.flow import (
    Bucket,
    Field,
    Flow,
    GroupKind,
    GroupSpec,
    MeterSpec,
    Output,
    Resubmit,
    match,
)

FLOWS = [
    Flow(0, 5, match(eth_type=0x0800, ip_proto=6, tcp_dst=n), (Output(1), Resubmit(3)), 0xA1 << 56 | n)
    for n in range(5)
]
DESIRED = {flow.key: flow for flow in FLOWS}


def described(flow: Flow, *, oxms: bytes | None = None, idle_s: int = 0) -> bytes:
    """A flow as a switch describes it."""
    terms = encode_oxms(flow.match) if oxms is None else oxms
    body = enclose(terms) + struct.pack("!HHI", 0, 8, 0) + encode_instructions(flow.actions)
    head = struct.pack(
        "!H2xBxHHHHHQ", 24 + len(body), flow.table, flow.priority, idle_s, 0, 0, 0, flow.cookie
    )
    return head + body


async def test_equal_tables_have_no_difference() -> None:
    """Whatever parts the description comes in, and in whatever order."""
    parts = [described(FLOWS[3]), b"".join(described(flow) for flow in (FLOWS[0], FLOWS[4], FLOWS[1])), b""]

    assert await diff_flows(DESIRED, [*parts, described(FLOWS[2])]) == FlowDiff(put=[], remove=[])


async def test_another_order_of_terms_is_no_difference() -> None:
    """A switch of another version may describe the terms of a match in another order."""
    reversed_terms = b"".join(reversed(list(split_oxms(encode_oxms(FLOWS[0].match)))))
    parts = [described(flow, oxms=reversed_terms if flow is FLOWS[0] else None) for flow in FLOWS]

    assert not await diff_flows(DESIRED, parts)


async def test_only_what_differs_is_named() -> None:
    """Missing, changed in actions, cookie or timeout, and superfluous, each exactly once."""
    actions = Flow(0, 5, FLOWS[1].match, (Output(2),), FLOWS[1].cookie)
    cookie = Flow(0, 5, FLOWS[2].match, FLOWS[2].actions, 0xA1 << 56)
    other = Flow(0, 6, FLOWS[4].match, FLOWS[4].actions, FLOWS[4].cookie)
    parts = [
        described(actions),
        described(cookie),
        described(FLOWS[3], idle_s=9),
        described(FLOWS[4]),
        described(other),
    ]

    diff = await diff_flows(DESIRED, parts)

    assert diff.put == FLOWS[:4]
    assert diff.remove == [RawKey(0, 6, encode_oxms(FLOWS[4].match))]


async def test_a_flow_that_cannot_be_encoded_is_named() -> None:
    """The error names the flow, not only the field."""
    bad = Flow(0, 5, match(tcp_dst=1 << 16), (), 1)

    with pytest.raises(SwitchError, match=r"table=0,priority=5,tcp_dst=0x10000 .* does not fit 16 bits"):
        await diff_flows({bad.key: bad}, [])


def test_meters_that_are_wanted_are_put_right() -> None:
    """Missing, different and foreign-formed meters are to be set."""
    wanted = [MeterSpec(1, 10, 1), MeterSpec(2, 10, 1), MeterSpec(3, 10, 1), MeterSpec(4, 10, 1)]
    have = {1: MeterSpec(1, 10, 1), 2: MeterSpec(2, 20, 1), 3: None, 9: MeterSpec(9, 1, 1)}

    assert diff_meters(wanted, have) == wanted[1:]


def test_what_nobody_wants_is_stale_if_it_is_ours() -> None:
    """Numbers in our range that are not wanted, in order; others' are left alone."""
    assert find_stale([9, 3, 12, 5, 7], [5], range(3, 10)) == (3, 7, 9)


def test_groups_differ_by_bucket_and_hash_but_not_by_the_order_of_fields() -> None:
    """A switch describes hashed fields in an order of its own."""
    buckets = (Bucket(1, (Output(1),), 5), Bucket(2, (), 1))
    one = GroupSpec(1, GroupKind.SELECT, buckets, (Field.IPV4_SRC, Field.UDP_DST))
    turned = GroupSpec(1, GroupKind.SELECT, buckets, (Field.UDP_DST, Field.IPV4_SRC))
    others = [
        GroupSpec(1, GroupKind.SELECT, buckets, (Field.UDP_DST,)),
        GroupSpec(1, GroupKind.SELECT, buckets),
        GroupSpec(1, GroupKind.SELECT, buckets[:1], one.hash_fields),
        GroupSpec(1, GroupKind.ALL, buckets),
    ]
    have = {1: describe(one)}

    assert diff_groups([one], have) == diff_groups([turned], have) == []
    assert diff_groups(others, have) == others
    assert diff_groups([one], {}) == [one]
