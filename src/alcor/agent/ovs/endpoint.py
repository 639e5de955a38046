"""Where a switch listens: a socket of this machine, or another host's, over mutual TLS."""

import asyncio
import ssl
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from alcor.agent.driver import SwitchError
from alcor.identity.context import peer_of_socket

P = TypeVar("P", bound=asyncio.Protocol)

CONNECT_S = 5.0
"""A host that does not answer is gone; the driver tries again."""


@dataclass(frozen=True, slots=True)
class TlsEndpoint:
    """A port of another host's switch. `context`: made anew for each connection, so that renewed certificates count.

    `host_id`: whose certificate the other end must show, besides its address.
    """

    address: str
    port: int
    host_id: str
    context: Callable[[], ssl.SSLContext]

    def __str__(self) -> str:
        host = f"[{self.address}]" if ":" in self.address else self.address
        return f"ssl:{host}:{self.port}"


Endpoint = Path | TlsEndpoint


async def connect(where: Endpoint, make: Callable[[], P]) -> P:
    """Open a connection. Raises: SwitchError if nobody listens, or it is not who it should be."""
    try:
        if isinstance(where, Path):
            return (await asyncio.get_running_loop().create_unix_connection(make, str(where)))[1]
        async with asyncio.timeout(CONNECT_S):
            return await _connect_tls(where, make)
    except (OSError, TimeoutError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise SwitchError(f"{where}: {reason}") from error


async def _connect_tls(where: TlsEndpoint, make: Callable[[], P]) -> P:
    transport, protocol = await asyncio.get_running_loop().create_connection(
        make, where.address, where.port, ssl=where.context(), server_hostname=where.address
    )
    try:
        peer = peer_of_socket(transport.get_extra_info("ssl_object"))
        if peer.host_id != where.host_id:
            raise ValueError(f"it is host {peer.host_id}, not {where.host_id}")
    except BaseException:
        transport.abort()
        raise
    return protocol
