"""OpenFlow 1.5 messages as bytes, against an independent encoder and captures of Open vSwitch 3.1."""

import struct

import pytest

from alcor.agent.ovs import openflow
from alcor.agent.ovs.fault import decode_fault
from alcor.agent.ovs.openflow import BundleStep, FlowCommand, FlowDesc, MeterCommand, Multipart, Type
from alcor.agent.ovs.oxm import Unencodable, enclose, encode_oxms
from alcor.agent.ovs.warm import encode_probe
from alcor.pipeline.flow import Field, Flow, MeterSpec, MeterUnit, Output, SetField, match
from tests.support.ovs_peer import CONSTANTS, PARSER, independent_bytes

XID = 7
FLOW = Flow(9, 300, match(eth_type=0x0806, arp_op=1), (SetField(Field.ARP_OP, 2), Output(4)), 0xA1 << 56 | 5)


def test_a_flow_is_put_as_another_encoder_does() -> None:
    """The whole flow-mod agrees with os-ken."""
    actions = [PARSER.OFPActionSetField(arp_op=2), PARSER.OFPActionOutput(4, 0)]
    theirs = independent_bytes(
        "OFPFlowMod",
        cookie=FLOW.cookie,
        table_id=9,
        priority=300,
        out_port=CONSTANTS.OFPP_ANY,
        out_group=CONSTANTS.OFPG_ANY,
        match=PARSER.OFPMatch(eth_type=0x0806, arp_op=1),
        instructions=[PARSER.OFPInstructionActions(CONSTANTS.OFPIT_APPLY_ACTIONS, actions)],
    )

    assert openflow.encode_put(FLOW, XID) == theirs


def test_a_flow_is_removed_strictly_and_by_cookie() -> None:
    """The removal names priority and match exactly and spares other cookies."""
    theirs = independent_bytes(
        "OFPFlowMod",
        cookie=0xA1 << 56,
        cookie_mask=0xFF << 56,
        table_id=9,
        priority=300,
        command=CONSTANTS.OFPFC_DELETE_STRICT,
        out_port=CONSTANTS.OFPP_ANY,
        out_group=CONSTANTS.OFPG_ANY,
        match=PARSER.OFPMatch(eth_type=0x0806, arp_op=1),
    )

    assert openflow.encode_remove(FLOW.key, XID, 0xA1 << 56, 0xFF << 56) == theirs


def test_bundles_are_encoded_as_another_encoder_does() -> None:
    """Control and add-message requests of an atomic, ordered bundle; the wrapped message keeps its xid."""
    put = openflow.encode_put(FLOW, XID)
    opened = openflow.encode_message(
        Type.BUNDLE_CONTROL, XID, openflow.encode_bundle_control(BundleStep.OPEN, 3)
    )
    flags = CONSTANTS.OFPBF_ATOMIC | CONSTANTS.OFPBF_ORDERED
    their_open = independent_bytes("OFPBundleCtrlMsg", 3, CONSTANTS.OFPBCT_OPEN_REQUEST, flags, [])
    added = openflow.encode_bundle_add(put, XID, 3)

    assert opened == their_open
    assert added == struct.pack("!BBHIIHH", 6, 34, 16 + len(put), XID, 3, 0, flags) + put


def test_meters_are_encoded_as_another_encoder_does() -> None:
    """One drop band in packets a second, with its burst."""
    flags = CONSTANTS.OFPMF_PKTPS | CONSTANTS.OFPMF_BURST
    bands = [PARSER.OFPMeterBandDrop(100, 10)]
    theirs = independent_bytes("OFPMeterMod", CONSTANTS.OFPMC_ADD, flags, 5, bands)
    body = openflow.encode_meter_mod(MeterCommand.ADD, MeterSpec(5, 100, 10))

    assert openflow.encode_message(Type.METER_MOD, XID, body) == theirs


def test_frames_are_sent_as_another_encoder_does() -> None:
    """A packet-out comes from the controller port and names its outputs."""
    theirs = independent_bytes(
        "OFPPacketOut",
        CONSTANTS.OFP_NO_BUFFER,
        PARSER.OFPMatch(in_port=CONSTANTS.OFPP_CONTROLLER),
        [PARSER.OFPActionOutput(4, 0)],
        b"frame",
    )

    assert openflow.encode_packet_out(XID, b"frame", openflow.output(4)) == theirs


def test_questions_are_encoded_as_another_encoder_does() -> None:
    """Flow descriptions by cookie, and the switch's configuration."""
    request = openflow.encode_multipart(Multipart.FLOW_DESC, openflow.encode_flow_desc_request(5, 7))
    theirs = independent_bytes(
        "OFPFlowDescStatsRequest", 0, 0xFF, CONSTANTS.OFPP_ANY, CONSTANTS.OFPG_ANY, 5, 7, PARSER.OFPMatch()
    )
    config = independent_bytes("OFPSetConfig", 3, 0xFFFF)
    hello = bytes.fromhex("06000010 00000007 00010008 00000040")  # section 7.5.1, a bitmap with bit 6

    assert openflow.encode_message(Type.MULTIPART_REQUEST, XID, request) == theirs
    assert openflow.encode_config(XID, 0xFFFF) == config
    assert openflow.encode_hello(XID) == hello


@pytest.mark.parametrize(
    ("vtep", "expected"),
    [("192.0.2.7", "00014004 c0000207"), ("2001:db8::7", "0001dc10 20010db8000000000000000000000007")],
)
def test_a_probe_of_an_endpoint_carries_no_network(vtep: str, expected: str) -> None:
    """A probe sets tunnel key 0 and the endpoint's address, and leaves by the tunnel port."""
    probe = encode_probe(XID, 9, vtep)

    assert bytes.fromhex("80004c08 0000000000000000") in probe
    assert bytes.fromhex(expected) in probe
    assert bytes.fromhex("0000 0010 00000009") in probe


def test_flow_descriptions_are_read() -> None:
    """Captured from Open vSwitch 3.1: two flows, one that drops and one that acts, with counters between."""
    counters = "0000003480020008 0000000000e4e1c0 80020208 0000000000000000 80020008 0808 0000000000000000"
    stats = bytes.fromhex(counters.replace(" ", ""))[:52]
    stats = stats[:2] + struct.pack("!H", len(stats)) + stats[4:] + b"\0" * (-len(stats) % 8)
    described = b""
    for priority, oxms, instructions in (
        (11, b"\x80\0\x0c\2\0\0", b""),
        (10, b"", bytes.fromhex("0004000800000000")),
    ):
        body = enclose(oxms) + stats + instructions
        described += struct.pack("!H2xBxHHHHHQ", 24 + len(body), 3, priority, 0, 60, 0, 0, 0xA1) + body

    assert list(openflow.decode_flow_descs(described)) == [
        FlowDesc(3, 11, b"\x80\0\x0c\2\0\0", 0xA1, b"", (0, 60)),
        FlowDesc(3, 10, b"", 0xA1, bytes.fromhex("0004000800000000"), (0, 60)),
    ]


def test_meter_descriptions_are_read() -> None:
    """Our form of meter is read as a value; another's form is there, but as None."""
    ours = struct.pack("!HHIHHII4x", 24, 6, 5, 1, 16, 100, 10)
    kbps = struct.pack("!HHIHHII4x", 24, 5, 6, 1, 16, 100, 10)
    no_burst = struct.pack("!HHIHHII4x", 24, 1, 8, 1, 16, 100, 0)
    two_bands = struct.pack("!HHI", 40, 6, 7) + struct.pack("!HHII4x", 1, 16, 1, 1) * 2

    assert openflow.decode_meter_descs(ours + kbps + two_bands + no_burst) == {
        5: MeterSpec(5, 100, 10),
        6: MeterSpec(6, 100, 10, MeterUnit.KBPS),
        7: None,
        8: None,
    }


def test_packet_ins_are_read() -> None:
    """Frame, table, cookie and fields; the padding between match and frame is not part of the frame."""
    oxms = encode_oxms(match(in_port=3, reg14=7, reg15=1, metadata=5))
    body = struct.pack("!IHBBQ", 0xFFFFFFFF, 5, 0, 8, 0xA1) + enclose(oxms) + b"\0\0" + b"frame"
    packet = openflow.decode_packet_in(body)

    assert (packet.table, packet.cookie, packet.data) == (8, 0xA1, b"frame")
    assert packet.fields == {"in_port": 3, "reg14": 7, "reg15": 1, "metadata": 5}


@pytest.mark.parametrize(
    ("body", "text"),
    [
        (struct.pack("!HH", 4, 9) + b"\6", "bad match, OFPBMC_BAD_PREREQ"),
        (struct.pack("!HH", 2, 4), "bad action, OFPBAC_BAD_OUT_PORT"),
        (struct.pack("!HH", 17, 13), "bad bundle, OFPBFC_MSG_FAILED"),
        (struct.pack("!HH", 12, 40), "bad meter, OFPMMFC_40"),
        (struct.pack("!HH", 77, 1), "bad type 77, error_1"),
        (struct.pack("!HHI", 0xFFFF, 15, 0x2320), "NXBAC_BAD_CONJUNCTION"),
        (struct.pack("!HHI", 0xFFFF, 15, 0x4F4E4600), "experimenter 0x4f4e4600 error 15"),
    ],
)
def test_errors_are_put_in_words(body: bytes, text: str) -> None:
    """Type and code by the names of the specification; unknown ones by number."""
    assert str(decode_fault(body)) == text


def test_a_flow_that_fills_a_message_is_refused() -> None:
    """Actions that fit an instruction may still not fit a message."""
    flow = Flow(0, 1, match(xxreg0=1, xxreg1=1), (Output(1),) * 4095, 1)

    with pytest.raises(Unencodable, match="OpenFlow messages have at most 65535"):
        openflow.encode_put(flow, XID)


def test_flows_are_rendered_for_people() -> None:
    """One line with table, priority, terms and actions; long lists are cut."""
    flood = Flow(1, 2, match(metadata=(5, 7)), (Output(1),) * 30, 0xA1)

    assert openflow.render_flow(FLOW) == (
        "table=9,priority=300,arp_op=0x1,eth_type=0x806 actions=[SetField(field=<Field.ARP_OP: ('arp_op', 16)>, "
        "value=2, mask=None), Output(port=4)] cookie=0xa100000000000005"
    )
    assert "metadata=0x5/0x7" in openflow.render_flow(flood)
    assert "… 30 in all" in openflow.render_flow(flood)


def test_commands_have_the_specifications_numbers() -> None:
    """The numbers that the driver sends are os-ken's, too."""
    assert FlowCommand.DELETE_STRICT == CONSTANTS.OFPFC_DELETE_STRICT
    assert MeterCommand.MODIFY == CONSTANTS.OFPMC_MODIFY
    assert BundleStep.COMMIT == CONSTANTS.OFPBCT_COMMIT_REQUEST
    assert BundleStep.DISCARD == CONSTANTS.OFPBCT_DISCARD_REQUEST
    assert Multipart.METER_DESC == CONSTANTS.OFPMP_METER_DESC
