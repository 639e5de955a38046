"""Forgetting connections: a Nicira message of Open vSwitch 3.1, for a zone or for one connection in full.

A tuple that is not full is accepted and hits nothing (tried), hence the type `ConnectionTuple`.
Source: nicira-ext of Open vSwitch 3.1 as ovs-ofctl(8), "ct-flush", sends it.
"""

import struct
from ipaddress import IPv4Address, ip_address
from typing import Final

from alcor.agent.driver import ConnectionProtocol, ConnectionTuple

_NICIRA: Final = 0x0000_2320
_CT_FLUSH: Final = 32
_ORIGINAL, _ZONE = 0, 2
_SOURCE, _TARGET, _SOURCE_PORT, _TARGET_PORT, _ICMP_ID, _ICMP_TYPE, _ICMP_CODE = range(7)


def _property(kind: int, body: bytes) -> bytes:
    length = 4 + len(body)
    return struct.pack("!HH", kind, length) + body + b"\0" * (-length % 8)


def _address(text: str) -> bytes:
    address = ip_address(text)
    if isinstance(address, IPv4Address):
        return bytes(10) + b"\xff\xff" + address.packed
    return address.packed


def encode_flush(zone: int, connection: ConnectionTuple | None) -> bytes:
    """Body of the message (after the OpenFlow header)."""
    body = b""
    protocol = 0
    if connection is not None:
        protocol = connection.protocol.value
        parts = _property(_SOURCE, _address(connection.source))
        parts += _property(_TARGET, _address(connection.target))
        if connection.protocol is ConnectionProtocol.ICMP:
            parts += _property(_ICMP_ID, struct.pack("!H2x", connection.source_port))
            parts += _property(_ICMP_TYPE, bytes((connection.target_port >> 8,)))
            parts += _property(_ICMP_CODE, bytes((connection.target_port & 0xFF,)))
        else:
            parts += _property(_SOURCE_PORT, struct.pack("!H2x", connection.source_port))
            parts += _property(_TARGET_PORT, struct.pack("!H2x", connection.target_port))
        # The tuple's own header is eight bytes long.
        body += struct.pack("!HH4x", _ORIGINAL, 8 + len(parts)) + parts
    body += _property(_ZONE, struct.pack("!H2x", zone))
    return struct.pack("!IIB7x", _NICIRA, _CT_FLUSH, protocol) + body
