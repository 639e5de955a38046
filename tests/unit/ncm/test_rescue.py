"""A rescuer's stream: served by a lease only, reported as what it is, ended with the lease or by the host itself."""

import asyncio
from dataclasses import dataclass

import pytest

from alcor.bus.interface import Ack, Hello, Refused
from alcor.goalstate.item import ItemKind, Key, RescueItem
from alcor.goalstate.scope import host_scope
from alcor.identity.name import Peer
from alcor.ncm.session import NO_LEASE
from tests.support.bus import EPOCH
from tests.support.ncm import FakeAgent, Site, a_site

LOST, RESCUER = host_scope("host-1"), host_scope("host-2")


@dataclass
class FakeRescuer(FakeAgent):
    """Speaks for host-1 as host-2."""

    rescuer_id: str = "host-2"
    lease: int = 7

    def hello(self) -> None:
        """Say on whose behalf."""
        said = Hello(
            host_id="host-1", token="", agent_version="1", rescuer_id=self.rescuer_id, lease=self.lease
        )
        self.say(said)


def a_rescuer(host_id: str = "host-2", key: str = "key-2", lease: int = 7) -> FakeRescuer:
    return FakeRescuer(certified=Peer(host_id, "", key), lease=lease)


def lease(site: Site, generation: int = 7, key: str = "key-2") -> None:
    """Let host-2 program the switch of host-1."""
    item = RescueItem(
        id="host-1",
        rescuer_id="host-2",
        rescuer_key=key,
        addresses=("192.0.2.1",),
        generation=generation,
    )
    site.publisher.change({LOST: [item], RESCUER: [item]})


@pytest.mark.parametrize(
    "stranger",
    [
        a_rescuer("host-3"),
        a_rescuer(key="another"),
        a_rescuer(lease=6),
        a_rescuer(lease=8),
        FakeRescuer(token="secret"),
    ],
    ids=["another host", "another key", "an older lease", "a lease to come", "a token"],
)
async def test_only_whom_the_lease_names_is_served(stranger: FakeRescuer) -> None:
    """The host, its key and the generation are the lease's; else nothing is said but that."""
    async with a_site() as site:
        lease(site)

        await site.attach(stranger)

        assert stranger.messages == [Refused(NO_LEASE)]
        assert site.ncm.hosts == []


async def test_without_a_lease_nobody_speaks_for_another() -> None:
    """However good the key."""
    async with a_site() as site:
        rescuer = a_rescuer()

        await site.attach(rescuer)

        assert rescuer.messages == [Refused(NO_LEASE)]


async def test_a_rescuer_gets_the_scopes_and_acknowledges_in_the_host_s_name() -> None:
    """Its reports say who speaks; the withdrawal of the lease ends the stream."""
    async with a_site() as site:
        lease(site)
        rescuer = await site.attached(a_rescuer())
        rescuer.say(Ack(epoch=EPOCH, realized={1: 2}))

        told = await site.told(lambda report: report.realized)
        assert (told.host_id, told.rescuer_id, told.realized) == ("host-1", "host-2", {1: 2})

        site.publisher.change(removed={LOST: [Key(ItemKind.RESCUE, "host-1")]})
        async with asyncio.timeout(60):
            await site.tasks[id(rescuer)]
        assert rescuer.messages[-1] == Refused(NO_LEASE)


async def test_the_host_s_own_agent_wins() -> None:
    """It takes the place of a rescuer, and none is let in beside it."""
    async with a_site() as site:
        lease(site)
        rescuer = await site.attached(a_rescuer())

        await site.attached()
        async with asyncio.timeout(60):
            await site.tasks[id(rescuer)]
        late = a_rescuer()
        await site.attach(late)

        assert late.messages == [Refused("the host's own agent is attached")]
        assert site.ncm.hosts == ["host-1"]
