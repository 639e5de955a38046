"""Trunks: several ports on one VIF (tables OUTPUT and REPLY; `classify` takes the tags off, `live` knows the VIF).

Untagged frames are the parent's, a tag names a subport. All else of a port (port security, groups, QoS, answers of
switch and agent) knows nothing of it: it sees untagged frames of one port, whatever its VIF. MACs may be the same.

Parent and subports are reached by the VIF from which their siblings send, and a switch never sends a packet back where
it came from: such a packet forgets where that was, and instead nobody is sent his own.
"""

from collections.abc import Iterator

from alcor.pipeline.feature import Feature
from alcor.pipeline.flow import Action, Field, Output, OutputInPort, PushVlan, SetField, match
from alcor.pipeline.live import LivePort
from alcor.pipeline.tables import EGRESS, FLAGS, INGRESS, Flag, Priority, Table
from alcor.pipeline.unit import Rule
from alcor.pipeline.view import Allocation, View

_VLAN_BYTES_AT = 12
_VLAN_PRESENT = 0x1000
_TPID = bytes.fromhex("8100")


def with_tag(frame: bytes, vlan: int | None) -> bytes:
    """A frame for a port as its VIF must get it. `vlan`: of a subport; None: the frame as it is."""
    if vlan is None:
        return frame
    return frame[:_VLAN_BYTES_AT] + _TPID + vlan.to_bytes(2, "big") + frame[_VLAN_BYTES_AT:]


def _port(port: LivePort, view: View, allocation: Allocation) -> Iterator[Rule]:
    """The way out of a parent or subport. Two flows, of a subport three."""
    trunk = port.item.trunk
    if trunk is None and not view.subports_of(port.item.id):
        return
    tag: tuple[Action, ...] = ()
    if trunk is not None:
        tag = (PushVlan(), SetField(Field.VLAN_VID, _VLAN_PRESENT | trunk.vlan))
    key = EGRESS.name.lower()
    out = (*tag, SetField(Field.IN_PORT, 0), Output(port.ofport))
    yield Rule(Table.OUTPUT, Priority.NORMAL, match(**{key: port.key}), out)
    to_itself: dict[str, int | tuple[int, int]] = {
        key: port.key,
        INGRESS.name.lower(): port.key,
        FLAGS.name.lower(): (0, Flag.ROUTED),
    }
    yield Rule(Table.OUTPUT, Priority.SPECIFIC, match(**to_itself), ())
    if tag:
        asked = match(**{INGRESS.name.lower(): port.key})
        yield Rule(Table.REPLY, Priority.NORMAL, asked, (*tag, OutputInPort()))


TRUNK = Feature("trunk", port=_port)
