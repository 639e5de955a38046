"""Invitations: the text an operator hands to a host, and how the host proves that it has it without showing it.

The text holds the seed of an Ed25519 key; the region keeps the public key. It also pins the region's authority, so that
the host believes the right region's answer over whatever connection.
"""

import base64
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import UUID

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from alcor.identity.proof import canonical, decode_octets, encode_octets

PREFIX = "alcor-join"
CHARACTERS_MAX = 256
_SHAPE = re.compile(rf"{PREFIX}\.([0-9a-f]{{32}})\.([A-Za-z0-9_-]{{43}})\.([0-9a-f]{{64}})\Z")
_CONTEXT = b"alcor join\n"


@dataclass(frozen=True, slots=True)
class Invitation:
    """What the text says. `secret`: 256 bits, as URL-safe text; `authority`: the fingerprint of the region's."""

    id: str
    secret: str
    authority: str

    @property
    def text(self) -> str:
        """What is handed over, once."""
        return f"{PREFIX}.{UUID(self.id).hex}.{self.secret}.{self.authority}"

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises: ValueError if it is no invitation, or not all of it was copied."""
        found = _SHAPE.match(text.strip()[: CHARACTERS_MAX + 1])
        if found is None:
            raise ValueError(
                f"this is not an invitation; it begins with '{PREFIX}.' and has four parts. Copy all of what "
                "`alcor host invite` printed."
            )
        return cls(str(UUID(found[1])), found[2], found[3])

    def sign(self, said: Mapping[str, Any]) -> str:
        """The proof of one request: of all it says."""
        return encode_octets(_key(self.secret).sign(_CONTEXT + canonical(said)))


def public_of(secret: str) -> str:
    """What the region keeps of an invitation's secret: the public key, hexadecimal."""
    return _key(secret).public_key().public_bytes_raw().hex()


def is_signed(public: str, said: Mapping[str, Any], signature: str) -> bool:
    """Whether who made the request has the invitation. Cost: one verification, about 0.1 ms."""
    try:
        key = Ed25519PublicKey.from_public_bytes(bytes.fromhex(public))
        key.verify(decode_octets(signature), _CONTEXT + canonical(said))
    except (InvalidSignature, ValueError):
        return False
    return True


def _key(secret: str) -> Ed25519PrivateKey:
    return Ed25519PrivateKey.from_private_bytes(base64.urlsafe_b64decode(secret + "="))
