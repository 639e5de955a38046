"""What a TLS library is given: certificate, key and trusted authorities, always those of now.

Sources are asked at every handshake, from any thread: what was renewed on disk is used by the next connection, and
nothing is started again.
"""

import os
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Generic, Protocol, TypeVar

from cryptography import x509

from alcor.identity.authority import Authority, pem_of, utc_now
from alcor.identity.key import make_key, pem_of_key

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Credential:
    """PEM, all three. `certificate`: one's own; `trusted`: the authorities whose certificates are believed."""

    certificate: bytes
    key: bytes
    trusted: bytes


class Source(Protocol):
    """Where the credential of now comes from."""

    def current(self) -> Credential:
        """The credential. Raises: OSError, with the file and the reason."""


class Reread(Generic[T]):
    """What is made of files, made again when one of them changed. Cost: a `stat` call for each. For any thread."""

    def __init__(self, paths: Iterable[Path], make: Callable[[], T]) -> None:
        self._paths, self._make = tuple(paths), make
        self._lock = threading.Lock()
        self._read: tuple[object, T] | None = None

    def current(self) -> T:
        """What the files of now make. Raises: OSError; what `make` raises."""
        with self._lock:
            stamp = tuple([_stamp(path) for path in self._paths])
            if self._read is None or self._read[0] != stamp:
                self._read = (stamp, self._make())
            return self._read[1]


class FileSource(Reread[Credential]):
    """Implements `Source` by files."""

    def __init__(self, certificate: Path, key: Path, trusted: Path) -> None:
        paths = (certificate, key, trusted)
        super().__init__(paths, lambda: Credential(*[path.read_bytes() for path in paths]))


def _stamp(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ino, found.st_size


class IssuedSource:
    """A role's credential by an authority at hand: its key lives in memory, its certificate is renewed in time, and
    when the authority is another one, or believes others beside it."""

    def __init__(
        self,
        authority: Callable[[], Authority],
        role: str,
        *,
        days: float,
        now: Callable[[], datetime] = utc_now,
    ) -> None:
        self._authority, self._role, self._days, self._now = authority, role, days, now
        self._key = make_key()
        self._lock = threading.Lock()
        self._issued: tuple[Authority, datetime, Credential] | None = None

    def current(self) -> Credential:
        """As `Source.current`."""
        with self._lock:
            now, authority = self._now(), self._authority()
            if self._issued is None or authority != self._issued[0] or now >= self._issued[1]:
                public = self._key.public_key()
                made = authority.issue_role(public, self._role, now=now, days=self._days)
                credential = Credential(pem_of(made), pem_of_key(self._key), authority.trusted_pem)
                self._issued = (authority, renewal_of(made), credential)
            return self._issued[2]


def renewal_of(certificate: x509.Certificate) -> datetime:
    """When a certificate is to be renewed: after two thirds of its life, so that one third is left for trying."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * 2 / 3


def remaining(certificate: x509.Certificate, now: datetime) -> timedelta:
    """How long it is valid still; negative if it is not any more."""
    return certificate.not_valid_after_utc - now
