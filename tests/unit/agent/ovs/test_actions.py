"""Actions as bytes, against an independent encoder and captures of Open vSwitch 3.1."""

from typing import Any

import pytest

from alcor.agent.ovs.actions import encode_actions, encode_instructions
from alcor.agent.ovs.oxm import Unencodable
from alcor.pipeline.flow import (
    Action,
    Clone,
    Controller,
    DecTtl,
    Field,
    Meter,
    Move,
    Output,
    OutputInPort,
    Pop,
    Push,
    Resubmit,
    SetField,
)
from tests.support.ovs_peer import CONSTANTS, PARSER, independent_part


def their_copy(bits: int, source: str, source_offset: int, target: str, target_offset: int) -> Any:
    """os-ken's copy-field."""
    ids = [PARSER.OFPOxmId(source), PARSER.OFPOxmId(target)]
    return PARSER.OFPActionCopyField(bits, source_offset, target_offset, ids)


THEIRS: list[tuple[Action, Any]] = [
    (SetField(Field.METADATA, 5), PARSER.OFPActionSetField(metadata=5)),
    (SetField(Field.ETH_DST, 0x0A0B0C0D0E0F), PARSER.OFPActionSetField(eth_dst="0a:0b:0c:0d:0e:0f")),
    (SetField(Field.REG5, 0x12, 0xFF), PARSER.OFPActionSetField(reg5=(0x12, 0xFF))),
    (SetField(Field.REG5, 0x112, 0xFF), PARSER.OFPActionSetField(reg5=(0x12, 0xFF))),
    (SetField(Field.TUN_IPV4_DST, 0x01020304), PARSER.OFPActionSetField(tun_ipv4_dst="1.2.3.4")),
    (SetField(Field.ICMPV4_TYPE, 0), PARSER.OFPActionSetField(icmpv4_type=0)),
    (Move(Field.ARP_SHA, Field.ARP_THA, 48), their_copy(48, "arp_sha", 0, "arp_tha", 0)),
    (Move(Field.REG1, Field.METADATA, 8, 16, 3), their_copy(8, "reg1", 16, "metadata", 3)),
    (Output(5), PARSER.OFPActionOutput(5, 0)),
    (OutputInPort(), PARSER.OFPActionOutput(CONSTANTS.OFPP_IN_PORT, 0)),
    (Controller(), PARSER.OFPActionOutput(CONSTANTS.OFPP_CONTROLLER, CONSTANTS.OFPCML_NO_BUFFER)),
    (Resubmit(7), PARSER.NXActionResubmitTable(0xFFF8, 7)),
    (Meter(9), PARSER.OFPActionMeter(9)),
    (DecTtl(), PARSER.OFPActionDecNwTtl()),
]


@pytest.mark.parametrize(("action", "theirs"), THEIRS, ids=lambda value: repr(value)[:40])
def test_actions_are_encoded_as_another_encoder_does(action: Action, theirs: Any) -> None:
    """Each action that os-ken knows has the bytes os-ken gives it."""
    assert encode_actions([action]) == independent_part(theirs)


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Push(Field.ETH_SRC), "ffff0018 00002320 001b0000 00000406 0030 000000000000"),
        (Pop(Field.ETH_DST), "ffff0018 00002320 001c0000 00000206 0030 000000000000"),
        (SetField(Field.ND_RESERVED, 0xE0000000), "00190010 10000204 e0000000 00000000"),
        (SetField(Field.VLAN_TCI, 0x1005), "00190010 00000802 1005 000000000000"),
        (SetField(Field.IP_TTL, 64), "00190010 00013a01 40 00000000000000"),
        (
            Clone((SetField(Field.REG1, 1), Resubmit(5))),
            "ffff0030 00002320 002a 000000000000 00190010 00010204 00000001 00000000"
            "ffff0010 00002320 000e fff8 05 000000",
        ),
        (Clone(()), "ffff0010 00002320 002a 000000000000"),
    ],
)
def test_actions_have_the_form_in_which_open_vswitch_gives_them_back(action: Action, expected: str) -> None:
    """Captured from the flow descriptions of Open vSwitch 3.1."""
    assert encode_actions([action]) == bytes.fromhex(expected)


def test_instructions_are_one_apply_or_nothing() -> None:
    """A flow's actions are one apply-actions instruction; a flow without actions has none, and drops."""
    theirs = PARSER.OFPInstructionActions(CONSTANTS.OFPIT_APPLY_ACTIONS, [PARSER.OFPActionOutput(5, 0)])

    assert encode_instructions((Output(5),)) == independent_part(theirs)
    assert encode_instructions(()) == b""


def test_actions_with_equal_numbers_are_not_mistaken_for_one_another() -> None:
    """Encodings are kept for the next time; Output(5), Resubmit(5) and Meter(5) hold the same number."""
    alike: list[Action] = [
        Output(5),
        Resubmit(5),
        Meter(5),
        Push(Field.REG0),
        Pop(Field.REG0),
        DecTtl(),
        Controller(),
    ]
    encoded = [encode_instructions((action,)) for action in alike]
    cloned = [encode_instructions((Clone((action,)),)) for action in alike]

    assert len(set(encoded)) == len(alike)
    assert len(set(cloned)) == len(alike)


@pytest.mark.parametrize(
    ("actions", "complaint"),
    [
        ((SetField(Field.UDP_DST, 1 << 16),), "does not fit 16 bits"),
        ((Move(Field.REG0, Field.REG1, 8, 30),), "move of 8 bits from bit 30 leaves reg0"),
        ((Move(Field.REG0, Field.REG1, 8, 0, 25),), "leaves reg1"),
        ((Output(1),) * 4096, "4096 actions of 65536 bytes; at most 65527"),
        ((Clone((Output(1),) * 4096),), "a clone of 65552 bytes"),
    ],
)
def test_what_does_not_fit_is_refused(actions: tuple[Action, ...], complaint: str) -> None:
    """What OpenFlow cannot hold is refused before it is sent, with the reason."""
    with pytest.raises(Unencodable, match=complaint):
        encode_instructions(actions)
