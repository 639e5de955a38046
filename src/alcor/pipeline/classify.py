"""Where a packet comes from (table CLASSIFY)."""

from collections.abc import Iterator

from alcor.pipeline.flow import Resubmit, SetField, match
from alcor.pipeline.live import LiveNetwork, LivePort
from alcor.pipeline.tables import FLAGS, INGRESS, NETWORK, Flag, Priority, Table
from alcor.pipeline.unit import Rule

# No tag at all: the "present" bit and the VLAN id are 0. The form in which Open vSwitch gives it back.
_UNTAGGED = (0, 0x1FFF)


def port_rules(port: LivePort) -> Iterator[Rule]:
    """An untagged frame from a VM. Tagged ones are dropped: no network here is VLAN-transparent."""
    yield Rule(
        Table.CLASSIFY,
        Priority.NORMAL,
        match(in_port=port.ofport, vlan_tci=_UNTAGGED),
        (SetField(INGRESS, port.key), SetField(NETWORK, port.network.key), Resubmit(Table.PORT_SECURITY)),
    )


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
