"""A region's authority and the identities of hosts, made for a test."""

from datetime import datetime, timedelta
from pathlib import Path

from alcor.identity.authority import Authority, make_authority, pem_of, utc_now
from alcor.identity.credential import IssuedSource
from alcor.identity.folder import HOST_KEY, HostFolder
from alcor.identity.key import make_key, pem_of_key, write_file
from alcor.identity.name import digest_of

HOST_ID = "0192f0c1-2e4a-7b54-9c6d-000000000001"
OTHER_ID = "0192f0c1-2e4a-7b54-9c6d-000000000002"


def an_authority(now: datetime | None = None) -> Authority:
    """A new authority."""
    return make_authority(now=now or utc_now())


def a_source(authority: Authority, role: str = "ncm") -> IssuedSource:
    """What a process of the region proves itself by."""
    return IssuedSource(lambda: authority, role, days=1)


class JoinedHost:
    """A host with a key and a certificate in a folder of its own."""

    def __init__(self, path: Path, authority: Authority, host_id: str = HOST_ID) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.folder, self.authority, self.host_id = HostFolder(path), authority, host_id
        self.key = make_key()
        write_file(path / HOST_KEY, pem_of_key(self.key), 0o600)
        self.certify()

    def certify(self, *, age: timedelta = timedelta(), days: float = 1, by: Authority | None = None) -> None:
        """Have a certificate as issued `age` ago for `days`."""
        made = (by or self.authority).issue_host(
            self.key.public_key(), self.host_id, ["192.0.2.1"], now=utc_now() - age, days=days
        )
        self.folder.write(pem_of(made), self.authority.trusted_pem)

    @property
    def key_digest(self) -> str:
        """What the region knows of it."""
        return digest_of(self.folder.certificate())
