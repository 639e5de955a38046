"""A load generator in a process of its own: one kind of request on many connections, over real sockets.

It speaks just enough HTTP/1.1 to keep connections open and read answers, so that two cores measure the region and
not the client. Run as a program it prints JSON: operations, wall seconds, latencies in ms.
"""

import asyncio
import json
import subprocess
import sys
import time
from typing import Any

import uvloop


async def _one_connection(host: str, port: int, request: bytes, stop_at: float, samples: list[float]) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    while (began := time.perf_counter()) < stop_at:
        writer.write(request)
        head = await reader.readuntil(b"\r\n\r\n")
        status = head[9:12]
        length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
        body = await reader.readexactly(length)
        if status not in (b"201", b"200"):
            raise SystemExit(f"the region answered {status.decode()}: {body[:300].decode()}")
        samples.append((time.perf_counter() - began) * 1000)
    writer.close()


async def _run(
    host: str, port: int, token: str, path: str, body: bytes, clients: int, seconds: float
) -> None:
    method = "POST" if body else "GET"
    request = (
        f"{method} {path} HTTP/1.1\r\nHost: {host}:{port}\r\nX-Auth-Token: {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    ).encode() + body
    samples: list[float] = []
    began = time.perf_counter()
    stop_at = began + seconds
    await asyncio.gather(*(_one_connection(host, port, request, stop_at, samples) for _ in range(clients)))
    print(json.dumps({"wall_s": time.perf_counter() - began, "samples_ms": samples}))


def get_repeatedly(endpoint: str, token: str, path: str, *, clients: int, seconds: float) -> dict[str, Any]:
    """As `post_repeatedly`, without a body."""
    return _generate(endpoint, token, path, b"", clients, seconds)


def post_repeatedly(
    endpoint: str, token: str, path: str, body: Any, *, clients: int, seconds: float
) -> dict[str, Any]:
    """Run the generator against a region; returns {wall_s, samples_ms}."""
    return _generate(endpoint, token, path, json.dumps(body).encode(), clients, seconds)


def _generate(
    endpoint: str, token: str, path: str, body: bytes, clients: int, seconds: float
) -> dict[str, Any]:
    host, _, port = endpoint.removeprefix("http://").rpartition(":")
    command = [sys.executable, __file__, host, port, token, path, str(clients), str(seconds)]
    done = subprocess.run(command, input=body, capture_output=True, check=False)
    if done.returncode != 0:
        raise SystemExit(done.stderr.decode())
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    host, port, token, path, clients, seconds = sys.argv[1:]
    body = sys.stdin.buffer.read()
    uvloop.run(_run(host, int(port), token, path, body, int(clients), float(seconds)))
