"""The bare skeleton our figures stand beside: the same server, JSON codec and store, and no rule of ours.

Each request decodes a body, writes one port row and two claims in the store's group commit with full durability, and
answers with the row encoded. What Alcor adds to it (validation, allocation, quota, audit …) is what the ratio shows.
"""

import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import msgspec
import uvicorn
import uvloop
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from alcor.lab.command import wait_until
from alcor.model.network import Network
from alcor.model.port import Port
from alcor.store.interface import Transaction
from alcor.store.sqlite import SqliteStore
from benchmarks.load import post_repeatedly

_ENCODER = msgspec.json.Encoder()


async def _serve(folder: Path, port: int) -> None:
    store = SqliteStore.open(folder)

    async def network(tx: Transaction) -> str:
        row = Network(id=tx.new_id(), mtu=1450)
        tx.insert(row)
        return row.id

    network_id = (await store.write(network)).value

    async def create(request: Request) -> Response:
        body = msgspec.json.decode(await request.body())

        async def work(tx: Transaction) -> Port:
            id = tx.new_id()
            row = Port(id=id, network_id=network_id, mac_address=id, name=body["port"].get("name", ""))
            await tx.claim("mac:skeleton", id, id)
            await tx.claim("address:skeleton", id, id)
            tx.insert(row)
            return row

        done = await store.write(work)
        return Response(_ENCODER.encode({"port": done.value}), 201, media_type="application/json")

    app = Starlette(routes=[Route("/v2.0/ports", create, methods=["POST"])])
    config = uvicorn.Config(app, port=port, log_level="error", access_log=False, lifespan="off")
    try:
        await uvicorn.Server(config).serve()
    finally:
        await store.close()


def measure(clients: int, seconds: float) -> dict[str, Any]:
    """Run the skeleton in a process of its own under the same load; returns what the generator says."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory(prefix="alcor-bench-") as folder:
        command = [sys.executable, "-m", "benchmarks.skeleton", folder, str(port)]
        process = subprocess.Popen(command, cwd=Path(__file__).parents[1])
        try:
            wait_until("the skeleton", lambda: _listens(port))
            body: dict[str, Any] = {"port": {"network_id": "0" * 36}}
            return post_repeatedly(
                f"http://127.0.0.1:{port}", "none", "/v2.0/ports", body, clients=clients, seconds=seconds
            )
        finally:
            process.terminate()
            process.wait()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


if __name__ == "__main__":
    uvloop.run(_serve(Path(sys.argv[1]), int(sys.argv[2])))
