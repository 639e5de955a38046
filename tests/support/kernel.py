"""What the kernel tells everybody about devices, addresses and routes of a network namespace."""

import socket
import struct
from types import TracebackType
from typing import Final, Self

from alcor.lab.inside import inside

# rtnetlink(7): the groups of links, and of addresses and routes of both families; the kinds of message told there.
_GROUPS: Final = 0x1 | 0x10 | 0x40 | 0x100 | 0x400
_KINDS: Final = {
    16: "device changed",
    17: "device gone",
    20: "address changed",
    21: "address gone",
    24: "route changed",
    25: "route gone",
}
_HEAD: Final = struct.Struct("=IHHII")
_MESSAGE_BYTES_MAX: Final = 1 << 16


class KernelNews:
    """`with KernelNews(namespace) as news: …`; then `news.heard`, in order: also words that change nothing are told."""

    def __init__(self, namespace: str) -> None:
        self._namespace = namespace
        self.heard: list[str] = []

    def __enter__(self) -> Self:
        self._socket = inside(self._namespace, self._open)
        return self

    def _open(self) -> socket.socket:
        made = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE)
        made.bind((0, _GROUPS))
        made.setblocking(False)
        return made

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        with self._socket as source:
            while True:
                try:
                    data = source.recv(_MESSAGE_BYTES_MAX)
                except BlockingIOError:
                    return
                self.heard += _read(data)


def _read(data: bytes) -> list[str]:
    """The messages of one datagram (netlink(7)): each begins with its length and is padded to four octets."""
    found = []
    while len(data) >= _HEAD.size:
        length, kind, *_ = _HEAD.unpack_from(data)
        found.append(_KINDS.get(kind, f"message {kind}"))
        data = data[(length + 3) & ~3 :]
    return found
