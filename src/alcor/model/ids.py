"""Identifiers, one type per kind, so that a port id cannot stand where a subnet id belongs.

Shape: lower-case UUID text of 36 characters, except `ProjectId`, which is what the identity service
says (32 hexadecimal digits as a rule).
"""

import re
from typing import NewType

NetworkId = NewType("NetworkId", str)
SubnetId = NewType("SubnetId", str)
PortId = NewType("PortId", str)
HostId = NewType("HostId", str)
GroupId = NewType("GroupId", str)
ProjectId = NewType("ProjectId", str)

_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\Z")


def is_uuid(text: str) -> bool:
    """Whether `text` is a UUID in its canonical lower-case form."""
    return _UUID.match(text) is not None
