"""What an agent shows to prove that it is its host's: a certificate's key, a signed proof of it, or a token."""

import hashlib
import hmac
from dataclasses import dataclass
from typing import Self

from alcor.bus.interface import AgentPeer, Hello
from alcor.goalstate.item import HostItem, RescueItem
from alcor.identity.proof import PREFIX, read_proof
from alcor.telemetry.log import get_log

log = get_log("ncm")


@dataclass(frozen=True, slots=True)
class Shown:
    """The digest of a key, or that of a token; both empty: nothing is proved."""

    key_digest: str = ""
    token_digest: str = ""

    @classmethod
    def of(cls, peer: AgentPeer, hello: Hello, now_ms: int) -> Self:
        """What counts of a hello. A certificate stands for its own host only, and makes up for every token."""
        speaker = hello.rescuer_id or hello.host_id
        if peer.identity is not None:
            if peer.identity.host_id == speaker:
                return cls(key_digest=peer.identity.key_digest)
            log.warning("agent_of_another_host", host=speaker, certificate=peer.identity.host_id)
            return cls()
        if hello.token.startswith(f"{PREFIX}."):
            try:
                return cls(key_digest=read_proof(hello.token, speaker, now_ms=now_ms))
            except ValueError as error:
                log.warning("key_proof_refused", host=speaker, reason=str(error))
                return cls()
        return cls(token_digest=hashlib.sha256(hello.token.encode()).hexdigest() if hello.token else "")

    def proves_rescuer(self, hello: Hello, item: RescueItem | None) -> bool:
        """Whether it is the key of the host that the lease names, and the lease that the hello names."""
        key = _same(self.key_digest, item.rescuer_key if item is not None else "")
        return (
            key and item is not None and (item.rescuer_id, item.generation) == (hello.rescuer_id, hello.lease)
        )

    def proves(self, item: HostItem | None) -> bool:
        """Whether it is what the host's item wants; no item, or an empty digest in it, is proved by nothing."""
        # Compared also when there is no such host, so that all refusals take the same time.
        key = _same(self.key_digest, item.key_digest if item is not None else "")
        token = _same(self.token_digest, item.token_digest if item is not None else "")
        return key or token


def _same(shown: str, expected: str) -> bool:
    return hmac.compare_digest(shown.encode(), expected.encode()) and expected != ""
