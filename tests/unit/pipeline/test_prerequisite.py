"""What a switch refuses, refused with a reason."""

import pytest

from alcor.pipeline.flow import (
    Action,
    Bucket,
    CheckPacketLarger,
    Clone,
    Conjunction,
    Conntrack,
    DecTtl,
    Field,
    Flow,
    Group,
    GroupKind,
    GroupSpec,
    Match,
    Meter,
    Move,
    Nat,
    NatRange,
    Output,
    Pop,
    PopVlan,
    Push,
    PushVlan,
    Resubmit,
    SetField,
    Term,
    match,
)
from alcor.pipeline.prerequisite import FlowRefused, check, check_group

MARK = SetField(Field.CT_MARK, 1)
IPV4 = {"eth_type": 0x0800}
IPV6 = {"eth_type": 0x86DD}
ND = {**IPV6, "ip_proto": 58, "icmpv6_code": 0}


def a_flow(found: Match = (), *actions: Action, table: int = 10, cookie: int = 1) -> Flow:
    return Flow(table, 100, found, actions, cookie)


@pytest.mark.parametrize(
    ("flow", "reason"),
    [
        (a_flow(match(udp_dst=67)), "udp_dst needs the match to have eth_type=0x800 or 0x86dd"),
        (a_flow(match(eth_type=0x0800, udp_dst=67)), "udp_dst needs the match to have nw_proto=0x11"),
        (
            a_flow(match(eth_type=0x0800, ip_proto=6, udp_dst=67)),
            "udp_dst needs the match to have nw_proto=0x11",
        ),
        (a_flow(match(arp_tpa=1)), "arp_tpa needs the match to have eth_type=0x806"),
        (a_flow(match(eth_type=0x86DD, ipv4_src=1)), "ip_src needs the match to have eth_type=0x800"),
        (
            a_flow(match(**ND, icmpv6_type=133, nd_target=1)),
            "nd_target needs the match to have icmpv6_type=0x87 or",
        ),
        (a_flow(match(**ND, icmpv6_type=136, nd_sll=1)), "nd_sll needs the match to have icmpv6_type=0x87"),
        (
            a_flow(match(**IPV6, ip_proto=58, icmpv6_type=135, nd_target=1)),
            "nd_target needs the match to have icmpv6_code=0x0",
        ),
        (
            a_flow(match(**ND, icmpv6_type=135), SetField(Field.ICMPV6_TYPE, 136), SetField(Field.ND_TLL, 1)),
            "nd_tll needs the match to have icmpv6_type=0x88",
        ),
        (a_flow((), DecTtl()), "nw_ttl needs the match"),
        (a_flow((), Move(Field.ARP_SHA, Field.ETH_DST, 48)), "arp_sha needs the match"),
        (a_flow((), Push(Field.ARP_TPA)), "arp_tpa needs the match"),
        (a_flow((), Clone((Pop(Field.ARP_SPA),))), "arp_spa needs the match"),
        (a_flow((), SetField(Field.ETH_TYPE, 0x0800)), "eth_type cannot be written"),
        (a_flow((), SetField(Field.REG0, 1 << 32)), "more than 32 bits"),
        (a_flow((), SetField(Field.REG0, 2, 1)), "bits outside its mask"),
        (a_flow((), Move(Field.XXREG1, Field.ETH_SRC, 64)), "move of 64 bits leaves"),
        (a_flow((), Move(Field.REG0, Field.REG1, 0)), "move of 0 bits"),
        (a_flow((Term(Field.REG0, 0, 0),)), "has mask 0x0"),
        (a_flow((Term(Field.REG0, 1), Term(Field.REG0, 1))), "matched twice"),
        (a_flow((Term(Field.REG1, 1), Term(Field.REG0, 1))), "not sorted"),
        (a_flow((), Resubmit(10)), "does not lead forward"),
        (a_flow((), Resubmit(9)), "does not lead forward"),
        (a_flow((), Clone((Resubmit(254),))), "does not lead forward"),
        (a_flow((), Output(1), Meter(1)), "not the first action"),
        (a_flow((), Output(0)), "no port 0"),
        (a_flow((), Conntrack(1)), "ct needs the match"),
        (a_flow(match(**IPV4), Conntrack(1 << 16)), "no zone 65536"),
        (a_flow(match(**IPV4), Conntrack(Field.METADATA)), "a zone is a number or a register"),
        (a_flow(match(**IPV4), Conntrack(1, table=10)), "does not lead forward"),
        (a_flow(match(**IPV4), Conntrack(1, force=True)), "without commit keeps nothing"),
        (a_flow(match(**IPV4), Conntrack(1, actions=(MARK,))), "without commit keeps nothing"),
        (a_flow(match(**IPV4), Conntrack(1, nat=Nat(NatRange(4, 1)))), "without commit keeps nothing"),
        (a_flow(match(**IPV4), Conntrack(1, commit=True, nat=Nat(NatRange(6, 1)))), "not of IP version 6"),
        (
            a_flow(match(**IPV4), Conntrack(1, commit=True, nat=Nat(NatRange(4, 1), NatRange(4, 2)))),
            "the source or the destination, not both",
        ),
        (
            a_flow(match(**IPV4), Conntrack(1, commit=True, nat=Nat(NatRange(4, 9, 5)))),
            "no range of addresses",
        ),
        (
            a_flow(match(**IPV4), Conntrack(1, commit=True, nat=Nat(NatRange(4, 9, port_max=5)))),
            "a last port without a first",
        ),
        (
            a_flow(match(**IPV4), Conntrack(1, commit=True, nat=Nat(NatRange(4, 9, None, 7, 5)))),
            "no range of ports",
        ),
        (
            a_flow(match(**IPV4), Conntrack(1, commit=True, actions=(SetField(Field.REG0, 1),))),
            "only ct_mark and ct_label",
        ),
        (a_flow((), MARK), "inside ct only"),
        (a_flow((), SetField(Field.CT_STATE, 1)), "ct_state cannot be written"),
        (a_flow((Term(Field.CT_STATE, 2),)), "by some of its bits"),
        (a_flow(match(ct_state=(256, 256))), "by some of its bits"),
        (a_flow(match(conj_id=(4, 6))), "conj_id is matched whole"),
        (a_flow(match(**IPV4, ip_frag=2)), "none of no, yes, first"),
        (a_flow(match(ip_frag=3)), "ip_frag needs the match"),
        (a_flow(match(ip_dscp=2)), "ip_dscp needs the match"),
        (a_flow(match(**IPV4, ip_proto=17, tcp_flags=2)), "tcp_flags needs the match"),
        (a_flow(match(**IPV4, ct_state=(32, 32), ct_ipv4_src=1)), "needs the match to have ct_state="),
        (a_flow(match(**IPV4, ct_state=(1, 1), ct_port_dst=1)), "needs the match to have ct_nw_proto"),
        (a_flow((), Conjunction(1, 1, 2), Output(1)), "does nothing else"),
        (a_flow((), Clone((Conjunction(1, 1, 2),))), "does nothing else"),
        (a_flow((), Conjunction(1, 3, 2)), "no conjunction 1, 3/2"),
        (a_flow((), Conjunction(1, 1, 65)), "no conjunction"),
        (a_flow((), Conjunction(0, 1, 2)), "no conjunction 0"),
        (a_flow((), Group(0xFFFF_FF00)), "no group"),
        (a_flow((), CheckPacketLarger(9, Field.REG1, 32)), "into bit 32"),
        (a_flow((), SetField(Field.VLAN_VID, 0x1001)), "vlan_vid needs a VLAN tag"),
        (a_flow((), PushVlan(), SetField(Field.VLAN_VID, 1)), "with 0x1000"),
        (a_flow((), Clone((PushVlan(),)), SetField(Field.VLAN_VID, 0x1001)), "vlan_vid needs a VLAN tag"),
        (a_flow((), PopVlan()), "pop_vlan needs"),
        (a_flow(match(vlan_vid=0x1001), PopVlan(), PopVlan()), "pop_vlan needs"),
        (a_flow(match(vlan_vid=0), PopVlan()), "pop_vlan needs"),
        (a_flow(match(vlan_vid=0x1001, vlan_tci=0)), "a part of vlan_tci"),
        (a_flow((), Push(Field.VLAN_VID)), "vlan_tci is"),
        (a_flow((), Meter(1), Meter(2)), "not the first action"),
        (a_flow((), Clone((Meter(1),))), "not the first action"),
        (a_flow(table=254), "no table 254"),
        (a_flow(cookie=0), "cookie"),
    ],
)
def test_a_flow_that_a_switch_would_refuse_is_refused(flow: Flow, reason: str) -> None:
    """The error names the field and what is missing."""
    with pytest.raises(FlowRefused, match=reason):
        check(flow)


def test_a_complete_flow_passes() -> None:
    """Everything a flow needs is in its match."""
    check(a_flow(match(**ND, icmpv6_type=136), Meter(1), SetField(Field.ND_TLL, 1), Resubmit(11)))
    nat = Nat(NatRange(6, 1, 9, 80, 90))
    check(a_flow(match(**IPV6), Conntrack(Field.REG13, commit=True, force=True, nat=nat, actions=(MARK,))))
    check(a_flow(match(**IPV6, vlan_vid=0x1001), PopVlan(), PushVlan(), SetField(Field.VLAN_VID, 0x1002)))
    check(a_flow(match(**IPV4, ip_frag=(1, 3)), Conjunction(1, 1, 2), Conjunction(2, 64, 64)))


@pytest.mark.parametrize(
    ("group", "reason"),
    [
        (GroupSpec(0xFFFF_FF00, GroupKind.ALL, ()), "no such number"),
        (GroupSpec(1, GroupKind.ALL, (Bucket(1, ()), Bucket(1, ()))), "two buckets"),
        (GroupSpec(1, GroupKind.INDIRECT, (Bucket(1, ()), Bucket(2, ()))), "one bucket at most"),
        (GroupSpec(1, GroupKind.ALL, (Bucket(1, (), 5),)), "has weight 5"),
        (GroupSpec(1, GroupKind.ALL, (), (Field.IPV4_SRC,)), "only a group that selects"),
        (GroupSpec(1, GroupKind.SELECT, (), (Field.REG1, Field.REG1)), "hashed twice"),
        (GroupSpec(1, GroupKind.FAST_FAILOVER, (Bucket(1, ()),)), "watches no port"),
        (GroupSpec(1, GroupKind.SELECT, (Bucket(1, (), watch_port=0),)), "no port 0"),
        (GroupSpec(1, GroupKind.SELECT, (Bucket(1, (Meter(1),)),)), "a meter or a conjunction"),
    ],
)
def test_a_group_that_a_switch_would_refuse_is_refused(group: GroupSpec, reason: str) -> None:
    """The error names the group and the reason."""
    with pytest.raises(FlowRefused, match=reason):
        check_group(group)
