"""The region's authority: the key that signs the certificates of its hosts and of its own processes."""

import ipaddress
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from alcor.identity.key import PrivateKey, load_key, make_key, pem_of_key
from alcor.identity.name import fingerprint_of, host_uri, role_dns, role_uri
from alcor.identity.proof import decode_octets, encode_octets

AUTHORITY_DAYS = 3650
# Clocks of two machines may differ by this much without a certificate being "not valid yet".
SKEW_MAX = timedelta(minutes=5)
_SEAL = b"alcor trusted\n"

_Public = ec.EllipticCurvePublicKey


@dataclass(frozen=True, slots=True)
class Authority:
    """A key and its certificate. `trusted_pem`: all authorities of the region, itself first, for who verifies."""

    key: PrivateKey
    certificate: x509.Certificate
    trusted_pem: bytes

    @property
    def fingerprint(self) -> str:
        """What an invitation pins."""
        return fingerprint_of(self.certificate)

    def seal(self) -> str:
        """Its signature of `trusted_pem`: who believes this authority may believe the others beside it."""
        return encode_octets(self.key.sign(_SEAL + self.trusted_pem, ec.ECDSA(SHA256())))

    def issue_host(
        self, public_key: _Public, host_id: str, addresses: Sequence[str], *, now: datetime, days: float
    ) -> x509.Certificate:
        """The certificate of a host, for clients and servers. `addresses`: where others may reach it (IP)."""
        names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(host_uri(host_id))]
        names += [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
        return self._issue(public_key, host_id, names, now, days)

    def issue_role(self, public_key: _Public, role: str, *, now: datetime, days: float) -> x509.Certificate:
        """The certificate of a process of the region."""
        names: list[x509.GeneralName] = [
            x509.UniformResourceIdentifier(role_uri(role)),
            x509.DNSName(role_dns(role)),
        ]
        return self._issue(public_key, role, names, now, days)

    def issue_server(
        self, public_key: _Public, names: Sequence[str], *, now: datetime, days: float
    ) -> x509.Certificate:
        """The certificate of a server beside the region (a broker): addresses and DNS names, and no role in it.

        Raises: ValueError if there is no name, or one is of the region's own processes.
        """
        if not names or any(name.endswith(role_dns("")) for name in names):
            raise ValueError(
                f"a server is named by its addresses or DNS names, which do not end in {role_dns('')}"
            )
        return self._issue(public_key, names[0], [_server_name(name) for name in names], now, days)

    def _issue(
        self,
        public_key: _Public,
        common_name: str,
        names: Sequence[x509.GeneralName],
        now: datetime,
        days: float,
    ) -> x509.Certificate:
        end = min(now + timedelta(days=days), self.certificate.not_valid_after_utc)
        usages = [ExtendedKeyUsageOID.CLIENT_AUTH, ExtendedKeyUsageOID.SERVER_AUTH]
        return (
            x509.CertificateBuilder()
            .subject_name(_named(common_name))
            .issuer_name(self.certificate.subject)
            .public_key(public_key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - SKEW_MAX)
            .not_valid_after(end)
            .add_extension(x509.SubjectAlternativeName(names), critical=False)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(usages), critical=False)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), critical=False)
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(self.key.public_key()), critical=False
            )
            .sign(self.key, SHA256())
        )


def make_authority(*, now: datetime) -> Authority:
    """A new authority, which signs itself and nobody but end entities."""
    key = make_key()
    # Two regions' authorities differ by name too: a library that looks them up by it must not take one for the other.
    name = _named(f"Alcor region {secrets.token_hex(8)}")
    public = key.public_key()
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - SKEW_MAX)
        .not_valid_after(now + timedelta(days=AUTHORITY_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .sign(key, SHA256())
    )
    return Authority(key, certificate, pem_of(certificate))


def load_authority(key_pem: bytes, trusted_pem: bytes) -> Authority:
    """The authority of a key among the trusted ones. Raises: ValueError with the reason."""
    key = load_key(key_pem)
    found = x509.load_pem_x509_certificates(trusted_pem)
    own = next((one for one in found if one.public_key() == key.public_key()), None)
    if own is None:
        raise ValueError("none of the certificates is of the authority's key")
    others = b"".join(pem_of(one) for one in found if one is not own)
    return Authority(key, own, pem_of(own) + others)


def is_sealed(authority: x509.Certificate, trusted_pem: bytes, seal: str) -> bool:
    """Whether an authority vouches for a list of authorities."""
    public = authority.public_key()
    if not isinstance(public, ec.EllipticCurvePublicKey):
        return False
    try:
        public.verify(decode_octets(seal), _SEAL + trusted_pem, ec.ECDSA(SHA256()))
    except (InvalidSignature, ValueError):
        return False
    return True


def key_pem_of(authority: Authority) -> bytes:
    """Its private key, to be kept."""
    return pem_of_key(authority.key)


def pem_of(certificate: x509.Certificate) -> bytes:
    """PEM."""
    return certificate.public_bytes(Encoding.PEM)


def utc_now() -> datetime:
    """The time certificates are judged by."""
    return datetime.now(UTC)


def _server_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _named(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
