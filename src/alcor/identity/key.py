"""Private keys: made where they are used, written for their owner only, never sent."""

import contextlib
import os
import tempfile
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)
from cryptography.x509.oid import NameOID

PrivateKey = ec.EllipticCurvePrivateKey

# A request for one EC key is 400 octets in PEM; what is far larger is something else.
REQUEST_CHARACTERS_MAX = 4096


def make_key() -> PrivateKey:
    """A new key: EC P-256, which TLS libraries and Open vSwitch all speak."""
    return ec.generate_private_key(ec.SECP256R1())


def pem_of_key(key: PrivateKey) -> bytes:
    """PKCS #8, not encrypted."""
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def load_key(pem: bytes) -> PrivateKey:
    """Raises: ValueError if it is no EC key."""
    try:
        key = load_pem_private_key(pem, None)
    except TypeError as error:
        raise ValueError("the private key is encrypted") from error
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("the private key is not of an elliptic curve")
    return key


def make_request(key: PrivateKey, name: str) -> bytes:
    """A certificate signing request (PEM). It proves that who asks holds the key; the region decides all names."""
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name[:64] or "host")])
    request = x509.CertificateSigningRequestBuilder().subject_name(subject).sign(key, SHA256())
    return request.public_bytes(Encoding.PEM)


def parse_request(pem: str) -> x509.CertificateSigningRequest:
    """A request whose signature is its key's. Raises: ValueError with the reason."""
    if len(pem) > REQUEST_CHARACTERS_MAX:
        raise ValueError(f"it has more than {REQUEST_CHARACTERS_MAX} characters")
    try:
        request = x509.load_pem_x509_csr(pem.encode("ascii"))
        public = request.public_key()
    except Exception as error:  # the library's own, of several families
        raise ValueError("it is not a certificate signing request in PEM") from error
    if not isinstance(public, ec.EllipticCurvePublicKey) or not isinstance(public.curve, ec.SECP256R1):
        raise ValueError("its key is not an EC P-256 key")
    if not request.is_signature_valid:
        raise ValueError("its signature is not of its own key")
    return request


def write_file(path: Path, content: bytes, mode: int) -> None:
    """Write a file that is at no moment partly written, nor open to more than `mode`. Raises: OSError."""
    descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(draft, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(draft)
        raise
