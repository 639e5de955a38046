"""HTTP listeners of a process: the API's, or that of operations alone."""

import asyncio
import contextlib
import math
import socket
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from typing import Any

import uvicorn

from alcor.runtime.patience import Patience, files_for, patient
from alcor.runtime.settings import ConfigurationError

# A request that is still running when the process stops gets this long to finish.
DRAIN_S = 5


class _Server(uvicorn.Server):
    """uvicorn without its own signal handlers: the region ends its parts in order."""

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


def listen(address: str, setting: str, flag: str) -> socket.socket:
    """A listening socket. For messages: `setting`, whose value the address is, and its `flag`.

    Raises: ConfigurationError.
    """
    host, _, port = address.rpartition(":")
    if not port.isdigit():
        raise ConfigurationError(f"{setting} = '{address}': write address:port, such as 127.0.0.1:9696")
    host = host.strip("[]")
    listener = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, int(port)))
    except OSError as error:
        listener.close()
        raise ConfigurationError(
            f"{setting} = '{address}': {error.strerror}. Choose another with {flag}, or stop what uses it."
        ) from error
    listener.listen(1024)
    return listener


def url_of(listener: socket.socket) -> str:
    """The URL it is reached by from this machine."""
    address = listener.getsockname()
    host = f"[{address[0]}]" if ":" in address[0] else address[0]
    return f"http://{host}:{address[1]}"


@contextlib.asynccontextmanager
async def serving(
    app: Any, listener: socket.socket, name: str, patience: Patience = Patience()
) -> AsyncIterator[None]:
    """Serve an ASGI application; at the end what was accepted is finished. `patience`: with whom it serves."""
    patience = replace(patience, connections_max=files_for(patience.connections_max))
    server = _Server(
        uvicorn.Config(
            app,
            log_level="warning",
            access_log=False,
            lifespan="off",
            server_header=False,
            proxy_headers=False,
            timeout_graceful_shutdown=DRAIN_S,
            http=patient(patience),
            # Nothing here is asked by web sockets.
            ws="none",
            timeout_keep_alive=math.ceil(patience.idle_s),
        )
    )
    task = asyncio.create_task(server.serve(sockets=[listener]), name=name)
    try:
        yield
    finally:
        server.should_exit = True
        await task
