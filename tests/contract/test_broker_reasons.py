"""A broker that is not as it is configured: both ends say why they do without it, and nothing secret is said to it."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from alcor.runtime.broker import broker_place
from alcor.runtime.config import Bus, RegionConfig
from alcor.runtime.settings import ConfigurationError
from tests.support.broker_ends import trying
from tests.support.nats import Node, free_ports
from tests.support.normal_bus import until

PATIENCE_S = 60.0


def a_node(folder: Path, port: int, more: str) -> Node:
    """A node alone, not started yet. `more`: the rest of its configuration."""
    configuration = folder / f"nats-{port}.conf"
    configuration.write_text(f'server_name: "n1"\nlisten: "127.0.0.1:{port}"\n{more}\n')
    return Node("n1", port, configuration)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One node with JetStream and without TLS; its address."""
    folder = tmp_path_factory.mktemp("nats")
    (port,) = free_ports(1)
    node = a_node(folder, port, f'jetstream {{ store_dir: "{folder / "store"}" }}')
    node.start()
    yield f"127.0.0.1:{port}"
    node.kill()


async def both_say(bus: Bus, reason: str) -> None:
    """Wait until both ends have this trouble."""
    async with trying(bus) as (sender, reader):
        await until(lambda: reason in sender.trouble, PATIENCE_S)
        await until(lambda: reason in reader.trouble, PATIENCE_S)
        assert (sender.is_well, reader.is_well) == (False, False)


async def test_nothing_is_said_to_a_broker_without_the_tls_that_was_asked_for() -> None:
    """The server alone says in its greeting whether there is TLS: who stands in its place would be told everything."""
    heard = b""

    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal heard
        writer.write(
            b'INFO {"server_id":"x","version":"2.9.10","max_payload":1048576,"auth_required":true}\r\n'
        )
        heard += await reader.read()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        await both_say(Bus(broker=(f"tls://user:password@127.0.0.1:{port}",)), "does not ask for TLS")
    assert heard == b""


async def test_a_broker_that_nobody_finds() -> None:
    """The driver tries for ever, and keeps to itself why."""
    (port,) = free_ports(1)
    await both_say(Bus(broker=(f"nats://127.0.0.1:{port}",)), "the broker cannot be reached: ")


async def test_a_stream_that_the_broker_cannot_keep(plain: str) -> None:
    """More replicas than nodes: the broker's own reason, and what the ncm lacks."""
    async with trying(Bus(broker=(f"nats://{plain}",), broker_replicas=3, broker_region="r3")) as (
        sender,
        reader,
    ):
        await until(lambda: "replicas > 1 not supported" in sender.trouble, PATIENCE_S)
        await until(lambda: "no stream alcor-r3: a dataplane" in reader.trouble, PATIENCE_S)


async def test_a_broker_without_jetstream(tmp_path: Path) -> None:
    """It takes connections and keeps nothing."""
    (port,) = free_ports(1)
    node = a_node(tmp_path, port, "")
    node.start()
    try:
        await both_say(Bus(broker=(f"nats://127.0.0.1:{port}",)), "nobody answers for JetStream")
    finally:
        node.kill()


def test_credentials_that_nothing_can_sign_for_are_refused_at_the_start(tmp_path: Path) -> None:
    """What is not there, package or file, is a sentence before anything is tried."""
    with pytest.raises(ConfigurationError, match=r"bus\.broker_credentials_file"):
        broker_place(
            RegionConfig(
                bus=Bus(broker=("nats://127.0.0.1:4222",), broker_credentials_file=str(tmp_path / "none"))
            )
        )
