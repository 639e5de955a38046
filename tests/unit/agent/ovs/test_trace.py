"""The output of `ofproto/trace`, read."""

from alcor.agent.driver import ExitKind, TraceExit
from alcor.agent.ovs.trace import parse_trace

TUNNELLED = """\
Flow: udp,in_port=11,dl_dst=02:00:00:00:00:02

bridge("br-int")
----------------
 0. in_port=11, priority 100, cookie 0xa1
    set_field:0x5->metadata
    resubmit(,4)
 4. ip, priority 100, cookie 0xa2
    ct(table=13,zone=5)
    drop
     -> A clone of the packet is forked to recirculate.

Final flow: udp,metadata=0x5
Datapath actions: ct(zone=5),recirc(0x1)

===============================================================================
recirc(0x1) - resume conntrack with default ct_state=trk|new (use --ct-next to customize)
===============================================================================

Flow: recirc_id=0x1,ct_state=new|trk,ct_zone=5

bridge("br-int")
----------------
    thaw
        Resuming from table 13
13. ct_state=+new+trk,ip, priority 100, cookie 0xa3
    ct(commit,zone=5)
    resubmit(,14)
14. ip,nw_dst=10.0.0.2, priority 100, cookie 0xa4
    set_field:0x4d->tun_id
    set_field:192.0.2.2->tun_dst
    output:1
     -> output to native tunnel

bridge("br-phy")
----------------
 0. priority 0
    NORMAL
     -> no learned MAC for destination, flooding
    output:7

Final flow: recirc_id=0x1
Datapath actions: ct(commit,zone=5),tnl_push(...)
"""


def test_flows_and_the_tunnel() -> None:
    """The flows of our bridge in order, across recirculation, and the tunnel with its end; nothing of other bridges."""
    found = parse_trace(TUNNELLED, "br-int")

    assert found.flows == (
        "0: in_port=11, priority 100, cookie 0xa1",
        "4: ip, priority 100, cookie 0xa2",
        "13: ct_state=+new+trk,ip, priority 100, cookie 0xa3",
        "14: ip,nw_dst=10.0.0.2, priority 100, cookie 0xa4",
    )
    assert found.exits == (TraceExit(ExitKind.PORT, 1, "192.0.2.2"),)
    assert not found.is_translated


def test_a_miss() -> None:
    """A packet that nothing matches leaves by nothing, and the miss is told."""
    text = """bridge("br-int")\n 0. in_port=11, priority 100\n    resubmit(,4)\n 4. No match.\n    drop\n"""

    found = parse_trace(text, "br-int")

    assert found.exits == ()
    assert found.flows[-1] == "4: No match."


def test_other_exits() -> None:
    """To the agent, back by the port it came from, and through a translation."""
    actions = "    ct(commit,zone=9,nat(src=203.0.113.1))\n    CONTROLLER:65535\n    IN_PORT\n"
    text = 'bridge("br-int")\n 0. ip, priority 1\n' + actions

    found = parse_trace(text, "br-int")

    assert found.exits == (TraceExit(ExitKind.AGENT), TraceExit(ExitKind.BACK))
    assert found.is_translated
