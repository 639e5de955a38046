"""Mutual TLS on real sockets: who gets in, who does not, and a renewed certificate serves without a start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest

from alcor.bus.goal_client import GoalClient
from alcor.bus.goal_server import GoalServer
from alcor.bus.grpc_client import GrpcConnector
from alcor.bus.grpc_server import AgentServer
from alcor.bus.grpc_tls import ChannelTls, server_credentials
from alcor.bus.interface import AgentStream, Heads, Heartbeat, Hello, NcmMessage, Refused, Welcome
from alcor.goalstate.item import HostItem
from alcor.goalstate.scope import host_scope
from alcor.identity.authority import Authority
from alcor.ncm.session import REFUSAL, REVOKED
from tests.support.bus import FakePublisher
from tests.support.identity import HOST_ID, OTHER_ID, JoinedHost, a_source, an_authority
from tests.support.ncm import CODEC, Site, a_site
from tests.support.remote_bus import SECRET, being_read


@pytest.fixture
def authority() -> Authority:
    """The region's."""
    return an_authority()


@pytest.fixture
def host(tmp_path: Path, authority: Authority) -> JoinedHost:
    """A host that has joined."""
    return JoinedHost(tmp_path / "host", authority)


def an_item(host: JoinedHost, key_digest: str | None = None) -> HostItem:
    """What the region says of a host."""
    digest = host.key_digest if key_digest is None else key_digest
    return HostItem(
        id=host.host_id, name="h", vtep_addresses=("192.0.2.1",), token_digest="", key_digest=digest
    )


@asynccontextmanager
async def a_tls_ncm(authority: Authority, *hosts: JoinedHost) -> AsyncIterator[tuple[Site, str]]:
    """An ncm that serves `hosts` over TLS, and its address."""
    credentials = server_credentials(a_source(authority))
    async with a_site() as site:
        site.publisher.change({host_scope(host.host_id): [an_item(host)] for host in hosts})
        server = AgentServer(site.ncm.handle, ["127.0.0.1:0"], tls=lambda _: credentials)
        (address,) = await server.start()
        try:
            yield site, address
        finally:
            await server.stop(0)


@asynccontextmanager
async def attached(address: str, host: JoinedHost, *, says: str = "") -> AsyncIterator[AgentStream]:
    """A stream on which the host has said hello, as itself or as another."""
    stream = await GrpcConnector(address, tls=ChannelTls(host.folder.source(), "ncm")).connect()
    try:
        await stream.send(Hello(host_id=says or host.host_id, token="", agent_version="1"))
        yield stream
    finally:
        await stream.close()


async def first_of(stream: AgentStream) -> NcmMessage:
    """The first answer."""
    async for batch in stream.receive():
        return batch[0]
    raise AssertionError("the stream ended without an answer")


async def refused_over_tls(address: str, host: JoinedHost) -> str:
    """Why no stream comes about."""
    tls = ChannelTls(host.folder.source(), "ncm")
    with pytest.raises(ConnectionError) as caught:
        await GrpcConnector(address, connect_s=5, tls=tls).connect()
    return str(caught.value)


async def test_a_host_is_known_by_its_certificate(authority: Authority, host: JoinedHost) -> None:
    """A host whose certificate the region issued and whose key it knows is welcomed, and needs no token."""
    async with a_tls_ncm(authority, host) as (site, address), attached(address, host) as stream:
        answer = await first_of(stream)

        assert isinstance(answer, Welcome)
        assert site.ncm.hosts == [HOST_ID]


async def test_a_host_cannot_speak_for_another(
    authority: Authority, host: JoinedHost, tmp_path: Path
) -> None:
    """A hello in another host's name is refused as that of a stranger, however good the certificate is."""
    other = JoinedHost(tmp_path / "other", authority, OTHER_ID)
    async with (
        a_tls_ncm(authority, host, other) as (site, address),
        attached(address, host, says=OTHER_ID) as stream,
    ):
        assert await first_of(stream) == Refused(REFUSAL)
        assert site.ncm.hosts == []


async def test_a_certificate_of_another_region_is_refused(authority: Authority, host: JoinedHost) -> None:
    """The handshake fails: nothing of ours reads what such a client says."""
    host.certify(by=an_authority())
    async with a_tls_ncm(authority, host) as (_, address):
        reason = await refused_over_tls(address, host)

        assert "did not accept this host's certificate" in reason


async def test_another_regions_ncm_is_refused(host: JoinedHost) -> None:
    """A host does not speak to who is not of its region."""
    async with a_tls_ncm(an_authority(), host) as (_, address):
        reason = await refused_over_tls(address, host)

        assert "is not of this host's region" in reason


async def test_a_host_is_not_taken_for_the_region(
    authority: Authority, host: JoinedHost, tmp_path: Path
) -> None:
    """A host of the region that listens in an ncm's place is found out: its certificate names no role."""
    impostor = JoinedHost(tmp_path / "impostor", authority, OTHER_ID)
    credentials = server_credentials(impostor.folder.source())
    async with a_site() as site:
        server = AgentServer(site.ncm.handle, ["127.0.0.1:0"], tls=lambda _: credentials)
        (address,) = await server.start()
        try:
            reason = await refused_over_tls(address, host)
        finally:
            await server.stop(0)

    assert "is not of this host's region" in reason


async def test_an_expired_certificate_is_refused(authority: Authority, host: JoinedHost) -> None:
    """It is said before a connection is tried, with the way out."""
    host.certify(age=timedelta(days=2), days=1)
    async with a_tls_ncm(authority, host) as (_, address):
        reason = await refused_over_tls(address, host)

        assert "expired" in reason
        assert "renew" in reason


async def test_who_shows_no_certificate_gets_no_stream(authority: Authority, host: JoinedHost) -> None:
    """Neither plain connections nor clients without a certificate come through, whatever token they have."""
    async with a_tls_ncm(authority, host) as (_, address):
        with pytest.raises(ConnectionError) as caught:
            await GrpcConnector(address, connect_s=5).connect()

        assert "TLS" in str(caught.value)


async def test_a_revoked_host_is_cut_off_at_once(authority: Authority, host: JoinedHost) -> None:
    """When the region knows the key no more, the open stream ends with a sentence; a new one is refused."""
    async with a_tls_ncm(authority, host) as (site, address), attached(address, host) as stream:
        assert isinstance(await first_of(stream), Welcome)

        site.publisher.change({host_scope(HOST_ID): [an_item(host, key_digest="")]})
        async with asyncio.timeout(30):
            rest = [message async for batch in stream.receive() for message in batch]

        assert rest[-1] == Refused(REVOKED)
        async with attached(address, host) as again:
            assert await first_of(again) == Refused(REFUSAL)


async def test_a_renewed_certificate_serves_the_next_connection(
    authority: Authority, host: JoinedHost
) -> None:
    """Renewing ends no stream: the key is the same; the next connection uses the new certificate."""
    host.certify(age=timedelta(hours=12), days=1)
    tls = ChannelTls(host.folder.source(), "ncm")
    async with a_tls_ncm(authority, host) as (site, address), attached(address, host) as stream:
        assert isinstance(await first_of(stream), Welcome)
        before = tls.source.current()

        host.certify()
        site.publisher.change({host_scope(HOST_ID): [an_item(host)]})
        await stream.send(Heartbeat())

        assert tls.source.current() != before
        assert site.ncm.hosts == [HOST_ID]
        async with attached(address, host) as again:
            assert isinstance(await first_of(again), Welcome)


async def test_the_ncms_certificate_is_renewed_without_a_start(
    tmp_path: Path, authority: Authority, host: JoinedHost
) -> None:
    """A server takes what is on disk at the next handshake: an authority added to those trusted lets its hosts in."""
    from alcor.identity.folder import RegionFolder
    from alcor.identity.key import write_file

    folder = RegionFolder(tmp_path / "tls")
    folder.path.mkdir()
    issued = a_source(authority).current()
    for name, content in (
        ("ncm.pem", issued.certificate),
        ("ncm.key", issued.key),
        ("ca.pem", issued.trusted),
    ):
        write_file(folder.path / name, content, 0o600)
    credentials = server_credentials(folder.source("ncm", days=1))
    newer = an_authority()
    stranger = JoinedHost(tmp_path / "stranger", newer, OTHER_ID)
    write_file(stranger.folder.path / "ca.pem", authority.trusted_pem + newer.trusted_pem, 0o644)
    async with a_site() as site:
        site.publisher.change({host_scope(OTHER_ID): [an_item(stranger)]})
        server = AgentServer(site.ncm.handle, ["127.0.0.1:0"], tls=lambda _: credentials)
        (address,) = await server.start()
        try:
            assert "did not accept" in await refused_over_tls(address, stranger)

            write_file(folder.path / "ca.pem", authority.trusted_pem + newer.trusted_pem, 0o644)
            async with attached(address, stranger) as stream:
                assert isinstance(await first_of(stream), Welcome)
        finally:
            await server.stop(0)


# --- between ncm and dataplane -----------------------------------------------------------------------------


@asynccontextmanager
async def a_tls_dataplane(authority: Authority) -> AsyncIterator[GoalServer]:
    credentials = server_credentials(a_source(authority, "dataplane"))
    server = GoalServer(CODEC, ["127.0.0.1:0"], secret=SECRET, tls=lambda _: credentials)
    await server.start()
    try:
        yield server
    finally:
        await server.stop(0)


@asynccontextmanager
async def a_tls_client(address: str, tls: ChannelTls, secret: str = "") -> AsyncIterator[GoalClient]:
    client = GoalClient(
        address,
        ncm_id="ncm-1",
        secret=lambda: secret,
        random=lambda: 0.0,
        delay_min_s=0.01,
        delay_max_s=0.05,
        tls=lambda _: tls,
    )
    try:
        yield client
    finally:
        await client.close()


async def test_an_ncm_is_known_by_its_roles_certificate(authority: Authority) -> None:
    """No secret is shown: the certificate of a role makes up for it."""
    async with a_tls_dataplane(authority) as server:
        FakePublisher(server).serve()
        server.publish((), Heads(epoch=1, generation=1, through={0: 1}))
        tls = ChannelTls(a_source(authority), "dataplane")
        async with a_tls_client(server.addresses[0], tls) as client, asyncio.timeout(30):
            async for batch in client.updates():
                assert isinstance(batch[0], Heads)
                break

            assert server.ncms == ["ncm-1"]


async def test_a_host_is_no_ncm(authority: Authority, host: JoinedHost) -> None:
    """A host's certificate opens nothing at a dataplane, not even with the bus secret."""
    async with a_tls_dataplane(authority) as server:
        tls = ChannelTls(host.folder.source(), "dataplane")
        async with a_tls_client(server.addresses[0], tls, SECRET) as client, being_read(client):
            async with asyncio.timeout(30):
                while "no process of the region" not in client.trouble:  # noqa: ASYNC110  # seen from outside
                    await asyncio.sleep(0)

            assert server.ncms == []
