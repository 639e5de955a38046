"""Binding a gRPC server to its addresses: TCP ports and unix sockets that nobody else may use meanwhile.

TLS is an address's matter (`tls`): a server may have both kinds. Sockets are plain: the kernel says who may connect.
"""

import contextlib
import os
import socket
import stat
from collections.abc import Callable, Sequence
from pathlib import Path

import grpc
import grpc.aio

# The kernel's limit of a socket's path, its closing NUL excluded (unix(7)).
_UNIX_PATH_BYTES_MAX = 107

Tls = Callable[[str], grpc.ServerCredentials | None]


class Addresses:
    """Where one server listens. `whom`: who is awaited there, for messages ("agents").

    tls: the credentials of a TCP address, None where it is plain.
    """

    def __init__(
        self, wanted: Sequence[str], *, unix_mode: int, whom: str, tls: Tls = lambda _address: None
    ) -> None:
        self._wanted = tuple(wanted)
        self._unix_mode = unix_mode
        self._whom = whom
        self._tls = tls
        # With its inode: another process may have put its own socket there since, if ours was taken for stale.
        self._paths: dict[Path, int] = {}

    def bind(self, server: grpc.aio.Server) -> tuple[str, ...]:
        """Bind all, before the server starts; returns them with the ports that were taken.

        Raises: OSError that names the address and the reason.
        """
        return tuple([self._bind(server, address) for address in self._wanted])

    def unlink(self) -> None:
        """Remove the sockets, after the server stopped."""
        for path, inode in self._paths.items():
            with contextlib.suppress(FileNotFoundError):
                if path.lstat().st_ino == inode:
                    path.unlink()
        self._paths.clear()

    def _bind(self, server: grpc.aio.Server, address: str) -> str:
        if address.startswith("unix:"):
            return self._bind_unix(server, address)
        try:
            credentials = self._tls(address)
            if credentials is None:
                port = server.add_insecure_port(address)
            else:
                port = server.add_secure_port(address, credentials)
        except RuntimeError as error:
            raise OSError(
                f"cannot listen for {self._whom} on {address}: {_reason(address) or error}. Choose another address, or "
                "stop what uses it."
            ) from error
        host, _, wanted = address.rpartition(":")
        return f"{host}:{port}" if wanted == "0" else address

    def _bind_unix(self, server: grpc.aio.Server, address: str) -> str:
        path = Path(address.removeprefix("unix:"))
        if len(os.fsencode(path)) > _UNIX_PATH_BYTES_MAX:
            raise OSError(
                f"cannot listen for {self._whom} on {address}: a socket's path has at most {_UNIX_PATH_BYTES_MAX} "
                "octets. Choose a shorter one."
            )
        _remove_stale(path, self._whom)
        # Between its making and chmod nobody else may connect: the mask closes it, chmod opens it as wanted.
        before = os.umask(0o177)
        try:
            server.add_insecure_port(address)
        except RuntimeError as error:
            raise OSError(
                f"cannot listen for {self._whom} on {address}: {error}. "
                "Does its folder exist, and may this user write there?"
            ) from error
        finally:
            os.umask(before)
        path.chmod(self._unix_mode)
        self._paths[path] = path.lstat().st_ino
        return address


def _reason(address: str) -> str:
    """Why a TCP address cannot be listened on, which gRPC says on stderr only; empty if it can by now."""
    host, _, port = address.rpartition(":")
    try:
        (family, kind, _, _, at), *_ = socket.getaddrinfo(
            host.strip("[]"), int(port), type=socket.SOCK_STREAM
        )
        with socket.socket(family, kind) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(at)
            probe.listen(1)
    except (OSError, ValueError) as error:
        return str(getattr(error, "strerror", None) or error)
    return ""


def is_served(path: Path) -> bool:
    """Whether somebody listens on a unix socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


def _remove_stale(path: Path, whom: str) -> None:
    """Remove a socket that nobody listens on. Raises: OSError if somebody does, or if it is no socket."""
    try:
        is_socket = stat.S_ISSOCK(path.lstat().st_mode)
    except FileNotFoundError:
        return
    if not is_socket:
        raise OSError(f"cannot listen for {whom} on unix:{path}: a file of this name exists. Remove it.")
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(str(path))
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)  # its process died
            return
    raise OSError(f"cannot listen for {whom} on unix:{path}: another process does. Stop it first.")
