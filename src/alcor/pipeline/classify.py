"""Where a packet comes from (table CLASSIFY).

A VM's frame is known by its port, that of a trunk's subport by its tag too. A packet from a tunnel is known by the
port of the tunnel's type and its key, so that one number in two types is two networks. A frame with two tags is
nobody's: no network here is VLAN-transparent.
"""

from collections.abc import Iterator

from alcor.pipeline.flow import PopVlan, Resubmit, SetField, match
from alcor.pipeline.live import LiveNetwork, LivePort
from alcor.pipeline.tables import FLAGS, INGRESS, NETWORK, Flag, Priority, Table
from alcor.pipeline.unit import Rule

# No tag at all: the "present" bit and the VLAN id are 0. The form in which Open vSwitch gives it back.
_UNTAGGED = (0, 0x1FFF)
_PRESENT = 0x1000
_TAGS = (0x8100, 0x88A8)


def shared_rules() -> Iterator[Rule]:
    """A tag behind a tag."""
    for inner in _TAGS:
        found = match(vlan_vid=(_PRESENT, _PRESENT), eth_type=inner)
        yield Rule(Table.CLASSIFY, Priority.GUARD, found, ())


def port_rules(port: LivePort) -> Iterator[Rule]:
    """An untagged frame from a VM, or one with the tag of a subport. All else from there is dropped."""
    on = (SetField(INGRESS, port.key), SetField(NETWORK, port.network.key), Resubmit(Table.PORT_SECURITY))
    trunk = port.item.trunk
    if trunk is None:
        yield Rule(Table.CLASSIFY, Priority.NORMAL, match(in_port=port.ofport, vlan_tci=_UNTAGGED), on)
    else:
        found = match(in_port=port.ofport, vlan_vid=_PRESENT | trunk.vlan)
        yield Rule(Table.CLASSIFY, Priority.NORMAL, found, (PopVlan(), *on))


def network_rules(network: LiveNetwork) -> Iterator[Rule]:
    """A packet from another host. It was checked where it entered, and goes to local ports only,
    or to a router whose gateway this host is."""
    if network.tunnel is None:
        return
    yield Rule(
        Table.CLASSIFY,
        Priority.NORMAL,
        match(in_port=network.tunnel, tun_id=network.knowledge.network.segmentation_id),
        (
            SetField(NETWORK, network.key),
            SetField(FLAGS, Flag.FROM_TUNNEL, Flag.FROM_TUNNEL),
            Resubmit(Table.L3_ADMIT),
        ),
    )
