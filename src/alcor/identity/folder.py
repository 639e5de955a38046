"""Where identities are kept: the region's folder (`tls` in its data folder) and a host's (`/etc/alcor/identity`)."""

import contextlib
import os
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from cryptography import x509

from alcor.identity.authority import Authority, key_pem_of, load_authority, make_authority
from alcor.identity.credential import FileSource, IssuedSource, Reread, Source
from alcor.identity.key import PrivateKey, load_key, write_file
from alcor.identity.name import fingerprint_of

CA, CA_KEY = "ca.pem", "ca.key"
HOST, HOST_KEY = "host.pem", "host.key"


class RegionFolder:
    """`ca.pem`: the authorities, to be copied to every process of the region. `ca.key`: the authority's private key.

    Where that is not, a role has `<role>.pem` and `<role>.key`, as `alcor ca issue` writes them.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def ensure(self, *, now: datetime) -> None:
        """Make the authority if there is none; of several processes that start at once one does. Raises: OSError."""
        if (self.path / CA).exists():
            return
        self.path.parent.mkdir(parents=True, exist_ok=True)
        made = make_authority(now=now)
        # Made aside and moved into place as a whole: whoever finds the folder finds all of it.
        draft = Path(tempfile.mkdtemp(prefix=f".{self.path.name}.", dir=self.path.parent))
        try:
            write_file(draft / CA_KEY, key_pem_of(made), 0o600)
            write_file(draft / CA, made.trusted_pem, 0o644)
            with contextlib.suppress(OSError):
                os.rename(draft, self.path)
        finally:
            shutil.rmtree(draft, ignore_errors=True)
        if not (self.path / CA).exists():
            raise FileExistsError(
                f"{self.path} is there without {CA}; copy the region's folder here, or remove this one to begin anew"
            )

    def authority(self) -> Authority | None:
        """Who signs; None if its key is not here. Raises: OSError with the reason if it cannot be used."""
        try:
            key = (self.path / CA_KEY).read_bytes()
        except FileNotFoundError:
            return None
        try:
            return load_authority(key, (self.path / CA).read_bytes())
        except ValueError as error:
            raise OSError(f"{self.path / CA_KEY}: {error}") from error

    def trusted(self) -> list[x509.Certificate]:
        """The authorities. Raises: OSError."""
        try:
            return x509.load_pem_x509_certificates((self.path / CA).read_bytes())
        except ValueError as error:
            raise OSError(f"{self.path / CA} is not a certificate in PEM: {error}") from error

    def source(self, role: str, *, days: float) -> Source:
        """A role's credential. Raises: OSError that says what is missing and how to get it."""
        certificate, key = self.path / f"{role}.pem", self.path / f"{role}.key"
        if certificate.exists() and key.exists():
            return FileSource(certificate, key, self.path / CA)
        if self.authority() is None:
            raise FileNotFoundError(
                f"{certificate} and {key.name} are not there; make them where {CA_KEY} is (the region's first API "
                f"process makes that), by `alcor ca issue {role} --out DIR`, and copy DIR here"
            )
        kept = Reread((self.path / CA, self.path / CA_KEY), self._signing)
        return IssuedSource(kept.current, role, days=days)

    def _signing(self) -> Authority:
        authority = self.authority()
        if authority is None:
            raise FileNotFoundError(f"{self.path / CA_KEY} is not there any more")
        return authority


class HostFolder:
    """`host.key` (0600) never leaves it; `host.pem` is renewed; `ca.pem` is whom the host believes."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def is_joined(self) -> bool:
        """Whether the host has an identity."""
        return all((self.path / name).exists() for name in (HOST, HOST_KEY, CA))

    def certificate(self) -> x509.Certificate:
        """The host's. Raises: OSError, ValueError."""
        return x509.load_pem_x509_certificate((self.path / HOST).read_bytes())

    def trusted_fingerprints(self) -> list[str]:
        """Of the authorities the host believes. Raises: OSError, ValueError."""
        found = x509.load_pem_x509_certificates((self.path / CA).read_bytes())
        return [fingerprint_of(one) for one in found]

    def key(self) -> PrivateKey:
        """Its private key. Raises: OSError, ValueError."""
        return load_key((self.path / HOST_KEY).read_bytes())

    def source(self) -> FileSource:
        """Its credential, as client and as server."""
        return FileSource(self.path / HOST, self.path / HOST_KEY, self.path / CA)

    def write(self, certificate: bytes, trusted: bytes) -> None:
        """Keep what the region answered. Raises: OSError."""
        write_file(self.path / CA, trusted, 0o644)
        write_file(self.path / HOST, certificate, 0o644)

    def remove(self, *beside: str) -> None:
        """Remove the identity and these files beside it, and no other: the folder may be shared. Raises: OSError."""
        for name in (*beside, HOST, CA, HOST_KEY):
            (self.path / name).unlink(missing_ok=True)
