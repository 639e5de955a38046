"""A broker that is not as it is configured: both ends say why they do without it, and nothing secret is said to it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from alcor.bus.broker import BrokerPlace, BrokerReader, BrokerSender
from alcor.runtime.broker import broker_place
from alcor.runtime.config import Bus, RegionConfig
from alcor.runtime.settings import ConfigurationError
from tests.support.nats import Node, free_ports

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


def a_place(server: str, **changes: object) -> BrokerPlace:
    found = broker_place(RegionConfig(bus=Bus(broker=(server,), **changes)))  # type: ignore[arg-type]  # a builder
    assert found is not None
    return found


@asynccontextmanager
async def trying(place: BrokerPlace) -> AsyncIterator[tuple[BrokerSender, BrokerReader]]:
    """Both ends."""
    sender = BrokerSender(place, random=random.random, healthy_s=0.1, probe_s=0.1)
    reader = BrokerReader(place, random=random.random, heartbeat_s=0.1)
    tasks = [asyncio.create_task(sender.run()), asyncio.create_task(reader.run(lambda _frame: None))]
    try:
        yield sender, reader
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not holds():  # noqa: ASYNC110  # another program's state
            await asyncio.sleep(0.02)


async def both_say(place: BrokerPlace, reason: str) -> None:
    """Wait until both ends have this trouble."""
    async with trying(place) as (sender, reader):
        await until(lambda: reason in sender.trouble)
        await until(lambda: reason in reader.trouble)
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
        await both_say(a_place(f"tls://user:password@127.0.0.1:{port}"), "does not ask for TLS")
    assert heard == b""


async def test_a_broker_that_nobody_finds() -> None:
    """The driver tries for ever, and keeps to itself why."""
    (port,) = free_ports(1)
    await both_say(a_place(f"nats://127.0.0.1:{port}"), "the broker cannot be reached: ")


async def test_a_stream_that_the_broker_cannot_keep(plain: str) -> None:
    """More replicas than nodes: the broker's own reason, and what the ncm lacks."""
    async with trying(a_place(f"nats://{plain}", broker_replicas=3, broker_region="r3")) as (sender, reader):
        await until(lambda: "replicas > 1 not supported" in sender.trouble)
        await until(lambda: "no stream alcor-r3: a dataplane" in reader.trouble)


async def test_a_broker_without_jetstream(tmp_path: Path) -> None:
    """It takes connections and keeps nothing."""
    (port,) = free_ports(1)
    node = a_node(tmp_path, port, "")
    node.start()
    try:
        await both_say(a_place(f"nats://127.0.0.1:{port}"), "nobody answers for JetStream")
    finally:
        node.kill()


def test_credentials_that_nothing_can_sign_for_are_refused_at_the_start(tmp_path: Path) -> None:
    """What is not there, package or file, is a sentence before anything is tried."""
    with pytest.raises(ConfigurationError, match=r"bus\.broker_credentials_file"):
        a_place("nats://127.0.0.1:4222", broker_credentials_file=str(tmp_path / "none"))
