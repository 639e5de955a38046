"""The TLS context of a host for Python's own sockets: to other hosts' Open vSwitch (OVSDB, OpenFlow)."""

import ssl
from pathlib import Path

from cryptography import x509

from alcor.identity.folder import CA, HOST, HOST_KEY
from alcor.identity.name import Peer, peer_of


def client_context(folder: Path) -> ssl.SSLContext:
    """For connections that a host opens. Give the peer's tunnel address as `server_hostname`: its certificate has it.

    Made for each connection, so that renewed certificates are used. Raises: OSError (ssl.SSLError is one).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.verify_mode = ssl.CERT_REQUIRED
    context.load_verify_locations(cafile=folder / CA)
    context.load_cert_chain(folder / HOST, folder / HOST_KEY)
    return context


def peer_of_socket(connection: ssl.SSLObject | ssl.SSLSocket) -> Peer:
    """Who is at the other end, after the handshake. Raises: ValueError if it is nobody of a region."""
    der = connection.getpeercert(binary_form=True)
    if der is None:
        raise ValueError("the other end showed no certificate")
    return peer_of(x509.load_der_x509_certificate(der))
