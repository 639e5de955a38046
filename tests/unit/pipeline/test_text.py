"""Flows as ovs-ofctl reads them."""

from alcor.pipeline.flow import (
    Clone,
    Controller,
    DecTtl,
    Field,
    Flow,
    Meter,
    MeterSpec,
    Move,
    Output,
    OutputInPort,
    Pop,
    Push,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.text import render, render_meter, table_name


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
    )

    assert render(Flow(1, 2, (), actions, 1)).split("actions=")[1] == (
        "meter:3,set_field:02:00:00:00:00:01->eth_src,set_field:0x5/0xff->xxreg1,set_field:::1->tun_ipv6_dst,"
        "move:eth_src[0..47]->eth_dst[0..47],push:arp_tpa[],pop:arp_spa[],dec_ttl,"
        "clone(output:4,resubmit(,90)),in_port,controller:65535"
    )


def test_a_meter_has_a_text() -> None:
    """As `ovs-ofctl add-meter` reads it."""
    assert render_meter(MeterSpec(5, 20, 40)) == "meter=5,pktps,burst,band=type=drop,rate=20,burst_size=40"


def test_tables_have_names() -> None:
    """A table that is not ours has its number."""
    assert (table_name(60), table_name(61)) == ("60 L2", "61")
