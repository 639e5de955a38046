"""Certificates of hosts, as the managers issue them: the authority is the process's, the names are the region's."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from alcor.identity.authority import Authority, pem_of, utc_now
from alcor.identity.key import parse_request
from alcor.model.errors import Conflict, InvalidInput, Unavailable
from alcor.model.host import Host

# Joins and renewals of a process: each costs a signature and a commit, and asks for no token.
RATE_PER_S = 100.0
BURST = 200.0


@dataclass(frozen=True, slots=True)
class Welcome:
    """What a host is told when it joins: where agents attach, and whether there is TLS."""

    agents: tuple[str, ...] = ()
    is_secured: bool = False


class Certifier:
    """Issues what hosts ask for.

    find: the authority of now; None if its key is not here. days: how long a certificate is valid.
    monotonic_s: for the bound on calls that need no token.
    """

    def __init__(
        self,
        find: Callable[[], Authority | None] = lambda: None,
        *,
        days: float = 30.0,
        welcome: Welcome = Welcome(),
        monotonic_s: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find, self._days, self._monotonic_s = find, days, monotonic_s
        self.welcome = welcome
        self._left, self._counted_s = BURST, monotonic_s()

    def authority(self) -> Authority:
        """Raises: Conflict, with the way out."""
        try:
            found = self._find()
        except OSError as error:
            raise Conflict(f"The region's authority cannot be used: {error}.", kind="host") from error
        if found is None:
            raise Conflict(
                "This process cannot certify hosts: it has no ca.key. Ask another API process, or copy the region's "
                "`tls` folder to its data folder.",
                kind="host",
            )
        return found

    def count(self) -> None:
        """One call that needs no token. Raises: Unavailable if there were too many."""
        now_s = self._monotonic_s()
        self._left = min(BURST, self._left + (now_s - self._counted_s) * RATE_PER_S)
        self._counted_s = now_s
        if self._left < 1:
            raise Unavailable("too many hosts join or renew at this moment; try again in a few seconds.")
        self._left -= 1

    def issue(self, row: Host, request: x509.CertificateSigningRequest) -> dict[str, Any]:
        """Shape: {certificate, trusted: PEM, seal: the authority's signature of `trusted`}. Raises: Conflict."""
        authority = self.authority()
        public = request.public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey)  # by `read_request`
        made = authority.issue_host(public, row.id, row.vtep_addresses, now=utc_now(), days=self._days)
        return {
            "certificate": pem_of(made).decode(),
            "trusted": authority.trusted_pem.decode(),
            "seal": authority.seal(),
        }


def read_request(text: object) -> x509.CertificateSigningRequest:
    """Raises: InvalidInput."""
    try:
        return parse_request(text if isinstance(text, str) else "")
    except ValueError as error:
        raise InvalidInput(
            f"the certificate signing request is refused: {error}.", attribute="request"
        ) from error
