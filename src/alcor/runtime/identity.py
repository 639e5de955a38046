"""The embedded mode's own admin token: made on first start, stored hashed, its text in a file of the owner's.

An opaque secret of 256 bits. Losing the file loses the text, not the region: `alcor token rotate` makes another.
"""

import hashlib
import os
import secrets
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
    """Make the admin token if the region has none; returns its text, or None if its file is gone."""
    if await store.reader.list(Token, Query(limit=1)):
        return _read(folder)
    return await rotate_admin_token(store, folder)


async def rotate_admin_token(store: Store, folder: Path) -> str:
    """Replace every admin token by a new one; the project it acts for stays. Returns its text."""
    secret = secrets.token_urlsafe(TOKEN_BYTES)

    async def work(tx: Transaction) -> None:
        old = await tx.list(Token)
        project_id = old[0].project_id if old else tx.new_id().replace("-", "")
        for row in old:
            tx.delete(row)
        tx.insert(Token(id=tx.new_id(), name=TOKEN_NAME, project_id=project_id, digest=digest(secret)))

    # The file first: a crash between the two leaves a file that the next start or rotation replaces,
    # where the other order would leave a region whose only token nobody knows.
    write_private(token_path(folder), secret + "\n")
    await store.write(work)
    return secret


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
    draft = path.with_name(path.name + ".new")
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
