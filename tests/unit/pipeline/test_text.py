"""Flows as ovs-ofctl reads them."""

from alcor.pipeline.flow import (
    Bucket,
    CheckPacketLarger,
    Clone,
    Conjunction,
    Conntrack,
    ConntrackClear,
    Controller,
    DecTtl,
    Field,
    Flow,
    Group,
    GroupKind,
    GroupSpec,
    Meter,
    MeterSpec,
    MeterUnit,
    Move,
    Nat,
    NatRange,
    Output,
    OutputInPort,
    Pop,
    PopVlan,
    Push,
    PushVlan,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.text import render, render_group, render_meter, table_name


def test_a_match_names_prerequisites_first() -> None:
    """Numbers are in the field's own form: MAC, address, decimal, hexadecimal; masks too."""
    found = match(
        metadata=7,
        arp_tpa=0x0A000001,
        arp_op=1,
        eth_type=0x0806,
        eth_dst=(1 << 40, 1 << 40),
        reg10=(0, 1),
    )

    assert render(Flow(16, 100, found, (), 0xA1)) == (
        "cookie=0xa1,table=16,priority=100,eth_type=0x806,arp_op=1,arp_tpa=10.0.0.1,"
        "eth_dst=01:00:00:00:00:00/01:00:00:00:00:00,metadata=0x7,reg10=0x0/0x1,actions=drop"
    )


def test_every_action_has_a_text() -> None:
    """As in ovs-actions(7)."""
    actions = (
        Meter(3),
        SetField(Field.ETH_SRC, 0x0200_0000_0001),
        SetField(Field.XXREG1, 5, 0xFF),
        SetField(Field.TUN_IPV6_DST, 1),
        Move(Field.ETH_SRC, Field.ETH_DST, 48),
        Push(Field.ARP_TPA),
        Pop(Field.ARP_SPA),
        DecTtl(),
        Clone((Output(4), Resubmit(90))),
        OutputInPort(),
        Controller(),
        Conntrack(5, commit=True, table=9, nat=Nat(NatRange(4, 0x0A000001, 0x0A000002, 5, 9)), force=True),
        Conntrack(Field.REG13, nat=Nat()),
        Conntrack(
            5,
            commit=True,
            nat=Nat(destination=NatRange(6, 1, 2, 80)),
            actions=(SetField(Field.CT_MARK, 1, 3), SetField(Field.CT_LABEL, 5)),
        ),
        ConntrackClear(),
        Group(7),
        CheckPacketLarger(1500, Field.REG10, 5),
        PushVlan(),
        SetField(Field.VLAN_VID, 0x1064),
        PopVlan(),
    )

    assert render(Flow(1, 2, (), actions, 1)).split("actions=")[1] == (
        "meter:3,set_field:02:00:00:00:00:01->eth_src,set_field:0x5/0xff->xxreg1,set_field:::1->tun_ipv6_dst,"
        "move:eth_src[0..47]->eth_dst[0..47],push:arp_tpa[],pop:arp_spa[],dec_ttl,"
        "clone(output:4,resubmit(,90)),in_port,controller:65535,"
        "ct(commit,force,table=9,zone=5,nat(src=10.0.0.1-10.0.0.2:5-9)),ct(zone=reg13[0..15],nat),"
        "ct(commit,zone=5,nat(dst=[::1]-[::2]:80),exec(set_field:0x1/0x3->ct_mark,set_field:0x5->ct_label)),"
        "ct_clear,group:7,check_pkt_larger(1500)->reg10[5],push_vlan:0x8100,set_field:0x1064->vlan_vid,pop_vlan"
    )


def test_conjunctions_and_what_is_known_of_connections_have_a_text() -> None:
    """Prerequisites of connection fields come before them; fragments by the names ovs-ofctl has."""
    found = match(
        eth_type=0x0800,
        ct_port_dst=80,
        ct_ip_proto=6,
        ct_state=(1, 33),
        ct_ipv4_src=1,
        ip_frag=3,
        ip_dscp=10,
    )
    flow = Flow(1, 2, found, (Conjunction(5, 1, 2), Conjunction(6, 2, 2)), 1)

    assert render(flow).split("priority=2,")[1] == (
        "eth_type=0x800,ct_state=0x1/0x21,ct_nw_proto=6,ct_nw_src=0.0.0.1,ct_tp_dst=80,ip_dscp=10,ip_frag=later,"
        "actions=conjunction(5,1/2),conjunction(6,2/2)"
    )


def test_a_group_has_a_text() -> None:
    """As `ovs-ofctl add-group` reads it."""
    buckets = (Bucket(1, (Output(4),), 3), Bucket(2, (), 0, watch_port=9))
    group = GroupSpec(8, GroupKind.SELECT, buckets, (Field.IPV4_SRC, Field.UDP_DST))

    assert render_group(group) == (
        "group_id=8,type=select,selection_method=hash,fields(ip_src,udp_dst),"
        "bucket=bucket_id:1,weight:3,actions=output:4,bucket=bucket_id:2,weight:0,watch_port:9,actions=drop"
    )


def test_a_meter_has_a_text() -> None:
    """As `ovs-ofctl add-meter` reads it."""
    assert render_meter(MeterSpec(5, 20, 40)) == "meter=5,pktps,burst,band=type=drop,rate=20,burst_size=40"
    kbps = MeterSpec(5, 20, 40, MeterUnit.KBPS)
    assert render_meter(kbps) == "meter=5,kbps,burst,band=type=drop,rate=20,burst_size=40"


def test_tables_have_names() -> None:
    """A table that is not ours has its number."""
    assert (table_name(60), table_name(61)) == ("60 L2", "61")
