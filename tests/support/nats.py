"""A real NATS with JetStream for tests: a cluster of nodes on free loopback ports, in a temporary folder.

Nodes are the distribution's `nats-server`; where it is not installed tests fail and say so. They end with the test.
"""

import asyncio
import atexit
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import cast

import nats.errors
from nats.aio.client import Client

_START_WITHIN_S = 30.0


def _binary() -> str:
    found = shutil.which("nats-server", path="/usr/sbin:/usr/local/bin:/usr/bin")
    if found is None:
        raise RuntimeError("nats-server is not installed: run bin/setup dev, or apt-get install nats-server")
    return found


def free_ports(count: int) -> list[int]:
    """Ports of the loopback that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [int(each.getsockname()[1]) for each in sockets]
    finally:
        for each in sockets:
            each.close()


@dataclass
class Node:
    """One server. Killed by SIGKILL, it keeps its folder and its ports."""

    name: str
    port: int
    configuration: Path
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, or start it again."""
        if self.process is None:
            log = self.configuration.with_suffix(".log")
            self.process = subprocess.Popen(
                [_binary(), "-c", str(self.configuration), "-l", str(log)],
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
            )

    def kill(self) -> None:
        """End it at once, as a loss of power would."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    def freeze(self) -> None:
        """Have it hold its connections and answer nothing."""
        if self.process is not None:
            self.process.send_signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Have it go on."""
        if self.process is not None:
            self.process.send_signal(signal.SIGCONT)


class Cluster:
    """Nodes that know one another."""

    def __init__(self, folder: Path, size: int) -> None:
        ports = free_ports(2 * size)
        routes = ", ".join(f'"nats://127.0.0.1:{port}"' for port in ports[size:])
        self.nodes: list[Node] = []
        for number in range(size):
            name = f"n{number + 1}"
            configuration = folder / f"{name}.conf"
            cluster = f'cluster {{ name: "test", listen: "127.0.0.1:{ports[size + number]}", routes: [{routes}] }}\n'
            configuration.write_text(
                f'server_name: "{name}"\nlisten: "127.0.0.1:{ports[number]}"\n'
                f'jetstream {{ store_dir: "{folder / name}", max_mem: 64MB, max_file: 64GB }}\n'
                + (cluster if size > 1 else "")
            )
            self.nodes.append(Node(name, ports[number], configuration))

    @property
    def urls(self) -> tuple[str, ...]:
        """Where clients connect."""
        return tuple(node.url for node in self.nodes)

    def start(self) -> None:
        """Start every node that does not run."""
        for node in self.nodes:
            node.start()

    def kill(self) -> None:
        """End all nodes at once."""
        for node in self.nodes:
            node.kill()

    async def ready(self) -> None:
        """Wait until JetStream answers. Raises: TimeoutError."""
        async with asyncio.timeout(_START_WITHIN_S):
            while not await self._answers():  # noqa: ASYNC110  # another program's state
                await asyncio.sleep(0.1)

    async def _answers(self) -> bool:
        with suppress(OSError, nats.errors.Error, TimeoutError):
            async with self._client() as client:
                await client.jetstream(timeout=1).account_info()
            return True
        return False

    @asynccontextmanager
    async def _client(self) -> AsyncIterator[Client]:
        """A connection, closed in any case. Raises: OSError, nats.errors.Error, TimeoutError."""
        client = Client()
        try:
            await client.connect(
                list(self.urls),
                connect_timeout=1,
                allow_reconnect=False,
                max_reconnect_attempts=1,
                reconnect_time_wait=cast(int, 0.05),
                error_cb=_ignore,
            )
            yield client
        finally:
            await client.close()

    async def leader_of(self, stream: str) -> Node:
        """The node that leads a stream. Raises: TimeoutError."""
        async with asyncio.timeout(_START_WITHIN_S):
            while True:
                with suppress(OSError, nats.errors.Error, TimeoutError):
                    async with self._client() as client:
                        info = await client.jetstream(timeout=1).stream_info(stream)
                    for node in self.nodes:
                        if info.cluster is not None and info.cluster.leader == node.name:
                            return node
                await asyncio.sleep(0.1)


async def _ignore(_: Exception) -> None:
    return


@lru_cache(maxsize=1)
def shared_node() -> Cluster:
    """One node for all tests of this process that do not harm it; it may not answer yet."""
    folder = tempfile.mkdtemp(prefix="alcor-nats-")
    cluster = Cluster(Path(folder), 1)

    def end() -> None:
        cluster.kill()
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    cluster.start()
    return cluster


@asynccontextmanager
async def a_cluster(size: int = 3) -> AsyncIterator[Cluster]:
    """A cluster that answers."""
    with tempfile.TemporaryDirectory(prefix="alcor-nats-") as folder:
        cluster = Cluster(Path(folder), size)
        try:
            cluster.start()
            await cluster.ready()
            yield cluster
        finally:
            cluster.kill()
