"""Mutual TLS of our gRPC streams: who may connect is asked of certificates, and read anew at every handshake."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import grpc
import grpc.aio
from cryptography import x509

from alcor.identity.authority import utc_now
from alcor.identity.credential import Credential, Source, remaining
from alcor.identity.name import Peer, peer_of, role_dns
from alcor.telemetry.log import get_log

log = get_log("bus")

_Options = Sequence[tuple[str, Any]]


@dataclass(frozen=True, slots=True)
class ChannelTls:
    """How a client connects: as whom, and to a process of which role it wants to speak.

    own: our role, for messages; empty for a host.
    """

    source: Source
    role: str
    own: str = ""


def open_channel(address: str, options: _Options, tls: ChannelTls | None) -> grpc.aio.Channel:
    """A channel to `address`; plain without `tls`. Raises: ConnectionError if our own credential cannot be read."""
    if tls is None:
        return grpc.aio.insecure_channel(address, options=options)
    try:
        own = tls.source.current()
    except (OSError, ValueError) as error:
        raise ConnectionError(f"the certificate for {address} cannot be used: {error}") from error
    _check_valid(own, tls.own)
    credentials = grpc.ssl_channel_credentials(own.trusted, own.key, own.certificate)
    # What the server must prove is its role; where it is may change, and behind whatever balancer.
    named = ("grpc.ssl_target_name_override", role_dns(tls.role))
    return grpc.aio.secure_channel(address, credentials, options=(*options, named))


def _check_valid(own: Credential, role: str) -> None:
    certificate = x509.load_pem_x509_certificate(own.certificate)
    if remaining(certificate, utc_now()).total_seconds() > 0:
        return
    way_out = (
        "a host renews it by itself while it reaches the region's API: `alcor-agent renew` says what is wrong"
    )
    if role:
        way_out = (
            f"issue it again where ca.key is (`alcor ca issue {role} --out DIR`), and copy it to tls.folder"
        )
    raise ConnectionError(
        f"our certificate expired at {certificate.not_valid_after_utc:%Y-%m-%d %H:%M:%S} UTC; {way_out}"
    )


def explain(details: str, tls: ChannelTls | None) -> str:
    """What a failed connection means, if TLS was the reason; else empty. `details`: what gRPC says of it."""
    if tls is None:
        # A plain greeting is what a TLS server hangs up on.
        return "it hung up at once: does it want TLS?" if "Socket closed" in details else ""
    if "CERTIFICATE_VERIFY_FAILED" in details or "not valid for target" in details or "Hostname" in details:
        whose = "our" if tls.own else "this host's"
        return f"what listens there is not of {whose} region, or not its {tls.role}"
    if "WRONG_VERSION_NUMBER" in details:
        return "it does not speak TLS"
    if tls.own and ("Socket closed" in details or "ALERT" in details):
        return f"it did not accept our certificate as {tls.own}: that is of another region, or clocks differ"
    if "Socket closed" in details or "ALERT" in details:
        return "it did not accept this host's certificate: the host was joined to another region, or clocks differ"
    return ""


def server_credentials(source: Source) -> grpc.ServerCredentials:
    """What a server proves itself by, and whom it believes; of now at each handshake. Raises: OSError."""

    def now() -> grpc.ServerCertificateConfiguration:
        own = source.current()
        return grpc.ssl_server_certificate_configuration([(own.key, own.certificate)], own.trusted)

    last = now()

    def fetch() -> grpc.ServerCertificateConfiguration:
        nonlocal last
        try:
            last = now()
        except (OSError, ValueError) as error:
            # What served the last connection serves this one: a copy in progress is no reason to lose a region.
            log.error("certificate_unreadable", reason=str(error))
        return last

    return grpc.dynamic_ssl_server_credentials(last, fetch, require_client_authentication=True)


def peer_of_call(context: grpc.aio.ServicerContext[bytes, bytes]) -> Peer | None:
    """Who the caller proved to be; None on a plain connection. Raises: ValueError if it is nobody of a region."""
    found = next(iter(context.auth_context().get("x509_pem_cert", ())), None)
    return peer_of(x509.load_pem_x509_certificate(found)) if found is not None else None
