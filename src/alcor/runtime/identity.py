"""The embedded mode's own admin token: made on first start, stored hashed, its text in a file of the owner's.

An opaque secret of 256 bits. Losing the file loses the text, not the region: `alcor token rotate` makes another.
"""

import asyncio
import contextlib
import fcntl
import hashlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import yaml

from alcor.model.token import Token
from alcor.store.interface import Query, Store, Transaction

TOKEN_BYTES = 32
TOKEN_NAME = "admin"


def token_path(folder: Path) -> Path:
    """Where the admin token's text is."""
    return folder / "admin.token"


def digest(secret: str) -> str:
    """What is stored of a token: SHA-256, hexadecimal."""
    return hashlib.sha256(secret.encode()).hexdigest()


async def ensure_admin_token(store: Store, folder: Path) -> str | None:
    """Make the admin token if the region has none; returns its text.

    None if the text is not in this folder: its file is gone, or another process of the region made the token elsewhere.
    Of several processes that start at once, in one folder or in many, one makes it.
    """
    async with _alone_in(folder):
        known = {row.digest for row in await store.reader.list(Token)}
        if not known:
            return await _make_admin_token(store, folder)
        text = _read(folder)
        return text if text is not None and digest(text) in known else None


async def _make_admin_token(store: Store, folder: Path) -> str | None:
    secret = secrets.token_urlsafe(TOKEN_BYTES)

    async def work(tx: Transaction) -> bool:
        if await tx.list(Token, Query(limit=1)):
            return False
        tx.insert(_admin(tx, secret, tx.new_id().replace("-", "")))
        return True

    # The file first: a crash between the two leaves a file that the next start replaces, where the other order would
    # leave a region whose only token nobody knows.
    write_private(token_path(folder), secret + "\n")
    if (await store.write(work)).value:
        return secret
    # Another process, in another folder, was first.
    token_path(folder).unlink(missing_ok=True)
    return None


async def rotate_admin_token(store: Store, folder: Path) -> str:
    """Replace every admin token by a new one; the project it acts for stays. Returns its text."""
    secret = secrets.token_urlsafe(TOKEN_BYTES)

    async def work(tx: Transaction) -> None:
        old = await tx.list(Token)
        project_id = old[0].project_id if old else tx.new_id().replace("-", "")
        for row in old:
            tx.delete(row)
        tx.insert(_admin(tx, secret, project_id))

    async with _alone_in(folder):
        # The file first: as above, a rotation that did not end is done again.
        write_private(token_path(folder), secret + "\n")
        await store.write(work)
    return secret


def _admin(tx: Transaction, secret: str, project_id: str) -> Token:
    return Token(id=tx.new_id(), name=TOKEN_NAME, project_id=project_id, digest=digest(secret))


@contextlib.asynccontextmanager
async def _alone_in(folder: Path) -> AsyncIterator[None]:
    """No other process of this folder is in here; the kernel lets go when a process dies."""
    descriptor = os.open(folder / "admin.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        await asyncio.to_thread(fcntl.flock, descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


def write_clouds(folder: Path, endpoint: str, token: str) -> Path:
    """Write the client configuration `clouds.yaml` for openstacksdk and the `openstack` client."""
    cloud = {
        "auth_type": "admin_token",
        "auth": {"endpoint": endpoint, "token": token},
        "network_endpoint_override": endpoint,
        "region_name": "alcor",
    }
    path = folder / "clouds.yaml"
    write_private(path, yaml.safe_dump({"clouds": {"alcor": cloud}}, sort_keys=False))
    return path


def write_private(path: Path, text: str) -> None:
    """Replace a file that only its owner may read, atomically and durably."""
    # Several processes may share the folder.
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _read(folder: Path) -> str | None:
    try:
        return token_path(folder).read_text().strip()
    except FileNotFoundError:
        return None
