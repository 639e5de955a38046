"""Provider bridges: how frames of VLAN and flat networks come in and go out (CLASSIFY, PROVIDER, REPLY).

The same for tenants' networks and external ones. A frame from a provider bridge is not answered for neighbours: every
host of the network hears it, and only who has the address may answer. It is sent there again only by a router.
"""

from collections.abc import Iterator

from alcor.model.address import Mac, mac_int
from alcor.pipeline.feature import Feature
from alcor.pipeline.flow import (
    Action,
    Field,
    Match,
    Output,
    OutputInPort,
    PopVlan,
    PushVlan,
    Resubmit,
    SetField,
    match,
)
from alcor.pipeline.live import LiveNetwork
from alcor.pipeline.tables import FLAGS, NETWORK, Flag, Priority, Table
from alcor.pipeline.unit import Rule
from alcor.pipeline.view import Allocation, View

VLAN = "vlan"
VLAN_PRESENT = 0x1000
"""The bit of VLAN_VID that says that there is a tag."""
UNTAGGED = (0, 0x1FFF)
"""No tag at all, for `vlan_tci`: the "present" bit and the id are 0. The form in which Open vSwitch gives it back."""
_KEY, _FLAGS = NETWORK.name.lower(), FLAGS.name.lower()


def shared_rules() -> Iterator[Rule]:
    """What came from a provider bridge passes the answers given for neighbours."""
    came = match(**{_FLAGS: (Flag.FROM_PROVIDER, Flag.FROM_PROVIDER)})
    yield Rule(Table.ARP_ND, Priority.FROM_PROVIDER, came, (Resubmit(Table.L3_ADMIT),))


def network_rules(network: LiveNetwork, view: View, allocation: Allocation) -> Iterator[Rule]:
    """The ways in and out of a network that this host reaches by a provider bridge. At most four flows.

    Two networks that claim one segment have no way in: nobody can say whose a frame is.
    """
    if network.provider is None:
        return
    if not has_rival(network, view):
        yield _way_in(network, network.provider)
    out = (*tag(network), Output(network.provider))
    item = network.knowledge.network
    switched = _in(network, 0, Flag.FROM_PROVIDER | Flag.ROUTED)
    yield Rule(Table.PROVIDER, Priority.NORMAL, switched, out)
    routed = _in(network, Flag.ROUTED, Flag.ROUTED)
    # One router's MAC, sent by several hosts, would move from port to port in the switches of the wire. An outer
    # address is on one host only.
    mac = view.host.mac if view.host is not None and not item.is_external else ""
    own = (SetField(Field.ETH_SRC, mac_int(Mac(mac))),) if mac else ()
    yield Rule(Table.PROVIDER, Priority.NORMAL, routed, (*own, *out))
    if tag(network):
        back = _in(network, Flag.FROM_PROVIDER, Flag.FROM_PROVIDER)
        yield Rule(Table.REPLY, Priority.NORMAL, back, (*tag(network), OutputInPort()))


def _in(network: LiveNetwork, flags: int, mask: int) -> Match:
    terms: dict[str, int | tuple[int, int]] = {_KEY: network.key, _FLAGS: (flags, mask)}
    return match(**terms)


def tag(network: LiveNetwork) -> tuple[Action, ...]:
    """What turns a frame of the network into one of the wire: its VLAN, nothing for a flat network."""
    item = network.knowledge.network
    if item.network_type != VLAN:
        return ()
    return PushVlan(), SetField(Field.VLAN_VID, VLAN_PRESENT | item.segmentation_id)


def has_rival(network: LiveNetwork, view: View) -> bool:
    """Whether another network claims the same segment of the same wire. Cost: O(networks)."""
    own = network.knowledge.network
    wire = own.network_type, own.segmentation_id, own.physical_network
    return any(
        (item.network_type, item.segmentation_id, item.physical_network) == wire
        for id, knowledge in view.networks.items()
        if id != network.id and (item := knowledge.network)
    )


def _way_in(network: LiveNetwork, provider: int) -> Rule:
    item = network.knowledge.network
    came = (
        SetField(NETWORK, network.key),
        SetField(FLAGS, Flag.FROM_PROVIDER, Flag.FROM_PROVIDER),
        Resubmit(Table.ARP_ND),
    )
    if item.network_type == VLAN:
        tagged = match(in_port=provider, vlan_vid=VLAN_PRESENT | item.segmentation_id)
        return Rule(Table.CLASSIFY, Priority.NORMAL, tagged, (PopVlan(), *came))
    return Rule(Table.CLASSIFY, Priority.NORMAL, match(in_port=provider, vlan_tci=UNTAGGED), came)


PROVIDER = Feature("provider", shared=shared_rules, network=network_rules)
