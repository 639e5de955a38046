"""A gRPC server and its addresses: TCP ports and unix sockets that nobody else may use meanwhile.

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

from alcor.bus.frame import FRAME_BYTES_MAX

# The kernel's limit of a socket's path, its closing NUL excluded (unix(7)).
_UNIX_PATH_BYTES_MAX = 107

Tls = Callable[[str], grpc.ServerCredentials | None]


class Listener:
    """A server and where it listens. `whom`: who is awaited there, for messages ("agents").

    received_bytes_max: of a message. keepalive_ms, keepalive_timeout_ms: how often who is attached is pinged, and how
    long the answer may take. tls: the credentials of a TCP address, None where it is plain.
    """

    def __init__(
        self,
        wanted: Sequence[str],
        *,
        whom: str,
        received_bytes_max: int,
        keepalive_ms: int,
        keepalive_timeout_ms: int,
        unix_mode: int,
        tls: Tls,
    ) -> None:
        self._wanted, self._whom = tuple(wanted), whom
        self._unix_mode, self._tls = unix_mode, tls
        self._options = (
            ("grpc.max_receive_message_length", received_bytes_max),
            ("grpc.max_send_message_length", FRAME_BYTES_MAX),
            # Who lost his power says no farewell: ping him.
            ("grpc.keepalive_time_ms", keepalive_ms),
            ("grpc.keepalive_timeout_ms", keepalive_timeout_ms),
            ("grpc.http2.max_pings_without_data", 0),
            # They ping as often as we do; gRPC's default takes that for an attack.
            ("grpc.http2.min_ping_interval_without_data_ms", keepalive_ms // 2),
            # Two servers on one port would share who comes by chance; the second one must fail.
            ("grpc.so_reuseport", 0),
        )
        # With its inode: another process may have put its own socket there since, if ours was taken for stale.
        self._paths: dict[Path, int] = {}
        self._server: grpc.aio.Server | None = None
        self.addresses: tuple[str, ...] = ()
        """With the ports that were taken."""

    @property
    def is_listening(self) -> bool:
        """Between `start` and `stop`."""
        return self._server is not None

    async def start(self, service: str, methods: dict[str, "grpc.RpcMethodHandler[bytes, bytes]"]) -> None:
        """Serve these methods on all addresses. Raises: OSError that names the address and the reason."""
        server = grpc.aio.server(options=self._options)
        server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, methods)])
        try:
            self.addresses = tuple([self._bind(server, address) for address in self._wanted])
            await server.start()
        except BaseException:
            await server.stop(None)
            self._unlink()
            raise
        self._server = server

    async def stop(self, grace_s: float) -> None:
        """End all streams and listen no more; handlers that do not end within `grace_s` are cancelled."""
        if self._server is not None:
            await self._server.stop(grace_s)
            self._server = None
        self._unlink()

    def _unlink(self) -> None:
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
