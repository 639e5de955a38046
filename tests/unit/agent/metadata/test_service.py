"""The metadata service over HTTP: bounds, bad clients, and the way to the compute service."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from alcor.agent.asker import Askers, Full, Places
from alcor.agent.metadata.http import (
    HEAD_BYTES_MAX,
    REQUEST_BYTES_MAX,
    Request,
    Response,
    TooLarge,
    ask,
    serve_connection,
)
from alcor.agent.metadata.service import Compute, MetadataService, identity_headers
from tests.support.desk import NEAR, PORT, a_desk

GET = Request("GET", "/latest/meta-data/instance-id", {}, b"")
Exchange = Callable[[bytes], Awaitable[bytes]]


@asynccontextmanager
async def served(handler: Callable[[Request], Awaitable[Response]]) -> AsyncIterator[str]:
    """A server on a Unix-free loopback port; its URL."""
    server = await asyncio.start_server(lambda r, w: serve_connection(r, w, handler), "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def echo(request: Request) -> Response:
    return Response(200, f"{request.method} {request.target} ".encode() + request.body)


async def exchange(url: str, octets: bytes) -> bytes:
    """Send octets, and all that comes until the server closes."""
    reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
    writer.write(octets)
    writer.write_eof()
    answer = await reader.read()
    writer.close()
    return answer


async def test_a_client_and_a_server_understand_each_other() -> None:
    """Method, target and body arrive; status and body come back."""
    async with served(echo) as url:
        found = await ask(url, Request("POST", "/a?b=c", {"accept": "*/*"}, b"body"))

    assert found == Response(200, b"POST /a?b=c body", "text/plain")


async def test_several_requests_on_one_connection() -> None:
    """A kept connection answers in order, also what was sent ahead."""
    async with served(echo) as url:
        one = b"GET /%d HTTP/1.1\r\nhost: x\r\n\r\n"
        found = await exchange(url, one % 1 + one % 2)

    assert found.index(b"GET /1 ") < found.index(b"GET /2 ")


async def test_head_has_no_body() -> None:
    """Its answer says how long the body would be."""
    async with served(echo) as url:
        found = await exchange(url, b"HEAD / HTTP/1.1\r\nhost: x\r\n\r\n")

    head, _, body = found.partition(b"\r\n\r\n")
    assert b"content-length: 7" in head.lower()
    assert body == b""


@pytest.mark.parametrize(
    ("octets", "status"),
    [
        (b"nonsense\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: " + b"x" * (2 * HEAD_BYTES_MAX) + b"\r\n\r\n", b"431"),
        (
            b"PUT / HTTP/1.1\r\nhost: x\r\ncontent-length: 1000000\r\n\r\n" + bytes(REQUEST_BYTES_MAX + 1),
            b"413",
        ),
    ],
    ids=["no HTTP", "no host", "head too long", "body too long"],
)
async def test_a_bad_client_is_told_and_left(octets: bytes, status: bytes) -> None:
    """What breaks the protocol or a bound ends the connection."""
    async with served(echo) as url:
        found = await exchange(url, octets)

    assert found.split(b" ")[1] == status
    assert b"connection: close" in found.lower()


@settings(deadline=None, max_examples=30)
@given(st.binary(max_size=300))
def test_whatever_is_sent_the_server_lives(octets: bytes) -> None:
    """No octets end the server or keep it waiting once the client has closed."""

    async def body() -> bytes:
        async with served(echo) as url:
            await exchange(url, octets)
            return await exchange(url, b"GET /after HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")

    assert asyncio.run(body()).endswith(b"GET /after ")


async def test_an_instance_is_told_its_own_identity() -> None:
    """The port decides whose; without a port there is nothing."""
    service = MetadataService(a_desk())

    assert await service.answer(GET, PORT) == Response(200, b"instance", "text/plain")
    assert (await service.answer(GET._replace(target=GET.target + "?x=1"), PORT)).status == 200
    assert (await service.answer(GET._replace(target="/nothing"), PORT)).status == 404
    assert (await service.answer(GET._replace(method="PUT"), PORT)).status == 405
    assert (await service.answer(GET, None)).status == 404


async def test_the_compute_service_is_asked_as_it_expects() -> None:
    """Instance, project, signature and address are ours; no header of the guest's that could contradict them passes."""
    asked: list[tuple[str, Request]] = []

    async def upstream(url: str, request: Request) -> Response:
        asked.append((url, request))
        return Response(200, b"from nova", "application/json")

    service = MetadataService(a_desk(), Compute("http://nova:8775", "secret"), upstream=upstream)
    lies = {"x-instance-id": "other", "x-forwarded-for": "10.9.9.9", "host": "x", "accept": "*/*"}

    found = await service.answer(GET._replace(headers=lies), PORT)

    assert found == Response(200, b"from nova", "application/json")
    ((url, request),) = asked
    assert (url, request.target, request.method) == ("http://nova:8775", GET.target, "GET")
    assert request.headers == {"accept": "*/*", **identity_headers(PORT, "secret")}


def test_the_signature_is_that_of_the_reference() -> None:
    """HMAC-SHA256 in hex, computed with `openssl dgst -sha256 -hmac secret` over the instance's ID."""
    assert identity_headers(PORT, "secret") == {
        "x-instance-id": "instance",
        "x-tenant-id": "project",
        "x-instance-id-signature": "fac450cbc556373851e9f5755126936b598b1749a007d96b7e0b7f1a5cd274e9",
        "x-forwarded-for": "10.0.0.5",
    }


@pytest.mark.parametrize("error", [ConnectionRefusedError(), TimeoutError(), TooLarge()])
async def test_without_the_compute_service_there_is_no_answer(error: Exception) -> None:
    """503: guests ask again. Nothing else is told instead."""

    async def upstream(url: str, request: Request) -> Response:
        raise error

    service = MetadataService(a_desk(), Compute("http://nova", "s"), upstream=upstream)

    assert (await service.answer(GET, PORT)).status == 503


def test_askers_are_known_by_their_near_address() -> None:
    """The port of the key; after keys have moved the new one; nobody else."""
    desk = a_desk()
    askers = Askers(desk)

    assert askers.find(NEAR) is PORT
    assert askers.find("10.0.0.5") is None
    desk.allocation.port_keys = {PORT.id: 8}
    assert askers.find(NEAR) is None
    desk.allocation.port_keys = {PORT.id: 7}
    assert askers.find(NEAR) is PORT
    del desk.view.ports[PORT.id]
    assert askers.find(NEAR) is None


def test_places_are_bounded_together_and_for_each() -> None:
    """What is given back can be taken again."""
    places = Places(2, 1)

    with places.one("a"):
        with pytest.raises(Full), places.one("a"):
            pass
        with places.one("b"), pytest.raises(Full), places.one("c"):
            pass
    with places.one("a"):
        assert dict(places.taken) == {"a": 1}
    assert not places.taken
