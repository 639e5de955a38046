"""Frames that make the underlay resolve a tunnel endpoint before the first tenant packet needs it.

A userspace datapath drops the packet that finds no neighbour and asks for it (ARP, ND); the kernel queues it. The
only way that works for both, whatever the kernel's own cache says, is to send a frame through the tunnel itself.
It carries tunnel key 0, which no network has, so that the far end drops it in its first table.
"""

import ipaddress
from typing import Final

from alcor.agent.ovs.openflow import encode_packet_out
from alcor.pipeline.flow import Action, Field, Output, SetField

_LOCAL_EXPERIMENT: Final = bytes.fromhex("88b5")  # IEEE 802 local experimental EtherType 1
_FRAME: Final = b"\0" * 12 + _LOCAL_EXPERIMENT + b"\0" * 46


def encode_probe(xid: int, tunnel_port: int, vtep: str) -> bytes:
    """A packet-out of one empty frame to an endpoint. Raises: ValueError if `vtep` is no address."""
    address = ipaddress.ip_address(vtep)
    target = Field.TUN_IPV4_DST if address.version == 4 else Field.TUN_IPV6_DST
    actions: tuple[Action, ...] = (
        SetField(Field.TUN_ID, 0),
        SetField(target, int(address)),
        Output(tunnel_port),
    )
    return encode_packet_out(xid, _FRAME, actions)
