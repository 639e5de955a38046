"""The name server: own answers at once, others' by forwarding, bounds on both, over UDP and TCP."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

import dns.message
import dns.rcode
import dns.rrset
import pytest

from alcor.agent.asker import Askers
from alcor.agent.names.forward import forward, host_resolvers, is_answer_to, read_host_resolvers
from alcor.agent.names.server import FORWARDED_PORT_MAX, NameServer
from alcor.goalstate.item import LocalPort
from tests.support.desk import NEAR, PORT, FakeDesk, a_desk

OWN = dns.message.make_query("web.vpc.example.", "A").to_wire()
OTHER_MESSAGE = dns.message.make_query("www.example.org.", "A")
OTHER = OTHER_MESSAGE.to_wire()


class Others:
    """Those who are asked. `answer`: what they say, None is silence; `gate`: they wait for it."""

    def __init__(self, answer: bytes | None = b"answer") -> None:
        self.answer, self.gate = answer, asyncio.Event()
        self.gate.set()
        self.asked: list[tuple[bytes, tuple[str, ...], bool]] = []

    async def __call__(self, question: bytes, servers: Sequence[str], *, over_tcp: bool) -> bytes | None:
        self.asked.append((question, tuple(servers), over_tcp))
        await self.gate.wait()
        return self.answer


async def settle() -> None:
    """Let all that can run, run."""
    for _ in range(10):
        await asyncio.sleep(0)


def a_server(desk: FakeDesk, others: Others) -> tuple[NameServer, list[bytes]]:
    return NameServer(desk, resolvers=lambda: ("192.0.2.53",), forwarder=others), []


async def test_a_name_of_the_vpc_is_answered_at_once() -> None:
    """Nobody else is asked."""
    others = Others()
    server, sent = a_server(a_desk(), others)

    server.received(OWN, NEAR, sent.append)

    (answer,) = [dns.message.from_wire(octets) for octets in sent]
    assert [str(rdata) for rrset in answer.answer for rdata in rrset] == ["10.0.0.2"]
    assert others.asked == []


@pytest.mark.parametrize(
    ("region", "servers"),
    [({"dns_forwarders": ("198.51.100.1",)}, ("198.51.100.1",)), ({}, ("192.0.2.53",))],
    ids=["the region's", "the host's"],
)
async def test_another_name_is_asked_of_others(region: dict[str, object], servers: tuple[str, ...]) -> None:
    """The region's forwarders, or without any the host's own resolvers; their answer passes as it is."""
    others = Others()
    server, sent = a_server(a_desk(**region), others)

    server.received(OTHER, NEAR, sent.append)
    await settle()

    assert others.asked == [(OTHER, servers, False)]
    assert sent == [b"answer"]


async def test_silence_of_others_is_told() -> None:
    """SERVFAIL, so that the guest need not wait for its own patience."""
    server, sent = a_server(a_desk(), Others(None))

    server.received(OTHER, NEAR, sent.append)
    await settle()

    assert [dns.message.from_wire(octets).rcode() for octets in sent] == [dns.rcode.SERVFAIL]


async def test_a_port_has_a_share_of_what_waits_for_others() -> None:
    """One port's questions beyond its share fail at once, own names and other ports' questions do not."""
    other_port = LocalPort(**{**{f: getattr(PORT, f) for f in PORT.__struct_fields__}, "id": "port-2"})
    desk, others = a_desk(other_port), Others()
    others.gate.clear()
    server, sent = a_server(desk, others)
    near_2 = NEAR.rpartition(".")[0] + ".8"
    assert Askers(desk).find(near_2) is other_port

    for _ in range(FORWARDED_PORT_MAX + 3):
        server.received(OTHER, NEAR, sent.append)
    await settle()
    failed = len(sent)
    server.received(OWN, NEAR, sent.append)
    server.received(OTHER, near_2, sent.append)
    await settle()

    assert (failed, len(sent), len(others.asked)) == (3, 4, FORWARDED_PORT_MAX + 1)
    others.gate.set()
    await settle()
    assert len(sent) == FORWARDED_PORT_MAX + 5


@pytest.mark.parametrize(
    ("octets", "source"),
    [(OWN, "10.0.0.5"), (b"no question", NEAR), (OWN[:-1], NEAR)],
    ids=["a stranger", "noise", "cut off"],
)
async def test_strangers_and_noise_meet_silence(octets: bytes, source: str) -> None:
    """Only a local port's question is worth an answer."""
    others = Others()
    server, sent = a_server(a_desk(), others)

    server.received(octets, source, sent.append)
    await settle()

    assert (sent, others.asked) == ([], [])


class AnyAsker(Askers):
    """Takes everybody for PORT: loopback has no near addresses."""

    def find(self, address: str) -> LocalPort | None:
        """PORT."""
        return PORT


@asynccontextmanager
async def listening(others: Others) -> AsyncIterator[tuple[int, int]]:
    """The server on loopback; its UDP and TCP ports."""
    desk = a_desk()
    server = NameServer(desk, resolvers=lambda: ("192.0.2.53",), forwarder=others, askers=AnyAsker(desk))
    datagrams, streams = socket.socket(type=socket.SOCK_DGRAM), socket.socket()
    for one in (datagrams, streams):
        one.setblocking(False)
        one.bind(("127.0.0.1", 0))
    streams.listen()
    numbers = datagrams.getsockname()[1], streams.getsockname()[1]
    async with server.serve([datagrams], [streams]):
        yield numbers


async def over_tcp(port: int, *questions: bytes) -> list[bytes]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    answers = []
    for question in questions:
        writer.write(struct.pack("!H", len(question)) + question)
        (length,) = struct.unpack("!H", await reader.readexactly(2))
        answers.append(await reader.readexactly(length))
    writer.close()
    return answers


async def test_sockets_of_both_kinds_are_served() -> None:
    """UDP and TCP give one answer; over TCP several questions may follow each other, others' answers among them."""
    others = Others()
    async with listening(others) as (udp, tcp):
        by_udp = await forward(OWN, ["127.0.0.1"], over_tcp=False, port=udp)
        by_tcp = await over_tcp(tcp, OWN, OTHER, OWN)

    assert by_tcp == [by_udp, b"answer", by_udp]
    assert others.asked == [(OTHER, ("192.0.2.53",), True)]


async def test_noise_over_tcp_ends_the_connection() -> None:
    """What is no question is not worth a connection."""
    async with listening(Others()) as (_, tcp):
        reader, writer = await asyncio.open_connection("127.0.0.1", tcp)
        writer.write(b"\0\3abc")

        assert await reader.read() == b""
        writer.close()


# --- forwarding ----------------------------------------------------------------------------------------


class _Resolver(asyncio.DatagramProtocol):
    """Answers each question with these changes of it, one after the other."""

    def __init__(self, *answers: bytes) -> None:
        self.answers, self.numbers = answers, [b""]

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self.numbers.append(data[:2])
        for answer in self.answers:
            self.transport.sendto(answer or data[:2] + _ANSWER[2:], addr)  # type: ignore[attr-defined]  # of datagrams


def _answer() -> bytes:
    message = dns.message.make_response(OTHER_MESSAGE)
    message.answer.append(dns.rrset.from_text("www.example.org.", 60, "IN", "A", "192.0.2.80"))
    return message.to_wire()


_ANSWER = _answer()


async def test_forged_answers_are_not_believed() -> None:
    """Only an answer with our number to our question counts; it is passed on with the asker's number."""
    forged = b"\xff\xff" + _ANSWER[2:]
    loop = asyncio.get_running_loop()
    transport, resolver = await loop.create_datagram_endpoint(
        lambda: _Resolver(forged, OTHER, b"x", b""), local_addr=("127.0.0.1", 0)
    )
    port = transport.get_extra_info("sockname")[1]

    found = [await forward(OTHER, ["127.0.0.1"], over_tcp=False, port=port) for _ in range(2)]
    transport.close()

    assert found == [OTHER[:2] + _ANSWER[2:]] * 2
    assert len(set(resolver.numbers)) == 3


async def test_who_does_not_listen_is_passed_over() -> None:
    """A refused server costs nothing, and nobody left is None."""
    with socket.socket(type=socket.SOCK_DGRAM) as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    assert await forward(OTHER, ["127.0.0.1"], over_tcp=False, port=port) is None
    assert await forward(OTHER, ["127.0.0.1"], over_tcp=True, port=port) is None
    assert await forward(OTHER, [], over_tcp=False) is None


@pytest.mark.parametrize(
    ("answer", "fits"),
    [
        (_ANSWER, True),
        (_ANSWER.replace(b"example", b"eXAMPLe"), True),
        (OTHER, False),
        (b"\0" + _ANSWER[1:], False),
        (_ANSWER[:20], False),
        (_ANSWER.replace(b"example", b"exemple"), False),
        (b"", False),
    ],
    ids=["it", "other case", "a question", "another number", "cut off", "another name", "nothing"],
)
def test_what_is_an_answer_to_a_question(answer: bytes, fits: bool) -> None:
    """Number, kind, name and type, whatever the case of the name."""
    question = b"\x12\x34" + OTHER[2:]

    assert is_answer_to(answer.replace(OTHER[:2], b"\x12\x34", 1) if answer else answer, question) == fits


def test_the_hosts_own_resolvers(tmp_path: Path) -> None:
    """Lines that name a server by address; a file that cannot be read names none."""
    text = "# nameserver 192.0.2.1\nnameserver 192.0.2.2\noptions x\nnameserver ::1\nnameserver localhost\nnameserver\n"
    (tmp_path / "resolv.conf").write_text(text)

    assert host_resolvers(text) == ("192.0.2.2", "::1")
    assert read_host_resolvers(tmp_path / "resolv.conf") == ("192.0.2.2", "::1")
    assert read_host_resolvers(tmp_path / "none") == ()
