"""Roles of a region that prove themselves by certificates: an ncm of another machine, and whose authority counts."""

import asyncio
import random
import shutil
import subprocess
import sys
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import pytest

from alcor.bus.codec import ProtobufCodec
from alcor.bus.goal_client import GoalClient
from alcor.bus.goal_server import GoalServer
from alcor.bus.grpc_tls import ChannelTls, server_credentials
from alcor.identity.authority import utc_now
from alcor.identity.credential import Source
from alcor.identity.folder import CA_KEY, RegionFolder
from alcor.model.errors import Conflict
from alcor.runtime.config import Data, Ncm, RegionConfig
from alcor.runtime.settings import ConfigurationError
from alcor.runtime.tls import claim_authority, welcome_of
from tests.support.apart import ANY_PORT, Apart, RoleProcess, until
from tests.support.identity import JoinedHost
from tests.support.postgres import server
from tests.support.remote_bus import being_read
from tests.support.store import sqlite_store


@pytest.fixture
async def region(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Apart]:
    """A region whose dataplane and ncms speak mutual TLS, also on loopback; no process yet."""
    monkeypatch.setenv("ALCOR_TLS__BUS", "on")
    postgres = server()
    region = Apart(tmp_path, postgres.dsn(await postgres.fresh()))
    try:
        yield region
    finally:
        await asyncio.to_thread(region.ledger.sweep)


def issue(region: Apart, role: str, out: Path) -> None:
    """`alcor ca issue`, where the authority's key is."""
    command = (sys.executable, "-m", "alcor.cli.main", "ca", "issue", role)
    subprocess.run([*command, "--out", str(out), "--data", str(region.data)], check=True, timeout=60)


def unproved(region: Apart, address: str, data: Path) -> "subprocess.CompletedProcess[str]":
    """An ncm that has no certificate, run to its end."""
    command = (sys.executable, "-m", "alcor.cli.main", "serve", "--role", "ncm", "--data", str(data))
    where = ("--store", region.dsn, "--dataplane", address)
    return subprocess.run([*command, *where], capture_output=True, text=True, timeout=60, check=False)


async def test_an_ncm_of_another_machine_attaches_by_its_certificate(region: Apart, tmp_path: Path) -> None:
    """It has no bus secret and no key of the authority: a folder with its role's certificate is enough. Without that
    it does not start, and says which command makes it."""
    await asyncio.to_thread(region.add, "api", "api")
    dataplane = await asyncio.to_thread(region.add, "dataplane", "dataplane")
    address = next(one for one in dataplane.facts["bus"] if not one.startswith("unix:"))
    there = tmp_path / "there"

    refused = await asyncio.to_thread(unproved, region, address, there)
    await asyncio.to_thread(issue, region, "ncm", there / "tls")
    flags = ("--store", region.dsn, "--agents-listen", ANY_PORT, "--dataplane", address)
    ncm = RoleProcess("ncm", ("ncm",), there, flags)
    await asyncio.to_thread(region.restart, ncm)

    assert refused.returncode == 1
    assert "alcor ca issue ncm" in refused.stderr
    assert sorted(path.name for path in (there / "tls").iterdir()) == ["ca.pem", "ncm.key", "ncm.pem"]
    assert not (there / "bus.secret").exists()
    await until("the ncm to be attached", lambda: ncm.health() == (200, {}))


async def _is_told(address: str, source: Source, reason: str) -> None:
    """An ncm with these files does not come in, and says why."""
    tls = ChannelTls(source, "dataplane", "ncm")
    client = GoalClient(
        address, ncm_id="ncm", secret=lambda: "", random=random.random, tls=lambda _address: tls
    )
    async with being_read(client):
        await until("the reason", lambda: reason in client.trouble)
    await client.close()


async def test_what_is_wrong_with_certificates_is_said_of_the_role(tmp_path: Path) -> None:
    """An ncm of another region's authority, and one whose certificate expired: the reason and the way out are those of
    a role, not of a host."""
    for name in ("ours", "others"):
        RegionFolder(tmp_path / name).ensure(now=utc_now())
    ours, others = RegionFolder(tmp_path / "ours"), RegionFolder(tmp_path / "others")
    authority = ours.authority()
    assert authority is not None
    expired = JoinedHost(tmp_path / "host", authority)
    expired.certify(age=timedelta(days=2), days=1)
    dataplane = ours.source("dataplane", days=1)
    server = GoalServer(
        ProtobufCodec(), ["127.0.0.1:0"], secret="s", tls=lambda _address: server_credentials(dataplane)
    )
    (address,) = await server.start()
    try:
        told = "what listens there is not of our region, or not its dataplane"
        await _is_told(address, others.source("ncm", days=1), told)
        await _is_told(address, expired.folder.source(), "alcor ca issue ncm --out DIR")
    finally:
        await server.stop(0)


async def test_two_processes_never_certify_by_two_authorities(tmp_path: Path) -> None:
    """The first API process's authority is the region's: another folder's stops the start, a copy serves, and a process
    without the key certifies nobody."""
    first, second, third = (RegionConfig(data=Data(folder=tmp_path / name)) for name in ("a", "b", "c"))
    async with sqlite_store(tmp_path) as store:
        certifier = await claim_authority(first, store)
        RegionFolder(tmp_path / "b" / "tls").ensure(now=utc_now())
        with pytest.raises(ConfigurationError, match="another API process"):
            await claim_authority(second, store)

        shutil.copytree(tmp_path / "a" / "tls", tmp_path / "c" / "tls")
        copied = await claim_authority(third, store)
        assert copied.authority().fingerprint == certifier.authority().fingerprint

        (tmp_path / "c" / "tls" / CA_KEY).unlink()
        keyless = await claim_authority(third, store)
        with pytest.raises(Conflict, match=r"no ca\.key"):
            keyless.authority()


@pytest.mark.parametrize(
    ("ncm", "agents", "told"),
    [
        (Ncm(listen="127.0.0.1:0"), ["127.0.0.1:4242", "unix:/s"], (("127.0.0.1:4242",), False)),
        (Ncm(listen="0.0.0.0:9697"), [], (("0.0.0.0:9697",), True)),
        (Ncm(listen="192.0.2.1:9697", public_addresses=("ncm.example:1",)), [], (("ncm.example:1",), True)),
    ],
)
def test_what_hosts_that_join_are_told(
    ncm: Ncm, agents: list[str], told: tuple[tuple[str, ...], bool]
) -> None:
    """Where the ncm listens, or what is configured; TLS where other machines can reach it."""
    welcome = welcome_of(RegionConfig(ncm=ncm), agents)

    assert (welcome.agents, welcome.is_secured) == told
