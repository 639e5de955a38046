"""Rescues as leases come and go, and the generations by which a switch knows who may write."""

import asyncio

import pytest

from alcor.agent.driver import SwitchError
from alcor.agent.ovs.role import (
    UNDEFINED,
    Role,
    RoleStatus,
    decode_role,
    decode_role_status,
    encode_role,
    generation_of_lease,
    next_generation,
)
from alcor.agent.part import OWN, Part
from alcor.agent.rescue import Rescuer
from alcor.goalstate.item import RescueItem
from alcor.pipeline.view import View


def a_rescue(id: str, generation: int = 1, rescuer: str = "me") -> RescueItem:
    return RescueItem(
        id=id, rescuer_id=rescuer, rescuer_key="k", addresses=("192.0.2.1",), generation=generation
    )


class Bench:
    """A rescuer whose work is noted: begun, ended by cancellation, failed or over."""

    def __init__(self) -> None:
        self.view, self.seen = View(), list[tuple[str, str, int]]()
        self.failures = 0
        self.over = asyncio.Event()
        self.rescuer = Rescuer("me", lambda: self.view, self.work, random=lambda: 0.0, sleep=self.sleep)

    async def sleep(self, _: float) -> None:
        await asyncio.sleep(0)

    async def work(self, rescue: RescueItem, /) -> str:
        self.seen.append(("begun", rescue.id, rescue.generation))
        if self.failures:
            self.failures -= 1
            raise SwitchError("not reached")
        try:
            await self.over.wait()
        except asyncio.CancelledError:
            self.seen.append(("ended", rescue.id, rescue.generation))
            raise
        return "superseded"

    async def look(self, *rescues: RescueItem) -> list[tuple[str, str, int]]:
        """What a look at these leases does."""
        self.view.rescues = {rescue.id: rescue for rescue in rescues}
        self.seen.clear()
        await self.rescuer.look()
        for _ in range(10):
            await asyncio.sleep(0)
        return list(self.seen)


async def test_a_rescue_lasts_as_long_as_its_lease() -> None:
    """It begins with the lease, ends when that is withdrawn or goes to another, and begins anew by a later one."""
    bench = Bench()

    assert await bench.look(a_rescue("a"), a_rescue("me", rescuer="b")) == [("begun", "a", 1)]
    assert await bench.look(a_rescue("a")) == []
    assert await bench.look(a_rescue("a", 2)) == [("ended", "a", 1), ("begun", "a", 2)]
    assert await bench.look() == [("ended", "a", 2)]


async def test_a_rescue_that_was_superseded_is_not_begun_again() -> None:
    """The host's own agent is back: nothing is done by this lease any more, but by the next."""
    bench = Bench()
    bench.over.set()

    assert await bench.look(a_rescue("a")) == [("begun", "a", 1)]
    assert await bench.look(a_rescue("a")) == []
    assert await bench.look(a_rescue("a", 2)) == [("begun", "a", 2)]


async def test_a_switch_that_is_not_reached_is_tried_again() -> None:
    """As long as the lease stands."""
    bench = Bench()
    bench.failures = 2

    assert await bench.look(a_rescue("a")) == [("begun", "a", 1)] * 3
    assert await bench.look() == [("ended", "a", 1)]


@pytest.mark.parametrize("lease", [1, 1_800_000_000, 2**32 - 1])
def test_generations_are_in_order(lease: int) -> None:
    """A lease is above all that agents took since the one before; an agent is above the lease it finds."""
    found = generation_of_lease(lease)
    returned = next_generation(found)
    for _ in range(1000):
        returned = next_generation(returned)

    assert found < returned < generation_of_lease(lease + 1)
    assert next_generation(UNDEFINED) == 1


def test_roles_on_the_wire() -> None:
    """As OpenFlow 1.5.1, 7.3.9 and 7.4.4, have them."""
    said = encode_role(Role.MASTER, 0x1122334455667788)

    assert said == bytes.fromhex("00000002 00000000 1122334455667788")
    assert decode_role(said) == RoleStatus(Role.MASTER, 0x1122334455667788)
    assert decode_role_status(bytes.fromhex("00000003 00000000 0000000000000007")) == (Role.SLAVE, 7)


def test_what_a_rescuer_says_of_itself() -> None:
    """That it programs the switch, and what is not served meanwhile."""
    part = Part(rescuer_id="me", lease=1)

    assert part.sentence == "programmed by host me; DHCP, RA and other handlers are not served"
    assert (part.serves, OWN.serves, OWN.sentence) == (False, True, "")
