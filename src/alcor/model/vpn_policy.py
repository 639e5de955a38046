"""How the two ends of a VPN agree on keys (IKE policies) and protect packets (IPsec policies).

Source: Networking API v2.0, "VPNaaS 2.0"; extensions vpnaas, vpn-aes-ccm-gcm, vpn-aes-ctr.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import msgspec

from alcor.model.resource import Attribute, Entity, Resource
from alcor.model.standard import DESCRIPTION, ID, NAME, PROJECT_ID
from alcor.model.value import Choice, Integer, Schema, ValueType

PREFIX = "/v2.0/vpn"
SEEN_BY_MEMBERS = {"get": "rule:admin_or_project_member"}
_LIFETIME_S_DEFAULT = 3_600
_AUTH = ("sha1", "sha256", "sha384", "sha512", "aes-xcbc", "aes-cmac")
_SIZES = ("128", "192", "256")
_ENCRYPTION = (
    "3des",
    *(f"aes-{size}" for size in _SIZES),
    *(f"aes-{size}-{mode}-{octets}" for mode in ("ccm", "gcm") for octets in (8, 12, 16) for size in _SIZES),
    *(f"aes-{size}-ctr" for size in _SIZES),
)
_PFS = tuple(f"group{number}" for number in (2, 5, *range(14, 32)))


class Lifetime(msgspec.Struct, frozen=True, gc=False):
    """How long keys live."""

    units: str = "seconds"
    value: int = _LIFETIME_S_DEFAULT


class IkePolicy(Entity, frozen=True, kw_only=True, gc=False):
    """How two ends agree on keys."""

    auth_algorithm: str = "sha1"
    encryption_algorithm: str = "aes-128"
    phase1_negotiation_mode: str = "main"
    ike_version: str = "v1"
    lifetime: Lifetime = Lifetime()
    pfs: str = "group5"


class IpsecPolicy(Entity, frozen=True, kw_only=True, gc=False):
    """How packets are protected on their way."""

    transform_protocol: str = "esp"
    auth_algorithm: str = "sha1"
    encryption_algorithm: str = "aes-128"
    encapsulation_mode: str = "tunnel"
    lifetime: Lifetime = Lifetime()
    pfs: str = "group5"


@dataclass(frozen=True, slots=True)
class Some:
    """A dictionary of only the members that were said, each of its type; null says none of them.

    `whole`: what is stored, a struct; it is accepted too, so that parsing twice changes nothing.
    """

    members: Mapping[str, ValueType]
    whole: type[msgspec.Struct]

    def parse(self, value: object) -> Any:
        if value is None:
            return {}
        if isinstance(value, self.whole):
            return value
        if not isinstance(value, Mapping):
            raise ValueError(f"'{value}' is not a dictionary")
        unknown = sorted(str(name) for name in value if name not in self.members)
        if unknown:
            raise ValueError(f"unexpected keys {unknown}: there are {list(self.members)}")
        return {name: self.members[name].parse(one) for name, one in value.items()}

    def schema(self) -> Schema:
        return {
            "anyOf": [
                {
                    "type": "object",
                    "properties": {name: member.schema() for name, member in self.members.items()},
                    "additionalProperties": False,
                },
                {"type": "null"},
            ]
        }


_LIFETIME = Some({"units": Choice(("seconds",)), "value": Integer(60)}, Lifetime)


def _said(name: str, words: tuple[str, ...], default: str, text: str) -> Attribute:
    return Attribute(name, Choice(words), default=default, text=text)


_DESCRIBED = (ID, NAME, PROJECT_ID, DESCRIPTION)
_OF_BOTH = (
    _said("auth_algorithm", _AUTH, "sha1", "How packets prove that nobody changed them."),
    _said("encryption_algorithm", _ENCRYPTION, "aes-128", "How packets are hidden."),
    Attribute(
        "lifetime",
        _LIFETIME,
        default={},
        filters=False,
        sorts=False,
        text="How long keys live: `units` seconds, `value` at least 60; what is left out is 3600 seconds.",
    ),
    _said("pfs", _PFS, "group5", "The Diffie-Hellman group of each new key."),
)

IKE_POLICY = Resource(
    name="ikepolicy",
    collection="ikepolicies",
    prefix=PREFIX,
    entity=IkePolicy,
    error_name="IKEPolicy",
    quota="ikepolicy",
    policy=SEEN_BY_MEMBERS,
    text="How the two ends of a VPN agree on keys.",
    columns_shown=("id", "name", "auth_algorithm", "encryption_algorithm", "ike_version", "pfs"),
    attributes=(
        *_DESCRIBED,
        *_OF_BOTH,
        _said("phase1_negotiation_mode", ("main", "aggressive"), "main", "How they find one another."),
        _said("ike_version", ("v1", "v2"), "v1", "The version of the protocol."),
    ),
)

IPSEC_POLICY = Resource(
    name="ipsecpolicy",
    collection="ipsecpolicies",
    prefix=PREFIX,
    entity=IpsecPolicy,
    error_name="IPsecPolicy",
    quota="ipsecpolicy",
    policy=SEEN_BY_MEMBERS,
    text="How packets are protected on their way through a VPN.",
    columns_shown=("id", "name", "auth_algorithm", "encapsulation_mode", "transform_protocol", "pfs"),
    attributes=(
        *_DESCRIBED,
        *_OF_BOTH,
        _said("transform_protocol", ("esp", "ah", "ah-esp"), "esp", "The protocol of protected packets."),
        _said("encapsulation_mode", ("tunnel", "transport"), "tunnel", "What of a packet is protected."),
    ),
)
