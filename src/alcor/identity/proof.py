"""How a joined host proves its key where there is no TLS: on a socket of its own machine, or with TLS switched off.

The proof is for one moment and one host; who reads it on a plain connection may repeat it for `AGE_S_MAX`, as he could
a token for ever. TLS is the answer to that.
"""

import base64
import binascii
import json
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat, load_der_public_key

from alcor.identity.key import PrivateKey
from alcor.identity.name import digest_of_key

PREFIX = "key"
HELLO, LEAVE = "hello", "leave"
AGE_S_MAX = 300
_CHARACTERS_MAX = 512


def make_proof(key: PrivateKey, host_id: str, *, now_ms: int, deed: str = HELLO) -> str:
    """What an agent shows in place of a token. `deed`: what it is good for."""
    public = key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    signature = key.sign(_said(deed, host_id, now_ms), ec.ECDSA(SHA256()))
    return f"{PREFIX}.{encode_octets(public)}.{now_ms}.{encode_octets(signature)}"


def read_proof(text: str, host_id: str, *, now_ms: int, deed: str = HELLO) -> str:
    """The digest of the key that a proof shows (`digest_of`). Raises: ValueError with the reason."""
    if len(text) > _CHARACTERS_MAX:
        raise ValueError("it is too long")
    try:
        _, public, at_ms, signature = text.split(".")
        der = decode_octets(public)
        key = load_der_public_key(der)
        if not isinstance(key, ec.EllipticCurvePublicKey):
            raise ValueError("it is of no EC key")
        key.verify(decode_octets(signature), _said(deed, host_id, int(at_ms)), ec.ECDSA(SHA256()))
    except InvalidSignature as error:
        raise ValueError("its signature is not of its key, or it is for another host or deed") from error
    if abs(now_ms - int(at_ms)) > AGE_S_MAX * 1000:
        raise ValueError(f"it is not of the last {AGE_S_MAX} s: the host's clock and the region's differ")
    return digest_of_key(der)


def canonical(said: Mapping[str, Any]) -> bytes:
    """JSON of which there is one form, so that it can be signed at one end and judged at the other."""
    return json.dumps(dict(said), sort_keys=True, separators=(",", ":"), ensure_ascii=True).encode()


def _said(deed: str, host_id: str, at_ms: int) -> bytes:
    return f"alcor {deed}\n{host_id}\n{at_ms}".encode()


def encode_octets(octets: bytes) -> str:
    """URL-safe base64 without padding."""
    return base64.urlsafe_b64encode(octets).rstrip(b"=").decode()


def decode_octets(text: str) -> bytes:
    """As `encode_octets` made it. Raises: ValueError."""
    try:
        return base64.b64decode(text + "=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except binascii.Error as error:
        raise ValueError("it is not base64") from error
