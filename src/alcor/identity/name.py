"""The names certificates carry, and the keys behind them.

A host's certificate names `alcor://region/host/<id>` (URI) and the addresses of its tunnels (IP); a region process's
names `alcor://region/role/<role>` (URI) and `<role>.region.alcor` (DNS), which no host's certificate has: who asks a
TLS library for that name speaks to the region and to no host.
"""

import hashlib
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

_HOST, _ROLE = "alcor://region/host/", "alcor://region/role/"


@dataclass(frozen=True, slots=True)
class Peer:
    """Who a certificate says its holder is: a host or a role, the other is empty. `key_digest`: `digest_of` its key."""

    host_id: str
    role: str
    key_digest: str


def host_uri(host_id: str) -> str:
    """The name of a host."""
    return _HOST + host_id


def role_uri(role: str) -> str:
    """The name of the region's processes of a role."""
    return _ROLE + role


def role_dns(role: str) -> str:
    """What a client takes for the server's name when it connects to a process of the role, wherever that is."""
    return f"{role}.region.alcor"


def fingerprint_of(certificate: x509.Certificate) -> str:
    """SHA-256 of the whole certificate, hexadecimal."""
    return hashlib.sha256(certificate.public_bytes(Encoding.DER)).hexdigest()


def digest_of(certificate: x509.Certificate | x509.CertificateSigningRequest) -> str:
    """SHA-256 of the public key (SubjectPublicKeyInfo), hexadecimal: the same for all certificates of one key."""
    return digest_of_key(
        certificate.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    )


def digest_of_key(public_key_der: bytes) -> str:
    """As `digest_of`."""
    return hashlib.sha256(public_key_der).hexdigest()


def peer_of(certificate: x509.Certificate) -> Peer:
    """Who it names. Raises: ValueError if it is of nobody in a region.

    It says nothing of who issued it: TLS has asked that before.
    """
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        names = x509.SubjectAlternativeName([])
    for uri in names.get_values_for_type(x509.UniformResourceIdentifier):
        if uri.startswith(_HOST):
            return Peer(uri.removeprefix(_HOST), "", digest_of(certificate))
        if uri.startswith(_ROLE):
            return Peer("", uri.removeprefix(_ROLE), digest_of(certificate))
    raise ValueError("the certificate names neither a host nor a role of a region")
