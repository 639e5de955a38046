"""A router's addresses are told to the machines that were there before it."""

import asyncio
import random
import time
from dataclasses import dataclass, field

import msgspec
import pytest

from alcor.agent.answer.claim import Said, announcement
from alcor.agent.answer.router_address import router_address_handler
from alcor.agent.handler import Confirmed, Outcome, PacketHandler, Tools
from alcor.goalstate.item import ItemKind, Key
from alcor.goalstate.router_item import RouterItem
from alcor.goalstate.scope import router_scope
from alcor.pipeline.feature import ItemChange
from tests.support.cases_routing import ROUTED
from tests.support.packet_site import Fabric

FABRIC = Fabric(ROUTED)
VIEW, NUMBERS = FABRIC.views["h1"], FABRIC.allocations["h1"]
ROUTER = VIEW.routers["r1"]
PLUGGED = {id: NUMBERS.ofports[id] for id in VIEW.ports if id in NUMBERS.ofports}
NEW_MAC = "02:00:00:00:99:99"


def moved(router: RouterItem) -> RouterItem:
    """The same router with another MAC on its first network."""
    first, *rest = router.interfaces
    return msgspec.structs.replace(router, interfaces=(msgspec.structs.replace(first, mac=NEW_MAC), *rest))


@dataclass
class Told:
    """A handler that was there when the ports were plugged, and what it says."""

    handler: PacketHandler = field(
        default_factory=lambda: router_address_handler(
            Tools("h1", time.monotonic, random.random, asyncio.sleep)
        )
    )

    def of(self, before: RouterItem | None, after: RouterItem | None) -> Outcome:
        """What comes of a change."""
        assert self.handler.noted is not None
        change = ItemChange(router_scope("r1"), Key(ItemKind.ROUTER, "r1"), before, after)
        return self.handler.noted(Confirmed((change,), plugged=dict(PLUGGED)), VIEW, NUMBERS)

    def plugged(self) -> "Told":
        """The ports were there in an earlier turn."""
        assert self.handler.noted is not None
        self.handler.noted(Confirmed(plugged=dict(PLUGGED)), VIEW, NUMBERS)
        return self


@pytest.fixture
def told() -> Told:
    """With all ports plugged."""
    return Told().plugged()


def test_a_new_router_is_told_to_all_local_ports_of_its_networks(told: Told) -> None:
    """One frame for each local port of each network and each address of the router there."""
    outcome = told.of(None, ROUTER)

    assert {(frame.port_id, frame.data) for frame in outcome.frames} == {
        (port_id, announcement(Said(address.ip, interface.mac), is_router=True))
        for interface in ROUTER.interfaces
        for address in interface.addresses
        if len(VIEW.routers_with(("inner", interface.network_id, address.ip))) == 1
        for port_id in VIEW.ports_of(interface.network_id)
        if port_id in PLUGGED
    }
    assert outcome.frames


def test_only_what_changed_is_told(told: Told) -> None:
    """Another MAC of one interface is told on its network, and what stayed is nobody's news."""
    first = ROUTER.interfaces[0]

    outcome = told.of(ROUTER, moved(ROUTER))

    assert {frame.data for frame in outcome.frames} == {
        announcement(Said(address.ip, NEW_MAC), is_router=True) for address in first.addresses
    }
    assert not told.of(ROUTER, ROUTER).frames
    assert not told.of(ROUTER, None).frames


def test_who_was_plugged_just_now_is_not_told() -> None:
    """At the agent's start, and of a machine that boots, nobody knows an old address."""
    told = Told()

    assert not told.of(None, ROUTER).frames
    assert told.of(None, ROUTER).frames
