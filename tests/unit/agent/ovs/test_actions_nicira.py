"""Conntrack, groups, conjunctions and VLAN actions as Open vSwitch 3.1 gives back what ovs-ofctl sent it."""

import pytest

from alcor.agent.driver import ConnectionProtocol, ConnectionTuple
from alcor.agent.ovs.actions import encode_actions
from alcor.agent.ovs.flush import encode_flush
from alcor.agent.ovs.groups import (
    GroupCommand,
    decode_group_descs,
    describe,
    encode_group_delete,
    encode_group_mod,
)
from alcor.agent.ovs.oxm import Unencodable
from alcor.model.address import Ip
from alcor.pipeline.flow import (
    Action,
    Bucket,
    CheckPacketLarger,
    Conjunction,
    Conntrack,
    ConntrackClear,
    Field,
    Group,
    GroupKind,
    GroupSpec,
    Move,
    Nat,
    NatRange,
    Output,
    PopVlan,
    PushVlan,
    SetField,
)

CT = "ffff00{:02x} 00002320 0023"
LOW, HIGH = 0x0A000001, 0x0A000009


@pytest.mark.parametrize(
    ("action", "expected"),
    [
        (Conntrack(5), f"{CT.format(0x18)}0000 00000000 0005ff00 00000000"),
        (
            Conntrack(Field.REG13, commit=True, force=True, table=9),
            f"{CT.format(0x18)}0003 00011a04 000f0900 00000000",
        ),
        (
            Conntrack(5, nat=Nat()),
            f"{CT.format(0x28)}0000 00000000 0005ff00 00000000 ffff0010 00002320 00240000 00000000",
        ),
        (
            Conntrack(5, commit=True, nat=Nat(destination=NatRange(4, LOW, HIGH, 1, 2))),
            f"{CT.format(0x38)}0001 00000000 0005ff00 00000000 ffff0020 00002320 00240000 00020033 "
            "0a000001 0a000009 00010002 00000000",
        ),
        (
            Conntrack(5, commit=True, nat=Nat(destination=NatRange(6, 1, 2, 80))),
            f"{CT.format(0x50)}0001 00000000 0005ff00 00000000 ffff0038 00002320 00240000 0002001c "
            "00000000000000000000000000000001 00000000000000000000000000000002 00500000 00000000",
        ),
        (
            Conntrack(
                5,
                commit=True,
                actions=(SetField(Field.CT_MARK, 1), Move(Field.REG0, Field.CT_MARK, 16, 0, 16)),
            ),
            f"{CT.format(0x40)}0001 00000000 0005ff00 00000000 00190010 0001d604 00000001 00000000 "
            "001c0018 00100000 00100000 00010004 0001d604 00000000",
        ),
        (ConntrackClear(), "ffff0010 00002320 002b0000 00000000"),
        (Conjunction(5, 1, 2), "ffff0010 00002320 00220002 00000005"),
        (Group(1), "00160008 00000001"),
        (CheckPacketLarger(1500, Field.REG10, 5), "ffff0018 00002320 003105dc 00050001 14040000 00000000"),
        (PushVlan(), "00110008 81000000"),
        (SetField(Field.VLAN_VID, 0x1064), "00190010 80000c02 10640000 00000000"),
        (PopVlan(), "00120008 00000000"),
    ],
)
def test_an_action_is_encoded_as_the_switch_gives_it_back(action: Action, expected: str) -> None:
    """Byte for byte as captured."""
    assert encode_actions([action]).hex() == bytes.fromhex(expected).hex()


def test_a_range_that_does_not_fit_is_refused() -> None:
    """The error shows the range."""
    with pytest.raises(Unencodable, match="NatRange"):
        encode_actions([Conntrack(1, commit=True, nat=Nat(NatRange(4, 1 << 32)))])


SELECT = GroupSpec(
    1,
    GroupKind.SELECT,
    (Bucket(1, (Output(1),), 10), Bucket(2, (Output(2),), 0)),
    (Field.IPV4_SRC, Field.IPV4_DST, Field.TCP_SRC),
)
DESCRIBED = bytes.fromhex(
    "00900100 00000001 00400000 00000000 00200010 00000001 00000010 00000001 00000000 00000000 00000008 000a0000 "
    "00200010 00000002 00000010 00000002 00000000 00000000 00000008 00000000 ffff003e 0000154d 00000001 00000000 "
    "68617368 00000000 00000000 00000000 00000000 00000000 80001604 ffffffff 80001804 ffffffff 80001a02 ffff0000"
)


def test_a_group_is_sent_as_the_switch_describes_it() -> None:
    """Buckets and hashed fields are those of a captured description; the command and its number come before."""
    sent = encode_group_mod(GroupCommand.MODIFY, SELECT)

    assert sent[:16].hex() == "000101000000000100400000ffffffff"
    assert sent[16:] == DESCRIBED[16:]
    assert decode_group_descs(DESCRIBED * 2) == {1: describe(SELECT)}
    assert encode_group_delete(7).hex() == "000200000000000700000000ffffffff"


def test_a_group_too_large_is_refused() -> None:
    """64 KB of buckets do not fit a message."""
    buckets = tuple(Bucket(n, (Output(1),) * 100) for n in range(50))

    with pytest.raises(Unencodable, match="50 buckets"):
        encode_group_mod(GroupCommand.ADD, GroupSpec(1, GroupKind.ALL, buckets))


@pytest.mark.parametrize(
    ("connection", "expected"),
    [
        (None, "00002320 00000020 00000000 00000000 00020008 00050000"),
        (
            ConnectionTuple(ConnectionProtocol.TCP, Ip("10.0.0.1"), Ip("10.0.0.2"), 1, 2),
            "00002320 00000020 06000000 00000000 00000048 00000000 00000014 00000000 00000000 0000ffff 0a000001 "
            "00000000 00010014 00000000 00000000 0000ffff 0a000002 00000000 00020008 00010000 00030008 00020000 "
            "00020008 00050000",
        ),
        (
            ConnectionTuple(ConnectionProtocol.ICMP, Ip("10.0.0.1"), Ip("10.0.0.2"), 7, 8 << 8),
            "00002320 00000020 01000000 00000000 00000050 00000000 00000014 00000000 00000000 0000ffff 0a000001 "
            "00000000 00010014 00000000 00000000 0000ffff 0a000002 00000000 00040008 00070000 00050005 08000000 "
            "00060005 00000000 00020008 00050000",
        ),
    ],
)
def test_a_flush_is_encoded_as_ovs_ofctl_sends_it(connection: ConnectionTuple | None, expected: str) -> None:
    """A zone, or one connection of it in full."""
    assert encode_flush(5, connection).hex() == bytes.fromhex(expected).hex()
