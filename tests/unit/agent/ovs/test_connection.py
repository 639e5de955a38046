"""The OpenFlow connection against a scripted switch: replies by xid, errors by flow, and switches that misbehave."""

import asyncio
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from alcor.agent.driver import SwitchError
from alcor.agent.ovs import openflow
from alcor.agent.ovs.connection import Connection, Refused
from alcor.agent.ovs.openflow import HEADER, BundleStep, Multipart, PuntedPacket, Type
from alcor.agent.ovs.oxm import enclose
from alcor.pipeline.flow import Flow, Output, match
from tests.support.ovs_peer import Talk, a_peer

FLOWS = [Flow(0, n, match(metadata=n), (Output(n),), 0xA1 << 56) for n in range(1, 4)]
Answer = Callable[[int, int, bytes], bytes]
"""Type, xid and body of what the driver sent → what the switch says to it."""


def fault(xid: int, type_: int, code: int) -> bytes:
    """An error message."""
    return openflow.encode_message(Type.ERROR, xid, struct.pack("!HH", type_, code))


def obedient(kind: int, xid: int, body: bytes) -> bytes:
    """What a switch answers that does all it is told."""
    match kind:
        case Type.FEATURES_REQUEST:
            return openflow.encode_message(
                Type.FEATURES_REPLY, xid, struct.pack("!QIBBxxII", 0xABC, 0, 254, 0, 0, 0)
            )
        case Type.BARRIER_REQUEST:
            return openflow.encode_message(Type.BARRIER_REPLY, xid)
        case Type.BUNDLE_CONTROL:
            bundle, step, flags = struct.unpack("!IHH", body)
            return openflow.encode_message(
                Type.BUNDLE_CONTROL, xid, struct.pack("!IHH", bundle, step + 1, flags)
            )
        case _:
            return b""


def a_switch(answer: Answer, heard: list[tuple[int, bytes]]) -> Talk:
    """A switch that answers each message, in pieces of three bytes, and notes what it heard."""

    async def talk(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(openflow.encode_hello(0))
        while True:
            _, kind, length, xid = HEADER.unpack(await reader.readexactly(HEADER.size))
            body = await reader.readexactly(length - HEADER.size)
            heard.append((kind, body))
            said = answer(kind, xid, body)
            for start in range(0, len(said), 3):
                writer.write(said[start : start + 3])
                await writer.drain()

    return talk


def ignored(_: PuntedPacket) -> None:
    """Take no packets."""


async def commit(connection: Connection, flows: list[Flow]) -> None:
    """Put flows."""
    await connection.commit(flows, openflow.encode_put, openflow.render_flow)


async def test_a_connection_says_hello_and_asks_for_whole_packets(tmp_path: Path) -> None:
    """Hello, features, configuration, barrier, in this order."""
    heard: list[tuple[int, bytes]] = []
    async with a_peer(tmp_path / "mgmt", a_switch(obedient, heard)):
        connection = await Connection.open(tmp_path / "mgmt", ignored)
        connection.close()

    assert connection.datapath_id == 0xABC
    kinds = [kind for kind, _ in heard]
    assert kinds == [Type.HELLO, Type.FEATURES_REQUEST, Type.SET_CONFIG, Type.BARRIER_REQUEST]
    assert heard[2][1] == struct.pack("!HH", 3, 0xFFFF)  # first fragments are matched by port


async def test_several_flows_go_in_one_bundle_and_one_flow_alone(tmp_path: Path) -> None:
    """A bundle is opened, filled, closed and committed before the barrier; a single flow needs no bundle."""
    heard: list[tuple[int, bytes]] = []
    async with a_peer(tmp_path / "mgmt", a_switch(obedient, heard)):
        connection = await Connection.open(tmp_path / "mgmt", ignored)
        heard.clear()
        await commit(connection, FLOWS)
        bundled = [kind for kind, _ in heard]
        heard.clear()
        await commit(connection, FLOWS[:1])
        connection.close()

    control, add = Type.BUNDLE_CONTROL, Type.BUNDLE_ADD_MESSAGE
    assert bundled == [control, add, add, add, control, control, Type.BARRIER_REQUEST]
    assert [kind for kind, _ in heard] == [Type.FLOW_MOD, Type.BARRIER_REQUEST]


async def test_a_flow_refused_while_it_is_added_is_named_and_the_bundle_discarded(tmp_path: Path) -> None:
    """The error is found by the message's xid; nothing is committed; the connection goes on."""
    heard: list[tuple[int, bytes]] = []
    added: list[int] = []

    def answer(kind: int, xid: int, body: bytes) -> bytes:
        if kind == Type.BUNDLE_ADD_MESSAGE:
            added.append(xid)
            return fault(xid, 4, 9) if len(added) == 2 else b""
        return obedient(kind, xid, body)

    async with a_peer(tmp_path / "mgmt", a_switch(answer, heard)):
        connection = await Connection.open(tmp_path / "mgmt", ignored)
        with pytest.raises(
            SwitchError, match=r"refused table=0,priority=2,metadata=0x2 .* OFPBMC_BAD_PREREQ"
        ):
            await commit(connection, FLOWS)
        await connection.barrier()
        connection.close()

    steps = [struct.unpack("!IHH", body)[1] for kind, body in heard if kind == Type.BUNDLE_CONTROL]
    assert steps == [BundleStep.OPEN, BundleStep.CLOSE, BundleStep.DISCARD]


async def test_a_flow_refused_at_commit_is_named(tmp_path: Path) -> None:
    """The switch first blames the flow, then the bundle; the flow is what is told."""
    added: list[int] = []

    def answer(kind: int, xid: int, body: bytes) -> bytes:
        if kind == Type.BUNDLE_ADD_MESSAGE:
            added.append(xid)
        if kind == Type.BUNDLE_CONTROL and struct.unpack("!IHH", body)[1] == BundleStep.COMMIT:
            return fault(added[2], 5, 1) + fault(xid, 17, 13)
        return obedient(kind, xid, body)

    async with a_peer(tmp_path / "mgmt", a_switch(answer, [])):
        connection = await Connection.open(tmp_path / "mgmt", ignored)
        with pytest.raises(SwitchError, match=r"priority=3,.* bad flow, OFPFMFC_TABLE_FULL"):
            await commit(connection, FLOWS)
        connection.close()


async def test_a_bundle_refused_as_such_names_its_first_flow(tmp_path: Path) -> None:
    """When the switch blames no flow, the error says which bundle it was."""

    def answer(kind: int, xid: int, body: bytes) -> bytes:
        return fault(xid, 17, 5) if kind == Type.BUNDLE_CONTROL else obedient(kind, xid, body)

    async with a_peer(tmp_path / "mgmt", a_switch(answer, [])):
        connection = await Connection.open(tmp_path / "mgmt", ignored)
        with pytest.raises(
            SwitchError, match=r"bundle of 3 changes that starts with .*priority=1.*OUT_OF_BUNDLES"
        ):
            await commit(connection, FLOWS)
        connection.close()


async def test_a_reply_in_many_parts_is_put_together(tmp_path: Path) -> None:
    """Parts are collected until the one without the flag "more"."""

    def answer(kind: int, xid: int, body: bytes) -> bytes:
        if kind != Type.MULTIPART_REQUEST:
            return obedient(kind, xid, body)
        parts = ((b"one", 1), (b"two", 1), (b"three", 0))
        reply = [struct.pack("!HH4x", 1, more) + text for text, more in parts]
        return b"".join(openflow.encode_message(Type.MULTIPART_REPLY, xid, part) for part in reply)

    async with a_peer(tmp_path / "mgmt", a_switch(answer, [])):
        connection = await Connection.open(tmp_path / "mgmt", ignored)
        parts = await connection.multipart(Multipart.FLOW_DESC, b"")
        connection.close()

    assert parts == [b"one", b"two", b"three"]


async def test_a_refused_question_says_what_was_asked(tmp_path: Path) -> None:
    """The error of a request names the request."""

    def answer(kind: int, xid: int, body: bytes) -> bytes:
        return fault(xid, 1, 2) if kind == Type.MULTIPART_REQUEST else obedient(kind, xid, body)

    async with a_peer(tmp_path / "mgmt", a_switch(answer, [])):
        connection = await Connection.open(tmp_path / "mgmt", ignored)
        with pytest.raises(
            Refused, match="refused to describe its meter_desc: bad request, OFPBRC_BAD_MULTIPART"
        ):
            await connection.multipart(Multipart.METER_DESC, b"")
        connection.close()


async def test_echoes_are_answered_and_packets_handed_on(tmp_path: Path) -> None:
    """The switch's own requests between two of ours disturb nothing."""
    heard: list[tuple[int, bytes]] = []
    packets: list[PuntedPacket] = []
    packet = struct.pack("!IHBBQ", 0xFFFFFFFF, 5, 0, 8, 1) + enclose(b"") + b"\0\0frame"

    def answer(kind: int, xid: int, body: bytes) -> bytes:
        extra = b""
        if kind == Type.SET_CONFIG:
            extra = openflow.encode_message(Type.ECHO_REQUEST, 99, b"ping")
            extra += openflow.encode_message(Type.PACKET_IN, 0, packet)
        return extra + obedient(kind, xid, body)

    async with a_peer(tmp_path / "mgmt", a_switch(answer, heard)):
        connection = await Connection.open(tmp_path / "mgmt", packets.append)
        await connection.barrier()
        connection.close()

    assert (Type.ECHO_REPLY, b"ping") in heard
    assert [packet.data for packet in packets] == [b"frame"]


async def test_a_switch_that_falls_silent_is_given_up(tmp_path: Path) -> None:
    """Echo requests that stay unanswered end the connection; a switch that answers them keeps it."""
    heard: list[tuple[int, bytes]] = []
    echoes: list[int] = []

    def answer(kind: int, xid: int, body: bytes) -> bytes:
        if kind != Type.ECHO_REQUEST:
            return obedient(kind, xid, body)
        echoes.append(xid)
        return openflow.encode_message(Type.ECHO_REPLY, xid, body) if len(echoes) < 5 else b""

    async with a_peer(tmp_path / "mgmt", a_switch(answer, heard)):
        connection = await Connection.open(tmp_path / "mgmt", ignored, echo_after_s=0.02)
        async with asyncio.timeout(60):
            reason = await connection.closed

    assert "has not answered 6 echo requests" in reason
    assert len(echoes) >= 5
    with pytest.raises(SwitchError, match="has not answered"):
        await connection.barrier()


async def test_a_switch_that_hangs_up_fails_what_is_in_flight(tmp_path: Path) -> None:
    """Requests in flight, and all later ones, raise with the socket's name."""

    async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(openflow.encode_hello(0))
        await reader.readexactly(24)

    async with a_peer(tmp_path / "mgmt", hang_up):
        with pytest.raises(SwitchError, match="mgmt: the switch closed the connection"):
            await Connection.open(tmp_path / "mgmt", ignored)


async def test_a_switch_of_another_version_is_refused_with_the_way_out(tmp_path: Path) -> None:
    """The error says what to configure."""

    async def speak_1_0(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readexactly(16)
        writer.write(
            struct.pack("!BBHI", 1, Type.HELLO, 8, 0) + struct.pack("!BBHIHH", 1, Type.ERROR, 12, 0, 0, 0)
        )
        await reader.read()

    async with a_peer(tmp_path / "mgmt", speak_1_0):
        with pytest.raises(SwitchError, match=r"not 1\.5 \(add OpenFlow15 to protocols\)"):
            await Connection.open(tmp_path / "mgmt", ignored)


async def test_nobody_listening_is_an_error_with_the_path(tmp_path: Path) -> None:
    """A missing socket is named."""
    with pytest.raises(SwitchError, match="nobody: No such file or directory"):
        await Connection.open(tmp_path / "nobody", ignored)
