"""Subjects of items as an ncm keeps them: numbers, read from an item's bytes without making the item.

An address is its number, IPv6 with a bit above it, a MAC with another; a name or a prefix stays text. So the subjects
of a port with one address take 64 octets, and reading them 1 µs (a whole item takes 4).
"""

import socket

from alcor.bus import wire_pb2 as wire
from alcor.bus.codec import ProtobufCodec
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.subject import subjects

Code = int | str
_MAC = 1 << 48
_IPV6 = 1 << 128
_CODEC = ProtobufCodec()


def code_of(text: str) -> Code:
    """The code of a subject's text, in any form of an address. What is no address and no MAC stays text."""
    try:
        if ":" not in text:
            return int.from_bytes(socket.inet_aton(text)) if text.count(".") == 3 else text
        if len(text) == 17 and text.count(":") == 5 and "::" not in text:
            return int(text.replace(":", ""), 16) | _MAC
        return int.from_bytes(socket.inet_pton(socket.AF_INET6, text)) | _IPV6
    except (OSError, ValueError):
        return text


def _code_of_ip(ip: bytes) -> int:
    return int.from_bytes(ip) if len(ip) == 4 else int.from_bytes(ip) | _IPV6


def codes_of(key: Key, body: bytes) -> list[Code]:
    """The codes of an item's subjects (`goalstate.subject`), each once. Raises: ValueError, DecodeError."""
    if key.kind is ItemKind.NEIGHBOUR:
        message = wire.Neighbour.FromString(body)
        codes: list[Code] = [_code_of_ip(ip) for ip in message.ip]
        codes.append(int.from_bytes(message.mac) | _MAC)
        if message.dns_name:
            codes.append(message.dns_name)
        return codes
    return list(dict.fromkeys(code_of(text) for text in subjects(_CODEC.decode(key, body))))
