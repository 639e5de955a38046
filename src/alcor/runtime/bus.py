"""Wiring of the bus between processes: where the dataplane listens, where an ncm finds it, and the secret of both."""

import asyncio
import contextlib
import os
import random
import secrets
import socket
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Sequence
from pathlib import Path

from alcor.bus.consult import ANSWER_S, consult, find_refusal
from alcor.bus.goal_client import GoalClient
from alcor.bus.goal_server import GoalServer
from alcor.bus.grpc_listen import is_served
from alcor.bus.grpc_tls import ChannelTls
from alcor.bus.interface import ItemCodec
from alcor.identity.mode import is_secured
from alcor.model.errors import Unavailable
from alcor.runtime.background import background
from alcor.runtime.broker import broker_place, reading, sending
from alcor.runtime.config import RegionConfig
from alcor.runtime.settings import ConfigurationError
from alcor.runtime.tls import channel_tls, listening_tls

SECRET_BYTES = 32

Living = Callable[[], Awaitable[Sequence[str]]]
"""Where the dataplanes are that live. Raises: Unavailable."""


def secret_path(config: RegionConfig) -> Path:
    """The file that both ends read."""
    if config.bus.secret_file:
        return Path(config.bus.secret_file).expanduser()
    return config.data.folder / "bus.secret"


def own_socket(config: RegionConfig) -> str:
    """Where the dataplane is always found by processes of its own machine and user."""
    return f"unix:{config.data.folder.absolute()}/bus.sock"


def read_secret(path: Path) -> str:
    """What an ncm must show. Raises: OSError, with a way out."""
    try:
        secret = path.read_text().strip()
    except FileNotFoundError as error:
        raise FileNotFoundError(
            f"{path} is not there; copy the dataplane's, which is made at its first start"
        ) from error
    if not secret:
        raise OSError(f"{path} is empty; copy the dataplane's")
    return secret


def ensure_secret(path: Path) -> str:
    """The bus secret, made if there is none: 256 bits, in a file that only its owner may read.

    Raises: ConfigurationError if the file can be neither read nor made.
    """
    try:
        if not path.exists():
            # Made aside and linked into place: whoever finds it finds all of it, and of two only one is it.
            descriptor, draft = tempfile.mkstemp(prefix=f"{path.name}.", dir=path.parent)
            try:
                with os.fdopen(descriptor, "w") as file:
                    file.write(secrets.token_urlsafe(SECRET_BYTES) + "\n")
                    file.flush()
                    os.fsync(file.fileno())
                with contextlib.suppress(FileExistsError):
                    os.link(draft, path)
            finally:
                os.unlink(draft)
        return read_secret(path)
    except OSError as error:
        raise ConfigurationError(f"bus.secret_file = '{path}': {error.strerror or error}") from error


@contextlib.asynccontextmanager
async def listening(config: RegionConfig, codec: ItemCodec) -> AsyncIterator[GoalServer]:
    """The dataplane's end, open to ncms. Raises: OSError (address in use), ConfigurationError.

    Of several dataplanes in one data folder the first has the socket there; the others are found through it.
    """
    secret = ensure_secret(secret_path(config))
    tls = listening_tls(config, config.tls.bus, "dataplane")
    place = broker_place(config)
    near = own_socket(config)
    addresses = list(config.bus.listen)
    if not is_served(Path(near.removeprefix("unix:"))):
        addresses.append(near)
    async with contextlib.AsyncExitStack() as stack:
        if place is None:
            server = GoalServer(codec, addresses, secret=secret, tls=tls)
        else:
            sender, path = sending(config, place, codec)
            server = GoalServer(codec, addresses, secret=secret, tls=tls, normal=path)
            sender.failed = server.fall_back
            task = asyncio.create_task(sender.run(), name="broker")
            await stack.enter_async_context(background("broker", task))
        await server.start()
        stack.push_async_callback(server.stop)
        yield server


async def check_secret(config: RegionConfig, address: str, living: Living) -> None:
    """Refuse a dataplane at a plain `address` whose secret is not that of those that live: it would hold shards, and no
    ncm could attach to it. Raises: ConfigurationError; Unavailable.
    """
    if is_secured(config.tls.bus, address):
        return
    path = secret_path(config)
    secret = read_secret(path)
    plain = [other for other in await living() if other != address and not is_secured(config.tls.bus, other)]
    refusals = await asyncio.gather(*(find_refusal(other, secret) for other in plain))
    for other, refusal in zip(plain, refusals, strict=True):
        if refusal:
            raise ConfigurationError(
                f"bus.secret_file = '{path}': the dataplane at {other} has another secret, and ncms that attach there "
                "could not attach here. Copy its file"
            )


def advertised(config: RegionConfig, bound: Sequence[str]) -> str:
    """Where ncms of other machines find this dataplane: as configured, else where it listens."""
    if config.bus.advertise:
        return config.bus.advertise
    address = next((each for each in bound if not each.startswith("unix:")), bound[0])
    host, _, port = address.rpartition(":")
    return f"{socket.gethostname()}:{port}" if host in ("0.0.0.0", "[::]", "") else address


async def consult_dataplane(
    config: RegionConfig, body: bytes, *, living: Living, within_s: float = ANSWER_S
) -> bytes:
    """Ask a dataplane: as `bus.dataplane` says, that of our own machine, or any that lives: each has the whole graph.

    Raises: NotFound, InvalidInput, Unavailable (if none of them can be asked).
    """
    near = own_socket(config)
    is_near = not config.bus.dataplane and is_served(Path(near.removeprefix("unix:")))
    reasons: list[str] = []
    for address in config.bus.dataplane or ((near,) if is_near else ()):
        try:
            return await consult_at(config, address, body, own="api", within_s=within_s)
        except Unavailable as error:
            reasons.append(error.message)
    # The database knows who lives.
    for address in await living():
        try:
            return await consult_at(config, address, body, own="api", within_s=within_s)
        except Unavailable as error:
            reasons.append(error.message)
    raise Unavailable("; ".join(dict.fromkeys(reasons)) or "no dataplane lives")


async def consult_at(
    config: RegionConfig, address: str, body: bytes, *, own: str, within_s: float = ANSWER_S
) -> bytes:
    """Ask the dataplane at an address, as a process of the role `own`. Raises: as `consult_dataplane`."""
    path = secret_path(config)
    try:
        tls = channel_tls(config, config.tls.bus, address, own=own, to="dataplane")
        secret = read_secret(path) if tls is None else ""
    except OSError as error:
        raise Unavailable(f"the bus secret cannot be read: {error}") from error
    except ConfigurationError as error:
        raise Unavailable(str(error)) from error
    return await consult(address, secret, body, tls=tls, within_s=within_s)


@contextlib.asynccontextmanager
async def attached(config: RegionConfig, beside: Sequence[str] = ()) -> AsyncIterator[GoalClient]:
    """An ncm's end. `beside`: where a dataplane in the same process listens. It connects when it is read.

    Raises: ConfigurationError.
    """

    def own_tls(address: str) -> ChannelTls | None:
        return channel_tls(config, config.tls.bus, address, own="ncm", to="dataplane")

    path = secret_path(config)
    addresses = config.bus.dataplane or tuple(beside[:1]) or (_default(config.bus.listen),)
    # A role's certificate makes up for the secret.
    is_proved = all(own_tls(address) is not None for address in addresses)

    def tls(address: str) -> ChannelTls | None:
        try:
            return own_tls(address)
        except ConfigurationError as error:
            raise ConnectionError(str(error)) from error

    client = GoalClient(
        addresses,
        # For people to recognise, and never that of another process.
        ncm_id=f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}",
        secret=lambda: "" if is_proved else read_secret(path),
        random=random.random,
        tls=tls,
        normal=reading(broker_place(config)),
    )
    try:
        yield client
    finally:
        await client.close()


def _default(listen: Collection[str]) -> str:
    """On one machine with one configuration file the dataplane is where that file has it listen."""
    return next(iter(listen), "127.0.0.1:9698")
