"""What a TLS library is given: certificate, key and trusted authorities, always those of now.

Sources are asked at every handshake, from any thread: what was renewed on disk is used by the next connection, and
nothing is started again.
"""

import os
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Protocol

from cryptography import x509

from alcor.identity.authority import Authority, pem_of, utc_now
from alcor.identity.key import make_key, pem_of_key


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


class FileSource:
    """Files, read again when one of them changed. Cost: three `stat` calls."""

    def __init__(self, certificate: Path, key: Path, trusted: Path) -> None:
        self._paths = (certificate, key, trusted)
        self._lock = threading.Lock()
        self._read: tuple[object, Credential] | None = None

    def current(self) -> Credential:
        """As `Source.current`."""
        with self._lock:
            stamp = tuple([_stamp(path) for path in self._paths])
            if self._read is None or self._read[0] != stamp:
                self._read = (stamp, Credential(*[path.read_bytes() for path in self._paths]))
            return self._read[1]


def _stamp(path: Path) -> tuple[int, int, int]:
    found = os.stat(path)
    return found.st_mtime_ns, found.st_ino, found.st_size


class IssuedSource:
    """A role's credential by an authority at hand: its key lives in memory, its certificate is renewed in time."""

    def __init__(
        self, authority: Authority, role: str, *, days: float, now: Callable[[], datetime] = utc_now
    ) -> None:
        self._authority, self._role, self._days, self._now = authority, role, days, now
        self._key = make_key()
        self._lock = threading.Lock()
        self._issued: tuple[datetime, Credential] | None = None

    def current(self) -> Credential:
        """As `Source.current`."""
        with self._lock:
            now = self._now()
            if self._issued is None or now >= self._issued[0]:
                public = self._key.public_key()
                made = self._authority.issue_role(public, self._role, now=now, days=self._days)
                credential = Credential(pem_of(made), pem_of_key(self._key), self._authority.trusted_pem)
                self._issued = (renewal_of(made), credential)
            return self._issued[1]


def renewal_of(certificate: x509.Certificate) -> datetime:
    """When a certificate is to be renewed: after two thirds of its life, so that one third is left for trying."""
    begin, end = certificate.not_valid_before_utc, certificate.not_valid_after_utc
    return begin + (end - begin) * 2 / 3


def remaining(certificate: x509.Certificate, now: datetime) -> timedelta:
    """How long it is valid still; negative if it is not any more."""
    return certificate.not_valid_after_utc - now
