"""Codes: how who keeps many subjects (`goalstate.subject`) keeps them.

An address is its number, IPv6 with a bit above it, a MAC with another; a name or a prefix stays text. So the
subjects of a port with one address take 64 octets.
"""

import socket

Code = int | str
MAC_BIT = 1 << 48
IPV6_BIT = 1 << 128


def code_of(text: str) -> Code:
    """The code of a subject's text, in any form of an address. What is no address and no MAC stays text."""
    try:
        if ":" not in text:
            return int.from_bytes(socket.inet_aton(text)) if text.count(".") == 3 else text
        if len(text) == 17 and text.count(":") == 5 and "::" not in text:
            return int(text.replace(":", ""), 16) | MAC_BIT
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text)) | IPV6_BIT
    except (OSError, ValueError):
        return text


def code_of_ip(ip: bytes) -> int:
    """The code of an address of 4 or 16 octets."""
    return int.from_bytes(ip) if len(ip) == 4 else int.from_bytes(ip) | IPV6_BIT
