"""Sockets in other network namespaces, used from this process: what a machine of the laboratory says and hears.

A socket belongs for ever to the namespace it was made in; only making it needs a visit. One thread each visits, so
that nothing else of the process changes its place.
"""

import ctypes
import os
import socket
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_CLONE_NEWNET = 0x4000_0000  # setns(2)
DNS_PORT = 53
_DNS_HEAD = struct.Struct("!HHHHHH")
_DNS_ASK, _DNS_RECURSE, _DNS_CODE = 0x4143, 0x0100, 0x000F
_DNS_KINDS = {4: 1, 6: 28}  # RFC 1035, RFC 3596: A, AAAA
_DNS_BYTES = 1232


def inside(namespace: str, work: Callable[[], T]) -> T:
    """Do something in a namespace and return what it returns. Raises: OSError, and what `work` raises."""

    def visit() -> T:
        libc = ctypes.CDLL(None, use_errno=True)
        place = os.open(Path("/run/netns", namespace), os.O_RDONLY)
        try:
            if libc.setns(place, _CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), f"cannot enter {namespace}")
        finally:
            os.close(place)
        return work()

    with ThreadPoolExecutor(1) as pool:
        return pool.submit(visit).result()


def listen(namespace: str, address: str, port: int) -> socket.socket:
    """A listening TCP socket. `address` may be empty: any of its family IPv4."""
    return inside(namespace, lambda: socket.create_server((address, port), family=_family(address)))


def connect(namespace: str, address: str, port: int, *, patience_s: float = 2.0) -> socket.socket:
    """A connected TCP socket. Raises: OSError (TimeoutError after `patience_s`)."""
    return inside(namespace, lambda: socket.create_connection((address, port), timeout=patience_s))


def datagrams(namespace: str, address: str = "", port: int = 0, *, patience_s: float = 2.0) -> socket.socket:
    """A bound UDP socket."""

    def make() -> socket.socket:
        made = socket.socket(_family(address), socket.SOCK_DGRAM)
        made.settimeout(patience_s)
        made.bind((address, port))
        return made

    return inside(namespace, make)


def fetch(namespace: str, address: str, path: str, *, port: int = 80, patience_s: float = 2.0) -> str:
    """The body of a plain HTTP page. Raises: OSError, also for another status than 200."""
    host = f"[{address}]" if ":" in address else address
    with connect(namespace, address, port, patience_s=patience_s) as peer:
        peer.sendall(f"GET {path} HTTP/1.0\r\nHost: {host}\r\n\r\n".encode())
        text = b"".join(iter(lambda: peer.recv(65536), b""))
    head, _, body = text.partition(b"\r\n\r\n")
    status = head.split(b"\r\n", 1)[0].decode(errors="replace")
    if " 200" not in status:
        raise OSError(f"{address}{path}: {status or 'no answer'}")
    return body.decode()


def resolve(
    namespace: str, server: str, name: str, *, version: int = 4, patience_s: float = 1.0, tries: int = 3
) -> list[str]:
    """The addresses a name server gives for a name. Raises: OSError if it does not answer, or with an error code."""
    labels = b"".join(bytes([len(word)]) + word.encode() for word in name.rstrip(".").split("."))
    kind = _DNS_KINDS[version]
    question = _DNS_HEAD.pack(_DNS_ASK, _DNS_RECURSE, 1, 0, 0, 0) + labels + struct.pack("!BHH", 0, kind, 1)
    with datagrams(namespace, "::" if ":" in server else "", patience_s=patience_s) as asker:
        for turn in range(tries):
            asker.sendto(question, (server, DNS_PORT))
            try:
                answer = asker.recv(_DNS_BYTES)
                break
            except TimeoutError:
                if turn == tries - 1:
                    raise
    _, flags, _, count, _, _ = _DNS_HEAD.unpack_from(answer)
    if flags & _DNS_CODE:
        raise OSError(f"{server} answers {name} with code {flags & _DNS_CODE}")
    return _addresses(answer, len(question), count, kind)


def _addresses(answer: bytes, at: int, count: int, wanted: int) -> list[str]:
    found = []
    for _ in range(count):
        # A compressed name is two octets; a name in full ends with an empty label.
        while answer[at] and answer[at] < 0xC0:
            at += 1 + answer[at]
        at += 2 if answer[at] else 1
        kind, _, _, length = struct.unpack_from("!HHIH", answer, at)
        at += 10
        if kind == wanted:
            found.append(str(ip_address(answer[at : at + length])))
        at += length
    return found


class Conversation:
    """One TCP connection between two machines, both ends held here, so that it can be tried again and again."""

    def __init__(self, client: str, server: str, address: str, port: int = 7000) -> None:
        """`client`, `server`: namespaces; `address`: where the client finds the server. Raises: OSError."""
        with listen(server, "::" if ":" in address else "", port) as listener:
            listener.settimeout(2.0)
            self.near = connect(client, address, port)
            self.far, seen = listener.accept()
        self.seen = str(seen[0])
        """The client's address as the server sees it."""

    def works(self, *, patience_s: float = 2.0) -> bool:
        """Whether a word gets there and back. Kernels send it again within `patience_s`."""
        word = time.monotonic_ns().to_bytes(8, "big")
        try:
            for source, target in ((self.near, self.far), (self.far, self.near)):
                target.settimeout(patience_s)
                source.sendall(word)
                # What was sent while nothing passed comes first.
                heard = b""
                while not heard.endswith(word):
                    part = target.recv(4096)
                    if not part:
                        return False
                    heard += part
        except OSError:
            return False
        return True

    def close(self) -> None:
        """Let go of both ends."""
        self.near.close()
        self.far.close()

    def __enter__(self) -> "Conversation":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _family(address: str) -> socket.AddressFamily:
    return socket.AF_INET6 if ":" in address else socket.AF_INET
