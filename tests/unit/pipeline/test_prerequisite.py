"""What a switch refuses, refused with a reason."""

import pytest

from alcor.pipeline.flow import (
    Action,
    Clone,
    DecTtl,
    Field,
    Flow,
    Match,
    Meter,
    Move,
    Output,
    Pop,
    Push,
    Resubmit,
    SetField,
    Term,
    match,
)
from alcor.pipeline.prerequisite import FlowRefused, check

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
