"""Addresses of routers that came or moved, told to the machines that were there before.

Without a router the host itself answers for a subnet's gateway (DHCP server, services), with its own MAC; a machine
that asked then would send to that MAC until its kernel asks again, which takes up to a minute. So local ports are told
the router's MAC when its flows are there: by gratuitous ARP or an unsolicited advertisement.
"""

from collections.abc import Iterator

from alcor.agent.answer.claim import Said, announcement
from alcor.agent.handler import NOTHING, Confirmed, Frame, Outcome, PacketHandler, Tools
from alcor.goalstate.item import Item
from alcor.goalstate.router_item import RouterItem
from alcor.pipeline.live import live_port
from alcor.pipeline.view import Allocation, View

_Places = dict[tuple[str, str], str]
"""(network id, address) → MAC."""


def router_address_handler(_tools: Tools) -> PacketHandler:
    """The handler that tells of routers; it takes no packets."""
    known: set[str] = set()

    def noted(confirmed: Confirmed, view: View, allocation: Allocation) -> Outcome:
        """Cost: O(local ports of the networks of routers that changed), one frame per port and new address."""
        # Who was plugged just now knows nothing yet: at the agent's start, that is everybody.
        before = known.copy()
        known.clear()
        known.update(confirmed.plugged)
        places: _Places = {}
        for change in confirmed.items:
            old = _places(change.before)
            places |= {where: mac for where, mac in _places(change.after).items() if old.get(where) != mac}
        frames = tuple(
            frame
            for (network_id, ip), mac in places.items()
            # One address that two routers claim is nobody's.
            if len(view.routers_with(("inner", network_id, ip))) == 1
            for frame in _to_ports(network_id, Said(ip, mac), before & known, view, allocation)
        )
        return Outcome("router_announced", frames) if frames else NOTHING

    return PacketHandler("router_address", noted=noted)


def _places(item: Item | None) -> _Places:
    if not isinstance(item, RouterItem):
        return {}
    return {
        (interface.network_id, address.ip): interface.mac
        for interface in item.interfaces
        for address in interface.addresses
    }


def _to_ports(
    network_id: str, said: Said, known: set[str], view: View, allocation: Allocation
) -> Iterator[Frame]:
    data = announcement(said, is_router=True)
    for port_id in view.ports_of(network_id):
        port = live_port(port_id, view, allocation)
        if port is not None and port_id in known:
            yield Frame(data, port.ofport, port_id)
