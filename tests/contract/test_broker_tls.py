"""A broker over mutual TLS: a real NATS server with a certificate of the region's own authority."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from alcor.cli.main import app
from alcor.identity.authority import utc_now
from alcor.identity.folder import HOST, HOST_KEY, RegionFolder
from alcor.runtime.config import Bus
from tests.support.broker_ends import trying
from tests.support.identity import JoinedHost, an_authority
from tests.support.nats import Node, free_ports
from tests.support.normal_bus import until

USERS = '{user: "dataplane.region.alcor"}, {user: "ncm.region.alcor"}'


@dataclass
class Broker:
    """A node that asks its clients for certificates. `folder`: those of all, by role."""

    node: Node
    folder: Path

    def file(self, role: str, name: str) -> str:
        return str(self.folder / role / name)

    def bus(self, role: str, *, ca: str = "", scheme: str = "tls") -> Bus:
        """The configuration of a process that shows a role's certificate; of nobody's, if that is empty."""
        return Bus(
            broker=(f"{scheme}://127.0.0.1:{self.node.port}",),
            broker_region="secured",
            broker_ca_file=ca or self.file("broker", "ca.pem"),
            broker_certificate_file=self.file(role, HOST if role == "host" else f"{role}.pem")
            if role
            else "",
            broker_key_file=self.file(role, HOST_KEY if role == "host" else f"{role}.key") if role else "",
        )


def issue(data: Path, role: str, out: Path, *names: str) -> None:
    """What an operator types."""
    said = [word for name in names for word in ("--name", name)]
    done = CliRunner().invoke(app, ["ca", "issue", role, "--out", str(out), "--data", str(data), *said])
    assert done.exit_code == 0, done.output


def issue_all(data: Path, folder: Path) -> None:
    """Make a region's authority, and certificates of the broker and of all who may come to it, or may not."""
    region = RegionFolder(data / "tls")
    region.ensure(now=utc_now())
    authority = region.authority()
    assert authority is not None
    issue(data, "broker", folder / "broker", "127.0.0.1", "nats-1.example")
    for role in ("dataplane", "ncm", "api"):
        issue(data, role, folder / role)
    JoinedHost(folder / "host", authority).certify()


def a_node(folder: Path) -> Node:
    """A node that is not started yet."""
    (port,) = free_ports(1)
    configuration = folder / "nats.conf"
    configuration.write_text(
        f'server_name: "n1"\nlisten: "127.0.0.1:{port}"\njetstream {{ store_dir: "{folder / "store"}" }}\n'
        f'tls {{ cert_file: "{folder}/broker/broker.pem", key_file: "{folder}/broker/broker.key", '
        f'ca_file: "{folder}/broker/ca.pem", verify_and_map: true }}\nauthorization {{ users: [{USERS}] }}\n'
    )
    return Node("n1", port, configuration)


@pytest.fixture(scope="module")
def broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Broker]:
    data, folder = tmp_path_factory.mktemp("region"), tmp_path_factory.mktemp("issued")
    issue_all(data, folder)
    node = a_node(folder)
    node.start()
    yield Broker(node, folder)
    node.kill()


@pytest.mark.parametrize(("role", "scheme"), [("dataplane", "tls"), ("ncm", "tls"), ("ncm", "nats")])
async def test_the_regions_own_processes_come_in(broker: Broker, role: str, scheme: str) -> None:
    """By certificates of the region's authority both ends are taken; so with `nats://`, when a certificate is named."""
    async with trying(broker.bus(role, scheme=scheme)) as (sender, reader):
        await until(lambda: sender.is_well and reader.is_well)

        assert (sender.trouble, reader.trouble) == ("", "")


async def test_a_broker_of_another_authority_is_not_believed(broker: Broker, tmp_path: Path) -> None:
    """The reason, and what to do, is what both ends say of their trouble; nothing is sent."""
    other = tmp_path / "other.pem"
    other.write_bytes(an_authority().trusted_pem)
    async with trying(broker.bus("dataplane", ca=str(other))) as (sender, reader):
        await until(lambda: "bus.broker_ca_file" in sender.trouble)
        await until(lambda: "bus.broker_ca_file" in reader.trouble)

        assert "the broker's certificate is not believed" in sender.trouble
        assert (sender.is_well, reader.is_well) == (False, False)


@pytest.mark.parametrize(
    ("role", "reason"),
    [("", "bus.broker_certificate_file"), ("host", "does not know us"), ("api", "does not know us")],
)
async def test_who_is_no_dataplane_and_no_ncm_stays_out(broker: Broker, role: str, reason: str) -> None:
    """Without a certificate, with a host's of the same authority, and with another role's."""
    async with trying(broker.bus(role)) as (sender, reader):
        await until(lambda: reason in sender.trouble)
        await until(lambda: reason in reader.trouble)

        assert (sender.is_well, reader.is_well) == (False, False)


async def test_files_that_are_replaced_serve_the_next_connection(tmp_path: Path) -> None:
    """Another authority signs for the broker and for us: both ends come in again, with nothing started anew but the
    broker, though they believed only the first authority, and the broker believes it no more."""
    folder = tmp_path / "issued"
    issue_all(tmp_path / "first", folder)
    node = a_node(folder)
    node.start()
    try:
        async with trying(Broker(node, folder).bus("dataplane")) as (sender, reader):
            await until(lambda: sender.is_well and reader.is_well)
            node.kill()
            await until(lambda: not sender.is_well and not reader.is_well)
            for role in ("broker", "dataplane", "ncm", "api", "host"):
                shutil.rmtree(folder / role)
            issue_all(tmp_path / "second", folder)
            node.start()

            await until(lambda: sender.is_well and reader.is_well)
    finally:
        node.kill()


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["broker"], "--name"),
        (["ncm", "--name", "10.0.0.1"], "--name"),
        (["broker", "--name", "ncm.region.alcor"], "do not end in .region.alcor"),
    ],
)
def test_what_a_broker_may_not_be_named(tmp_path: Path, words: list[str], reason: str) -> None:
    """It is named by where it is found, and never as a process of the region is."""
    RegionFolder(tmp_path / "tls").ensure(now=utc_now())
    done = CliRunner().invoke(
        app, ["ca", "issue", *words, "--out", str(tmp_path / "out"), "--data", str(tmp_path)]
    )

    assert done.exit_code != 0
    assert reason in " ".join(done.output.split())
    assert not (tmp_path / "out").exists()
