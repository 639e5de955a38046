"""Ncms and dataplanes of different versions: what an older one is not told, and what it passes over."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import grpc.aio
import pytest

from alcor.bus import wire_pb2 as wire
from alcor.bus.frame import decode_ncm_frame, encode_ncm_frame
from alcor.bus.goal_frame import Want, decode_goal_frame, encode_number, encode_want_message
from alcor.bus.interface import Dropped, Hasten, Heads
from alcor.goalstate.scope import network_scope
from tests.support.bus import EPOCH, FakePublisher, a_network
from tests.support.remote_bus import SECRET, a_client, a_server

NETWORK = network_scope("00000000-0000-4000-8000-000000000001")
HASTEN = Hasten((NETWORK,), EPOCH, 7)
# `NcmMessage` of a field that no version has yet: number 500, a message of two octets.
UNKNOWN = b"\x0a\x05" + b"\xa2\x1f\x02\x08\x01"
WITHIN_S = 30.0

_Call = grpc.aio.StreamStreamCall[bytes, bytes]


@asynccontextmanager
async def an_ncm(address: str, **told: str) -> AsyncIterator[_Call]:
    """An ncm's stream by its bytes, which wants a network. `told`: what its version says more at its attachment."""
    said = (("authorization", f"Bearer {SECRET}"), ("alcor-ncm", "old"), *told.items())
    async with grpc.aio.insecure_channel(address) as channel:
        call: _Call = channel.stream_stream("/alcor.bus.Dataplane/Attach")(metadata=said)
        await call.initial_metadata()
        await call.write(encode_want_message(Want(NETWORK)) + encode_number(1))
        yield call


async def kinds_until(call: _Call, kind: str) -> list[str]:
    """The kinds of all messages through the first of `kind`."""
    found: list[str] = []
    async with asyncio.timeout(WITHIN_S):
        while kind not in found:
            frame = await call.read()
            assert isinstance(frame, bytes)
            found += [str(one.WhichOneof("message")) for one in wire.GoalFrame.FromString(frame).message]
    return found


@pytest.mark.parametrize(
    ("told", "is_hastened"),
    [({}, False), ({"alcor-protocol": "1"}, False), ({"alcor-protocol": "x"}, False)]
    + [({"alcor-protocol": number}, True) for number in ("2", "3")],
)
async def test_an_ncm_is_told_what_it_says_it_understands(told: dict[str, str], *, is_hastened: bool) -> None:
    """One that says nothing, as the first versions did, is never hastened; it gets steps and heads as ever."""
    async with a_server() as server, an_ncm(server.addresses[0], **told) as call:
        publisher = FakePublisher(server)
        publisher.serve()
        publisher.change({NETWORK: [a_network(NETWORK.id)]})
        before = await kinds_until(call, "update")
        server.hasten(HASTEN)
        publisher.change({NETWORK: [a_network(NETWORK.id, mtu=1400)]})
        after = await kinds_until(call, "update")

    assert "hasten" not in before
    assert ("hasten" in after) is is_hastened


async def test_our_own_ncm_is_hastened() -> None:
    """It says at its attachment that it understands that."""
    async with a_server() as server, a_client(server.addresses[0]) as client:
        updates = aiter(client.updates())
        client.want(NETWORK)
        first = asyncio.ensure_future(anext(updates))
        async with asyncio.timeout(WITHIN_S):
            while not server.ncms:  # noqa: ASYNC110  # the other end runs on the same loop
                await asyncio.sleep(0)
            server.hasten(HASTEN)
            found = list(await first)
            while HASTEN not in found:
                found += await anext(updates)

    assert found.count(HASTEN) == 1


def test_what_a_dataplane_says_in_vain_is_passed_over() -> None:
    """A message that came after this version changes nothing for those beside it."""
    heads = Heads(epoch=EPOCH, generation=1, through={1: 5})
    frame = UNKNOWN + encode_ncm_frame([heads]) + UNKNOWN

    assert decode_goal_frame(frame).messages == [heads]


def test_what_an_ncm_says_in_vain_is_passed_over() -> None:
    """So at an agent."""
    dropped = Dropped(NETWORK)
    assert decode_ncm_frame(UNKNOWN + encode_ncm_frame([dropped]) + UNKNOWN) == [dropped]
